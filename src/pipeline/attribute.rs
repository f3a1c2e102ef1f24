//! Where the rows come from of which a destination has settled: read off the rows, for the ledger's rows.
//!
//! Costs nothing where no such rows are kept. Must be called before the rows are counted.

use std::iter;

use crate::ledger::{Destination, DestinationTotals, Origin};
use crate::schema::Record;

/// Counts each of these rows by its origin as what `one` row counts.
pub(super) fn attribute<'a>(
    counts: &Destination,
    records: impl Iterator<Item = &'a Record>,
    one: DestinationTotals,
) {
    let Some(mut tally) = counts.tally() else {
        return;
    };
    let mut origins = records.filter_map(|record| Origin::of(&record.payload));
    let mut next = origins.next();
    while let Some(origin) = next {
        // Neighbours mostly have one origin.
        next = None;
        let mut rows = 1;
        for other in &mut origins {
            if other != origin {
                next = Some(other);
                break;
            }
            rows += 1;
        }
        if let Some(known) = tally.at(&origin) {
            known.add_times(one, rows);
        }
    }
}

/// The records of `all` that are not in `rest`; both ascend.
pub(super) fn without<'a>(
    all: &'a [Record],
    rest: &'a [Record],
) -> impl Iterator<Item = &'a Record> {
    let mut rest = rest.iter().peekable();
    let mut all = all.iter();
    iter::from_fn(move || {
        all.by_ref().find(|record| {
            let is_left = rest
                .peek()
                .is_some_and(|left| left.sequence == record.sequence);
            if is_left {
                rest.next();
            }
            !is_left
        })
    })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use prost::Message as _;
    use tokio::sync::watch;

    use crate::ledger::{Minute, Outcomes as _};
    use crate::schema::{Event, Kind, SequenceNumber};

    use super::*;

    fn record(sequence: u64, stream_id: &str, minute: i64) -> Record {
        let event = Event {
            stream_id: Some(stream_id.to_owned()),
            synced_at_micros: Some(minute * 60_000_000 + 7),
            ..Event::default()
        };
        Record {
            sequence: SequenceNumber(sequence),
            kind: Kind::Event,
            payload: Bytes::from(event.encode_to_vec()),
        }
    }

    #[test]
    fn rows_are_counted_where_they_come_from() {
        let end = watch::Sender::new(SequenceNumber::ZERO).subscribe();
        let totals = DestinationTotals::default();
        let counts = Destination::new("a", SequenceNumber::ZERO, totals, end).with_tally();
        let all = [
            record(1, "a", 1),
            record(2, "a", 1),
            record(3, "b", 1),
            record(4, "a", 1),
            record(5, "a", 2),
        ];
        let stored = DestinationTotals {
            stored: 1,
            ..totals
        };
        attribute(&counts, all.iter(), stored);
        let mut found = Vec::new();
        let open = DestinationTotals {
            stored: 9,
            ..totals
        };
        let rest = counts.take_tally().claim(open, |origin, counts| {
            let stream_id = origin.stream_id.unwrap_or_default().to_owned();
            found.push((origin.minute, stream_id, counts.stored));
        });
        let expected = [(1, "a", 3), (1, "b", 1), (2, "a", 1)];
        let expected =
            expected.map(|(minute, stream, rows)| (Minute(minute), stream.to_owned(), rows));
        assert_eq!(found, expected);
        assert_eq!(rest.counts()[0], 4);
    }

    #[test]
    fn what_is_left_out_is_found() {
        let all: Vec<Record> = (1..6).map(|sequence| record(sequence, "a", 1)).collect();
        let rest = [all[1].clone(), all[4].clone()];
        let left_out: Vec<u64> = without(&all, &rest)
            .map(|record| record.sequence.0)
            .collect();
        assert_eq!(left_out, [1, 3, 4]);
        assert_eq!(without(&all, &all).count(), 0);
        assert_eq!(without(&all, &[]).count(), 5);
    }
}
