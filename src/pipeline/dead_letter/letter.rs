//! A row in a dead letter, and the line of JSON that it is in files and objects:
//!
//! ```json
//! {"version":1,"log_id":"…","sequence":7,"destination":"delta:…","reason":"…","rejected_at_micros":1795219200000000,
//!  "kind":"event","row":{…},"record":"<base64>"}
//! ```
//!
//! The key (log id, sequence number, destination) is that of the row wherever it is kept. What is there twice under one key is one row.

use std::borrow::Cow;
use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::clock::Micros;
use crate::durable::NewerVersion;
use crate::schema::{self, Kind, LogId, Record};

/// The version of a line that this program writes, and the newest that it reads.
const VERSION: u32 = 1;

/// A record of a log.
pub type Key = (LogId, u64);

/// A row that a destination rejected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    /// The log in which it was rejected.
    pub log_id: LogId,
    /// Its number there.
    pub sequence: u64,
    /// Who rejected it.
    pub destination: String,
    /// Why.
    pub reason: String,
    /// When; as far as that is not told, when it came.
    pub rejected_at: Option<Micros>,
    /// The record as it stood in the log; `None` if what was kept is damaged.
    pub record: Option<(Kind, Bytes)>,
}

impl Letter {
    /// A record that was rejected now.
    pub fn of(
        record: &Record,
        log_id: LogId,
        destination: &str,
        reason: &str,
        now: Micros,
    ) -> Self {
        Self {
            log_id,
            sequence: record.sequence.0,
            destination: destination.to_owned(),
            reason: reason.to_owned(),
            rejected_at: Some(now),
            record: Some((record.kind, record.payload.clone())),
        }
    }

    /// Which record of which log it is.
    pub fn key(&self) -> Key {
        (self.log_id, self.sequence)
    }

    /// As a line of JSON, with its end.
    ///
    /// # Errors
    /// It cannot be JSON.
    pub fn line(&self) -> io::Result<Vec<u8>> {
        let (kind, row, record) = match &self.record {
            Some((Kind::Event, payload)) => ("event", row(payload), STANDARD.encode(payload)),
            Some((Kind::Document, payload)) => ("document", Value::Null, STANDARD.encode(payload)),
            // Deliveries have unpacked replayed ones.
            Some((Kind::Replayed, _)) | None => ("none", Value::Null, String::new()),
        };
        let mut line = serde_json::to_vec(&json!({
            "version": VERSION,
            "log_id": self.log_id.to_string(),
            "sequence": self.sequence,
            "destination": self.destination,
            "reason": self.reason,
            "rejected_at_micros": self.rejected_at.map(|time| time.0),
            "kind": kind,
            "row": row,
            "record": record,
        }))?;
        line.push(b'\n');
        Ok(line)
    }

    /// Those of a destination, by the lines of a file. What is no whole line (it is being written, or a crash cut it off)
    /// is left out.
    ///
    /// # Errors
    /// A line is of a newer version.
    pub fn of_lines(file: &[u8], destination: &str) -> io::Result<Vec<Self>> {
        let mut letters = Vec::new();
        for text in file.split_inclusive(|byte| *byte == b'\n') {
            check_version(text)?;
            letters.extend(Line::read(text).map(|line| Self {
                log_id: line.log_id,
                sequence: line.sequence,
                destination: destination.to_owned(),
                rejected_at: line.time(),
                record: line.record(),
                reason: line.reason.into_owned(),
            }));
        }
        Ok(letters)
    }
}

/// Refuses a line that a newer program wrote.
pub(super) fn check_version(line: &[u8]) -> io::Result<()> {
    #[derive(Deserialize)]
    struct Version {
        version: u32,
    }
    // Lines of the first programs have none; what is no line is another's to judge.
    match serde_json::from_slice(line) {
        Ok(Version { version }) => NewerVersion::check(version, VERSION),
        Err(_) => Ok(()),
    }
}

/// The row as JSON, if the record can be read at all.
fn row(payload: &[u8]) -> Value {
    let mut text = Vec::new();
    match schema::json::write_row(payload, &mut text) {
        Ok(()) => serde_json::from_slice(&text).unwrap_or_default(),
        Err(_) => Value::Null,
    }
}

/// A line as it is read.
#[derive(Debug, Deserialize)]
pub(in crate::pipeline) struct Line<'a> {
    pub(in crate::pipeline) log_id: LogId,
    pub(in crate::pipeline) sequence: u64,
    #[serde(borrow)]
    pub(in crate::pipeline) reason: Cow<'a, str>,
    /// Lines of older versions do not tell.
    rejected_at_micros: Option<i64>,
    #[serde(borrow)]
    kind: Cow<'a, str>,
    /// What is told of the row; `None` for a document.
    #[serde(borrow)]
    pub(in crate::pipeline) row: Option<LineRow<'a>>,
    #[serde(borrow)]
    record: Cow<'a, str>,
}

/// The columns by which an event is told.
#[derive(Debug, Deserialize)]
pub(in crate::pipeline) struct LineRow<'a> {
    #[serde(borrow)]
    pub(in crate::pipeline) event_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(in crate::pipeline) stream_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(in crate::pipeline) event_name: Option<Cow<'a, str>>,
    pub(in crate::pipeline) synced_at_micros_: Option<i64>,
}

impl<'a> Line<'a> {
    /// A line with its end; `None` if it is cut off.
    pub(in crate::pipeline) fn read(line: &'a [u8]) -> Option<Self> {
        serde_json::from_slice(line.strip_suffix(b"\n")?).ok()
    }

    fn time(&self) -> Option<Micros> {
        let received = || self.row.as_ref().and_then(|row| row.synced_at_micros_);
        self.rejected_at_micros.or_else(received).map(Micros)
    }

    fn record(&self) -> Option<(Kind, Bytes)> {
        let kind = match &*self.kind {
            "event" => Kind::Event,
            "document" => Kind::Document,
            _ => return None,
        };
        let record = STANDARD.decode(self.record.as_bytes()).ok()?;
        Some((kind, record.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::SequenceNumber;

    #[test]
    fn a_letter_survives_its_line_and_half_a_line_is_none() {
        let record = Record {
            sequence: SequenceNumber(7),
            kind: Kind::Event,
            payload: Bytes::from_static(b"\x0a\xff no row"),
        };
        let log_id = LogId(uuid::Uuid::from_u128(1));
        let letter = Letter::of(&record, log_id, "memory:a", "so \"bad\"\n", Micros(5));
        let line = letter.line().unwrap();
        let read = |line: &[u8]| Letter::of_lines(line, "memory:a");
        assert_eq!(read(&line).unwrap(), [letter]);
        assert!(read(&line[..line.len() - 1]).unwrap().is_empty());
        let newer = String::from_utf8(line).unwrap();
        let newer = newer.replacen("\"version\":1", "\"version\":2", 1);
        let error = read(newer.as_bytes()).unwrap_err().to_string();
        assert!(
            error.contains("format 2") && error.contains("up to 1"),
            "{error}"
        );
    }
}
