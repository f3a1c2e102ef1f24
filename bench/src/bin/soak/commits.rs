//! Thousands of commits, and how soon after its 200 an event is visible to a reader that opens the table
//! afresh.

use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use clap::Args;
use real_streaming_bench::Failure;
use real_streaming_bench::collector::{Collector, Settings, table};
use real_streaming_bench::load::{Pace, Plan, Stop};
use real_streaming_bench::machine::Growth;

use crate::Soak;

#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    /// How many commits.
    #[arg(long, default_value_t = 5000)]
    count: u64,
    /// Seconds between commits.
    #[arg(long, default_value_t = 0.05)]
    interval: f64,
    /// Events a second.
    #[arg(long, default_value_t = 1000.0)]
    rate: f64,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct VisibilityOptions {
    /// How long.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Events a second beside the probes.
    #[arg(long, default_value_t = 1000.0)]
    rate: f64,
}

/// The table and the process at one moment.
#[derive(Clone, Copy, Debug, Default)]
struct Sample {
    version: u64,
    data_files: usize,
    log_files: usize,
    resident_kib: u64,
}

pub(crate) fn run(soak: &Soak, options: &Options) -> Result<(), Failure> {
    let interval = options.interval;
    let settings = Settings::default()
        .with("WRITERS__DELTA__COMMIT_INTERVAL", interval)
        .with("WRITERS__DELTA__COMMIT_INTERVAL_MAX", interval);
    // Twenty times as long as it takes without any delay, and a minute.
    let limit = Duration::from_secs_f64(options.count as f64 * interval * 20.0 + 60.0);
    observe(
        soak,
        &settings,
        options.rate,
        &["--most-files", "300", "--most-p99", "4"],
        |sample, elapsed| {
            if elapsed > limit {
                return Err(format!("only {} commits in {limit:?}", sample.version).into());
            }
            Ok(sample.version >= options.count)
        },
    )
}

pub(crate) fn visibility(soak: &Soak, options: &VisibilityOptions) -> Result<(), Failure> {
    let limit = Duration::from_secs(options.seconds);
    observe(
        soak,
        &Settings::default(),
        options.rate,
        &["--most-p99", "5"],
        |_, elapsed| Ok(elapsed >= limit),
    )
}

/// Load, probes and samples until `is_over`, then the checks.
fn observe(
    soak: &Soak,
    settings: &Settings,
    rate: f64,
    bars: &[&str],
    is_over: impl Fn(Sample, Duration) -> Result<bool, Failure>,
) -> Result<(), Failure> {
    let collector = soak.start(settings)?;
    let mut client = soak.client(32)?;
    let probes = soak.path().join("probes");
    let prober = Prober::start(soak.script("visibility.py"), &collector, &probes, bars)?;
    let start = Instant::now();
    let mut samples = Vec::new();
    loop {
        // The rate is kept within each second; sampling takes a few milliseconds between them.
        let plan = Plan {
            pay: true,
            ..Plan::new(Pace::Open(rate), Stop::After(Duration::from_secs(1)))
        };
        let summary = client.run(collector.address, &plan)?;
        if summary.unknown + summary.other > 0 {
            return Err(format!(
                "{} unanswered, {} answered otherwise",
                summary.unknown, summary.other
            )
            .into());
        }
        let sample = sample(&collector, &table(soak.path()))?;
        samples.push(sample);
        if samples.len() % 30 == 0 {
            print_sample(start.elapsed(), sample);
        }
        if is_over(sample, start.elapsed())? {
            break;
        }
    }
    print_sample(
        start.elapsed(),
        *samples.last().unwrap_or(&Sample::default()),
    );
    let is_visible = prober.finish()?;
    let sizes: Vec<u64> = samples.iter().map(|sample| sample.resident_kib).collect();
    let growth = Growth::of(&sizes);
    println!("memory: {growth}");
    let probes = probes.to_string_lossy().into_owned();
    soak.finish(
        collector,
        &mut client,
        &["--one-process", "--all-accepted", "--probes", &probes],
    )?;
    match (is_visible, growth.is_flat()) {
        (true, true) => Ok(()),
        (false, _) => Err("events were not visible as they should be".into()),
        (true, false) => Err("memory grows".into()),
    }
}

/// `visibility.py` at work. It ends when its standard input closes, so also with this process.
struct Prober(std::process::Child);

impl Prober {
    fn start(
        mut script: Command,
        collector: &Collector,
        probes: &Path,
        bars: &[&str],
    ) -> Result<Self, Failure> {
        script
            .arg("--port")
            .arg(collector.address.port().to_string())
            .arg("--probes")
            .arg(probes)
            .args(bars);
        let mut child = script
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        // It says when it is ready: importing its packages would disturb what it measures.
        let mut ready = [0; 6];
        if let Some(output) = &mut child.stdout {
            output.read_exact(&mut ready)?;
        }
        Ok(Self(child))
    }

    /// Lets it end; whether all it saw was right.
    fn finish(mut self) -> Result<bool, Failure> {
        drop(self.0.stdin.take());
        let mut said = String::new();
        if let Some(mut output) = self.0.stdout.take() {
            output.read_to_string(&mut said)?;
        }
        println!("{}", said.trim());
        Ok(self.0.wait()?.success())
    }
}

impl Drop for Prober {
    fn drop(&mut self) {
        if self.0.kill().is_ok() {
            drop(self.0.wait());
        }
    }
}

fn sample(collector: &Collector, table: &Path) -> Result<Sample, Failure> {
    let mut sample = Sample {
        resident_kib: collector.child.memory()?.resident,
        ..Sample::default()
    };
    if !table.exists() {
        return Ok(sample);
    }
    for entry in fs::read_dir(table)? {
        let path = entry?.path();
        if path.ends_with("_delta_log") {
            for entry in fs::read_dir(path)? {
                let name = entry?.file_name().to_string_lossy().into_owned();
                sample.log_files += 1;
                let version = name
                    .strip_suffix(".json")
                    .and_then(|version| version.parse().ok());
                sample.version = sample.version.max(version.unwrap_or(0));
            }
        } else if path.is_dir() {
            sample.data_files += fs::read_dir(path)?.count();
        } else {
            sample.data_files += 1;
        }
    }
    Ok(sample)
}

fn print_sample(elapsed: Duration, sample: Sample) {
    println!(
        "{:.0} s: version {}, {} data files on disk, {} files in the transaction log, {} MiB",
        elapsed.as_secs_f64(),
        sample.version,
        sample.data_files,
        sample.log_files,
        sample.resident_kib / 1024,
    );
}
