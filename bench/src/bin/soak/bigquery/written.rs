//! How long clients wait where a 2xx says that the row is in the table, by how far away the table is.

use std::time::Duration;

use clap::Args;
use real_streaming_bench::Failure;
use real_streaming_bench::collector::Settings;
use real_streaming_bench::load::{Pace, Plan, Stop};
use serde_json::json;

use super::{TABLE, fake, finish};
use crate::Soak;

#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    /// Milliseconds until a reply of BigQuery leaves, one measurement for each.
    #[arg(long, value_delimiter = ',', default_value = "0,20,50,100")]
    latencies: Vec<u64>,
    /// Requests a second.
    #[arg(long, default_value_t = 1000.0)]
    rate: f64,
    /// Seconds of each measurement.
    #[arg(long, default_value_t = 30)]
    seconds: u64,
}

/// More than are under way at the largest latency.
const CONNECTIONS: usize = 512;
/// Before each measurement.
const WARM_UP: Duration = Duration::from_secs(3);
/// A client waits for two round trips at most (it came just after a request had left), and for this.
const ALLOWANCE_MS: u64 = 20;

pub(crate) fn run(soak: &Soak, options: &Options) -> Result<(), Failure> {
    let mut fake = fake(1)?;
    let settings = Settings::default()
        .with("LOG__KIND", "memory")
        .with("DELIVERY__ACKNOWLEDGE", "written");
    let collector = soak.start(&fake.takes(TABLE, settings))?;
    let mut client = soak.client(CONNECTIONS)?;
    println!("latency   accepted/s   p50 ms   p99 ms   max ms   bar   collector CPU");
    let mut is_soon = true;
    for latency in &options.latencies {
        fake.tell(&json!({ "latency": latency }))?;
        let plan = |time| Plan::new(Pace::Open(options.rate), Stop::After(time));
        client.run(collector.address, &plan(WARM_UP))?;
        let before = collector.child.cpu()?;
        let time = Duration::from_secs(options.seconds);
        let summary = client.run(collector.address, &plan(time))?;
        let cpu = collector.child.cpu()? - before;
        let millis = |micros: u64| micros as f64 / 1000.0;
        let p99 = millis(summary.latency.value_at_quantile(0.99));
        let bar = 2 * latency + ALLOWANCE_MS;
        println!(
            "{latency:>4} ms {:>12.0} {:>8.1} {p99:>8.1} {:>8.1} {bar:>5} {:>12.0} %",
            summary.per_second(),
            millis(summary.latency.value_at_quantile(0.5)),
            millis(summary.latency.max()),
            cpu.as_secs_f64() / time.as_secs_f64() * 100.0,
        );
        is_soon &= p99 <= bar as f64;
        if summary.accepted < summary.answered() || summary.unknown > 0 {
            return Err(format!(
                "{} refused, {} unanswered, {} answered otherwise",
                summary.refused, summary.unknown, summary.other
            )
            .into());
        }
    }
    finish(soak, &mut fake, collector, &mut client)?.exactly_once()?;
    match is_soon {
        true => Ok(()),
        false => Err("clients waited too long".into()),
    }
}
