//! What a directory holds when the process starts.
//!
//! Only the headers of the segments and the whole of the last one are read, so that a long backlog does
//! not delay the start; damage in older segments is found when they are read. A batch is written only
//! after the one before it was synced. So an unsound batch at the very end of the last segment was never
//! acknowledged and is cut off, and one before any sound batch was durable: that is damage.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use uuid::Uuid;

use crate::durable::{Disk, DiskFile};
use crate::schema::{LogId, SequenceNumber};

use super::format::{BadHeader, SegmentHeader, parse_segment_name, segment_name};
use super::quarantine::Quarantine;
use super::segment::{Scanner, Segment, read_header};
use super::{Config, OpenError, end, identity};

pub(super) const SPARE: &str = "spare";

/// What was found at start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecoveryReport {
    /// The log's identity.
    pub log_id: LogId,
    /// Whether there was no log before.
    pub created: bool,
    /// The last number held.
    pub last: SequenceNumber,
    /// How many segments there are.
    pub segments: usize,
    /// Their bytes.
    pub size_bytes: u64,
    /// Records of a batch that a crash cut short; never acknowledged.
    pub torn_records: u64,
    /// Durable records found lost in the last segment. Those of older segments are found when they are read.
    pub damaged_records: u64,
    /// Copies of damaged files, and files that were put aside because they cannot be read.
    pub quarantined: Vec<PathBuf>,
    /// Whether anything was damaged, even if no record is known to be lost.
    pub damaged: bool,
}

/// The state to go on from.
#[derive(Debug)]
pub(super) struct Recovered {
    /// The log's identities, the one that counts now first.
    pub(super) ids: Vec<LogId>,
    pub(super) segments: VecDeque<Arc<Segment>>,
    /// The next number to give.
    pub(super) next: u64,
    /// Whether there is a zero-filled file for the next segment.
    pub(super) spare: bool,
    pub(super) report: RecoveryReport,
}

/// Reads what there is, cuts a torn tail, puts aside what cannot be read.
pub(super) fn recover(config: &Config, disk: &dyn Disk) -> Result<Recovered, OpenError> {
    let listed = list(config, disk).map_err(|error| OpenError::io(&config.dir, error))?;
    let (ids, id_damaged) =
        identity::read(&config.dir, disk).map_err(|error| OpenError::io(&config.dir, error))?;
    let mut recovery = Recovery {
        config,
        disk,
        ids,
        segments: Vec::new(),
        beyond: 0,
        report: RecoveryReport {
            log_id: LogId(Uuid::nil()),
            created: false,
            last: SequenceNumber::ZERO,
            segments: 0,
            size_bytes: 0,
            torn_records: 0,
            damaged_records: 0,
            quarantined: Vec::new(),
            damaged: id_damaged,
        },
    };
    for path in &listed.segments {
        recovery.admit(path)?;
    }
    recovery
        .finish(listed.spare)
        .map_err(|error| OpenError::io(&config.dir, error))
}

struct Listed {
    segments: Vec<PathBuf>,
    spare: bool,
}

/// The segments' files in order. Unfinished files are removed.
fn list(config: &Config, disk: &dyn Disk) -> io::Result<Listed> {
    let mut listed = Listed {
        segments: Vec::new(),
        spare: false,
    };
    for entry in disk.list(&config.dir)? {
        let path = config.dir.join(&entry.name);
        if Path::new(&entry.name)
            .extension()
            .is_some_and(|extension| extension == "segment")
        {
            listed.segments.push(path);
        } else if entry.name == SPARE && entry.size_bytes >= config.segment_bytes {
            listed.spare = true;
        } else if entry.name == SPARE || entry.name.ends_with(".tmp") {
            disk.remove(&path)?;
        }
    }
    Ok(listed)
}

struct Recovery<'a> {
    config: &'a Config,
    disk: &'a dyn Disk,
    /// Empty if the file is missing or damaged.
    ids: Vec<LogId>,
    segments: Vec<(SegmentHeader, PathBuf)>,
    /// The first number of a segment that was put aside: all before it were used.
    beyond: u64,
    report: RecoveryReport,
}

impl Recovery<'_> {
    fn quarantine(&self) -> Quarantine<'_> {
        Quarantine {
            disk: self.disk,
            dir: &self.config.dir,
            max_bytes: self.config.quarantine_bytes(),
        }
    }

    /// Takes a segment into the log or puts it aside.
    fn admit(&mut self, path: &Path) -> Result<(), OpenError> {
        let io = |error| OpenError::io(path, error);
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .and_then(parse_segment_name);
        let Some(first) = name else {
            self.put_aside(path, "not a segment's name");
            return Ok(());
        };
        let file = self.disk.open(path).map_err(io)?;
        match SegmentHeader::decode(&read_header(file.as_ref()).map_err(io)?) {
            Err(BadHeader::Newer(version)) => {
                return Err(OpenError::NewerVersion {
                    path: path.to_owned(),
                    version,
                });
            }
            Ok(header) if header.first != first => {
                self.put_aside(path, "another segment under this name")
            }
            Ok(header) if !self.ids.is_empty() && !self.ids.contains(&header.log_id) => {
                self.put_aside(path, "a segment of another log");
            }
            Ok(header) => self.segments.push((header, path.to_owned())),
            Err(BadHeader::Damaged) => {
                self.beyond = self.beyond.max(first);
                match self.mend(path, file, first).map_err(io)? {
                    Some(header) => self.segments.push((header, path.to_owned())),
                    None => self.put_aside(path, "no header and no batch"),
                }
            }
        }
        Ok(())
    }

    fn put_aside(&mut self, path: &Path, reason: &str) {
        self.report.damaged = true;
        let kept = self.quarantine().take(path, reason);
        self.report.quarantined.extend(kept);
    }

    /// Makes a damaged header anew from the first sound batch. Stale batches of a recycled file have lower numbers.
    fn mend(
        &mut self,
        path: &Path,
        file: Box<dyn DiskFile>,
        first: u64,
    ) -> io::Result<Option<SegmentHeader>> {
        let end = file.len()?;
        let mut scanner = Scanner::new(file, None, end);
        let Some(batch) = scanner.find_batch(0, first)? else {
            return Ok(None);
        };
        let Some(log_id) = self.ids.first().copied() else {
            return Ok(None);
        };
        self.report.damaged = true;
        let kept = self
            .quarantine()
            .copy(path, 0, "the header of a segment is damaged");
        self.report.quarantined.extend(kept);
        let header = SegmentHeader {
            log_id,
            first,
            follows: first.saturating_sub(1),
            nonce: batch.header.nonce,
            created: batch.header.committed,
        };
        let file = self.disk.open_writable(path)?;
        file.write_at(&header.encode(), 0)?;
        file.sync_data()?;
        Ok(Some(header))
    }

    fn finish(mut self, spare: bool) -> io::Result<Recovered> {
        self.report.created = self.ids.is_empty() && self.segments.is_empty();
        if self.ids.is_empty() {
            self.adopt_ids();
            identity::write(self.config, self.disk, &self.ids)?;
        }
        let segments = self.measure()?;
        let last = segments.back().map_or(0, |segment| segment.last());
        let last = last.max(self.beyond.saturating_sub(1));
        self.report.log_id = self.ids[0];
        self.report.last = SequenceNumber(last);
        self.report.segments = segments.len();
        self.report.size_bytes = segments.iter().map(|segment| segment.durable_bytes()).sum();
        Ok(Recovered {
            ids: self.ids,
            segments,
            next: last + 1,
            spare,
            report: self.report,
        })
    }

    /// The identities of the segments, the newest first; a new one if there are none.
    fn adopt_ids(&mut self) {
        for (header, _) in self.segments.iter().rev() {
            if !self.ids.contains(&header.log_id) {
                self.ids.push(header.log_id);
            }
        }
        if self.ids.is_empty() {
            self.ids.push(LogId(Uuid::new_v4()));
        }
    }

    /// Finds out where each segment ends.
    fn measure(&mut self) -> io::Result<VecDeque<Arc<Segment>>> {
        let mut segments = VecDeque::new();
        let found = std::mem::take(&mut self.segments);
        for (index, (header, path)) in found.iter().enumerate() {
            let segment = Arc::new(Segment::new(*header, path.clone()));
            match found.get(index + 1) {
                Some((follower, _)) => {
                    let length = self.disk.open(path)?.len()?;
                    segment.publish(
                        length,
                        follower.follows.max(segment.last()),
                        follower.created,
                    );
                }
                None => self.measure_last(&segment)?,
            }
            segments.push_back(segment);
        }
        Ok(segments)
    }

    fn measure_last(&mut self, segment: &Segment) -> io::Result<()> {
        let file = self.disk.open_writable(&segment.path)?;
        let length = file.len()?;
        let mut scanner = Scanner::new(
            self.disk.open(&segment.path)?,
            Some(segment.header.nonce),
            length,
        );
        let end = end::find(&mut scanner, segment.header.first)?;
        if end.lost > 0 || end.unsound {
            self.report.damaged = true;
            self.report.damaged_records += end.lost;
            let kept = self
                .quarantine()
                .copy(&segment.path, end.lost, "a batch is damaged");
            self.report.quarantined.extend(kept);
        }
        self.report.torn_records += end.torn;
        self.beyond = self.beyond.max(end.beyond);
        if end.torn > 0 {
            tracing::warn!(
                records = end.torn,
                "the last batch was cut short by a crash and is dropped"
            );
        }
        if end.at < length {
            file.truncate(end.at)?;
        }
        // A killed process may have left what no sync ever reached; from now on it counts as durable.
        file.sync_data()?;
        self.disk.sync_dir(&self.config.dir)?;
        let committed = end.committed.unwrap_or(segment.header.created);
        segment.publish(end.at, end.next.saturating_sub(1), committed);
        Ok(())
    }
}

/// Where the segment that begins with this number lies.
pub(super) fn segment_path(dir: &Path, first: u64) -> PathBuf {
    dir.join(segment_name(first))
}
