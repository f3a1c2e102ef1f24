//! One destination is away for an hour beside a healthy one: the healthy one is no further behind than before, memory stays
//! flat, and all is at both in the end.

use std::time::{Duration, Instant};

use clap::Args;
use real_streaming_bench::Failure;
use real_streaming_bench::collector::Settings;
use real_streaming_bench::load::{Pace, Plan, Stop};
use real_streaming_bench::machine::Growth;
use real_streaming_bench::scrape::Metrics;
use serde_json::json;

use crate::Soak;
use crate::bigquery::{TABLE, fake, finish};

#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    /// How long BigQuery is away.
    #[arg(long, default_value_t = 3600)]
    seconds: u64,
    /// Events a second.
    #[arg(long, default_value_t = 1000.0)]
    rate: f64,
}

/// Seconds before, by which lag is judged.
const BEFORE: u64 = 30;
const CONNECTIONS: usize = 32;
/// The window of duplicates takes memory until it is full.
const DEDUPE_WINDOW: u64 = 10;

pub(crate) fn run(soak: &Soak, options: &Options) -> Result<(), Failure> {
    let mut fake = fake(1000)?;
    let settings = fake
        .takes(TABLE, Settings::default())
        .with("WRITERS__STRATEGY", r#"["direct","delta"]"#)
        .with("DEDUPE__WINDOW", DEDUPE_WINDOW);
    let collector = soak.start(&settings)?;
    let mut client = soak.client(CONNECTIONS)?;
    // The largest lag of Delta Lake in so many seconds, and memory in each.
    let mut load = |seconds| {
        let (mut most, mut sizes) = (0.0_f64, Vec::new());
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(seconds) {
            let second = Stop::After(Duration::from_secs(1));
            let summary = client.run(
                collector.address,
                &Plan::new(Pace::Open(options.rate), second),
            )?;
            if summary.accepted < summary.answered() || summary.unknown > 0 {
                return Err::<_, Failure>("not all were accepted".into());
            }
            let metrics = Metrics::read(collector.address)?;
            most = most.max(metrics.pending_at("delta:").unwrap_or(f64::INFINITY));
            sizes.push(collector.child.memory()?.resident);
        }
        Ok((most, sizes))
    };
    let (before, _) = load(BEFORE)?;
    fake.tell(&json!("be_unreachable"))?;
    let (meanwhile, sizes) = load(options.seconds)?;
    let growth = Growth::of(&sizes);
    println!(
        "away {} s: events waiting for Delta Lake at most {meanwhile}, before {before}; memory {growth}",
        options.seconds
    );
    finish(soak, &mut fake, collector, &mut client)?.exactly_once()?;
    soak.check(&client, &["--one-process", "--all-accepted"])?;
    // Commits come every second or so; one may take longer by chance.
    if meanwhile > before * 2.0 + options.rate * 2.0 {
        return Err("the healthy one fell behind".into());
    }
    match growth.is_flat() {
        true => Ok(()),
        false => Err("memory grows".into()),
    }
}
