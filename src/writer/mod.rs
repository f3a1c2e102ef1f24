//! Writers: one attempt to put a batch into a destination, and an honest report of it.
//!
//! A writer never retries, never drops, never sees an HTTP request, and knows nothing of cursors.
//! All policy (order, back-off, dead letter) lives in `pipeline::delivery`. A writer that can, stores
//! the batch's last sequence number in the same atomic act as its rows and tells it by
//! [`Writer::position`]: that makes the destination exactly-once.

#[cfg(any(feature = "delta", feature = "pubsub"))]
mod background;
#[cfg(feature = "bigquery")]
pub mod bigquery;
#[cfg(feature = "delta")]
pub mod delta;
#[cfg(any(feature = "bigquery", feature = "pubsub"))]
mod google;
mod ledger;

pub use ledger::{LedgerBatch, LedgerTable};

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::schema::{LogId, Record, SequenceNumber};

pub mod memory;
#[cfg(feature = "pubsub")]
pub mod pubsub;

/// Source of an error, for the log.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// How much a writer wants at once. Asked before each batch, so it may change with the load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most rows of a batch.
    pub rows: usize,
    /// Most payload bytes of a batch; a single larger record still makes a batch.
    pub bytes: usize,
    /// How long a batch may wait for more rows, counted from its first.
    pub age: Duration,
    /// Most batches that may be under way at once.
    pub in_flight: usize,
}

/// Records to be written together, in the order of the log, at least one.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The log that numbered the records.
    pub log_id: LogId,
    /// The records, ascending by sequence number; numbers may be missing.
    pub records: Vec<Record>,
    /// The last number that this batch settles: at least that of the last record.
    pub last: SequenceNumber,
    /// The last record of the batch before it, if that one may still be under way: should it fail, this one must not take
    /// its place. `None` once all before it is settled.
    pub previous: Option<SequenceNumber>,
}

/// One row that the destination will never take, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowFault {
    /// Which record.
    pub sequence: SequenceNumber,
    /// Why, for the dead letter.
    pub reason: String,
}

/// Why a batch was not written. The variants are the reactions to it.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// It may work later: the same batch is sent again.
    #[error("{source}")]
    Transient {
        /// What happened.
        source: Cause,
        /// How long the destination asked to wait.
        retry_after: Option<Duration>,
    },
    /// Nothing of the batch was written because of these rows: they go to the dead letter, the rest is sent again.
    #[error("{} rows were rejected", .0.len())]
    Rejected(Vec<RowFault>),
    /// Nobody but the operator can mend it: the delivery stops, the log keeps the records.
    #[error("{0}")]
    Fatal(Cause),
}

impl WriteError {
    /// A transient error with no wish as to when to come back.
    pub fn transient(source: impl Into<Cause>) -> Self {
        Self::Transient {
            source: source.into(),
            retry_after: None,
        }
    }

    /// A fatal error.
    pub fn fatal(source: impl Into<Cause>) -> Self {
        Self::Fatal(source.into())
    }
}

/// A destination for batches.
#[async_trait]
pub trait Writer: Send + Sync + fmt::Debug {
    /// Kind and target, for instance `delta:file:///data/events`: the name of the cursor.
    fn name(&self) -> &str;

    /// How much it wants at once, now.
    fn limits(&self) -> Limits;

    /// Makes the destination ready (creates the table) and tells whether it can be written to.
    ///
    /// # Errors
    /// Transient and fatal ones; never `Rejected`.
    async fn open(&self) -> Result<(), WriteError>;

    /// The last sequence number of this log that the destination holds; `None` if it cannot know or holds none.
    ///
    /// # Errors
    /// Transient and fatal ones; never `Rejected`.
    async fn position(&self, log_id: LogId) -> Result<Option<SequenceNumber>, WriteError>;

    /// The furthest number of this log of which the destination has a row, be it that others before it are missing: a log that
    /// ends before it was rewound.
    ///
    /// # Errors
    /// Transient and fatal ones; never `Rejected`.
    async fn furthest(&self, log_id: LogId) -> Result<Option<SequenceNumber>, WriteError> {
        self.position(log_id).await
    }

    /// Writes a batch, whole or not at all, once.
    ///
    /// # Errors
    /// See [`WriteError`].
    async fn write(&self, batch: &Batch) -> Result<(), WriteError>;

    /// Finishes background work and lets go of what is held. Nothing is written afterwards.
    async fn close(&self);

    /// The table in which it keeps rows of the ledger; `None` if it keeps none. Touches nothing yet.
    ///
    /// # Errors
    /// It cannot be reached with what is configured.
    fn ledger(&self) -> Result<Option<Arc<dyn LedgerTable>>, WriteError> {
        Ok(None)
    }
}
