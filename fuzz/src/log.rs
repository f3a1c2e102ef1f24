//! A log whose files were tampered with: it opens or says why not, yields no record that was not written, and takes and keeps
//! new ones.
//!
//! An input is a list of changes to the files of a sound log, each of a few bytes.

use std::path::Path;
use std::sync::{Arc, LazyLock};

use real_streaming::durable::{Disk, SimulatedDisk};
use real_streaming::log::disk::Config;
use real_streaming::log::{DiskLog, Log, NewRecord};
use real_streaming::schema::{Kind, Record, SequenceNumber};

use crate::tiny::{Ticks, byte};

const DIR: &str = "/log";
const RECORDS: u64 = 48;

/// So few bytes can be changed without a checksum that is right by design: a longer input could forge one.
const FORGERY: usize = 8;

fn config() -> Config {
    let mut config = Config::new(DIR, 1 << 20);
    config.segment_bytes = 4 << 10;
    config.commit_interval = std::time::Duration::ZERO;
    config
}

fn payload(number: u64) -> Vec<u8> {
    let length = usize::try_from(number * 37 % 300).expect("small");
    (0..length).map(|at| (at as u64 * number) as u8).collect()
}

fn open(disk: &SimulatedDisk) -> Option<DiskLog> {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    let (log, report) = DiskLog::open(config(), disk, Ticks::shared()).ok()?;
    assert_eq!(report.last, *log.durable().borrow());
    Some(log)
}

/// A sound log, on a disk of which copies are made.
static SOUND: LazyLock<SimulatedDisk> = LazyLock::new(|| {
    let disk = SimulatedDisk::new();
    for process in 0..3 {
        let log = open(&disk).expect("a new log");
        for number in process * (RECORDS / 3) + 1..=(process + 1) * (RECORDS / 3) {
            append(&log, &payload(number));
        }
        // The last process was killed, as far as its last segment tells.
        log.close();
    }
    disk
});

fn append(log: &DiskLog, payload: &[u8]) -> SequenceNumber {
    let record = NewRecord {
        kind: Kind::Event,
        key: Some(7),
        payload,
    };
    let ticket = log.append(&record).expect("there is room");
    while ticket.commit.result().is_none() {
        std::thread::yield_now();
    }
    assert_eq!(ticket.commit.result(), Some(Ok(())));
    ticket.sequence
}

/// All that can be read. Numbers ascend, and no more is missing than is told.
fn read(log: &DiskLog) -> Vec<Record> {
    let mut reader = log.reader(SequenceNumber::ZERO);
    let (mut records, mut damaged, mut last): (Vec<Record>, u64, _) =
        (Vec::new(), 0, SequenceNumber::ZERO);
    loop {
        let chunk = reader.read(7, 1000).expect("the disk works");
        assert!(chunk.last >= last);
        damaged += chunk.damaged;
        let is_end = chunk.last == last && chunk.records.is_empty();
        for record in chunk.records {
            let before = records
                .last()
                .map_or(SequenceNumber::ZERO, |record| record.sequence);
            assert!(record.sequence > before && record.sequence <= chunk.last);
            records.push(record);
        }
        last = chunk.last;
        if is_end {
            break;
        }
    }
    assert!(last <= *log.durable().borrow());
    assert!(
        records.len() as u64 + damaged <= last.0,
        "more than there are numbers"
    );
    records
}

/// Changes files as the input says; how many bytes of the input went into them.
fn tamper(disk: &SimulatedDisk, mut data: &[u8]) -> usize {
    let mut written = 0;
    while let Some(which) = byte(&mut data) {
        let files = disk.list(Path::new(DIR)).expect("the folder");
        let Some(file) = files.get(usize::from(which) % files.len().max(1)) else {
            return written;
        };
        let path = Path::new(DIR).join(&file.name);
        let (Some(act), Some(high), Some(low)) =
            (byte(&mut data), byte(&mut data), byte(&mut data))
        else {
            return written;
        };
        let at = u64::from(high) << 8 | u64::from(low);
        let Ok(open) = disk.open_writable(&path) else {
            return written;
        };
        let outcome = match act % 4 {
            0 => open.truncate(at.min(file.size_bytes)),
            1 => disk.remove(&path),
            2 => {
                let Some(bit) = byte(&mut data) else {
                    return written;
                };
                let mut old = [0];
                let read = open.read_at(&mut old, at).expect("the disk works");
                open.write_at(&[old[0] ^ (1 << (bit % 8))], at * (read as u64))
            }
            _ => {
                let length = usize::from(byte(&mut data).unwrap_or_default()).min(data.len());
                let (some, rest) = data.split_at(length);
                data = rest;
                written += length;
                open.write_at(some, at)
            }
        };
        outcome.expect("the disk works");
        written += 1;
    }
    written
}

/// Panics where a promise is broken.
pub fn check(data: &[u8]) {
    let disk = SOUND.crash(0);
    let written = tamper(&disk, data);
    let Some(log) = open(&disk) else {
        return;
    };
    let before = read(&log);
    if written < FORGERY {
        for record in &before {
            let number = record.sequence.0;
            assert!(number <= RECORDS, "{number} was never given");
            assert_eq!(record.payload, payload(number), "{number}");
        }
    }
    // It goes on, and what is there stays.
    let new = append(&log, b"new");
    assert!(before.iter().all(|record| record.sequence < new));
    let all = read(&log);
    log.close();
    drop(log);
    let log = open(&disk).expect("a log that was open opens again");
    let again = read(&log);
    log.close();
    let is_new = |record: &&Record| record.sequence == new && record.payload == b"new"[..];
    assert!(
        again.iter().any(|record| is_new(&record)),
        "a durable record is gone"
    );
    assert_eq!(all, again, "opened again, it holds something else");
}
