//! The commit that a record waits for: one for all records that go to the disk together.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use tokio::sync::Notify;

use crate::schema::SequenceNumber;

const PENDING: u8 = 0;
const DURABLE: u8 = 1;
const FAILED: u8 = 2;

/// The record was not made durable and is not in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the record could not be made durable")]
pub struct CommitError;

/// Shared by all records of one group commit; settled once.
#[derive(Debug, Default)]
pub struct Commit {
    state: AtomicU8,
    settled: Notify,
}

impl Commit {
    /// A commit that is durable already.
    pub fn durable() -> Arc<Self> {
        Arc::new(Self {
            state: AtomicU8::new(DURABLE),
            settled: Notify::new(),
        })
    }

    /// Settles it and wakes all who wait, at once.
    pub(crate) fn settle(&self, result: Result<(), CommitError>) {
        let state = if result.is_ok() { DURABLE } else { FAILED };
        self.state.store(state, Ordering::Release);
        self.settled.notify_waiters();
    }

    /// The result, if there is one yet.
    pub fn result(&self) -> Option<Result<(), CommitError>> {
        match self.state.load(Ordering::Acquire) {
            PENDING => None,
            DURABLE => Some(Ok(())),
            _ => Some(Err(CommitError)),
        }
    }

    /// Waits for the result.
    ///
    /// # Errors
    /// The record is not in the log.
    pub async fn wait(&self) -> Result<(), CommitError> {
        loop {
            let settled = self.settled.notified();
            if let Some(result) = self.result() {
                return result;
            }
            settled.await;
        }
    }
}

/// What an appended record gets: its number and the commit it waits for.
#[derive(Clone, Debug)]
#[must_use = "whoever appends answers for the record"]
pub struct Ticket {
    /// Its place in the log, final once the commit is durable.
    pub sequence: SequenceNumber,
    /// When it is durable.
    pub commit: Arc<Commit>,
}

impl Ticket {
    /// The tickets of so many records that were appended together, of which this is the first.
    pub fn together(&self, count: usize) -> impl Iterator<Item = Self> {
        (self.sequence.0..).take(count).map(|number| Self {
            sequence: SequenceNumber(number),
            commit: Arc::clone(&self.commit),
        })
    }
}
