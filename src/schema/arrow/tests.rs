//! Holds the rows built from wire bytes against what prost decodes from the same bytes, for every column.

use arrow_array::cast::AsArray;
use arrow_array::types::{Date32Type, Float64Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, ArrayRef, StructArray};
use prost::Message;
use prost_reflect::{DynamicMessage, Kind, MessageDescriptor, ReflectMessage, Value as Wire};

use super::*;
use crate::schema::random::{SEEDS, event_descriptor, random_event};
use crate::schema::{Device, Event, EventParam, Value as ParamValue};

/// What prost makes of the bytes, as a message whose fields can be asked for by name.
fn decoded(encoded: &[u8]) -> DynamicMessage {
    let event = Event::decode(encoded).unwrap();
    DynamicMessage::decode(event_descriptor(), event.encode_to_vec().as_slice()).unwrap()
}

fn assert_record(path: &str, message: &DynamicMessage, record: &StructArray, row: usize) {
    let descriptor: MessageDescriptor = message.descriptor();
    assert_eq!(descriptor.fields().len(), record.num_columns(), "{path}");
    for field in descriptor.fields() {
        let path = format!("{path}.{}", field.name());
        let array = record.column_by_name(field.name()).unwrap();
        let value = message.get_field(&field);
        if field.is_list() {
            let expected = value.as_list().unwrap();
            assert!(!array.is_null(row), "{path}: an absent list is empty");
            let list = array.as_list::<i32>().value(row);
            assert_eq!(list.len(), expected.len(), "{path}");
            for (index, value) in expected.iter().enumerate() {
                assert_value(&path, value, &field.kind(), &list, index);
            }
        } else if message.has_field(&field) {
            assert!(!array.is_null(row), "{path} is there");
            assert_value(&path, &value, &field.kind(), array, row);
        } else {
            assert!(array.is_null(row), "{path} is absent");
        }
    }
}

fn assert_value(path: &str, expected: &Wire, kind: &Kind, array: &ArrayRef, row: usize) {
    match (expected, kind) {
        (Wire::Message(message), _) => assert_record(path, message, array.as_struct(), row),
        (Wire::String(text), _) => assert_eq!(array.as_string::<i32>().value(row), text, "{path}"),
        (Wire::Bool(truth), _) => assert_eq!(array.as_boolean().value(row), *truth, "{path}"),
        (Wire::I32(days), _) => assert_eq!(
            array.as_primitive::<Date32Type>().value(row),
            *days,
            "{path}"
        ),
        (Wire::F64(number), _) => {
            assert_eq!(
                array.as_primitive::<Float64Type>().value(row).to_bits(),
                number.to_bits(),
                "{path}"
            );
        }
        (Wire::I64(number), _) => {
            let built = match array.data_type() {
                DataType::Timestamp(TimeUnit::Microsecond, Some(zone)) if &**zone == "UTC" => {
                    array.as_primitive::<TimestampMicrosecondType>().value(row)
                }
                _ => array.as_primitive::<Int64Type>().value(row),
            };
            assert_eq!(built, *number, "{path}");
        }
        other => panic!("{path}: {other:?}"),
    }
}

fn batch_of(rows: &[Vec<u8>]) -> RecordBatch {
    let mut builder = RowsBuilder::new();
    for row in rows {
        builder.push(row).unwrap();
    }
    assert_eq!(builder.len(), rows.len());
    builder.finish().unwrap()
}

fn assert_rows(batch: RecordBatch, rows: &[Vec<u8>]) {
    assert_eq!(batch.schema(), schema());
    assert_eq!(batch.num_rows(), rows.len());
    let record = StructArray::from(batch);
    for (index, row) in rows.iter().enumerate() {
        assert_record("", &decoded(row), &record, index);
    }
}

#[test]
fn rows_hold_what_prost_decodes() {
    let mut builder = RowsBuilder::new();
    for seed in 0..SEEDS {
        let mut random = fastrand::Rng::with_seed(seed);
        let rows: Vec<Vec<u8>> = (0..random.usize(0..20))
            .map(|_| random_event(&mut random))
            .collect();
        for row in &rows {
            builder.push(row).unwrap();
        }
        // The same builder again: nothing of the batch before is left in it.
        assert_rows(builder.finish().unwrap(), &rows);
        assert!(builder.is_empty());
    }
}

#[test]
fn what_prost_cannot_read_is_refused_and_leaves_nothing() {
    let (mut refused, mut taken) = (0, 0);
    for seed in 0..SEEDS {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut builder = RowsBuilder::new();
        let mut rows = Vec::new();
        for _ in 0..10 {
            let mut row = random_event(&mut random);
            match random.u8(0..3) {
                0 if !row.is_empty() => row.truncate(random.usize(0..row.len())),
                1 if !row.is_empty() => {
                    let at = random.usize(0..row.len());
                    row[at] ^= 1 << random.u8(0..8);
                }
                _ => {}
            }
            if builder.push(&row).is_ok() {
                rows.push(row);
                taken += 1;
            } else {
                refused += 1;
            }
            assert_eq!(builder.len(), rows.len());
        }
        // Panics if prost cannot decode one that was taken.
        assert_rows(builder.finish().unwrap(), &rows);
    }
    assert!(
        refused > 100 && taken > 100,
        "{refused} refused, {taken} taken"
    );
}

#[test]
fn zero_is_a_value_and_an_empty_record_is_there() {
    let zeroes = Event {
        event_name: Some(String::new()),
        event_timestamp: Some(0),
        event_value_in_usd: Some(0.0),
        is_active_user: Some(false),
        date: Some(0),
        device: Some(Box::default()),
        ..Event::default()
    };
    let filled = Event {
        device: Some(Box::new(Device {
            language: Some("de".to_owned()),
            ..Device::default()
        })),
        ..zeroes.clone()
    };
    let batch = batch_of(&[Vec::new(), zeroes.encode_to_vec(), filled.encode_to_vec()]);
    for name in [
        "event_name",
        "event_timestamp",
        "event_value_in_usd",
        "is_active_user",
        "date",
        "device",
    ] {
        let column = batch.column_by_name(name).unwrap();
        let nulls: Vec<bool> = (0..3).map(|row| column.is_null(row)).collect();
        assert_eq!(nulls, [true, false, false], "{name}");
    }
    let device = batch.column_by_name("device").unwrap().as_struct();
    let language = device
        .column_by_name("language")
        .unwrap()
        .as_string::<i32>();
    assert_eq!(
        language.iter().collect::<Vec<_>>(),
        [None, None, Some("de")]
    );
}

#[test]
fn a_list_may_come_in_parts() {
    let part = |key: &str| {
        let value = Some(ParamValue {
            int_value: Some(-1),
            ..ParamValue::default()
        });
        Event {
            event_params: vec![EventParam {
                key: Some(key.to_owned()),
                value,
            }],
            ..Event::default()
        }
        .encode_to_vec()
    };
    let between = Event {
        event_name: Some("x".to_owned()),
        ..Event::default()
    }
    .encode_to_vec();
    let row = [part("a"), between, part("b")].concat();
    assert_rows(
        batch_of(&[row.clone(), Vec::new(), row.clone()]),
        &[row.clone(), Vec::new(), row],
    );
}

#[test]
fn each_malformed_row_is_refused() {
    let mut builder = RowsBuilder::new();
    let good = Event {
        event_name: Some("good".to_owned()),
        event_params: vec![EventParam::default()],
        ..Event::default()
    }
    .encode_to_vec();
    builder.push(&good).unwrap();
    let cases: [(&str, &[u8]); 15] = [
        ("tag without value", &[0x1a]),
        ("text longer than the row", &[0x1a, 5, b'a']),
        (
            "length beyond all memory",
            &[
                0x1a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01,
            ],
        ),
        ("double of four bytes", &[0x31, 0, 0, 0, 0]),
        ("number without end", &[0x10, 0x80]),
        (
            "number of eleven bytes",
            &[
                0x10, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01,
            ],
        ),
        (
            "number of 65 bits",
            &[
                0x10, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02,
            ],
        ),
        ("not UTF-8", &[0x1a, 2, 0xc3, 0x28]),
        ("number for text", &[0x18, 1]),
        ("text for number", &[0x12, 1, b'1']),
        ("a group", &[0x1b, 0x1c]),
        ("field 42", &[0xd0, 0x02, 1]),
        ("field 0", &[0x00, 1]),
        ("unknown field far inside", &[0x22, 5, 0x12, 3, 0x28, 1, 0]),
        (
            "a day of more than 32 bits",
            &[0x80, 0x02, 0x80, 0x80, 0x80, 0x80, 0x10],
        ),
    ];
    for (name, bad) in cases {
        // After a part that could be read, of which nothing may remain.
        let row = [good.as_slice(), bad].concat();
        assert!(builder.push(bad).is_err(), "{name}");
        assert!(builder.push(&row).is_err(), "{name}, after a good part");
        assert_eq!(builder.len(), 1);
    }
    builder.push(&good).unwrap();
    assert_rows(builder.finish().unwrap(), &[good.clone(), good]);
}

#[test]
fn the_schema_follows_the_conventions_of_delta() {
    let schema = schema();
    let items = schema.field_with_name("items").unwrap();
    let DataType::List(element) = items.data_type() else {
        panic!("{items:?}")
    };
    assert_eq!(
        (element.name().as_str(), element.is_nullable()),
        ("element", true)
    );
    assert_eq!(
        schema.field_with_name("date").unwrap().data_type(),
        &DataType::Date32
    );
    let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    assert_eq!(
        schema
            .field_with_name("synced_at_utc_")
            .unwrap()
            .data_type(),
        &time
    );
    assert!(schema.fields().iter().all(|field| field.is_nullable()));
}
