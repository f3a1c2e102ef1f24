//! The collector under test: its release binary, its environment, its folders.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::child::{Child, free_address};
use crate::scrape::{self, Metrics};
use crate::{Failure, machine};

/// Longest time from exec until `/health` answers.
const START_LIMIT: Duration = Duration::from_secs(60);

/// What a run sets beside ports and folders.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Variables without their prefix, with their values.
    pub variables: Vec<(&'static str, String)>,
    /// Those that have none.
    pub plain: Vec<(&'static str, String)>,
    /// Whether it takes the messages of a subscription instead of serving.
    pub consumes: bool,
    /// What the binary is started by, such as `taskset -c 0`.
    pub wrapper: Vec<String>,
}

impl Settings {
    /// These and one variable more.
    pub fn with(mut self, variable: &'static str, value: impl ToString) -> Self {
        self.variables.push((variable, value.to_string()));
        self
    }

    /// These and one variable more, which has no prefix.
    pub fn with_plain(mut self, variable: &'static str, value: impl ToString) -> Self {
        self.plain.push((variable, value.to_string()));
        self
    }

    /// The same for a collector that takes the messages of a subscription.
    pub fn consuming(mut self) -> Self {
        self.consumes = true;
        self
    }

    /// No commit to the table for the length of a run: what is measured ends at the durable log.
    pub fn log_only() -> Self {
        Self::default()
            .with("WRITERS__STRATEGY", "memory")
            .with("LOG__MAX_BYTES", "64GiB")
    }
}

/// A running collector.
#[derive(Debug)]
pub struct Collector {
    /// Its process.
    pub child: Child,
    /// Where it listens.
    pub address: SocketAddr,
    /// From exec until the first answer of `/health`.
    pub started_in: Duration,
}

impl Collector {
    /// Starts the collector on the log and table below `folder`, and waits until it answers.
    ///
    /// # Errors
    /// It does not start.
    pub fn start(binary: &Path, folder: &Path, settings: &Settings) -> Result<Self, Failure> {
        let mut this = Self::spawn(binary, folder, settings)?;
        this.started_in = this
            .child
            .ready(this.address, START_LIMIT)
            .map_err(|error| {
                let output = fs::read_to_string(folder.join("output")).unwrap_or_default();
                let last: Vec<&str> = output.lines().rev().take(5).collect();
                format!("the collector: {error}\n{}", last.join("\n"))
            })?;
        Ok(this)
    }

    /// Starts it and waits for nothing.
    ///
    /// # Errors
    /// It cannot be executed.
    pub fn spawn(binary: &Path, folder: &Path, settings: &Settings) -> Result<Self, Failure> {
        let address = free_address()?;
        let mut words: Vec<PathBuf> = settings.wrapper.iter().map(PathBuf::from).collect();
        words.push(
            binary
                .canonicalize()
                .map_err(|error| format!("{}: {error}", binary.display()))?,
        );
        let subcommand = match settings.consumes {
            true => "consume",
            false => "serve",
        };
        words.push(subcommand.into());
        let mut command = Command::new(&words[0]);
        command
            .args(&words[1..])
            .current_dir(folder)
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .envs(settings.plain.iter().cloned());
        let mut set = |name: &str, value: &str| {
            command.env(format!("APP_CONFIG__{name}"), value);
        };
        set("ADMIN__TOKEN", scrape::TOKEN);
        set("RUN__HOST", "127.0.0.1");
        set("RUN__PORT", &address.port().to_string());
        set("LOG__DIR", &folder.join("log").to_string_lossy());
        set("WRITERS__STRATEGY", "delta");
        set("WRITERS__DELTA__URI", &table(folder).to_string_lossy());
        set(
            "DEAD_LETTER__URI",
            &folder.join("dead_letter").to_string_lossy(),
        );
        for (name, value) in &settings.variables {
            set(name, value);
        }
        let child = Child::start(&mut command, &folder.join("output"))?;
        Ok(Self {
            child,
            address,
            started_in: Duration::ZERO,
        })
    }

    /// Waits until every destination has everything; the counts then.
    ///
    /// # Errors
    /// It has not after `limit`, or ended.
    pub fn drained(&self, limit: Duration) -> Result<Metrics, Failure> {
        let start = Instant::now();
        loop {
            let metrics = Metrics::read(self.address)?;
            match metrics.pending() {
                Some(0.0) => return Ok(metrics),
                None => return Err("/metrics does not say what is pending".into()),
                Some(pending) if start.elapsed() > limit => {
                    return Err(format!("{pending} events still pending after {limit:?}").into());
                }
                Some(_) => sleep(Duration::from_millis(100)),
            }
        }
    }

    /// Waits until it has used (almost) no processor time for `quiet`; what it used in all.
    ///
    /// # Errors
    /// It is busy after `limit`, or ended.
    pub fn idle(&self, quiet: Duration, limit: Duration) -> Result<Duration, Failure> {
        let start = Instant::now();
        let mut before = self.child.cpu()?;
        loop {
            sleep(quiet);
            let now = self.child.cpu()?;
            if now - before < quiet / 50 {
                return Ok(before);
            }
            if start.elapsed() > limit {
                return Err(format!("still busy after {limit:?}").into());
            }
            before = now;
        }
    }

    /// Processor time of its living threads by name, as text, the largest first.
    ///
    /// # Errors
    /// It has ended.
    pub fn threads(&self) -> Result<String, Failure> {
        let mut threads: Vec<_> = machine::cpu_by_thread(self.child.pid())?
            .into_iter()
            .collect();
        threads.sort_by_key(|(_, used)| std::cmp::Reverse(*used));
        let shown = threads
            .iter()
            .take(6)
            .map(|(name, used)| format!("{name} {:.2} s", used.as_secs_f64()));
        Ok(shown.collect::<Vec<_>>().join(", "))
    }
}

/// The table of a collector that runs in `folder`.
pub fn table(folder: &Path) -> PathBuf {
    folder.join("events")
}

/// A binary that lies beside the one that runs.
///
/// # Errors
/// It is not there.
pub fn beside(name: &str) -> Result<PathBuf, Failure> {
    let path = std::env::current_exe()?.with_file_name(name);
    if !path.exists() {
        return Err(format!(
            "{} is not there: build it first, with the same profile",
            path.display()
        )
        .into());
    }
    Ok(path)
}
