//! Load while there is no BigQuery: the disk log takes everything, memory stays flat, and all is delivered once it is back.

use std::time::{Duration, Instant};

use clap::Args;
use real_streaming_bench::Failure;
use real_streaming_bench::collector::Settings;
use real_streaming_bench::load::{Pace, Plan, Stop};
use real_streaming_bench::machine::Growth;
use serde_json::json;

use super::{TABLE, fake, finish};
use crate::Soak;

#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    /// How long BigQuery is away.
    #[arg(long, default_value_t = 600)]
    seconds: u64,
    /// Events a second.
    #[arg(long, default_value_t = 1000.0)]
    rate: f64,
}

/// What is sent before BigQuery goes away.
const BEFORE: Duration = Duration::from_secs(5);
const CONNECTIONS: usize = 32;
/// Seconds for which duplicates are known. They take memory with BigQuery or without, so the window is full before growth
/// is looked for.
const DEDUPE_WINDOW: u64 = 10;

pub(crate) fn run(soak: &Soak, options: &Options) -> Result<(), Failure> {
    let mut fake = fake(100)?;
    let settings = Settings::default().with("DEDUPE__WINDOW", DEDUPE_WINDOW);
    let collector = soak.start(&fake.takes(TABLE, settings))?;
    let mut client = soak.client(CONNECTIONS)?;
    let mut load = |time| {
        let plan = Plan::new(Pace::Open(options.rate), Stop::After(time));
        let summary = client.run(collector.address, &plan)?;
        match summary.answered() - summary.accepted + summary.unknown {
            0 => Ok(summary),
            _ => Err::<_, Failure>("not all were accepted".into()),
        }
    };
    load(BEFORE)?;
    fake.tell(&json!("be_unreachable"))?;
    let (begun, before) = (Instant::now(), collector.child.cpu()?);
    let mut sizes = Vec::new();
    let mut slowest = 0;
    while begun.elapsed() < Duration::from_secs(options.seconds) {
        let summary = load(Duration::from_secs(1))?;
        slowest = slowest.max(summary.latency.value_at_quantile(0.99));
        sizes.push(collector.child.memory()?.resident);
        if sizes.len() % 30 == 0 {
            println!(
                "{:>4} s: {} MiB",
                begun.elapsed().as_secs(),
                sizes[sizes.len() - 1] / 1024
            );
        }
    }
    let used = collector.child.cpu()? - before;
    let growth = Growth::of(&sizes);
    println!(
        "away {:.0} s: largest p99 of a second {slowest} µs, CPU {:.0} %, memory {growth}",
        begun.elapsed().as_secs_f64(),
        used.as_secs_f64() / begun.elapsed().as_secs_f64() * 100.0
    );
    finish(soak, &mut fake, collector, &mut client)?.exactly_once()?;
    match growth.is_flat() {
        true => Ok(()),
        false => Err("memory grows".into()),
    }
}
