//! The dead letter: rows that a destination will never take, with the reason, kept for the operator.
//!
//! [`DeadLetterFolder`] keeps them on this machine's disk, from where they can be replayed. Where nothing outlives
//! the process there is none: a row is then rejected in the open, which works because nobody was told yet that
//! it is kept.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use crate::ledger::DestinationTotals;
use crate::schema::SequenceNumber;
use crate::writer::{Batch, RowFault};

use super::verdict::Verdicts;

mod folder;
mod letter;

pub use folder::{DeadLetterFault, DeadLetterFolder};
pub(super) use folder::{address_of, files};
pub(super) use letter::Letter;

/// Where rows go that a destination will never take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeadLetterConfig {
    /// Below this folder.
    Folder(PathBuf),
    /// Nowhere: their senders are told.
    Nowhere,
}

impl DeadLetterConfig {
    /// The folder, if it is one.
    pub fn folder(&self) -> Option<&PathBuf> {
        match self {
            Self::Folder(folder) => Some(folder),
            Self::Nowhere => None,
        }
    }
}

/// The dead letter of one destination.
#[derive(Debug)]
pub enum DeadLetter {
    /// On this machine's disk.
    Folder(DeadLetterFolder),
    /// There is none: whoever waits is told.
    Nowhere(Arc<Verdicts>),
}

impl DeadLetter {
    /// Takes the rows of `batch` that have a fault, durably, or tells their senders. Blocks.
    ///
    /// # Errors
    /// Errors of the disk; the same call may be made again.
    pub fn take(&mut self, batch: &Batch, faults: &[RowFault]) -> io::Result<()> {
        match self {
            Self::Folder(folder) => folder.take(batch, faults),
            Self::Nowhere(verdicts) => {
                for fault in faults {
                    verdicts.reject(fault.sequence, &fault.reason);
                }
                Ok(())
            }
        }
    }

    /// How many rows in `(after, through]` it holds.
    pub fn known_between(&self, after: SequenceNumber, through: SequenceNumber) -> u64 {
        match self {
            Self::Folder(folder) => folder.known_between(after, through),
            Self::Nowhere(_) => 0,
        }
    }

    /// Forgets numbers up to the cursor: they will not come again.
    pub fn settled(&mut self, through: SequenceNumber) {
        match self {
            Self::Folder(folder) => folder.settled(through),
            Self::Nowhere(_) => {}
        }
    }

    /// As what so many rows count that it took.
    pub fn counted(&self, rows: usize) -> DestinationTotals {
        let mut counted = DestinationTotals::default();
        match self {
            Self::Folder(_) => counted.dead_lettered = rows as u64,
            Self::Nowhere(_) => counted.rejected = rows as u64,
        }
        counted
    }

    /// What became of a row that it took, for the log.
    pub(super) fn says(&self) -> &'static str {
        match self {
            Self::Folder(_) => "row was rejected and is in the dead letter",
            Self::Nowhere(_) => "row was rejected; there is no dead letter",
        }
    }
}
