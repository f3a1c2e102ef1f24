//! Hours of steady load at a share of the most it takes, with something wrong every few minutes: BigQuery fails in any of its
//! ways, the collector is killed or stands still. At the end nothing is lost or doubled, and over the longest life of a
//! collector neither memory nor descriptors grew. Needs root and control groups of version 1, for the limit of processor time.

use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

use clap::Args;
use real_streaming_bench::Failure;
use real_streaming_bench::collector::{Collector, Settings};
use real_streaming_bench::load::{Client, Pace, Plan, Stop};
use real_streaming_bench::machine::Growth;
use rustix::process::Signal;

use crate::Soak;
use crate::bigquery::{TABLE, fake, finish, trouble};
use crate::group::Group;

#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    /// How long in all.
    #[arg(long, default_value_t = 7200)]
    seconds: u64,
    /// Events a second, as a share of the most that it takes, which is measured first.
    #[arg(long, default_value_t = 0.6)]
    load: f64,
    /// How many cores' worth of time the collector may use, so that load generator and BigQuery have the rest.
    #[arg(long, default_value_t = 0.25)]
    cores: f64,
    /// Seconds between two faults, at most.
    #[arg(long, default_value_t = 300)]
    every: u64,
}

const CONNECTIONS: usize = 32;
/// Kills are over after this share of the time, so that one life is long enough to look for growth.
const KILLS_SHARE: f64 = 0.3;
/// How long the most that it takes is measured.
const KNEE_TIME: Duration = Duration::from_secs(20);
/// The window of duplicates takes memory until it is full.
const DEDUPE_WINDOW: u64 = 60;
/// What descriptors may differ by: those of connections that come and go.
const DESCRIPTORS: usize = 16;

fn descriptors(collector: &Collector) -> Result<usize, Failure> {
    Ok(fs::read_dir(format!("/proc/{}/fd", collector.child.pid()))?.count())
}

/// Events a second that it takes when more are always waiting.
fn most(client: &mut Client, collector: &Collector) -> Result<f64, Failure> {
    let plan = Plan {
        pay: true,
        ..Plan::new(Pace::Closed, Stop::After(KNEE_TIME))
    };
    Ok(client.run(collector.address, &plan)?.per_second())
}

pub(crate) fn run(soak: &mut Soak, options: &Options) -> Result<(), Failure> {
    let mut fake = fake(1000)?;
    let group = Group::default().cores(options.cores)?;
    let mut settings = fake
        .takes(TABLE, Settings::default())
        .with("DEDUPE__WINDOW", DEDUPE_WINDOW)
        .with("WRITERS__BQ__ANSWER_TIMEOUT", 2)
        .with("DELIVERY__BACKOFF_MAX", 2);
    settings.wrapper = group.wrapper(None);
    let mut client = soak.client(CONNECTIONS)?;
    let mut collector = soak.start(&settings)?;
    let most = most(&mut client, &collector)?;
    let rate = most * options.load;
    println!(
        "{most:.0} events/s at most with {} cores; load {rate:.0} events/s",
        options.cores
    );
    let (mut sizes, mut files) = (Vec::new(), Vec::new());
    let (mut faults, mut kills) = (0, 0);
    let begun = Instant::now();
    let end = Duration::from_secs(options.seconds);
    let pause = |random: &mut fastrand::Rng| {
        let least = options.every * 2 / 5;
        Instant::now() + Duration::from_secs(random.u64(least..=options.every))
    };
    let mut next = pause(&mut soak.random);
    let mut heals: Option<Instant> = None;
    while begun.elapsed() < end {
        let plan = Plan {
            pay: true,
            ..Plan::new(Pace::Open(rate), Stop::After(Duration::from_secs(1)))
        };
        let summary = client.run(collector.address, &plan)?;
        if summary.other > 0 {
            return Err(format!("{} answers were neither 200 nor 503", summary.other).into());
        }
        sizes.push(collector.child.memory()?.resident);
        files.push(descriptors(&collector)?);
        if heals.is_some_and(|at| at <= Instant::now()) {
            heals = None;
            for command in trouble::end() {
                fake.tell(&command)?;
            }
        }
        if next > Instant::now() {
            continue;
        }
        next = pause(&mut soak.random);
        faults += 1;
        let may_kill = begun.elapsed() < end.mul_f64(KILLS_SHARE);
        match soak.random.u8(..4) {
            0 if may_kill => {
                kills += 1;
                collector.child.kill()?;
                collector = soak.start(&settings)?;
                (sizes, files) = (Vec::new(), Vec::new());
            }
            1 => {
                collector.child.signal(Signal::STOP)?;
                sleep(Duration::from_secs(soak.random.u64(1..10)));
                collector.child.signal(Signal::CONT)?;
            }
            _ => {
                for command in trouble::any(&mut soak.random) {
                    fake.tell(&command)?;
                }
                let time = soak.random.u64(1..=options.every / 4 + 1);
                heals = Some(Instant::now() + Duration::from_secs(time));
            }
        }
        println!(
            "{:>5} s: {faults} faults, {kills} of them kills, {} MiB, {} descriptors",
            begun.elapsed().as_secs(),
            collector.child.memory()?.resident / 1024,
            descriptors(&collector)?
        );
    }
    for command in trouble::end() {
        fake.tell(&command)?;
    }
    let growth = Growth::of(&sizes);
    let half = files.len() / 2;
    let most = |part: &[usize]| part.iter().max().copied().unwrap_or(0);
    let (early, late) = (most(&files[..half]), most(&files[half..]));
    println!(
        "longest life {} s: memory {growth}; descriptors {early} at most in its first half, {late} in its second",
        sizes.len()
    );
    finish(soak, &mut fake, collector, &mut client)?.exactly_once()?;
    match growth.is_flat() && late <= early + DESCRIPTORS {
        true => Ok(()),
        false => Err("memory or descriptors grow".into()),
    }
}
