//! A line of the dead letter, as it is read.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use crate::clock::Micros;
use crate::schema::{Kind, LogId};

/// A row that a destination rejected.
#[derive(Debug, Deserialize)]
pub(in crate::pipeline) struct Letter<'a> {
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
    pub(in crate::pipeline) row: Option<LetterRow<'a>>,
    #[serde(borrow)]
    record: Cow<'a, str>,
}

/// The columns by which an event is told.
#[derive(Debug, Deserialize)]
pub(in crate::pipeline) struct LetterRow<'a> {
    #[serde(borrow)]
    pub(in crate::pipeline) event_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(in crate::pipeline) stream_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(in crate::pipeline) event_name: Option<Cow<'a, str>>,
    pub(in crate::pipeline) synced_at_micros_: Option<i64>,
}

impl<'a> Letter<'a> {
    /// The lines of a file. What is no whole line (it is being written, or a crash cut it off) is left out.
    pub(in crate::pipeline) fn all(file: &'a [u8]) -> impl Iterator<Item = Self> {
        let lines = file.split_inclusive(|byte| *byte == b'\n');
        lines.filter_map(Self::read)
    }

    /// A line with its end.
    pub(in crate::pipeline) fn read(line: &'a [u8]) -> Option<Self> {
        serde_json::from_slice(line.strip_suffix(b"\n")?).ok()
    }

    /// When it was rejected; as far as that is not told, when it came.
    pub(in crate::pipeline) fn time(&self) -> Option<Micros> {
        let received = || self.row.as_ref().and_then(|row| row.synced_at_micros_);
        self.rejected_at_micros.or_else(received).map(Micros)
    }

    /// The record as it stood in the log; `None` if the line is damaged.
    pub(in crate::pipeline) fn record(&self) -> Option<(Kind, Vec<u8>)> {
        let kind = match &*self.kind {
            "event" => Kind::Event,
            "document" => Kind::Document,
            _ => return None,
        };
        Some((kind, STANDARD.decode(self.record.as_bytes()).ok()?))
    }
}
