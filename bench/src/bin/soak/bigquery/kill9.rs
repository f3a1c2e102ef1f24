//! SIGKILL under load and something wrong with BigQuery in every round.
//!
//! With a disk log every accepted event is in the table or among the dead letters exactly once. With a log in memory, where
//! a 2xx says that the row is in the table, none is missing; twice there is only what the client sent again, or what
//! stood in a request whose reply BigQuery withheld.
//!
//! Streams that expire while rows are under way are not among the troubles: what became of those rows nobody can tell,
//! so they may be there twice (`tests/it/bigquery.rs` has them).

use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use clap::Args;
use real_streaming_bench::Failure;
use real_streaming_bench::collector::Settings;
use real_streaming_bench::load::{Pace, Plan, Stop};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::{TABLE, fake, finish, trouble};
use crate::Soak;

#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    /// How many kills.
    #[arg(long, default_value_t = 100)]
    rounds: u32,
    /// Events a second between the kills.
    #[arg(long, default_value_t = 2000.0)]
    rate: f64,
    /// Connections.
    #[arg(long, default_value_t = 128)]
    connections: usize,
    /// A log in memory, and answers when the row is in the table.
    #[arg(long)]
    memory: bool,
}

/// How long a round without a kill would last.
const ROUND: Duration = Duration::from_secs(10);
/// Seconds after which a connection on which no answer comes is given up.
const ANSWER_TIMEOUT: f64 = 0.5;

pub(crate) fn run(soak: &mut Soak, options: &Options) -> Result<(), Failure> {
    let mut fake = fake(1)?;
    // Many requests, so that every fault meets some.
    let mut settings = Settings::default()
        .with("WRITERS__BQ__FLUSH_INTERVAL", 0.02)
        .with("WRITERS__BQ__MAX_BATCH_SIZE", 50)
        .with("WRITERS__BQ__ANSWER_TIMEOUT", ANSWER_TIMEOUT)
        .with("DELIVERY__BACKOFF_MAX", 0.5);
    if options.memory {
        settings = settings
            .with("LOG__KIND", "memory")
            .with("DELIVERY__ACKNOWLEDGE", "written");
    }
    let settings = fake.takes(TABLE, settings);
    let mut client = soak.client(options.connections)?;
    let (mut accepted, mut refused, mut unanswered) = (0, 0, 0);
    let begun = Instant::now();
    for round in 0..options.rounds {
        let commands = trouble::any(&mut soak.random);
        let name = Value::from(commands.clone()).to_string();
        let random = &mut soak.random;
        let mut millis = |most: u64| Duration::from_millis(random.u64(..most));
        let (trouble_at, kill_at) = (millis(400), millis(1200));
        // Some outlive the collector and meet the next one at its start.
        let is_mended = soak.random.bool();
        let failed = |error: Failure| format!("round {round}, {name}: {error}");
        let collector = soak.start(&settings).map_err(failed)?;
        for command in trouble::end() {
            fake.tell(&command)?;
        }
        let pid = Pid::from_raw(i32::try_from(collector.child.pid())?).ok_or("no pid")?;
        let plan = Plan {
            pay: true,
            until_broken: true,
            ..Plan::new(Pace::Open(options.rate), Stop::After(ROUND))
        };
        let address = collector.address;
        let summary = thread::scope(|scope| {
            // The process is not waited for before this thread has ended, so the id stays its own.
            let fate = scope.spawn(|| -> Result<(), Failure> {
                sleep(trouble_at);
                for command in &commands {
                    fake.tell(command)?;
                }
                sleep(kill_at);
                Ok(kill_process(pid, Signal::KILL)?)
            });
            let summary = client.run(address, &plan);
            fate.join().map_err(|_| "the killer failed")??;
            summary
        });
        collector.child.wait()?;
        if is_mended {
            for command in trouble::end() {
                fake.tell(&command)?;
            }
        }
        let summary = summary.map_err(failed)?;
        accepted += summary.accepted;
        refused += summary.refused;
        unanswered += summary.unknown;
        if summary.other > 0 && !options.memory {
            return Err(failed(
                format!("{} answers were neither 200 nor 503", summary.other).into(),
            )
            .into());
        }
        if round % 10 == 9 {
            println!(
                "{} kills, {accepted} accepted, {refused} refused, {unanswered} unanswered",
                round + 1
            );
        }
    }
    println!(
        "{} kills in {:.0} s",
        options.rounds,
        begun.elapsed().as_secs_f64()
    );
    for command in trouble::end() {
        fake.tell(&command)?;
    }
    let collector = soak.start(&settings)?;
    let verdict = finish(soak, &mut fake, collector, &mut client)?;
    match options.memory {
        true => verdict.at_least_once(fake.counts()?.unanswered_rows),
        false => verdict.exactly_once(),
    }
}
