//! What a simulated disk keeps of a file: what a reader sees, what was synced, and what was written since.

use fastrand::Rng;

const SECTOR: usize = 512;

#[derive(Clone, Debug)]
pub(super) enum Change {
    Write { offset: usize, bytes: Vec<u8> },
    Length(usize),
}

#[derive(Clone, Debug, Default)]
pub(super) struct Inode {
    pub(super) seen: Vec<u8>,
    pub(super) synced: Vec<u8>,
    pub(super) unsynced: Vec<Change>,
}

impl Inode {
    /// A file that is durable.
    pub(super) fn durable(image: Vec<u8>) -> Self {
        Self {
            seen: image.clone(),
            synced: image,
            unsynced: Vec::new(),
        }
    }

    pub(super) fn change(&mut self, change: Change) {
        change.apply(&mut self.seen);
        self.unsynced.push(change);
    }

    /// What may be left of it: some sectors of what was written since the last sync, in some order.
    pub(super) fn after_crash(&self, rng: &mut Rng) -> Vec<u8> {
        let keep = Keep::choose(rng);
        let mut kept: Vec<Change> = self.unsynced.iter().flat_map(Change::sectors).collect();
        kept.retain(|_| keep.keeps(rng));
        if matches!(keep, Keep::Some) {
            rng.shuffle(&mut kept);
        }
        let mut image = self.synced.clone();
        for change in &kept {
            change.apply(&mut image);
        }
        image
    }
}

impl Change {
    pub(super) fn apply(&self, image: &mut Vec<u8>) {
        match self {
            Self::Length(length) => image.resize(*length, 0),
            Self::Write { offset, bytes } => {
                let end = offset + bytes.len();
                if image.len() < end {
                    image.resize(end, 0);
                }
                image[*offset..end].copy_from_slice(bytes);
            }
        }
    }

    /// The parts of it that reach the disk or not, each on its own.
    fn sectors(&self) -> Vec<Change> {
        let Self::Write { offset, bytes } = self else {
            return vec![self.clone()];
        };
        let mut sectors = Vec::new();
        let mut start = 0;
        while start < bytes.len() {
            let end = bytes.len().min(start + SECTOR - (offset + start) % SECTOR);
            sectors.push(Self::Write {
                offset: offset + start,
                bytes: bytes[start..end].to_vec(),
            });
            start = end;
        }
        sectors
    }
}

#[derive(Clone, Copy)]
pub(super) enum Keep {
    None,
    Some,
    All,
}

impl Keep {
    pub(super) fn choose(rng: &mut Rng) -> Self {
        match rng.u8(..4) {
            0 => Self::None,
            1 => Self::All,
            _ => Self::Some,
        }
    }

    pub(super) fn keeps(self, rng: &mut Rng) -> bool {
        match self {
            Self::None => false,
            Self::Some => rng.bool(),
            Self::All => true,
        }
    }
}
