//! What may be said of a table besides its columns: partitioning, clustering, description, labels
//! (<https://cloud.google.com/bigquery/docs/reference/rest/v2/tables>).

use serde_json::{Map, Value};

use super::refusal::Refusal;
use super::schema::Column;
use super::storage::table_field_schema::{Mode, Type};

/// Checks partitioning and clustering.
///
/// # Errors
/// The table cannot be laid out like that.
pub(super) fn check_layout(body: &Map<String, Value>, columns: &[Column]) -> Result<(), Refusal> {
    if let Some(partition) = body.get("timePartitioning") {
        let is_known = ["DAY", "HOUR", "MONTH", "YEAR"]
            .iter()
            .any(|kind| partition["type"] == *kind);
        if !is_known {
            return Err(Refusal::invalid("Invalid value for timePartitioning.type"));
        }
        let name = partition["field"].as_str();
        let column = name.and_then(|name| Column::find(columns, name));
        let fits = |column: &Column| {
            matches!(column.kind, Type::Date | Type::Timestamp | Type::Datetime)
                && column.mode != Mode::Repeated
        };
        if name.is_some() && !column.is_some_and(fits) {
            let message = "The field specified for partitioning cannot be found in the schema or has a wrong type";
            return Err(Refusal::invalid(message));
        }
    }
    if let Some(clustering) = body.get("clustering") {
        let names = clustering["fields"].as_array().cloned().unwrap_or_default();
        let fits = |name: &Value| {
            let column = Column::find(columns, name.as_str().unwrap_or_default());
            column.is_some_and(|column| {
                let is_unsorted = matches!(
                    column.kind,
                    Type::Struct | Type::Json | Type::Double | Type::Bytes | Type::Interval
                );
                column.mode != Mode::Repeated && !is_unsorted
            })
        };
        if names.is_empty() || names.len() > 4 || !names.iter().all(fits) {
            return Err(Refusal::invalid("Invalid value for clustering.fields"));
        }
    }
    Ok(())
}

/// Checks description and labels.
///
/// # Errors
/// They are none.
pub(super) fn check_texts(body: &Map<String, Value>) -> Result<(), Refusal> {
    let description = body.get("description").and_then(Value::as_str);
    if description.is_some_and(|text| text.len() > 16_384) {
        return Err(Refusal::invalid("The description is too long"));
    }
    let labels = body.get("labels").and_then(Value::as_object);
    for (key, value) in labels.into_iter().flatten() {
        let is_allowed = |c: char| c.is_lowercase() || c.is_ascii_digit() || c == '_' || c == '-';
        let value = value.as_str().unwrap_or("?");
        let is_valid = key.starts_with(char::is_lowercase)
            && [key.as_str(), value]
                .iter()
                .all(|text| text.chars().count() <= 63 && text.chars().all(is_allowed));
        if !is_valid {
            return Err(Refusal::invalid(format!("Invalid label \"{key}\"")));
        }
    }
    Ok(())
}
