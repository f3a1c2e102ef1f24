//! What an append costs, and how fast a log is read and recovered. The files lie in memory (`/dev/shm` where there is
//! one), so that the disk is left out of it: `cargo bench --bench append`.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use real_streaming::clock::SystemClock;
use real_streaming::durable::RealDisk;
use real_streaming::log::disk::Config;
use real_streaming::log::{DiskLog, Log, MemoryLog, NewRecord, Refused, Ticket};
use real_streaming::schema::{Kind, SequenceNumber};

/// Size of a typical encoded event.
const PAYLOAD: [u8; 800] = [0x5a; 800];
/// Appended between two waits, less than the buffer holds.
const RUN: u64 = 5_000;

fn folder() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let made = if memory.is_dir() {
        tempfile::tempdir_in(memory)
    } else {
        tempfile::tempdir()
    };
    made.expect("a temporary folder")
}

fn config(dir: &Path) -> Config {
    let mut config = Config::new(dir, 2 << 30);
    config.retention = Duration::ZERO;
    config
}

fn open(config: &Config) -> DiskLog {
    let opened = DiskLog::open(config.clone(), Arc::new(RealDisk), SystemClock::shared());
    opened.expect("the log opens").0
}

fn append(log: &dyn Log) -> Result<Ticket, Refused> {
    log.append(&NewRecord {
        kind: Kind::Event,
        key: Some(7),
        payload: &PAYLOAD,
    })
}

/// Waits, outside of what is measured, until everything is durable, and lets it go.
fn settle(log: &dyn Log, last: SequenceNumber) {
    let durable = log.durable();
    while *durable.borrow() < last {
        std::thread::sleep(Duration::from_micros(200));
    }
    log.release(last);
}

/// Time of so many appends, without the waits between runs.
fn time_appends(log: &dyn Log, appends: u64) -> Duration {
    let mut total = Duration::ZERO;
    let mut left = appends;
    while left > 0 {
        let run = left.min(RUN);
        let mut last = SequenceNumber::ZERO;
        let started = Instant::now();
        for _ in 0..run {
            last = append(log).expect("there is room").sequence;
        }
        total += started.elapsed();
        settle(log, last);
        left -= run;
    }
    total
}

fn appends(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("append");
    group.throughput(Throughput::Elements(1));
    let memory = MemoryLog::new(1 << 30);
    group.bench_function("memory", |bencher| {
        bencher.iter_custom(|appends| time_appends(&memory, appends));
    });
    for (name, interval) in [("disk, writer idle", 50), ("disk, writer busy", 1)] {
        let dir = folder();
        let mut config = config(dir.path());
        config.commit_interval = Duration::from_millis(interval);
        let log = open(&config);
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|appends| time_appends(&log, appends));
        });
    }
    group.finish();
}

fn reads(criterion: &mut Criterion) {
    let dir = folder();
    let mut config = config(dir.path());
    config.segment_bytes = 256 << 20;
    let log = open(&config);
    let durable = log.durable();
    // 60 MB in batches of 20, all in one segment: the worst that recovery has to walk.
    for _ in 0..3_600 {
        let mut last = SequenceNumber::ZERO;
        for _ in 0..20 {
            last = append(&log).expect("there is room").sequence;
        }
        while *durable.borrow() < last {
            std::thread::yield_now();
        }
    }
    let bytes = log.size_bytes();
    let mut group = criterion.benchmark_group("read");
    group.sample_size(10);
    group.throughput(Throughput::Bytes(bytes));
    group.bench_function("everything", |bencher| {
        bencher.iter(|| {
            let mut reader = log.reader(SequenceNumber::ZERO);
            let mut records = 0;
            while let Ok(chunk) = reader.read(1_000, 1 << 20) {
                if chunk.records.is_empty() {
                    break;
                }
                records += chunk.records.len();
            }
            assert_eq!(records, 72_000);
        });
    });
    drop(log);
    group.bench_function("recover the last segment", |bencher| {
        bencher.iter(|| drop(open(&config)));
    });
    group.finish();
}

criterion_group!(benches, appends, reads);
criterion_main!(benches);
