//! No two events have the same browser, name, origin, stream or address: what the collector remembers of them is bounded.

use std::time::Duration;

use clap::Args;
use real_streaming_bench::Failure;
use real_streaming_bench::collector::Settings;
use real_streaming_bench::load::{Client, Pace, Plan, Stop};
use real_streaming_bench::machine::Growth;
use real_streaming_bench::mix::Mix;
use real_streaming_bench::oracle::Oracle;
use real_streaming_bench::scrape::Metrics;

use crate::Soak;
use crate::bigquery::{TABLE, fake, finish};

#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    /// How long.
    #[arg(long, default_value_t = 120)]
    seconds: u64,
    /// What the collector may use at most, MiB.
    #[arg(long, default_value_t = 300)]
    memory: u64,
    /// What the page of metrics may have at most, KiB.
    #[arg(long, default_value_t = 64)]
    page: usize,
}

const CONNECTIONS: usize = 64;
/// The window of duplicates takes memory until it is full.
const DEDUPE_WINDOW: u64 = 5;

pub(crate) fn run(soak: &Soak, options: &Options) -> Result<(), Failure> {
    let mut fake = fake(100)?;
    let settings = fake
        .takes(TABLE, Settings::default())
        .with("DEDUPE__WINDOW", DEDUPE_WINDOW)
        .with("ENRICH__TRUSTED_HOPS", 1);
    let collector = soak.start(&settings)?;
    let oracle = Oracle::create(&soak.oracle())?;
    let mix = Mix::distinct(soak.run - 1_000_000_000_000)?;
    let mut client = Client::new(CONNECTIONS, mix, Some(oracle))?;
    let (mut sizes, mut accepted) = (Vec::new(), 0);
    let begun = collector.child.cpu()?;
    for _ in 0..options.seconds {
        let plan = Plan {
            pay: true,
            ..Plan::new(Pace::Closed, Stop::After(Duration::from_secs(1)))
        };
        let summary = client.run(collector.address, &plan)?;
        if summary.other + summary.unknown > 0 {
            return Err("some were answered otherwise or not at all".into());
        }
        accepted += summary.accepted;
        sizes.push(collector.child.memory()?.resident);
    }
    let cpu = (collector.child.cpu()? - begun).as_secs_f64() * 1e6 / accepted as f64;
    let growth = Growth::of(&sizes);
    let most = sizes.iter().max().copied().unwrap_or(0) / 1024;
    let page = Metrics::read(collector.address)?.text.len() / 1024;
    println!(
        "{accepted} accepted, {:.0}/s, {cpu:.1} µs of processor time each; {most} MiB at most, {growth}; {page} KiB of metrics",
        accepted as f64 / options.seconds as f64
    );
    finish(soak, &mut fake, collector, &mut client)?.exactly_once()?;
    match growth.is_flat() && most <= options.memory && page <= options.page {
        true => Ok(()),
        false => Err("what is remembered is not bounded".into()),
    }
}
