//! The log on disk: segments, group commit, recovery.
//!
//! A record is durable when the batch that holds it was synced; all who appended meanwhile share one sync.
//! The log knows nothing of cursors: it forgets what it is told to forget. One process owns a directory
//! (`lock`, by `flock`); others may look with [`read_only`].
//!
//! ```text
//! <dir>/id                              identities, newest first, checksum; replaced atomically
//! <dir>/lock                            held by the owner
//! <dir>/00000000000000000001.segment    named by its first sequence number
//! <dir>/spare                           zero-filled file, or a removed segment, for the next segment
//! <dir>/quarantine/                     copies of damaged files
//!
//! segment = header, batches                                 all integers little endian
//! header  = magic 4 | version u8 | 0 ×3 | log id 16 | first u64 | follows u64 | nonce u64
//!         | created µs i64 | 0 ×4 | crc32c u32              64 bytes; the crc covers the 60 before it
//! batch   = head, table, payloads back to back              one per group commit
//! head    = magic 4 | nonce u64 | count u32 | payload bytes u32 | first u64 | committed µs i64
//!         | crc32c u32                                      40 bytes; the crc covers the 36 before it and the table
//! table   = count × { length u32 | crc32c of payload u32 | kind u32 | key 16 (0: none) }
//! ```
//!
//! - A batch is written after the one before it was synced. So an unsound batch with a sound one behind it
//!   was durable and is damaged; one at the very end was never acknowledged and is cut off. An empty batch
//!   marks a clean end, so that damage to the last batch is told from a crash.
//! - `follows` is the last number before the segment. Records of a segment beyond its follower's `follows`
//!   belong to a batch that failed and whose numbers were given again: they are ignored.
//! - The nonce, drawn for each segment, stands in each of its batches: what is left in a recycled file is not its own.
//! - The table's checksum covers the payloads' checksums: a damaged payload costs one record, a torn batch is seen whole.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::sync::watch;
use uuid::Uuid;

use crate::clock::{Clock, Micros};
use crate::durable::{Disk, Lock};
use crate::log::{Log, NewRecord, Reader, Refused, Ticket};
use crate::schema::{LogId, SequenceNumber};

mod committer;
mod directory;
mod end;
mod format;
mod identity;
mod inspect;
mod keys;
mod place;
mod quarantine;
mod reader;
mod recovery;
mod segment;
mod shared;
mod source;
#[cfg(test)]
mod tests;
mod upkeep;

pub use directory::{identities, read_only};
pub use inspect::{Damaged, Inspection, SegmentFound, inspect};
pub use recovery::RecoveryReport;

use committer::Committer;
use reader::DiskReader;
use segment::Segment;
use shared::{Shared, lock};
use source::{Damage, Place, Source, place_among};
use upkeep::Upkeep;

/// How the log keeps its records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where the files are.
    pub dir: PathBuf,
    /// Most bytes held, without the spare file and the quarantine.
    pub max_bytes: u64,
    /// Size of a segment; at most an eighth of `max_bytes`, so that a full log can be trimmed.
    pub segment_bytes: u64,
    /// Most bytes that may wait for the disk.
    pub buffer_bytes: u64,
    /// How long released records are kept, counted from their commit.
    pub retention: Duration,
    /// Least time between the starts of two commits.
    pub commit_interval: Duration,
}

impl Config {
    /// The defaults for a directory.
    pub fn new(dir: impl Into<PathBuf>, max_bytes: u64) -> Self {
        Self {
            dir: dir.into(),
            max_bytes,
            segment_bytes: 64 << 20,
            buffer_bytes: 16 << 20,
            retention: Duration::from_secs(600),
            commit_interval: Duration::from_millis(3),
        }
    }

    /// What it comes to: the sizes fit each other and the format's 32-bit lengths.
    fn fitted(mut self) -> Self {
        self.segment_bytes = self.segment_bytes.min(self.max_bytes / 8).max(4 << 10);
        self.buffer_bytes = self.buffer_bytes.min(1 << 30);
        self
    }

    fn quarantine_bytes(&self) -> u64 {
        (self.max_bytes / 4).max(self.segment_bytes * 2)
    }
}

/// Why a log cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error("the log in {} is in use by another process", .0.display())]
    Locked(PathBuf),
    /// A newer program wrote it.
    #[error("{} was written by a newer version (format {version}, this program reads up to {})", .path.display(), format::VERSION)]
    NewerVersion {
        /// The segment.
        path: PathBuf,
        /// Its format.
        version: u8,
    },
    /// The disk failed.
    #[error("the log in {} cannot be opened: {source}", .path.display())]
    Io {
        /// What was read or written.
        path: PathBuf,
        /// What happened.
        source: io::Error,
    },
}

impl OpenError {
    fn io(path: &Path, source: io::Error) -> Self {
        Self::Io {
            path: path.to_owned(),
            source,
        }
    }
}

/// The log on disk. Dropping it closes it.
#[derive(Debug)]
pub struct DiskLog {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl DiskLog {
    /// Opens the log in a directory, or makes one, and starts its threads.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(
        config: Config,
        disk: Arc<dyn Disk>,
        clock: Arc<dyn Clock>,
    ) -> Result<(Self, RecoveryReport), OpenError> {
        let dir = config.dir.clone();
        let (log, report, committer, upkeep) = Self::open_idle(config, disk, clock)?;
        let start = |name: &str, work: Box<dyn FnOnce() + Send>| {
            let thread = thread::Builder::new().name(name.to_owned()).spawn(work);
            thread.map_err(|error| OpenError::io(&dir, error))
        };
        // One thread lives as long as the other: if the second cannot start, closing ends the first.
        let commits = start("log-commit", Box::new(move || committer.run()))?;
        lock(&log.threads).push(commits);
        let upkeeps = start("log-upkeep", Box::new(move || upkeep.run()))?;
        lock(&log.threads).push(upkeeps);
        Ok((log, report))
    }

    /// Opens the log without threads; the caller takes their steps.
    fn open_idle(
        config: Config,
        disk: Arc<dyn Disk>,
        clock: Arc<dyn Clock>,
    ) -> Result<(Self, RecoveryReport, Committer, Upkeep), OpenError> {
        let config = config.fitted();
        let held = lock_directory(&config.dir, disk.as_ref())?;
        let recovered = recovery::recover(&config, disk.as_ref())?;
        let report = recovered.report.clone();
        let shared = Arc::new(Shared::new(config, disk, clock, recovered, held));
        let committer = Committer::new(Arc::clone(&shared), report.last.0);
        let upkeep = Upkeep::new(Arc::clone(&shared));
        let log = Self {
            shared,
            threads: Mutex::default(),
        };
        Ok((log, report, committer, upkeep))
    }

    /// The identities it has had, newest first.
    pub fn identities(&self) -> Vec<LogId> {
        lock(&self.shared.ids).clone()
    }

    /// Whether it is a copy of the log that it was, which may go on elsewhere.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn is_copied(&self) -> io::Result<bool> {
        place::is_elsewhere(&self.shared.config.dir, self.shared.disk.as_ref())
    }

    /// Notes that it lies here; from now on it is no copy.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn settle_here(&self) -> io::Result<()> {
        place::note(&self.shared.config.dir, self.shared.disk.as_ref())
    }

    /// Goes on under a new identity, behind `used` if that is beyond its end: a destination or cursor has come to
    /// this number, so the log was rewound or cloned. To be called before the first append. What the log holds
    /// keeps its numbers.
    ///
    /// # Errors
    /// Those of the disk; `ResourceBusy` if something was appended already.
    pub fn renew(&self, used: SequenceNumber) -> io::Result<()> {
        let end = *self.shared.durable.borrow();
        let mut ids = lock(&self.shared.ids);
        let old = ids[0];
        let mut renewed = ids.clone();
        renewed.insert(0, LogId(Uuid::new_v4()));
        if !self.shared.is_untouched() {
            return Err(io::ErrorKind::ResourceBusy.into());
        }
        identity::write(&self.shared.config, self.shared.disk.as_ref(), &renewed)?;
        if used > end {
            self.shared.jump(used.0);
        }
        *ids = renewed;
        tracing::error!(alarm = "log_rewound", end = end.0, used = used.0, old_id = %old, new_id = %ids[0],
            "the log was rewound or copied and goes on under a new identity");
        Ok(())
    }
}

fn lock_directory(dir: &Path, disk: &dyn Disk) -> Result<Lock, OpenError> {
    disk.create_dir_all(dir)
        .map_err(|error| OpenError::io(dir, error))?;
    disk.lock(&place::file(dir))
        .map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => OpenError::Locked(dir.to_owned()),
            _ => OpenError::io(dir, error),
        })
}

impl Log for DiskLog {
    fn id(&self) -> LogId {
        lock(&self.shared.ids)[0]
    }

    fn admit(&self, bytes: usize) -> Result<(), Refused> {
        self.shared.admit(bytes)
    }

    fn append(&self, record: &NewRecord<'_>) -> Result<Ticket, Refused> {
        self.shared.append(record)
    }

    fn append_together(&self, records: &[NewRecord<'_>]) -> Result<Ticket, Refused> {
        self.shared.append_together(records)
    }

    fn durable(&self) -> watch::Receiver<SequenceNumber> {
        self.shared.durable.subscribe()
    }

    fn appended(&self) -> u64 {
        self.shared.appended.load(Ordering::Relaxed)
    }

    fn failed(&self) -> u64 {
        self.shared.failed.load(Ordering::Relaxed)
    }

    fn start(&self) -> SequenceNumber {
        let segments = lock(&self.shared.segments);
        let oldest = segments
            .front()
            .map(|segment| SequenceNumber(segment.header.follows));
        oldest.unwrap_or_else(|| *self.shared.durable.borrow())
    }

    fn size_bytes(&self) -> u64 {
        self.shared.size_bytes()
    }

    fn recent_keys(&self, since: Micros, max: usize) -> io::Result<Vec<(SequenceNumber, u128)>> {
        keys::recent(&self.shared, since, max)
    }

    fn reader(&self, after: SequenceNumber) -> Box<dyn Reader> {
        let end = *self.shared.durable.borrow();
        if after > end {
            tracing::error!(
                alarm = "log_rewound",
                end = end.0,
                after = after.0,
                "a cursor is ahead of the log"
            );
        }
        let after = after.min(end);
        let source: Arc<dyn Source> = Arc::<Shared>::clone(&self.shared);
        Box::new(DiskReader::new(source, after))
    }

    fn observer(&self) -> Box<dyn Reader> {
        let disk = Arc::clone(&self.shared.disk);
        read_only(&self.shared.config.dir, disk, SequenceNumber::ZERO)
    }

    fn release(&self, through: SequenceNumber) {
        self.shared.released.fetch_max(through.0, Ordering::Relaxed);
        if self.shared.is_crowded() {
            self.shared.wake_upkeep();
        }
    }

    fn close(&self) {
        self.shared.close();
        for thread in lock(&self.threads).drain(..) {
            if thread.join().is_err() {
                tracing::error!(alarm = "log_failed", "a thread of the log panicked");
            }
        }
        drop(lock(&self.shared.lock).take());
    }
}

impl Drop for DiskLog {
    fn drop(&mut self) {
        self.close();
    }
}

impl Source for Shared {
    fn locate(&self, sequence: u64) -> io::Result<Option<Place>> {
        Ok(place_among(lock(&self.segments).iter(), sequence))
    }

    fn disk(&self) -> &dyn Disk {
        self.disk.as_ref()
    }

    fn report_damage(&self, segment: &Segment, lost: u64, damage: Damage) {
        self.quarantine_once(segment, lost, damage);
    }

    fn is_foreign(&self) -> bool {
        false
    }

    fn forget(&self) {}
}
