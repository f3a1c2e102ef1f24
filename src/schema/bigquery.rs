//! The tables of events and of the ledger as BigQuery wants them: for `tables.insert`
//! (<https://cloud.google.com/bigquery/docs/reference/rest/v2/tables>), and as the one self-contained descriptor by
//! which the Storage Write API reads encoded rows
//! (<https://cloud.google.com/bigquery/docs/supported-data-types>).

use std::collections::BTreeMap;

use prost_reflect::prost_types::field_descriptor_proto::Label;
use prost_reflect::prost_types::{DescriptorProto, FieldDescriptorProto};
use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};
use serde_json::{Value, json};

pub mod dead_letter;
mod united;

pub use united::{OURS_BESIDE, OldColumn, united_view};

use super::descriptor::{Column, ColumnKind, Table, events, ledger, pool};

/// Schema, partitioning and clustering of the table of all days.
pub fn table() -> Value {
    partitioned(events())
}

/// The same of the table of the ledger's rows.
pub fn ledger_table() -> Value {
    partitioned(ledger())
}

/// Schema and clustering of a table that holds one day.
pub fn day_table() -> Value {
    table_of(events())
}

fn partitioned(table: &Table) -> Value {
    let mut body = table_of(table);
    body["timePartitioning"] = json!({"type": "DAY", "field": table.partition_by});
    body
}

fn table_of(table: &Table) -> Value {
    json!({
        "schema": {"fields": table.columns.iter().map(field).collect::<Vec<_>>()},
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

/// A view of a table, given as `project.dataset.table`, that shows a row once that was written more than once.
pub fn view(table: &str) -> String {
    format!(
        "CREATE OR REPLACE VIEW `{table}_once` AS\n\
         SELECT * FROM `{table}`\n\
         WHERE TRUE\n\
         QUALIFY ROW_NUMBER() OVER (\n  \
         PARTITION BY {}, stream_id, event_name, event_id ORDER BY synced_at_micros_\n\
         ) = 1;\n",
        events().partition_by
    )
}

/// The descriptor of an encoded [`Event`](super::Event): every message that it uses stands inside it under its own name.
///
/// It is read by the rules of proto2, where a field that was set to 0 or "" is set. Events carry such fields, as each of
/// theirs has presence, so nothing is said of synthetic oneofs.
pub fn writer_descriptor() -> DescriptorProto {
    descriptor_of(events())
}

/// The descriptor of an encoded [`LedgerRow`](super::LedgerRow).
pub fn ledger_descriptor() -> DescriptorProto {
    descriptor_of(ledger())
}

#[expect(
    clippy::expect_used,
    reason = "the names are compiled in and a test asks for them"
)]
fn descriptor_of(table: &Table) -> DescriptorProto {
    let row = pool()
        .get_message_by_name(table.message)
        .expect("the row is in the descriptor");
    let mut nested = BTreeMap::new();
    nest(&row, &mut nested);
    DescriptorProto {
        nested_type: nested.into_values().collect(),
        ..flat(&row)
    }
}

/// The messages below a message, by name.
fn nest(message: &MessageDescriptor, nested: &mut BTreeMap<String, DescriptorProto>) {
    for field in message.fields() {
        if let Kind::Message(inner) = field.kind()
            && !nested.contains_key(inner.name())
        {
            nested.insert(inner.name().to_owned(), flat(&inner));
            nest(&inner, nested);
        }
    }
}

/// A message without those that it uses.
fn flat(message: &MessageDescriptor) -> DescriptorProto {
    DescriptorProto {
        name: Some(message.name().to_owned()),
        field: message.fields().map(|field| writer_field(&field)).collect(),
        ..DescriptorProto::default()
    }
}

fn writer_field(field: &FieldDescriptor) -> FieldDescriptorProto {
    let declared = field.field_descriptor_proto();
    let label = if field.is_list() {
        Label::Repeated
    } else {
        Label::Optional
    };
    let type_name = match field.kind() {
        Kind::Message(message) => Some(message.name().to_owned()),
        _ => None,
    };
    FieldDescriptorProto {
        name: declared.name.clone(),
        number: declared.number,
        label: Some(label.into()),
        r#type: declared.r#type,
        type_name,
        ..FieldDescriptorProto::default()
    }
}
