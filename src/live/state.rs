//! The state of things once a second: the ledger, the log, the destinations, the last minutes and what was most frequent.

use serde_json::{Map, Value, json};
use tokio::time::Instant;

use crate::ledger::{Destination, DestinationTotals, IntakeTotals, Outcomes};

use super::Live;
use super::seen::TABLES;

/// So many values of each table are told.
const FIRST: usize = 10;

pub(super) fn of(live: &Live) -> Value {
    let (now, totals) = (live.clock.now(), live.ledger.intake());
    let (minutes, of_minutes) = {
        let history = live.history();
        (history.minutes(totals), history.all(totals))
    };
    let minutes = minutes.into_iter().map(|(minute, counted)| {
        json!({"at": minute.0 / 1000, "received": counted.received, "outcomes": outcomes(counted)})
    });
    let (mut tables, mut counted) = (Map::new(), 0);
    if let Some(known) = &*live.tables() {
        counted = known.counted();
        for (index, name) in TABLES.into_iter().enumerate() {
            let first = known.first(index, FIRST).into_iter();
            let first = first.map(|(value, count)| json!([value, count.count, count.error]));
            tables.insert(name.to_owned(), first.collect());
        }
    }
    let lag = Instant::now();
    let destinations = live.ledger.destinations();
    let (size_bytes, max_bytes) = live.ledger.log_bytes();
    let refused = live.ledger.requests_refused().into_iter();
    json!({
        "at": now.0 / 1000,
        "version": env!("CARGO_PKG_VERSION"),
        "minutes": minutes.collect::<Value>(),
        // How much of what came in these minutes the tables are about.
        "counted": counted,
        "of": of_minutes.received,
        "skipped": live.queue.skipped(),
        "tables": tables,
        "intake": named(totals),
        "refused_requests": refused.map(|(reason, count)| (reason.to_owned(), count.into())).collect::<Map<_, _>>(),
        "log": {"size_bytes": size_bytes, "max_bytes": max_bytes},
        "destinations": destinations.iter().map(|one| destination(one, lag)).collect::<Value>(),
        "viewers": live.room().viewers.len(),
    })
}

fn destination(destination: &Destination, now: Instant) -> Value {
    let error = destination.error();
    json!({
        "name": destination.name(),
        "healthy": error.is_none(),
        "error": error,
        "pending": destination.pending(),
        "pending_seconds": destination.lag(now).as_secs(),
        "totals": named::<DestinationTotals>(destination.totals()),
    })
}

/// Counts by outcome, those of several reasons together.
fn named<T: Outcomes>(totals: T) -> Map<String, Value> {
    let mut named = Map::new();
    for ((outcome, _), count) in T::NAMES.iter().zip(totals.counts()) {
        let sum = named.get(*outcome).and_then(Value::as_u64);
        named.insert(
            (*outcome).to_owned(),
            (sum.unwrap_or_default() + count).into(),
        );
    }
    named
}

/// The outcomes of a minute.
fn outcomes(counted: IntakeTotals) -> Value {
    let mut outcomes = named(counted);
    for cause in ["received", "synthesised", "replayed"] {
        outcomes.shift_remove(cause);
    }
    outcomes.into()
}
