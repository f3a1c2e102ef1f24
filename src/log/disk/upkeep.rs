//! The second thread: removes what was released and prepares a zero-filled file for the next segment.
//!
//! Syncing writes to blocks that the file has already costs a third to a fifth of syncing a growing file.
//! Nothing needs the spare; without one the segment grows. None is made before the first append.

use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::recovery::SPARE;
use super::segment::Segment;
use super::shared::{Shared, lock};

/// How often it looks without being called.
const PERIOD: Duration = Duration::from_secs(60);
const STEP: usize = 1 << 20;
/// Between two steps of filling, so that commits find the disk free.
const PAUSE: Duration = Duration::from_millis(2);

#[derive(Debug)]
pub(super) struct Upkeep {
    shared: Arc<Shared>,
    /// When the disk was last full: what room there is belongs to the records.
    full_at: Option<Instant>,
}

impl Upkeep {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            full_at: None,
        }
    }

    /// Works until the log is closed.
    pub(super) fn run(mut self) {
        loop {
            let mut chores = lock(&self.shared.chores);
            if !chores.due && !chores.closed {
                let woken = self.shared.chores_wake.wait_timeout(chores, PERIOD);
                chores = woken.unwrap_or_else(PoisonError::into_inner).0;
            }
            if chores.closed {
                return;
            }
            let called = std::mem::take(&mut chores.due);
            drop(chores);
            self.trim();
            // The periodic look leaves an idle log alone.
            if called {
                self.prepare_spare();
            }
        }
    }

    /// Removes released segments whose time has come, oldest first. The last segment stays: it holds the log's end.
    pub(super) fn trim(&mut self) {
        while let Some(segment) = self.take_released() {
            self.shared
                .stored
                .fetch_sub(segment.durable_bytes(), Ordering::Relaxed);
            if let Err(error) = self.dispose(segment) {
                tracing::warn!(%error, "a released segment was not removed");
                break;
            }
        }
        if self.shared.cramped.swap(false, Ordering::Relaxed) {
            self.full_at = Some(Instant::now());
        }
    }

    fn take_released(&self) -> Option<Arc<Segment>> {
        let shared = &self.shared;
        let mut segments = lock(&shared.segments);
        let oldest = segments.front()?;
        let is_released = oldest.last() <= shared.released.load(Ordering::Relaxed);
        let age = shared.clock.now().since(oldest.committed());
        let has_served = age >= shared.config.retention || shared.is_crowded();
        if segments.len() < 2 || !is_released || !has_served {
            return None;
        }
        segments.pop_front()
    }

    /// Makes the segment the spare if there is none and nobody reads it, else removes it. The directory is
    /// synced each time, so that after a crash the segments left have no gap.
    fn dispose(&self, segment: Arc<Segment>) -> io::Result<()> {
        let shared = &self.shared;
        let disk = shared.disk.as_ref();
        let mut spare = lock(&shared.spare);
        let wanted = !*spare && !shared.is_crowded() && Arc::strong_count(&segment) == 1;
        if wanted && disk.open(&segment.path)?.len()? >= shared.config.segment_bytes {
            disk.rename(&segment.path, &shared.config.dir.join(SPARE))?;
            disk.sync_dir(&shared.config.dir)?;
            *spare = true;
            return Ok(());
        }
        drop(spare);
        disk.remove(&segment.path)?;
        disk.sync_dir(&shared.config.dir)
    }

    /// Fills a file with zeros, unless there is one.
    pub(super) fn prepare_spare(&mut self) {
        let was_full = self.full_at.is_some_and(|at| at.elapsed() < PERIOD);
        if was_full || *lock(&self.shared.spare) || self.shared.is_crowded() {
            return;
        }
        if let Err(error) = self.fill_spare() {
            self.full_at = Some(Instant::now());
            tracing::warn!(%error, "no file was prepared for the next segment");
        }
    }

    fn fill_spare(&self) -> io::Result<()> {
        let shared = &self.shared;
        let disk = shared.disk.as_ref();
        let unfinished = shared.config.dir.join("spare.tmp");
        let file = disk.create(&unfinished)?;
        let zeros = vec![0; STEP];
        let mut at = 0;
        while at < shared.config.segment_bytes {
            let length = (shared.config.segment_bytes - at).min(STEP as u64);
            let filled = file.write_at(&zeros[..usize::try_from(length).unwrap_or(STEP)], at);
            if let Err(error) = filled.and_then(|()| file.sync_data()) {
                disk.remove(&unfinished)?;
                return Err(error);
            }
            at += length;
            if lock(&shared.chores).closed {
                return disk.remove(&unfinished);
            }
            thread::sleep(PAUSE);
        }
        let mut spare = lock(&shared.spare);
        disk.rename(&unfinished, &shared.config.dir.join(SPARE))?;
        disk.sync_dir(&shared.config.dir)?;
        *spare = true;
        Ok(())
    }
}
