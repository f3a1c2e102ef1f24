//! What only time or an operator mends: columns that writers see late, a table, permission or dataset that is gone. Two
//! collectors wait for it: nothing is lost, waiting costs next to nothing, and both say how they are.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use clap::Args;
use real_streaming_bench::Failure;
use real_streaming_bench::collector::{Collector, Settings};
use real_streaming_bench::fake::{Fake, dataset, whole};
use real_streaming_bench::load::{Client, Pace, Plan, Stop};
use real_streaming_bench::scrape;
use real_streaming_bench::verdict::Verdict;
use serde_json::{Value, json};

use super::{TABLE, fake, finish};
use crate::{DRAIN_LIMIT, Soak};

#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    /// Seconds until writers see columns that were added.
    #[arg(long, default_value_t = 300)]
    lag: u64,
    /// Seconds for which each of the others lasts.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Events a second, before it is waited.
    #[arg(long, default_value_t = 200.0)]
    rate: f64,
}

const CONNECTIONS: usize = 8;
/// How long each collector gets events in each state.
const LOAD: Duration = Duration::from_secs(3);
/// The collectors stop writing to a table before it is looked at for the last time.
const QUIET: Duration = Duration::from_millis(300);
/// Share of one core that a waiting collector may use.
const MOST_CPU: f64 = 0.2;
/// Longest pause between attempts, so that what is mended is seen soon.
const BACKOFF_MAX: u64 = 2;

/// Two collectors with the same table.
struct Pair<'a> {
    soak: &'a Soak,
    fake: Fake,
    collectors: [Collector; 2],
    folders: [PathBuf; 2],
    client: Client,
    rate: f64,
    is_cheap: bool,
}

pub(crate) fn run(soak: &Soak, options: &Options) -> Result<(), Failure> {
    let mut fake = fake(1)?;
    let schema = Command::new(&soak.collector)
        .args(["schema", "bigquery"])
        .output()?;
    let whole_table: Value = serde_json::from_slice(&schema.stdout)?;
    create_table(
        &mut fake,
        &without(&whole_table, &["collector", "event_id"]),
    )?;
    fake.tell(&json!({"schema_lag": options.lag * 1000}))?;
    let settings = Settings::default().with("DELIVERY__BACKOFF_MAX", BACKOFF_MAX);
    let settings = fake.takes(TABLE, settings);
    let second = soak.path().join("second");
    fs::create_dir(&second)?;
    let folders = [soak.path().to_owned(), second];
    let start = |folder: &Path| Collector::start(&soak.collector, folder, &settings);
    println!("state              pending  CPU %  calls/s  log lines  /readiness");
    let mut pair = Pair {
        soak,
        fake,
        collectors: [start(&folders[0])?, start(&folders[1])?],
        folders,
        client: soak.client(CONNECTIONS)?,
        rate: options.rate,
        is_cheap: true,
    };
    pair.state("columns come late", options.lag)?;
    pair.drain()?;
    pair.state("none", 1)?;
    pair.drain()?;

    // What the table held goes with it, so it is noted first.
    pair.fake.tell(&json!("be_unreachable"))?;
    sleep(QUIET);
    let gone = soak.path().join("ids_of_the_deleted_table");
    pair.fake.ids(TABLE, &gone)?;
    pair.fake.tell(&json!({"delete_table": whole(TABLE)}))?;
    pair.fake.tell(&json!("heal"))?;
    pair.state("table deleted", options.seconds)?;
    create_table(&mut pair.fake, &whole_table)?;
    pair.drain()?;

    for call in ["append", "streams", "tables"] {
        pair.fake.fail(call, "forbidden", json!("always"))?;
    }
    pair.state("permission revoked", options.seconds)?;
    pair.fake.tell(&json!("heal"))?;
    pair.drain()?;

    pair.fake.tell(&json!({"remove_dataset": dataset()}))?;
    pair.state("dataset gone", options.seconds)?;
    pair.fake.tell(&json!({"create_dataset": dataset()}))?;
    pair.drain()?;
    pair.finish(&gone)
}

/// A table like this without some columns.
fn without(table: &Value, columns: &[&str]) -> Value {
    let mut table = table.clone();
    if let Some(fields) = table["schema"]["fields"].as_array_mut() {
        fields.retain(|field| !columns.iter().any(|column| field["name"] == *column));
    }
    table
}

fn create_table(fake: &mut Fake, body: &Value) -> Result<(), Failure> {
    fake.tell(&json!({"create_table": {"table": whole(TABLE), "body": body}}))
        .map(drop)
}

impl Pair<'_> {
    /// Sends to both, then watches how they wait.
    fn state(&mut self, name: &str, seconds: u64) -> Result<(), Failure> {
        for collector in &self.collectors {
            let plan = Plan::new(Pace::Open(self.rate), Stop::After(LOAD));
            let summary = self.client.run(collector.address, &plan)?;
            if summary.accepted < summary.answered() || summary.unknown > 0 {
                return Err(format!("{name}: not all were accepted").into());
            }
        }
        let before = (self.cpu()?, self.fake.counts()?.calls(), self.lines()?);
        let begun = Instant::now();
        // The events took some of the time.
        sleep(Duration::from_secs(seconds).saturating_sub(2 * LOAD));
        let elapsed = begun.elapsed().as_secs_f64();
        let pending = scrape::Metrics::read(self.collectors[0].address)?.pending();
        let (status, readiness) = scrape::get(self.collectors[0].address, "/readiness")?;
        let lines = self.lines()? - before.2;
        let share = (self.cpu()? - before.0).as_secs_f64() / elapsed / 2.0;
        self.is_cheap &= share < MOST_CPU;
        print!(
            "{name:<18} {:>7} {:>6.1} {:>8.1} {lines:>10} ",
            pending.unwrap_or(-1.0),
            share * 100.0,
            (self.fake.counts()?.calls() - before.1) as f64 / elapsed,
        );
        let state: Value = serde_json::from_str(&readiness)?;
        let told = format!("{status} {}", state["destinations"]);
        if pending > Some(0.0) && state["destinations"][0]["healthy"] != false {
            return Err(format!("{name}: /readiness does not tell: {told}").into());
        }
        println!("{told}");
        if let Some(line) = self.complaint()? {
            println!("    log: {line}");
        }
        Ok(())
    }

    /// Waits until both have delivered all.
    fn drain(&self) -> Result<(), Failure> {
        let begun = Instant::now();
        for collector in &self.collectors {
            collector.drained(DRAIN_LIMIT)?;
        }
        println!("    drained {:.1} s later", begun.elapsed().as_secs_f64());
        Ok(())
    }

    fn cpu(&self) -> Result<Duration, Failure> {
        Ok(self.collectors[0].child.cpu()? + self.collectors[1].child.cpu()?)
    }

    /// Lines that both have logged so far.
    fn lines(&self) -> Result<usize, Failure> {
        let mut lines = 0;
        for folder in &self.folders {
            lines += fs::read_to_string(folder.join("output"))?.lines().count();
        }
        Ok(lines)
    }

    /// The last warning or error that the first one logged.
    fn complaint(&self) -> Result<Option<String>, Failure> {
        let output = fs::read_to_string(self.folders[0].join("output"))?;
        let is_one = |line: &&str| line.contains("\"ERROR\"") || line.contains("\"WARNING\"");
        Ok(output.lines().rev().find(is_one).map(|line| {
            let line: String = line.chars().take(400).collect();
            line
        }))
    }

    fn finish(mut self, gone: &Path) -> Result<(), Failure> {
        let [first, second] = self.collectors;
        self.soak.settle(second, &mut self.client)?;
        let mut verdict: Verdict = finish(self.soak, &mut self.fake, first, &mut self.client)?;
        verdict.add_ids(gone)?;
        verdict.add_dead_letters(&self.folders[1].join("dead_letter"))?;
        verdict.exactly_once()?;
        match self.is_cheap {
            true => Ok(()),
            false => Err("waiting costs too much".into()),
        }
    }
}
