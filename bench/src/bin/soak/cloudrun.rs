//! The shape of a service on Cloud Run: one core, 512 MiB for everything, a thousand requests at once, a log in memory, and
//! BigQuery some way off. More comes than it can do: it refuses what is too much and is not killed. Needs root and control
//! groups of version 1, for the limit of memory.

use std::time::Duration;

use clap::Args;
use real_streaming_bench::Failure;
use real_streaming_bench::collector::Settings;
use real_streaming_bench::load::{Pace, Plan, Stop};
use serde_json::json;

use crate::Soak;
use crate::bigquery::{TABLE, fake, finish};
use crate::group::Group;

#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    /// Seconds of each measurement.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// What the collector may use, MiB.
    #[arg(long, default_value_t = 512)]
    memory: u64,
    /// Requests at once.
    #[arg(long, default_value_t = 1000)]
    concurrency: usize,
    /// Milliseconds until a reply of BigQuery leaves, one measurement for each.
    #[arg(long, value_delimiter = ',', default_value = "20,100,1000")]
    latencies: Vec<u64>,
}

pub(crate) fn run(soak: &Soak, options: &Options) -> Result<(), Failure> {
    let group = Group::default().memory(options.memory << 20)?;
    let mut fake = fake(100)?;
    let mut settings = fake
        .takes(TABLE, Settings::default())
        .with("DEAD_LETTER__URI", "bigquery")
        .with_plain("K_SERVICE", "real-streaming");
    settings.wrapper = group.wrapper(Some(0));
    let collector = soak.start(&settings)?;
    let mut client = soak.client(options.concurrency)?;
    println!("latency   accepted/s  refused/s  other   p50 ms   p99 ms   MiB");
    for latency in &options.latencies {
        fake.tell(&json!({ "latency": latency }))?;
        let time = Duration::from_secs(options.seconds);
        let plan = Plan {
            pay: true,
            ..Plan::new(Pace::Closed, Stop::After(time))
        };
        let summary = client.run(collector.address, &plan)?;
        let millis = |share| summary.latency.value_at_quantile(share) as f64 / 1000.0;
        println!(
            "{latency:>4} ms {:>12.0} {:>10.0} {:>6} {:>8.1} {:>8.1} {:>5}",
            summary.per_second(),
            summary.refused as f64 / summary.elapsed.as_secs_f64(),
            summary.other + summary.unknown,
            millis(0.5),
            millis(0.99),
            collector.child.memory()?.resident / 1024,
        );
        if summary.other + summary.unknown > 0 {
            return Err("some were answered otherwise or not at all".into());
        }
    }
    fake.tell(&json!({"latency": 0}))?;
    let most: u64 = group
        .read("memory", "memory.max_usage_in_bytes")?
        .trim()
        .parse()?;
    let control = group.read("memory", "memory.oom_control")?;
    println!(
        "at most {} of {} MiB, page cache included",
        most >> 20,
        options.memory
    );
    let verdict = finish(soak, &mut fake, collector, &mut client)?;
    verdict.at_least_once(fake.counts()?.unanswered_rows)?;
    match control.lines().any(|line| line == "oom_kill 0") {
        true => Ok(()),
        false => Err(format!("memory was short: {control}").into()),
    }
}
