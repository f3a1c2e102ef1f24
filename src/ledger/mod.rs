//! The ledger: every event ends in exactly one counted outcome, and here is the count.
//!
//! Unit: event. At the intake
//! `received + synthesised + replayed = appended + duplicate + rejected + filtered + refused`; for each destination
//! `appended = stored + dead_lettered + rejected + pending + expired + lost + elsewhere`. What was appended is not
//! counted by whoever appends but read off the log's own numbers, so that a request which breaks off halfway
//! cannot unbalance it. An event that is replayed from a dead letter is appended once more: no count ever goes back.
//! Requests that are refused before they are parsed are counted apart, as requests.
//!
//! Beside the totals a [`Tally`] tells apart where events came from; it is what rows of the ledger are made of.
//!
//! It knows nothing of HTTP, of files, or of the log.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

mod destination;
mod lag;
mod metrics;
mod outcomes;
mod tally;
mod trouble;

pub use destination::{Destination, DestinationTotals};
pub use outcomes::{Name, Outcomes};
pub use tally::{Minute, Origin, Tally};
pub use trouble::{Trouble, Troubles, one_line};

/// What became of an event that was not appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The same event was there already.
    Duplicate,
    /// It is wrong, and the client was told so.
    Rejected(Rejection),
    /// The configuration says that it is not wanted.
    Filtered,
    /// It could not be made durable, and the client was told so.
    Refused(Refusal),
}

/// Why an event is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// A field is wrong.
    Field,
    /// It is larger than a row may be.
    TooLarge,
}

/// Why an event could not be made durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The log holds as much as it may.
    Full,
    /// More waits for the disk than may.
    Busy,
    /// The disk failed.
    Broken,
    /// The process is stopping.
    Stopping,
}

/// Why a request was refused before it was parsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestRefusal {
    /// Its body is not JSON.
    Malformed,
    /// Its body is too large.
    TooLarge,
    /// It took too long.
    Timeout,
    /// Its connection was one too many.
    Connections,
    /// Its origin may not send.
    Origin,
    /// Its stream is not taken, or its key is wrong.
    Sender,
    /// Its sender sends more than it may.
    Rate,
    /// The log takes nothing now.
    Unavailable,
    /// It says something about itself that is wrong, or something went wrong here. Paths and methods that there are not
    /// are nobody's events, and not counted.
    Other,
}

/// The intake's totals, as they are kept over restarts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct IntakeTotals {
    /// Events that clients sent.
    pub received: u64,
    /// Events that the collector made itself.
    pub synthesised: u64,
    /// Events of a dead letter that were appended again.
    pub replayed: u64,
    /// Events in the log.
    pub appended: u64,
    /// Events that were there already.
    pub duplicate: u64,
    /// Events with a wrong field.
    pub rejected_field: u64,
    /// Events larger than a row may be.
    pub rejected_too_large: u64,
    /// Events that the configuration does not want.
    pub filtered: u64,
    /// Events refused because the log was full.
    pub refused_full: u64,
    /// Events refused because the disk could not keep up.
    pub refused_busy: u64,
    /// Events refused because the disk failed.
    pub refused_broken: u64,
    /// Events refused because the process was stopping.
    pub refused_stopping: u64,
}

impl IntakeTotals {
    /// The count of an outcome of events that were not appended.
    pub fn of_mut(&mut self, outcome: Outcome) -> &mut u64 {
        match outcome {
            Outcome::Duplicate => &mut self.duplicate,
            Outcome::Rejected(Rejection::Field) => &mut self.rejected_field,
            Outcome::Rejected(Rejection::TooLarge) => &mut self.rejected_too_large,
            Outcome::Filtered => &mut self.filtered,
            Outcome::Refused(Refusal::Full) => &mut self.refused_full,
            Outcome::Refused(Refusal::Busy) => &mut self.refused_busy,
            Outcome::Refused(Refusal::Broken) => &mut self.refused_broken,
            Outcome::Refused(Refusal::Stopping) => &mut self.refused_stopping,
        }
    }

    /// Events refused, for whatever reason.
    pub fn refused(&self) -> u64 {
        self.refused_full + self.refused_busy + self.refused_broken + self.refused_stopping
    }

    /// Events that ended in an outcome.
    pub fn outcomes(&self) -> u64 {
        let rejected = self.rejected_field + self.rejected_too_large;
        self.appended + self.duplicate + rejected + self.filtered + self.refused()
    }

    /// Whether every event ended in exactly one outcome. Holds when no request is under way.
    pub fn balances(&self) -> bool {
        self.received + self.synthesised + self.replayed == self.outcomes()
    }
}

/// What the ledger asks the log when it is read.
pub trait LogCounts: Send + Sync {
    /// Records made durable since the process started.
    fn appended(&self) -> u64;
    /// Records whose commit failed since the process started.
    fn failed(&self) -> u64;
    /// Bytes held.
    fn size_bytes(&self) -> u64;
    /// Most bytes that it may hold.
    fn max_bytes(&self) -> u64;
}

#[derive(Debug, Default)]
struct Counters {
    received: AtomicU64,
    synthesised: AtomicU64,
    replayed: AtomicU64,
    duplicate: AtomicU64,
    rejected_field: AtomicU64,
    rejected_too_large: AtomicU64,
    filtered: AtomicU64,
    refused_full: AtomicU64,
    refused_busy: AtomicU64,
    refused_broken: AtomicU64,
    refused_stopping: AtomicU64,
    late: AtomicU64,
    requests_malformed: AtomicU64,
    requests_too_large: AtomicU64,
    requests_timeout: AtomicU64,
    requests_unavailable: AtomicU64,
    requests_connections: AtomicU64,
    requests_origin: AtomicU64,
    requests_sender: AtomicU64,
    requests_rate: AtomicU64,
    requests_unlisted_origin: AtomicU64,
    requests_other: AtomicU64,
}

/// All counts of one process.
pub struct Ledger {
    counters: Counters,
    earlier: IntakeTotals,
    log: Arc<dyn LogCounts>,
    destinations: Mutex<Vec<Arc<Destination>>>,
}

impl std::fmt::Debug for Ledger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ledger")
            .field("intake", &self.intake())
            .finish_non_exhaustive()
    }
}

impl Ledger {
    /// A ledger that goes on from `earlier` totals. `appended_before` is how many records were ever
    /// appended according to the log, `replayed_before` how many were replayed according to the marks at the
    /// dead letters: what a crash kept from being counted is made up for.
    pub fn new(
        mut earlier: IntakeTotals,
        appended_before: u64,
        replayed_before: u64,
        log: Arc<dyn LogCounts>,
    ) -> Self {
        earlier.appended = earlier.appended.max(appended_before);
        earlier.replayed = earlier.replayed.max(replayed_before);
        let not_received = earlier.synthesised + earlier.replayed;
        earlier.received = earlier.outcomes().saturating_sub(not_received);
        Self {
            counters: Counters::default(),
            earlier,
            log,
            destinations: Mutex::default(),
        }
    }

    /// Counts events that clients sent.
    pub fn received(&self, events: u64) {
        self.counters.received.fetch_add(events, Ordering::Relaxed);
    }

    /// Counts a request by a script of an origin that may not read the answer.
    pub fn unlisted_origin(&self) {
        self.counters
            .requests_unlisted_origin
            .fetch_add(1, Ordering::Relaxed);
    }

    /// Counts an event that the collector made itself.
    pub fn synthesised(&self) {
        self.counters.synthesised.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts events of a dead letter that were given to the log again.
    pub fn replayed(&self, events: u64) {
        self.counters.replayed.fetch_add(events, Ordering::Relaxed);
    }

    /// Counts what became of events that were not appended.
    pub fn ended(&self, outcome: Outcome, events: u64) {
        let counter = match outcome {
            Outcome::Duplicate => &self.counters.duplicate,
            Outcome::Rejected(Rejection::Field) => &self.counters.rejected_field,
            Outcome::Rejected(Rejection::TooLarge) => &self.counters.rejected_too_large,
            Outcome::Filtered => &self.counters.filtered,
            Outcome::Refused(Refusal::Full) => &self.counters.refused_full,
            Outcome::Refused(Refusal::Busy) => &self.counters.refused_busy,
            Outcome::Refused(Refusal::Broken) => &self.counters.refused_broken,
            Outcome::Refused(Refusal::Stopping) => &self.counters.refused_stopping,
        };
        counter.fetch_add(events, Ordering::Relaxed);
    }

    /// Counts an event that was settled after its request had been given up.
    pub fn late(&self) {
        self.counters.late.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a request that was refused before it was parsed.
    pub fn request_refused(&self, refusal: RequestRefusal) {
        let counter = match refusal {
            RequestRefusal::Malformed => &self.counters.requests_malformed,
            RequestRefusal::TooLarge => &self.counters.requests_too_large,
            RequestRefusal::Timeout => &self.counters.requests_timeout,
            RequestRefusal::Unavailable => &self.counters.requests_unavailable,
            RequestRefusal::Connections => &self.counters.requests_connections,
            RequestRefusal::Origin => &self.counters.requests_origin,
            RequestRefusal::Sender => &self.counters.requests_sender,
            RequestRefusal::Rate => &self.counters.requests_rate,
            RequestRefusal::Other => &self.counters.requests_other,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Requests that were refused before they were parsed, by reason, since the process started.
    pub fn requests_refused(&self) -> [(&'static str, u64); 9] {
        let counters = &self.counters;
        let counters = [
            ("malformed", &counters.requests_malformed),
            ("too_large", &counters.requests_too_large),
            ("timeout", &counters.requests_timeout),
            ("unavailable", &counters.requests_unavailable),
            ("connections", &counters.requests_connections),
            ("origin", &counters.requests_origin),
            ("sender", &counters.requests_sender),
            ("rate", &counters.requests_rate),
            ("other", &counters.requests_other),
        ];
        counters.map(|(reason, counter)| (reason, counter.load(Ordering::Relaxed)))
    }

    /// Bytes that the log holds, and may hold.
    pub fn log_bytes(&self) -> (u64, u64) {
        (self.log.size_bytes(), self.log.max_bytes())
    }

    /// Adds a destination's counts.
    pub fn add_destination(&self, destination: Arc<Destination>) {
        self.destinations
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(destination);
    }

    /// The destinations' counts.
    pub fn destinations(&self) -> Vec<Arc<Destination>> {
        self.destinations
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The intake's totals, those of earlier processes included.
    pub fn intake(&self) -> IntakeTotals {
        let now = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let (counters, earlier) = (&self.counters, &self.earlier);
        IntakeTotals {
            received: earlier.received + now(&counters.received),
            synthesised: earlier.synthesised + now(&counters.synthesised),
            replayed: earlier.replayed + now(&counters.replayed),
            appended: earlier.appended + self.log.appended(),
            duplicate: earlier.duplicate + now(&counters.duplicate),
            rejected_field: earlier.rejected_field + now(&counters.rejected_field),
            rejected_too_large: earlier.rejected_too_large + now(&counters.rejected_too_large),
            filtered: earlier.filtered + now(&counters.filtered),
            refused_full: earlier.refused_full + now(&counters.refused_full),
            refused_busy: earlier.refused_busy + now(&counters.refused_busy),
            refused_broken: earlier.refused_broken
                + now(&counters.refused_broken)
                + self.log.failed(),
            refused_stopping: earlier.refused_stopping + now(&counters.refused_stopping),
        }
    }
}
