//! The table of rows that a destination rejected: the columns of the events and one record more, `dead_letter`.
//!
//! A row is the encoded event with that record behind it; one that is refused even here has the record alone, in which the
//! event stands as it stood in the log. A row of the kind `replayed` marks the one with the same key. The table has neither
//! partitions nor clusters: a day that is out of range is a reason to be rejected.

use prost::Message;
use prost_reflect::prost_types::field_descriptor_proto::{Label, Type};
use prost_reflect::prost_types::{DescriptorProto, FieldDescriptorProto};
use serde_json::{Value, json};

/// Number of the record among the event's columns, beyond all that these may ever have.
const NUMBER: u16 = 10_000;

const NAME: &str = "dead_letter";

/// The record `dead_letter`.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct DeadLetter {
    /// `event` or `document`: what the record is; `replayed`: the row with this key was replayed.
    #[prost(string, optional, tag = "1")]
    pub kind: Option<String>,
    /// Who rejected the row.
    #[prost(string, optional, tag = "2")]
    pub destination: Option<String>,
    /// The log in which it was rejected.
    #[prost(string, optional, tag = "3")]
    pub log_id: Option<String>,
    /// Its number there.
    #[prost(int64, optional, tag = "4")]
    pub sequence: Option<i64>,
    /// When, in microseconds since 1970 in UTC.
    #[prost(int64, optional, tag = "5")]
    pub rejected_at: Option<i64>,
    /// Why.
    #[prost(string, optional, tag = "6")]
    pub reason: Option<String>,
    /// The encoded row as it stood in the log.
    #[prost(bytes = "bytes", optional, tag = "7")]
    pub record: Option<bytes::Bytes>,
}

/// Its columns, by number from 1: name, type in a message, type in the table, what it holds.
const COLUMNS: [(&str, Type, &str, &str); 7] = [
    (
        "kind",
        Type::String,
        "STRING",
        "event or document: what the record is; replayed: the row with the same log_id, sequence and destination was replayed",
    ),
    (
        "destination",
        Type::String,
        "STRING",
        "Who rejected the row",
    ),
    (
        "log_id",
        Type::String,
        "STRING",
        "The log in which it was rejected",
    ),
    ("sequence", Type::Int64, "INTEGER", "Its number in that log"),
    (
        "rejected_at",
        Type::Int64,
        "TIMESTAMP",
        "When it was rejected, or replayed",
    ),
    ("reason", Type::String, "STRING", "Why it was rejected"),
    (
        "record",
        Type::Bytes,
        "BYTES",
        "The encoded row as it stood in the log, from which it is replayed",
    ),
];

impl DeadLetter {
    /// The encoded row, behind the columns of an encoded event if there is one.
    pub fn encode_behind(&self, event: Option<&[u8]>) -> Vec<u8> {
        let mut row = event.map(<[u8]>::to_vec).unwrap_or_default();
        prost::encoding::message::encode(NUMBER.into(), self, &mut row);
        row
    }
}

/// The table, for `tables.insert`.
pub fn table() -> Value {
    let columns = COLUMNS.iter().map(|(name, _, kind, description)| {
        json!({"name": name, "type": kind, "mode": "NULLABLE", "description": description})
    });
    let record = json!({
        "name": NAME, "type": "RECORD", "mode": "NULLABLE", "fields": columns.collect::<Vec<_>>(),
        "description": "Why the row is here instead of where it was to go",
    });
    let mut fields = super::table()["schema"]["fields"].take();
    if let Some(fields) = fields.as_array_mut() {
        fields.push(record);
    }
    json!({
        "schema": {"fields": fields},
        "description": "Rows that a destination of Real Streaming rejected",
    })
}

/// The descriptor of its rows.
pub fn writer_descriptor() -> DescriptorProto {
    let field = |name: &str, number: i32, kind: Type| FieldDescriptorProto {
        name: Some(name.to_owned()),
        number: Some(number),
        label: Some(Label::Optional.into()),
        r#type: Some(kind.into()),
        ..FieldDescriptorProto::default()
    };
    let columns = (1..).zip(COLUMNS);
    let record = DescriptorProto {
        name: Some("DeadLetter".to_owned()),
        field: columns
            .map(|(number, (name, kind, _, _))| field(name, number, kind))
            .collect(),
        ..DescriptorProto::default()
    };
    let mut row = super::writer_descriptor();
    row.field.push(FieldDescriptorProto {
        type_name: record.name.clone(),
        ..field(NAME, NUMBER.into(), Type::Message)
    });
    row.nested_type.push(record);
    row
}

/// A view of a table, given as `project.dataset.table`, that shows what was not replayed, once.
pub fn view(table: &str) -> String {
    format!(
        "CREATE OR REPLACE VIEW `{table}_waiting` AS\n\
         SELECT * FROM `{table}`\n\
         WHERE TRUE\n\
         QUALIFY COUNTIF(dead_letter.kind = 'replayed') OVER same_row = 0\n  \
         AND ROW_NUMBER() OVER (same_row ORDER BY dead_letter.rejected_at) = 1\n\
         WINDOW same_row AS (PARTITION BY dead_letter.destination, dead_letter.log_id, dead_letter.sequence);\n"
    )
}

#[cfg(test)]
mod tests {
    use prost_reflect::{DescriptorPool, DynamicMessage, Value};

    use super::*;

    #[test]
    fn rows_are_read_by_the_descriptor_under_the_names_of_the_table() {
        let letter = DeadLetter {
            kind: Some("event".to_owned()),
            sequence: Some(7),
            record: Some(bytes::Bytes::from_static(b"x")),
            ..DeadLetter::default()
        };
        let file = prost_reflect::prost_types::FileDescriptorProto {
            name: Some("row.proto".to_owned()),
            syntax: Some("proto2".to_owned()),
            message_type: vec![writer_descriptor()],
            ..Default::default()
        };
        let mut pool = DescriptorPool::new();
        pool.add_file_descriptor_proto(file).unwrap();
        let message = pool.get_message_by_name("Event").unwrap();
        let event = crate::schema::Event {
            event_id: Some("a".to_owned()),
            ..Default::default()
        };
        let encoded = letter.encode_behind(Some(&event.encode_to_vec()));
        let row = DynamicMessage::decode(message, encoded.as_slice()).unwrap();
        let text = |message: &DynamicMessage, name: &str| {
            let value = message.get_field_by_name(name).unwrap();
            value.as_str().unwrap_or_default().to_owned()
        };
        assert_eq!(text(&row, "event_id"), "a");
        let inner = row.get_field_by_name(NAME).unwrap();
        let inner = inner.as_message().unwrap();
        assert_eq!(text(inner, "kind"), "event");
        assert_eq!(*inner.get_field_by_name("sequence").unwrap(), Value::I64(7));
        let record = inner.get_field_by_name("record").unwrap();
        assert_eq!(record.as_bytes().unwrap().as_ref(), b"x");
        let table = table();
        let last = table["schema"]["fields"]
            .as_array()
            .unwrap()
            .last()
            .unwrap();
        let names = last["fields"].as_array().unwrap().iter();
        let names: Vec<_> = names.map(|field| field["name"].as_str().unwrap()).collect();
        let declared: Vec<_> = COLUMNS.iter().map(|column| column.0).collect();
        assert_eq!(names, declared);
    }
}
