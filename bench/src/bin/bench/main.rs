//! `make bench`: the collector beside the floor, same generator, same bodies, alternating rounds.
//!
//! Prints figures, ratios and bars; it judges nothing, because a figure taken on a busy machine proves
//! nothing. Trust ratios: both servers are measured in the same minutes.

use std::path::PathBuf;
use std::thread::{available_parallelism, sleep};
use std::time::Duration;

use clap::Parser;
use real_streaming_bench::Failure;
use real_streaming_bench::collector::{Collector, Settings, beside};
use real_streaming_bench::machine::{self, Folder};
use real_streaming_bench::mix::Mix;

mod durable;
mod overload;
mod report;
mod subject;
mod watched;
mod whole;

use report::{Report, median};
use subject::{Paths, Subject};

/// Light load, requests a second.
const LIGHT: f64 = 3000.0;
/// Sustained load, requests a second.
const SUSTAINED: f64 = 20_000.0;

/// Measures the collector against a bare axum handler.
#[derive(Debug, Parser)]
struct Arguments {
    /// The collector's binary; default: beside this one.
    #[arg(long)]
    collector: Option<PathBuf>,
    /// Folder for logs and tables, on a real disk; default: the system's folder for temporary files.
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Short rounds, for a look.
    #[arg(long)]
    quick: bool,
    /// Only these parts: disk, start, saturation, light, watched, drained, sustained, slow-disk, overload, full-log, and
    /// backlog, which is not among the default ones.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Measure the floor alone (saturation and light).
    #[arg(long)]
    floor_only: bool,
}

/// A part of the benchmark; it adds its figures to the report.
type Part = fn(&mut Bench) -> Result<(), Failure>;

struct Bench {
    paths: Paths,
    is_quick: bool,
    floor_only: bool,
    report: Report,
    /// The disk's fdatasync p99, µs.
    disk_p99: f64,
    /// The floor's processor time for each event at 64 connections, µs.
    floor_cpu: f64,
}

fn main() -> Result<(), Failure> {
    let arguments = Arguments::parse();
    let paths = Paths {
        collector: arguments
            .collector
            .map_or_else(|| beside("real-streaming"), Ok)
            .or_else(|error| {
                if arguments.floor_only {
                    Ok(PathBuf::new())
                } else {
                    Err(error)
                }
            })?,
        floor: beside("floor")?,
        parent: arguments.dir.unwrap_or_else(std::env::temp_dir),
    };
    let report = Report::default();
    let mut bench = Bench {
        paths,
        is_quick: arguments.quick,
        floor_only: arguments.floor_only,
        report,
        disk_p99: f64::NAN,
        floor_cpu: f64::NAN,
    };
    println!(
        "{} cores, bodies of {} bytes in the mean",
        available_parallelism()?,
        Mix::mean_body_bytes()
    );
    let parts: [(&str, Part); 11] = [
        ("disk", Bench::disk),
        ("start", Bench::start),
        ("saturation", Bench::saturation),
        ("light", Bench::light),
        ("watched", Bench::watched),
        ("drained", Bench::drained),
        ("sustained", Bench::sustained),
        ("slow-disk", Bench::slow_disk),
        ("full-log", Bench::full_log),
        ("backlog", Bench::backlog),
        // Last: it pins this process to one core.
        ("overload", Bench::overload),
    ];
    let default: &[&str] = match (bench.floor_only, bench.is_quick) {
        (true, _) => &["disk", "saturation", "light"],
        (false, true) => &["disk", "start", "saturation", "light", "drained"],
        (false, false) => &[
            "disk",
            "start",
            "saturation",
            "light",
            "watched",
            "drained",
            "sustained",
            "slow-disk",
            "full-log",
            "overload",
        ],
    };
    for (name, part) in parts {
        let is_asked = if arguments.only.is_empty() {
            default.contains(&name)
        } else {
            arguments.only.iter().any(|only| only == name)
        };
        if !is_asked {
            continue;
        }
        println!("{name}");
        if let Err(error) = part(&mut bench) {
            bench.report.missing(name, &error.to_string());
        }
    }
    bench.report.print();
    Ok(())
}

impl Bench {
    fn seconds(&self, full: u64, quick: u64) -> Duration {
        Duration::from_secs(if self.is_quick { quick } else { full })
    }

    fn disk(&mut self) -> Result<(), Failure> {
        let folder = Folder::new(&self.paths.parent, "disk")?;
        let times = machine::disk(folder.path(), 2000)?;
        self.disk_p99 = times.value_at_quantile(0.99) as f64;
        let value = format!(
            "{} / {}",
            times.value_at_quantile(0.5),
            times.value_at_quantile(0.99)
        );
        self.report
            .figure("disk's fdatasync p50 / p99, µs", value, "");
        Ok(())
    }

    fn start(&mut self) -> Result<(), Failure> {
        let mut times = Vec::new();
        let folder = Folder::new(&self.paths.parent, "start")?;
        for _ in 0..5 {
            let collector =
                Collector::start(&self.paths.collector, folder.path(), &Settings::default())?;
            times.push(collector.started_in.as_secs_f64() * 1000.0);
            collector.child.stop(Duration::from_secs(10))?;
        }
        self.report.figure(
            "exec to first answer, ms",
            format!("{:.0}", median(&times)),
            "≤ 100",
        );
        let subject = Subject::collector(&self.paths, &Settings::default())?;
        sleep(Duration::from_secs(2));
        let before = subject.child().cpu()?;
        let pause = self.seconds(20, 5);
        sleep(pause);
        let used = subject.child().cpu()? - before;
        self.report.figure(
            "idle: memory, MiB",
            format!("{:.1}", subject.child().memory()?.resident as f64 / 1024.0),
            "≤ 40",
        );
        let percent = 100.0 * used.as_secs_f64() / pause.as_secs_f64();
        self.report
            .figure("idle: processor, % of a core", format!("{percent:.2}"), "0");
        Ok(())
    }

    fn full_log(&mut self) -> Result<(), Failure> {
        overload::full_log(&self.paths, self.seconds(5, 3), &mut self.report)
    }

    fn backlog(&mut self) -> Result<(), Failure> {
        overload::backlog(&self.paths, &mut self.report)
    }

    fn overload(&mut self) -> Result<(), Failure> {
        if available_parallelism()?.get() < 2 {
            return Err("it takes two cores".into());
        }
        overload::beyond_saturation(&self.paths, self.seconds(8, 4), &mut self.report)
    }
}
