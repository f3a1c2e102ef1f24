//! Ten times the load for a while, then a restart after which everybody comes again at once: what is too much is refused,
//! nothing is lost, and all is delivered within a minute.

use std::time::{Duration, Instant};

use clap::Args;
use real_streaming_bench::Failure;
use real_streaming_bench::collector::Settings;
use real_streaming_bench::load::{Pace, Plan, Stop, Summary};

use crate::{STOP_LIMIT, Soak};

#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    /// Events a second before and after.
    #[arg(long, default_value_t = 2000.0)]
    rate: f64,
    /// Seconds of each part.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Connections, all of which come again after the restart.
    #[arg(long, default_value_t = 1000)]
    connections: usize,
}

/// A burst is so many times the rate.
const TIMES: f64 = 10.0;
const DRAIN: Duration = Duration::from_secs(60);

fn print(name: &str, summary: &Summary) {
    let millis = |share| summary.latency.value_at_quantile(share) as f64 / 1000.0;
    println!(
        "{name:<8} {:>8.0}/s accepted, {:>6} refused, {:>4} unanswered, p50 {:.1} ms, p99 {:.1} ms",
        summary.per_second(),
        summary.refused,
        summary.unknown,
        millis(0.5),
        millis(0.99)
    );
}

pub(crate) fn run(soak: &Soak, options: &Options) -> Result<(), Failure> {
    let settings = Settings::default();
    let collector = soak.start(&settings)?;
    let mut client = soak.client(options.connections)?;
    let plan = |rate| Plan {
        pay: true,
        ..Plan::new(
            Pace::Open(rate),
            Stop::After(Duration::from_secs(options.seconds)),
        )
    };
    for (name, rate) in [
        ("before", options.rate),
        ("burst", options.rate * TIMES),
        ("after", options.rate),
    ] {
        print(name, &client.run(collector.address, &plan(rate))?);
    }
    let (status, time) = collector.child.stop(STOP_LIMIT)?;
    println!("stopped with {status} in {:.1} s", time.as_secs_f64());
    let collector = soak.start(&settings)?;
    print(
        "restart",
        &client.run(collector.address, &plan(options.rate * TIMES))?,
    );
    let begun = Instant::now();
    collector.drained(DRAIN)?;
    println!("drained {:.1} s later", begun.elapsed().as_secs_f64());
    soak.finish(collector, &mut client, &["--all-accepted"])
}
