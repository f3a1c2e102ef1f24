//! The table beside that of the events in which a destination keeps rows of the ledger.
//!
//! Like a writer, it makes one attempt and reports; when rows are written and what happens to those that are not is
//! `pipeline::book`'s to decide.

use std::fmt;

use async_trait::async_trait;

use crate::schema::{LedgerRow, LogId};

use super::WriteError;

/// Rows of the ledger to be written together, at least one.
#[derive(Clone, Debug)]
pub struct LedgerBatch {
    /// Identity of the log that the rows are of.
    pub log_id: LogId,
    /// Their number among the batches of this log for this destination: each is greater than the one before.
    pub number: u64,
    /// The rows. Those of a batch that comes again are the same.
    pub rows: Vec<LedgerRow>,
}

/// See the module.
#[async_trait]
pub trait LedgerTable: Send + Sync + fmt::Debug {
    /// Writes a batch, and makes the table first if it is missing. A batch of which it was not known whether it was written
    /// comes again: then its rows are there once or, told by their `row_id`, twice.
    ///
    /// # Errors
    /// Transient and fatal ones; never `Rejected`.
    async fn write(&self, batch: &LedgerBatch) -> Result<(), WriteError>;

    /// Finishes background work and lets go of what is held.
    async fn close(&self);
}
