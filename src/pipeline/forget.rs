//! What is kept beside the log for one destination, and how that goes away when it is configured no more.
//!
//! All of it lies in small files under one name: its cursor, its page of the ledger, what its dead letter elsewhere has taken
//! beyond the cursor, and what its writer wrote down for after a crash. Nothing may use them meanwhile: whoever forgets holds the
//! log's lock. Dead letters stay where they are.

use std::io;
use std::path::{Path, PathBuf};

use crate::durable::{Disk, file_stem_of};

/// Folders beside the log. The cursor is the last to go, so that a crash in between leaves something to be forgotten.
const FOLDERS: [&str; 4] = ["ledger", "dead_lettered", "journals", "cursors"];

/// The files of a destination beside the log in `dir`.
///
/// # Errors
/// Those of the disk.
pub fn files_of(disk: &dyn Disk, dir: &Path, destination: &str) -> io::Result<Vec<PathBuf>> {
    let address = file_stem_of(destination);
    let mut files = Vec::new();
    for folder in FOLDERS.map(|folder| dir.join(folder)) {
        let entries = match disk.list(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            other => other?,
        };
        // A writer may have several, one a table.
        let own = entries
            .into_iter()
            .filter(|entry| entry.name.starts_with(&address));
        files.extend(own.map(|entry| folder.join(entry.name)));
    }
    Ok(files)
}

/// Removes them, durably.
///
/// # Errors
/// Those of the disk; the same call may be made again.
pub fn forget(disk: &dyn Disk, files: &[PathBuf]) -> io::Result<()> {
    for file in files {
        disk.remove(file)?;
        if let Some(folder) = file.parent() {
            disk.sync_dir(folder)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::durable::SimulatedDisk;

    #[test]
    fn the_files_of_one_destination_go_and_the_cursor_last() {
        let disk = SimulatedDisk::new();
        let dir = Path::new("/log");
        let address = file_stem_of;
        let mut all = Vec::new();
        for folder in FOLDERS {
            disk.create_dir_all(&dir.join(folder)).unwrap();
            for name in ["memory:a", "memory:b"] {
                all.push(dir.join(folder).join(format!("{}.json", address(name))));
            }
        }
        all.push(
            dir.join("journals")
                .join(format!("{}-2026-11-21.jsonl", address("memory:a"))),
        );
        for path in &all {
            disk.create(path).unwrap();
        }
        let files = files_of(&disk, dir, "memory:a").unwrap();
        assert_eq!(files.len(), 5);
        assert!(files[4].starts_with("/log/cursors"));
        forget(&disk, &files).unwrap();
        assert!(files_of(&disk, dir, "memory:a").unwrap().is_empty());
        assert_eq!(files_of(&disk, dir, "memory:b").unwrap().len(), 4);
    }
}
