//! A disk in memory that can lose power, for tests.
//!
//! It keeps two images of every file and directory: what a reader sees, and what was synced.
//! [`SimulatedDisk::crash`] makes a disk as it may look afterwards: of the writes that were not synced
//! any subset of 512-byte sectors, applied in any order; of the names that were made, changed or
//! removed without a directory sync any subset. It does not model directories themselves.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use fastrand::Rng;

use super::DiskFile;

mod acts;
mod image;

use acts::{SimulatedFile, strike};
use image::{Inode, Keep};

/// What goes wrong. Acts are counted from the moment that the fault is set; the first has the number 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The first act that fails.
    pub nth: u64,
    /// Whether all later ones fail too.
    pub always: bool,
    /// Whether the disk is full (ENOSPC) rather than broken (EIO).
    pub full: bool,
}

/// A change of names: `removed` goes, `added` comes, together.
#[derive(Clone, Debug)]
struct NameChange {
    removed: Option<PathBuf>,
    added: Option<(PathBuf, usize)>,
}

#[derive(Debug, Default)]
struct State {
    inodes: HashMap<usize, Inode>,
    next_inode: usize,
    seen: BTreeMap<PathBuf, usize>,
    synced: BTreeMap<PathBuf, usize>,
    unsynced: Vec<NameChange>,
    locks: HashSet<PathBuf>,
    capacity: Option<usize>,
    write_fault: Option<Fault>,
    sync_fault: Option<Fault>,
    forget_on_failed_sync: bool,
    syncs_blocked: bool,
    syncs_waiting: usize,
    syncs: u64,
}

/// A disk in memory that can lose power.
#[derive(Clone, Debug, Default)]
pub struct SimulatedDisk {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

impl SimulatedDisk {
    /// An empty disk without bounds or faults.
    pub fn new() -> Self {
        Self::default()
    }

    /// The disk as it may look after a power loss now; the same seed gives the same disk. This one lives on.
    #[must_use]
    pub fn crash(&self, seed: u64) -> Self {
        let state = self.state();
        let mut rng = Rng::with_seed(seed);
        let mut names = state.synced.clone();
        let keep_names = Keep::choose(&mut rng);
        for change in &state.unsynced {
            if keep_names.keeps(&mut rng) {
                change.apply(&mut names);
            }
        }
        let mut inodes = HashMap::new();
        for inode in names.values() {
            let left = state.inodes[inode].after_crash(&mut rng);
            inodes.insert(*inode, Inode::durable(left));
        }
        let after = State {
            inodes,
            next_inode: state.next_inode,
            seen: names.clone(),
            synced: names,
            capacity: state.capacity,
            ..State::default()
        };
        Self {
            shared: Arc::new(Shared {
                state: Mutex::new(after),
                changed: Condvar::new(),
            }),
        }
    }

    /// Lets writes fail, or none. A failing write leaves half of its bytes.
    pub fn set_write_fault(&self, fault: Option<Fault>) {
        self.state().write_fault = fault;
    }

    /// Lets syncs of files and directories fail, or none. With `forget` a failed sync marks the data
    /// clean although it is not on the disk, as real kernels do.
    pub fn set_sync_fault(&self, fault: Option<Fault>, forget: bool) {
        let mut state = self.state();
        state.sync_fault = fault;
        state.forget_on_failed_sync = forget;
    }

    /// Bounds the bytes of all files together.
    pub fn set_capacity(&self, bytes: Option<usize>) {
        self.state().capacity = bytes;
    }

    /// Makes syncs wait, or lets them go on.
    pub fn block_syncs(&self, blocked: bool) {
        self.state().syncs_blocked = blocked;
        self.shared.changed.notify_all();
    }

    /// Waits until a sync waits.
    pub fn wait_for_blocked_sync(&self) {
        let mut state = self.state();
        while state.syncs_waiting == 0 {
            state = self
                .shared
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// How many syncs of files and directories succeeded.
    pub fn syncs(&self) -> u64 {
        self.state().syncs
    }

    /// Puts a file there, durable at once.
    pub fn put(&self, path: &Path, bytes: &[u8]) {
        let mut state = self.state();
        let inode = state.add_inode();
        state.inodes.insert(inode, Inode::durable(bytes.to_vec()));
        state.seen.insert(path.to_owned(), inode);
        state.synced.insert(path.to_owned(), inode);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits while syncs are blocked, then fails if a fault says so.
    fn sync(&self) -> (MutexGuard<'_, State>, io::Result<()>) {
        let mut state = self.state();
        state.syncs_waiting += 1;
        self.shared.changed.notify_all();
        while state.syncs_blocked {
            state = self
                .shared
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        state.syncs_waiting -= 1;
        let result = strike(&mut state.sync_fault);
        if result.is_ok() {
            state.syncs += 1;
        }
        (state, result)
    }

    fn file(&self, inode: usize) -> Box<dyn DiskFile> {
        Box::new(SimulatedFile {
            disk: self.clone(),
            inode,
        })
    }
}

impl State {
    fn add_inode(&mut self) -> usize {
        self.next_inode += 1;
        self.inodes.insert(self.next_inode, Inode::default());
        self.next_inode
    }

    fn inode(&self, path: &Path) -> io::Result<usize> {
        self.seen
            .get(path)
            .copied()
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn change_names(&mut self, change: NameChange) {
        change.apply(&mut self.seen);
        self.unsynced.push(change);
    }

    fn used(&self) -> usize {
        self.seen
            .values()
            .map(|inode| self.inodes[inode].seen.len())
            .sum()
    }
}

impl NameChange {
    fn apply(&self, names: &mut BTreeMap<PathBuf, usize>) {
        if let Some(path) = &self.removed {
            names.remove(path);
        }
        if let Some((path, inode)) = &self.added {
            names.insert(path.clone(), *inode);
        }
    }

    fn is_in(&self, dir: &Path) -> bool {
        let added = self.added.as_ref().map(|(path, _)| path);
        self.removed
            .iter()
            .chain(added)
            .any(|path| path.parent() == Some(dir))
    }
}
