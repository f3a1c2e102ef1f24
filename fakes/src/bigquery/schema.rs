//! The columns of a table as BigQuery keeps them: what may be declared, and how a declaration may change
//! (<https://cloud.google.com/bigquery/docs/managing-table-schemas>). Names differ by more than case.

use std::collections::HashSet;

use serde_json::Value;

use super::storage;
use super::storage::table_field_schema::{Mode, Type};

/// A record stands in so many others at most.
const MAX_DEPTH: usize = 15;
/// Names of columns do not begin with these.
const RESERVED: [&str; 7] = [
    "_TABLE_",
    "_FILE_",
    "_PARTITION",
    "_ROW_TIMESTAMP",
    "__ROOT__",
    "_COLIDENTIFIER",
    "_CHANGE_",
];
/// What the declaration of a column may say.
const KNOWN: [&str; 12] = [
    "name",
    "type",
    "mode",
    "fields",
    "description",
    "policyTags",
    "maxLength",
    "precision",
    "scale",
    "collation",
    "defaultValueExpression",
    "roundingMode",
];

/// A column.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Column {
    pub name: String,
    pub kind: Type,
    pub mode: Mode,
    pub children: Vec<Column>,
}

impl Column {
    /// The column with a name, whatever its case.
    pub(super) fn find<'c>(columns: &'c [Self], name: &str) -> Option<&'c Self> {
        columns
            .iter()
            .find(|column| column.name.eq_ignore_ascii_case(name))
    }

    /// As the Storage Write API tells it.
    pub(super) fn to_storage(&self) -> storage::TableFieldSchema {
        storage::TableFieldSchema {
            name: self.name.to_lowercase(),
            r#type: self.kind.into(),
            mode: self.mode.into(),
            fields: self.children.iter().map(Self::to_storage).collect(),
            ..storage::TableFieldSchema::default()
        }
    }
}

/// Reads the `fields` of a schema.
///
/// # Errors
/// What is wrong with them.
pub(super) fn columns(fields: &Value) -> Result<Vec<Column>, String> {
    read(fields, 1)
}

fn read(fields: &Value, depth: usize) -> Result<Vec<Column>, String> {
    let fields = fields.as_array().ok_or("Schema fields are no list")?;
    if fields.is_empty() {
        return Err("Schema has no fields.".to_owned());
    }
    if depth > MAX_DEPTH {
        return Err("Schema is nested too deeply.".to_owned());
    }
    let mut names = HashSet::new();
    let mut columns = Vec::new();
    for field in fields {
        let column = column(field, depth)?;
        if !names.insert(column.name.to_lowercase()) {
            return Err(format!("Field {} already exists in schema", column.name));
        }
        columns.push(column);
    }
    Ok(columns)
}

fn column(field: &Value, depth: usize) -> Result<Column, String> {
    let object = field.as_object().ok_or("A field is no object")?;
    if let Some(key) = object.keys().find(|key| !KNOWN.contains(&key.as_str())) {
        return Err(format!(
            "Invalid JSON payload received. Unknown name \"{key}\""
        ));
    }
    let text = |key: &str| field[key].as_str().unwrap_or_default();
    let name = text("name");
    check_name(name)?;
    if text("description").chars().count() > 1024 {
        return Err(format!("The description for field {name} is too long."));
    }
    let kind = kind(text("type")).ok_or_else(|| {
        format!(
            "Invalid value for type: {} is not a valid value",
            text("type")
        )
    })?;
    let mode = match text("mode") {
        "" | "NULLABLE" => Mode::Nullable,
        "REQUIRED" => Mode::Required,
        "REPEATED" => Mode::Repeated,
        other => {
            return Err(format!(
                "Invalid value for mode: {other} is not a valid value"
            ));
        }
    };
    let children = match (kind, object.get("fields")) {
        (Type::Struct, Some(fields)) => read(fields, depth + 1)?,
        (Type::Struct, None) => {
            return Err(format!("Field {name} is type RECORD but has no schema"));
        }
        (_, Some(_)) => return Err(format!("Field {name} is no RECORD but has a schema")),
        (_, None) => Vec::new(),
    };
    Ok(Column {
        name: name.to_owned(),
        kind,
        mode,
        children,
    })
}

fn check_name(name: &str) -> Result<(), String> {
    let is_word = |character: char| character.is_ascii_alphanumeric() || character == '_';
    let is_valid = !name.is_empty()
        && name.len() <= 300
        && name.chars().all(is_word)
        && !name.starts_with(|first: char| first.is_ascii_digit());
    let upper = name.to_uppercase();
    if is_valid && !RESERVED.iter().any(|prefix| upper.starts_with(prefix)) {
        return Ok(());
    }
    Err(format!("Invalid field name \"{name}\"."))
}

fn kind(name: &str) -> Option<Type> {
    Some(match name {
        "STRING" => Type::String,
        "BYTES" => Type::Bytes,
        "INTEGER" | "INT64" => Type::Int64,
        "FLOAT" | "FLOAT64" => Type::Double,
        "NUMERIC" => Type::Numeric,
        "BIGNUMERIC" => Type::Bignumeric,
        "BOOLEAN" | "BOOL" => Type::Bool,
        "TIMESTAMP" => Type::Timestamp,
        "DATE" => Type::Date,
        "TIME" => Type::Time,
        "DATETIME" => Type::Datetime,
        "GEOGRAPHY" => Type::Geography,
        "INTERVAL" => Type::Interval,
        "JSON" => Type::Json,
        "RECORD" | "STRUCT" => Type::Struct,
        _ => return None,
    })
}

/// Whether a table of these columns may get those: all stay as they are, but REQUIRED may become NULLABLE; new ones are
/// not REQUIRED.
///
/// # Errors
/// The first change that may not be.
pub(super) fn check_change(
    before: &[Column],
    after: &[Column],
    parent: &str,
) -> Result<(), String> {
    for old in before {
        let path = format!("{parent}{}", old.name);
        let Some(new) = Column::find(after, &old.name) else {
            return Err(format!("Field {path} is missing in new schema"));
        };
        if new.kind != old.kind {
            let (old, new) = (old.kind.as_str_name(), new.kind.as_str_name());
            return Err(format!("Field {path} has changed type from {old} to {new}"));
        }
        let is_relaxed = (old.mode, new.mode) == (Mode::Required, Mode::Nullable);
        if new.mode != old.mode && !is_relaxed {
            let (old, new) = (old.mode.as_str_name(), new.mode.as_str_name());
            return Err(format!("Field {path} has changed mode from {old} to {new}"));
        }
        check_change(&old.children, &new.children, &format!("{path}."))?;
    }
    for new in after {
        if Column::find(before, &new.name).is_none() && new.mode == Mode::Required {
            return Err(format!(
                "Cannot add required fields to an existing schema. (field: {parent}{})",
                new.name
            ));
        }
    }
    Ok(())
}
