//! How the rows of a connection are read: the descriptor that the client sent, laid over the table's columns
//! (<https://cloud.google.com/bigquery/docs/supported-data-types>).
//!
//! The descriptor must stand alone: messages inside it, no enumerations, maps or recursion, no proto3 presence. Each of
//! its fields needs a column of its name, whatever the case, and a type that the column takes.

use std::collections::{HashMap, HashSet};

use prost_types::field_descriptor_proto::{Label, Type as Wire};
use prost_types::{DescriptorProto, FieldDescriptorProto};

use super::schema::Column;
use super::storage::table_field_schema::{Mode, Type};

/// Why rows cannot be read.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Mismatch {
    /// The descriptor is none that is taken, or a field's type does not fit.
    Invalid(String),
    /// The table has no such column.
    ExtraField(String),
}

/// How a message is read.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// In the order of the table's columns.
    pub fields: Vec<Field>,
    /// Index of each field, by its number.
    pub by_number: HashMap<u32, usize>,
    /// REQUIRED columns for which there is no field.
    pub missing: Vec<String>,
    /// Index of the field by which the table is partitioned.
    pub partition: Option<usize>,
}

/// How a field is read.
#[derive(Debug)]
pub(super) struct Field {
    pub name: String,
    pub wire: Wire,
    pub kind: Type,
    pub is_repeated: bool,
    pub is_required: bool,
    /// Of a record.
    pub inner: Option<Plan>,
}

impl Plan {
    /// Lays a descriptor over columns.
    ///
    /// # Errors
    /// They do not fit.
    pub(super) fn new(
        descriptor: &DescriptorProto,
        columns: &[Column],
        partition: Option<&str>,
    ) -> Result<Self, Mismatch> {
        let mut messages = HashMap::new();
        collect(descriptor, "", &mut messages);
        let scope = descriptor.name().to_owned();
        if scope.is_empty() {
            return Err(Mismatch::Invalid("Message has no name".to_owned()));
        }
        let reader = Reader { messages };
        let mut plan = reader.plan(&scope, columns, &mut Vec::new())?;
        plan.partition = partition.and_then(|name| {
            let is_it = |field: &Field| field.name.eq_ignore_ascii_case(name);
            plan.fields.iter().position(is_it)
        });
        Ok(plan)
    }
}

/// Each message of a descriptor by its full name.
fn collect<'d>(
    message: &'d DescriptorProto,
    parent: &str,
    messages: &mut HashMap<String, &'d DescriptorProto>,
) {
    let name = match parent {
        "" => message.name().to_owned(),
        parent => format!("{parent}.{}", message.name()),
    };
    for inner in &message.nested_type {
        collect(inner, &name, messages);
    }
    messages.insert(name, message);
}

struct Reader<'d> {
    messages: HashMap<String, &'d DescriptorProto>,
}

impl Reader<'_> {
    fn plan(
        &self,
        name: &str,
        columns: &[Column],
        above: &mut Vec<String>,
    ) -> Result<Plan, Mismatch> {
        let invalid =
            |message: String| Mismatch::Invalid(format!("Invalid proto schema: {message}"));
        if above.iter().any(|outer| outer == name) {
            return Err(invalid(format!("{name} is recursive")));
        }
        let message = self.messages[name];
        if message.options.as_ref().is_some_and(|o| o.map_entry()) {
            return Err(invalid(format!("{name} is a map")));
        }
        above.push(name.to_owned());
        let mut names = HashSet::new();
        let mut numbers = HashSet::new();
        let mut read = Vec::new();
        for field in &message.field {
            let path = format!("{name}.{}", field.name());
            if !names.insert(field.name().to_lowercase()) || !numbers.insert(field.number()) {
                return Err(invalid(format!("{path} is there twice")));
            }
            if field.proto3_optional() {
                return Err(invalid(format!("{path} is proto3_optional")));
            }
            let column = Column::find(columns, field.name())
                .ok_or_else(|| Mismatch::ExtraField(field.name().to_owned()))?;
            let number = u32::try_from(field.number())
                .ok()
                .filter(|number| (1..1 << 29).contains(number))
                .ok_or_else(|| invalid(format!("{path} has no number")))?;
            read.push((
                number,
                self.field(name, field, column, above)
                    .map_err(|mismatch| match mismatch {
                        Mismatch::ExtraField(inner) if column.kind == Type::Struct => {
                            Mismatch::ExtraField(format!("{}.{inner}", field.name()))
                        }
                        other => other,
                    })?,
            ));
        }
        above.pop();
        let place = |field: &Field| columns.iter().position(|column| column.name == field.name);
        read.sort_by_key(|(_, field)| place(field));
        let by_number = read
            .iter()
            .enumerate()
            .map(|(index, (number, _))| (*number, index));
        let by_number = by_number.collect();
        let is_missing = |column: &&Column| {
            column.mode == Mode::Required && !names.contains(&column.name.to_lowercase())
        };
        Ok(Plan {
            by_number,
            missing: columns
                .iter()
                .filter(is_missing)
                .map(|column| column.name.clone())
                .collect(),
            fields: read.into_iter().map(|(_, field)| field).collect(),
            partition: None,
        })
    }

    fn field(
        &self,
        scope: &str,
        field: &FieldDescriptorProto,
        column: &Column,
        above: &mut Vec<String>,
    ) -> Result<Field, Mismatch> {
        let is_repeated = field.label() == Label::Repeated;
        let path = format!("{scope}.{}", field.name());
        if field.label.is_none() || field.r#type.is_none() {
            return Err(Mismatch::Invalid(format!("{path} has no label or type")));
        }
        if is_repeated != (column.mode == Mode::Repeated) {
            let mode = column.mode.as_str_name();
            return Err(Mismatch::Invalid(format!(
                "Proto field {path} does not fit the mode {mode} of its column"
            )));
        }
        if !fits(field.r#type(), column.kind) {
            let (wire, kind) = (field.r#type().as_str_name(), column.kind.as_str_name());
            return Err(Mismatch::Invalid(format!(
                "Proto field {path} of {wire} cannot be stored as {kind}"
            )));
        }
        let inner = match field.r#type() {
            Wire::Message => {
                let name = self.resolve(field.type_name(), scope).ok_or_else(|| {
                    Mismatch::Invalid(format!("{path}: \"{}\" is not defined.", field.type_name()))
                })?;
                Some(self.plan(&name, &column.children, above)?)
            }
            _ => None,
        };
        Ok(Field {
            name: column.name.clone(),
            wire: field.r#type(),
            kind: column.kind,
            is_repeated,
            is_required: column.mode == Mode::Required,
            inner,
        })
    }

    /// The full name of a type, looked for from the inside out.
    fn resolve(&self, name: &str, scope: &str) -> Option<String> {
        if let Some(full) = name.strip_prefix('.') {
            return self.messages.contains_key(full).then(|| full.to_owned());
        }
        let mut scope = scope;
        loop {
            let full = match scope {
                "" => name.to_owned(),
                scope => format!("{scope}.{name}"),
            };
            if self.messages.contains_key(&full) {
                return Some(full);
            }
            if scope.is_empty() {
                return None;
            }
            scope = scope.rsplit_once('.').map_or("", |(outer, _)| outer);
        }
    }
}

/// Whether a column of this type takes a field of that one. The documentation's doubtful pairs are not taken.
fn fits(wire: Wire, kind: Type) -> bool {
    use Wire as W;
    match kind {
        Type::Bool => matches!(wire, W::Bool | W::Int32 | W::Int64 | W::Uint32 | W::Uint64),
        Type::Int64 => matches!(wire, W::Int64 | W::Int32 | W::Uint32),
        Type::Double => matches!(wire, W::Double | W::Float),
        Type::String | Type::Json | Type::Geography | Type::Interval => wire == W::String,
        Type::Bytes => matches!(wire, W::Bytes | W::String),
        Type::Timestamp => wire == W::Int64,
        Type::Date => matches!(wire, W::Int32 | W::Int64 | W::String),
        Type::Time | Type::Datetime | Type::Numeric | Type::Bignumeric => wire == W::String,
        Type::Struct => wire == W::Message,
        Type::Range | Type::Unspecified => false,
    }
}
