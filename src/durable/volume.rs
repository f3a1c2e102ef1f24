//! What a folder lies on: the kind of its file system, its name, and how much room there is.

use std::io;
use std::path::Path;

/// What a folder lies on, as far as durability goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileSystem {
    /// Memory (tmpfs): gone with the machine.
    Memory,
    /// A layer over something else (overlay): often gone with its container.
    Overlay,
    /// A program's own (FUSE): syncs as well as that program does.
    Fuse,
    /// Another machine's (NFS, SMB, 9P, Ceph): locks and syncs as well as that machine and the network do.
    Network,
    /// Anything else: taken for a disk.
    Disk,
}

/// The numbers of statfs(2), <https://man7.org/linux/man-pages/man2/statfs.2.html>, with the names of their file systems.
const KNOWN: [(i64, &str, FileSystem); 17] = [
    (0x0102_1994, "tmpfs", FileSystem::Memory),
    (0x8584_58f6, "ramfs", FileSystem::Memory),
    (0x794c_7630, "overlay", FileSystem::Overlay),
    (0x6573_5546, "fuse", FileSystem::Fuse),
    (0x6969, "nfs", FileSystem::Network),
    (0x517b, "smb", FileSystem::Network),
    (0xff53_4d42, "cifs", FileSystem::Network),
    (0xfe53_4d42, "smb2", FileSystem::Network),
    (0x0102_1997, "9p", FileSystem::Network),
    (0x00c3_6400, "ceph", FileSystem::Network),
    (0xef53, "ext4", FileSystem::Disk),
    (0x5846_5342, "xfs", FileSystem::Disk),
    (0x9123_683e, "btrfs", FileSystem::Disk),
    (0x2fc1_2fc1, "zfs", FileSystem::Disk),
    (0xf2f5_2010, "f2fs", FileSystem::Disk),
    (0xca45_1a4e, "bcachefs", FileSystem::Disk),
    (0x4d44, "fat", FileSystem::Disk),
];

impl FileSystem {
    /// That of a folder which is there.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn of(folder: &Path) -> io::Result<Self> {
        Ok(Volume::of(folder)?.file_system)
    }
}

/// Those that number their files once and for all; others may number them anew whenever they are mounted.
const NUMBERS_LAST: [&str; 6] = ["ext4", "xfs", "btrfs", "zfs", "f2fs", "bcachefs"];

/// What a folder lies on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume {
    /// What that means for durability.
    pub file_system: FileSystem,
    /// What the file system is called; its number where that is not known.
    pub name: String,
    /// Bytes that may be written there by this user.
    pub free_bytes: u64,
}

impl Volume {
    /// That of a folder which is there.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn of(folder: &Path) -> io::Result<Self> {
        let number = rustix::fs::statfs(folder)?.f_type;
        let room = rustix::fs::statvfs(folder)?;
        let (file_system, name) = kind(number);
        Ok(Self {
            file_system,
            name,
            free_bytes: room.f_bavail.saturating_mul(room.f_frsize),
        })
    }
}

impl Volume {
    /// Whether a file that stays where it is keeps its number.
    pub fn keeps_numbers(&self) -> bool {
        NUMBERS_LAST.contains(&self.name.as_str())
    }
}

fn kind(number: i64) -> (FileSystem, String) {
    let known = KNOWN.iter().find(|(known, ..)| *known == number);
    known.map_or_else(
        || (FileSystem::Disk, format!("{number:#x}")),
        |(_, name, file_system)| (*file_system, (*name).to_owned()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_told_from_disks() {
        let shared = Volume::of(Path::new("/dev/shm")).unwrap();
        assert_eq!(
            (shared.file_system, &*shared.name),
            (FileSystem::Memory, "tmpfs")
        );
        assert_eq!(kind(0x6969).0, FileSystem::Network);
        assert_eq!(kind(0x1234), (FileSystem::Disk, "0x1234".to_owned()));
    }
}
