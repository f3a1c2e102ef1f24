//! A row that was written as JSON → an encoded event: the way back of [`write_row`](super::write_row).
//!
//! Integers may be numbers or texts, times may have any offset, `null` is as if it were absent. A column that
//! the row does not have is a fault, so that nothing is lost in silence.

use std::borrow::Cow;
use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::civil::{Date, DateTime, date};
use prost::encoding::{WireType, encode_key, encode_varint};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::schema::descriptor::{Column, ColumnKind, events};
use crate::schema::wire::{self, MICROS_PER_DAY};

/// Why a text is no row. Names the place, never shows a value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unreadable(String);

fn fault<T>(path: &str, wanted: &str) -> Result<T, Unreadable> {
    Err(Unreadable(format!("{path} must be {wanted}")))
}

/// The values of an object, as they are written: numbers keep all their digits.
type Fields<'a> = BTreeMap<String, &'a RawValue>;

/// The encoded [`Event`](crate::schema::Event) that a JSON object says. Columns in `also` are set to these values.
///
/// # Errors
/// What is wrong with the object.
pub fn read_row(text: &[u8], also: &[(&str, Box<RawValue>)]) -> Result<Vec<u8>, Unreadable> {
    let text = str::from_utf8(text).map_err(|_| Unreadable("it is not UTF-8".to_owned()))?;
    let mut row: Fields<'_> = serde_json::from_str(text).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        Unreadable(format!(
            "it is not a JSON object (line {line}, column {column})"
        ))
    })?;
    for (name, value) in also {
        row.insert((*name).to_owned(), value);
    }
    let columns = &events().columns;
    let mut encoded = Vec::with_capacity(text.len());
    encode_record(columns, &row, "", &mut encoded)?;
    wire::check(columns, &encoded).map_err(|error| Unreadable(error.to_string()))?;
    Ok(encoded)
}

fn encode_record(
    columns: &[Column],
    record: &Fields<'_>,
    path: &str,
    out: &mut Vec<u8>,
) -> Result<(), Unreadable> {
    let is_known = |name: &String| columns.iter().any(|column| column.name == *name);
    let mut unknown = record.keys().filter(|name| !is_known(name));
    if let Some(name) = unknown.next() {
        let name: String = name.chars().take(100).collect();
        return Err(Unreadable(format!("there is no column {path}{name}")));
    }
    for column in columns {
        let Some(value) = record
            .get(&column.name)
            .filter(|value| value.get() != "null")
        else {
            continue;
        };
        let path = format!("{path}{}", column.name);
        if !column.is_repeated {
            encode_value(column, value, &path, out)?;
            continue;
        }
        let elements: Vec<&RawValue> = parsed(value, &path, "a list")?;
        for (index, element) in elements.into_iter().enumerate() {
            encode_value(column, element, &format!("{path}[{index}]"), out)?;
        }
    }
    Ok(())
}

fn encode_value(
    column: &Column,
    value: &RawValue,
    path: &str,
    out: &mut Vec<u8>,
) -> Result<(), Unreadable> {
    let number = column.number;
    let text = || serde_json::from_str::<Cow<'_, str>>(value.get()).ok();
    let mut varint = |value: i64| {
        encode_key(number, WireType::Varint, out);
        encode_varint(value.cast_unsigned(), out);
    };
    match column.kind {
        ColumnKind::Int64 => match value.get().trim_matches('"').parse() {
            Ok(value) => varint(value),
            Err(_) => return fault(path, "a whole number of 64 bits"),
        },
        ColumnKind::Date => match text().and_then(|text| text.parse().ok()) {
            Some(day) => varint(days(day)),
            None => return fault(path, "a day such as 2026-11-21"),
        },
        ColumnKind::Timestamp => match text().and_then(|text| micros(&text)) {
            Some(time) => varint(time),
            None => return fault(path, "a time such as 2026-11-21T10:00:00.000000Z"),
        },
        ColumnKind::Bool => varint(i64::from(parsed::<bool>(value, path, "true or false")?)),
        ColumnKind::Double => match double(value.get()) {
            Some(value) => {
                encode_key(number, WireType::SixtyFourBit, out);
                out.extend_from_slice(&value.to_le_bytes());
            }
            None => return fault(path, "a number"),
        },
        ColumnKind::String => match text() {
            Some(text) => encode_bytes(number, text.as_bytes(), out),
            None => return fault(path, "text"),
        },
        ColumnKind::Json => match text() {
            Some(text) => encode_bytes(number, text.as_bytes(), out),
            None => encode_bytes(number, value.get().as_bytes(), out),
        },
        ColumnKind::Record => {
            let record: Fields<'_> = parsed(value, path, "an object")?;
            let mut inner = Vec::new();
            encode_record(&column.children, &record, &format!("{path}."), &mut inner)?;
            encode_bytes(number, &inner, out);
        }
    }
    Ok(())
}

fn parsed<'a, T: Deserialize<'a>>(
    value: &'a RawValue,
    path: &str,
    wanted: &str,
) -> Result<T, Unreadable> {
    serde_json::from_str(value.get()).or_else(|_| fault(path, wanted))
}

fn encode_bytes(number: u32, bytes: &[u8], out: &mut Vec<u8>) {
    encode_key(number, WireType::LengthDelimited, out);
    encode_varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

fn double(text: &str) -> Option<f64> {
    match text {
        "\"NaN\"" => Some(f64::NAN),
        "\"Infinity\"" => Some(f64::INFINITY),
        "\"-Infinity\"" => Some(f64::NEG_INFINITY),
        // Rust reads what JSON calls a number, exactly; what else it reads begins with a letter.
        number => number.parse().ok().filter(|_| {
            let first = number.trim_start_matches('-').as_bytes().first();
            first.is_some_and(u8::is_ascii_digit)
        }),
    }
}

fn days(day: Date) -> i64 {
    i64::from((day - date(1970, 1, 1)).get_days())
}

fn micros(text: &str) -> Option<i64> {
    // Read without a time zone, because the last hours of the year 9999 are no instants to the library.
    if let Some(text) = text.strip_suffix('Z') {
        let time: DateTime = text.parse().ok()?;
        let (hour, minute) = (i64::from(time.hour()), i64::from(time.minute()));
        let seconds = (hour * 60 + minute) * 60 + i64::from(time.second());
        let micros = seconds * 1_000_000 + i64::from(time.subsec_nanosecond()) / 1_000;
        return Some(days(time.date()) * MICROS_PER_DAY + micros);
    }
    text.parse::<Timestamp>()
        .ok()
        .map(Timestamp::as_microsecond)
}

#[cfg(test)]
mod tests {
    use prost::Message;
    use serde_json::value::to_raw_value;
    use serde_json::{Value, json};

    use super::*;
    use crate::schema::Event;
    use crate::schema::json::{Integers, Style, write_row, write_row_as};
    use crate::schema::random::{SEEDS, random_event};

    #[test]
    fn what_was_written_is_read_back() {
        for seed in 0..SEEDS {
            let encoded = random_event(&mut fastrand::Rng::with_seed(seed));
            for integers in [Integers::Numbers, Integers::Texts] {
                let style = Style {
                    integers,
                    leave_out: &[],
                };
                let mut text = Vec::new();
                write_row_as(&encoded, style, &mut text).unwrap();
                let read = read_row(&text, &[]).unwrap();
                assert_eq!(
                    Event::decode(read.as_slice()).unwrap(),
                    Event::decode(encoded.as_slice()).unwrap(),
                    "seed {seed}"
                );
            }
        }
    }

    fn read(row: &Value) -> Result<Event, String> {
        let encoded = read_row(row.to_string().as_bytes(), &[]);
        let encoded = encoded.map_err(|unreadable| unreadable.to_string())?;
        Ok(Event::decode(encoded.as_slice()).unwrap())
    }

    #[test]
    fn what_others_write_is_read() {
        let event = read(&json!({
            "event_name": "a", "event_id": null, "items": null, "event_timestamp": "17",
            "synced_at_utc_": "2026-11-21T01:00:00.000001+01:00", "event_params": [],
            "attributes": {"a": "b"}, "event_value_in_usd": 5,
        }));
        let expected = Event {
            event_name: Some("a".to_owned()),
            event_timestamp: Some(17),
            synced_at_utc: Some(1_795_219_200_000_001),
            attributes: Some(r#"{"a":"b"}"#.to_owned()),
            event_value_in_usd: Some(5.0),
            ..Event::default()
        };
        assert_eq!(event, Ok(expected));
    }

    #[test]
    fn the_last_moment_is_read() {
        let event = Event {
            publish_time: Some(2_932_896 * MICROS_PER_DAY + MICROS_PER_DAY - 1),
            ..Event::default()
        };
        let mut text = Vec::new();
        write_row(&event.encode_to_vec(), &mut text).unwrap();
        assert_eq!(read_row(&text, &[]).unwrap(), event.encode_to_vec());
    }

    #[test]
    fn columns_are_set_besides() {
        let also = [
            ("message_id", "7"),
            ("publish_time", "1970-01-01T00:00:00Z"),
        ];
        let also = also.map(|(name, value)| (name, to_raw_value(value).unwrap()));
        let encoded = read_row(br#"{"message_id":null}"#, &also).unwrap();
        let event = Event::decode(encoded.as_slice()).unwrap();
        assert_eq!(
            (event.message_id.as_deref(), event.publish_time),
            (Some("7"), Some(0))
        );
    }

    #[test]
    fn a_fault_names_the_place_and_no_value() {
        let faults = [
            (json!([]), "it is not a JSON object (line 1, column 0)"),
            (json!({"nonsense": null}), "there is no column nonsense"),
            (json!({"geo": {"x": 1}}), "there is no column geo.x"),
            (json!({"geo": "x"}), "geo must be an object"),
            (json!({"items": {}}), "items must be a list"),
            (json!({"items": [null]}), "items[0] must be an object"),
            (
                json!({"event_params": [{}, {"value": {"int_value": 1.5}}]}),
                "event_params[1].value.int_value must be a whole number of 64 bits",
            ),
            (
                json!({"event_timestamp": u64::MAX}),
                "event_timestamp must be a whole number of 64 bits",
            ),
            (json!({"event_name": 1}), "event_name must be text"),
            (
                json!({"is_active_user": "true"}),
                "is_active_user must be true or false",
            ),
            (
                json!({"event_value_in_usd": "1"}),
                "event_value_in_usd must be a number",
            ),
            (
                json!({"date": "2026-02-30"}),
                "date must be a day such as 2026-11-21",
            ),
            (
                json!({"publish_time": "soon"}),
                "publish_time must be a time such as 2026-11-21T10:00:00.000000Z",
            ),
            (
                json!({"date": "0000-01-01"}),
                "the record cannot be read: a day or time is not of the years 1 to 9999",
            ),
        ];
        for (row, expected) in faults {
            assert_eq!(read(&row), Err(expected.to_owned()), "{row}");
        }
    }
}
