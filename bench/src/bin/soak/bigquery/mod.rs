//! Runs against the fake BigQuery, which is a process of its own and strict.
//!
//! - `rate`: how fast a full log is drained, near and far away
//! - `written`: how long clients wait where a 2xx says that the row is in the table
//! - `away`: load while there is no BigQuery
//! - `waits`: what only time or an operator mends
//! - `kill9`: SIGKILL and every fault at random
//!
//! Each ends with every event held against its answer: in the table or among the dead letters, once.

use clap::Subcommand;
use real_streaming_bench::Failure;
use real_streaming_bench::collector::{Collector, beside};
use real_streaming_bench::fake::Fake;
use real_streaming_bench::load::Client;
use real_streaming_bench::verdict::Verdict;
use serde_json::json;

use crate::Soak;

mod away;
mod kill9;
mod rate;
pub(crate) mod trouble;
mod waits;
mod written;

/// The table that rows go to, unless there are several.
pub(crate) const TABLE: &str = "events";

#[derive(Debug, Subcommand)]
pub(crate) enum Scenario {
    /// How fast a full log is drained.
    #[command(name = "bigquery-rate")]
    Rate(rate::Options),
    /// How long clients wait for the row to be in the table.
    #[command(name = "bigquery-written")]
    Written(written::Options),
    /// Load while there is no BigQuery.
    #[command(name = "bigquery-away")]
    Away(away::Options),
    /// What only time or an operator mends.
    #[command(name = "bigquery-waits")]
    Waits(waits::Options),
    /// SIGKILL and every fault at random.
    #[command(name = "bigquery-kill9")]
    Kill9(kill9::Options),
}

pub(crate) fn run(soak: &mut Soak, scenario: &Scenario) -> Result<(), Failure> {
    match scenario {
        Scenario::Rate(options) => rate::run(soak, options),
        Scenario::Written(options) => written::run(soak, options),
        Scenario::Away(options) => away::run(soak, options),
        Scenario::Waits(options) => waits::run(soak, options),
        Scenario::Kill9(options) => kill9::run(soak, options),
    }
}

/// A fake that checks one row of so many.
pub(crate) fn fake(check_every: u64) -> Result<Fake, Failure> {
    Fake::start(&beside("fake-bigquery")?, check_every)
}

/// Mends everything, settles the collector, and says what became of each event.
pub(crate) fn finish(
    soak: &Soak,
    fake: &mut Fake,
    collector: Collector,
    client: &mut Client,
) -> Result<Verdict, Failure> {
    fake.tell(&json!("heal"))?;
    soak.settle(collector, client)?;
    let mut verdict = soak.verdict(client)?;
    add(soak, fake, TABLE, &mut verdict)?;
    verdict.add_dead_letters(&soak.path().join("dead_letter"))?;
    let counts = fake.counts()?;
    println!(
        "{} rows in {} requests on {} connections",
        counts.rows(TABLE),
        counts.appends,
        counts.connections
    );
    if counts.lost_fields + counts.foreign_replays > 0 {
        return Err(format!(
            "{} fields were in no descriptor, {} requests came where other rows stood",
            counts.lost_fields, counts.foreign_replays
        )
        .into());
    }
    Ok(verdict)
}

/// Adds what a table holds now.
fn add(soak: &Soak, fake: &mut Fake, table: &str, verdict: &mut Verdict) -> Result<(), Failure> {
    let ids = soak.path().join("ids");
    fake.ids(table, &ids)?;
    verdict.add_ids(&ids)
}
