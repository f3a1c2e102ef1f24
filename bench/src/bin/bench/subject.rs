//! What is measured: the collector or the floor, each started anew for each measurement.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use real_streaming_bench::Failure;
use real_streaming_bench::child::{Child, free_address};
use real_streaming_bench::collector::{Collector, Settings};
use real_streaming_bench::load::{Client, Pace, Plan, Stop, Summary};
use real_streaming_bench::machine::{self, Folder};
use real_streaming_bench::mix::Mix;

/// What other processes may use of a core while something is measured.
const MOST_BY_OTHERS: f64 = 0.1;

/// Where everything lies.
#[derive(Debug)]
pub(crate) struct Paths {
    pub(crate) collector: PathBuf,
    pub(crate) floor: PathBuf,
    pub(crate) parent: PathBuf,
}

/// A server under load.
pub(crate) struct Subject {
    process: Process,
    pub(crate) address: SocketAddr,
    /// Removed after the process has ended: fields are dropped in this order.
    folder: Folder,
}

enum Process {
    Floor(Child),
    Collector(Collector),
}

impl Subject {
    /// The bare handler.
    pub(crate) fn floor(paths: &Paths, wrapper: &[String]) -> Result<Self, Failure> {
        let folder = Folder::new(&paths.parent, "floor")?;
        let address = free_address()?;
        let mut words: Vec<PathBuf> = wrapper.iter().map(PathBuf::from).collect();
        words.push(paths.floor.clone());
        let mut command = Command::new(&words[0]);
        command
            .args(&words[1..])
            .arg("--port")
            .arg(address.port().to_string())
            .current_dir(folder.path());
        let mut child = Child::start(&mut command, &folder.path().join("output"))?;
        child.ready(address, Duration::from_secs(10))?;
        Ok(Self {
            process: Process::Floor(child),
            address,
            folder,
        })
    }

    /// The collector on an empty log and table.
    pub(crate) fn collector(paths: &Paths, settings: &Settings) -> Result<Self, Failure> {
        let folder = Folder::new(&paths.parent, "collector")?;
        let collector = Collector::start(&paths.collector, folder.path(), settings)?;
        let address = collector.address;
        Ok(Self {
            process: Process::Collector(collector),
            address,
            folder,
        })
    }

    pub(crate) fn child(&self) -> &Child {
        match &self.process {
            Process::Floor(child) => child,
            Process::Collector(collector) => &collector.child,
        }
    }

    pub(crate) fn as_collector(&self) -> Result<&Collector, Failure> {
        match &self.process {
            Process::Collector(collector) => Ok(collector),
            Process::Floor(_) => Err("the floor delivers nothing".into()),
        }
    }

    pub(crate) fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }
}

/// What one measurement brought.
#[derive(Debug)]
pub(crate) struct Figures {
    /// Processor time of the server for each event answered 200, µs.
    pub(crate) cpu_per_event: f64,
    /// Processor time of the generator for each answer, µs.
    pub(crate) generator_per_event: f64,
    pub(crate) summary: Summary,
}

impl Figures {
    pub(crate) fn latency(&self, quantile: f64) -> f64 {
        self.summary.latency.value_at_quantile(quantile) as f64
    }
}

/// A client that sends events nobody has sent before.
pub(crate) fn client(connections: usize) -> Result<Client, Failure> {
    Client::new(connections, Mix::new(fastrand::u64(..))?, None)
}

/// Warms up, then measures one window of load.
pub(crate) fn measure(
    subject: &Subject,
    client: &mut Client,
    pace: Pace,
    window: Duration,
) -> Result<Figures, Failure> {
    let warm_up = Plan::new(pace, Stop::After(window / 5));
    client.run(subject.address, &warm_up)?;
    let (before, all_before) = (subject.child().cpu()?, machine::cpu_of_all()?);
    let summary = client.run(subject.address, &Plan::new(pace, Stop::After(window)))?;
    let used = subject.child().cpu()? - before;
    let all_used = machine::cpu_of_all()?.saturating_sub(all_before);
    let others =
        all_used.saturating_sub(used + summary.cpu).as_secs_f64() / summary.elapsed.as_secs_f64();
    if others > MOST_BY_OTHERS {
        println!(
            "  (others used {:.0} % of a core: do not trust this round)",
            others * 100.0
        );
    }
    if summary.accepted == 0 {
        return Err("no event was answered 200".into());
    }
    Ok(Figures {
        cpu_per_event: used.as_secs_f64() * 1e6 / summary.accepted as f64,
        generator_per_event: summary.cpu.as_secs_f64() * 1e6 / summary.answered() as f64,
        summary,
    })
}
