//! The dead letter of one destination in a place outside of this machine's disk.
//!
//! Beside a log on disk, what was taken is noted before the cursor moves. So a row that comes again after a crash is not
//! taken again, and counts as what it is. One that a crash met between the two is asked for where the place can tell, and is
//! otherwise there twice, under the same key. Format of the note: `{"version":1,"log_id":"…","sequences":[7,9]} 1a2b3c4d`.

use std::collections::HashSet;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::clock::Clock;
use crate::durable::{self, Disk, file_stem_of};
use crate::schema::{LogId, SequenceNumber};
use crate::writer::{Batch, RowFault, WriteError};

use super::DeadLetterFault;
use super::kinds::Letters;
use super::letter::Letter;

/// The version of the note that this program writes, and the newest that it reads.
const VERSION: u32 = 1;

/// See the module.
#[derive(Debug)]
pub struct Elsewhere {
    letters: Arc<dyn Letters>,
    clock: Arc<dyn Clock>,
    destination: String,
    log_id: LogId,
    /// Numbers beyond the cursor that were taken.
    known: HashSet<u64>,
    /// Up to where the cursor was when this began.
    begun_after: SequenceNumber,
    /// Whether the place was asked what it holds beyond.
    has_asked: bool,
    note: Option<Note>,
    is_noted: bool,
}

/// Where it is noted what was taken.
#[derive(Debug)]
struct Note {
    disk: Arc<dyn Disk>,
    path: PathBuf,
}

/// What was taken.
#[derive(Debug, Serialize, Deserialize)]
struct Noted {
    log_id: LogId,
    sequences: Vec<u64>,
}

impl Elsewhere {
    /// The dead letter of `destination`, whose cursor is at `after`. With a disk and a folder, what is taken is noted there.
    ///
    /// # Errors
    /// The note cannot be read.
    pub fn open(
        letters: Arc<dyn Letters>,
        clock: Arc<dyn Clock>,
        notes: Option<(Arc<dyn Disk>, PathBuf)>,
        destination: &str,
        log_id: LogId,
        after: SequenceNumber,
    ) -> Result<Self, DeadLetterFault> {
        let mut known = HashSet::new();
        let mut note = None;
        if let Some((disk, folder)) = notes {
            let path = folder.join(file_stem_of(destination) + ".json");
            let fault = |source| DeadLetterFault::new(&path, source);
            disk.create_dir_all(&folder).map_err(fault)?;
            let noted: Option<Noted> =
                durable::load(disk.as_ref(), &path, VERSION).map_err(fault)?;
            if let Some(noted) = noted
                && noted.log_id == log_id
            {
                let beyond = |sequence: &u64| *sequence > after.0;
                known.extend(noted.sequences.into_iter().filter(beyond));
            }
            note = Some(Note { disk, path });
        }
        Ok(Self {
            letters,
            clock,
            destination: destination.to_owned(),
            log_id,
            known,
            begun_after: after,
            has_asked: false,
            note,
            is_noted: true,
        })
    }

    /// How many rows in `(after, through]` were taken, as far as that is known.
    pub(super) fn known_between(&self, after: SequenceNumber, through: SequenceNumber) -> u64 {
        let range = after.0 + 1..=through.0;
        let between = self
            .known
            .iter()
            .filter(|sequence| range.contains(sequence));
        between.count() as u64
    }

    /// Takes the rows of `batch` that have a fault, durably.
    pub(super) async fn take(
        &mut self,
        batch: &Batch,
        faults: &[RowFault],
    ) -> Result<(), WriteError> {
        if !self.has_asked {
            let taken = self
                .letters
                .taken(&self.destination, self.log_id, self.begun_after);
            self.known.extend(taken.await?);
            self.has_asked = true;
        }
        let now = self.clock.now();
        let new = faults.iter().filter_map(|fault| {
            let mut records = batch.records.iter();
            let record = records.find(|record| record.sequence == fault.sequence)?;
            let is_known = self.known.contains(&fault.sequence.0);
            (!is_known)
                .then(|| Letter::of(record, self.log_id, &self.destination, &fault.reason, now))
        });
        let new: Vec<Letter> = new.collect();
        if !new.is_empty() {
            self.letters.take(&new).await?;
            self.known.extend(new.iter().map(|letter| letter.sequence));
            self.is_noted = false;
        }
        if !self.is_noted {
            tokio::task::block_in_place(|| self.store()).map_err(WriteError::transient)?;
            self.is_noted = true;
        }
        Ok(())
    }

    /// Forgets numbers up to the cursor.
    pub(super) fn settled(&mut self, through: SequenceNumber) {
        if !self.known.is_empty() {
            self.known.retain(|sequence| *sequence > through.0);
        }
    }

    fn store(&self) -> io::Result<()> {
        let Some(note) = &self.note else {
            return Ok(());
        };
        let noted = Noted {
            log_id: self.log_id,
            sequences: self.known.iter().copied().collect(),
        };
        durable::store(note.disk.as_ref(), &note.path, &noted, VERSION)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::durable::SimulatedDisk;

    #[test]
    fn a_note_of_version_1_is_read_and_a_newer_one_refused() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let golden = root.join("tests/fixtures/formats/1/dead_lettered.json");
        let golden = std::fs::read_to_string(golden).unwrap();
        let disk = SimulatedDisk::new();
        let path = Path::new("/d/a.json");
        disk.create_dir_all(Path::new("/d")).unwrap();
        durable::replace(&disk, path, golden.as_bytes()).unwrap();
        let noted: Option<Noted> = durable::load(&disk, path, VERSION).unwrap();
        assert_eq!(noted.unwrap().sequences, [7, 9]);

        let newer = durable::seal(&serde_json::json!({}), 2).unwrap();
        durable::replace(&disk, path, &newer).unwrap();
        let error = durable::load::<Noted>(&disk, path, VERSION).unwrap_err();
        let error = error.to_string();
        assert!(
            error.contains("format 2") && error.contains("up to 1"),
            "{error}"
        );
    }
}
