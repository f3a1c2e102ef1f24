//! The file of a dead letter: each whole line is a letter that is written as it was read, and no damage to one costs another.

use std::path::Path;
use std::sync::Arc;

use real_streaming::durable::{Disk, SimulatedDisk, file_stem_of};
use real_streaming::pipeline::{DeadLetterFolder, Letter};
use real_streaming::schema::{LogId, SequenceNumber};
use uuid::Uuid;

use crate::tiny::Ticks;

const DESTINATION: &str = "memory:a";
const LOG: LogId = LogId(Uuid::nil());

/// Panics where a promise is broken.
pub fn check(data: &[u8]) {
    // A line of a newer version is no damage.
    let Ok(letters) = Letter::of_lines(data, DESTINATION) else {
        return;
    };
    for letter in &letters {
        let line = letter.line().expect("a line");
        assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
        let again = Letter::of_lines(&line, DESTINATION).expect("its version");
        let [again] = &again[..] else {
            panic!("one line is {} letters", again.len());
        };
        assert_eq!(again.key(), letter.key());
        assert_eq!(again.reason, letter.reason);
        assert_eq!(again.record, letter.record);
        // What is behind a line that is cut off, or before it, is as it was.
        let mut file = line.clone();
        file.extend_from_slice(&line[..line.len() / 2]);
        let whole = Letter::of_lines(&file, DESTINATION).expect("its version");
        assert_eq!(whole.len(), 1);
    }
    let folder = format!("/dead_letter/{}", file_stem_of(DESTINATION));
    let disk = SimulatedDisk::new();
    let name = format!("{LOG}-{:020}-0.jsonl", 1);
    disk.put(&Path::new(&folder).join(name), data);
    let disk: Arc<dyn Disk> = Arc::new(disk);
    let after = SequenceNumber::ZERO;
    let folder = DeadLetterFolder::open(
        Ticks::shared(),
        disk,
        Path::new("/dead_letter"),
        DESTINATION,
        LOG,
        after,
    );
    let known = folder.expect("damage is no reason not to start");
    let known = known.known_between(after, SequenceNumber(u64::MAX));
    let distinct: std::collections::HashSet<u64> = letters
        .iter()
        .map(|letter| letter.sequence)
        .filter(|number| *number > 0)
        .collect();
    assert_eq!(
        known,
        distinct.len() as u64,
        "rows count as taken if and only if they can be read"
    );
}
