//! A disk that loses power, on which the files of one folder cannot be replaced as long as that is wanted.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use real_streaming::durable::{Disk, DiskFile, Entry, Lock, SimulatedDisk};

/// See the module.
#[derive(Debug)]
pub struct Stubborn {
    pub disk: SimulatedDisk,
    folder: &'static str,
    refuses: AtomicBool,
}

impl Stubborn {
    /// A disk like this one that can refuse to replace files in folders of this name.
    pub fn new(disk: SimulatedDisk, folder: &'static str) -> Self {
        Self {
            disk,
            folder,
            refuses: AtomicBool::new(false),
        }
    }

    pub fn refuse(&self, refuses: bool) {
        self.refuses.store(refuses, Ordering::Relaxed);
    }
}

impl Disk for Stubborn {
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.disk.create_dir_all(dir)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.disk.create(path)
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.disk.open(path)
    }

    fn open_writable(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.disk.open_writable(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let is_there = to
            .parent()
            .is_some_and(|folder| folder.ends_with(self.folder));
        if is_there && self.refuses.load(Ordering::Relaxed) {
            return Err(io::Error::other("told to refuse"));
        }
        self.disk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.disk.remove(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        self.disk.list(dir)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.disk.sync_dir(dir)
    }

    fn lock(&self, path: &Path) -> io::Result<Lock> {
        self.disk.lock(path)
    }
}
