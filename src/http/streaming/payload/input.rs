//! Reads typed values at a path: tolerant of how a client writes them, exact in what it stores.
//!
//! What was changed or ignored becomes a warning, what cannot be understood a fault that names the
//! path. Neither ever holds a value that the client sent.

use std::borrow::Cow;
use std::fmt::{self, Write as _};

use super::json::{Kind, Reader, Scalar};
use super::{FieldFault, Malformed};
use crate::enrich::MAX_WARNINGS;

/// Longest path in a warning or fault, in characters.
const MAX_PATH: usize = 100;

/// Place of a value in the event.
#[derive(Clone, Copy, Debug)]
pub(super) enum Path<'p> {
    Root,
    Field(&'p Path<'p>, &'p str),
    Index(&'p Path<'p>, usize),
}

impl<'p> Path<'p> {
    /// The member of this object.
    pub(super) fn field(&'p self, name: &'p str) -> Self {
        Self::Field(self, name)
    }

    /// The element of this array.
    pub(super) fn index(&'p self, index: usize) -> Self {
        Self::Index(self, index)
    }

    /// The path as text, at most [`MAX_PATH`] characters, none of them a control character.
    fn text(&self) -> String {
        let full = self.to_string();
        full.chars()
            .filter(|character| !character.is_control())
            .take(MAX_PATH)
            .collect()
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => Ok(()),
            Self::Field(Self::Root, name) => f.write_str(name),
            Self::Field(parent, name) => write!(f, "{parent}.{name}"),
            Self::Index(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}

/// Why an event cannot be read.
#[derive(Debug)]
pub(super) enum Fault {
    Malformed(Malformed),
    Field(FieldFault),
}

impl From<Malformed> for Fault {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed)
    }
}

/// A fault of the value at this path.
pub(super) fn fault(at: &Path<'_>, message: &'static str) -> Fault {
    Fault::Field(FieldFault {
        path: at.text(),
        message,
    })
}

/// A number by what can hold it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Number {
    /// 64 bits hold it.
    Whole(i64),
    /// A 64-bit float holds it.
    Fraction(f64),
    /// Neither does.
    Beyond,
}

/// Whole numbers up to here are exact in a 64-bit float.
const MAX_EXACT: u64 = 1 << 53;

impl Number {
    /// The number that these digits write; `None` if they write none (`NaN` and `Infinity` are none).
    pub(super) fn parse(digits: &str) -> Option<Self> {
        if let Ok(whole) = digits.parse() {
            return Some(Self::Whole(whole));
        }
        let is_part = |byte: u8| byte.is_ascii_digit() || b"+-.eE".contains(&byte);
        if !digits.bytes().all(is_part) {
            return None;
        }
        let value: f64 = digits.parse().ok()?;
        let mantissa = digits.split(['e', 'E']).next().unwrap_or(digits);
        let underflow = value == 0.0 && mantissa.bytes().any(|byte| matches!(byte, b'1'..=b'9'));
        let long_whole = !digits.contains(['.', 'e', 'E']);
        if !value.is_finite() || underflow || long_whole {
            return Some(Self::Beyond);
        }
        let negative_zero = value == 0.0 && value.is_sign_negative();
        if value.fract() == 0.0 && value.abs() <= MAX_EXACT as f64 && !negative_zero {
            #[expect(
                clippy::cast_possible_truncation,
                reason = "it is whole and small enough"
            )]
            return Some(Self::Whole(value as i64));
        }
        Some(Self::Fraction(value))
    }

    /// The same number as a 64-bit float; `None` if that would change it.
    pub(super) fn exact_double(self) -> Option<f64> {
        match self {
            Self::Whole(whole) if whole.unsigned_abs() <= MAX_EXACT => Some(whole as f64),
            Self::Fraction(value) => Some(value),
            Self::Whole(_) | Self::Beyond => None,
        }
    }
}

/// A payload being read.
#[derive(Debug)]
pub(super) struct Input<'de> {
    pub(super) json: Reader<'de>,
    warnings: Vec<String>,
}

impl<'de> Input<'de> {
    pub(super) fn new(text: &'de str) -> Self {
        Self {
            json: Reader::new(text),
            warnings: Vec::new(),
        }
    }

    /// The warnings since the last call.
    pub(super) fn take_warnings(&mut self) -> Vec<String> {
        if std::mem::take(&mut self.json.replaced) {
            self.warnings.truncate(MAX_WARNINGS - 1);
            self.warnings
                .push("half of a surrogate pair was replaced by U+FFFD".to_owned());
        }
        std::mem::take(&mut self.warnings)
    }

    /// Notes what was done to the value at this path.
    pub(super) fn warn(&mut self, at: &Path<'_>, what: &str) {
        if self.warnings.len() == MAX_WARNINGS {
            return;
        }
        let mut warning = at.text();
        // Writing to a String cannot fail.
        write!(warning, " {what}").unwrap_or_default();
        self.warnings.push(warning);
    }

    /// Reads past a member that nobody knows.
    pub(super) fn ignore(&mut self, at: &Path<'_>) -> Result<(), Fault> {
        self.json.skip()?;
        self.ignored(at);
        Ok(())
    }

    /// Notes that the member at this path, which nobody knows, was read past.
    pub(super) fn ignored(&mut self, at: &Path<'_>) {
        if self.warnings.len() < MAX_WARNINGS {
            self.warnings
                .push(format!("unknown field {} was ignored", at.text()));
        }
    }

    /// Enters an object; false if there is null.
    pub(super) fn object(&mut self, at: &Path<'_>) -> Result<bool, Fault> {
        match self.json.peek()? {
            Kind::Object => self.json.enter(),
            Kind::Null => return self.null(),
            _ => return Err(fault(at, "must be an object")),
        }
        Ok(true)
    }

    /// Enters an array; false if there is null.
    pub(super) fn array(&mut self, at: &Path<'_>) -> Result<bool, Fault> {
        match self.json.peek()? {
            Kind::Array => self.json.enter(),
            Kind::Null => return self.null(),
            _ => return Err(fault(at, "must be an array")),
        }
        Ok(true)
    }

    fn null(&mut self) -> Result<bool, Fault> {
        self.json.skip()?;
        Ok(false)
    }

    /// A text; numbers and booleans become their text.
    pub(super) fn text(&mut self, at: Path<'_>) -> Result<Option<String>, Fault> {
        match self.json.scalar()? {
            Scalar::Null => Ok(None),
            Scalar::Text(text) => Ok(Some(text.into_owned())),
            Scalar::Number(digits) => Ok(Some(digits.to_owned())),
            Scalar::Bool(value) => Ok(Some(value.to_string())),
            Scalar::Nested(_) => Err(fault(&at, "must be a text")),
        }
    }

    /// A whole number; text that holds one, 5.0, true and false are taken too.
    pub(super) fn integer(&mut self, at: Path<'_>) -> Result<Option<i64>, Fault> {
        let digits = match self.digits(&at)? {
            Some(digits) => digits,
            None => return Ok(None),
        };
        match Number::parse(&digits) {
            Some(Number::Whole(value)) => Ok(Some(value)),
            _ => Err(fault(&at, "must be a whole number of at most 64 bits")),
        }
    }

    /// A number; text that holds one, true and false are taken too.
    pub(super) fn number(&mut self, at: Path<'_>) -> Result<Option<f64>, Fault> {
        let digits = match self.digits(&at)? {
            Some(digits) => digits,
            None => return Ok(None),
        };
        match Number::parse(&digits) {
            Some(Number::Whole(value)) => Ok(Some(value as f64)),
            Some(Number::Fraction(value)) => Ok(Some(value)),
            number => number
                .and_then(|_| digits.parse().ok())
                .filter(|value: &f64| value.is_finite() && *value != 0.0)
                .map(Some)
                .ok_or_else(|| fault(&at, "must be a number, with '.' before its fraction")),
        }
    }

    /// The digits of what should be a number; `None` for null and for empty text.
    fn digits(&mut self, at: &Path<'_>) -> Result<Option<Cow<'de, str>>, Fault> {
        digits(self.json.scalar()?).map_err(|()| fault(at, "must be a number"))
    }

    /// Microseconds since 1970; what is no whole number is ignored with a warning, since a wrong clock must not cost an event.
    pub(super) fn micros(&mut self, at: Path<'_>) -> Result<Option<i64>, Fault> {
        let digits = digits(self.json.scalar()?).unwrap_or(Some(Cow::Borrowed("")));
        match digits.as_deref().map(Number::parse) {
            None => Ok(None),
            Some(Some(Number::Whole(micros))) => Ok(Some(micros)),
            Some(_) => {
                self.warn(&at, "was ignored: it is not a whole number of microseconds");
                Ok(None)
            }
        }
    }
}

/// The digits of a scalar that should be a number; `None` for null and for blank text.
pub(super) fn digits(scalar: Scalar<'_>) -> Result<Option<Cow<'_, str>>, ()> {
    match scalar {
        Scalar::Null => Ok(None),
        Scalar::Number(digits) => Ok(Some(Cow::Borrowed(digits))),
        Scalar::Bool(value) => Ok(Some(Cow::Borrowed(if value { "1" } else { "0" }))),
        Scalar::Text(text) if text.trim().is_empty() => Ok(None),
        Scalar::Text(Cow::Borrowed(text)) => Ok(Some(Cow::Borrowed(text.trim()))),
        Scalar::Text(Cow::Owned(text)) => Ok(Some(Cow::Owned(text.trim().to_owned()))),
        Scalar::Nested(_) => Err(()),
    }
}
