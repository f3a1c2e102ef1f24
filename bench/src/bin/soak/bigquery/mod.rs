//! Runs against the fake BigQuery, which is a process of its own and strict.
//!
//! - `rate`: how fast a full log is drained, near and far away

use clap::Subcommand;
use real_streaming_bench::Failure;
use real_streaming_bench::collector::beside;
use real_streaming_bench::fake::Fake;

use crate::Soak;

mod rate;

#[derive(Debug, Subcommand)]
pub(crate) enum Scenario {
    /// How fast a full log is drained.
    #[command(name = "bigquery-rate")]
    Rate(rate::Options),
}

pub(crate) fn run(soak: &mut Soak, scenario: &Scenario) -> Result<(), Failure> {
    match scenario {
        Scenario::Rate(options) => rate::run(soak, options),
    }
}

/// A fake that checks one row of so many.
fn fake(check_every: u64) -> Result<Fake, Failure> {
    Fake::start(&beside("fake-bigquery")?, check_every)
}
