//! Write streams: the default one of each table, which has no end to speak of, and those that clients made.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::Notify;
use tonic::Status;
use xxhash_rust::xxh3::Xxh3;

use super::table::TableName;

/// Name of a stream.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct StreamName {
    pub table: TableName,
    pub stream: String,
}

impl StreamName {
    /// Of `projects/…/tables/…/streams/…`; the default stream also goes without `streams/`.
    ///
    /// # Errors
    /// It is no name of a stream.
    pub(super) fn parse(path: &str) -> Result<Self, Status> {
        let parsed = TableName::of_path(path).and_then(|(table, rest)| {
            let stream = match rest {
                "_default" => rest,
                rest => rest.strip_prefix("streams/")?,
            };
            let is_whole = !stream.is_empty() && !stream.contains('/');
            is_whole.then(|| Self {
                table,
                stream: stream.to_owned(),
            })
        });
        parsed.ok_or_else(|| Status::invalid_argument(format!("Invalid stream name {path}")))
    }

    pub(super) fn path(&self) -> String {
        format!("{}/streams/{}", self.table.path(), self.stream)
    }

    pub(super) fn is_default(&self) -> bool {
        self.stream == "_default"
    }
}

/// A stream that a client made.
#[derive(Debug)]
pub(super) struct Stream {
    /// Of the table for which it was made.
    pub generation: u64,
    /// Rows in it.
    pub end: i64,
    pub is_finalized: bool,
    /// The connection that may write, and how it learns that it may not any more.
    pub owner: Option<(u64, Arc<Notify>)>,
    /// Hash of the rows of each request, by its offset.
    written: BTreeMap<i64, u64>,
}

impl Stream {
    pub(super) fn new(generation: u64) -> Self {
        Self {
            generation,
            end: 0,
            is_finalized: false,
            owner: None,
            written: BTreeMap::new(),
        }
    }

    /// Rows were appended.
    pub(super) fn append(&mut self, rows: &[Bytes]) {
        self.written.insert(self.end, hash(rows));
        self.end += i64::try_from(rows.len()).expect("few enough");
    }

    /// Whether exactly these rows were written at this offset.
    pub(super) fn holds(&self, offset: i64, rows: &[Bytes]) -> bool {
        self.written.get(&offset) == Some(&hash(rows))
    }
}

fn hash(rows: &[Bytes]) -> u64 {
    let mut hash = Xxh3::new();
    for row in rows {
        hash.update(&row.len().to_le_bytes());
        hash.update(row);
    }
    hash.digest()
}
