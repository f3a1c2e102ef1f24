//! SIGKILL at random moments: under load, while starting, while stopping.

use std::os::unix::process::ExitStatusExt as _;
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use clap::Args;
use real_streaming_bench::Failure;
use real_streaming_bench::collector::{Collector, Settings};
use real_streaming_bench::load::{Pace, Plan, Stop};
use rustix::process::{Pid, Signal, kill_process};

use crate::Soak;

#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    /// How many kills.
    #[arg(long, default_value_t = 200)]
    rounds: u32,
    /// Events a second between the kills.
    #[arg(long, default_value_t = 5000.0)]
    rate: f64,
    /// Connections.
    #[arg(long, default_value_t = 64)]
    connections: usize,
}

/// How a round ends.
enum End {
    /// SIGKILL so long after it was ready, under load.
    UnderLoad(Duration),
    /// SIGKILL so long after exec.
    Starting(Duration),
    /// SIGTERM under load after the first time, SIGKILL after the second unless it has ended.
    Stopping(Duration, Duration),
}

pub(crate) fn run(soak: &mut Soak, options: &Options) -> Result<(), Failure> {
    // Commits to the table are so frequent that many kills hit one.
    let settings = Settings::default().with("WRITERS__DELTA__COMMIT_INTERVAL", 0.2);
    let mut client = soak.client(options.connections)?;
    let (mut accepted, mut refused, mut unanswered, mut slowest) = (0, 0, 0, Duration::ZERO);
    let start = Instant::now();
    for round in 0..options.rounds {
        let end = choose(&mut soak.random);
        if let End::Starting(time) = end {
            let collector = Collector::spawn(&soak.collector, soak.path(), &settings)?;
            sleep(time);
            collector.child.kill()?;
            continue;
        }
        let collector = soak
            .start(&settings)
            .map_err(|error| format!("round {round}: {error}"))?;
        slowest = slowest.max(collector.started_in);
        let pid = Pid::from_raw(collector.child.pid() as i32).ok_or("no pid")?;
        // The process is not waited for before this thread has ended, so the id stays its own.
        let killer = thread::spawn(move || match end {
            End::UnderLoad(time) | End::Starting(time) => {
                sleep(time);
                kill_process(pid, Signal::KILL)
            }
            End::Stopping(time, grace) => {
                sleep(time);
                kill_process(pid, Signal::TERM)?;
                sleep(grace);
                kill_process(pid, Signal::KILL)
            }
        });
        let plan = Plan {
            pay: true,
            until_broken: true,
            ..Plan::new(
                Pace::Open(options.rate),
                Stop::After(Duration::from_secs(10)),
            )
        };
        let summary = client.run(collector.address, &plan);
        killer.join().map_err(|_| "the killer failed")??;
        let status = collector.child.wait()?;
        if status.signal() != Some(Signal::KILL.as_raw()) && !status.success() {
            return Err(format!("round {round}: it ended by itself: {status}").into());
        }
        // No connection at all: it was killed first.
        let Ok(summary) = summary else { continue };
        accepted += summary.accepted;
        refused += summary.refused;
        unanswered += summary.unknown;
        if summary.other > 0 {
            return Err(format!(
                "round {round}: {} answers were neither 200 nor 503",
                summary.other
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
        "{} kills in {:.0} s; {accepted} accepted, {refused} refused, {unanswered} unanswered; slowest start {} ms",
        options.rounds,
        start.elapsed().as_secs_f64(),
        slowest.as_millis(),
    );
    let collector = soak.start(&settings)?;
    soak.finish(collector, &mut client, &["--all-accepted"])
}

fn choose(random: &mut fastrand::Rng) -> End {
    let mut millis = |most: u64| Duration::from_millis(random.u64(..most));
    let (time, grace, short) = (millis(1200), millis(500), millis(60));
    match random.u8(..10) {
        0 => End::Starting(short),
        1 => End::Stopping(time, grace),
        _ => End::UnderLoad(time),
    }
}
