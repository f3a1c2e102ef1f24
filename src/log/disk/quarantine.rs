//! Keeps what is damaged for the operator to look at, and raises the alarm.

use std::io;
use std::path::{Path, PathBuf};

use crate::durable::{Disk, read_full};

pub(super) const FOLDER: &str = "quarantine";
const STEP: usize = 1 << 20;

/// Puts damaged files aside, as long as there is room for them.
#[derive(Debug)]
pub(super) struct Quarantine<'a> {
    pub(super) disk: &'a dyn Disk,
    pub(super) dir: &'a Path,
    /// Most bytes that may lie there.
    pub(super) max_bytes: u64,
}

impl Quarantine<'_> {
    /// Raises the alarm and keeps a copy of the file, which goes on being read. Where the copy is, if there is one.
    pub(super) fn copy(&self, path: &Path, lost: u64, reason: &str) -> Option<PathBuf> {
        alarm(path, lost, reason);
        self.report(path, self.try_copy(path))
    }

    /// Raises the alarm and takes the file away. Where it is now, if that worked.
    pub(super) fn take(&self, path: &Path, reason: &str) -> Option<PathBuf> {
        alarm(path, 0, reason);
        self.report(path, self.try_take(path))
    }

    fn report(&self, path: &Path, kept: io::Result<Option<PathBuf>>) -> Option<PathBuf> {
        match kept {
            Ok(Some(kept)) => return Some(kept),
            Ok(None) => tracing::warn!(path = %path.display(), "no room in quarantine"),
            Err(error) => tracing::warn!(path = %path.display(), %error, "not put into quarantine"),
        }
        None
    }

    fn try_take(&self, path: &Path) -> io::Result<Option<PathBuf>> {
        let place = self.place(path)?;
        self.disk.rename(path, &place)?;
        self.disk.sync_dir(self.dir)?;
        self.disk.sync_dir(&self.dir.join(FOLDER))?;
        Ok(Some(place))
    }

    fn try_copy(&self, path: &Path) -> io::Result<Option<PathBuf>> {
        let place = self.place(path)?;
        let source = self.disk.open(path)?;
        let held: u64 = self
            .disk
            .list(&self.dir.join(FOLDER))?
            .iter()
            .map(|entry| entry.size_bytes)
            .sum();
        if held + source.len()? > self.max_bytes {
            return Ok(None);
        }
        let copy = self.disk.create(&place)?;
        let mut buffer = vec![0; STEP];
        let mut at = 0;
        loop {
            let read = read_full(source.as_ref(), &mut buffer, at)?;
            if read == 0 {
                break;
            }
            copy.write_at(&buffer[..read], at)?;
            at += read as u64;
        }
        copy.sync_data()?;
        self.disk.sync_dir(&self.dir.join(FOLDER))?;
        Ok(Some(place))
    }

    /// A name in the quarantine that nothing has yet.
    fn place(&self, path: &Path) -> io::Result<PathBuf> {
        let folder = self.dir.join(FOLDER);
        self.disk.create_dir_all(&folder)?;
        let name = path
            .file_name()
            .ok_or(io::ErrorKind::InvalidInput)?
            .to_string_lossy();
        let taken = self.disk.list(&folder)?;
        let mut place = name.to_string();
        let mut copies = 1;
        while taken.iter().any(|entry| entry.name == place) {
            copies += 1;
            place = format!("{name}.{copies}");
        }
        Ok(folder.join(place))
    }
}

/// Tells the operator.
pub(super) fn alarm(path: &Path, lost: u64, reason: &str) {
    tracing::error!(alarm = "log_damaged", path = %path.display(), lost, reason, "the log is damaged");
}
