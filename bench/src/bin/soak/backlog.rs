//! A backlog is delivered while events go on coming: who sends does not notice, and all is there once.

use std::time::{Duration, Instant};

use clap::Args;
use real_streaming_bench::Failure;
use real_streaming_bench::collector::{Collector, Settings};
use real_streaming_bench::load::{Client, Pace, Plan, Stop};
use real_streaming_bench::machine::histogram;
use real_streaming_bench::scrape::Metrics;
use serde_json::json;

use crate::Soak;
use crate::bigquery::{TABLE, fake, finish};

#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    /// What waits in the log, MiB. The fake keeps all rows, packed, in memory.
    #[arg(long, default_value_t = 1024)]
    mib: u64,
    /// Events a second meanwhile.
    #[arg(long, default_value_t = 1000.0)]
    rate: f64,
    /// Milliseconds until a reply of BigQuery leaves.
    #[arg(long, default_value_t = 20)]
    latency: u64,
}

/// Connections that fill the log and send meanwhile.
const CONNECTIONS: usize = 64;
/// Seconds without a backlog, by which latency is judged.
const BEFORE: u64 = 20;
/// The window of duplicates takes memory until it is full.
const DEDUPE_WINDOW: u64 = 5;
/// How much longer the slowest hundredth may wait meanwhile: so many times, and so many milliseconds.
const TIMES: f64 = 3.0;
const MORE_MS: f64 = 50.0;

/// Sends by the clock until it is enough; milliseconds that all but a hundredth wait at most.
fn live(
    collector: &Collector,
    client: &mut Client,
    rate: f64,
    mut is_enough: impl FnMut(&Metrics) -> bool,
) -> Result<f64, Failure> {
    let mut latency = histogram();
    loop {
        let plan = Plan::new(Pace::Open(rate), Stop::After(Duration::from_secs(1)));
        let summary = client.run(collector.address, &plan)?;
        if summary.accepted < summary.answered() || summary.unknown > 0 {
            return Err("not all were accepted".into());
        }
        latency.add(&summary.latency)?;
        if is_enough(&Metrics::read(collector.address)?) {
            return Ok(latency.value_at_quantile(0.99) as f64 / 1000.0);
        }
    }
}

pub(crate) fn run(soak: &Soak, options: &Options) -> Result<(), Failure> {
    let mut fake = fake(1000)?;
    fake.tell(&json!({ "latency": options.latency }))?;
    let settings = fake
        .takes(TABLE, Settings::default())
        .with("DEDUPE__WINDOW", DEDUPE_WINDOW)
        .with("LOG__MAX_BYTES", "64GiB");
    let collector = soak.start(&settings)?;
    let mut client = soak.client(CONNECTIONS)?;
    let mut seconds = 0..BEFORE;
    let before = live(&collector, &mut client, options.rate, |_| {
        seconds.next().is_none()
    })?;
    fake.tell(&json!("be_unreachable"))?;
    while Metrics::read(collector.address)?.log_bytes().unwrap_or(0.0) < (options.mib << 20) as f64
    {
        let plan = Plan {
            pay: true,
            ..Plan::new(Pace::Closed, Stop::After(Duration::from_secs(1)))
        };
        client.run(collector.address, &plan)?;
    }
    let waiting = Metrics::read(collector.address)?.pending().unwrap_or(0.0);
    fake.tell(&json!("heal"))?;
    let (begun, mut peak) = (Instant::now(), 0);
    // A second's events are on their way at any time.
    let meanwhile = live(&collector, &mut client, options.rate, |metrics| {
        let memory = collector.child.memory().map_or(0, |memory| memory.resident);
        peak = peak.max(memory / 1024);
        metrics
            .pending()
            .is_some_and(|pending| pending <= options.rate)
    })?;
    println!(
        "{waiting} events delivered in {:.0} s with {:.0}/s beside them: p99 {meanwhile:.1} ms, {before:.1} ms without; {peak} MiB at most",
        begun.elapsed().as_secs_f64(),
        options.rate
    );
    finish(soak, &mut fake, collector, &mut client)?.exactly_once()?;
    match meanwhile <= before * TIMES + MORE_MS {
        true => Ok(()),
        false => Err("those who send notice the backlog".into()),
    }
}
