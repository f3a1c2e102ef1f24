//! The one thread that writes: buffer by buffer, each synced before the next is written.
//!
//! A failed write or sync ends its segment: the file is cut to its last durable length, closed and never
//! synced again, because after a failed sync the kernel may call lost data clean. The next batch begins a
//! new segment with the same number. While none can be begun the log refuses, and a probe tries once a second.
//!
//! Commits are kept `commit_interval` apart, so that many share one sync. To wait on when nobody more will come
//! costs time for nothing: now and then a whole interval is waited out to see how many come, and in
//! between a commit begins when about as many are there.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use uuid::Uuid;

use crate::durable::DiskFile;
use crate::ledger::Trouble;

use super::format::{BatchHeader, SEGMENT_HEADER, SegmentHeader};
use super::recovery::{SPARE, segment_path};
use super::segment::{self, Segment};
use super::shared::{Buffer, Shared, lock};

/// How often a broken log tries to begin a segment.
pub(super) const PROBE_INTERVAL: Duration = Duration::from_secs(1);

/// One commit in so many waits out its interval.
const COMMITS_TO_A_CENSUS: u32 = 16;

#[derive(Debug)]
pub(super) struct Committer {
    shared: Arc<Shared>,
    active: Option<Active>,
    back: Buffer,
    /// The last number that is held or known to be lost.
    end: u64,
    failed_at: Option<Instant>,
    /// Batches cannot be made durable.
    failing: Trouble,
}

/// The segment that is written to.
#[derive(Debug)]
struct Active {
    segment: Arc<Segment>,
    file: Box<dyn DiskFile>,
    written: u64,
    /// It was not filled before.
    grows: bool,
}

impl Committer {
    /// Goes on after `end`.
    pub(super) fn new(shared: Arc<Shared>, end: u64) -> Self {
        Self {
            shared,
            active: None,
            back: Buffer::new(0),
            end,
            failed_at: None,
            failing: Trouble::default(),
        }
    }

    /// Commits until the log is closed.
    pub(super) fn run(mut self) {
        let mut started: Option<Instant> = None;
        let mut enough = u32::MAX;
        for commit in 0_u32.. {
            self.shared.wait_for_work();
            if self.shared.is_closed() {
                return self.finish();
            }
            let is_census = commit % COMMITS_TO_A_CENSUS == 0;
            if let Some(started) = started {
                let until = started + self.shared.config.commit_interval;
                let wanted = if is_census { u32::MAX } else { enough };
                let came = self.shared.wait_for_more(wanted, until);
                if is_census {
                    enough = came - came / 8;
                }
            }
            started = Some(Instant::now());
            self.step();
        }
    }

    /// One commit of all that was appended, or one attempt to mend a broken log.
    pub(super) fn step(&mut self) {
        if self.shared.is_broken() {
            self.probe();
        }
        if !self.shared.take_buffer(&mut self.back) {
            return;
        }
        match self.write() {
            Ok(()) => {
                self.end = self.back.last();
                if self.failing.ends() {
                    tracing::info!("batches are durable again");
                }
                self.shared.committed(&self.back);
            }
            Err(error) => self.fail(&error),
        }
    }

    /// Makes durable what was taken, marks the end, lets go of the file.
    pub(super) fn finish(&mut self) {
        self.step();
        if let Some(active) = self.active.take()
            && let Err(error) = self.mark_end(&active)
        {
            tracing::warn!(%error, "the log's end was not marked");
        }
    }

    fn write(&mut self) -> io::Result<()> {
        let size = self.back.size_bytes();
        let segment_bytes = self.shared.config.segment_bytes;
        // A file that grows with each batch is slower to sync than one that was filled before.
        let is_spare_ready = *lock(&self.shared.spare);
        let is_full = |active: &Active| {
            let is_over = active.written + size > segment_bytes || active.grows && is_spare_ready;
            active.written > SEGMENT_HEADER as u64 && is_over
        };
        self.active = self.active.take().filter(|active| !is_full(active));
        let mut active = match self.active.take() {
            Some(active) => active,
            None => self.begin_segment(self.back.first)?,
        };
        let header = BatchHeader {
            nonce: active.segment.header.nonce,
            count: self.back.count,
            payload_bytes: u32::try_from(self.back.payloads.len()).map_err(io::Error::other)?,
            first: self.back.first,
            committed: self.shared.clock.now(),
        };
        header.seal(&mut self.back.head);
        let written = write_batch(&active, &self.back);
        if written.is_ok() {
            active.written += size;
            active
                .segment
                .publish(active.written, self.back.last(), header.committed);
        } else if let Err(error) = active.file.truncate(active.written) {
            // Harmless: a segment's batches end where the next segment begins.
            tracing::debug!(%error, "a failed segment was not cut");
        }
        self.active = written.is_ok().then_some(active);
        written
    }

    /// A second failure within a second means that the disk, not the file, is at fault.
    fn fail(&mut self, error: &io::Error) {
        let again = self
            .failed_at
            .is_some_and(|at| at.elapsed() < PROBE_INTERVAL);
        self.failed_at = Some(Instant::now());
        let (records, broken) = (self.back.count, again);
        match self.failing.begins() {
            true => {
                tracing::error!(alarm = "log_failed", %error, records, broken, "a batch could not be made durable");
            }
            false => {
                tracing::warn!(%error, records, broken, "another batch could not be made durable");
            }
        }
        if error.kind() == io::ErrorKind::StorageFull {
            self.shared.cramped.store(true, Ordering::Relaxed);
            self.shared.wake_upkeep();
        }
        self.shared.fail(&self.back, again);
    }

    fn probe(&mut self) {
        match self.begin_segment(self.end_of_numbers()) {
            Ok(active) => {
                self.active = Some(active);
                self.shared.set_broken(false);
                tracing::info!("the log can be written again");
            }
            Err(error) => tracing::debug!(%error, "the log still cannot be written"),
        }
    }

    /// The number that the next record gets; nothing is appended while the log is broken.
    fn end_of_numbers(&self) -> u64 {
        self.shared.durable.borrow().0 + 1
    }

    fn begin_segment(&self, first: u64) -> io::Result<Active> {
        let shared = &self.shared;
        let header = SegmentHeader {
            log_id: lock(&shared.ids)[0],
            first,
            follows: self.end,
            nonce: Uuid::new_v4().as_u64_pair().0,
            created: shared.clock.now(),
        };
        let segment = Arc::new(Segment::new(
            header,
            segment_path(&shared.config.dir, first),
        ));
        // Held so that the upkeep cannot put another file in the spare's place.
        let mut spare = lock(&shared.spare);
        let spare_path = shared.config.dir.join(SPARE);
        let grows = !std::mem::take(&mut *spare);
        let spare_path = (!grows).then_some(spare_path.as_path());
        let file = segment::create(shared.disk.as_ref(), &segment, spare_path)?;
        drop(spare);
        let mut segments = lock(&shared.segments);
        // A segment without a batch has the same name and is gone.
        if segments
            .back()
            .is_some_and(|last| last.header.first == first)
        {
            segments.pop_back();
        } else {
            shared
                .stored
                .fetch_add(SEGMENT_HEADER as u64, Ordering::Relaxed);
        }
        segments.push_back(Arc::clone(&segment));
        drop(segments);
        shared.wake_upkeep();
        Ok(Active {
            segment,
            file,
            written: SEGMENT_HEADER as u64,
            grows,
        })
    }

    /// Writes an empty batch: a sound batch after the last one tells damage to it from a crash.
    fn mark_end(&self, active: &Active) -> io::Result<()> {
        let mut mark = Buffer::new(self.end + 1);
        let header = BatchHeader {
            nonce: active.segment.header.nonce,
            count: 0,
            payload_bytes: 0,
            first: self.end + 1,
            committed: self.shared.clock.now(),
        };
        header.seal(&mut mark.head);
        write_batch(active, &mark)?;
        active.file.truncate(active.written + mark.size_bytes())?;
        active.file.sync_data()
    }
}

/// Settles what is left if the thread ends by a panic.
impl Drop for Committer {
    fn drop(&mut self) {
        self.shared.close();
        if thread::panicking() {
            self.shared.fail(&self.back, true);
        }
    }
}

/// Payloads first: whoever sees a table in another process sees its payloads too.
fn write_batch(active: &Active, batch: &Buffer) -> io::Result<()> {
    let payloads_at = active.written + batch.head.len() as u64;
    active.file.write_at(&batch.payloads, payloads_at)?;
    active.file.write_at(&batch.head, active.written)?;
    active.file.sync_data()
}
