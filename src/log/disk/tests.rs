//! Tests of the log on disk: what it does, what is left of it after crashes, what damage does to it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use super::*;
use crate::durable::{Disk, Fault, SimulatedDisk};
use crate::log::Chunk;
use crate::schema::Kind;

mod basic;
mod damage;
mod faults;
mod model;

const DIR: &str = "/log";

#[derive(Debug, Default)]
struct TestClock(AtomicI64);

impl TestClock {
    fn advance(&self, duration: Duration) {
        self.0
            .fetch_add(duration.as_micros() as i64, Ordering::Relaxed);
    }
}

impl Clock for TestClock {
    fn now(&self) -> Micros {
        Micros(1_700_000_000_000_000 + self.0.load(Ordering::Relaxed))
    }
}

/// A log whose threads' steps are taken by the test.
struct Idle {
    log: DiskLog,
    report: RecoveryReport,
    committer: Committer,
    upkeep: Upkeep,
}

fn small(dir: &Path) -> Config {
    Config {
        dir: dir.to_owned(),
        max_bytes: 64 << 10,
        segment_bytes: 4 << 10,
        buffer_bytes: 16 << 10,
        retention: Duration::from_secs(60),
        commit_interval: Duration::ZERO,
    }
}

fn open(disk: &SimulatedDisk, clock: &Arc<TestClock>) -> Result<Idle, OpenError> {
    open_in(Path::new(DIR), Arc::new(disk.clone()), clock)
}

fn open_in(dir: &Path, disk: Arc<dyn Disk>, clock: &Arc<TestClock>) -> Result<Idle, OpenError> {
    let clock: Arc<dyn Clock> = Arc::<TestClock>::clone(clock);
    let (log, report, committer, upkeep) = DiskLog::open_idle(small(dir), disk, clock)?;
    Ok(Idle {
        log,
        report,
        committer,
        upkeep,
    })
}

impl Idle {
    fn append(&self, payload: &[u8]) -> Result<Ticket, Refused> {
        let key = Some(u128::from(crc32c::crc32c(payload)) + 1);
        self.log.append(&NewRecord {
            kind: Kind::Event,
            key,
            payload,
        })
    }

    /// Appends and commits; the number.
    #[track_caller]
    fn commit(&mut self, payload: &[u8]) -> u64 {
        let ticket = self.append(payload).unwrap();
        self.committer.step();
        assert_eq!(ticket.commit.result(), Some(Ok(())));
        ticket.sequence.0
    }

    fn close(mut self) {
        self.log.shared.close();
        self.committer.finish();
    }

    /// Everything after a number.
    fn read(&self, after: u64) -> Chunk {
        self.log
            .reader(SequenceNumber(after))
            .read(usize::MAX, usize::MAX)
            .unwrap()
    }
}

fn pairs(chunk: &Chunk) -> Vec<(u64, Vec<u8>)> {
    chunk
        .records
        .iter()
        .map(|record| (record.sequence.0, record.payload.to_vec()))
        .collect()
}

fn segments(disk: &dyn Disk, dir: &Path) -> Vec<PathBuf> {
    let entries = disk.list(dir).unwrap();
    entries
        .iter()
        .filter(|e| e.name.ends_with(".segment"))
        .map(|e| dir.join(&e.name))
        .collect()
}
