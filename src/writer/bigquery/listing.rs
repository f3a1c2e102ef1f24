//! The rows of a table as `tabledata.list` tells them (<https://cloud.google.com/bigquery/docs/reference/rest/v2/tabledata/list>).
//!
//! Rows come as cells without names, in the order of the table's columns; here they are objects by name. Every value is
//! text or null, times are microseconds since 1970. No job is run, so no right to run jobs is needed.

use form_urlencoded::Serializer;
use serde_json::{Map, Value};

use crate::writer::WriteError;

use super::TableName;
use super::tables::Tables;

/// Rows told at once.
const PAGE_ROWS: &str = "1000";

/// Some rows of a table.
#[derive(Debug, Default)]
pub struct Listing {
    /// An object each, by column.
    pub rows: Vec<Value>,
    /// From where the next ones are told; `None` if there are no more.
    pub next: Option<String>,
}

impl Tables {
    /// Some rows, of these columns only.
    pub(super) async fn list(
        &self,
        table: &TableName,
        columns: &[&str],
        from: Option<&str>,
    ) -> Result<Listing, WriteError> {
        let schema = self.get(table).await?;
        let fields = selected(&schema["schema"]["fields"], columns);
        let told = self.get_below(table, &asked(columns, from)).await?;
        let rows = told["rows"].as_array();
        Ok(Listing {
            rows: rows
                .into_iter()
                .flatten()
                .map(|row| object(&fields, row))
                .collect(),
            next: told["pageToken"].as_str().map(str::to_owned),
        })
    }
}

/// What is asked for below the table.
fn asked(columns: &[&str], from: Option<&str>) -> String {
    let mut query = Serializer::new(String::new());
    query
        .append_pair("maxResults", PAGE_ROWS)
        .append_pair("selectedFields", &columns.join(","))
        .append_pair("formatOptions.useInt64Timestamp", "true");
    if let Some(from) = from {
        query.append_pair("pageToken", from);
    }
    format!("data?{}", query.finish())
}

/// The fields that were asked for, in the order of the table.
fn selected(fields: &Value, columns: &[&str]) -> Vec<Value> {
    let mut found = Vec::new();
    for field in fields.as_array().into_iter().flatten() {
        let name = field["name"].as_str().unwrap_or_default();
        if columns
            .iter()
            .any(|wanted| wanted.eq_ignore_ascii_case(name))
        {
            found.push(field.clone());
            continue;
        }
        let below: Vec<&str> = columns
            .iter()
            .filter_map(|wanted| wanted.split_once('.'))
            .filter_map(|(above, below)| above.eq_ignore_ascii_case(name).then_some(below))
            .collect();
        if !below.is_empty() {
            let mut field = field.clone();
            field["fields"] = selected(&field["fields"], &below).into();
            found.push(field);
        }
    }
    found
}

fn object(fields: &[Value], row: &Value) -> Value {
    let cells = row["f"].as_array().into_iter().flatten();
    let named = fields.iter().zip(cells).map(|(field, cell)| {
        let name = field["name"].as_str().unwrap_or_default();
        (name.to_owned(), value(field, &cell["v"]))
    });
    Value::Object(named.collect::<Map<_, _>>())
}

fn value(field: &Value, told: &Value) -> Value {
    let one = |told: &Value| match field["fields"].as_array() {
        Some(fields) if told.is_object() => object(fields, told),
        _ => told.clone(),
    };
    match told.as_array() {
        Some(list) if field["mode"] == "REPEATED" => {
            list.iter().map(|cell| one(&cell["v"])).collect()
        }
        _ => one(told),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn cells_get_the_names_of_the_columns_that_were_asked_for() {
        let fields = json!([
            {"name": "a", "type": "STRING"},
            {"name": "r", "type": "RECORD", "fields": [{"name": "x", "type": "STRING"}, {"name": "y", "type": "INTEGER"}]},
            {"name": "l", "type": "RECORD", "mode": "REPEATED", "fields": [{"name": "z", "type": "STRING"}]},
        ]);
        let fields = selected(&fields, &["l", "r.y"]);
        let row = json!({"f": [
            {"v": {"f": [{"v": "7"}]}},
            {"v": [{"v": {"f": [{"v": "one"}]}}, {"v": {"f": [{"v": null}]}}]},
        ]});
        assert_eq!(
            object(&fields, &row),
            json!({"r": {"y": "7"}, "l": [{"z": "one"}, {"z": null}]})
        );
    }
}
