//! A row read by its plan, column by column, as JSON: absent columns left out, DATE as "2026-11-21", TIMESTAMP as
//! RFC 3339 in UTC with microseconds, JSON columns as text, numbers that JSON has none for as text.
//!
//! What a column cannot hold is the row's fault. Fields that the descriptor does not name are no fault, they are lost;
//! they are counted.

use std::ops::RangeInclusive;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::civil::{Date, date};
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use prost_types::field_descriptor_proto::Type as Wire;
use serde::de::IgnoredAny;
use serde_json::{Map, Value, json};

use super::plan::{Field, Plan};
use super::storage::table_field_schema::Type;

/// Days since 1970-01-01 of 0001-01-01 to 9999-12-31.
const DAYS: RangeInclusive<i64> = -719_162..=2_932_896;
const MICROS_PER_DAY: i64 = 86_400_000_000;

/// A row as it was read.
#[derive(Debug)]
pub(super) struct Row {
    pub values: Value,
    /// Fields that were there but in no descriptor.
    pub lost_fields: u64,
}

/// Reads a row and checks all that BigQuery checks; days of the partition are held against today.
///
/// # Errors
/// What is wrong with it.
pub(super) fn check(plan: &Plan, encoded: &[u8], today: Date) -> Result<Row, String> {
    let row = read(plan, encoded)?;
    let Some(partition) = plan.partition else {
        return Ok(row);
    };
    let field = &plan.fields[partition];
    if let Some(text) = row.values[&field.name].as_str() {
        let day: Date = text[..10].parse().map_err(|_| "no day")?;
        let (first, last) = (
            today.saturating_sub(Span::new().years(10)),
            today.saturating_add(Span::new().years(1)),
        );
        if !(first..=last).contains(&day) {
            return Err(format!(
                "The value {text} of field {} is out of range: you can only stream to date range within 3650 days in the past and 366 days in the future",
                field.name
            ));
        }
    }
    Ok(row)
}

/// The day by which partitions are judged.
pub(super) fn today() -> Date {
    Timestamp::now().to_zoned(TimeZone::UTC).date()
}

/// Reads a row.
///
/// # Errors
/// What is wrong with it.
pub(super) fn read(plan: &Plan, encoded: &[u8]) -> Result<Row, String> {
    let mut lost_fields = 0;
    let values = message(plan, encoded, &mut lost_fields)?;
    Ok(Row {
        values,
        lost_fields,
    })
}

/// What a column of text holds, without a look at the others.
pub(super) fn text(plan: &Plan, encoded: &[u8], column: &str) -> Option<String> {
    let index = plan.fields.iter().position(|field| field.name == column)?;
    let mut found = None;
    let mut rest = encoded;
    while !rest.is_empty() {
        let key = varint(&mut rest).ok()?;
        let raw = raw(key & 7, &mut rest).ok()?;
        let number = u32::try_from(key >> 3).ok()?;
        if let (Some(at), Raw::Bytes(bytes)) = (plan.by_number.get(&number), raw)
            && *at == index
        {
            found = Some(bytes);
        }
    }
    Some(str::from_utf8(found?).ok()?.to_owned())
}

fn message(plan: &Plan, encoded: &[u8], lost: &mut u64) -> Result<Value, String> {
    let mut values: Vec<Option<Value>> = plan.fields.iter().map(|_| None).collect();
    let mut rest = encoded;
    while !rest.is_empty() {
        let key = varint(&mut rest)?;
        let number = u32::try_from(key >> 3).map_err(|_| malformed())?;
        let raw = raw(key & 7, &mut rest)?;
        let Some(index) = plan.by_number.get(&number) else {
            *lost += 1;
            continue;
        };
        let field = &plan.fields[*index];
        if !field.is_repeated {
            values[*index] = Some(value(field, raw, lost)?);
            continue;
        }
        let list = values[*index].get_or_insert_with(|| json!([]));
        let list = list.as_array_mut().expect("a list");
        match (raw, wire_type(field.wire)) {
            (Raw::Bytes(mut packed), kind @ (0 | 1 | 5)) => {
                while !packed.is_empty() {
                    let element = self::raw(kind, &mut packed)?;
                    list.push(value(field, element, lost)?);
                }
            }
            (raw, _) => list.push(value(field, raw, lost)?),
        }
    }
    let absent = |(field, value): &(&Field, &Option<Value>)| field.is_required && value.is_none();
    let absent = plan.fields.iter().zip(&values).find(absent);
    let absent = absent
        .map(|(field, _)| &field.name)
        .or(plan.missing.first());
    if let Some(name) = absent {
        return Err(format!("Field {name}: required field is missing"));
    }
    let named = plan.fields.iter().zip(values);
    let named = named.filter_map(|(field, value)| Some((field.name.clone(), value?)));
    Ok(Value::Object(named.collect::<Map<_, _>>()))
}

/// What stands on the wire (<https://protobuf.dev/programming-guides/encoding/>).
#[derive(Clone, Copy)]
enum Raw<'a> {
    Number(u64),
    Eight([u8; 8]),
    Four([u8; 4]),
    Bytes(&'a [u8]),
}

fn malformed() -> String {
    "Failed to parse the row: it is no message of the schema".to_owned()
}

fn varint(rest: &mut &[u8]) -> Result<u64, String> {
    prost::encoding::decode_varint(rest).map_err(|_| malformed())
}

fn take<'a>(length: u64, rest: &mut &'a [u8]) -> Result<&'a [u8], String> {
    let length = usize::try_from(length).map_err(|_| malformed())?;
    let (bytes, after) = rest.split_at_checked(length).ok_or_else(malformed)?;
    *rest = after;
    Ok(bytes)
}

fn raw<'a>(kind: u64, rest: &mut &'a [u8]) -> Result<Raw<'a>, String> {
    match kind {
        0 => varint(rest).map(Raw::Number),
        1 => Ok(Raw::Eight(take(8, rest)?.try_into().expect("eight bytes"))),
        2 => {
            let length = varint(rest)?;
            take(length, rest).map(Raw::Bytes)
        }
        5 => Ok(Raw::Four(take(4, rest)?.try_into().expect("four bytes"))),
        _ => Err(malformed()),
    }
}

fn wire_type(wire: Wire) -> u64 {
    match wire {
        Wire::Double => 1,
        Wire::Float => 5,
        Wire::String | Wire::Bytes | Wire::Message => 2,
        _ => 0,
    }
}

fn value(field: &Field, raw: Raw<'_>, lost: &mut u64) -> Result<Value, String> {
    let fault = |what: &str| format!("Field {}: {what}", field.name);
    match raw {
        Raw::Bytes(bytes) if field.wire == Wire::Message => {
            let inner = field.inner.as_ref().expect("a record has columns");
            message(inner, bytes, lost).map_err(|inner| fault(&inner))
        }
        Raw::Bytes(bytes) if field.wire == Wire::Bytes => Ok(json!(STANDARD.encode(bytes))),
        Raw::Bytes(bytes) if field.wire == Wire::String => {
            let text = std::str::from_utf8(bytes).map_err(|_| fault("invalid UTF-8"))?;
            check_text(field.kind, text).map_err(|what| fault(&what))?;
            Ok(json!(text))
        }
        Raw::Eight(bytes) if field.wire == Wire::Double => Ok(double(f64::from_le_bytes(bytes))),
        Raw::Four(bytes) if field.wire == Wire::Float => {
            Ok(double(f64::from(f32::from_le_bytes(bytes))))
        }
        Raw::Number(number) if wire_type(field.wire) == 0 => {
            whole(field, number.cast_signed()).map_err(|what| fault(&what))
        }
        _ => Err(malformed()),
    }
}

fn double(value: f64) -> Value {
    match value {
        value if value.is_nan() => json!("NaN"),
        f64::INFINITY => json!("Infinity"),
        f64::NEG_INFINITY => json!("-Infinity"),
        value => json!(value),
    }
}

#[expect(clippy::cast_possible_truncation, reason = "as protobuf reads 32 bits")]
fn whole(field: &Field, number: i64) -> Result<Value, String> {
    let number = match field.wire {
        Wire::Int32 => i64::from(number as i32),
        Wire::Uint32 => i64::from(number as u32),
        _ => number,
    };
    match field.kind {
        Type::Bool => Ok(json!(number != 0)),
        Type::Date => Ok(json!(day(number)?.to_string())),
        Type::Timestamp => {
            let day = day(number.div_euclid(MICROS_PER_DAY))?;
            let micros = number.rem_euclid(MICROS_PER_DAY);
            let (seconds, micros) = (micros / 1_000_000, micros % 1_000_000);
            let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
            let time = format!("{day}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z");
            Ok(json!(time))
        }
        _ => Ok(json!(number)),
    }
}

fn day(days: i64) -> Result<Date, String> {
    if !DAYS.contains(&days) {
        return Err(format!("{days} is not of the years 1 to 9999"));
    }
    let day = date(1970, 1, 1).checked_add(Span::new().days(days));
    day.map_err(|error| error.to_string())
}

fn check_text(kind: Type, text: &str) -> Result<(), String> {
    let is_valid = match kind {
        Type::Json => serde_json::from_str::<IgnoredAny>(text).is_ok(),
        Type::Date => text.len() == 10 && text.parse::<Date>().is_ok(),
        Type::Time => text.parse::<jiff::civil::Time>().is_ok(),
        Type::Datetime => text.parse::<jiff::civil::DateTime>().is_ok(),
        Type::Numeric | Type::Bignumeric => text.parse::<f64>().is_ok_and(f64::is_finite),
        _ => true,
    };
    if is_valid {
        return Ok(());
    }
    Err(format!("not a valid {}", kind.as_str_name()))
}
