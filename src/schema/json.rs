//! An encoded event as one JSON object: names of the columns, absent ones left out.
//!
//! Whole numbers and doubles as numbers (shortest form that reads back the same), DATE as "2026-11-21",
//! TIMESTAMP as RFC 3339 in UTC with microseconds, JSON columns as text. The columns come in the
//! table's order, whatever the order of the bytes. Doubles that JSON has no number for are the texts
//! "NaN", "Infinity" and "-Infinity" (<https://protobuf.dev/programming-guides/json/>).

use std::io::Write as _;

use jiff::Span;
use jiff::civil::{Date, date};

use super::descriptor::{Column, ColumnKind, events};
use super::wire::{self, Fields, MICROS_PER_DAY, RowError, Value};

mod read;

pub use read::{Unreadable, read_row};

/// How 64-bit integers are spelled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Integers {
    /// As JSON numbers.
    #[default]
    Numbers,
    /// As text, for readers whose numbers are doubles.
    Texts,
}

/// How a row is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Style {
    /// How 64-bit integers are spelled.
    pub integers: Integers,
    /// Columns of the row that are left out.
    pub leave_out: &'static [&'static str],
}

/// Appends an encoded [`Event`](super::Event) to `out` as a JSON object.
///
/// # Errors
/// The record cannot be read; then `out` is as it was.
pub fn write_row(encoded: &[u8], out: &mut Vec<u8>) -> Result<(), RowError> {
    write_row_as(encoded, Style::default(), out)
}

/// Appends an encoded [`Event`](super::Event) to `out` as a JSON object in this style.
///
/// # Errors
/// The record cannot be read; then `out` is as it was.
pub fn write_row_as(encoded: &[u8], style: Style, out: &mut Vec<u8>) -> Result<(), RowError> {
    let columns = &events().columns;
    wire::check(columns, encoded)?;
    let begun = out.len();
    write_record(columns, encoded, style, out).inspect_err(|_| out.truncate(begun))
}

fn write_record(
    columns: &[Column],
    message: &[u8],
    style: Style,
    out: &mut Vec<u8>,
) -> Result<(), RowError> {
    // Encoders may mix other fields between the elements of a list.
    let mut fields = Fields::new(columns, message).collect::<Result<Vec<_>, _>>()?;
    fields.sort_by_key(|(index, _)| *index);
    let inner = Style {
        leave_out: &[],
        ..style
    };
    out.push(b'{');
    let mut open_list = None;
    let mut is_first = true;
    for (index, value) in fields {
        let column = &columns[index];
        if style.leave_out.contains(&column.name.as_str()) {
            continue;
        }
        if open_list == Some(index) {
            out.push(b',');
        } else {
            if open_list.take().is_some() {
                out.push(b']');
            }
            if !is_first {
                out.push(b',');
            }
            is_first = false;
            write_text(&column.name, out)?;
            out.push(b':');
            if column.is_repeated {
                out.push(b'[');
                open_list = Some(index);
            }
        }
        write_value(column, value, inner, out)?;
    }
    if open_list.is_some() {
        out.push(b']');
    }
    out.push(b'}');
    Ok(())
}

fn write_value(
    column: &Column,
    value: Value<'_>,
    style: Style,
    out: &mut Vec<u8>,
) -> Result<(), RowError> {
    match value {
        Value::Record(message) => return write_record(&column.children, message, style, out),
        Value::Text(text) => return write_text(text, out),
        Value::Bool(value) => out.extend_from_slice(if value { b"true" } else { b"false" }),
        Value::Double(value) => return write_double(value, out),
        Value::Int(value) => return write_int(column.kind, value, style.integers, out),
    }
    Ok(())
}

fn write_int(
    kind: ColumnKind,
    value: i64,
    integers: Integers,
    out: &mut Vec<u8>,
) -> Result<(), RowError> {
    let written = match kind {
        ColumnKind::Date => write!(out, "\"{}\"", day(value)?),
        ColumnKind::Timestamp => {
            let day = day(value.div_euclid(MICROS_PER_DAY))?;
            let micros = value.rem_euclid(MICROS_PER_DAY);
            let (seconds, micros) = (micros / 1_000_000, micros % 1_000_000);
            let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
            write!(
                out,
                "\"{day}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z\""
            )
        }
        _ if integers == Integers::Texts => write!(out, "\"{value}\""),
        _ => write!(out, "{value}"),
    };
    written.map_err(|_| RowError("it cannot be written"))
}

fn day(days_since_1970: i64) -> Result<Date, RowError> {
    let days = Span::new().try_days(days_since_1970);
    let day = days.and_then(|days| date(1970, 1, 1).checked_add(days));
    day.map_err(|_| RowError("a day is out of range"))
}

fn write_double(value: f64, out: &mut Vec<u8>) -> Result<(), RowError> {
    let written = match value {
        value if value.is_nan() => serde_json::to_writer(out, "NaN"),
        f64::INFINITY => serde_json::to_writer(out, "Infinity"),
        f64::NEG_INFINITY => serde_json::to_writer(out, "-Infinity"),
        value => serde_json::to_writer(out, &value),
    };
    written.map_err(|_| RowError("a number cannot be written"))
}

fn write_text(text: &str, out: &mut Vec<u8>) -> Result<(), RowError> {
    serde_json::to_writer(out, text).map_err(|_| RowError("a text cannot be written"))
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;
    use crate::schema::random::{SEEDS, event_descriptor, random_event};
    use crate::schema::{Collector, Event, EventParam, Value as ParamValue};

    #[test]
    fn a_row_is_written_as_it_is() {
        let param = |key: &str, value: ParamValue| EventParam {
            key: Some(key.to_owned()),
            value: Some(value),
        };
        let event = Event {
            event_name: Some("a\"\n".to_owned()),
            event_timestamp: Some(i64::MAX),
            event_params: vec![
                param(
                    "p",
                    ParamValue {
                        double_value: Some(19.99),
                        ..ParamValue::default()
                    },
                ),
                param(
                    "q",
                    ParamValue {
                        double_value: Some(5.0),
                        int_value: Some(0),
                        ..ParamValue::default()
                    },
                ),
                param("empty", ParamValue::default()),
            ],
            date: Some(20_778),
            synced_at_utc: Some(1_795_219_200_000_001),
            is_active_user: Some(false),
            collector: Some(Box::new(Collector {
                warnings: vec!["one".to_owned(), "two".to_owned()],
                ..Collector::default()
            })),
            ..Event::default()
        };
        let mut text = Vec::new();
        write_row(&event.encode_to_vec(), &mut text).unwrap();
        let expected = concat!(
            r#"{"event_timestamp":9223372036854775807,"event_name":"a\"\n","event_params":["#,
            r#"{"key":"p","value":{"double_value":19.99}},{"key":"q","value":{"int_value":0,"double_value":5.0}},"#,
            r#"{"key":"empty","value":{}}],"is_active_user":false,"date":"2026-11-21","#,
            r#""synced_at_utc_":"2026-11-21T00:00:00.000001Z","collector":{"warnings":["one","two"]}}"#,
        );
        assert_eq!(String::from_utf8(text).unwrap(), expected);
    }

    #[test]
    fn integers_may_be_texts_and_columns_left_out() {
        let event = Event {
            event_timestamp: Some(i64::MIN),
            event_params: vec![EventParam {
                key: Some("message_id".to_owned()),
                value: Some(ParamValue {
                    int_value: Some(0),
                    double_value: Some(0.5),
                    ..ParamValue::default()
                }),
            }],
            date: Some(0),
            message_id: Some("7".to_owned()),
            publish_time: Some(0),
            ..Event::default()
        };
        let style = Style {
            integers: Integers::Texts,
            leave_out: &["message_id", "publish_time", "key"],
        };
        let mut text = Vec::new();
        write_row_as(&event.encode_to_vec(), style, &mut text).unwrap();
        let expected = concat!(
            r#"{"event_timestamp":"-9223372036854775808","event_params":[{"key":"message_id","#,
            r#""value":{"int_value":"0","double_value":0.5}}],"date":"1970-01-01"}"#,
        );
        assert_eq!(String::from_utf8(text).unwrap(), expected);
    }

    fn written(encoded: &[u8]) -> serde_json::Value {
        let mut text = Vec::new();
        write_row(encoded, &mut text).unwrap();
        serde_json::from_slice(&text).unwrap()
    }

    #[test]
    fn a_row_has_what_prost_decodes() {
        for seed in 0..SEEDS {
            let encoded = random_event(&mut fastrand::Rng::with_seed(seed));
            let event = Event::decode(encoded.as_slice()).unwrap();
            let row = written(&encoded);
            assert_eq!(
                row.get("event_name"),
                event.event_name.map(Into::into).as_ref()
            );
            assert_eq!(
                row.get("event_timestamp"),
                event.event_timestamp.map(Into::into).as_ref()
            );
            let keys = |row: &serde_json::Value| -> Vec<Option<String>> {
                let list = row["event_params"].as_array().cloned().unwrap_or_default();
                list.iter()
                    .map(|param| Some(param.get("key")?.as_str()?.to_owned()))
                    .collect()
            };
            let expected: Vec<_> = event
                .event_params
                .into_iter()
                .map(|param| param.key)
                .collect();
            assert_eq!(keys(&row), expected);
            let fields = message_fields(&encoded);
            let names: Vec<_> = row.as_object().unwrap().keys().cloned().collect();
            assert_eq!(
                names, fields,
                "the columns that are there, in the table's order"
            );
        }
    }

    fn message_fields(encoded: &[u8]) -> Vec<String> {
        let message = prost_reflect::DynamicMessage::decode(event_descriptor(), encoded).unwrap();
        message
            .fields()
            .map(|(field, _)| field.name().to_owned())
            .collect()
    }

    #[test]
    fn the_parts_of_a_list_are_one_list() {
        let part = |key: &str| {
            let param = EventParam {
                key: Some(key.to_owned()),
                value: None,
            };
            let event = Event {
                event_params: vec![param],
                ..Event::default()
            };
            event.encode_to_vec()
        };
        let name = Event {
            event_name: Some("x".to_owned()),
            ..Event::default()
        };
        let row = [part("a"), name.encode_to_vec(), part("b")].concat();
        let mut text = Vec::new();
        write_row(&row, &mut text).unwrap();
        let expected = r#"{"event_name":"x","event_params":[{"key":"a"},{"key":"b"}]}"#;
        assert_eq!(String::from_utf8(text).unwrap(), expected);
    }

    #[test]
    fn every_value_that_a_row_may_hold_can_be_written() {
        let value = |value: f64| {
            let event = Event {
                event_value_in_usd: Some(value),
                ..Event::default()
            };
            written(&event.encode_to_vec())["event_value_in_usd"].clone()
        };
        assert_eq!(value(f64::NAN), "NaN");
        assert_eq!(value(f64::INFINITY), "Infinity");
        assert_eq!(value(f64::NEG_INFINITY), "-Infinity");
        let day = |days: i32| {
            let event = Event {
                date: Some(days),
                publish_time: Some(i64::from(days) * 86_400_000_000 + 86_399_999_999),
                ..Event::default()
            };
            let row = written(&event.encode_to_vec());
            (row["date"].clone(), row["publish_time"].clone())
        };
        let first = ("0001-01-01".into(), "0001-01-01T23:59:59.999999Z".into());
        let last = ("9999-12-31".into(), "9999-12-31T23:59:59.999999Z".into());
        assert_eq!(day(-719_162), first);
        assert_eq!(day(2_932_896), last);
    }

    #[test]
    fn days_and_times_that_no_calendar_has_are_refused() {
        for days in [i32::MIN, -719_163, 2_932_897, i32::MAX] {
            let date = Event {
                date: Some(days),
                ..Event::default()
            };
            let time = Event {
                synced_at_utc: Some(i64::from(days).saturating_mul(86_400_000_000)),
                ..Event::default()
            };
            for event in [date, time] {
                let written = write_row(&event.encode_to_vec(), &mut Vec::new());
                assert!(written.is_err(), "{days}");
            }
        }
    }

    #[test]
    fn what_cannot_be_read_leaves_nothing() {
        let mut out = b"before".to_vec();
        for bad in [
            &[0x1a, 0x05, b'a'][..],
            &[0x1a, 0x01, 0xff],
            &[0x10],
            &[0xf8, 0x07, 0x01],
            &[0x18, 0x01],
            &[0x10, 1, 0x10, 2],
        ] {
            assert!(write_row(bad, &mut out).is_err(), "{bad:?}");
            assert_eq!(out, b"before");
        }
    }
}
