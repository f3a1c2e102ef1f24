//! Parameters and properties: a key and a value in the slot of its type.
//!
//! They come as an array of `{key, value}` or as an object of names and values; a value is an object
//! of slots or bare (other objects and arrays are kept as JSON text). Slots are GA4's: whole numbers in `int_value`, others in `double_value`;
//! `float_value` is read exactly and stored in `double_value` (it stays only where both were sent).
//! What 64 bits cannot hold keeps its digits in `string_value`.

use std::collections::HashSet;

use super::input::{Fault, Input, Number, Path, digits, fault};
use super::json::{Kind, Scalar};
use crate::schema::{EventParam, UserProperty, UserPropertyValue, Value};

/// Members of a value's object, the slots first.
const SLOTS: [&str; 7] = [
    "string_value",
    "int_value",
    "float_value",
    "double_value",
    "set_timestamp_micros",
    "timestamp_micros",
    "value",
];

/// How many of them are slots.
const TYPED: usize = 4;

/// A value as it was sent, and when it was set if that was sent with it.
#[derive(Debug, Default)]
struct Sent {
    value: Value,
    set_timestamp_micros: Option<i64>,
}

/// Reads `event_params` and `item_params`.
pub(super) fn event_params(input: &mut Input<'_>, at: &Path<'_>) -> Result<Vec<EventParam>, Fault> {
    let mut params = Vec::new();
    entries(input, at, |key, sent| {
        let value = sent.map(|sent| sent.value);
        params.push(EventParam { key, value });
    })?;
    Ok(params)
}

/// Reads `user_properties`.
pub(super) fn user_properties(
    input: &mut Input<'_>,
    at: &Path<'_>,
) -> Result<Vec<UserProperty>, Fault> {
    let mut properties = Vec::new();
    entries(input, at, |key, sent| {
        let value = sent.map(|sent| UserPropertyValue {
            string_value: sent.value.string_value,
            int_value: sent.value.int_value,
            float_value: sent.value.float_value,
            double_value: sent.value.double_value,
            set_timestamp_micros: sent.set_timestamp_micros,
        });
        properties.push(UserProperty { key, value });
    })?;
    Ok(properties)
}

/// Reads a value of any kind: slots or bare.
pub(super) fn value(input: &mut Input<'_>, at: &Path<'_>) -> Result<Option<Value>, Fault> {
    Ok(sent(input, at)?.map(|sent| sent.value))
}

/// A parameter with this value.
pub(super) fn param(key: &str, value: Value) -> EventParam {
    EventParam {
        key: Some(key.to_owned()),
        value: Some(value),
    }
}

fn entries(
    input: &mut Input<'_>,
    at: &Path<'_>,
    mut add: impl FnMut(Option<String>, Option<Sent>),
) -> Result<(), Fault> {
    match input.json.peek()? {
        Kind::Array => input.json.enter(),
        Kind::Object => return members(input, at, add),
        Kind::Null => {
            input.json.skip()?;
            return Ok(());
        }
        _ => return Err(fault(at, "must be an array of objects with key and value")),
    }
    let mut index = 0;
    while input.json.next_element()? {
        let at = at.index(index);
        index += 1;
        if !input.object(&at)? {
            input.warn(&at, "was ignored: it is null");
            continue;
        }
        let (mut key, mut value) = (None, None);
        while let Some(name) = input.json.next_key()? {
            let at = at.field(&name);
            match name.as_ref() {
                "key" => key = input.text(at)?,
                "value" => value = sent(input, &at)?,
                _ => input.ignore(&at)?,
            }
        }
        add(key, value);
    }
    Ok(())
}

/// Reads an object of names and values; of a name that comes twice the last value counts.
fn members(
    input: &mut Input<'_>,
    at: &Path<'_>,
    mut add: impl FnMut(Option<String>, Option<Sent>),
) -> Result<(), Fault> {
    let mut members = Vec::new();
    input.json.enter();
    while let Some(name) = input.json.next_key()? {
        let sent = sent(input, &at.field(&name))?;
        members.push((Some(name.into_owned()), sent));
    }
    keep_last(&mut members, |(name, _)| name.as_deref());
    for (name, sent) in members {
        add(name, sent);
    }
    Ok(())
}

/// Of entries with the same key keeps the last.
pub(super) fn keep_last<T>(entries: &mut Vec<T>, key: impl Fn(&T) -> Option<&str>) {
    if entries.len() < 2 {
        return;
    }
    let mut seen = HashSet::new();
    let is_last: Vec<bool> = entries
        .iter()
        .rev()
        .map(|entry| seen.insert(key(entry)))
        .collect();
    let mut is_last = is_last.into_iter().rev();
    entries.retain(|_| is_last.next().unwrap_or(true));
}

fn sent(input: &mut Input<'_>, at: &Path<'_>) -> Result<Option<Sent>, Fault> {
    if !has_slots(input)? {
        let scalar = input.json.scalar()?;
        return Ok(bare(input, at, scalar).map(Sent::from));
    }
    let mut sent = Sent::default();
    let mut doubled = None; // What was sent in double_value itself.
    let mut beyond = None; // Digits that fit into no slot.
    input.json.enter();
    while let Some(name) = input.json.next_key()? {
        let at = at.field(&name);
        let value = &mut sent.value;
        match name.as_ref() {
            "string_value" => value.string_value = input.text(at)?,
            "int_value" => whole_slot(input, &at, value, &mut beyond)?,
            "float_value" => {
                value.float_value = fraction_slot(input, &at, &mut value.int_value, &mut beyond)?;
            }
            "double_value" => {
                doubled = fraction_slot(input, &at, &mut value.int_value, &mut beyond)?;
            }
            "set_timestamp_micros" | "timestamp_micros" => {
                sent.set_timestamp_micros = input.micros(at)?
            }
            "value" => {
                let scalar = input.json.scalar()?;
                *value = bare(input, &at, scalar).unwrap_or_default();
            }
            _ => input.ignore(&at)?,
        }
    }
    let value = &mut sent.value;
    if doubled.is_some() {
        value.double_value = doubled;
    } else if value.float_value.is_some() {
        value.double_value = value.float_value.take();
    }
    if value.string_value.is_none() {
        value.string_value = beyond;
    }
    Ok(Some(sent))
}

/// Whether an object of slots comes next: an empty one, one that begins with a member of such, or one that has
/// a slot anywhere, since the order of members means nothing. Nothing is consumed.
fn has_slots(input: &mut Input<'_>) -> Result<bool, Fault> {
    if input.json.peek()? != Kind::Object {
        return Ok(false);
    }
    let start = input.json.position();
    input.json.enter();
    let mut found = match input.json.next_key()? {
        None => true,
        Some(first) if SLOTS.contains(&first.as_ref()) => true,
        Some(_) => {
            input.json.skip()?;
            false
        }
    };
    while !found && let Some(name) = input.json.next_key()? {
        found = SLOTS[..TYPED].contains(&name.as_ref());
        input.json.skip()?;
    }
    input.json.rewind(start);
    Ok(found)
}

impl From<Value> for Sent {
    fn from(value: Value) -> Self {
        Self {
            value,
            set_timestamp_micros: None,
        }
    }
}

/// A value without a slot, put where GA4 puts it.
fn bare(input: &mut Input<'_>, at: &Path<'_>, scalar: Scalar<'_>) -> Option<Value> {
    let mut value = Value::default();
    match scalar {
        Scalar::Null => return None,
        Scalar::Bool(boolean) => value.string_value = Some(boolean.to_string()),
        Scalar::Text(text) => value.string_value = Some(text.into_owned()),
        Scalar::Number(digits) => match Number::parse(digits) {
            Some(Number::Whole(whole)) => value.int_value = Some(whole),
            Some(Number::Fraction(fraction)) => value.double_value = Some(fraction),
            _ => {
                input.warn(at, "is beyond 64 bits: its digits are in string_value");
                value.string_value = Some(digits.to_owned());
            }
        },
        Scalar::Nested(json) => {
            input.warn(at, "is nested: its JSON is in string_value");
            value.string_value = Some(json.to_owned());
        }
    }
    Some(value)
}

fn whole_slot(
    input: &mut Input<'_>,
    at: &Path<'_>,
    value: &mut Value,
    beyond: &mut Option<String>,
) -> Result<(), Fault> {
    let Some((number, digits)) = slot_number(input, at)? else {
        return Ok(());
    };
    match number {
        Number::Whole(whole) => value.int_value = Some(whole),
        Number::Fraction(fraction) => {
            input.warn(at, "is not whole: it is in double_value");
            value.double_value = Some(fraction);
        }
        Number::Beyond => *beyond = Some(digits),
    }
    Ok(())
}

/// The value for a slot of fractions. A whole number that it would change goes to `whole`.
fn fraction_slot(
    input: &mut Input<'_>,
    at: &Path<'_>,
    whole: &mut Option<i64>,
    beyond: &mut Option<String>,
) -> Result<Option<f64>, Fault> {
    let Some((number, digits)) = slot_number(input, at)? else {
        return Ok(None);
    };
    if let Number::Whole(value) = number
        && number.exact_double().is_none()
    {
        input.warn(at, "would lose digits as a fraction: it is in int_value");
        *whole = Some(value);
    }
    if number == Number::Beyond {
        *beyond = Some(digits);
    }
    Ok(number.exact_double())
}

/// The number of a slot; its digits only if no slot can hold it.
fn slot_number(input: &mut Input<'_>, at: &Path<'_>) -> Result<Option<(Number, String)>, Fault> {
    let wrong = || fault(at, "must be a number, or text in string_value");
    let digits = match digits(input.json.scalar()?) {
        Ok(Some(digits)) => digits,
        Ok(None) => return Ok(None),
        Err(()) => return Err(wrong()),
    };
    let number = Number::parse(&digits).ok_or_else(wrong)?;
    if number != Number::Beyond {
        return Ok(Some((number, String::new())));
    }
    input.warn(at, "is beyond 64 bits: its digits are in string_value");
    Ok(Some((number, digits.into_owned())))
}
