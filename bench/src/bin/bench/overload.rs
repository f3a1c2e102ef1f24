//! More than can be taken: load beyond saturation on one core, and a log that is full because the
//! destination is broken.

use std::fs;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant};

use real_streaming_bench::Failure;
use real_streaming_bench::collector::{Collector, Settings, table};
use real_streaming_bench::load::{Pace, Plan, Stop};
use real_streaming_bench::machine::pin;
use real_streaming_bench::scrape::Metrics;

use crate::report::Report;
use crate::subject::{Paths, Subject, client};

/// Collector on one core, generator on the other: goodput at multiples of its peak must stay flat.
pub(crate) fn beyond_saturation(
    paths: &Paths,
    window: Duration,
    report: &mut Report,
) -> Result<(), Failure> {
    pin(1)?;
    let mut settings = Settings::default().with("LOG__MAX_BYTES", "64GiB");
    settings.wrapper = ["taskset", "-c", "0"].map(str::to_owned).to_vec();
    let subject = Subject::collector(paths, &settings)?;
    let closed = Plan::new(Pace::Closed, Stop::After(window));
    // First until tables are written and merged as they are later.
    client(2048)?.run(subject.address, &closed)?;
    let peak = client(2048)?.run(subject.address, &closed)?.per_second();
    report.figure(
        "pinned to one core: peak, events/s",
        format!("{peak:.0}"),
        "",
    );
    for factor in [0.5, 1.0, 1.5, 3.0] {
        // New connections for each rate: beyond saturation all of them are waiting.
        let mut client = client(2048)?;
        let plan = Plan::new(Pace::Open(peak * factor), Stop::After(window));
        let summary = client.run(subject.address, &plan)?;
        let seconds = summary.elapsed.as_secs_f64();
        let value = format!(
            "{:.0} ({:.0} % of peak), p99 {:.0} ms; 503/s {:.0}, p50 {:.1} ms; unanswered {}",
            summary.per_second(),
            100.0 * summary.per_second() / peak,
            summary.latency.value_at_quantile(0.99) as f64 / 1000.0,
            summary.refused as f64 / seconds,
            summary.refused_latency.value_at_quantile(0.5) as f64 / 1000.0,
            summary.unknown,
        );
        let bar = if factor > 1.0 { "≥ 90 % of peak" } else { "" };
        report.figure(&format!("offered {factor} × peak: goodput/s"), value, bar);
    }
    report.figure(
        "pinned: memory at most, MiB",
        format!("{}", subject.child().memory()?.peak / 1024),
        "",
    );
    Ok(())
}

/// The destination breaks, the log fills, events are refused at once; then the destination is repaired.
pub(crate) fn full_log(
    paths: &Paths,
    window: Duration,
    report: &mut Report,
) -> Result<(), Failure> {
    let settings = Settings::default()
        .with("LOG__MAX_BYTES", "256MiB")
        .with("DELIVERY__BACKOFF_MAX", 2);
    let subject = Subject::collector(paths, &settings)?;
    let collector = subject.as_collector()?;
    let mut client = client(64)?;
    client.run(subject.address, &Plan::new(Pace::Closed, Stop::Count(5000)))?;
    collector.drained(Duration::from_secs(60))?;
    let broken = Broken::table(&subject)?;

    let start = Instant::now();
    loop {
        let summary = client.run(
            subject.address,
            &Plan::new(Pace::Closed, Stop::After(Duration::from_millis(500))),
        )?;
        if summary.accepted == 0 {
            break;
        }
        if start.elapsed() > Duration::from_secs(120) {
            return Err("the log did not get full within 120 s".into());
        }
    }
    let summary = client.run(
        subject.address,
        &Plan::new(Pace::Open(3000.0), Stop::After(window)),
    )?;
    let value = format!(
        "{} of {} answered 503, {} with Retry-After, p99 {:.1} ms",
        summary.refused,
        summary.answered() + summary.unknown,
        summary.retry_after,
        summary.refused_latency.value_at_quantile(0.99) as f64 / 1000.0,
    );
    report.figure("full log, 3,000/s offered", value, "all, at once");

    broken.mend()?;
    let recovered = first_accepted(collector, &mut client)?;
    report.figure(
        "destination repaired: first 200 after, s",
        format!("{:.1}", recovered.as_secs_f64()),
        "by itself",
    );
    let drained = Instant::now();
    collector.drained(Duration::from_secs(300))?;
    report.figure(
        "and everything delivered after, s",
        format!("{:.1}", drained.elapsed().as_secs_f64()),
        "",
    );
    Ok(())
}

/// The destination is broken until 10 GiB wait in the log; then it is mended, and all of it is delivered
/// while events go on coming.
pub(crate) fn backlog(paths: &Paths, report: &mut Report) -> Result<(), Failure> {
    const BACKLOG: f64 = 10.0 * 1024.0 * 1024.0 * 1024.0;
    let settings = Settings::default()
        .with("LOG__MAX_BYTES", "64GiB")
        .with("DELIVERY__BACKOFF_MAX", 2);
    let subject = Subject::collector(paths, &settings)?;
    let collector = subject.as_collector()?;
    let mut client = client(256)?;
    client.run(subject.address, &Plan::new(Pace::Closed, Stop::Count(5000)))?;
    collector.drained(Duration::from_secs(60))?;
    let broken = Broken::table(&subject)?;
    let second = Plan::new(Pace::Closed, Stop::After(Duration::from_secs(1)));
    while Metrics::read(subject.address)?.log_bytes().unwrap_or(0.0) < BACKLOG {
        if client.run(subject.address, &second)?.accepted == 0 {
            return Err("events are refused before 10 GiB wait".into());
        }
    }
    let waiting = Metrics::read(subject.address)?.pending().unwrap_or(0.0);
    let memory = subject.child().memory()?;
    report.figure(
        "10 GiB waiting: events; memory now and at most, MiB",
        format!(
            "{waiting:.0}; {}, {}",
            memory.resident / 1024,
            memory.peak / 1024
        ),
        "",
    );
    broken.mend()?;
    let start = Instant::now();
    let live = Plan::new(Pace::Open(1000.0), Stop::After(Duration::from_secs(5)));
    let mut latency = 0;
    while Metrics::read(subject.address)?.pending().unwrap_or(0.0) > 20_000.0 {
        let summary = client.run(subject.address, &live)?;
        latency = latency.max(summary.latency.value_at_quantile(0.99));
        if start.elapsed() > Duration::from_secs(1800) {
            return Err("the backlog was not delivered within 30 minutes".into());
        }
    }
    report.figure(
        "… delivered after, s; worst p99 of 1,000/s meanwhile, ms; memory at most, MiB",
        format!(
            "{:.0}; {:.1}; {}",
            start.elapsed().as_secs_f64(),
            latency as f64 / 1000.0,
            subject.child().memory()?.peak / 1024
        ),
        "",
    );
    Ok(())
}

/// A destination that cannot be written.
struct Broken {
    table: PathBuf,
    away: PathBuf,
}

impl Broken {
    fn table(subject: &Subject) -> Result<Self, Failure> {
        let table = table(subject.folder());
        let away = table.with_extension("away");
        fs::rename(&table, &away)?;
        fs::write(&table, "not a folder")?;
        Ok(Self { table, away })
    }

    fn mend(self) -> Result<(), Failure> {
        fs::remove_file(&self.table)?;
        Ok(fs::rename(&self.away, &self.table)?)
    }
}

fn first_accepted(
    collector: &Collector,
    client: &mut real_streaming_bench::load::Client,
) -> Result<Duration, Failure> {
    let start = Instant::now();
    loop {
        let summary = client.run(collector.address, &Plan::new(Pace::Closed, Stop::Count(64)))?;
        if summary.accepted > 0 {
            return Ok(start.elapsed());
        }
        if start.elapsed() > Duration::from_secs(120) {
            return Err("still refusing 120 s after the repair".into());
        }
        sleep(Duration::from_millis(100));
    }
}
