//! Rows of the ledger that the destination's table does not have yet.
//!
//! Those that were sent once stay together as they are under one number until they are known to be there; only so can
//! their doubles be told. All others wait and are added up. Where a destination is away for long they are added up by
//! hour, by day, and at last without their streams, so that they stay few and no event is missed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::clock::Micros;
use crate::ledger::Minute;
use crate::schema::{LedgerRow, LogId};
use crate::writer::LedgerBatch;

/// Most rows that wait told apart as finely as they came.
const MOST: usize = 10_000;

/// Most rows of a batch.
const BATCH_ROWS: usize = 2_000;

const MINUTES_PER_HOUR: i64 = 60;
const MINUTES_PER_DAY: i64 = 24 * MINUTES_PER_HOUR;

/// What a row counts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Entry {
    /// Minutes since 1970 in UTC.
    pub(super) minute: i64,
    pub(super) stream_id: Option<String>,
    /// Whether it is an outcome at the destination, not at the intake.
    pub(super) is_delivered: bool,
    pub(super) outcome: String,
    pub(super) reason: Option<String>,
}

/// An entry and how many events it counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Line {
    #[serde(flatten)]
    entry: Entry,
    events: u64,
}

/// What was sent, or may have been.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Sending {
    log_id: LogId,
    number: u64,
    /// Microseconds since 1970 in UTC.
    written_at: i64,
    lines: Vec<Line>,
}

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Outbox {
    /// The number of the last batch.
    last: u64,
    sending: Option<Sending>,
    #[serde(with = "lines")]
    waiting: BTreeMap<Entry, u64>,
}

impl Outbox {
    /// An empty one, whose batches are numbered from this time on: behind all that an earlier one can have given.
    pub(super) fn beginning(now: Micros) -> Self {
        Self {
            last: u64::try_from(now.0).unwrap_or_default(),
            ..Self::default()
        }
    }

    /// Adds events to those that wait.
    pub(super) fn add(&mut self, entry: Entry, events: u64) {
        *self.waiting.entry(entry).or_default() += events;
    }

    /// Adds up what waits as far as it takes to be few.
    pub(super) fn compact(&mut self) {
        for (unit, by_stream) in [
            (MINUTES_PER_HOUR, true),
            (MINUTES_PER_DAY, true),
            (MINUTES_PER_DAY, false),
        ] {
            if self.waiting.len() <= MOST {
                return;
            }
            for (mut entry, events) in std::mem::take(&mut self.waiting) {
                entry.minute -= entry.minute.rem_euclid(unit);
                entry.stream_id = entry.stream_id.filter(|_| by_stream);
                self.add(entry, events);
            }
        }
    }

    /// Makes the next batch of what waits, unless one is still being sent.
    pub(super) fn cut(&mut self, log_id: LogId, now: Micros) {
        if self.sending.is_some() || self.waiting.is_empty() {
            return;
        }
        let mut lines = Vec::new();
        while lines.len() < BATCH_ROWS
            && let Some((entry, events)) = self.waiting.pop_first()
        {
            lines.push(Line { entry, events });
        }
        self.last += 1;
        self.sending = Some(Sending {
            log_id,
            number: self.last,
            written_at: now.0,
            lines,
        });
    }

    /// The batch that is to be sent.
    pub(super) fn batch(&self, destination: &str) -> Option<LedgerBatch> {
        let sending = self.sending.as_ref()?;
        let rows = (0..).zip(&sending.lines);
        Some(LedgerBatch {
            log_id: sending.log_id,
            number: sending.number,
            rows: rows
                .map(|(index, line)| sending.row(index, line, destination))
                .collect(),
        })
    }

    /// The batch is in the table.
    pub(super) fn sent(&mut self, number: u64) {
        self.sending.take_if(|sending| sending.number == number);
    }
}

impl Sending {
    fn row(&self, index: usize, line: &Line, destination: &str) -> LedgerRow {
        let entry = &line.entry;
        LedgerRow {
            minute: Some(Minute(entry.minute).begins().0),
            stream_id: entry.stream_id.clone(),
            destination: entry.is_delivered.then(|| destination.to_owned()),
            outcome: Some(entry.outcome.clone()),
            reason: entry.reason.clone(),
            events: Some(i64::try_from(line.events).unwrap_or(i64::MAX)),
            log_id: Some(self.log_id.to_string()),
            written_at: Some(self.written_at),
            row_id: Some(format!("{}-{}-{index}", self.log_id, self.number)),
            date: i32::try_from(entry.minute.div_euclid(MINUTES_PER_DAY)).ok(),
        }
    }
}

/// The entries that wait, as a list.
mod lines {
    use std::collections::BTreeMap;

    use serde::{Deserialize as _, Deserializer, Serializer};

    use super::{Entry, Line};

    pub(super) fn serialize<S: Serializer>(
        waiting: &BTreeMap<Entry, u64>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(waiting.iter().map(|(entry, events)| Line {
            entry: entry.clone(),
            events: *events,
        }))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<BTreeMap<Entry, u64>, D::Error> {
        let lines = Vec::<Line>::deserialize(deserializer)?;
        let entries = lines.into_iter().map(|line| (line.entry, line.events));
        Ok(entries.collect())
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    const LOG: LogId = LogId(Uuid::nil());

    fn entry(minute: i64, stream_id: &str) -> Entry {
        Entry {
            minute,
            stream_id: Some(stream_id.to_owned()),
            is_delivered: true,
            outcome: "stored".to_owned(),
            reason: None,
        }
    }

    fn waiting(outbox: &Outbox) -> u64 {
        outbox.waiting.values().sum()
    }

    #[test]
    fn what_was_sent_stays_as_it_is() {
        let mut outbox = Outbox::beginning(Micros(41));
        outbox.add(entry(1, "a"), 3);
        outbox.cut(LOG, Micros(50));
        outbox.add(entry(1, "a"), 4);
        outbox.cut(LOG, Micros(60));
        let batch = outbox.batch("memory:x").unwrap();
        assert_eq!((batch.number, batch.rows.len()), (42, 1));
        let row = &batch.rows[0];
        assert_eq!(row.events, Some(3));
        assert_eq!(row.minute, Some(60_000_000));
        assert_eq!(row.written_at, Some(50));
        assert_eq!(row.destination.as_deref(), Some("memory:x"));
        let again: Outbox = serde_json::from_slice(&serde_json::to_vec(&outbox).unwrap()).unwrap();
        assert_eq!(again, outbox);
        assert_eq!(again.batch("memory:x").unwrap().rows, batch.rows);

        outbox.sent(41);
        assert_eq!(outbox.batch("memory:x").unwrap().number, 42);
        outbox.sent(42);
        assert!(outbox.batch("memory:x").is_none());
        outbox.cut(LOG, Micros(70));
        let next = outbox.batch("memory:x").unwrap();
        assert_eq!((next.number, next.rows[0].events), (43, Some(4)));
        assert_ne!(next.rows[0].row_id, row.row_id);
    }

    #[test]
    fn what_waits_long_is_added_up_and_never_lost() {
        let mut outbox = Outbox::default();
        for minute in 0..4_000 {
            for stream_id in ["a", "b", "c"] {
                outbox.add(entry(minute, stream_id), 2);
            }
        }
        outbox.compact();
        assert_eq!(
            outbox.waiting.len(),
            (4_000_usize.div_ceil(60)) * 3,
            "by hour"
        );
        assert_eq!(waiting(&outbox), 24_000);
        for stream in 0..2 * MOST {
            outbox.add(entry(9, &format!("{stream}")), 1);
        }
        outbox.compact();
        assert_eq!(outbox.waiting.len(), 3, "three days without streams");
        assert_eq!(waiting(&outbox), 44_000);
    }

    #[test]
    fn a_batch_has_its_bound() {
        let mut outbox = Outbox::default();
        for minute in 0..5_000 {
            outbox.add(entry(minute, "a"), 1);
        }
        let mut rows = Vec::new();
        while !outbox.waiting.is_empty() {
            outbox.cut(LOG, Micros(0));
            let batch = outbox.batch("x").unwrap();
            rows.push(batch.rows.len());
            outbox.sent(batch.number);
        }
        assert_eq!(rows, [2_000, 2_000, 1_000]);
    }
}
