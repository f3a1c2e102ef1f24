//! Both disks do what a disk does; the simulated one loses what was not synced.

use std::path::{Path, PathBuf};

use super::*;

const FILE: &str = "/d/file";

fn both(check: impl Fn(&dyn Disk, &Path)) {
    let dir = tempfile::tempdir().unwrap();
    check(&RealDisk, dir.path());
    check(&SimulatedDisk::new(), Path::new("/d"));
}

fn write(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> Box<dyn DiskFile> {
    let file = disk.create(path).unwrap();
    file.write_at(bytes, 0).unwrap();
    file
}

#[test]
fn files_are_written_read_and_cut() {
    both(|disk, dir| {
        let path = dir.join("a/b/file");
        disk.create_dir_all(path.parent().unwrap()).unwrap();
        let file = write(disk, &path, b"hello");
        file.write_at(b"!!", 7).unwrap();
        file.sync_data().unwrap();
        assert_eq!(disk.read(&path).unwrap(), b"hello\0\0!!");
        file.truncate(4).unwrap();
        assert_eq!(file.len().unwrap(), 4);
        file.truncate(6).unwrap();
        assert_eq!(disk.read(&path).unwrap(), b"hell\0\0");
        let mut buffer = [9; 4];
        assert_eq!(read_full(file.as_ref(), &mut buffer, 4).unwrap(), 2);
        assert_eq!(
            disk.create(&path).unwrap().len().unwrap(),
            0,
            "create empties"
        );
    });
}

#[test]
fn names_change() {
    both(|disk, dir| {
        disk.create_dir_all(dir).unwrap();
        let (a, b) = (dir.join("a"), dir.join("b"));
        write(disk, &a, b"one");
        write(disk, &b, b"second");
        disk.rename(&a, &b).unwrap();
        disk.sync_dir(dir).unwrap();
        let entries = disk.list(dir).unwrap();
        assert_eq!(
            entries,
            [Entry {
                name: "b".into(),
                size_bytes: 3
            }]
        );
        disk.remove(&b).unwrap();
        assert_eq!(disk.open(&b).unwrap_err().kind(), io::ErrorKind::NotFound);
    });
}

#[test]
fn a_lock_is_exclusive_and_ends_with_its_holder() {
    both(|disk, dir| {
        let path = dir.join("lock");
        let held = disk.lock(&path).unwrap();
        assert_eq!(
            disk.lock(&path).unwrap_err().kind(),
            io::ErrorKind::WouldBlock
        );
        drop(held);
        disk.lock(&path).unwrap();
    });
}

#[test]
fn replace_leaves_no_other_file() {
    both(|disk, dir| {
        disk.create_dir_all(dir).unwrap();
        let path = dir.join("cursor");
        replace(disk, &path, b"old").unwrap();
        replace(disk, &path, b"newer").unwrap();
        assert_eq!(disk.read(&path).unwrap(), b"newer");
        assert_eq!(disk.list(dir).unwrap().len(), 1);
    });
}

#[test]
fn replace_survives_a_crash_at_any_act() {
    let path = PathBuf::from(FILE);
    for failing in 1..=3 {
        for seed in 0..40 {
            let disk = SimulatedDisk::new();
            replace(&disk, &path, &[1; 2000]).unwrap();
            disk.set_sync_fault(
                Some(Fault {
                    nth: failing,
                    always: false,
                    full: false,
                }),
                true,
            );
            let result = replace(&disk, &path, &[2; 2000]);
            let left = disk.crash(seed).read(&path).unwrap();
            match result {
                Ok(()) => assert_eq!(left, [2; 2000]),
                Err(_) => assert!(left == [1; 2000] || left == [2; 2000], "seed {seed}"),
            }
        }
    }
}

#[test]
fn what_was_not_synced_may_be_lost_torn_or_kept() {
    let path = PathBuf::from(FILE);
    let mut seen = std::collections::HashSet::new();
    for seed in 0..100 {
        let disk = SimulatedDisk::new();
        let file = write(&disk, &path, &[1; 1024]);
        file.sync_data().unwrap();
        disk.sync_dir(Path::new("/d")).unwrap();
        file.write_at(&[2; 1024], 256).unwrap();
        let left = disk.crash(seed).read(&path).unwrap();
        assert!(
            left[..256].iter().all(|byte| *byte == 1),
            "what was not touched stays"
        );
        seen.insert(left);
    }
    // Three sectors are touched: 256..512, 512..1024, 1024..1280.
    assert_eq!(seen.len(), 8);
}

#[test]
fn names_without_a_directory_sync_may_be_forgotten() {
    let path = PathBuf::from(FILE);
    let (mut kept, mut forgotten) = (0, 0);
    for seed in 0..40 {
        let disk = SimulatedDisk::new();
        write(&disk, &path, b"x").sync_data().unwrap();
        match disk.crash(seed).read(&path) {
            Ok(bytes) => {
                assert_eq!(bytes, b"x");
                kept += 1;
            }
            Err(_) => forgotten += 1,
        }
    }
    assert!(kept > 0 && forgotten > 0);
}

#[test]
fn a_failed_sync_may_forget_what_a_later_one_reports_as_durable() {
    let path = PathBuf::from(FILE);
    let disk = SimulatedDisk::new();
    let file = write(&disk, &path, b"data");
    disk.sync_dir(Path::new("/d")).unwrap();
    disk.set_sync_fault(
        Some(Fault {
            nth: 1,
            always: false,
            full: false,
        }),
        true,
    );
    assert!(file.sync_data().is_err());
    file.sync_data().unwrap();
    assert_eq!(disk.read(&path).unwrap(), b"data", "it is still seen");
    for seed in 0..10 {
        assert_eq!(disk.crash(seed).read(&path).unwrap(), b"");
    }
}

#[test]
fn a_full_disk_takes_a_part() {
    let disk = SimulatedDisk::new();
    let file = write(&disk, Path::new(FILE), &[1; 100]);
    disk.set_capacity(Some(150));
    let error = file.write_at(&[2; 100], 90).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    assert_eq!(file.len().unwrap(), 100);
    file.write_at(&[2; 50], 100).unwrap();
    disk.set_capacity(None);
    file.write_at(&[2; 100], 150).unwrap();
}
