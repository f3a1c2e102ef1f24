//! `make soak`: long runs against the real binary, each ending with an independent reader that holds the
//! table against what was answered (`check.py`).
//!
//! - `million`: full load, nothing lost, nothing twice
//! - `kill9`: SIGKILL at random moments under load, restart, unanswered events sent again with the same id
//! - `power`: power losses, by copies of a disk in a file
//! - `run`: hours of load with something wrong every few minutes
//! - `cloudrun`: one core, 512 MiB, a thousand requests at once
//! - `burst`: ten times the load for a while, then a restart
//! - `distinct`: no two events share browser, name, origin, stream or address
//! - `sizes`: what an event costs by how it comes
//! - `backlog`: a full log is delivered while events go on coming
//! - `beside`: one destination away for an hour beside a healthy one
//! - `commits`: thousands of commits: files, transaction log, memory, how soon an event is visible
//! - `crowd`: thousands of idle and slow connections beside the good ones
//! - `visibility`: only how soon an event is visible
//! - `bigquery-…`: against the fake BigQuery, see [`bigquery`]
//! - `pubsub-roundtrip`: to a topic, and from its subscription into the table
//!
//! Exits with 1 on any breach. The seed is printed; a run with the same seed sends the same events and
//! kills after the same times.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use clap::{Parser, Subcommand};
use real_streaming_bench::Failure;
use real_streaming_bench::collector::{Collector, Settings, beside, table};
use real_streaming_bench::load::{Client, Pace, Plan, Stop};
use real_streaming_bench::machine::Folder;
use real_streaming_bench::mix::Mix;
use real_streaming_bench::oracle::Oracle;
use real_streaming_bench::verdict::Verdict;

mod backlog;
mod beside;
mod bigquery;
mod burst;
mod cloudrun;
mod commits;
mod crowd;
mod distinct;
mod group;
mod kill9;
mod power;
mod pubsub;
mod sizes;
mod steady;

/// Longest time until everything is delivered once the load has ended.
const DRAIN_LIMIT: Duration = Duration::from_secs(300);
/// Longest time until owed events are paid.
const PAY_LIMIT: Duration = Duration::from_secs(120);
/// A stop signal must end the process within its drain time and a bit.
const STOP_LIMIT: Duration = Duration::from_secs(10);

/// Long runs that end with a verdict.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    scenario: Scenario,
    /// The collector's binary; default: beside this one.
    #[arg(long, global = true)]
    collector: Option<PathBuf>,
    /// Folder for logs and tables, on a real disk; default: the system's folder for temporary files.
    #[arg(long, global = true)]
    dir: Option<PathBuf>,
    /// Python with the packages of requirements.txt.
    #[arg(long, global = true, default_value = "python3")]
    python: PathBuf,
    /// Folder of check.py and visibility.py.
    #[arg(long, global = true, default_value = "bench")]
    scripts: PathBuf,
    /// Same seed, same run; default: a random one.
    #[arg(long, global = true)]
    seed: Option<u64>,
    /// Leaves log and table behind, also after success.
    #[arg(long, global = true)]
    keep: bool,
}

#[derive(Debug, Subcommand)]
enum Scenario {
    /// Full load.
    Million {
        /// How many events.
        #[arg(long, default_value_t = 1_000_000)]
        events: u64,
        /// How many connections.
        #[arg(long, default_value_t = 64)]
        connections: usize,
    },
    /// SIGKILL at random moments.
    Kill9(kill9::Options),
    /// Power losses.
    Power(power::Options),
    /// Hours of load with something wrong every few minutes.
    Run(steady::Options),
    /// One core, 512 MiB, a thousand requests at once.
    Cloudrun(cloudrun::Options),
    /// Ten times the load for a while, then a restart.
    Burst(burst::Options),
    /// No two events share anything.
    Distinct(distinct::Options),
    /// What an event costs by how it comes.
    Sizes(sizes::Options),
    /// A full log is delivered while events go on coming.
    Backlog(backlog::Options),
    /// One destination away beside a healthy one.
    Beside(beside::Options),
    /// Thousands of commits.
    Commits(commits::Options),
    /// Thousands of idle and slow connections.
    Crowd(crowd::Options),
    /// How soon an event is visible.
    Visibility(commits::VisibilityOptions),
    /// Against the fake BigQuery.
    #[command(flatten)]
    Bigquery(bigquery::Scenario),
    /// To a topic, and from its subscription into the table.
    PubsubRoundtrip(pubsub::Options),
}

/// What every scenario works with.
struct Soak {
    collector: PathBuf,
    folder: Folder,
    python: PathBuf,
    scripts: PathBuf,
    run: u64,
    random: fastrand::Rng,
}

impl Soak {
    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn start(&self, settings: &Settings) -> Result<Collector, Failure> {
        Collector::start(&self.collector, self.path(), settings)
    }

    fn oracle(&self) -> PathBuf {
        self.path().join("oracle")
    }

    fn client(&self, connections: usize) -> Result<Client, Failure> {
        let oracle = Oracle::create(&self.oracle())?;
        // The run's digits are the seed that gives them.
        Client::new(
            connections,
            Mix::new(self.run - 1_000_000_000_000)?,
            Some(oracle),
        )
    }

    /// On what was answered to this client, with nothing found yet.
    fn verdict(&self, client: &Client) -> Result<Verdict, Failure> {
        Verdict::new(self.run, client.numbers(), &self.oracle())
    }

    /// A Python script of ours, with what all of them want to know.
    fn script(&self, name: &str) -> Command {
        let mut command = Command::new(&self.python);
        command
            .arg(self.scripts.join(name))
            .arg("--table")
            .arg(table(self.path()))
            .arg("--run")
            .arg(self.run.to_string());
        command
    }

    /// Where the collector's counts are, once it is settled.
    fn page(&self) -> PathBuf {
        self.path().join("metrics")
    }

    /// Pays what is owed, waits until all is delivered and stops the collector.
    fn settle(&self, collector: Collector, client: &mut Client) -> Result<(), Failure> {
        let start = Instant::now();
        while client.owed() > 0 {
            if start.elapsed() > PAY_LIMIT {
                return Err(
                    format!("{} events still owed after {PAY_LIMIT:?}", client.owed()).into(),
                );
            }
            let plan = Plan {
                pay: true,
                ..Plan::new(Pace::Open(20_000.0), Stop::Count(0))
            };
            let summary = client.run(collector.address, &plan)?;
            println!(
                "sent again: {} accepted, {} refused, {} unanswered",
                summary.accepted, summary.refused, summary.unknown
            );
        }
        let start = Instant::now();
        let metrics = collector.drained(DRAIN_LIMIT)?;
        println!(
            "everything delivered {:.1} s later",
            start.elapsed().as_secs_f64()
        );
        std::fs::write(self.page(), metrics.text)?;
        let (status, time) = collector.child.stop(STOP_LIMIT)?;
        if !status.success() {
            return Err(format!("SIGTERM ended it with {status}, not with 0").into());
        }
        println!("stopped in {:.1} s", time.as_secs_f64());
        Ok(())
    }

    /// Settles the collector and has everything checked.
    fn finish(
        &self,
        collector: Collector,
        client: &mut Client,
        check: &[&str],
    ) -> Result<(), Failure> {
        self.settle(collector, client)?;
        let page = self.page();
        let counts = ["--metrics", &page.to_string_lossy()];
        self.check(client, &[&counts, check].concat())
    }

    /// Has the table checked, once the collector is settled. The counts, if they are named, are those of one destination.
    fn check(&self, client: &Client, check: &[&str]) -> Result<(), Failure> {
        let mut command = self.script("check.py");
        command
            .arg("--oracle")
            .arg(self.oracle())
            .arg("--numbers")
            .arg(client.numbers().to_string());
        command.args(check);
        let status = command
            .status()
            .map_err(|error| format!("{}: {error}", self.python.display()))?;
        if status.success() {
            Ok(())
        } else {
            Err("the checker found a breach".into())
        }
    }

    fn million(&self, events: u64, connections: usize) -> Result<(), Failure> {
        let collector = self.start(&Settings::default())?;
        let mut client = self.client(connections)?;
        let plan = Plan {
            pay: true,
            ..Plan::new(Pace::Closed, Stop::Count(events))
        };
        let summary = client.run(collector.address, &plan)?;
        println!(
            "{} accepted at {:.0}/s, {} refused, {} unanswered, {} otherwise; p99 {} µs",
            summary.accepted,
            summary.per_second(),
            summary.refused,
            summary.unknown,
            summary.other,
            summary.latency.value_at_quantile(0.99),
        );
        self.finish(collector, &mut client, &["--one-process", "--all-accepted"])
    }
}

fn main() -> Result<ExitCode, Failure> {
    let arguments = Arguments::parse();
    let seed = arguments
        .seed
        .unwrap_or_else(|| fastrand::u64(..1_000_000_000));
    println!("seed {seed}");
    let parent = arguments.dir.unwrap_or_else(std::env::temp_dir);
    let mut soak = Soak {
        collector: arguments
            .collector
            .map_or_else(|| beside("real-streaming"), Ok)?,
        folder: Folder::new(&parent, "soak")?,
        python: arguments.python,
        scripts: arguments.scripts,
        run: Mix::new(seed)?.run(),
        random: fastrand::Rng::with_seed(seed),
    };
    let result = match &arguments.scenario {
        Scenario::Million {
            events,
            connections,
        } => soak.million(*events, *connections),
        Scenario::Kill9(options) => kill9::run(&mut soak, options),
        Scenario::Power(options) => power::run(&mut soak, options),
        Scenario::Run(options) => steady::run(&mut soak, options),
        Scenario::Cloudrun(options) => cloudrun::run(&soak, options),
        Scenario::Burst(options) => burst::run(&soak, options),
        Scenario::Distinct(options) => distinct::run(&soak, options),
        Scenario::Sizes(options) => sizes::run(&soak, options),
        Scenario::Backlog(options) => backlog::run(&soak, options),
        Scenario::Beside(options) => beside::run(&soak, options),
        Scenario::Commits(options) => commits::run(&soak, options),
        Scenario::Crowd(options) => crowd::run(&soak, options),
        Scenario::Visibility(options) => commits::visibility(&soak, options),
        Scenario::Bigquery(scenario) => bigquery::run(&mut soak, scenario),
        Scenario::PubsubRoundtrip(options) => pubsub::run(&soak, options),
    };
    if let Err(error) = &result {
        println!("FAILED with seed {seed}: {error}");
    }
    if arguments.keep || result.is_err() {
        println!(
            "log, table and answers stay in {}",
            soak.folder.keep().display()
        );
    }
    Ok(if result.is_ok() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
