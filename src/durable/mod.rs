//! Small durable acts on files, behind a trait, so that tests can pull the plug.
//!
//! [`RealDisk`] is the operating system's; [`SimulatedDisk`] remembers what was synced and what was
//! not, and shows what may be left after a power loss. Log, cursors and writers' journals stand on it.
//! Nothing here retries, and nothing decides what an error means: after a failed
//! [`sync_data`](DiskFile::sync_data) the kernel may have marked the lost data clean, so a second sync
//! of the same file proves nothing (<https://wiki.postgresql.org/wiki/Fsync_Errors>).

use std::any::Any;
use std::fmt;
use std::io;
use std::path::Path;

mod names;
mod real;
mod sealed;
mod simulated;
#[cfg(test)]
mod tests;
mod volume;

pub use names::{address_of, file_stem_of};
pub use real::RealDisk;
pub use sealed::{NewerVersion, load, seal, store, unseal};
pub use simulated::{Fault, SimulatedDisk};
pub use volume::{FileSystem, Volume};

/// A file in a directory.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// Its name, without the directory.
    pub name: String,
    /// Its length.
    pub size_bytes: u64,
}

/// An exclusive lock, held until it is dropped or the process ends, however it ends.
pub struct Lock {
    _held: Box<dyn Any + Send + Sync>,
}

impl fmt::Debug for Lock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Lock")
    }
}

/// Directories and the names in them. A change of names is durable after [`sync_dir`](Self::sync_dir).
///
/// Every method returns the errors of the operating system.
#[expect(clippy::missing_errors_doc, reason = "said once, above")]
pub trait Disk: Send + Sync + fmt::Debug {
    /// Makes a directory and those above it, and makes their names durable. One that is there already is no error.
    fn create_dir_all(&self, dir: &Path) -> io::Result<()>;

    /// Makes an empty file, to be written and read, in place of one that is there.
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;

    /// Opens a file to be read.
    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;

    /// Opens a file to be read and written.
    fn open_writable(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;

    /// Gives a file another name, atomically, in place of a file that has it.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// The files of a directory, by name; directories are left out.
    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>>;

    /// Makes the names in a directory durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// The whole of a small file.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let file = self.open(path)?;
        let length = usize::try_from(file.len()?).map_err(io::Error::other)?;
        let mut bytes = vec![0; length];
        let read = read_full(file.as_ref(), &mut bytes, 0)?;
        bytes.truncate(read);
        Ok(bytes)
    }

    /// What tells a file from its copies, for as long as there is the file; `None` where nothing does.
    fn mark(&self, _path: &Path) -> io::Result<Option<String>> {
        Ok(None)
    }

    /// Locks a file, which is made if need be. [`io::ErrorKind::WouldBlock`] if somebody else holds it.
    fn lock(&self, path: &Path) -> io::Result<Lock>;
}

/// An open file. What is written is durable after [`sync_data`](Self::sync_data).
///
/// Every method returns the errors of the operating system.
#[expect(clippy::missing_errors_doc, reason = "said once, above")]
#[expect(
    clippy::len_without_is_empty,
    reason = "a file's length is an I/O call"
)]
pub trait DiskFile: Send + Sync + fmt::Debug {
    /// Writes all bytes at an offset; the file grows if need be.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Reads some bytes at an offset; 0 at the end of the file.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Makes contents and length durable.
    fn sync_data(&self) -> io::Result<()>;

    /// Cuts or extends (with zeros) the file to a length.
    fn truncate(&self, length: u64) -> io::Result<()>;

    /// The file's length.
    fn len(&self) -> io::Result<u64>;
}

/// Reads until the buffer is full or the file ends; returns how much was read.
///
/// # Errors
/// Those of the disk.
pub fn read_full(file: &dyn DiskFile, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Replaces a small file: after a crash it holds the old bytes or the new ones, after `Ok` the new ones.
///
/// # Errors
/// Those of the disk; then the file holds the old bytes, or possibly the new ones.
pub fn replace(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let dir = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let mut name = path
        .file_name()
        .ok_or(io::ErrorKind::InvalidInput)?
        .to_owned();
    name.push(".tmp");
    let unfinished = dir.join(name);
    let file = disk.create(&unfinished)?;
    file.write_at(bytes, 0)?;
    file.sync_data()?;
    drop(file);
    disk.rename(&unfinished, path)?;
    disk.sync_dir(dir)
}
