//! Marks at the dead letters: which rows were replayed, and as what numbers.
//!
//! One small JSON file for some rows that are replayed together, below `replays/` in the folder of the dead letters, or beside
//! the log where these are elsewhere; replaced atomically. It is begun before the first row is appended and done when all are durable in the log; one that
//! a crash left begun is settled at the next start, before anything is delivered: what the log holds of it was replayed.
//! Rows that stand in a file, begun or done, are not replayed again.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::durable::{self, Disk, address_of};
use crate::log::Log;
use crate::schema::{LogId, SequenceNumber};

use crate::pipeline::dead_letter::{DeadLetterFault, Key};
use crate::pipeline::replayed::replayed_after;

/// The version of the format that this program writes, and the newest that it reads.
const VERSION: u32 = 1;

/// A row of a dead letter, by its key there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::pipeline) struct Mark {
    pub(in crate::pipeline) log_id: LogId,
    pub(in crate::pipeline) sequence: u64,
    /// Its number in the log as a replayed record; `None` as long as that is not known.
    #[serde(rename = "as", skip_serializing_if = "Option::is_none")]
    pub(in crate::pipeline) replayed_as: Option<u64>,
}

impl Mark {
    /// The row that it marks.
    pub(super) fn key(&self) -> Key {
        (self.log_id, self.sequence)
    }
}

/// Some rows that are replayed together.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Journal {
    pub(super) destination: String,
    /// The log that they go to.
    pub(super) log_id: LogId,
    /// Where it ended before them.
    pub(super) after: u64,
    pub(super) is_done: bool,
    pub(super) rows: Vec<Mark>,
}

/// The rows of one destination that were replayed, and as what; `None` as long as that is not known.
pub(in crate::pipeline) type Marks = HashMap<Key, Option<Key>>;

/// The files.
#[derive(Clone, Debug)]
pub struct Journals {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
}

impl Journals {
    /// The files below this folder: that of the dead letters, or of the log where these are elsewhere. Those that a crash left are settled by what `log` holds;
    /// it must have forgotten nothing since.
    ///
    /// # Errors
    /// Errors of the disk.
    pub fn open(
        disk: Arc<dyn Disk>,
        folder: &Path,
        log: &dyn Log,
    ) -> Result<Self, DeadLetterFault> {
        let folder = folder.join("replays");
        let fault = |source| DeadLetterFault::new(&folder, source);
        disk.create_dir_all(&folder).map_err(fault)?;
        let journals = Self {
            disk,
            folder: folder.clone(),
        };
        journals.settle_begun(log).map_err(fault)?;
        Ok(journals)
    }

    /// How many rows were ever replayed, as far as the files tell.
    ///
    /// # Errors
    /// Errors of the disk.
    pub fn count(&self) -> io::Result<u64> {
        let all = self.all()?;
        Ok(all
            .iter()
            .map(|(_, journal)| journal.rows.len() as u64)
            .sum())
    }

    /// The marks of a destination.
    pub(in crate::pipeline) fn marks(&self, destination: &str) -> io::Result<Marks> {
        let all = self.all()?.into_iter();
        let own = all.filter(|(_, journal)| journal.destination == destination);
        let mut marks = Marks::new();
        for (_, journal) in own {
            marks.extend(journal.rows.into_iter().map(|row| {
                let replayed_as = row.replayed_as.map(|number| (journal.log_id, number));
                ((row.log_id, row.sequence), replayed_as)
            }));
        }
        Ok(marks)
    }

    /// A name for a new file.
    pub(super) fn new_path(&self) -> PathBuf {
        let name = Uuid::now_v7().simple();
        self.folder.join(format!("{name}.json"))
    }

    /// Makes a file durable, in place of the one that has its name; one without rows goes away.
    pub(super) fn store(&self, path: &Path, journal: &Journal) -> io::Result<()> {
        if !journal.rows.is_empty() {
            return durable::store(self.disk.as_ref(), path, journal, VERSION);
        }
        match self.disk.remove(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => self.disk.sync_dir(&self.folder),
        }
    }

    fn all(&self) -> io::Result<Vec<(PathBuf, Journal)>> {
        let mut journals = Vec::new();
        for entry in self.disk.list(&self.folder)? {
            if entry.name.ends_with(".json") {
                let path = self.folder.join(&entry.name);
                if let Some(journal) = durable::load(self.disk.as_ref(), &path, VERSION)? {
                    journals.push((path, journal));
                }
            }
        }
        Ok(journals)
    }

    fn settle_begun(&self, log: &dyn Log) -> io::Result<()> {
        let mut begun = self.all()?;
        begun.retain(|(_, journal)| !journal.is_done);
        let Some(after) = begun.iter().map(|(_, journal)| journal.after).min() else {
            return Ok(());
        };
        let mut found = HashMap::new();
        replayed_after(log, SequenceNumber(after), |sequence, replayed| {
            let key = (replayed.address, replayed.log_id, replayed.sequence);
            found.insert(key, sequence.0);
        })?;
        for (path, mut journal) in begun {
            let address = address_of(&journal.destination);
            journal.rows.retain_mut(|row| {
                row.replayed_as = found.get(&(address, row.log_id, row.sequence)).copied();
                row.replayed_as.is_some()
            });
            journal.is_done = true;
            tracing::warn!(
                destination = journal.destination,
                replayed = journal.rows.len(),
                "a replay was cut off; what the log holds of it counts"
            );
            self.store(&path, &journal)?;
        }
        Ok(())
    }
}
