//! Which rows of unfinished batches are published already, so that another attempt leaves them out.
//!
//! Pub/Sub takes a request whole or not at all, but a batch may need several. What is remembered here ends
//! with the process; after that, duplicates are told by their `event_id`.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::schema::{LogId, SequenceNumber};
use crate::writer::Batch;

/// More are not remembered: batches that are never tried again (of a destination that was detached) leave theirs.
const MOST: usize = 100_000;

/// The rows.
#[derive(Debug, Default)]
pub(super) struct Sent(Mutex<HashSet<(LogId, SequenceNumber)>>);

impl Sent {
    fn rows(&self) -> MutexGuard<'_, HashSet<(LogId, SequenceNumber)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the row was published by an attempt before.
    pub(super) fn contains(&self, log_id: LogId, sequence: SequenceNumber) -> bool {
        self.rows().contains(&(log_id, sequence))
    }

    /// Remembers rows of a batch that is not finished.
    pub(super) fn remember(
        &self,
        log_id: LogId,
        sequences: impl IntoIterator<Item = SequenceNumber>,
    ) {
        let mut rows = self.rows();
        if rows.len() >= MOST {
            rows.clear();
        }
        rows.extend(sequences.into_iter().map(|sequence| (log_id, sequence)));
    }

    /// Forgets the rows of a batch that is finished.
    pub(super) fn forget(&self, batch: &Batch) {
        let mut rows = self.rows();
        if rows.is_empty() {
            return;
        }
        for record in &batch.records {
            rows.remove(&(batch.log_id, record.sequence));
        }
        if rows.is_empty() {
            rows.shrink_to_fit();
        }
    }
}
