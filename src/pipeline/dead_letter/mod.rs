//! The dead letter: rows that a destination will never take, with the reason, kept for the operator.
//!
//! [`DeadLetterFolder`] keeps them on this machine's disk, [`Elsewhere`] in a place outside of it; from where they can be read,
//! they can be replayed. Where there is none, a row is rejected in the open, which works because nobody was told yet that
//! it is kept.
//!
//! ```text
//! letter     a row in a dead letter        kinds      what a place outside of this machine must do
//! folder     on this machine's disk        elsewhere  outside of it
//! ```

use std::sync::Arc;

use crate::ledger::DestinationTotals;
use crate::schema::SequenceNumber;
use crate::writer::{Batch, RowFault, WriteError};

use super::verdict::Verdicts;

mod elsewhere;
mod folder;
mod kinds;
mod letter;

pub use elsewhere::Elsewhere;
pub(super) use folder::files;
pub use folder::{DeadLetterFault, DeadLetterFolder, FolderArchive};
pub use kinds::{Archive, Excerpt, Letters};
pub(super) use letter::Line;
pub use letter::{Key, Letter};

/// The dead letter of one destination.
#[derive(Debug)]
pub enum DeadLetter {
    /// On this machine's disk.
    Folder(DeadLetterFolder),
    /// In a place outside of it.
    Elsewhere(Elsewhere),
    /// There is none: whoever waits is told.
    Nowhere(Arc<Verdicts>),
}

impl DeadLetter {
    /// Takes the rows of `batch` that have a fault, durably, or tells their senders.
    ///
    /// # Errors
    /// They cannot be taken now; the same call may be made again.
    pub async fn take(&mut self, batch: &Batch, faults: &[RowFault]) -> Result<(), WriteError> {
        match self {
            Self::Folder(folder) => tokio::task::block_in_place(|| folder.take(batch, faults))
                .map_err(WriteError::transient),
            Self::Elsewhere(elsewhere) => elsewhere.take(batch, faults).await,
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
            Self::Elsewhere(elsewhere) => elsewhere.known_between(after, through),
            Self::Nowhere(_) => 0,
        }
    }

    /// Whether it holds this row.
    pub(super) fn knows(&self, sequence: SequenceNumber) -> bool {
        self.known_between(SequenceNumber(sequence.0.saturating_sub(1)), sequence) > 0
    }

    /// Whether it holds any row, as far as it remembers.
    pub(super) fn knows_any(&self) -> bool {
        self.known_between(SequenceNumber::ZERO, SequenceNumber(u64::MAX)) > 0
    }

    /// Forgets numbers up to the cursor: they will not come again.
    pub fn settled(&mut self, through: SequenceNumber) {
        match self {
            Self::Folder(folder) => folder.settled(through),
            Self::Elsewhere(elsewhere) => elsewhere.settled(through),
            Self::Nowhere(_) => {}
        }
    }

    /// As what so many rows count that it took.
    pub fn counted(&self, rows: usize) -> DestinationTotals {
        let mut counted = DestinationTotals::default();
        match self {
            Self::Folder(_) | Self::Elsewhere(_) => counted.dead_lettered = rows as u64,
            Self::Nowhere(_) => counted.rejected = rows as u64,
        }
        counted
    }

    /// What became of a row that it took, for the log.
    pub(super) fn says(&self) -> &'static str {
        match self {
            Self::Folder(_) | Self::Elsewhere(_) => "row was rejected and is in the dead letter",
            Self::Nowhere(_) => "row was rejected; there is no dead letter",
        }
    }
}
