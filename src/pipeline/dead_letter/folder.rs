//! The dead letter on this machine's disk.
//!
//! One JSON object a line, in one folder a destination. The key (log id, sequence number, destination)
//! makes it idempotent: what was written before a crash is not written again after it. A row is durable
//! here before its cursor moves. A line is a [`Letter`]'s.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;

use crate::clock::Clock;
use crate::durable::{Disk, DiskFile, file_stem_of};
use crate::schema::{LogId, SequenceNumber};
use crate::writer::{Batch, RowFault, WriteError};

use super::kinds::{Archive, Excerpt};
use super::letter::{Key, Letter, Line, check_version};

/// A file is not continued beyond this size.
const FILE_BYTES: u64 = 64 << 20;

/// The dead letter cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("dead letter {path}: {source}")]
pub struct DeadLetterFault {
    path: PathBuf,
    source: io::Error,
}

impl DeadLetterFault {
    pub(in crate::pipeline) fn new(path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        Self { path, source }
    }
}

/// The dead letter of one destination.
#[derive(Debug)]
pub struct DeadLetterFolder {
    clock: Arc<dyn Clock>,
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    destination: String,
    log_id: LogId,
    /// Numbers beyond the cursor that are in the dead letter already.
    known: HashSet<u64>,
    /// Made with the first row.
    file: Option<(Box<dyn DiskFile>, u64)>,
}

impl DeadLetterFolder {
    /// The dead letter of `destination` below `folder`. Rows beyond `after` that are there already are known.
    ///
    /// # Errors
    /// The folder cannot be made or read.
    pub fn open(
        clock: Arc<dyn Clock>,
        disk: Arc<dyn Disk>,
        folder: &Path,
        destination: &str,
        log_id: LogId,
        after: SequenceNumber,
    ) -> Result<Self, DeadLetterFault> {
        let folder = folder_of(folder, destination);
        let fault = |source| DeadLetterFault {
            path: folder.clone(),
            source,
        };
        disk.create_dir_all(&folder).map_err(fault)?;
        let known = known_beyond(disk.as_ref(), &folder, log_id, after).map_err(fault)?;
        Ok(Self {
            clock,
            disk,
            folder,
            destination: destination.to_owned(),
            log_id,
            known,
            file: None,
        })
    }

    /// Whether it holds this row.
    pub(super) fn knows(&self, sequence: SequenceNumber) -> bool {
        self.known.contains(&sequence.0)
    }

    /// How many rows in `(after, through]` are in the dead letter.
    pub fn known_between(&self, after: SequenceNumber, through: SequenceNumber) -> u64 {
        self.known
            .iter()
            .filter(|sequence| (after.0 + 1..=through.0).contains(sequence))
            .count() as u64
    }

    /// Takes the rows of `batch` that have a fault, durably. None of them is here yet: what is, is not sent again. Blocks.
    ///
    /// # Errors
    /// Errors of the disk; the same call may be made again.
    pub fn take(&mut self, batch: &Batch, faults: &[RowFault]) -> io::Result<()> {
        let mut lines = Vec::new();
        let mut taken = Vec::new();
        for fault in faults {
            let Some(record) = batch
                .records
                .iter()
                .find(|record| record.sequence == fault.sequence)
            else {
                continue;
            };
            let now = self.clock.now();
            let letter = Letter::of(record, self.log_id, &self.destination, &fault.reason, now);
            lines.extend(letter.line()?);
            taken.push(fault.sequence);
        }
        let Some(first) = taken.first() else {
            return Ok(());
        };
        let (file, length) = match &mut self.file {
            Some(open) => open,
            none => none.insert(create(
                self.disk.as_ref(),
                &self.folder,
                self.log_id,
                *first,
            )?),
        };
        let written = file
            .write_at(&lines, *length)
            .and_then(|()| file.sync_data());
        if let Err(error) = written {
            // After a failed sync nothing more is to be had of a file; half of what it was given may be in it.
            let _cut = file.truncate(*length);
            self.file = None;
            return Err(error);
        }
        *length += lines.len() as u64;
        if *length > FILE_BYTES {
            self.file = None;
        }
        self.known.extend(taken.iter().map(|sequence| sequence.0));
        Ok(())
    }

    /// Forgets numbers up to the cursor: they will not come again.
    pub fn settled(&mut self, through: SequenceNumber) {
        if !self.known.is_empty() {
            self.known.retain(|sequence| *sequence > through.0);
        }
    }
}

/// The dead letters below a folder, to be read.
#[derive(Debug)]
pub struct FolderArchive {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
}

impl FolderArchive {
    /// Those below `folder`.
    pub fn new(disk: Arc<dyn Disk>, folder: &Path) -> Self {
        let folder = folder.to_owned();
        Self { disk, folder }
    }

    /// The file behind the one of this name, and whether there are more.
    fn excerpt_behind(&self, destination: &str, behind: Option<&str>) -> io::Result<Excerpt> {
        let name = |path: &PathBuf| {
            let name = path.file_name().unwrap_or_default();
            name.to_string_lossy().into_owned()
        };
        let files = files(self.disk.as_ref(), &self.folder, destination)?;
        let is_behind = |path: &&PathBuf| behind.is_none_or(|behind| *name(path) > *behind);
        let mut files = files.iter().filter(is_behind);
        let Some(file) = files.next() else {
            return Ok(Excerpt::default());
        };
        Ok(Excerpt {
            letters: Letter::of_lines(&self.disk.read(file)?, destination)?,
            next: files.next().map(|_| name(file)),
        })
    }
}

/// What was replayed is noted in journals, by this machine's only collector.
#[async_trait]
impl Archive for FolderArchive {
    async fn excerpt(
        &self,
        destination: &str,
        behind: Option<&str>,
    ) -> Result<Excerpt, WriteError> {
        tokio::task::block_in_place(|| self.excerpt_behind(destination, behind))
            .map_err(WriteError::transient)
    }

    async fn marks(&self, _: &str) -> Result<Vec<Key>, WriteError> {
        Ok(Vec::new())
    }

    async fn mark(&self, _: &str, _: &[Key]) -> Result<(), WriteError> {
        Ok(())
    }

    async fn claim(&self) -> Result<bool, WriteError> {
        Ok(true)
    }

    async fn release(&self) {}
}

fn folder_of(folder: &Path, destination: &str) -> PathBuf {
    folder.join(file_stem_of(destination))
}

/// The files of one destination's dead letter, below `folder`.
///
/// # Errors
/// Those of the disk.
pub(in crate::pipeline) fn files(
    disk: &dyn Disk,
    folder: &Path,
    destination: &str,
) -> io::Result<Vec<PathBuf>> {
    let folder = folder_of(folder, destination);
    let mut names: Vec<String> = disk
        .list(&folder)?
        .into_iter()
        .map(|entry| entry.name)
        .filter(|name| name.ends_with(".jsonl"))
        .collect();
    names.sort();
    Ok(names.into_iter().map(|name| folder.join(name)).collect())
}

/// A new file, whose name is durable. Its name begins with the log and the first number, so that files sort.
fn create(
    disk: &dyn Disk,
    folder: &Path,
    log_id: LogId,
    first: SequenceNumber,
) -> io::Result<(Box<dyn DiskFile>, u64)> {
    let taken: HashSet<String> = disk
        .list(folder)?
        .into_iter()
        .map(|entry| entry.name)
        .collect();
    let name = (0..)
        .map(|attempt| format!("{log_id}-{:020}-{attempt}.jsonl", first.0))
        .find(|name| !taken.contains(name))
        .ok_or_else(|| io::Error::other("no free file name"))?;
    let file = disk.create(&folder.join(name))?;
    disk.sync_dir(folder)?;
    Ok((file, 0))
}

/// The numbers beyond `after` that the files hold. A line that a crash cut off was not acted upon: it is left out.
fn known_beyond(
    disk: &dyn Disk,
    folder: &Path,
    log_id: LogId,
    after: SequenceNumber,
) -> io::Result<HashSet<u64>> {
    let prefix = format!("{log_id}-");
    let mut names: Vec<String> = disk
        .list(folder)?
        .into_iter()
        .map(|entry| entry.name)
        .filter(|name| name.starts_with(&prefix))
        .collect();
    names.sort();
    // Rows are taken in order and none twice, so the files do not overlap: older ones hold nothing beyond.
    let first = |name: &String| {
        name[prefix.len()..]
            .split('-')
            .next()
            .and_then(|first| first.parse::<u64>().ok())
    };
    let oldest = names
        .iter()
        .rposition(|name| first(name).is_some_and(|first| first <= after.0))
        .unwrap_or(0);
    let mut known = HashSet::new();
    for name in &names[oldest..] {
        let path = folder.join(name);
        // What a process wrote that was killed before its sync is there to read, and gone after a power loss.
        disk.open_writable(&path)?.sync_data()?;
        let bytes = disk.read(&path)?;
        for line in bytes.split(|byte| *byte == b'\n') {
            check_version(line)?;
        }
        // As those read it who replay: what they cannot read must come again.
        let lines = bytes.split_inclusive(|byte| *byte == b'\n');
        let sequences = lines.filter_map(Line::read).map(|line| line.sequence);
        known.extend(sequences.filter(|sequence| *sequence > after.0));
    }
    Ok(known)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use uuid::Uuid;

    use super::*;
    use crate::clock::{Micros, SystemClock};
    use crate::durable::{Fault, SimulatedDisk};
    use crate::schema::{Kind, Record};

    const NAME: &str = "memory:a";
    const LOG: LogId = LogId(Uuid::nil());

    /// How many rows count as taken where the file is this.
    fn known(file: &[u8]) -> u64 {
        let disk = Arc::new(SimulatedDisk::new());
        let folder = Path::new("/dead_letter");
        let name = format!("{LOG}-{:020}-0.jsonl", 7);
        disk.put(&folder_of(folder, NAME).join(name), file);
        let clock = SystemClock::shared();
        let after = SequenceNumber(6);
        let opened = DeadLetterFolder::open(clock, disk, folder, NAME, LOG, after);
        opened.unwrap().known_between(after, SequenceNumber(9))
    }

    #[test]
    fn what_counts_as_taken_can_be_read() {
        let record = Record {
            sequence: SequenceNumber(7),
            kind: Kind::Document,
            payload: Bytes::from_static(b"row"),
        };
        let line = Letter::of(&record, LOG, NAME, "no", Micros(1))
            .line()
            .unwrap();
        assert_eq!(known(&line), 1);
        for length in 0..line.len() {
            assert_eq!(known(&line[..length]), 0, "cut off at {length}");
        }
        for at in 0..line.len() {
            let mut damaged = line.clone();
            damaged[at] = 0xff;
            let read = Letter::of_lines(&damaged, NAME)
                .unwrap()
                .into_iter()
                .filter(|letter| letter.sequence == 7);
            assert_eq!(known(&damaged), read.count() as u64, "damaged at {at}");
        }
    }
    fn letter_7() -> (Batch, [RowFault; 1]) {
        let sequence = SequenceNumber(7);
        let record = Record {
            sequence,
            kind: Kind::Document,
            payload: Bytes::from_static(b"row"),
        };
        let batch = Batch {
            log_id: LOG,
            records: vec![record],
            last: sequence,
            previous: None,
        };
        let reason = "no".to_owned();
        (batch, [RowFault { sequence, reason }])
    }

    fn opened(disk: &Arc<SimulatedDisk>) -> DeadLetterFolder {
        let clock = SystemClock::shared();
        let folder = Path::new("/dead_letter");
        let disk = Arc::clone(disk) as _;
        DeadLetterFolder::open(clock, disk, folder, NAME, LOG, SequenceNumber(6)).unwrap()
    }

    fn known_of(dead_letter: &DeadLetterFolder) -> u64 {
        dead_letter.known_between(SequenceNumber(6), SequenceNumber(9))
    }

    #[test]
    fn a_sync_that_failed_leaves_nothing_that_counts() {
        for seed in 0..20 {
            let disk = Arc::new(SimulatedDisk::new());
            let (batch, faults) = letter_7();
            let mut dead_letter = opened(&disk);
            // The first sync is that of the file's name.
            disk.set_sync_fault(
                Some(Fault {
                    nth: 2,
                    always: false,
                    full: false,
                }),
                true,
            );
            assert!(dead_letter.take(&batch, &faults).is_err());
            assert_eq!(known_of(&dead_letter), 0);
            assert_eq!(known_of(&opened(&disk)), 0, "a process that comes after it");
            dead_letter.take(&batch, &faults).unwrap();
            assert_eq!(known_of(&dead_letter), 1);
            let disk = Arc::new(disk.crash(seed));
            assert_eq!(known_of(&opened(&disk)), 1, "seed {seed}");
        }
    }

    #[test]
    fn what_a_killed_process_left_unsynced_counts_once_it_is_durable() {
        let (batch, _) = letter_7();
        let line = Letter::of(&batch.records[0], LOG, NAME, "no", Micros(1))
            .line()
            .unwrap();
        for seed in 0..20 {
            let disk = Arc::new(SimulatedDisk::new());
            let path =
                folder_of(Path::new("/dead_letter"), NAME).join(format!("{LOG}-{:020}-0.jsonl", 7));
            disk.put(&path, b"");
            disk.open_writable(&path)
                .unwrap()
                .write_at(&line, 0)
                .unwrap();
            assert_eq!(known_of(&opened(&disk)), 1);
            let disk = Arc::new(disk.crash(seed));
            assert_eq!(known_of(&opened(&disk)), 1, "seed {seed}");
        }
    }
}
