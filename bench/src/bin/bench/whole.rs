//! The whole process: until everything is delivered and compacted, and under sustained load.

use std::time::{Duration, Instant};

use real_streaming_bench::Failure;
use real_streaming_bench::collector::Settings;
use real_streaming_bench::load::{Pace, Plan, Stop};
use real_streaming_bench::scrape::Metrics;

use crate::subject::{Subject, client};
use crate::{Bench, SUSTAINED};

impl Bench {
    pub(crate) fn drained(&mut self) -> Result<(), Failure> {
        let events = if self.is_quick { 150_000 } else { 600_000 };
        let subject = Subject::collector(&self.paths, &Settings::default())?;
        let collector = subject.as_collector()?;
        let before = subject.child().cpu()?;
        let start = Instant::now();
        let summary = client(64)?.run(
            subject.address,
            &Plan::new(Pace::Closed, Stop::Count(events)),
        )?;
        let (to_log, sent_in) = (subject.child().cpu()? - before, start.elapsed());
        let metrics = collector.drained(Duration::from_secs(300))?;
        let drained_in = start.elapsed();
        let used = collector.idle(Duration::from_secs(5), Duration::from_secs(180))? - before;
        let per_event = |time: Duration| time.as_secs_f64() * 1e6 / summary.accepted as f64;
        let peak = subject.child().memory()?.peak / 1024;
        let report = &mut self.report;
        report.pair(
            "all work, drained and compacted: CPU, µs/event",
            (per_event(used), self.floor_cpu),
            1,
            "≤ 3 (goal 2.5)",
        );
        report.figure(
            "… of it until the last answer",
            format!("{:.1}", per_event(to_log)),
            "",
        );
        let value = format!(
            "{:.0} in {:.1} s, drained after {:.1} s",
            summary.accepted,
            sent_in.as_secs_f64(),
            drained_in.as_secs_f64()
        );
        report.figure("… events", value, "");
        report.figure(
            "… appended by its own count",
            format!("{:.0}", metrics.appended().unwrap_or(f64::NAN)),
            "the same",
        );
        report.figure("… memory at most, MiB", peak.to_string(), "");
        report.figure("… threads", collector.threads()?, "");
        Ok(())
    }

    pub(crate) fn sustained(&mut self) -> Result<(), Failure> {
        let window = self.seconds(60, 10);
        let subject = Subject::collector(&self.paths, &Settings::default())?;
        let before = subject.child().cpu()?;
        let summary = client(256)?.run(
            subject.address,
            &Plan::new(Pace::Open(SUSTAINED), Stop::After(window)),
        )?;
        let used = subject.child().cpu()? - before;
        let pending = Metrics::read(subject.address)?
            .pending()
            .unwrap_or(f64::NAN);
        let start = Instant::now();
        subject.as_collector()?.drained(Duration::from_secs(300))?;
        let (p50, p99) = (
            summary.latency.value_at_quantile(0.5),
            summary.latency.value_at_quantile(0.99),
        );
        let report = &mut self.report;
        report.figure(
            &format!("20,000/s for {} s: accepted/s", window.as_secs()),
            format!("{:.0}", summary.per_second()),
            "≥ 20,000",
        );
        report.figure(
            "… refused, unanswered",
            format!("{}, {}", summary.refused + summary.other, summary.unknown),
            "0, 0",
        );
        report.figure("… p50 / p99, µs", format!("{p50} / {p99}"), "");
        let per_event = used.as_secs_f64() * 1e6 / summary.accepted as f64;
        report.figure(
            "… CPU with delivery, µs/event",
            format!("{per_event:.1}"),
            "",
        );
        let value = format!(
            "{pending:.0}, delivered {:.1} s later",
            start.elapsed().as_secs_f64()
        );
        report.figure("… pending at the end", value, "Delta keeps pace");
        report.figure(
            "… memory at most, MiB",
            (subject.child().memory()?.peak / 1024).to_string(),
            "",
        );
        Ok(())
    }
}
