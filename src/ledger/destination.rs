//! The counts of one destination.

use std::fmt::Display;
use std::ops::AddAssign;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::schema::SequenceNumber;

use super::lag::Lag;
use super::tally::Tally;
use super::trouble::{Troubles, one_line};

/// What became of the events that a destination was to get; kept over restarts with its cursor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DestinationTotals {
    /// Events that the destination has.
    pub stored: u64,
    /// Events that it will never take, kept in the dead letter. One that is replayed is a record of its own and counted again.
    pub dead_lettered: u64,
    /// Events that it will never take, where there is no dead letter: whoever waited was told.
    pub rejected: u64,
    /// Events that were given up because an optional destination had fallen too far behind.
    pub expired: u64,
    /// Events that cannot be read from the log any more.
    pub lost: u64,
    /// Replayed events that are another destination's.
    pub elsewhere: u64,
}

impl DestinationTotals {
    /// Events that ended in an outcome.
    pub fn settled(&self) -> u64 {
        let refused = self.dead_lettered + self.rejected;
        self.stored + refused + self.expired + self.lost + self.elsewhere
    }

    /// Adds the counts of `one` so many times.
    pub fn add_times(&mut self, one: Self, times: u64) {
        *self += Self {
            stored: one.stored * times,
            dead_lettered: one.dead_lettered * times,
            rejected: one.rejected * times,
            expired: one.expired * times,
            lost: one.lost * times,
            elsewhere: one.elsewhere * times,
        };
    }
}

impl AddAssign for DestinationTotals {
    fn add_assign(&mut self, more: Self) {
        self.stored += more.stored;
        self.dead_lettered += more.dead_lettered;
        self.rejected += more.rejected;
        self.expired += more.expired;
        self.lost += more.lost;
        self.elsewhere += more.elsewhere;
    }
}

/// One destination's counts and state.
#[derive(Debug)]
pub struct Destination {
    name: String,
    totals: Mutex<DestinationTotals>,
    /// As its cursor has them.
    durable: Mutex<DestinationTotals>,
    /// Where the events came from, if that is to be told.
    tally: Option<Mutex<Tally<DestinationTotals>>>,
    position: AtomicU64,
    log_end: watch::Receiver<SequenceNumber>,
    lag: Mutex<Lag>,
    failures: AtomicU64,
    /// Why the last attempt to write failed, if it did.
    error: Mutex<Option<String>>,
    troubles: Troubles,
}

impl Destination {
    /// A destination that stands at `position`, with these totals, of a log that reaches `log_end`.
    pub fn new(
        name: &str,
        position: SequenceNumber,
        totals: DestinationTotals,
        log_end: watch::Receiver<SequenceNumber>,
    ) -> Self {
        Self {
            name: name.to_owned(),
            totals: Mutex::new(totals),
            durable: Mutex::new(totals),
            tally: None,
            position: AtomicU64::new(position.0),
            log_end,
            lag: Mutex::default(),
            failures: AtomicU64::new(0),
            error: Mutex::default(),
            troubles: Troubles::default(),
        }
    }

    /// Tells where the events come from that are settled here.
    #[must_use]
    pub fn with_tally(mut self) -> Self {
        self.tally = Some(Mutex::default());
        self
    }

    /// Kind and target.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What became of its events.
    pub fn totals(&self) -> DestinationTotals {
        *self.totals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts settled events and moves the position.
    pub fn settled(&self, counted: DestinationTotals, position: SequenceNumber) {
        let mut totals = self.totals.lock().unwrap_or_else(PoisonError::into_inner);
        *totals += counted;
        self.position.store(position.0, Ordering::Release);
    }

    /// What was counted so far is known after a crash, too.
    pub fn stored_durably(&self) {
        *self.durable.lock().unwrap_or_else(PoisonError::into_inner) = self.totals();
    }

    /// What became of its events, as it is known after a crash.
    pub fn durable(&self) -> DestinationTotals {
        *self.durable.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where to count where events came from, before they are counted as settled; `None` if nobody asks.
    pub fn tally(&self) -> Option<MutexGuard<'_, Tally<DestinationTotals>>> {
        let tally = self.tally.as_ref()?;
        Some(tally.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Where the events came from that were settled since it was last taken.
    pub fn take_tally(&self) -> Tally<DestinationTotals> {
        self.tally()
            .map(|mut tally| std::mem::take(&mut *tally))
            .unwrap_or_default()
    }

    /// The last number that is settled here.
    pub fn position(&self) -> SequenceNumber {
        SequenceNumber(self.position.load(Ordering::Acquire))
    }

    /// Appended events that are not settled here yet.
    pub fn pending(&self) -> u64 {
        self.log_end.borrow().0.saturating_sub(self.position().0)
    }

    /// Takes note of how far the log is, so that it can be told for how long something has waited.
    pub fn note_lag(&self, now: Instant) {
        let (end, position) = (self.log_end.borrow().0, self.position().0);
        let mut lag = self.lag.lock().unwrap_or_else(PoisonError::into_inner);
        lag.note(now, end, position);
    }

    /// For how long its next event has waited, to the second; since the process started at most.
    pub fn lag(&self, now: Instant) -> Duration {
        let lag = self.lag.lock().unwrap_or_else(PoisonError::into_inner);
        lag.age(now, self.position().0)
    }

    /// An attempt to write succeeded.
    pub fn succeeded(&self) {
        *self.error.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// An attempt to write failed.
    pub fn failed(&self, error: &dyn Display) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        self.explain(error);
    }

    /// Says what it is that keeps it from going on.
    pub fn explain(&self, error: &dyn Display) {
        *self.error.lock().unwrap_or_else(PoisonError::into_inner) = Some(one_line(error));
    }

    /// Why the last attempt to write failed, in one line without secrets; `None` if it succeeded.
    pub fn error(&self) -> Option<String> {
        let error = self.error.lock().unwrap_or_else(PoisonError::into_inner);
        error.clone()
    }

    /// Whether the last attempt to write succeeded.
    pub fn is_healthy(&self) -> bool {
        self.error().is_none()
    }

    /// What goes wrong there for a while.
    pub fn troubles(&self) -> &Troubles {
        &self.troubles
    }

    /// Attempts to write that failed, since the process started.
    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }
}
