//! A log's directory seen from outside, while another process may own it.
//!
//! Takes no lock and changes nothing. The tail grows and may not be durable yet, and old segments vanish;
//! neither is an error. Damage is counted, the alarm is the owner's.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use crate::durable::Disk;
use crate::log::Reader;
use crate::schema::{LogId, SequenceNumber};

use super::format::{SegmentHeader, parse_segment_name};
use super::identity;
use super::reader::DiskReader;
use super::segment::{Segment, read_header};
use super::shared::lock;
use super::source::{Damage, Place, Source, place_among};

/// A reader of what follows `after` in a directory that another process may own.
pub fn read_only(dir: &Path, disk: Arc<dyn Disk>, after: SequenceNumber) -> Box<dyn Reader> {
    let directory = Directory {
        dir: dir.to_owned(),
        disk,
        known: Mutex::default(),
    };
    Box::new(DiskReader::new(Arc::new(directory), after))
}

/// The identities of the log in a directory, newest first; none if there is no log yet.
///
/// # Errors
/// Those of the disk.
pub fn identities(dir: &Path, disk: &dyn Disk) -> io::Result<Vec<LogId>> {
    identity::read(dir, disk).map(|(ids, _)| ids)
}

#[derive(Debug)]
struct Directory {
    dir: PathBuf,
    disk: Arc<dyn Disk>,
    known: Mutex<BTreeMap<u64, Arc<Segment>>>,
}

impl Source for Directory {
    fn locate(&self, sequence: u64) -> io::Result<Option<Place>> {
        let mut known = lock(&self.known);
        // Only the last segment grows or gets a follower.
        let cached = place_among(known.values(), sequence);
        if cached
            .as_ref()
            .is_some_and(|place| place.follower.is_some())
        {
            return Ok(cached);
        }
        let newest = known.keys().next_back().copied();
        let mut present = BTreeMap::new();
        let mut sizes = Vec::new();
        for entry in self.disk.list(&self.dir)? {
            let Some(first) = parse_segment_name(&entry.name) else {
                continue;
            };
            if Some(first) != newest
                && let Some(segment) = known.remove(&first)
            {
                sizes.push(entry.size_bytes);
                present.insert(first, segment);
                continue;
            }
            let path = self.dir.join(&entry.name);
            let header = match self
                .disk
                .open(&path)
                .and_then(|file| read_header(file.as_ref()))
            {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                other => SegmentHeader::decode(&other?),
            };
            let Ok(header) = header else { continue };
            let segment = match known.remove(&first) {
                Some(segment) if segment.header == header => segment,
                _ => Arc::new(Segment::new(header, path)),
            };
            sizes.push(entry.size_bytes);
            present.insert(first, segment);
        }
        let followers = present
            .values()
            .skip(1)
            .map(|segment| Some(segment.header.follows));
        let lasts: Vec<Option<u64>> = followers.chain([None]).collect();
        for ((segment, size), last) in present.values().zip(sizes).zip(lasts) {
            segment.publish(
                size,
                last.unwrap_or(0).max(segment.last()),
                segment.header.created,
            );
        }
        *known = present;
        Ok(place_among(known.values(), sequence))
    }

    fn disk(&self) -> &dyn Disk {
        self.disk.as_ref()
    }

    fn report_damage(&self, _segment: &Segment, _lost: u64, _damage: Damage) {}

    fn is_foreign(&self) -> bool {
        true
    }

    fn forget(&self) {
        lock(&self.known).clear();
    }
}
