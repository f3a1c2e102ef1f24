//! What appenders, the committer, the upkeep and the readers of a log share.
//!
//! The hot lock covers a copy of the record into a buffer and a number, nothing else; no file is touched
//! under it. Errors and decisions are the committer's.

use std::collections::{HashSet, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::watch;

use crate::clock::Clock;
use crate::durable::{Disk, Lock};
use crate::log::{Commit, CommitError, NewRecord, Refused, Ticket};
use crate::schema::{LogId, SequenceNumber};

use super::Config;
use super::format::{BATCH_HEADER, ENTRY, Entry, before};
use super::quarantine::{Quarantine, alarm};
use super::recovery::Recovered;
use super::segment::Segment;
use super::source::Damage;

const OPEN: u8 = 0;
const BROKEN: u8 = 1;
const CLOSED: u8 = 2;

/// The committer is not waiting.
const AWAKE: u32 = u32::MAX;

/// A buffer keeps this much memory when it is empty.
const KEPT_CAPACITY: usize = 1 << 20;

/// Records that go to the disk together.
#[derive(Debug)]
pub(super) struct Buffer {
    /// Room for the header, then the table.
    pub(super) head: Vec<u8>,
    pub(super) payloads: Vec<u8>,
    pub(super) first: u64,
    pub(super) count: u32,
    pub(super) commit: Arc<Commit>,
}

impl Buffer {
    pub(super) fn new(first: u64) -> Self {
        let head = vec![0; BATCH_HEADER];
        Self {
            head,
            payloads: Vec::new(),
            first,
            count: 0,
            commit: Arc::default(),
        }
    }

    /// Empties it for records from `first` on.
    fn restart(&mut self, first: u64) {
        self.head.truncate(BATCH_HEADER);
        self.head.shrink_to(KEPT_CAPACITY);
        self.payloads.clear();
        self.payloads.shrink_to(KEPT_CAPACITY);
        self.first = first;
        self.count = 0;
        self.commit = Arc::default();
    }

    pub(super) fn size_bytes(&self) -> u64 {
        (self.head.len() + self.payloads.len()) as u64
    }

    /// The number of its last record; the one before `first` if there is none.
    pub(super) fn last(&self) -> u64 {
        self.first + u64::from(self.count) - 1
    }
}

/// What an append changes.
#[derive(Debug)]
pub(super) struct Hot {
    pub(super) buffer: Buffer,
    pub(super) next: u64,
    /// The committer waits to be woken when the buffer holds so many.
    wakes_at: u32,
}

/// What the upkeep has to do.
#[derive(Debug, Default)]
pub(super) struct Chores {
    pub(super) due: bool,
    pub(super) closed: bool,
}

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) config: Config,
    pub(super) disk: Arc<dyn Disk>,
    pub(super) clock: Arc<dyn Clock>,
    hot: Mutex<Hot>,
    wake: Condvar,
    condition: AtomicU8,
    /// Bytes that wait for the disk, those on their way included.
    buffered: AtomicU64,
    /// Bytes of all segments.
    pub(super) stored: AtomicU64,
    pub(super) appended: AtomicU64,
    pub(super) failed: AtomicU64,
    pub(super) durable: watch::Sender<SequenceNumber>,
    pub(super) ids: Mutex<Vec<LogId>>,
    pub(super) segments: Mutex<VecDeque<Arc<Segment>>>,
    pub(super) released: AtomicU64,
    /// The disk was full: released segments go at once.
    pub(super) cramped: AtomicBool,
    /// Whether the spare file is whole. Held while the file changes its name.
    pub(super) spare: Mutex<bool>,
    pub(super) chores: Mutex<Chores>,
    pub(super) chores_wake: Condvar,
    /// Segments that were found damaged, by first number.
    damaged: Mutex<HashSet<u64>>,
    /// Let go when the log closes.
    pub(super) lock: Mutex<Option<Lock>>,
}

/// A lock that outlives a panic of who held it: what it guards is changed in single steps.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn encoded(record: &NewRecord<'_>) -> [u8; ENTRY] {
    let crc = crc32c::crc32c(record.payload);
    // A longer one is refused, under the lock.
    let length = u32::try_from(record.payload.len()).unwrap_or(u32::MAX);
    Entry::encode(length, crc, record.kind, record.key)
}

impl Shared {
    pub(super) fn new(
        config: Config,
        disk: Arc<dyn Disk>,
        clock: Arc<dyn Clock>,
        recovered: Recovered,
        held: Lock,
    ) -> Self {
        let hot = Hot {
            buffer: Buffer::new(recovered.next),
            next: recovered.next,
            wakes_at: AWAKE,
        };
        Self {
            config,
            disk,
            clock,
            hot: Mutex::new(hot),
            wake: Condvar::new(),
            condition: AtomicU8::new(OPEN),
            buffered: AtomicU64::new(0),
            stored: AtomicU64::new(recovered.report.size_bytes),
            appended: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            durable: watch::Sender::new(before(recovered.next)),
            ids: Mutex::new(recovered.ids),
            segments: Mutex::new(recovered.segments),
            released: AtomicU64::new(0),
            cramped: AtomicBool::new(false),
            spare: Mutex::new(recovered.spare),
            chores: Mutex::new(Chores::default()),
            chores_wake: Condvar::new(),
            damaged: Mutex::new(HashSet::new()),
            lock: Mutex::new(Some(held)),
        }
    }

    /// Whether a record of this size may come in. Under the hot lock the answer is exact.
    pub(super) fn admit(&self, payload_bytes: usize) -> Result<(), Refused> {
        match self.condition.load(Ordering::Relaxed) {
            OPEN => {}
            BROKEN => return Err(Refused::Broken),
            _ => return Err(Refused::Closed),
        }
        let size = (payload_bytes + ENTRY) as u64;
        let buffered = self.buffered.load(Ordering::Relaxed);
        let held = self.stored.load(Ordering::Relaxed) + buffered;
        if held + size > self.config.max_bytes || size > u64::from(u32::MAX / 2) {
            return Err(Refused::Full);
        }
        // A record larger than the buffer may go alone.
        if buffered > 0 && buffered + size > self.config.buffer_bytes {
            return Err(Refused::Busy);
        }
        Ok(())
    }

    pub(super) fn append(&self, record: &NewRecord<'_>) -> Result<Ticket, Refused> {
        let entry = encoded(record);
        let guard = lock(&self.hot);
        self.admit(record.payload.len())?;
        Ok(self.push(guard, [(entry, record.payload)]))
    }

    /// Under one hold of the lock, so that they go to the disk in one batch.
    pub(super) fn append_together(&self, records: &[NewRecord<'_>]) -> Result<Ticket, Refused> {
        let entries: Vec<_> = records
            .iter()
            .map(|record| (encoded(record), record.payload))
            .collect();
        let payloads: usize = records.iter().map(|record| record.payload.len()).sum();
        let guard = lock(&self.hot);
        self.admit(payloads + records.len().saturating_sub(1) * ENTRY)?;
        Ok(self.push(guard, entries))
    }

    /// Copies records into the buffer. The ticket of the first.
    fn push<'p>(
        &self,
        mut guard: MutexGuard<'_, Hot>,
        records: impl IntoIterator<Item = ([u8; ENTRY], &'p [u8])>,
    ) -> Ticket {
        let hot = &mut *guard;
        let sequence = SequenceNumber(hot.next);
        let mut size = 0;
        for (entry, payload) in records {
            hot.buffer.head.extend_from_slice(&entry);
            hot.buffer.payloads.extend_from_slice(payload);
            hot.buffer.count += 1;
            hot.next += 1;
            size += payload.len() + ENTRY;
        }
        let commit = Arc::clone(&hot.buffer.commit);
        self.buffered.fetch_add(size as u64, Ordering::Relaxed);
        let wakes = hot.buffer.count >= hot.wakes_at;
        if wakes {
            hot.wakes_at = AWAKE;
        }
        drop(guard);
        if wakes {
            self.wake.notify_one();
        }
        Ticket { sequence, commit }
    }

    /// Waits for records, for the log to be closed, or, while the log is broken, a second.
    pub(super) fn wait_for_work(&self) {
        let mut hot = lock(&self.hot);
        while hot.buffer.count == 0 && !self.is_closed() {
            hot.wakes_at = 1;
            if self.is_broken() {
                let probe = super::committer::PROBE_INTERVAL;
                hot = self
                    .wake
                    .wait_timeout(hot, probe)
                    .unwrap_or_else(PoisonError::into_inner)
                    .0;
                break;
            }
            hot = self.wake.wait(hot).unwrap_or_else(PoisonError::into_inner);
        }
        hot.wakes_at = AWAKE;
    }

    /// Waits until the buffer holds `wanted` records, the time has come, or the log is closed. How many it holds.
    pub(super) fn wait_for_more(&self, wanted: u32, until: Instant) -> u32 {
        let mut hot = lock(&self.hot);
        while hot.buffer.count < wanted && !self.is_closed() {
            let rest = until.saturating_duration_since(Instant::now());
            if rest.is_zero() {
                break;
            }
            hot.wakes_at = wanted;
            let waited = self.wake.wait_timeout(hot, rest);
            hot = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        hot.wakes_at = AWAKE;
        hot.buffer.count
    }

    /// Changes the buffers; whether there is anything to write.
    pub(super) fn take_buffer(&self, back: &mut Buffer) -> bool {
        let mut hot = lock(&self.hot);
        if hot.buffer.count == 0 {
            return false;
        }
        back.restart(hot.next);
        std::mem::swap(&mut hot.buffer, back);
        true
    }

    /// The batch is on the disk.
    pub(super) fn committed(&self, batch: &Buffer) {
        let size = batch.size_bytes();
        self.stored.fetch_add(size, Ordering::Relaxed);
        self.buffered
            .fetch_sub(size - BATCH_HEADER as u64, Ordering::Relaxed);
        self.appended
            .fetch_add(u64::from(batch.count), Ordering::Relaxed);
        self.durable.send_replace(SequenceNumber(batch.last()));
        batch.commit.settle(Ok(()));
    }

    /// The batch is not on the disk, and so what was appended after it cannot be either: its numbers
    /// would leave a hole. All of them are given again.
    pub(super) fn fail(&self, batch: &Buffer, broken: bool) {
        let mut guard = lock(&self.hot);
        let hot = &mut *guard;
        if broken {
            self.set_broken(true);
        }
        let meanwhile = Arc::clone(&hot.buffer.commit);
        let count = u64::from(batch.count) + u64::from(hot.buffer.count);
        hot.next = batch.first;
        hot.buffer.restart(batch.first);
        self.buffered.store(0, Ordering::Relaxed);
        self.failed.fetch_add(count, Ordering::Relaxed);
        drop(guard);
        if batch.commit.result().is_none() {
            batch.commit.settle(Err(CommitError));
        }
        meanwhile.settle(Err(CommitError));
    }

    pub(super) fn is_broken(&self) -> bool {
        self.condition.load(Ordering::Relaxed) == BROKEN
    }

    pub(super) fn is_closed(&self) -> bool {
        self.condition.load(Ordering::Relaxed) == CLOSED
    }

    /// A closed log stays closed.
    pub(super) fn set_broken(&self, broken: bool) {
        let (from, to) = if broken {
            (OPEN, BROKEN)
        } else {
            (BROKEN, OPEN)
        };
        // Whoever lost the race finds the log closed, or as it should be.
        let _unchanged =
            self.condition
                .compare_exchange(from, to, Ordering::Relaxed, Ordering::Relaxed);
    }

    pub(super) fn close(&self) {
        let hot = lock(&self.hot);
        self.condition.store(CLOSED, Ordering::Relaxed);
        drop(hot);
        self.wake.notify_all();
        lock(&self.chores).closed = true;
        self.chores_wake.notify_all();
    }

    /// Whether nothing was appended since the log was opened.
    pub(super) fn is_untouched(&self) -> bool {
        let settled = self.appended.load(Ordering::Relaxed) + self.failed.load(Ordering::Relaxed);
        settled == 0 && self.durable.borrow().0 + 1 == lock(&self.hot).next
    }

    /// Goes on after a number that was used elsewhere. Only of an untouched log.
    pub(super) fn jump(&self, minimum: u64) {
        let mut guard = lock(&self.hot);
        let hot = &mut *guard;
        hot.next = minimum + 1;
        hot.buffer.first = hot.next;
        self.durable.send_replace(SequenceNumber(minimum));
    }

    pub(super) fn size_bytes(&self) -> u64 {
        self.stored.load(Ordering::Relaxed) + self.buffered.load(Ordering::Relaxed)
    }

    /// Whether released segments should go before their time.
    pub(super) fn is_crowded(&self) -> bool {
        let comfortable = self.config.max_bytes - self.config.max_bytes / 8;
        self.cramped.load(Ordering::Relaxed) || self.size_bytes() > comfortable
    }

    pub(super) fn wake_upkeep(&self) {
        lock(&self.chores).due = true;
        self.chores_wake.notify_one();
    }

    /// Raises the alarm for a segment, and keeps a copy of it, once.
    pub(super) fn quarantine_once(&self, segment: &Segment, lost: u64, damage: Damage) {
        if !lock(&self.damaged).insert(segment.header.first) {
            return;
        }
        let quarantine = Quarantine {
            disk: self.disk.as_ref(),
            dir: &self.config.dir,
            max_bytes: self.config.quarantine_bytes(),
        };
        match damage {
            Damage::Before => alarm(&segment.path, lost, damage.reason()),
            Damage::Batch | Damage::Record => {
                quarantine.copy(&segment.path, lost, damage.reason());
            }
        }
    }
}
