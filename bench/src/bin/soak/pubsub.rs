//! Events to a topic, from its subscription into a table: each once, also what is redelivered or was published twice, and
//! over a SIGKILL.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use clap::Args;
use real_streaming_bench::Failure;
use real_streaming_bench::child::Child;
use real_streaming_bench::collector::{Collector, Settings};
use real_streaming_bench::load::{Pace, Plan, Stop};
use real_streaming_bench::scrape::Metrics;

use crate::{DRAIN_LIMIT, Soak};

#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    /// How many events.
    #[arg(long, default_value_t = 100_000)]
    events: u64,
    /// How many of them are published once more, and at first pulled by somebody who acknowledges nothing.
    #[arg(long, default_value_t = 1000)]
    doubled: u64,
}

const CONNECTIONS: usize = 64;
const PROJECT: &str = "test-project";
const TOPIC: &str = "events";
const SUBSCRIPTION: &str = "events-sub";
/// When the first consumer is killed.
const KILLED_AFTER: Duration = Duration::from_secs(2);
/// The deadline of acknowledgements, 10 s, and a bit: then all has been delivered again that will be.
const REDELIVERED_AFTER: Duration = Duration::from_secs(15);

/// `pubsub.py`: an emulator, and what plays a trick on its subscribers.
struct Emulator {
    child: Option<Child>,
    commands: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    host: String,
}

impl Emulator {
    fn start(soak: &Soak) -> Result<Self, Failure> {
        let mut command = Command::new(&soak.python);
        command
            .arg(soak.scripts.join("pubsub.py"))
            .args([PROJECT, TOPIC, SUBSCRIPTION])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = Child::spawn(&mut command)?;
        let (commands, answers) = child.pipes().ok_or("no pipes")?;
        let mut this = Self {
            child: Some(child),
            commands: Some(commands),
            answers: BufReader::new(answers),
            host: String::new(),
        };
        this.host = this.line()?;
        Ok(this)
    }

    fn line(&mut self) -> Result<String, Failure> {
        let mut line = String::new();
        match self.answers.read_line(&mut line)? {
            0 => Err("pubsub.py has ended".into()),
            _ => Ok(line.trim().to_owned()),
        }
    }

    /// Pulls so many messages, acknowledges none, and publishes each again; how many.
    fn double(&mut self, count: u64) -> Result<u64, Failure> {
        let commands = self.commands.as_mut().ok_or("it has ended")?;
        writeln!(commands, "{count}")?;
        Ok(self.line()?.parse()?)
    }
}

impl Drop for Emulator {
    /// Lets the script end by itself, as the emulator is a process of its.
    fn drop(&mut self) {
        drop(self.commands.take());
        drop(self.child.take().map(Child::wait));
    }
}

pub(crate) fn run(soak: &Soak, options: &Options) -> Result<(), Failure> {
    let mut emulator = Emulator::start(soak)?;
    let settings = Settings::default()
        .with("WRITERS__PROJECT_ID", PROJECT)
        .with("WRITERS__PUBSUB__TOPIC_ID", TOPIC)
        .with("WRITERS__PUBSUB__SUBSCRIPTION_ID", SUBSCRIPTION)
        .with_plain("PUBSUB_EMULATOR_HOST", &emulator.host);
    let mut client = soak.client(CONNECTIONS)?;
    let producer = soak.path().join("producer");
    fs::create_dir(&producer)?;
    let publishing = settings.clone().with("WRITERS__STRATEGY", "pubsub");
    let collector = Collector::start(&soak.collector, &producer, &publishing)?;
    let plan = Plan {
        pay: true,
        ..Plan::new(Pace::Closed, Stop::Count(options.events))
    };
    let begun = Instant::now();
    let summary = client.run(collector.address, &plan)?;
    println!(
        "{} accepted at {:.0}/s",
        summary.accepted,
        summary.per_second()
    );
    soak.settle(collector, &mut client)?;
    println!(
        "published {:.1} s after the first",
        begun.elapsed().as_secs_f64()
    );
    println!("published twice: {}", emulator.double(options.doubled)?);

    let consuming = settings.consuming();
    let begun = Instant::now();
    let first = soak.start(&consuming)?;
    sleep(KILLED_AFTER);
    first.child.kill()?;
    let second = soak.start(&consuming)?;
    loop {
        let appended = Metrics::read(second.address)?.appended().unwrap_or(0.0);
        if appended >= options.events as f64 {
            break;
        }
        if begun.elapsed() > DRAIN_LIMIT {
            return Err(format!("{appended} events came in {DRAIN_LIMIT:?}").into());
        }
        sleep(Duration::from_millis(100));
    }
    println!(
        "all consumed {:.1} s later, over one SIGKILL",
        begun.elapsed().as_secs_f64()
    );
    sleep(REDELIVERED_AFTER);
    soak.finish(second, &mut client, &["--all-accepted"])
}
