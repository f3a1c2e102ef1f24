//! Reads a log from a number on: finds the segment, walks its batches, hands out slices of what was read.
//!
//! It never reads beyond what its source calls durable and never skips in silence: numbers that should be
//! there and are not, and payloads whose checksum is wrong, are counted as damaged. Records at or beyond
//! the first number of the next segment are ignored: they belong to a batch that failed and was superseded.

use std::io;
use std::sync::Arc;

use bytes::Bytes;

use crate::log::{Chunk, Reader};
use crate::schema::{Record, SequenceNumber};

use super::format::{Batch, Entry, SEGMENT_HEADER, before};
use super::segment::{Scanner, Segment};
use super::source::{Damage, Follower, Place, Source};

#[derive(Debug)]
pub(super) struct DiskReader {
    source: Arc<dyn Source>,
    /// The next number to read.
    next: u64,
    position: Option<Position>,
}

/// Where in which segment the next batch begins.
#[derive(Debug)]
struct Position {
    segment: Arc<Segment>,
    scanner: Scanner,
    at: u64,
}

/// What stands at the reader's place.
enum Found {
    Batch(Batch, Option<Follower>),
    /// Nothing yet.
    End,
    /// The reader moved; look again.
    Moved,
}

impl DiskReader {
    pub(super) fn new(source: Arc<dyn Source>, after: SequenceNumber) -> Self {
        Self {
            source,
            next: after.0 + 1,
            position: None,
        }
    }

    /// The batch that holds the next number. Numbers that are gone are counted and passed over.
    fn find(&mut self, chunk: &mut Chunk) -> io::Result<Found> {
        let Some(Place { segment, follower }) = self.source.locate(self.next)? else {
            return Ok(Found::End);
        };
        if self.next < segment.header.first {
            // Numbers between `follows` and `first` were never given.
            let missing = (segment.header.follows + 1).saturating_sub(self.next);
            if missing > 0 && !self.source.is_foreign() {
                chunk.damaged += missing;
                self.source.report_damage(&segment, missing, Damage::Before);
            }
            self.next = segment.header.first;
            return Ok(Found::Moved);
        }
        let limit = follower.map_or(u64::MAX, |follower| follower.follows);
        if let Some(follower) = follower
            && self.next > limit
        {
            self.next = follower.first;
            return Ok(Found::Moved);
        }
        let position = match &mut self.position {
            Some(position) if Arc::ptr_eq(&position.segment, &segment) => position,
            stale => {
                let scanner = match segment.scan(self.source.disk()) {
                    Err(error)
                        if error.kind() == io::ErrorKind::NotFound && self.source.is_foreign() =>
                    {
                        self.source.forget();
                        return Ok(Found::Moved);
                    }
                    other => other?,
                };
                let segment = Arc::clone(&segment);
                stale.insert(Position {
                    segment,
                    scanner,
                    at: SEGMENT_HEADER as u64,
                })
            }
        };
        // In this order: what is committed in between is not missed, but found next time.
        let last = segment.last();
        position.scanner.extend(segment.durable_bytes());
        let batch = position
            .next_batch(self.next, last)?
            .filter(|batch| batch.first() <= limit);
        match batch {
            Some(batch) if batch.first() <= self.next => Ok(Found::Batch(batch, follower)),
            Some(batch) => {
                self.lose(chunk, &segment, batch.first());
                Ok(Found::Moved)
            }
            None => self.end_of(chunk, &segment, last, follower),
        }
    }

    /// No batch of this segment holds the next number or a later one.
    fn end_of(
        &mut self,
        chunk: &mut Chunk,
        segment: &Segment,
        last: u64,
        follower: Option<Follower>,
    ) -> io::Result<Found> {
        let recycled = match &self.position {
            Some(position) if self.source.is_foreign() => position.scanner.was_recycled()?,
            _ => false,
        };
        if recycled {
            self.position = None;
            self.source.forget();
            return Ok(Found::Moved);
        }
        if let Some(follower) = follower {
            self.lose(chunk, segment, follower.follows + 1);
            self.next = follower.first;
            return Ok(Found::Moved);
        }
        if last >= self.next {
            self.lose(chunk, segment, last + 1);
        }
        Ok(Found::End)
    }

    /// Counts what was durable and is gone, and goes on at `next`.
    fn lose(&mut self, chunk: &mut Chunk, segment: &Segment, next: u64) {
        let lost = next.saturating_sub(self.next);
        if lost > 0 {
            chunk.damaged += lost;
            self.source.report_damage(segment, lost, Damage::Batch);
            self.next = next;
        }
    }

    /// Takes records of a batch from the next number on, within the limits; how many bytes of payload.
    fn take(&mut self, chunk: &mut Chunk, batch: &Batch, limits: &Limits) -> io::Result<u64> {
        let Some(position) = &mut self.position else {
            return Ok(0);
        };
        let skipped = usize::try_from(self.next - batch.first()).map_err(io::Error::other)?;
        let before: u64 = batch
            .entries()
            .take(skipped)
            .map(|entry| u64::from(entry.length))
            .sum();
        let mut run: Vec<Entry> = Vec::new();
        let mut length = 0;
        for entry in batch.entries().skip(skipped) {
            let is_first = chunk.records.is_empty() && run.is_empty();
            let fits =
                length + u64::from(entry.length) <= limits.bytes && run.len() < limits.records;
            let is_superseded = self.next + run.len() as u64 > limits.last;
            if is_superseded || !(fits || is_first) {
                break;
            }
            length += u64::from(entry.length);
            run.push(entry);
        }
        let payloads = position
            .scanner
            .bytes(batch.payloads_at() + before, length)?
            .unwrap_or_default();
        let mut offset = 0;
        let mut damaged = 0;
        for entry in run {
            let end = offset + usize::try_from(entry.length).map_err(io::Error::other)?;
            // Shorter only if the file was cut meanwhile.
            let payload = if end <= payloads.len() {
                payloads.slice(offset..end)
            } else {
                Bytes::new()
            };
            match entry.verify(&payload) {
                Some(kind) => chunk.records.push(Record {
                    sequence: SequenceNumber(self.next),
                    kind,
                    payload,
                }),
                None => damaged += 1,
            }
            offset = end;
            self.next += 1;
        }
        if damaged > 0 {
            chunk.damaged += damaged;
            self.source
                .report_damage(&position.segment, damaged, Damage::Record);
        }
        Ok(length)
    }

    fn read_chunk(&mut self, max_records: usize, max_bytes: usize) -> io::Result<Chunk> {
        let mut chunk = Chunk::default();
        let mut bytes = 0;
        loop {
            let records = max_records.max(1).saturating_sub(chunk.records.len());
            if records == 0 || (bytes >= max_bytes as u64 && !chunk.records.is_empty()) {
                break;
            }
            match self.find(&mut chunk)? {
                Found::End => break,
                Found::Moved => {}
                Found::Batch(batch, follower) => {
                    let last = follower.map_or(u64::MAX, |follower| follower.follows);
                    let left = (max_bytes as u64).saturating_sub(bytes);
                    let start = self.next;
                    bytes += self.take(
                        &mut chunk,
                        &batch,
                        &Limits {
                            records,
                            bytes: left,
                            last,
                        },
                    )?;
                    if self.next == start {
                        break;
                    }
                }
            }
        }
        chunk.last = before(self.next);
        Ok(chunk)
    }
}

/// What may still be taken.
struct Limits {
    records: usize,
    bytes: u64,
    /// The last number that belongs to the segment.
    last: u64,
}

impl Reader for DiskReader {
    fn read(&mut self, max_records: usize, max_bytes: usize) -> io::Result<Chunk> {
        let start = self.next;
        let chunk = self.read_chunk(max_records, max_bytes);
        if chunk.is_err() {
            self.next = start;
            self.position = None;
        }
        chunk
    }
}

impl Position {
    /// The first sound batch, from here on, that ends after the number before `next`. Stays before it. `last` is
    /// the last number that must be there.
    fn next_batch(&mut self, next: u64, last: u64) -> io::Result<Option<Batch>> {
        while self.at < self.scanner.end() {
            let Some(batch) = self.scanner.batch_at(self.at)? else {
                // Nobody knows how far the file of another process is durable.
                if last < next {
                    self.scanner.forget();
                    return Ok(None);
                }
                let Some(batch) = self.scanner.find_batch(self.at + 1, next)? else {
                    return Ok(None);
                };
                self.at = batch.at;
                continue;
            };
            if batch.next() > next {
                return Ok(Some(batch));
            }
            self.at = batch.end();
        }
        Ok(None)
    }
}
