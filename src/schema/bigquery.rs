//! The table of events as BigQuery's `tables.insert` wants it
//! (<https://cloud.google.com/bigquery/docs/reference/rest/v2/tables>).

use serde_json::{Value, json};

use super::descriptor::{Column, ColumnKind, events};

/// Schema, partitioning and clustering of the table.
pub fn table() -> Value {
    let table = events();
    json!({
        "schema": {"fields": table.columns.iter().map(field).collect::<Vec<_>>()},
        "timePartitioning": {"type": "DAY", "field": table.partition_by},
        "clustering": {"fields": table.cluster_by},
    })
}

fn field(column: &Column) -> Value {
    let kind = match column.kind {
        ColumnKind::String => "STRING",
        ColumnKind::Int64 => "INTEGER",
        ColumnKind::Double => "FLOAT",
        ColumnKind::Bool => "BOOLEAN",
        ColumnKind::Date => "DATE",
        ColumnKind::Timestamp => "TIMESTAMP",
        ColumnKind::Json => "JSON",
        ColumnKind::Record => "RECORD",
    };
    let mode = if column.is_repeated {
        "REPEATED"
    } else {
        "NULLABLE"
    };
    let mut field =
        json!({"name": column.name, "type": kind, "mode": mode, "description": column.description});
    if column.kind == ColumnKind::Record {
        field["fields"] = column.children.iter().map(self::field).collect();
    }
    field
}
