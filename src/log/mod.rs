//! The log: an append-only sequence of encoded records, each with a sequence number.
//!
//! `DiskLog` keeps segments on disk; `MemoryLog` is a bounded ring.
//! Nothing else in the program knows which one it is. The log knows nothing of what the records mean,
//! who reads them, or why a key is given to some of them.

use std::fmt;
use std::io;

use tokio::sync::watch;

use crate::clock::Micros;
use crate::schema::{Kind, LogId, Record, SequenceNumber};

pub mod commit;
pub mod disk;
mod memory;

pub use commit::{Commit, CommitError, Ticket};
pub use disk::DiskLog;
pub use memory::MemoryLog;

/// Why the log takes nothing now. Nothing of the record is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The log holds as many bytes as it may.
    #[error("the log is full")]
    Full,
    /// More bytes wait for the disk than may.
    #[error("the log is busy")]
    Busy,
    /// The disk cannot be written.
    #[error("the log cannot be written")]
    Broken,
    /// The log was closed: the process is stopping.
    #[error("the log is closed")]
    Closed,
}

/// A record to append.
#[derive(Clone, Copy, Debug)]
pub struct NewRecord<'a> {
    /// What the payload is.
    pub kind: Kind,
    /// Hash by which duplicates of it are told; `None` if there can be none.
    pub key: Option<u128>,
    /// The encoded message.
    pub payload: &'a [u8],
}

/// What a reader found.
#[derive(Debug, Default)]
pub struct Chunk {
    /// Records, ascending.
    pub records: Vec<Record>,
    /// The last number looked at: all up to here are in `records` or damaged. Equal to the reader's start if there was nothing.
    pub last: SequenceNumber,
    /// How many records between the start and `last` are damaged and can never be read.
    pub damaged: u64,
}

/// Reads a log from a place on, never beyond its durable mark.
pub trait Reader: Send + fmt::Debug {
    /// The next records, at least one if there is any, up to about `max_bytes` of payload and `max_records`. Does not wait.
    /// Blocks on the disk.
    ///
    /// # Errors
    /// Errors of the disk; the same call may be made again.
    fn read(&mut self, max_records: usize, max_bytes: usize) -> io::Result<Chunk>;
}

/// An append-only sequence of records.
pub trait Log: Send + Sync + fmt::Debug {
    /// Its identity.
    fn id(&self) -> LogId;

    /// Whether a record of this size would be taken now. Costs nothing; [`append`](Self::append) decides.
    ///
    /// # Errors
    /// Why not.
    fn admit(&self, bytes: usize) -> Result<(), Refused>;

    /// Appends a record and gives it the next number. The ticket tells when it is durable.
    ///
    /// # Errors
    /// Why not; then nothing of it is kept.
    fn append(&self, record: &NewRecord<'_>) -> Result<Ticket, Refused>;

    /// Appends records that are durable together or not at all. The ticket is that of the first; the others have the numbers after
    /// it, and the same commit.
    ///
    /// # Errors
    /// Why not; then nothing of any is kept.
    fn append_together(&self, records: &[NewRecord<'_>]) -> Result<Ticket, Refused>;

    /// The last durable number, watched.
    fn durable(&self) -> watch::Receiver<SequenceNumber>;

    /// Records made durable since it was opened.
    fn appended(&self) -> u64;

    /// Records whose commit failed since it was opened.
    fn failed(&self) -> u64;

    /// The last number before the oldest record held.
    fn start(&self) -> SequenceNumber;

    /// Bytes held.
    fn size_bytes(&self) -> u64;

    /// Keys of the records committed at or after `since`, at most `max` of the newest, oldest first.
    /// Asked once, at start.
    ///
    /// # Errors
    /// Errors of the disk.
    fn recent_keys(&self, since: Micros, max: usize) -> io::Result<Vec<(SequenceNumber, u128)>>;

    /// A reader of what follows `after`.
    fn reader(&self, after: SequenceNumber) -> Box<dyn Reader>;

    /// A reader of all that is held, oldest first, for one who only looks: what is forgotten meanwhile it passes over, and damage
    /// is somebody else's concern.
    fn observer(&self) -> Box<dyn Reader>;

    /// Says that nobody will read up to here again. The log may forget it, at once or later.
    fn release(&self, through: SequenceNumber);

    /// Takes nothing more, makes durable what it took, lets go of the disk. Blocks.
    fn close(&self);
}
