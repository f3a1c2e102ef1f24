//! Failing disks: who is told what, and how the log comes back.

use super::recovery::SPARE;
use super::*;
use crate::log::CommitError;

const ONCE: Fault = Fault {
    nth: 1,
    always: false,
    full: false,
};

fn new() -> (SimulatedDisk, Arc<TestClock>, Idle) {
    let (disk, clock) = (SimulatedDisk::new(), Arc::new(TestClock::default()));
    let idle = open(&disk, &clock).unwrap();
    (disk, clock, idle)
}

#[test]
fn a_failed_sync_fails_its_batch_and_what_was_appended_meanwhile() {
    let (disk, clock, mut idle) = new();
    assert_eq!(idle.commit(b"kept"), 1);
    let failing = idle.append(b"failing").unwrap();
    disk.block_syncs(true);
    let meanwhile = std::thread::scope(|scope| {
        let committer = scope.spawn(|| idle.committer.step());
        disk.wait_for_blocked_sync();
        let record = NewRecord {
            kind: Kind::Event,
            key: None,
            payload: b"meanwhile",
        };
        let meanwhile = idle.log.append(&record).unwrap();
        disk.set_sync_fault(Some(ONCE), true);
        disk.block_syncs(false);
        committer.join().unwrap();
        meanwhile
    });
    assert_eq!(failing.commit.result(), Some(Err(CommitError)));
    assert_eq!(meanwhile.commit.result(), Some(Err(CommitError)));
    assert_eq!(idle.log.failed(), 2);
    assert_eq!(idle.log.durable().borrow().0, 1);
    let expected = [(1, b"kept".to_vec()), (2, b"next".to_vec())];
    assert_eq!(idle.commit(b"next"), 2, "the number is given again");
    assert_eq!(
        segments(&disk, Path::new(DIR)).len(),
        2,
        "in another segment"
    );
    assert_eq!(pairs(&idle.read(0)), expected);
    for seed in 0..50 {
        let idle = open(&disk.crash(seed), &clock).unwrap();
        assert_eq!(pairs(&idle.read(0)), expected, "seed {seed}");
    }
}

#[test]
fn a_failed_batch_that_reached_the_disk_after_all_is_superseded() {
    let (disk, clock, mut idle) = new();
    idle.commit(b"kept");
    let path = segments(&disk, Path::new(DIR))[0].clone();
    let before = disk.read(&path).unwrap();
    disk.set_sync_fault(Some(ONCE), true);
    let _refused = idle.append(b"refused").unwrap();
    idle.committer.step();
    idle.commit(b"next");
    let batch = tail_batch(&before, b"refused");
    let file = disk.open_writable(&path).unwrap();
    file.write_at(&batch, before.len() as u64).unwrap();
    let check = |idle: &Idle| {
        let chunk = idle.read(0);
        assert_eq!(
            pairs(&chunk),
            [(1, b"kept".to_vec()), (2, b"next".to_vec())]
        );
        assert_eq!(chunk.damaged, 0);
        let keys = idle.log.recent_keys(Micros(0), 9).unwrap();
        assert_eq!(keys.len(), 2, "{keys:?}");
    };
    check(&idle);
    drop(idle);
    check(&open(&disk, &clock).unwrap());
}

#[test]
fn segments_that_were_removed_come_back_with_no_gap() {
    for seed in 0..40 {
        let (disk, clock, mut idle) = new();
        for _ in 0..100 {
            idle.commit(&[7; 300]);
        }
        idle.log.release(SequenceNumber(100));
        clock.advance(Duration::from_secs(61));
        idle.upkeep.trim();
        let idle = open(&disk.crash(seed), &clock).unwrap();
        let start = idle.log.start();
        let chunk = idle.read(start.0);
        assert_eq!(chunk.damaged, 0, "seed {seed}: behind {start:?}");
        assert_eq!(chunk.last, SequenceNumber(100));
    }
}

#[test]
fn a_disk_that_keeps_failing_breaks_the_log_until_it_works() {
    let (disk, _, mut idle) = new();
    idle.commit(b"one");
    disk.set_sync_fault(
        Some(Fault {
            always: true,
            ..ONCE
        }),
        true,
    );
    for _ in 0..2 {
        let ticket = idle.append(b"lost").unwrap();
        idle.committer.step();
        assert_eq!(ticket.commit.result(), Some(Err(CommitError)));
    }
    assert_eq!(idle.log.admit(1), Err(Refused::Broken));
    idle.committer.step();
    assert_eq!(idle.append(b"x").unwrap_err(), Refused::Broken);
    disk.set_sync_fault(None, false);
    idle.committer.step();
    assert_eq!(idle.log.admit(1), Ok(()));
    assert_eq!(idle.commit(b"two"), 2);
    assert_eq!(
        pairs(&idle.read(0)),
        [(1, b"one".to_vec()), (2, b"two".to_vec())]
    );
}

#[test]
fn a_full_disk_takes_records_again_when_there_is_room() {
    let (disk, clock, mut idle) = new();
    for _ in 0..20 {
        idle.commit(&[1; 1000]);
    }
    disk.set_capacity(Some(22_000));
    let mut refusals = 0;
    for _ in 0..10 {
        if let Ok(ticket) = idle.append(&[2; 1000]) {
            idle.committer.step();
            refusals += u64::from(ticket.commit.result() == Some(Err(CommitError)));
        }
    }
    assert!(refusals > 0);
    let before = idle.log.durable().borrow().0;
    idle.log.release(SequenceNumber(20));
    idle.upkeep.trim();
    idle.committer.step();
    assert_eq!(
        idle.commit(&[3; 1000]),
        before + 1,
        "released records made room at once"
    );
    idle.close();
    let idle = open(&disk, &clock).unwrap();
    assert_eq!(
        (idle.report.last.0, idle.report.damaged),
        (before + 1, false)
    );
}

#[test]
fn every_act_of_opening_may_be_the_last() {
    for nth in 1..12 {
        for seed in 0..10 {
            let (disk, clock, mut idle) = new();
            idle.commit(b"one");
            let _torn = idle.append(&[1; 3000]).unwrap();
            drop(idle);
            disk.set_sync_fault(Some(Fault { nth, ..ONCE }), true);
            if let Ok(mut idle) = open(&disk, &clock) {
                let _maybe = idle.append(b"two").unwrap();
                idle.committer.step();
            }
            let idle = open(&disk.crash(seed), &clock).unwrap();
            assert_eq!(
                pairs(&idle.read(0))[0],
                (1, b"one".to_vec()),
                "{nth} {seed}"
            );
            assert!(!idle.report.damaged);
        }
    }
}

#[test]
fn every_act_of_using_a_segment_again_may_be_the_last() {
    let mut used_again = 0;
    for nth in 1..12 {
        for seed in 0..20 {
            let (disk, clock, mut idle) = new();
            let mut last = 0;
            while segments(&disk, Path::new(DIR)).len() < 3 {
                // Only a file of full length is used again.
                idle.upkeep.prepare_spare();
                last = idle.commit(&[7; 900]);
            }
            idle.log.release(SequenceNumber(last - 1));
            clock.advance(Duration::from_secs(61));
            let fault = Fault {
                nth,
                always: true,
                ..ONCE
            };
            disk.set_sync_fault(Some(fault), true);
            // The oldest becomes the spare, and that the next segment.
            idle.upkeep.trim();
            used_again += usize::from(
                disk.list(Path::new(DIR))
                    .unwrap()
                    .iter()
                    .any(|e| e.name == SPARE),
            );
            let mut kept = vec![last];
            for _ in 0..8 {
                let Ok(ticket) = idle.append(&[8; 900]) else {
                    break;
                };
                idle.committer.step();
                if ticket.commit.result() == Some(Ok(())) {
                    kept.push(ticket.sequence.0);
                }
            }
            drop(idle);
            let idle = open(&disk.crash(seed), &clock).unwrap();
            let read = idle.read(last - 1);
            let found: Vec<u64> = read
                .records
                .iter()
                .map(|record| record.sequence.0)
                .collect();
            assert!(
                found.starts_with(&kept),
                "{nth} {seed}: {kept:?} is not in {found:?}"
            );
            assert_eq!(
                (read.damaged, idle.report.damaged),
                (0, false),
                "{nth} {seed}"
            );
        }
    }
    assert!(used_again > 0, "no segment became the spare");
}

#[test]
fn what_a_killed_process_left_unsynced_is_made_durable_before_it_is_read() {
    let (disk, clock, mut idle) = new();
    idle.commit(b"one");
    disk.set_sync_fault(
        Some(Fault {
            always: true,
            ..ONCE
        }),
        false,
    );
    disk.set_write_fault(None);
    // The process dies between the write and the sync: the batch is in the system's memory only.
    let _unsettled = idle.append(b"two").unwrap();
    let path = segments(&disk, Path::new(DIR))[0].clone();
    let before = disk.read(&path).unwrap();
    idle.committer.step();
    disk.set_sync_fault(None, false);
    let batch = tail_batch(&before, b"two");
    disk.open_writable(&path)
        .unwrap()
        .write_at(&batch, before.len() as u64)
        .unwrap();
    drop(idle);
    let idle = open(&disk, &clock).unwrap();
    assert_eq!(idle.report.last.0, 2);
    drop(idle);
    for seed in 0..20 {
        assert_eq!(
            open(&disk.crash(seed), &clock).unwrap().report.last.0,
            2,
            "seed {seed}"
        );
    }
}

/// The batch that would follow in a segment.
fn tail_batch(segment: &[u8], payload: &[u8]) -> Vec<u8> {
    let header = format::SegmentHeader::decode(segment).unwrap();
    let mut head = vec![0; format::BATCH_HEADER];
    let crc = crc32c::crc32c(payload);
    head.extend_from_slice(&format::Entry::encode(
        payload.len() as u32,
        crc,
        Kind::Event,
        Some(5),
    ));
    let batch = format::BatchHeader {
        nonce: header.nonce,
        count: 1,
        payload_bytes: payload.len() as u32,
        first: 2,
        committed: Micros(1),
    };
    batch.seal(&mut head);
    head.extend_from_slice(payload);
    head
}
