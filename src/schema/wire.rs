//! Reads the protobuf wire format of an encoded message, checked against its columns
//! (<https://protobuf.dev/programming-guides/encoding/>). Knows only what our messages use.

use std::ops::RangeInclusive;
use std::str;

use super::descriptor::{Column, ColumnKind, by_number};

/// An encoded row that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the record cannot be read: {0}")]
pub struct RowError(pub(super) &'static str);

/// A value on the wire.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Value<'a> {
    Text(&'a str),
    Int(i64),
    Double(f64),
    Bool(bool),
    Record(&'a [u8]),
}

/// The fields of a message, in the order of the wire: index of the column, value.
pub(super) struct Fields<'a, 'c> {
    rest: &'a [u8],
    columns: &'c [Column],
}

impl<'a, 'c> Fields<'a, 'c> {
    pub(super) fn new(columns: &'c [Column], message: &'a [u8]) -> Self {
        Self {
            rest: message,
            columns,
        }
    }

    #[inline]
    fn varint(&mut self) -> Result<u64, RowError> {
        // Keys and lengths are mostly of one byte.
        if let [byte @ ..0x80, rest @ ..] = self.rest {
            self.rest = rest;
            return Ok(u64::from(*byte));
        }
        self.long_varint()
    }

    fn long_varint(&mut self) -> Result<u64, RowError> {
        let mut value = 0_u64;
        for shift in (0..70).step_by(7) {
            let (byte, rest) = self.rest.split_first().ok_or(RowError("it is cut off"))?;
            self.rest = rest;
            if shift == 63 && *byte > 1 {
                break;
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(RowError("a number is too long"))
    }

    fn bytes(&mut self, length: u64) -> Result<&'a [u8], RowError> {
        let length = usize::try_from(length).map_err(|_| RowError("it is cut off"))?;
        let (bytes, rest) = self
            .rest
            .split_at_checked(length)
            .ok_or(RowError("it is cut off"))?;
        self.rest = rest;
        Ok(bytes)
    }

    fn field(&mut self) -> Result<(usize, Value<'a>), RowError> {
        let key = self.varint()?;
        let number = u32::try_from(key >> 3).map_err(|_| RowError("it has an unknown field"))?;
        let (index, column) =
            by_number(self.columns, number).ok_or(RowError("it has an unknown field"))?;
        let value = match (column.kind, key & 7) {
            (ColumnKind::Int64, 0) => Value::Int(self.varint()?.cast_signed()),
            (ColumnKind::Timestamp | ColumnKind::Date, 0) => {
                let number = self.varint()?.cast_signed();
                check_range(column.kind, number)?;
                Value::Int(number)
            }
            (ColumnKind::Bool, 0) => Value::Bool(self.varint()? != 0),
            (ColumnKind::Double, 1) => {
                let bytes = self
                    .bytes(8)?
                    .try_into()
                    .map_err(|_| RowError("it is cut off"))?;
                Value::Double(f64::from_le_bytes(bytes))
            }
            (ColumnKind::String | ColumnKind::Json, 2) => {
                let length = self.varint()?;
                let text = str::from_utf8(self.bytes(length)?)
                    .map_err(|_| RowError("a text is not UTF-8"))?;
                Value::Text(text)
            }
            (ColumnKind::Record, 2) => {
                let length = self.varint()?;
                Value::Record(self.bytes(length)?)
            }
            _ => return Err(RowError("a field has another type")),
        };
        Ok((index, value))
    }
}

impl<'a> Iterator for Fields<'a, '_> {
    type Item = Result<(usize, Value<'a>), RowError>;

    fn next(&mut self) -> Option<Self::Item> {
        (!self.rest.is_empty()).then(|| self.field())
    }
}

/// A value on the wire of which only the place was looked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Raw<'a> {
    Varint(u64),
    Bytes(&'a [u8]),
    Fixed,
}

/// Takes the next field off a message, whatever it is: its number and value. `None` at the end, or where it cannot be read.
#[inline]
pub(super) fn raw_field<'a>(rest: &mut &'a [u8]) -> Option<(usize, Raw<'a>)> {
    let key = raw_varint(rest)?;
    let value = match key & 7 {
        0 => Raw::Varint(raw_varint(rest)?),
        1 => {
            *rest = rest.get(8..)?;
            Raw::Fixed
        }
        2 => {
            let length = usize::try_from(raw_varint(rest)?).ok()?;
            let (bytes, behind) = rest.split_at_checked(length)?;
            *rest = behind;
            Raw::Bytes(bytes)
        }
        _ => return None,
    };
    Some((usize::try_from(key >> 3).ok()?, value))
}

#[inline]
fn raw_varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, behind) = rest.split_first()?;
        *rest = behind;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// Checks a whole message: every field known and of its type, none twice that is not a list, days and
/// times of the years 1 to 9999, which is what BigQuery can hold.
pub(super) fn check(columns: &[Column], message: &[u8]) -> Result<(), RowError> {
    let mut seen = 0_u128;
    for field in Fields::new(columns, message) {
        let (index, value) = field?;
        let column = &columns[index];
        if !column.is_repeated {
            let bit = 1_u128 << index;
            if seen & bit != 0 {
                return Err(RowError("a field is there twice"));
            }
            seen |= bit;
        }
        if let Value::Record(message) = value {
            check(&column.children, message)?;
        }
    }
    Ok(())
}

fn check_range(kind: ColumnKind, number: i64) -> Result<(), RowError> {
    let days = match kind {
        ColumnKind::Date => number,
        ColumnKind::Timestamp => number.div_euclid(MICROS_PER_DAY),
        _ => return Ok(()),
    };
    if DAYS.contains(&days) {
        return Ok(());
    }
    Err(RowError("a day or time is not of the years 1 to 9999"))
}

/// Days since 1970-01-01 of 0001-01-01 to 9999-12-31.
const DAYS: RangeInclusive<i64> = -719_162..=2_932_896;
/// Microseconds of a day.
pub(super) const MICROS_PER_DAY: i64 = 86_400_000_000;
