//! Which rows and descriptors are taken, and as what.

use bytes::{BufMut, BytesMut};
use prost_types::{EnumDescriptorProto, MessageOptions};
use real_streaming::schema::{
    Event, EventParam, Value as ParamValue, bigquery as product, json as as_json,
};

use super::*;

const MICROS_PER_DAY: i64 = 86_400_000_000;

/// Today in days since 1970-01-01.
fn today() -> i32 {
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
    i32::try_from(now.as_secs() / 86_400).unwrap()
}

#[tokio::test]
async fn rows_come_out_as_they_went_in() {
    let bigquery = bigquery().await;
    let full = Row {
        day: Some(20_778),
        at: Some(1_795_219_200_000_001),
        number: Some(i64::MIN),
        price: Some(-0.1),
        is_new: Some(false),
        document: Some(r#"{"a":[1,null]}"#.to_owned()),
        tags: vec!["São".to_owned(), String::new()],
        device: Some(Device::default()),
        ..row("full")
    };
    let zero = Row {
        number: Some(0),
        price: Some(f64::NAN),
        ..row("")
    };
    let request = first(
        DEFAULT,
        None,
        vec![full.encode_to_vec(), zero.encode_to_vec()],
    );
    assert_eq!(offset(append(&bigquery, DEFAULT, request).await), None);
    let expected = [
        json!({
            "id": "full", "day": "2026-11-21", "at": "2026-11-21T00:00:00.000001Z", "number": i64::MIN, "price": -0.1,
            "is_new": false, "document": "{\"a\":[1,null]}", "tags": ["São", ""], "device": {},
        }),
        json!({"id": "", "number": 0, "price": "NaN"}),
    ];
    assert_eq!(bigquery.rows(TABLE), expected);
}

#[tokio::test]
async fn the_events_of_the_collector_are_read_as_the_collector_prints_them() {
    let bigquery = BigQuery::start().await;
    bigquery.create_dataset("p", "d");
    bigquery.create_table("p.d.events", product::table());
    let event = Event {
        event_name: Some("purchase".to_owned()),
        event_timestamp: Some(0),
        date: Some(today()),
        synced_at_utc: Some(1_795_219_200_000_001),
        attributes: Some("{}".to_owned()),
        is_active_user: Some(false),
        event_params: vec![EventParam {
            key: Some("value".to_owned()),
            value: Some(ParamValue {
                double_value: Some(19.99),
                ..ParamValue::default()
            }),
        }],
        ..Event::default()
    };
    let encoded = event.encode_to_vec();
    let stream = "projects/p/datasets/d/tables/events/streams/_default";
    let request = with_descriptor(
        stream,
        None,
        vec![encoded.clone()],
        product::writer_descriptor(),
    );
    assert_eq!(offset(append(&bigquery, stream, request).await), None);
    let mut printed = Vec::new();
    as_json::write_row(&encoded, &mut printed).unwrap();
    let printed: Value = serde_json::from_slice(&printed).unwrap();
    assert_eq!(bigquery.rows("p.d.events"), [printed]);
    assert_eq!(bigquery.lost_fields(), 0);
}

/// A field with bytes in it, on the wire.
fn raw(number: u32, bytes: &[u8]) -> Vec<u8> {
    let mut out = BytesMut::new();
    out.put_slice(&row("raw").encode_to_vec());
    prost::encoding::encode_key(number, prost::encoding::WireType::LengthDelimited, &mut out);
    prost::encoding::encode_varint(bytes.len() as u64, &mut out);
    out.put_slice(bytes);
    out.to_vec()
}

#[tokio::test]
async fn rows_that_do_not_fit_are_named_and_nothing_is_written() {
    let bigquery = bigquery().await;
    let stream = create_stream(&bigquery).await;
    let year = 366;
    let document = |text: &str| Row {
        document: Some(text.to_owned()),
        ..row("document")
    };
    let day = |day: i32| Row {
        day: Some(day),
        ..row("day")
    };
    let at = |days: i64| Row {
        at: Some(days * MICROS_PER_DAY),
        ..row("at")
    };
    let cases = [
        (
            "a REQUIRED column is absent",
            Row::default().encode_to_vec(),
        ),
        ("it is no JSON", document("{").encode_to_vec()),
        ("it is no JSON", document("").encode_to_vec()),
        ("it is no message", vec![0xff, 0xff]),
        ("it is cut off", row("cut").encode_to_vec()[..3].to_vec()),
        ("text is not UTF-8", raw(1, &[0xff])),
        (
            "text inside a record is not UTF-8",
            raw(9, &[0x0a, 1, 0xff]),
        ),
        ("a number is sent as text", raw(4, b"7")),
        ("the year 10000", at(2_932_897).encode_to_vec()),
        ("before the year 1", at(-719_163).encode_to_vec()),
        (
            "no partition so old",
            day(today() - 11 * year).encode_to_vec(),
        ),
        (
            "no partition so late",
            day(today() + year + 2).encode_to_vec(),
        ),
    ];
    for (what, bad) in cases {
        let batch = vec![row("0").encode_to_vec(), bad, row("2").encode_to_vec()];
        let reply = append(&bigquery, &stream, first(&stream, Some(0), batch))
            .await
            .unwrap();
        let faults: Vec<_> = reply
            .row_errors
            .iter()
            .map(|fault| (fault.index, fault.code))
            .collect();
        assert_eq!(faults, [(1, 1)], "{what}");
        let (code, cause, _) = error(Ok(reply));
        assert_eq!(
            (code, cause),
            (Code::InvalidArgument, Cause::Unspecified),
            "{what}"
        );
        assert_eq!(bigquery.row_count(TABLE), 0, "{what}");
    }
    let good = [
        day(today() - 9 * year),
        day(today() + year - 2),
        document("0"),
        at(2_932_896),
        at(-719_162),
    ];
    let good = good.iter().map(prost::Message::encode_to_vec).collect();
    let reply = append(&bigquery, &stream, first(&stream, Some(0), good)).await;
    assert_eq!(offset(reply), Some(0));
    assert_eq!(bigquery.row_count(TABLE), 5);
}

#[tokio::test]
async fn fields_that_no_descriptor_names_are_lost_and_counted() {
    let bigquery = bigquery().await;
    let request = first(DEFAULT, None, vec![raw(77, b"gone")]);
    assert_eq!(offset(append(&bigquery, DEFAULT, request).await), None);
    assert_eq!(bigquery.rows(TABLE), [json!({"id": "raw"})]);
    assert_eq!(bigquery.lost_fields(), 1);
}

#[tokio::test]
async fn checks_can_be_sampled() {
    let bigquery = bigquery().await;
    bigquery.check_every(10);
    let mut batch = rows(0, 9);
    batch[3] = vec![0xff];
    let unchecked = append(&bigquery, DEFAULT, first(DEFAULT, None, batch.clone())).await;
    assert_eq!(offset(unchecked), None);
    // The tenth of all rows is the first of this request.
    batch[0] = vec![0xff];
    let checked = append(&bigquery, DEFAULT, first(DEFAULT, None, batch))
        .await
        .unwrap();
    assert_eq!(checked.row_errors.len(), 1);
    assert_eq!(bigquery.row_count(TABLE), 9);
}

#[tokio::test]
async fn a_field_without_a_column_is_a_mismatch() {
    let bigquery = bigquery().await;
    let mut flat = descriptor();
    flat.field.push(optional("extra", 10, Type::String));
    let mut nested = descriptor();
    nested.nested_type[0]
        .field
        .push(optional("extra", 2, Type::String));
    for (descriptor, named) in [(flat, "'extra'"), (nested, "'device.extra'")] {
        let request = with_descriptor(DEFAULT, None, rows(0, 1), descriptor);
        let (code, cause, message) = error(append(&bigquery, DEFAULT, request).await);
        assert_eq!(
            (code, cause),
            (Code::InvalidArgument, Cause::SchemaMismatchExtraFields)
        );
        assert!(message.contains(named), "{message}");
    }
    assert_eq!(bigquery.row_count(TABLE), 0);
}

/// The descriptor with something done to it.
fn changed(change: impl FnOnce(&mut DescriptorProto)) -> DescriptorProto {
    let mut descriptor = descriptor();
    change(&mut descriptor);
    descriptor
}

#[tokio::test]
async fn descriptors_must_stand_alone_and_fit() {
    let bigquery = bigquery().await;
    let retyped = |index: usize, kind: Type| {
        changed(|descriptor| descriptor.field[index].r#type = Some(kind.into()))
    };
    let cases = [
        (
            "its message is elsewhere",
            changed(|d| d.nested_type.clear()),
        ),
        (
            "a type of another file",
            changed(|d| d.field[8].type_name = Some(".other.Device".to_owned())),
        ),
        (
            "a message holds itself",
            changed(|d| {
                let inner = FieldDescriptorProto {
                    type_name: Some("Row".to_owned()),
                    ..optional("device", 9, Type::Message)
                };
                d.field[8] = inner;
            }),
        ),
        (
            "a map",
            changed(|d| {
                d.nested_type[0].options = Some(MessageOptions {
                    map_entry: Some(true),
                    ..MessageOptions::default()
                });
            }),
        ),
        (
            "presence of proto3",
            changed(|d| d.field[0].proto3_optional = Some(true)),
        ),
        (
            "an enumeration",
            changed(|d| {
                d.enum_type.push(EnumDescriptorProto {
                    name: Some("Kind".to_owned()),
                    ..EnumDescriptorProto::default()
                });
                d.field[0] = FieldDescriptorProto {
                    type_name: Some("Kind".to_owned()),
                    ..optional("id", 1, Type::Enum)
                };
            }),
        ),
        (
            "a column twice",
            changed(|d| d.field.push(optional("Id", 10, Type::String))),
        ),
        ("a number twice", changed(|d| d.field[0].number = Some(2))),
        ("no number", changed(|d| d.field[0].number = None)),
        ("no name", changed(|d| d.name = None)),
        (
            "a list for one value",
            changed(|d| d.field[0] = field("id", 1, Label::Repeated, Type::String)),
        ),
        (
            "one value for a list",
            changed(|d| d.field[7] = optional("tags", 8, Type::String)),
        ),
        ("text for a record", retyped(8, Type::String)),
        ("text for a number", retyped(3, Type::String)),
        ("a number for text", retyped(0, Type::Int64)),
        ("a number for JSON", retyped(6, Type::Int64)),
        ("uint64 for INTEGER", retyped(3, Type::Uint64)),
        ("a whole number for FLOAT", retyped(4, Type::Int64)),
        ("a double for DATE", retyped(1, Type::Double)),
        ("a double for TIMESTAMP", retyped(2, Type::Double)),
        ("text for BOOLEAN", retyped(5, Type::String)),
    ];
    for (what, descriptor) in cases {
        let request = with_descriptor(DEFAULT, None, rows(0, 1), descriptor);
        let (code, cause, _) = error(append(&bigquery, DEFAULT, request).await);
        assert_eq!(
            (code, cause),
            (Code::InvalidArgument, Cause::Unspecified),
            "{what}"
        );
    }
    let request = with_descriptor(DEFAULT, None, rows(0, 1), retyped(3, Type::Int32));
    assert_eq!(offset(append(&bigquery, DEFAULT, request).await), None);
    // Types may stand under their full name, and REQUIRED columns in no descriptor are missing in each row.
    let full = changed(|d| d.field[8].type_name = Some(".Row.Device".to_owned()));
    let request = with_descriptor(DEFAULT, None, rows(0, 1), full);
    assert_eq!(offset(append(&bigquery, DEFAULT, request).await), None);
    let without = changed(|d| drop(d.field.remove(0)));
    let reply = append(
        &bigquery,
        DEFAULT,
        with_descriptor(DEFAULT, None, rows(0, 1), without),
    )
    .await;
    assert_eq!(reply.unwrap().row_errors.len(), 1);
    assert_eq!(bigquery.row_count(TABLE), 2);
}
