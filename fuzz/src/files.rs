//! The small files beside the log: what can be read of them can be written and read again, and the rest is told.
//!
//! The first byte says which file the others are. The checksum is made right for them: damage that it tells is tried beside the
//! code, bit by bit.

use std::path::Path;
use std::sync::Arc;

use real_streaming::durable::{Disk, SimulatedDisk, file_stem_of, seal};
use real_streaming::log::MemoryLog;
use real_streaming::pipeline::{Cursors, Found, Journals, PageFolder};

use crate::tiny::byte;

const DESTINATION: &str = "memory:a";

/// Panics where a promise is broken.
pub fn check(mut data: &[u8]) {
    match byte(&mut data).map(|which| which % 3) {
        Some(0) => cursor(data),
        Some(1) => page(data),
        Some(_) => journal(data),
        None => {}
    }
}

fn disk_with(path: &str, data: &[u8]) -> Arc<dyn Disk> {
    let disk = SimulatedDisk::new();
    let crc = format!(" {:08x}\n", crc32c::crc32c(data));
    disk.put(Path::new(path), &[data, crc.as_bytes()].concat());
    Arc::new(disk)
}

fn cursor(data: &[u8]) {
    let disk = disk_with("/cursors/x.json", data);
    let cursors = Cursors::open(disk, Path::new("/cursors")).expect("the folder");
    let Ok(found) = cursors.all() else {
        return;
    };
    for cursor in found {
        cursors.store(&cursor).expect("the disk works");
        let again = cursors
            .load(&cursor.destination)
            .expect("it was just written");
        assert_eq!(again.as_ref(), Some(&cursor));
    }
}

fn page(data: &[u8]) {
    let path = format!("/ledger/{}.json", file_stem_of(DESTINATION));
    let load = |disk: Arc<dyn Disk>| {
        let folder = PageFolder::open(disk, Path::new("/ledger")).expect("the folder");
        // A page of a newer version is no damage.
        let mut pages = folder.load([DESTINATION].into_iter()).ok()?;
        pages.remove(DESTINATION)
    };
    if let Some(Found::Page(page)) = load(disk_with(&path, data)) {
        let text = seal(&page, 1).expect("JSON");
        let disk = SimulatedDisk::new();
        disk.put(Path::new(&path), &text);
        let Some(Found::Page(again)) = load(Arc::new(disk)) else {
            panic!("what was written is not read");
        };
        assert_eq!(seal(&again, 1).expect("JSON"), text);
        assert_eq!(again.intake(), page.intake());
    }
}

fn journal(data: &[u8]) {
    let disk = disk_with("/dead_letter/replays/x.json", data);
    let open = || {
        Journals::open(
            Arc::clone(&disk),
            Path::new("/dead_letter"),
            &MemoryLog::new(1 << 20),
        )
    };
    let Ok(journals) = open() else {
        return;
    };
    // Those that were begun are settled, by a log that holds nothing of them; once.
    let count = journals.count().expect("what was opened is read");
    let again = open().expect("what was settled is read");
    assert_eq!(again.count().expect("it is read"), count);
}
