//! One segment: what is known of it, and a scanner that finds sound batches in its file.
//!
//! The scanner reads windows of a megabyte and hands out slices of them, never copies. It never trusts
//! a length that no checksum covers further than the end of the file.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use bytes::Bytes;

use crate::clock::Micros;
use crate::durable::{Disk, DiskFile, read_full};

use super::format::{BATCH_HEADER, BATCH_MAGIC, Batch, BatchHeader, SEGMENT_HEADER, SegmentHeader};

/// How much is read at once.
const WINDOW: u64 = 1 << 20;

/// What is known of a segment.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) header: SegmentHeader,
    pub(super) path: PathBuf,
    durable_bytes: AtomicU64,
    last: AtomicU64,
    committed: AtomicI64,
}

impl Segment {
    /// A segment that holds nothing yet.
    pub(super) fn new(header: SegmentHeader, path: PathBuf) -> Self {
        Self {
            header,
            path,
            durable_bytes: AtomicU64::new(SEGMENT_HEADER as u64),
            last: AtomicU64::new(header.first.saturating_sub(1)),
            committed: AtomicI64::new(header.created.0),
        }
    }

    /// Says that it is durable up to here. The number comes last: whoever has seen it, and asks for the length
    /// then, finds the record within it.
    pub(super) fn publish(&self, durable_bytes: u64, last: u64, committed: Micros) {
        self.committed.store(committed.0, Ordering::Release);
        self.durable_bytes.store(durable_bytes, Ordering::Release);
        self.last.store(last, Ordering::Release);
    }

    /// Bytes of its file that may be read.
    pub(super) fn durable_bytes(&self) -> u64 {
        self.durable_bytes.load(Ordering::Acquire)
    }

    /// The number of its last durable record; the one before `first` if there is none. To be asked before
    /// [`durable_bytes`](Self::durable_bytes) by those who miss a record that is not within them.
    pub(super) fn last(&self) -> u64 {
        self.last.load(Ordering::Acquire)
    }

    /// When its last batch was committed, or somewhat later.
    pub(super) fn committed(&self) -> Micros {
        Micros(self.committed.load(Ordering::Acquire))
    }

    /// Opens its file to be scanned up to what is durable.
    pub(super) fn scan(&self, disk: &dyn Disk) -> io::Result<Scanner> {
        let end = self.durable_bytes();
        Ok(Scanner::new(
            disk.open(&self.path)?,
            Some(self.header.nonce),
            end,
        ))
    }
}

/// Reads the header at the beginning of a file, as much of it as there is.
pub(super) fn read_header(file: &dyn DiskFile) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; SEGMENT_HEADER];
    let read = read_full(file, &mut bytes, 0)?;
    bytes.truncate(read);
    Ok(bytes)
}

/// Makes a segment durable under its name, with its header; the file to write its batches to.
///
/// The name appears only when the header is durable, so a segment with a broken header is damage.
pub(super) fn create(
    disk: &dyn Disk,
    segment: &Segment,
    spare: Option<&Path>,
) -> io::Result<Box<dyn DiskFile>> {
    let dir = segment.path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let unnamed = spare.map_or_else(|| dir.join("segment.tmp"), Path::to_path_buf);
    let file = match spare {
        Some(spare) => disk.open_writable(spare)?,
        None => disk.create(&unnamed)?,
    };
    file.write_at(&segment.header.encode(), 0)?;
    file.sync_data()?;
    disk.rename(&unnamed, &segment.path)?;
    disk.sync_dir(dir)?;
    Ok(file)
}

/// Finds sound batches in a file.
pub(super) struct Scanner {
    file: Box<dyn DiskFile>,
    nonce: Option<u64>,
    end: u64,
    window: Bytes,
    window_at: u64,
}

impl fmt::Debug for Scanner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Scanner({:?}, {}..{})",
            self.file, self.window_at, self.end
        )
    }
}

impl Scanner {
    /// Scans a file up to `end` for batches with this nonce, or with any.
    pub(super) fn new(file: Box<dyn DiskFile>, nonce: Option<u64>, end: u64) -> Self {
        Self {
            file,
            nonce,
            end,
            window: Bytes::new(),
            window_at: 0,
        }
    }

    /// Where it stops.
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    /// Follows a growing segment.
    pub(super) fn extend(&mut self, end: u64) {
        self.end = self.end.max(end);
    }

    /// Forgets what was read, because the file may have changed.
    pub(super) fn forget(&mut self) {
        self.window = Bytes::new();
    }

    /// Whether the file has become another segment under our hands.
    pub(super) fn was_recycled(&self) -> io::Result<bool> {
        let header = SegmentHeader::decode(&read_header(self.file.as_ref())?);
        Ok(header.is_ok_and(|header| Some(header.nonce) != self.nonce))
    }

    /// The bytes at a place; `None` if the file or the scan ends before them.
    pub(super) fn bytes(&mut self, at: u64, length: u64) -> io::Result<Option<Bytes>> {
        let Some(end) = at.checked_add(length).filter(|end| *end <= self.end) else {
            return Ok(None);
        };
        let window_end = self.window_at + self.window.len() as u64;
        if at < self.window_at || end > window_end {
            self.fill(at, length.max(WINDOW).min(self.end - at))?;
        }
        let start = usize::try_from(at - self.window_at).map_err(io::Error::other)?;
        let length = usize::try_from(length).map_err(io::Error::other)?;
        let complete = start + length <= self.window.len();
        Ok(complete.then(|| self.window.slice(start..start + length)))
    }

    #[expect(
        clippy::slow_vector_initialization,
        reason = "fresh zeroed pages from the system cost more than zeroing old ones"
    )]
    fn fill(&mut self, at: u64, length: u64) -> io::Result<()> {
        let length = usize::try_from(length).map_err(io::Error::other)?;
        let mut buffer = Vec::with_capacity(length);
        buffer.resize(length, 0);
        let read = read_full(self.file.as_ref(), &mut buffer, at)?;
        buffer.truncate(read);
        self.window = Bytes::from(buffer);
        self.window_at = at;
        Ok(())
    }

    /// What stands at a place: a batch whose header and table are sound and whose payloads end within
    /// the scan, or `None`.
    pub(super) fn batch_at(&mut self, at: u64) -> io::Result<Option<Batch>> {
        let Some(header) = self.peek(at)? else {
            return Ok(None);
        };
        if at + header.total_bytes() > self.end {
            return Ok(None);
        }
        let Some(head) = self.bytes(at, header.head_bytes())? else {
            return Ok(None);
        };
        Ok(Batch::check(header, at, head))
    }

    /// What claims to stand at a place, unchecked.
    pub(super) fn peek(&mut self, at: u64) -> io::Result<Option<BatchHeader>> {
        let bytes = self.bytes(at, BATCH_HEADER as u64)?;
        Ok(bytes.and_then(|bytes| BatchHeader::peek(&bytes, self.nonce)))
    }

    /// The first sound batch at or after a place whose first number is at least `first`.
    pub(super) fn find_batch(&mut self, from: u64, first: u64) -> io::Result<Option<Batch>> {
        let mut at = from;
        loop {
            let length = WINDOW.min(self.end.saturating_sub(at));
            if length < BATCH_HEADER as u64 {
                return Ok(None);
            }
            let Some(bytes) = self.bytes(at, length)? else {
                // The file is shorter than it was said to be.
                self.end = self.file.len()?.min(self.end - 1);
                continue;
            };
            let Some(offset) = find_magic(&bytes) else {
                // The magic may lie across the end of the window.
                at += length - (BATCH_MAGIC.len() as u64 - 1);
                continue;
            };
            let found = self.batch_at(at + offset as u64)?;
            if let Some(batch) = found.filter(|batch| batch.first() >= first) {
                return Ok(Some(batch));
            }
            at += offset as u64 + 1;
        }
    }

    /// Whether all payloads of a batch are sound.
    pub(super) fn is_whole(&mut self, batch: &Batch) -> io::Result<bool> {
        let mut at = batch.payloads_at();
        for entry in batch.entries() {
            let length = u64::from(entry.length);
            let Some(payload) = self.bytes(at, length)? else {
                return Ok(false);
            };
            if crc32c::crc32c(&payload) != entry.crc {
                return Ok(false);
            }
            at += length;
        }
        Ok(true)
    }
}

fn find_magic(bytes: &[u8]) -> Option<usize> {
    let mut from = 0;
    while let Some(offset) = bytes[from..]
        .iter()
        .position(|byte| *byte == BATCH_MAGIC[0])
    {
        let at = from + offset;
        if bytes[at..].starts_with(&BATCH_MAGIC) {
            return Some(at);
        }
        from = at + 1;
    }
    None
}
