//! More than can be taken: load beyond saturation on one core, and a log that is full because the
//! destination is broken.

use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

use real_streaming_bench::Failure;
use real_streaming_bench::collector::{Collector, Settings, table};
use real_streaming_bench::load::{Pace, Plan, Stop};
use real_streaming_bench::machine::pin;

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
    client(1024)?.run(subject.address, &closed)?;
    let peak = client(1024)?.run(subject.address, &closed)?.per_second();
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
    let table = table(subject.folder());
    let away = table.with_extension("away");
    fs::rename(&table, &away)?;
    fs::write(&table, "not a folder")?;

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

    fs::remove_file(&table)?;
    fs::rename(&away, &table)?;
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
