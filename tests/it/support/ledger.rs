//! A destination in memory that keeps rows of the ledger, and what their sums say.

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use real_streaming::ledger::{DestinationTotals, IntakeTotals, Outcomes};
use real_streaming::schema::{LedgerRow, LogId, SequenceNumber};
use real_streaming::writer::memory::MemoryWriter;
use real_streaming::writer::{Batch, LedgerBatch, LedgerTable, Limits, WriteError, Writer};

/// What the table does to the next batches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mood {
    #[default]
    Takes,
    Fails,
    /// Takes every batch and says that it failed, each second time.
    LosesAnswers,
    Hangs,
}

/// A table that outlives collectors.
#[derive(Debug, Default)]
pub struct Table {
    pub rows: Arc<Mutex<Vec<LedgerRow>>>,
    mood: Mutex<Mood>,
    pub attempts: AtomicUsize,
}

#[async_trait]
impl LedgerTable for Table {
    async fn write(&self, batch: &LedgerBatch) -> Result<(), WriteError> {
        let attempt = self.attempts.fetch_add(1, Ordering::Relaxed);
        let mood = self.take(batch);
        match mood {
            Mood::Hangs => std::future::pending().await,
            Mood::Fails => Err(WriteError::transient("told to fail")),
            Mood::LosesAnswers if attempt.is_multiple_of(2) => {
                Err(WriteError::transient("told to lose the answer"))
            }
            _ => Ok(()),
        }
    }

    async fn close(&self) {}
}

impl Table {
    pub fn be(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    /// The same table as another collector sees it: what it does to that one is nothing to this one.
    pub fn for_another(&self) -> Arc<Self> {
        Arc::new(Self {
            rows: Arc::clone(&self.rows),
            ..Self::default()
        })
    }

    fn take(&self, batch: &LedgerBatch) -> Mood {
        // Held until the rows are there: who says that it fails sees none come after.
        let mood = self.mood.lock().unwrap();
        if let Mood::Takes | Mood::LosesAnswers = *mood {
            self.rows.lock().unwrap().extend(batch.rows.iter().cloned());
        }
        *mood
    }

    /// Each row once.
    pub fn distinct(&self) -> Vec<LedgerRow> {
        let mut seen = HashSet::new();
        let mut rows = self.rows.lock().unwrap().clone();
        rows.retain(|row| seen.insert(row.row_id.clone().expect("an id")));
        rows
    }
}

/// Where and what a sum is of: minute, stream, whether at a destination, outcome with its reason.
pub type Key = (i64, Option<String>, bool, String);

/// What the rows sum up to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sums(pub BTreeMap<Key, i64>);

impl Sums {
    pub fn of(rows: &[LedgerRow]) -> Self {
        let mut sums = Self::default();
        for row in rows {
            let minute = row.minute.expect("a minute");
            assert_eq!(minute % 60_000_000, 0, "{row:?}");
            assert_eq!(
                i64::from(row.date.expect("a day")),
                minute.div_euclid(86_400_000_000)
            );
            let outcome = row.outcome.clone().expect("an outcome");
            let reason = row.reason.as_ref().map(|reason| format!("/{reason}"));
            let outcome = format!("{outcome}{}", reason.unwrap_or_default());
            let key = (
                minute,
                row.stream_id.clone(),
                row.destination.is_some(),
                outcome,
            );
            let events = row.events.expect("a count");
            assert!(events > 0, "{row:?}");
            *sums.0.entry(key).or_default() += events;
        }
        sums
    }

    /// Of one stream, whatever the minute.
    pub fn stream(&self, stream: Option<&str>, is_delivered: bool, outcome: &str) -> i64 {
        let of = self.0.iter().filter(|((_, id, delivered, name), _)| {
            id.as_deref() == stream && *delivered == is_delivered && name == outcome
        });
        of.map(|(_, events)| events).sum()
    }

    /// Of all streams.
    pub fn total(&self, is_delivered: bool, outcome: &str) -> i64 {
        let of = self.0.iter();
        let of =
            of.filter(|((_, _, delivered, name), _)| *delivered == is_delivered && name == outcome);
        of.map(|(_, events)| events).sum()
    }

    /// Expects of each outcome what the totals say.
    #[track_caller]
    pub fn are(&self, intake: IntakeTotals, delivered: DestinationTotals) {
        self.are_of(false, intake);
        self.are_of(true, delivered);
    }

    #[track_caller]
    fn are_of<T: Outcomes>(&self, is_delivered: bool, totals: T) {
        for ((outcome, reason), total) in T::NAMES.iter().zip(totals.counts()) {
            let reason = reason.map(|reason| format!("/{reason}"));
            let outcome = format!("{outcome}{}", reason.unwrap_or_default());
            let sum = self.total(is_delivered, &outcome);
            assert_eq!(sum, total as i64, "{outcome}: {self:#?}");
        }
    }
}

/// A destination whose rows and ledger are in memory.
#[derive(Debug)]
pub struct Keeping {
    pub rows: Arc<MemoryWriter>,
    pub table: Arc<Table>,
}

impl Keeping {
    pub fn writer(rows: &Arc<MemoryWriter>, table: &Arc<Table>) -> Arc<dyn Writer> {
        Arc::new(Self {
            rows: Arc::clone(rows),
            table: Arc::clone(table),
        })
    }
}

#[async_trait]
impl Writer for Keeping {
    fn name(&self) -> &str {
        self.rows.name()
    }

    fn limits(&self) -> Limits {
        self.rows.limits()
    }

    async fn open(&self) -> Result<(), WriteError> {
        self.rows.open().await
    }

    async fn position(&self, log_id: LogId) -> Result<Option<SequenceNumber>, WriteError> {
        self.rows.position(log_id).await
    }

    async fn write(&self, batch: &Batch) -> Result<(), WriteError> {
        self.rows.write(batch).await
    }

    async fn close(&self) {
        self.rows.close().await;
    }

    fn ledger(&self) -> Result<Option<Arc<dyn LedgerTable>>, WriteError> {
        Ok(Some(Arc::clone(&self.table) as Arc<dyn LedgerTable>))
    }
}
