//! Where the log lies, noted in its lock file: what tells that file from its copies.
//!
//! A copy of a log gives the same numbers again under the same identity, and a destination that remembers positions takes
//! the rows of one for those of the other. So a log that finds itself elsewhere goes on under a new identity. A whole disk
//! that is copied block by block cannot be told from the first.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::durable::{Disk, seal, unseal};

/// The version of the note.
const VERSION: u32 = 1;

#[derive(Debug, Serialize, Deserialize)]
struct Note {
    place: String,
}

/// The file that is locked, and never replaced.
pub(super) fn file(dir: &Path) -> PathBuf {
    dir.join("lock")
}

/// Whether the log was noted to lie elsewhere. One without a readable note was not.
pub(super) fn is_elsewhere(dir: &Path, disk: &dyn Disk) -> io::Result<bool> {
    let Some(place) = disk.mark(&file(dir))? else {
        return Ok(false);
    };
    let note: io::Result<Note> = unseal(&disk.read(&file(dir))?, VERSION);
    Ok(note.is_ok_and(|note| note.place != place))
}

/// Notes that it lies here, durably.
pub(super) fn note(dir: &Path, disk: &dyn Disk) -> io::Result<()> {
    let Some(place) = disk.mark(&file(dir))? else {
        return Ok(());
    };
    let line = seal(&Note { place }, VERSION)?;
    if disk.read(&file(dir))? == line {
        return Ok(());
    }
    let file = disk.open_writable(&file(dir))?;
    file.truncate(0)?;
    file.write_at(&line, 0)?;
    file.sync_data()
}
