//! Where the last segment ends: what a crash may have left half written, and what must have been durable.

use std::io;

use crate::clock::Micros;

use super::format::{Batch, SEGMENT_HEADER};
use super::segment::Scanner;

/// Where the last segment ends.
#[derive(Clone, Copy, Debug)]
pub(super) struct End {
    /// Where in the file.
    pub(super) at: u64,
    /// The number after the last record.
    pub(super) next: u64,
    pub(super) committed: Option<Micros>,
    /// Durable records that are gone.
    pub(super) lost: u64,
    /// Whether there is a damaged place before the end.
    pub(super) unsound: bool,
    /// Records of a batch that was cut short.
    pub(super) torn: u64,
    /// All numbers before this one were used, even if what follows `next` was cut off.
    pub(super) beyond: u64,
}

/// Goes from batch to batch to the end of the last segment.
pub(super) fn find(scanner: &mut Scanner, first: u64) -> io::Result<End> {
    let start = SEGMENT_HEADER as u64;
    let mut end = End {
        at: start,
        next: first,
        committed: None,
        lost: 0,
        unsound: false,
        torn: 0,
        beyond: 0,
    };
    let mut before_last = end;
    let mut last: Option<Batch> = None;
    loop {
        let sound = scanner
            .batch_at(end.at)?
            .filter(|batch| batch.first() >= end.next);
        let batch = match sound {
            Some(batch) => batch,
            None => match scanner.find_batch(end.at + 1, end.next)? {
                Some(batch) => {
                    end.unsound = true;
                    batch
                }
                None => break,
            },
        };
        before_last = end;
        end.lost += batch.first() - end.next;
        end.at = batch.end();
        end.next = batch.next();
        end.committed = Some(batch.header.committed);
        last = Some(batch);
    }
    end.torn = scanner
        .peek(end.at)?
        .map_or(0, |header| u64::from(header.count));
    // No sound batch follows the last one, so it may have been cut short inside its payloads.
    if let Some(last) = last
        && !scanner.is_whole(&last)?
    {
        // What lies between the two, if it is damaged, stays to be counted.
        before_last.torn = last.next() - last.first();
        before_last.lost = end.lost;
        before_last.unsound = end.unsound;
        before_last.beyond = last.first();
        return Ok(before_last);
    }
    Ok(end)
}
