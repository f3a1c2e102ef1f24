//! Which rows of a stream are which numbers of the log, written down where it cannot be told otherwise.
//!
//! After a crash the stream itself is asked how many rows it has; the journal says up to which number of the log
//! these are. Numbers are dense: where one append goes on where the last one ended there is nothing to write down, which
//! is nearly always. Where numbers are missing (rejected rows, rows of another table) a line is durable before the append
//! is sent. So rows are written once, and no row need be kept here. One JSON object a line, each with its checksum behind it:
//!
//! ```json
//! {"version":1,"log_id":"…","settled":7,"stream":"projects/…"}    a stream is begun; all up to 7 is in the table
//! {"offset":0,"end":500,"last":509}                              its rows from 0 to 500 reach up to number 509
//! ```
//!
//! Row 501 is then number 510, and so on up to the next line. Requests are written whole or not at all, so the
//! numbers inside one do not matter. A line supersedes those that end behind its offset: their appends were refused.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::durable::{self, Disk, DiskFile};
use crate::schema::{LogId, Record, SequenceNumber};

/// The version of the format that this program writes, and the newest that it reads; the first line says it for the file.
const VERSION: u32 = 1;

/// A longer file is begun anew when nothing is under way.
const LONG_BYTES: u64 = 1 << 20;

/// Of which log how much is in the table, and to which stream more goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Head {
    log_id: Uuid,
    /// All up to this number of the log is in the table, or will never be.
    settled: u64,
    /// The stream to which appends go; none once it is settled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stream: Option<String>,
}

/// Rows of the stream, and up to which number of the log they reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Append {
    offset: u64,
    end: u64,
    last: u64,
}

/// The journal of one table.
#[derive(Debug)]
pub(super) struct Journal {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    head: Option<Head>,
    /// Ascending by end and last.
    appends: Vec<Append>,
    /// Whether a line cannot be read that may have changed what the others say.
    is_doubtful: bool,
    file: Option<(Box<dyn DiskFile>, u64)>,
}

impl Journal {
    /// Opens the journal in a file, which need not be there.
    ///
    /// # Errors
    /// Those of the disk. A file that is damaged but for its last line is an error too.
    pub(super) fn open(disk: Arc<dyn Disk>, path: &Path) -> io::Result<Self> {
        if let Some(folder) = path.parent() {
            disk.create_dir_all(folder)?;
        }
        let bytes = match disk.read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error),
        };
        let mut journal = Self {
            disk,
            path: path.to_owned(),
            head: None,
            appends: Vec::new(),
            is_doubtful: false,
            file: None,
        };
        let mut lines = bytes.split_inclusive(|byte| *byte == b'\n').peekable();
        let Some(first) = lines.next() else {
            return Ok(journal);
        };
        journal.head = Some(durable::unseal(first, VERSION)?);
        while let Some(line) = lines.next() {
            match durable::unseal(line, VERSION) {
                Ok(append) => journal.remember(append),
                // A crash cut it off: it was not acted upon.
                Err(_) if !line.ends_with(b"\n") => {}
                // A power loss tore it, and it was not acted upon; or it was, and was damaged later.
                Err(error) if lines.peek().is_none() => {
                    tracing::warn!(journal = %path.display(), %error, "last line of the journal is damaged; rows that were under way may be doubled");
                    journal.is_doubtful = true;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(journal)
    }

    fn remember(&mut self, append: Append) {
        let is_refused = |known: &mut Append| known.end > append.offset;
        while self.appends.pop_if(is_refused).is_some() {}
        self.appends.push(append);
    }

    /// The number up to which so many rows of the stream reach.
    fn reached(&self, rows: u64) -> u64 {
        let known = self.appends.iter().rfind(|append| append.end <= rows);
        let settled = || self.head.as_ref().map_or(0, |head| head.settled);
        known.map_or_else(
            || settled() + rows,
            |append| append.last + (rows - append.end),
        )
    }

    /// The stream to which rows may have gone that are not accounted for.
    pub(super) fn stream(&self) -> Option<&str> {
        self.head.as_ref()?.stream.as_deref()
    }

    /// Up to which number the table has all of this log, as far as it is known.
    pub(super) fn settled(&self, log_id: LogId) -> Option<SequenceNumber> {
        let head = self.head.as_ref()?;
        (head.log_id == log_id.0).then_some(SequenceNumber(head.settled))
    }

    /// In which log up to which number the table has all, as far as it is known.
    pub(super) fn reached_in(&self) -> Option<(LogId, SequenceNumber)> {
        let head = self.head.as_ref()?;
        Some((LogId(head.log_id), SequenceNumber(head.settled)))
    }

    /// The stream ended with so many rows: up to which number they reach is settled. Durable.
    ///
    /// # Errors
    /// Those of the disk; the same call may be made again.
    pub(super) fn ended(&mut self, rows: u64) -> io::Result<()> {
        // In doubt, rows go again that may be there: rather twice than not at all.
        let reached = match self.is_doubtful {
            true => 0,
            false => self.reached(rows),
        };
        self.end(reached)
    }

    /// The stream ended, and all up to `settled` is in the table. Durable.
    ///
    /// # Errors
    /// Those of the disk; the same call may be made again.
    pub(super) fn ended_at(&mut self, settled: SequenceNumber) -> io::Result<()> {
        self.end(settled.0)
    }

    fn end(&mut self, reached: u64) -> io::Result<()> {
        let Some(head) = &mut self.head else {
            return Ok(());
        };
        head.settled = head.settled.max(reached);
        head.stream = None;
        self.begin()
    }

    /// Appends go to this stream from now on, behind `settled`. Durable.
    ///
    /// # Errors
    /// Those of the disk; the same call may be made again.
    pub(super) fn began(
        &mut self,
        log_id: LogId,
        settled: SequenceNumber,
        stream: &str,
    ) -> io::Result<()> {
        self.head = Some(Head {
            log_id: log_id.0,
            settled: settled.0,
            stream: Some(stream.to_owned()),
        });
        self.begin()
    }

    /// A new file with the head alone.
    fn begin(&mut self) -> io::Result<()> {
        self.appends.clear();
        self.is_doubtful = false;
        self.file = None;
        let Some(head) = &self.head else {
            return Ok(());
        };
        let line = durable::seal(head, VERSION)?;
        durable::replace(self.disk.as_ref(), &self.path, &line)?;
        let file = self.disk.open_writable(&self.path)?;
        self.file = Some((file, line.len() as u64));
        Ok(())
    }

    /// Whether it has grown so long that a new stream should be begun.
    pub(super) fn is_long(&self) -> bool {
        self.file
            .as_ref()
            .is_some_and(|(_, length)| *length > LONG_BYTES)
    }

    /// Whether it has grown so long that a new stream must be begun.
    pub(super) fn is_too_long(&self) -> bool {
        self.file
            .as_ref()
            .is_some_and(|(_, length)| *length > 8 * LONG_BYTES)
    }

    /// Records are about to be appended at this offset. What has to be written down of that is durable then.
    ///
    /// # Errors
    /// Those of the disk; then nothing may be sent, and a new stream must be begun.
    pub(super) fn append(&mut self, offset: u64, records: &[Record]) -> io::Result<()> {
        let Some(last) = records.last().map(|record| record.sequence.0) else {
            return Ok(());
        };
        let end = offset + records.len() as u64;
        let is_superseding = self.appends.last().is_some_and(|known| known.end > offset);
        if !is_superseding && self.reached(end) == last {
            return Ok(());
        }
        let append = Append { offset, end, last };
        let Some((file, length)) = &mut self.file else {
            return Err(io::Error::other("no stream was begun"));
        };
        let line = durable::seal(&append, VERSION)?;
        file.write_at(&line, *length)?;
        file.sync_data()?;
        *length += line.len() as u64;
        self.remember(append);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;
    use crate::durable::SimulatedDisk;
    use crate::schema::Kind;

    fn id(number: u128) -> LogId {
        LogId(Uuid::from_u128(number))
    }

    fn open(disk: &Arc<SimulatedDisk>) -> Journal {
        Journal::open(Arc::clone(disk) as _, Path::new("/j/t.jsonl")).unwrap()
    }

    fn records(numbers: impl IntoIterator<Item = u64>) -> Vec<Record> {
        let record = |number| Record {
            sequence: SequenceNumber(number),
            kind: Kind::Event,
            payload: Bytes::new(),
        };
        numbers.into_iter().map(record).collect()
    }

    /// 500 rows from number 8 on, then 100 among which some numbers are missing.
    fn begun(disk: &Arc<SimulatedDisk>) -> Journal {
        let mut journal = open(disk);
        journal.began(id(1), SequenceNumber(7), "s").unwrap();
        journal.append(0, &records(8..=507)).unwrap();
        let rest = (508..=613).filter(|number| ![510, 511, 600, 608, 610, 612].contains(number));
        journal.append(500, &records(rest)).unwrap();
        journal.append(600, &records(614..=620)).unwrap();
        journal
    }

    fn settled_after(disk: &Arc<SimulatedDisk>, rows: u64) -> u64 {
        let mut journal = open(disk);
        assert_eq!(journal.stream(), Some("s"));
        assert_eq!(journal.settled(id(1)), Some(SequenceNumber(7)));
        journal.ended(rows).unwrap();
        let journal = open(disk);
        assert_eq!(journal.stream(), None);
        assert_eq!(journal.settled(id(2)), None, "another log");
        journal.settled(id(1)).unwrap().0
    }

    #[test]
    fn rows_of_the_stream_are_numbers_of_the_log_after_a_crash() {
        for (rows, settled) in [(0, 7), (500, 507), (600, 613), (607, 620)] {
            let disk = Arc::new(SimulatedDisk::new());
            drop(begun(&disk));
            let disk = Arc::new(disk.crash(1));
            assert_eq!(settled_after(&disk, rows), settled, "{rows}");
        }
    }

    #[test]
    fn a_file_of_version_1_is_read_and_a_newer_one_refused() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let golden = root.join("tests/fixtures/formats/1/bigquery_journal.jsonl");
        let golden = std::fs::read_to_string(golden).unwrap();
        let disk = Arc::new(SimulatedDisk::new());
        let path = Path::new("/j/t.jsonl");
        disk.create_dir_all(Path::new("/j")).unwrap();
        durable::replace(disk.as_ref(), path, golden.as_bytes()).unwrap();
        let journal = open(&disk);
        assert_eq!(journal.settled(id(1)), Some(SequenceNumber(7)));
        assert_eq!(journal.reached(600), 613);
        assert!(
            journal
                .stream()
                .is_some_and(|stream| stream.ends_with("/s"))
        );

        let newer = durable::seal(&serde_json::json!({}), 2).unwrap();
        durable::replace(disk.as_ref(), path, &newer).unwrap();
        let error = Journal::open(Arc::clone(&disk) as _, path).unwrap_err();
        let error = error.to_string();
        assert!(
            error.contains("format 2") && error.contains("up to 1"),
            "{error}"
        );
    }

    #[test]
    fn where_no_number_is_missing_nothing_is_written() {
        let disk = Arc::new(SimulatedDisk::new());
        let mut journal = open(&disk);
        journal.began(id(1), SequenceNumber(7), "s").unwrap();
        let before = disk.read(Path::new("/j/t.jsonl")).unwrap();
        journal.append(0, &records(8..=10)).unwrap();
        journal.append(3, &records(11..=11)).unwrap();
        assert_eq!(disk.read(Path::new("/j/t.jsonl")).unwrap(), before);
        journal.append(4, &records(13..=13)).unwrap();
        assert_ne!(disk.read(Path::new("/j/t.jsonl")).unwrap(), before);
    }

    /// Any appends, some refused, and a crash after any of them: the numbers are those that were written.
    #[test]
    fn the_numbers_are_those_that_were_written() {
        for seed in 0..300 {
            let mut random = fastrand::Rng::with_seed(seed);
            let disk = Arc::new(SimulatedDisk::new());
            let mut journal = open(&disk);
            journal.began(id(1), SequenceNumber(7), "s").unwrap();
            let (mut offset, mut reached) = (0, 7);
            for _ in 0..random.u64(1..20) {
                // Some requests are under way together; from the first that is refused on, none is written.
                let mut under_way = Vec::new();
                let (mut next_offset, mut number) = (offset, reached);
                for _ in 0..random.u64(1..4) {
                    let mut numbers = Vec::new();
                    for _ in 0..random.u64(1..6) {
                        number += if random.u8(0..5) == 0 { 2 } else { 1 };
                        numbers.push(number);
                    }
                    journal
                        .append(next_offset, &records(numbers.clone()))
                        .unwrap();
                    next_offset += numbers.len() as u64;
                    under_way.push((next_offset, number));
                }
                let written = random.usize(0..=under_way.len());
                if written > 0 {
                    (offset, reached) = under_way[written - 1];
                }
            }
            drop(journal);
            let disk = Arc::new(disk.crash(seed));
            assert_eq!(settled_after(&disk, offset), reached, "seed {seed}");
        }
    }

    #[test]
    fn a_torn_line_was_not_acted_upon_and_damage_is_told() {
        let path = Path::new("/j/t.jsonl");
        let disk = Arc::new(SimulatedDisk::new());
        drop(begun(&disk));
        let bytes = disk.read(path).unwrap();
        let cut = bytes[..bytes.len() - 3].to_vec();
        // Its end reached the disk, its middle did not.
        let mut torn = bytes.clone();
        let end = torn.len();
        torn[end - 20..end - 2].fill(0);
        for (bytes, settled) in [(cut, 507), (torn, 7)] {
            disk.put(path, &bytes);
            let mut journal = open(&disk);
            journal.ended(500).unwrap();
            assert_eq!(journal.settled(id(1)), Some(SequenceNumber(settled)));
            assert_eq!(open(&disk).settled(id(1)), Some(SequenceNumber(settled)));
        }
        let mut damaged = bytes.clone();
        damaged[40] ^= 1;
        for bytes in [damaged, b"junk\nmore\n".to_vec()] {
            disk.put(path, &bytes);
            assert!(Journal::open(Arc::clone(&disk) as _, path).is_err());
        }
    }

    proptest! {
        /// Whatever stands in the file: it is told, or read, and what is settled by it stays so.
        #[test]
        fn damage_is_told_or_harmless(
            at in 0_usize..400,
            change in proptest::collection::vec(any::<u8>(), 0..20),
            cut in proptest::option::of(0_usize..400),
            rows in 0_u64..1000,
        ) {
            let path = Path::new("/j/t.jsonl");
            let disk = Arc::new(SimulatedDisk::new());
            drop(begun(&disk));
            let mut bytes = disk.read(path).unwrap();
            bytes.truncate(cut.unwrap_or(bytes.len()));
            let end = bytes.len();
            let at = at.min(end);
            bytes.splice(at..(at + change.len()).min(end), change);
            disk.put(path, &bytes);
            let Ok(mut journal) = Journal::open(Arc::clone(&disk) as _, path) else {
                return Ok(());
            };
            let before = journal.settled(id(1));
            journal.ended(rows).unwrap();
            let settled = journal.settled(id(1));
            prop_assert!(settled >= before);
            let again = open(&disk);
            prop_assert_eq!(again.settled(id(1)), settled);
            prop_assert_eq!(again.stream(), None);
        }
    }
}
