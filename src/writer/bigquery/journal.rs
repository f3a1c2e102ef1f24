//! What was about to be appended to which stream, written down before it is sent.
//!
//! After a crash the stream itself is asked how many rows it has; the journal says up to which number of the log
//! these are. So rows are written once, and no row need be kept here. One JSON object a line:
//!
//! ```json
//! {"log_id":"…","settled":7,"stream":"projects/…/streams/…"}     a stream is begun; all up to 7 is in the table
//! {"end":500,"last":507}                                         500 rows of the stream reach up to number 507
//! ```
//!
//! An append that was refused is superseded by the next line with the same or a smaller end.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::durable::{self, Disk, DiskFile};
use crate::schema::{LogId, SequenceNumber};

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
    end: u64,
    last: u64,
}

/// The journal of one table.
#[derive(Debug)]
pub(super) struct Journal {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    head: Option<Head>,
    /// Ascending by both.
    appends: Vec<Append>,
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
            file: None,
        };
        // A line that a crash cut off was not acted upon: it ends without a line feed.
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').unwrap_or(0);
        let mut lines = bytes[..whole].split(|byte| *byte == b'\n');
        let Some(first) = lines.next().filter(|line| !line.is_empty()) else {
            return Ok(journal);
        };
        journal.head = Some(serde_json::from_slice(first)?);
        for line in lines {
            journal.remember(serde_json::from_slice(line)?);
        }
        Ok(journal)
    }

    fn remember(&mut self, append: Append) {
        while self
            .appends
            .pop_if(|known| known.end >= append.end)
            .is_some()
        {}
        self.appends.push(append);
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

    /// The stream ended with so many rows: up to which number they reach is settled. Durable.
    ///
    /// # Errors
    /// Those of the disk; the same call may be made again.
    pub(super) fn ended(&mut self, rows: u64) -> io::Result<()> {
        let Some(head) = &mut self.head else {
            return Ok(());
        };
        let reached = self.appends.iter().rfind(|append| append.end <= rows);
        head.settled = reached.map_or(head.settled, |append| append.last.max(head.settled));
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
        self.file = None;
        let mut line = serde_json::to_vec(&self.head)?;
        line.push(b'\n');
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

    /// Rows are about to be appended, with which the stream will have `end`, up to number `last`. Durable.
    ///
    /// # Errors
    /// Those of the disk; then nothing may be sent, and a new stream must be begun.
    pub(super) fn append(&mut self, end: u64, last: SequenceNumber) -> io::Result<()> {
        let append = Append { end, last: last.0 };
        let Some((file, length)) = &mut self.file else {
            return Err(io::Error::other("no stream was begun"));
        };
        let mut line = serde_json::to_vec(&append)?;
        line.push(b'\n');
        file.write_at(&line, *length)?;
        file.sync_data()?;
        *length += line.len() as u64;
        self.remember(append);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::durable::SimulatedDisk;

    fn id(number: u128) -> LogId {
        LogId(Uuid::from_u128(number))
    }

    fn open(disk: &Arc<SimulatedDisk>) -> Journal {
        Journal::open(Arc::clone(disk) as _, Path::new("/j/t.jsonl")).unwrap()
    }

    fn begun(disk: &Arc<SimulatedDisk>) -> Journal {
        let mut journal = open(disk);
        journal.began(id(1), SequenceNumber(7), "s").unwrap();
        journal.append(500, SequenceNumber(507)).unwrap();
        journal.append(600, SequenceNumber(610)).unwrap();
        journal
    }

    #[test]
    fn rows_of_the_stream_are_numbers_of_the_log_after_a_crash() {
        for (rows, settled) in [(0, 7), (499, 7), (500, 507), (599, 507), (600, 610)] {
            let disk = Arc::new(SimulatedDisk::new());
            drop(begun(&disk));
            let disk = Arc::new(disk.crash(1));
            let mut journal = open(&disk);
            assert_eq!(journal.stream(), Some("s"));
            assert_eq!(journal.settled(id(1)), Some(SequenceNumber(7)));
            journal.ended(rows).unwrap();
            let journal = open(&disk);
            assert_eq!(journal.stream(), None);
            assert_eq!(
                journal.settled(id(1)),
                Some(SequenceNumber(settled)),
                "{rows}"
            );
            assert_eq!(journal.settled(id(2)), None, "another log");
        }
    }

    #[test]
    fn a_refused_append_is_superseded() {
        let disk = Arc::new(SimulatedDisk::new());
        let mut journal = begun(&disk);
        // The second and what followed were refused; its other rows go again.
        journal.append(700, SequenceNumber(710)).unwrap();
        journal.append(599, SequenceNumber(610)).unwrap();
        journal.append(650, SequenceNumber(660)).unwrap();
        drop(journal);
        for (rows, settled) in [(500, 507), (599, 610), (650, 660), (700, 660)] {
            let disk = Arc::new(disk.crash(1));
            let mut journal = open(&disk);
            journal.ended(rows).unwrap();
            assert_eq!(
                journal.settled(id(1)),
                Some(SequenceNumber(settled)),
                "{rows}"
            );
        }
    }

    #[test]
    fn a_torn_line_was_not_acted_upon_and_damage_is_told() {
        let disk = Arc::new(SimulatedDisk::new());
        drop(begun(&disk));
        let path = Path::new("/j/t.jsonl");
        let bytes = disk.read(path).unwrap();
        let file = disk.create(path).unwrap();
        file.write_at(&bytes[..bytes.len() - 3], 0).unwrap();
        let mut journal = open(&disk);
        journal.ended(600).unwrap();
        assert_eq!(journal.settled(id(1)), Some(SequenceNumber(507)));
        let file = disk.create(path).unwrap();
        file.write_at(b"junk\nmore\n", 0).unwrap();
        assert!(Journal::open(Arc::clone(&disk) as _, path).is_err());
    }
}
