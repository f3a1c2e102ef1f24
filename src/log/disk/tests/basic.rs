//! What the log does when nothing goes wrong, on a real disk and on a simulated one.

use super::*;
use crate::durable::RealDisk;
use crate::log::CommitError;

fn both(check: impl Fn(&Path, Arc<dyn Disk>)) {
    let dir = tempfile::tempdir().unwrap();
    check(&dir.path().join("log"), Arc::new(RealDisk));
    check(Path::new(DIR), Arc::new(SimulatedDisk::new()));
}

fn payload(number: u64) -> Vec<u8> {
    vec![number as u8; 100 + number as usize % 300]
}

#[test]
fn records_survive_a_restart_over_many_segments() {
    both(|dir, disk| {
        let clock = Arc::new(TestClock::default());
        let mut idle = open_in(dir, Arc::clone(&disk), &clock).unwrap();
        assert!(idle.report.created);
        let id = idle.log.id();
        for number in 1..=100 {
            assert_eq!(idle.commit(&payload(number)), number);
        }
        assert!(segments(disk.as_ref(), dir).len() > 3);
        idle.close();

        let mut idle = open_in(dir, disk, &clock).unwrap();
        assert_eq!(idle.log.id(), id);
        assert_eq!(idle.report.last.0, 100);
        assert!(!idle.report.damaged && !idle.report.created);
        assert_eq!(idle.commit(&payload(101)), 101);
        let expected: Vec<_> = (41..=101).map(|number| (number, payload(number))).collect();
        let chunk = idle.read(40);
        assert_eq!((pairs(&chunk), chunk.damaged), (expected, 0));
    });
}

#[test]
fn records_that_are_appended_together_share_a_commit() {
    both(|dir, disk| {
        let mut idle = open_in(dir, disk, &Arc::new(TestClock::default())).unwrap();
        let record = |key, payload| NewRecord {
            kind: Kind::Event,
            key,
            payload,
        };
        let records = [
            record(Some(7), b"ab".as_slice()),
            record(None, b""),
            record(Some(9), b"c"),
        ];
        let alone = idle.append(b"x").unwrap();
        let first = idle.log.append_together(&records).unwrap();
        let all: Vec<_> = first.together(3).collect();
        let numbers: Vec<u64> = all.iter().map(|ticket| ticket.sequence.0).collect();
        assert_eq!(numbers, [2, 3, 4]);
        assert!(
            all.iter()
                .all(|ticket| Arc::ptr_eq(&ticket.commit, &first.commit))
        );
        idle.committer.step();
        assert_eq!(alone.commit.result(), Some(Ok(())));
        assert_eq!(first.commit.result(), Some(Ok(())));
        let expected = [
            (1, b"x".to_vec()),
            (2, b"ab".to_vec()),
            (3, vec![]),
            (4, b"c".to_vec()),
        ];
        assert_eq!(pairs(&idle.read(0)), expected);
        let keys = idle.log.recent_keys(Micros(0), 9).unwrap();
        assert_eq!(keys[1..], [(SequenceNumber(2), 7), (SequenceNumber(4), 9)]);

        let large = vec![0; 40 << 10]; // One alone would be taken.
        let too_much = [record(None, large.as_slice()), record(None, &large)];
        assert_eq!(
            idle.log.append_together(&too_much).unwrap_err(),
            Refused::Full
        );
        assert_eq!(idle.commit(b"y"), 5, "nothing of them was kept");
    });
}

#[test]
fn a_reader_keeps_to_its_limits_and_follows_the_tail() {
    both(|dir, disk| {
        let mut idle = open_in(dir, disk, &Arc::new(TestClock::default())).unwrap();
        let tickets: Vec<_> = (1..=5)
            .map(|number| idle.append(&[number; 10]).unwrap())
            .collect();
        let mut reader = idle.log.reader(SequenceNumber::ZERO);
        assert_eq!(
            reader.read(9, 999).unwrap().records.len(),
            0,
            "nothing is durable yet"
        );
        idle.committer.step();
        assert!(
            tickets
                .iter()
                .all(|ticket| ticket.commit.result() == Some(Ok(())))
        );
        assert_eq!(
            pairs(&reader.read(2, 999).unwrap()),
            [(1, vec![1; 10]), (2, vec![2; 10])]
        );
        assert_eq!(pairs(&reader.read(9, 15).unwrap()), [(3, vec![3; 10])]);
        assert_eq!(
            pairs(&reader.read(9, 1).unwrap()),
            [(4, vec![4; 10])],
            "at least one"
        );
        assert_eq!(reader.read(9, 999).unwrap().records.len(), 1);
        let end = reader.read(9, 999).unwrap();
        assert_eq!((end.records.len(), end.last.0), (0, 5));
        idle.commit(b"next");
        assert_eq!(
            pairs(&reader.read(9, 999).unwrap()),
            [(6, b"next".to_vec())]
        );
    });
}

#[test]
fn a_second_process_is_told() {
    both(|dir, disk| {
        let clock = Arc::new(TestClock::default());
        let idle = open_in(dir, Arc::clone(&disk), &clock).unwrap();
        let second = open_in(dir, Arc::clone(&disk), &clock).err().unwrap();
        assert!(matches!(second, OpenError::Locked(_)), "{second}");
        drop(idle);
        open_in(dir, disk, &clock).unwrap();
    });
}

#[test]
fn released_segments_go_after_their_time_and_one_becomes_the_spare() {
    both(|dir, disk| {
        let clock = Arc::new(TestClock::default());
        let mut idle = open_in(dir, Arc::clone(&disk), &clock).unwrap();
        for _ in 0..100 {
            idle.commit(&[7; 300]);
        }
        let before = segments(disk.as_ref(), dir).len();
        idle.log.release(SequenceNumber(60));
        idle.upkeep.trim();
        assert_eq!(
            segments(disk.as_ref(), dir).len(),
            before,
            "it is too early"
        );
        clock.advance(Duration::from_secs(61));
        idle.upkeep.trim();
        let start = idle.log.start().0;
        assert!((40..=60).contains(&start), "{start}");
        assert_eq!(pairs(&idle.read(start)).len() as u64, 100 - start);
        assert_eq!(
            idle.read(0).damaged,
            start,
            "whoever asks for what is gone is told"
        );
        idle.log.release(SequenceNumber(100));
        idle.upkeep.trim();
        assert_eq!(segments(disk.as_ref(), dir).len(), 1, "the last one stays");
        let used: u64 = segments(disk.as_ref(), dir)
            .iter()
            .map(|s| disk.open(s).unwrap().len().unwrap())
            .sum();
        assert!(idle.log.size_bytes() <= used);
        drop(idle);
        assert_eq!(open_in(dir, disk, &clock).unwrap().report.last.0, 100);
    });
}

#[test]
fn the_spare_becomes_a_segment() {
    both(|dir, disk| {
        let mut idle = open_in(dir, Arc::clone(&disk), &Arc::new(TestClock::default())).unwrap();
        idle.upkeep.prepare_spare();
        assert_eq!(
            disk.open(&dir.join("spare")).unwrap().len().unwrap(),
            4 << 10
        );
        idle.commit(b"first");
        assert!(disk.open(&dir.join("spare")).is_err());
        assert_eq!(
            disk.open(&segments(disk.as_ref(), dir)[0])
                .unwrap()
                .len()
                .unwrap(),
            4 << 10
        );
        assert_eq!(idle.read(0).records.len(), 1);
    });
}

#[test]
fn a_full_log_gives_up_retention_before_intake() {
    both(|dir, disk| {
        let mut idle = open_in(dir, disk, &Arc::new(TestClock::default())).unwrap();
        let mut appended = 0;
        while let Ok(ticket) = idle.append(&[1; 1000]) {
            appended = ticket.sequence.0;
            idle.committer.step();
        }
        assert!((50..64).contains(&appended), "{appended}");
        assert_eq!(idle.log.admit(1000), Err(Refused::Full));
        idle.upkeep.trim();
        assert_eq!(
            idle.log.admit(1000),
            Err(Refused::Full),
            "nothing was released"
        );
        idle.log.release(SequenceNumber(appended));
        idle.upkeep.trim();
        assert_eq!(idle.commit(&[1; 1000]), appended + 1);
    });
}

#[test]
fn a_busy_log_refuses() {
    both(|dir, disk| {
        let mut idle = open_in(dir, disk, &Arc::new(TestClock::default())).unwrap();
        let large = idle.append(&[1; 20 << 10]).unwrap();
        assert_eq!(idle.append(b"x").unwrap_err(), Refused::Busy);
        idle.committer.step();
        assert_eq!(large.commit.result(), Some(Ok(())));
        idle.commit(b"x");
        assert_eq!(idle.read(0).records.len(), 2);
    });
}

#[test]
fn keys_are_found_again() {
    both(|dir, disk| {
        let clock = Arc::new(TestClock::default());
        let mut idle = open_in(dir, Arc::clone(&disk), &clock).unwrap();
        for number in 1..=30 {
            idle.commit(&[number; 500]);
            clock.advance(Duration::from_secs(1));
        }
        let no_key = NewRecord {
            kind: Kind::Document,
            key: None,
            payload: b"no key",
        };
        let _settled_by_close = idle.log.append(&no_key).unwrap();
        idle.close();
        let idle = open_in(dir, disk, &clock).unwrap();
        let all = idle.log.recent_keys(Micros(0), usize::MAX).unwrap();
        assert_eq!(
            all.iter()
                .map(|(sequence, _)| sequence.0)
                .collect::<Vec<_>>(),
            (1..=30).collect::<Vec<_>>()
        );
        assert_eq!(all[4].1, u128::from(crc32c::crc32c(&[5; 500])) + 1);
        let since = clock.now().before(Duration::from_secs(10));
        let recent = idle.log.recent_keys(since, usize::MAX).unwrap();
        assert_eq!(recent, all[20..]);
        assert_eq!(idle.log.recent_keys(since, 3).unwrap(), all[27..]);
        assert_eq!(idle.log.recent_keys(since, 0).unwrap(), []);
    });
}

#[test]
fn a_log_that_is_behind_a_destination_goes_on_under_a_new_identity() {
    both(|dir, disk| {
        let clock = Arc::new(TestClock::default());
        let mut idle = open_in(dir, Arc::clone(&disk), &clock).unwrap();
        idle.commit(b"one");
        idle.close();
        let mut idle = open_in(dir, Arc::clone(&disk), &clock).unwrap();
        let old = idle.log.id();
        idle.log.renew(SequenceNumber(1)).unwrap();
        assert_eq!(
            idle.log.durable().borrow().0,
            1,
            "no number is free before its end"
        );
        idle.log.renew(SequenceNumber(50)).unwrap();
        let new = idle.log.id();
        let identities = idle.log.identities();
        assert_eq!(identities.len(), 3);
        assert_eq!((identities[0], identities[2]), (new, old));
        assert_eq!(idle.log.durable().borrow().0, 50);
        assert_eq!(idle.commit(b"after"), 51);
        assert!(idle.log.renew(SequenceNumber(99)).is_err(), "too late");
        idle.close();
        let idle = open_in(dir, disk, &clock).unwrap();
        assert_eq!((idle.log.id(), idle.report.damaged), (new, false));
        let chunk = idle.read(0);
        assert_eq!(
            pairs(&chunk),
            [(1, b"one".to_vec()), (51, b"after".to_vec())]
        );
        assert_eq!(
            chunk.damaged, 0,
            "numbers that were never given are not missing"
        );
    });
}

#[test]
fn another_process_may_look() {
    both(|dir, disk| {
        let clock = Arc::new(TestClock::default());
        let mut idle = open_in(dir, Arc::clone(&disk), &clock).unwrap();
        let mut outside = read_only(dir, Arc::clone(&disk), SequenceNumber::ZERO);
        assert_eq!(outside.read(9, 999).unwrap().records.len(), 0);
        idle.upkeep.prepare_spare();
        for number in 1..=40 {
            idle.commit(&[number; 300]);
            let chunk = outside.read(9, 999).unwrap();
            assert_eq!(
                (pairs(&chunk), chunk.damaged),
                (vec![(u64::from(number), vec![number; 300])], 0)
            );
        }
        let mut late = read_only(dir, Arc::clone(&disk), SequenceNumber::ZERO);
        assert_eq!(late.read(2, 9999).unwrap().records.len(), 2);
        clock.advance(Duration::from_secs(100));
        idle.log.release(SequenceNumber(30));
        idle.upkeep.trim();
        for _ in 0..30 {
            idle.commit(&[9; 300]);
        }
        let start = idle.log.start().0;
        let mut read = Vec::new();
        loop {
            let chunk = late.read(7, 9999).unwrap();
            assert_eq!(chunk.damaged, 0);
            if chunk.records.is_empty() && chunk.last.0 == 70 {
                break;
            }
            read.extend(pairs(&chunk));
        }
        let expected = pairs(&idle.read(start));
        assert!(
            read.ends_with(&expected),
            "{} of {}",
            read.len(),
            expected.len()
        );
    });
}

#[test]
fn threads_commit_and_close_settles_everything() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(TestClock::default());
    let config = Config {
        dir: dir.path().to_owned(),
        ..small(dir.path())
    };
    let config = Config {
        max_bytes: 64 << 20,
        segment_bytes: 1 << 20,
        ..config
    };
    let (log, _) = DiskLog::open(config.clone(), Arc::new(RealDisk), clock.clone()).unwrap();
    let log = Arc::new(log);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()
        .unwrap();
    let tasks: Vec<_> = (0..8_u8)
        .map(|task| {
            let log = Arc::clone(&log);
            runtime.spawn(async move {
                let mut numbers = Vec::new();
                for _ in 0..200 {
                    let record = NewRecord {
                        kind: Kind::Event,
                        key: None,
                        payload: &[task; 200],
                    };
                    let ticket = log.append(&record).unwrap();
                    ticket.commit.wait().await.unwrap();
                    numbers.push(ticket.sequence.0);
                }
                numbers
            })
        })
        .collect();
    let mut numbers: Vec<u64> = Vec::new();
    for task in tasks {
        numbers.extend(runtime.block_on(task).unwrap());
    }
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=1600).collect::<Vec<_>>());
    let last = log
        .append(&NewRecord {
            kind: Kind::Event,
            key: None,
            payload: b"last",
        })
        .unwrap();
    log.close();
    assert_eq!(last.commit.result(), Some(Ok(())));
    assert_eq!(log.admit(1), Err(Refused::Closed));
    assert_eq!((log.appended(), log.failed()), (1601, 0));
    let (log, report) = DiskLog::open(config, Arc::new(RealDisk), clock).unwrap();
    assert_eq!((report.last.0, report.damaged), (1601, false));
    assert_eq!(
        log.reader(SequenceNumber::ZERO)
            .read(9999, usize::MAX)
            .unwrap()
            .records
            .len(),
        1601
    );
}

#[test]
fn a_commit_that_fails_is_told_to_all_who_wait() {
    let disk = SimulatedDisk::new();
    let config = small(Path::new(DIR));
    let (log, _) = DiskLog::open(
        config,
        Arc::new(disk.clone()),
        Arc::new(TestClock::default()),
    )
    .unwrap();
    disk.block_syncs(true);
    let record = NewRecord {
        kind: Kind::Event,
        key: None,
        payload: b"x",
    };
    let tickets: Vec<_> = (0..9).map(|_| log.append(&record).unwrap()).collect();
    assert!(
        tickets
            .iter()
            .all(|ticket| ticket.commit.result().is_none()),
        "the sync has not returned"
    );
    disk.set_sync_fault(
        Some(Fault {
            nth: 1,
            always: true,
            full: false,
        }),
        true,
    );
    disk.block_syncs(false);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    for ticket in tickets {
        assert_eq!(runtime.block_on(ticket.commit.wait()), Err(CommitError));
    }
    log.close();
    assert_eq!((log.appended(), log.failed()), (0, 9));
}

#[test]
fn a_reader_at_the_heels_of_the_writer_takes_nothing_for_lost() {
    let disk = Arc::new(SimulatedDisk::new());
    let clock: Arc<dyn Clock> = Arc::new(TestClock::default());
    let config = Config {
        max_bytes: 64 << 20,
        ..small(Path::new(DIR))
    };
    let (log, _) = DiskLog::open(config, disk, clock).unwrap();
    let log = Arc::new(log);
    let appended = Arc::clone(&log);
    let writer = std::thread::spawn(move || {
        for number in 0..20_000_u32 {
            let record = NewRecord {
                kind: Kind::Event,
                key: None,
                payload: &number.to_le_bytes(),
            };
            while appended.append(&record).is_err() {
                std::thread::yield_now();
            }
            // Now and then the log is idle, as it is where events are rare.
            if number % 7 == 0 {
                std::thread::yield_now();
            }
        }
    });
    let mut reader = log.reader(SequenceNumber::ZERO);
    let mut read = 0;
    while read < 20_000 {
        let chunk = reader.read(usize::MAX, usize::MAX).unwrap();
        assert_eq!(chunk.damaged, 0, "after {read}");
        read += chunk.records.len();
    }
    writer.join().unwrap();
}
