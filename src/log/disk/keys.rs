//! The keys of what was committed lately, read from the tables without the payloads' checksums.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use crate::clock::Micros;
use crate::schema::SequenceNumber;

use super::format::SEGMENT_HEADER;
use super::segment::Segment;
use super::shared::{Shared, lock};
use super::source::place_among;

/// Keys of the records committed at or after `since`, at most `max` of the newest, oldest first.
pub(super) fn recent(
    shared: &Shared,
    since: Micros,
    max: usize,
) -> io::Result<Vec<(SequenceNumber, u128)>> {
    let segments: Vec<Arc<Segment>> = lock(&shared.segments).iter().cloned().collect();
    let mut keys = VecDeque::new();
    for segment in segments
        .iter()
        .filter(|segment| segment.committed() >= since)
    {
        let follower =
            place_among(segments.iter(), segment.header.first).and_then(|place| place.follower);
        let limit = follower.map_or(u64::MAX, |follower| follower.follows);
        let mut scanner = segment.scan(shared.disk.as_ref())?;
        let (mut at, mut next) = (SEGMENT_HEADER as u64, segment.header.first);
        while next <= limit {
            let batch = match scanner.batch_at(at)? {
                Some(batch) => batch,
                // Past damage; at the end there is nothing more to be found.
                None => match scanner.find_batch(at + 1, next)? {
                    Some(batch) => batch,
                    None => break,
                },
            };
            (at, next) = (batch.end(), batch.next());
            if batch.header.committed < since || batch.first() > limit {
                continue;
            }
            let numbers = (batch.first()..).map(SequenceNumber);
            for (sequence, entry) in numbers.zip(batch.entries()) {
                let Some(key) = entry.key else { continue };
                if keys.len() >= max {
                    keys.pop_front();
                }
                keys.push_back((sequence, key));
            }
        }
    }
    keys.truncate(max);
    Ok(keys.into())
}
