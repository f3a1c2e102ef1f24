//! Cursors: how far each destination has come, and what became of its events; kept beside the log.
//!
//! One small JSON file a destination, replaced atomically. A cursor is named by what it delivers to
//! (kind and target), so a changed configuration cannot inherit a wrong one. A memory log has none.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::durable::{self, Disk, file_stem_of};
use crate::ledger::DestinationTotals;
use crate::schema::{LogId, SequenceNumber};

/// The version of the format that this program writes, and the newest that it reads.
const VERSION: u32 = 1;

/// A cursor as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// Kind and target of the destination.
    pub destination: String,
    /// The number before the first record that the destination was to get.
    pub start: u64,
    /// The last number that is settled.
    pub position: u64,
    /// The identity under which the log went when the destination last told how far it is.
    pub log_id: LogId,
    /// Where the log ended at the first start since then at which the destination did not answer; `None` if it
    /// answered at the last one. It can hold no record of this log beyond.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unheard_since: Option<u64>,
    /// What became of the records between `start` and `position`.
    #[serde(flatten)]
    pub totals: DestinationTotals,
}

impl Cursor {
    /// A cursor that begins at `start` of this log.
    pub fn beginning(destination: &str, log_id: LogId, start: SequenceNumber) -> Self {
        Self {
            destination: destination.to_owned(),
            start: start.0,
            position: start.0,
            log_id,
            unheard_since: None,
            totals: DestinationTotals::default(),
        }
    }
}

/// A cursor file that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error(
    "cursor {0}; restore the file from a copy, or remove it: its destination is then a new one, which begins where WRITERS__FROM says: with `oldest` nothing that the log holds is passed over"
)]
pub struct CursorFault(io::Error);

impl CursorFault {
    fn at(path: &Path, error: &io::Error) -> Self {
        Self(io::Error::new(
            error.kind(),
            format!("{}: {error}", path.display()),
        ))
    }
}

/// The folder of cursors.
#[derive(Clone, Debug)]
pub struct Cursors {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
}

impl Cursors {
    /// The cursors in `folder`, which is made if missing.
    ///
    /// # Errors
    /// The folder cannot be made or read.
    pub fn open(disk: Arc<dyn Disk>, folder: &Path) -> Result<Self, CursorFault> {
        disk.create_dir_all(folder)
            .map_err(|error| CursorFault::at(folder, &error))?;
        Ok(Self::at(disk, folder))
    }

    /// The cursors in `folder`, to be looked at.
    pub fn at(disk: Arc<dyn Disk>, folder: &Path) -> Self {
        Self {
            disk,
            folder: folder.to_owned(),
        }
    }

    /// The cursor of a destination, if it has one.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn load(&self, destination: &str) -> Result<Option<Cursor>, CursorFault> {
        self.load_file(&self.path(destination))
    }

    /// Makes a cursor durable. Blocks.
    ///
    /// # Errors
    /// Errors of the disk; the cursor is then what it was.
    pub fn store(&self, cursor: &Cursor) -> io::Result<()> {
        let path = self.path(&cursor.destination);
        durable::store(self.disk.as_ref(), &path, cursor, VERSION)
    }

    /// All cursors, also those whose destination is configured no more.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn all(&self) -> Result<Vec<Cursor>, CursorFault> {
        self.each()?.into_iter().collect()
    }

    /// Each cursor, or why it cannot be read. None where there is no folder.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn each(&self) -> Result<Vec<Result<Cursor, CursorFault>>, CursorFault> {
        let entries = match self.disk.list(&self.folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(CursorFault::at(&self.folder, &error));
            }
            listed => listed.unwrap_or_default(),
        };
        let files = entries.iter().filter(|entry| entry.name.ends_with(".json"));
        Ok(files
            .filter_map(|entry| self.load_file(&self.folder.join(&entry.name)).transpose())
            .collect())
    }

    fn load_file(&self, path: &Path) -> Result<Option<Cursor>, CursorFault> {
        durable::load(self.disk.as_ref(), path, VERSION).map_err(CursorFault)
    }

    fn path(&self, destination: &str) -> PathBuf {
        self.folder.join(file_stem_of(destination) + ".json")
    }
}
