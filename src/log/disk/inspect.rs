//! What a log's directory holds, for the operator: segments, numbers, times, damage.
//!
//! Takes no lock and changes nothing, so it works on a copy and beside a process that owns the log. The tail may be
//! growing and old segments may go meanwhile: neither is damage. Everything is read and checked, so it takes as long as reading
//! the log takes. It decides nothing: what becomes of damage is recovery's business.

use std::io;
use std::path::Path;

use crate::clock::Micros;
use crate::durable::{Disk, Entry};
use crate::schema::LogId;

use super::format::{BadHeader, SEGMENT_HEADER, SegmentHeader, VERSION, parse_segment_name};
use super::quarantine;
use super::segment::{Scanner, read_header};
use super::{identity, recovery::SPARE};

/// A log's directory.
#[derive(Clone, Debug)]
pub struct Inspection {
    /// The identities, newest first.
    pub ids: Vec<LogId>,
    /// The segments, ascending.
    pub segments: Vec<SegmentFound>,
    /// Bytes of the file that waits to become a segment.
    pub spare_bytes: u64,
    /// Copies of damaged files.
    pub quarantine: Vec<Entry>,
}

impl Inspection {
    /// The last number that it holds; 0 if it holds none.
    pub fn last(&self) -> u64 {
        let last = self.segments.iter().map(|segment| segment.last).max();
        last.unwrap_or(0)
    }

    /// The number before the first that it holds.
    pub fn start(&self) -> u64 {
        self.segments.first().map_or(0, |segment| segment.follows)
    }

    /// Bytes of all segments.
    pub fn size_bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.size_bytes).sum()
    }
}

/// A segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentFound {
    /// The name of its file.
    pub name: String,
    /// The length of its file.
    pub size_bytes: u64,
    /// The last number before it.
    pub follows: u64,
    /// Its first number.
    pub first: u64,
    /// Its last sound number; `first` - 1 if it holds none.
    pub last: u64,
    /// Records whose batches are sound.
    pub records: u64,
    /// When it was begun.
    pub created: Micros,
    /// When its last batch was committed; as it was begun if it holds none.
    pub committed: Micros,
    /// What is wrong with it.
    pub damage: Vec<Damaged>,
}

/// Something that is wrong with a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damaged {
    /// Where in the file.
    pub at: u64,
    /// How long.
    pub bytes: u64,
    /// What is wrong there.
    pub reason: String,
}

/// Reads a log's directory.
///
/// # Errors
/// Those of the disk; identities of a newer version.
pub fn inspect(dir: &Path, disk: &dyn Disk) -> io::Result<Inspection> {
    let (ids, _) = identity::read(dir, disk)?;
    let (mut segments, mut spare_bytes) = (Vec::new(), 0);
    for entry in disk.list(dir)? {
        if let Some(first) = parse_segment_name(&entry.name) {
            match segment(dir, disk, &entry, first) {
                // It went away meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                found => segments.push(found?),
            }
        } else if entry.name == SPARE {
            spare_bytes = entry.size_bytes;
        }
    }
    between(&mut segments);
    let quarantine = match disk.list(&dir.join(quarantine::FOLDER)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        other => other?,
    };
    Ok(Inspection {
        ids,
        segments,
        spare_bytes,
        quarantine,
    })
}

fn segment(dir: &Path, disk: &dyn Disk, entry: &Entry, first: u64) -> io::Result<SegmentFound> {
    let file = disk.open(&dir.join(&entry.name))?;
    let mut found = SegmentFound {
        name: entry.name.clone(),
        size_bytes: entry.size_bytes,
        follows: first.saturating_sub(1),
        first,
        last: first.saturating_sub(1),
        records: 0,
        created: Micros::default(),
        committed: Micros::default(),
        damage: Vec::new(),
    };
    let nonce = match SegmentHeader::decode(&read_header(file.as_ref())?) {
        Ok(header) => {
            found.follows = header.follows;
            (found.created, found.committed) = (header.created, header.created);
            Some(header.nonce)
        }
        Err(bad) => {
            let reason = match bad {
                BadHeader::Damaged => "the header is damaged".to_owned(),
                BadHeader::Newer(version) => format!(
                    "it was written by a newer version (format {version}, this program reads up to {VERSION})"
                ),
            };
            let whole = matches!(bad, BadHeader::Newer(_));
            found.damaged(0, SEGMENT_HEADER as u64, reason);
            if whole {
                return Ok(found);
            }
            None
        }
    };
    found.scan(Scanner::new(file, nonce, entry.size_bytes))?;
    Ok(found)
}

impl SegmentFound {
    fn damaged(&mut self, at: u64, bytes: u64, reason: impl Into<String>) {
        let reason = reason.into();
        self.damage.push(Damaged { at, bytes, reason });
    }

    /// Goes from batch to batch. What stands behind the last sound one is unfinished, or left of another segment.
    fn scan(&mut self, mut scanner: Scanner) -> io::Result<()> {
        let mut at = SEGMENT_HEADER as u64;
        loop {
            let batch = match scanner.batch_at(at)? {
                Some(batch) => batch,
                None => match scanner.find_batch(at, self.last + 1)? {
                    Some(batch) => {
                        self.damaged(at, batch.at - at, "a batch is damaged or missing");
                        batch
                    }
                    None => return Ok(()),
                },
            };
            if !scanner.is_whole(&batch)? {
                self.damaged(batch.at, batch.end() - batch.at, "a record is damaged");
            }
            self.records += batch.next() - batch.first();
            self.last = self.last.max(batch.next().saturating_sub(1));
            self.committed = batch.header.committed;
            at = batch.end();
        }
    }
}

/// What each segment's follower says of it: which of its last records count, and whether there are all.
fn between(segments: &mut [SegmentFound]) {
    for index in 1..segments.len() {
        let (before, behind) = segments.split_at_mut(index);
        let (Some(before), Some(behind)) = (before.last_mut(), behind.first_mut()) else {
            continue;
        };
        // Numbers beyond were given again, to the follower's records.
        let again = before.last.saturating_sub(behind.follows);
        before.records = before.records.saturating_sub(again);
        before.last -= again;
        let missing = behind.follows.saturating_sub(before.last);
        if missing > 0 {
            behind.damaged(
                0,
                0,
                format!("{missing} records before this segment are missing"),
            );
        }
    }
}
