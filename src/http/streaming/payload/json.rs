//! A pull reader of JSON text (RFC 8259): the caller asks for what it expects, nothing is built.
//!
//! It is here because three things are wanted at once that the usual deserialisers give one at a time:
//! numbers with the digits that were sent, a peek at what comes next, and unpaired surrogates (which
//! browsers do send, when a script cuts a text in the middle of an emoji) replaced instead of refused.
//! It never recurses; a test holds what it accepts against `serde_json`.

use std::borrow::Cow;

use super::Malformed;

/// Deepest nesting of what is skipped: one bit each in a `u128`.
const MAX_DEPTH: u32 = 128;

/// What stands next in the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Object,
    Array,
    Text,
    Number,
    Bool,
    Null,
}

/// A value that is not entered.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Scalar<'de> {
    Null,
    Bool(bool),
    /// The digits as sent.
    Number(&'de str),
    Text(Cow<'de, str>),
    /// An object or array, as JSON text.
    Nested(&'de str),
}

/// Reads a text from left to right.
#[derive(Debug)]
pub(super) struct Reader<'de> {
    text: &'de str,
    at: usize,
    /// An object or array was entered and nothing of it was read yet.
    fresh: bool,
    /// An unpaired surrogate was replaced by U+FFFD.
    pub(super) replaced: bool,
}

impl<'de> Reader<'de> {
    pub(super) fn new(text: &'de str) -> Self {
        Self {
            text,
            at: 0,
            fresh: false,
            replaced: false,
        }
    }

    /// Where it stands, for [`rewind`](Self::rewind).
    pub(super) fn position(&self) -> usize {
        self.at
    }

    /// Goes back to a position at which a value begins.
    pub(super) fn rewind(&mut self, position: usize) {
        self.at = position;
        self.fresh = false;
    }

    /// What comes next.
    pub(super) fn peek(&mut self) -> Result<Kind, Malformed> {
        match self.next_byte() {
            Some(b'{') => Ok(Kind::Object),
            Some(b'[') => Ok(Kind::Array),
            Some(b'"') => Ok(Kind::Text),
            Some(b'-' | b'0'..=b'9') => Ok(Kind::Number),
            Some(b't' | b'f') => Ok(Kind::Bool),
            Some(b'n') => Ok(Kind::Null),
            _ => Err(self.malformed("a value is expected")),
        }
    }

    /// Enters the object or array that was peeked at.
    pub(super) fn enter(&mut self) {
        self.at += 1;
        self.fresh = true;
    }

    /// The next key of the object entered last; `None` at its end, which is then left.
    pub(super) fn next_key(&mut self) -> Result<Option<Cow<'de, str>>, Malformed> {
        if !self.advance(b'}')? {
            return Ok(None);
        }
        if self.next_byte() != Some(b'"') {
            return Err(self.malformed("a key in double quotes is expected"));
        }
        let key = self.text()?;
        if self.next_byte() != Some(b':') {
            return Err(self.malformed("':' is expected after a key"));
        }
        self.at += 1;
        Ok(Some(key))
    }

    /// Goes to the next element of the array entered last; false at its end, which is then left.
    pub(super) fn next_element(&mut self) -> Result<bool, Malformed> {
        self.advance(b']')
    }

    /// Reads a value whole.
    pub(super) fn scalar(&mut self) -> Result<Scalar<'de>, Malformed> {
        Ok(match self.peek()? {
            Kind::Text => Scalar::Text(self.text()?),
            Kind::Number => Scalar::Number(self.number()?),
            Kind::Bool => Scalar::Bool(self.literal()? == "true"),
            Kind::Null => {
                self.literal()?;
                Scalar::Null
            }
            Kind::Object | Kind::Array => Scalar::Nested(self.skip()?),
        })
    }

    /// Reads past a value of any kind and returns its text.
    pub(super) fn skip(&mut self) -> Result<&'de str, Malformed> {
        let mut open: u128 = 0; // A bit for each level, 1 for an object.
        let mut depth = 0;
        self.next_byte();
        let start = self.at;
        loop {
            match self.peek()? {
                Kind::Text => {
                    self.raw_text()?;
                }
                Kind::Number => {
                    self.number()?;
                }
                Kind::Bool | Kind::Null => {
                    self.literal()?;
                }
                kind @ (Kind::Object | Kind::Array) => {
                    if depth == MAX_DEPTH {
                        return Err(self.malformed("nested too deep"));
                    }
                    depth += 1;
                    open = open << 1 | u128::from(kind == Kind::Object);
                    self.enter();
                }
            }
            // To the next value, out of all that end here.
            loop {
                if depth == 0 {
                    return Ok(&self.text[start..self.at]);
                }
                let more = if open & 1 == 1 {
                    self.next_key()?.is_some()
                } else {
                    self.next_element()?
                };
                if more {
                    break;
                }
                depth -= 1;
                open >>= 1;
            }
        }
    }

    /// Fails if anything but white space is left.
    pub(super) fn finish(&mut self) -> Result<(), Malformed> {
        match self.next_byte() {
            None => Ok(()),
            Some(_) => Err(self.malformed("the text goes on after its end")),
        }
    }

    /// Goes past a comma, or past the opening of a container; false at its end.
    fn advance(&mut self, end: u8) -> Result<bool, Malformed> {
        let fresh = std::mem::take(&mut self.fresh);
        match self.next_byte() {
            Some(byte) if byte == end => {
                self.at += 1;
                Ok(false)
            }
            Some(_) if fresh => Ok(true),
            Some(b',') => {
                self.at += 1;
                Ok(true)
            }
            _ => Err(self.malformed("',' or the end of an object or array is expected")),
        }
    }

    /// The next byte that is not white space, not consumed.
    fn next_byte(&mut self) -> Option<u8> {
        let bytes = self.text.as_bytes();
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = bytes.get(self.at) {
            self.at += 1;
        }
        bytes.get(self.at).copied()
    }

    fn literal(&mut self) -> Result<&'de str, Malformed> {
        let rest = &self.text[self.at..];
        for literal in ["true", "false", "null"] {
            if rest.starts_with(literal) {
                self.at += literal.len();
                return Ok(&rest[..literal.len()]);
            }
        }
        Err(self.malformed("a value is expected"))
    }

    fn number(&mut self) -> Result<&'de str, Malformed> {
        let start = self.at;
        self.at += usize::from(self.byte() == Some(b'-'));
        let leading_zero = self.byte() == Some(b'0');
        let whole = self.digits();
        if whole == 0 || (leading_zero && whole > 1) {
            return Err(self.malformed("this is not a number"));
        }
        if self.byte() == Some(b'.') {
            self.at += 1;
            if self.digits() == 0 {
                return Err(self.malformed("digits are expected after '.'"));
            }
        }
        if let Some(b'e' | b'E') = self.byte() {
            self.at += 1;
            self.at += usize::from(matches!(self.byte(), Some(b'+' | b'-')));
            if self.digits() == 0 {
                return Err(self.malformed("digits are expected in an exponent"));
            }
        }
        Ok(&self.text[start..self.at])
    }

    fn digits(&mut self) -> usize {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.byte() {
            self.at += 1;
        }
        self.at - start
    }

    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn text(&mut self) -> Result<Cow<'de, str>, Malformed> {
        let (raw, escaped) = self.raw_text()?;
        if !escaped {
            return Ok(Cow::Borrowed(raw));
        }
        let (text, replaced) = unescape(raw);
        self.replaced |= replaced;
        Ok(Cow::Owned(text))
    }

    /// What stands between the quotes, its escapes checked but kept, and whether there are any.
    fn raw_text(&mut self) -> Result<(&'de str, bool), Malformed> {
        let bytes = self.text.as_bytes();
        let start = self.at + 1;
        let mut escaped = false;
        self.at = start;
        loop {
            match bytes.get(self.at) {
                Some(b'"') => {
                    let raw = &self.text[start..self.at];
                    self.at += 1;
                    return Ok((raw, escaped));
                }
                Some(b'\\') => {
                    escaped = true;
                    self.at += self.escape_length()?;
                }
                Some(0x20..) => self.at += 1,
                Some(_) => return Err(self.malformed("a control character stands in a text")),
                None => return Err(self.malformed("a text does not end")),
            }
        }
    }

    fn escape_length(&self) -> Result<usize, Malformed> {
        let escape = &self.text.as_bytes()[self.at..];
        match escape.get(1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(2),
            Some(b'u') if escape.len() >= 6 && escape[2..6].iter().all(u8::is_ascii_hexdigit) => {
                Ok(6)
            }
            _ => Err(self.malformed("an escape in a text is not valid")),
        }
    }

    fn malformed(&self, what: &'static str) -> Malformed {
        Malformed {
            what,
            offset: self.at,
        }
    }
}

/// Text with its escapes resolved; they are valid. Tells whether an unpaired surrogate was replaced.
fn unescape(raw: &str) -> (String, bool) {
    let mut text = String::with_capacity(raw.len());
    let mut replaced = false;
    let mut rest = raw;
    while let Some(backslash) = rest.find('\\') {
        text.push_str(&rest[..backslash]);
        let escape = &rest[backslash..];
        let (character, length) = match escape.as_bytes()[1] {
            b'u' => code_point(escape),
            b'b' => (Some('\u{8}'), 2),
            b'f' => (Some('\u{c}'), 2),
            b'n' => (Some('\n'), 2),
            b'r' => (Some('\r'), 2),
            b't' => (Some('\t'), 2),
            same => (Some(char::from(same)), 2),
        };
        replaced |= character.is_none();
        text.push(character.unwrap_or(char::REPLACEMENT_CHARACTER));
        rest = &escape[length..];
    }
    text.push_str(rest);
    (text, replaced)
}

/// The character of `\uXXXX`, or of two of them that make a pair, and the length of the escape; `None` for half a pair.
fn code_point(escape: &str) -> (Option<char>, usize) {
    let Some(first) = code_unit(escape) else {
        return (None, 2);
    };
    if let Some(second @ 0xDC00..=0xDFFF) = code_unit(&escape[6..])
        && let 0xD800..=0xDBFF = first
    {
        let pair = 0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00);
        return (char::from_u32(pair), 12);
    }
    (char::from_u32(first), 6)
}

fn code_unit(escape: &str) -> Option<u32> {
    let digits = escape.strip_prefix("\\u")?.get(..4)?;
    u32::from_str_radix(digits, 16).ok()
}
