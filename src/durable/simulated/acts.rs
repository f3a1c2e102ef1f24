//! The acts of a simulated disk: every change is seen at once and durable after its sync, unless a fault strikes.

use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use super::image::{Change, Inode};
use super::{Fault, NameChange, SimulatedDisk};
use crate::durable::{Disk, DiskFile, Entry, Lock};

/// Counts an act against a fault.
pub(super) fn strike(fault: &mut Option<Fault>) -> io::Result<()> {
    let Some(set) = fault else { return Ok(()) };
    if set.nth > 1 {
        set.nth -= 1;
        return Ok(());
    }
    let errno = if set.full { Errno::NOSPC } else { Errno::IO };
    if !set.always {
        *fault = None;
    }
    Err(errno.into())
}

impl Disk for SimulatedDisk {
    fn create_dir_all(&self, _dir: &Path) -> io::Result<()> {
        Ok(())
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.state();
        if let Ok(inode) = state.inode(path) {
            state
                .inodes
                .entry(inode)
                .or_default()
                .change(Change::Length(0));
            return Ok(self.file(inode));
        }
        let inode = state.add_inode();
        state.change_names(NameChange {
            removed: None,
            added: Some((path.to_owned(), inode)),
        });
        Ok(self.file(inode))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let inode = self.state().inode(path)?;
        Ok(self.file(inode))
    }

    fn open_writable(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.open(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state();
        let inode = state.inode(from)?;
        state.change_names(NameChange {
            removed: Some(from.to_owned()),
            added: Some((to.to_owned(), inode)),
        });
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.inode(path)?;
        state.change_names(NameChange {
            removed: Some(path.to_owned()),
            added: None,
        });
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        let state = self.state();
        let inside = state
            .seen
            .iter()
            .filter(|(path, _)| path.parent() == Some(dir));
        Ok(inside
            .filter_map(|(path, inode)| {
                let name = path.file_name()?.to_string_lossy().into_owned();
                Some(Entry {
                    name,
                    size_bytes: state.inodes[inode].seen.len() as u64,
                })
            })
            .collect())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let (mut state, result) = self.sync();
        if result.is_ok() {
            let (synced, left): (Vec<_>, Vec<_>) = state
                .unsynced
                .drain(..)
                .partition(|change| change.is_in(dir));
            state.unsynced = left;
            for change in synced {
                change.apply(&mut state.synced);
            }
        }
        result
    }

    fn lock(&self, path: &Path) -> io::Result<Lock> {
        if !self.state().locks.insert(path.to_owned()) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(Lock {
            _held: Box::new(SimulatedLock {
                disk: self.clone(),
                path: path.to_owned(),
            }),
        })
    }
}

struct SimulatedLock {
    disk: SimulatedDisk,
    path: PathBuf,
}

impl Drop for SimulatedLock {
    fn drop(&mut self) {
        self.disk.state().locks.remove(&self.path);
    }
}

#[derive(Debug)]
pub(super) struct SimulatedFile {
    pub(super) disk: SimulatedDisk,
    pub(super) inode: usize,
}

impl SimulatedFile {
    fn with<T>(&self, act: impl FnOnce(&mut Inode) -> T) -> T {
        act(self.disk.state().inodes.entry(self.inode).or_default())
    }
}

impl DiskFile for SimulatedFile {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let offset = usize::try_from(offset).map_err(io::Error::other)?;
        let mut state = self.disk.state();
        let struck = strike(&mut state.write_fault);
        let length = state.inodes[&self.inode].seen.len();
        let growth = (offset + bytes.len()).saturating_sub(length);
        let full = state
            .capacity
            .is_some_and(|capacity| state.used() + growth > capacity);
        let result = if full {
            Err(Errno::NOSPC.into())
        } else {
            struck
        };
        // A write that does not make the file longer needs no space, so half of it still fits in there.
        let fits = if full {
            length.saturating_sub(offset).min(bytes.len())
        } else {
            bytes.len()
        };
        let written = if result.is_ok() {
            bytes.len()
        } else {
            fits / 2
        };
        let change = Change::Write {
            offset,
            bytes: bytes[..written].to_vec(),
        };
        if written > 0 {
            state.inodes.entry(self.inode).or_default().change(change);
        }
        result
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let offset = usize::try_from(offset).map_err(io::Error::other)?;
        Ok(self.with(|inode| {
            let rest = inode.seen.get(offset..).unwrap_or_default();
            let read = rest.len().min(buffer.len());
            buffer[..read].copy_from_slice(&rest[..read]);
            read
        }))
    }

    fn sync_data(&self) -> io::Result<()> {
        let (mut state, result) = self.disk.sync();
        let forget = state.forget_on_failed_sync;
        let inode = state.inodes.entry(self.inode).or_default();
        match &result {
            Ok(()) => {
                let changes = std::mem::take(&mut inode.unsynced);
                for change in changes {
                    change.apply(&mut inode.synced);
                }
            }
            Err(_) if forget => inode.unsynced.clear(),
            Err(_) => {}
        }
        result
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        let length = usize::try_from(length).map_err(io::Error::other)?;
        self.with(|inode| inode.change(Change::Length(length)));
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.with(|inode| inode.seen.len() as u64))
    }
}
