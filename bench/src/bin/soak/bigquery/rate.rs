//! How fast a full log is drained: the same log once for each latency, each time into a table of its own.

use std::thread::sleep;
use std::time::{Duration, Instant};

use clap::Args;
use real_streaming_bench::Failure;
use real_streaming_bench::collector::Settings;
use real_streaming_bench::fake::Fake;
use real_streaming_bench::load::{Pace, Plan, Stop};

use super::{add, fake};
use crate::{DRAIN_LIMIT, STOP_LIMIT, Soak};

#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    /// Events in the log.
    #[arg(long, default_value_t = 3_000_000)]
    events: u64,
    /// Milliseconds until a reply leaves, one drain for each.
    #[arg(long, value_delimiter = ',', default_value = "0,50")]
    latencies: Vec<u64>,
    /// Rows a second that each drain must reach, in the same order.
    #[arg(long, value_delimiter = ',', default_value = "100000,50000")]
    bars: Vec<f64>,
    /// Of so many rows the fake checks one.
    #[arg(long, default_value_t = 100)]
    check_every: u64,
    /// Most rows of a request; unset: the collector's own default.
    #[arg(long)]
    batch: Option<u64>,
}

/// Connections that fill the log.
const CONNECTIONS: usize = 64;
/// A drain is watched this often.
const GLANCE: Duration = Duration::from_millis(20);

/// A drain as it was seen from outside.
struct Drain {
    rows_per_second: f64,
    /// µs of processor time a row.
    collector: f64,
    fake: f64,
    rows_per_request: f64,
    peak_mib: u64,
    threads: String,
}

pub(crate) fn run(soak: &Soak, options: &Options) -> Result<(), Failure> {
    // What was delivered stays in the log for this long.
    let settings = Settings::log_only().with("DEDUPE__WINDOW", 7200);
    let collector = soak.start(&settings)?;
    let mut client = soak.client(CONNECTIONS)?;
    let summary = client.run(
        collector.address,
        &Plan {
            pay: true,
            ..Plan::new(Pace::Closed, Stop::Count(options.events))
        },
    )?;
    println!(
        "log filled with {} events at {:.0}/s",
        summary.accepted,
        summary.per_second()
    );
    if client.owed() > 0 {
        return Err(format!("{} events were not accepted", client.owed()).into());
    }
    collector.drained(DRAIN_LIMIT)?;
    collector.child.stop(STOP_LIMIT)?;
    println!(
        "latency    rows/s  collector µs/row  fake µs/row  rows/request  peak memory of the collector"
    );
    let mut is_reached = true;
    for (index, latency) in options.latencies.iter().enumerate() {
        let mut fake = fake(options.check_every)?;
        let drain = drain(soak, options, *latency, &mut fake, &settings)?;
        println!(
            "{latency:>4} ms {:>9.0} {:>17.2} {:>12.2} {:>13.0}  {} MiB; {}",
            drain.rows_per_second,
            drain.collector,
            drain.fake,
            drain.rows_per_request,
            drain.peak_mib,
            drain.threads,
        );
        let mut verdict = soak.verdict(&client)?;
        add(soak, &mut fake, &table(*latency), &mut verdict)?;
        verdict.exactly_once()?;
        let bar = options.bars.get(index).copied().unwrap_or(0.0);
        is_reached &= drain.rows_per_second >= bar;
    }
    match is_reached {
        true => Ok(()),
        false => Err(format!("slower than {:?} rows/s", options.bars).into()),
    }
}

fn table(latency: u64) -> String {
    format!("events_{latency}")
}

fn drain(
    soak: &Soak,
    options: &Options,
    latency: u64,
    fake: &mut Fake,
    settings: &Settings,
) -> Result<Drain, Failure> {
    fake.tell(&serde_json::json!({ "latency": latency }))?;
    let table = table(latency);
    let mut settings = fake
        .takes(&table, settings.clone())
        .with("WRITERS__FROM", "oldest");
    if let Some(rows) = options.batch {
        settings = settings.with("WRITERS__BQ__MAX_BATCH_SIZE", rows);
    }
    let collector = soak.start(&settings)?;
    let mut first = None;
    let begun = Instant::now();
    let (last, rows) = loop {
        sleep(GLANCE);
        let rows = fake.counts()?.rows(&table);
        if rows > 0 {
            first.get_or_insert((Instant::now(), rows, collector.child.cpu()?));
        }
        if rows >= options.events {
            break (Instant::now(), rows);
        }
        if begun.elapsed() > DRAIN_LIMIT {
            return Err(format!("{rows} rows after {DRAIN_LIMIT:?}").into());
        }
    };
    let (begin, before, cpu) = first.ok_or("there were no rows")?;
    let count = (rows - before) as f64;
    let micros = |time: Duration| time.as_secs_f64() * 1e6;
    let drain = Drain {
        rows_per_second: count / (last - begin).as_secs_f64(),
        collector: micros(collector.child.cpu()? - cpu) / count,
        fake: micros(fake.child.cpu()?) / rows as f64,
        rows_per_request: rows as f64 / fake.counts()?.appends as f64,
        peak_mib: collector.child.memory()?.peak / 1024,
        threads: collector.threads()?,
    };
    collector.drained(DRAIN_LIMIT)?;
    collector.child.stop(STOP_LIMIT)?;
    Ok(drain)
}
