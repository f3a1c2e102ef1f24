//! Damaged, cut, foreign and missing files: never a panic, never a wrong record, never silence.

use super::*;

/// A number and a payload.
type Numbered = (u64, Vec<u8>);

/// Three segments of three batches of three records, closed cleanly or not.
fn sound(closed: bool) -> (SimulatedDisk, Arc<TestClock>, Vec<Numbered>) {
    let (disk, clock) = (SimulatedDisk::new(), Arc::new(TestClock::default()));
    let mut records = Vec::new();
    for _ in 0..3 {
        let mut idle = open(&disk, &clock).unwrap();
        for _ in 0..3 {
            for _ in 0..3 {
                let number = records.len() as u64 + 1;
                let payload = vec![number as u8; 5 + number as usize];
                let ticket = idle.append(&payload).unwrap();
                assert_eq!(ticket.sequence.0, number);
                records.push((number, payload));
            }
            idle.committer.step();
        }
        if closed {
            idle.close();
        }
    }
    (disk, clock, records)
}

struct Seen {
    missing: u64,
    torn: u64,
    alarmed: bool,
    /// What the reader counted.
    damaged: u64,
    quarantined: usize,
}

/// Opens the log and reads all of it, in small steps; then appends, and reads again after a restart.
#[track_caller]
fn examine(
    disk: &SimulatedDisk,
    clock: &Arc<TestClock>,
    records: &[(u64, Vec<u8>)],
    what: &str,
) -> Seen {
    let mut idle = open(disk, clock).unwrap();
    let report = idle.report.clone();
    let fresh = idle.commit(b"fresh");
    let mut reader = idle.log.reader(SequenceNumber::ZERO);
    let (mut read, mut damaged) = (Vec::new(), 0);
    loop {
        let chunk = reader.read(2, 1000).unwrap();
        damaged += chunk.damaged;
        read.extend(pairs(&chunk));
        if chunk.records.is_empty() && chunk.last >= SequenceNumber(fresh) {
            break;
        }
    }
    assert_eq!(read.pop(), Some((fresh, b"fresh".to_vec())), "{what}");
    assert!(read.is_sorted(), "{what}");
    assert!(
        read.iter().all(|record| records.contains(record)),
        "{what}: a wrong record"
    );
    let kept = disk.list(&Path::new(DIR).join("quarantine")).unwrap();
    idle.close();
    let idle = open(disk, clock).unwrap();
    assert!(
        !idle.report.damaged,
        "{what}: the second start finds it in order"
    );
    read.push((fresh, b"fresh".to_vec()));
    let again = idle.read(0);
    assert_eq!(
        (pairs(&again), again.damaged),
        (read.clone(), damaged),
        "{what}"
    );
    Seen {
        missing: (records.len() + 1 - read.len()) as u64,
        torn: report.torn_records,
        alarmed: report.damaged || damaged > 0,
        damaged,
        quarantined: kept.len(),
    }
}

/// Changes one segment's bytes and examines what is left.
#[track_caller]
fn with_damage(closed: bool, index: usize, what: &str, change: impl FnOnce(&mut Vec<u8>)) -> Seen {
    let (disk, clock, records) = sound(closed);
    let path = segments(&disk, Path::new(DIR))[index].clone();
    let mut bytes = disk.read(&path).unwrap();
    change(&mut bytes);
    disk.put(&path, &bytes);
    examine(&disk, &clock, &records, what)
}

fn length(closed: bool, index: usize) -> usize {
    let (disk, _, _) = sound(closed);
    disk.read(&segments(&disk, Path::new(DIR))[index])
        .unwrap()
        .len()
}

/// A power loss may keep the head of the last batch and not what it says is there: nobody was answered, so nothing is lost.
#[test]
fn a_last_batch_of_which_a_payload_is_missing_is_torn() {
    let seen = with_damage(false, 2, "the last payload", |bytes| {
        let payload = [27; 5 + 27];
        let at = bytes
            .windows(payload.len())
            .rposition(|bytes| bytes == payload);
        bytes[at.unwrap()..][..payload.len()].fill(0);
    });
    assert_eq!((seen.torn, seen.damaged, seen.alarmed), (3, 0, false));
}

#[test]
fn an_undamaged_log_is_whole() {
    for closed in [true, false] {
        let seen = with_damage(closed, 0, "none", |_| {});
        assert_eq!(
            (seen.missing, seen.torn, seen.damaged, seen.quarantined),
            (0, 0, 0, 0)
        );
        assert!(!seen.alarmed);
    }
}

#[test]
fn a_flipped_bit_costs_at_most_its_batch_and_is_told() {
    for index in 0..3 {
        for at in 0..length(true, index) {
            let what = format!("segment {index}, byte {at}");
            let seen = with_damage(true, index, &what, |bytes| bytes[at] ^= 1 << (at % 8));
            assert!(seen.missing <= 3, "{what}: {} are missing", seen.missing);
            assert_eq!(seen.damaged, seen.missing, "{what}");
            if seen.missing > 0 {
                assert!(seen.alarmed, "{what}: no alarm");
                assert!(seen.quarantined > 0, "{what}: no copy");
            }
        }
    }
}

#[test]
fn a_flipped_bit_in_a_payload_costs_one_record() {
    let start = format::SEGMENT_HEADER + format::BATCH_HEADER + 3 * format::ENTRY;
    for at in start..start + 6 + 7 + 8 {
        let seen = with_damage(true, 0, "payload", |bytes| bytes[at] ^= 0x10);
        assert_eq!((seen.missing, seen.damaged), (1, 1), "byte {at}");
    }
}

#[test]
fn without_a_clean_end_only_the_last_batch_may_pass_for_torn() {
    for at in 0..length(false, 2) {
        let what = format!("byte {at}");
        let seen = with_damage(false, 2, &what, |bytes| bytes[at] ^= 1);
        assert!(seen.missing <= 3, "{what}");
        assert!(seen.missing == seen.damaged || seen.damaged == 0, "{what}");
        let start_of_last = length(false, 2) - (40 + 3 * 28 + 30 + 31 + 32);
        if at < start_of_last && seen.missing > 0 {
            assert!(seen.alarmed, "{what}: no alarm");
        }
    }
}

#[test]
fn a_segment_cut_at_any_length_is_read_as_far_as_it_goes() {
    for index in 0..3 {
        for at in 0..length(true, index) {
            let what = format!("segment {index}, cut at {at}");
            let seen = with_damage(true, index, &what, |bytes| bytes.truncate(at));
            if index < 2 {
                assert_eq!(seen.damaged, seen.missing, "{what}");
                assert_eq!(seen.missing > 0, at < length(true, index) - 40, "{what}");
            }
            if at < 64 {
                assert!(seen.alarmed, "{what}");
            }
        }
    }
}

#[test]
fn zeros_anywhere_are_told() {
    for index in 0..3 {
        let length = length(true, index);
        for from in (0..length).step_by(7) {
            for to in [from + 1, from + 50, from + 200, length] {
                let what = format!("segment {index}, zeros {from}..{to}");
                let to = to.min(length);
                let seen = with_damage(true, index, &what, |bytes| bytes[from..to].fill(0));
                // A tail of zeros cannot be told from one that was never written.
                let is_tail = index == 2 && to > length - 40;
                assert!(is_tail || seen.damaged == seen.missing, "{what}");
            }
        }
    }
}

#[test]
fn a_missing_segment_is_told() {
    let (disk, clock, records) = sound(true);
    disk.remove(&segments(&disk, Path::new(DIR))[1]).unwrap();
    let seen = examine(&disk, &clock, &records, "missing");
    assert_eq!((seen.missing, seen.damaged), (9, 9));
}

#[test]
fn foreign_files_are_put_aside_or_left_alone() {
    let (disk, clock, records) = sound(true);
    let dir = Path::new(DIR);
    let copied = disk.read(&segments(&disk, dir)[0]).unwrap();
    let (other, _, _) = sound(true);
    let foreign = other.read(&segments(&other, dir)[0]).unwrap();
    disk.remove(&segments(&disk, dir)[0]).unwrap();
    disk.put(&dir.join(format::segment_name(1)), &foreign);
    disk.put(&dir.join(format::segment_name(5)), &copied);
    disk.put(&dir.join(format::segment_name(3)), b"");
    disk.put(&dir.join("notes.segment"), b"a letter");
    disk.put(&dir.join("README"), b"left alone");
    let seen = examine(&disk, &clock, &records, "foreign");
    assert_eq!((seen.missing, seen.quarantined), (9, 4));
    assert!(seen.alarmed);
    assert!(disk.read(&dir.join("README")).is_ok());
}

#[test]
fn an_empty_last_segment_costs_no_number_twice() {
    let (disk, clock, records) = sound(true);
    disk.put(&Path::new(DIR).join(format::segment_name(40)), b"");
    let idle = open(&disk, &clock).unwrap();
    assert!(idle.report.damaged);
    assert_eq!(idle.report.last.0, 39);
    let chunk = idle.read(0);
    assert_eq!(pairs(&chunk), records);
}

#[test]
fn a_newer_version_is_refused() {
    let (disk, clock, _) = sound(true);
    let path = segments(&disk, Path::new(DIR))[1].clone();
    let mut bytes = disk.read(&path).unwrap();
    bytes[4] = format::VERSION + 1;
    let crc = crc32c::crc32c(&bytes[..60]);
    bytes[60..64].copy_from_slice(&crc.to_le_bytes());
    disk.put(&path, &bytes);
    let error = open(&disk, &clock).err().unwrap();
    assert!(
        matches!(error, OpenError::NewerVersion { version: 2, .. }),
        "{error}"
    );
    assert!(disk.open(&path).is_ok(), "it was not touched");
}

#[test]
fn a_lost_identity_is_taken_from_the_segments() {
    for bytes in [
        None,
        Some(b"".as_slice()),
        Some(b"rubbish\n"),
        Some(b"\xff\xfe\n\n"),
    ] {
        let (disk, clock, records) = sound(true);
        let id = open(&disk, &clock).unwrap().log.id();
        let path = Path::new(DIR).join("id");
        match bytes {
            Some(bytes) => disk.put(&path, bytes),
            None => disk.remove(&path).unwrap(),
        }
        let idle = open(&disk, &clock).unwrap();
        assert_eq!(idle.log.id(), id);
        assert_eq!(idle.report.damaged, bytes.is_some());
        assert_eq!(pairs(&idle.read(0)), records);
    }
}

#[test]
fn what_a_recycled_file_held_before_is_not_read() {
    // Another log's segment, whose second batch lies just where this log's will end and goes on with its numbers.
    let (disk, clock) = (SimulatedDisk::new(), Arc::new(TestClock::default()));
    let mut other = open(&disk, &clock).unwrap();
    for payload in [b"stale 1", b"stale 2", b"stale 3"] {
        other.commit(payload);
    }
    drop(other);
    let mut bytes = disk.read(&segments(&disk, Path::new(DIR))[0]).unwrap();
    bytes.resize(4 << 10, 0);
    let disk = SimulatedDisk::new();
    disk.put(&Path::new(DIR).join("spare"), &bytes);
    let mut idle = open(&disk, &clock).unwrap();
    idle.commit(b"fresh 1");
    assert!(
        disk.open(&Path::new(DIR).join("spare")).is_err(),
        "the spare was taken"
    );
    drop(idle);
    let idle = open(&disk, &clock).unwrap();
    assert_eq!(pairs(&idle.read(0)), [(1, b"fresh 1".to_vec())]);
    assert!(!idle.report.damaged);
    assert_eq!(idle.report.torn_records, 0);
}

#[test]
fn random_damage_never_yields_a_wrong_record() {
    let mut rng = fastrand::Rng::with_seed(7);
    for round in 0..400 {
        let (disk, clock, records) = sound(rng.bool());
        for path in segments(&disk, Path::new(DIR)) {
            let mut bytes = disk.read(&path).unwrap();
            for _ in 0..rng.usize(..4) {
                let (from, to) = (rng.usize(..bytes.len()), rng.usize(..bytes.len()));
                match rng.u8(..4) {
                    0 => bytes[from] = rng.u8(..),
                    1 if from < to => bytes[from..to].fill(rng.u8(..)),
                    2 if from < to => bytes.copy_within(from..to, 0),
                    _ => bytes.truncate(from.max(1)),
                }
            }
            disk.put(&path, &bytes);
        }
        let mut idle = open(&disk, &clock).unwrap();
        let fresh = idle.commit(b"fresh");
        let chunk = idle.read(0);
        let (last, old) = chunk.records.split_last().unwrap();
        assert_eq!(
            (last.sequence.0, last.payload.as_ref()),
            (fresh, b"fresh".as_slice()),
            "round {round}"
        );
        for record in old {
            assert!(
                records.contains(&(record.sequence.0, record.payload.to_vec())),
                "round {round}"
            );
        }
    }
}
