//! A collector in process, with destinations that play along. When it stops, the ledger must balance.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use prost::Message;
use real_streaming::app::{App, Ended, Target};
use real_streaming::clock::{Clock, SystemClock};
use real_streaming::config::Config;
use real_streaming::durable::{Disk, RealDisk};
use real_streaming::ledger::Ledger;
use real_streaming::pipeline::DeliveryConfig;
use real_streaming::schema::json::write_row;
use real_streaming::schema::{Event, Record};
use real_streaming::writer::memory::MemoryWriter;
use real_streaming::writer::{Limits, Writer};
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Limits of a destination that is quick about everything.
pub const QUICK: Limits = Limits {
    rows: 100,
    bytes: 1 << 20,
    age: Duration::from_millis(20),
    in_flight: 1,
};

/// How tests deal with failure: soon.
pub const IMPATIENT: DeliveryConfig = DeliveryConfig {
    backoff: Duration::from_millis(5),
    backoff_max: Duration::from_millis(50),
    backoff_fatal: Duration::from_millis(50),
    max_lag: None,
};

/// A destination in memory that remembers positions.
pub fn memory(name: &str) -> Arc<MemoryWriter> {
    Arc::new(MemoryWriter::new(name, QUICK, usize::MAX, true))
}

/// The events that a destination holds.
pub fn events(writer: &MemoryWriter) -> Vec<Event> {
    writer
        .rows()
        .iter()
        .map(|record: &Record| Event::decode(record.payload.clone()).expect("an event"))
        .collect()
}

/// The rows that a destination holds, as JSON.
pub fn rows(writer: &MemoryWriter) -> Vec<serde_json::Value> {
    let row = |record: &Record| {
        let mut json = Vec::new();
        write_row(&record.payload, &mut json).expect("a row");
        serde_json::from_slice(&json).expect("JSON")
    };
    writer.rows().iter().map(row).collect()
}

/// The event ids that a destination holds.
pub fn ids(writer: &MemoryWriter) -> Vec<String> {
    events(writer)
        .into_iter()
        .map(|event| event.event_id.expect("an id"))
        .collect()
}

/// What a collector is made of.
#[derive(Debug)]
pub struct Builder {
    pub folder: Arc<TempDir>,
    values: BTreeMap<String, String>,
    targets: Vec<Target>,
    disk: Arc<dyn Disk>,
    clock: Arc<dyn Clock>,
    consumes: bool,
}

impl Builder {
    /// A collector in a folder of its own with no destination yet.
    pub fn new() -> Self {
        Self::in_folder(Arc::new(
            tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("temporary folder"),
        ))
    }

    /// A collector in a folder that another one may have left.
    pub fn in_folder(folder: Arc<TempDir>) -> Self {
        let mut builder = Self {
            folder,
            values: BTreeMap::new(),
            targets: Vec::new(),
            disk: Arc::new(RealDisk),
            clock: SystemClock::shared(),
            consumes: false,
        };
        let path = |name: &str| builder.folder.path().join(name).display().to_string();
        let (log, dead_letter) = (path("log"), path("dead_letter"));
        builder = builder
            .set("LOG__DIR", &log)
            .set("DEAD_LETTER__URI", &dead_letter);
        builder
            .set("RUN__HOST", "127.0.0.1")
            .set("RUN__PORT", "0")
            .set("RUN__DRAIN", "4")
            .set("ADMIN__TOKEN", super::client::TOKEN)
    }

    /// Sets a variable.
    pub fn set(mut self, name: &str, value: &str) -> Self {
        self.values
            .insert(format!("APP_CONFIG__{name}"), value.to_owned());
        self
    }

    /// Sets a variable that is not the collector's own.
    pub fn environment(mut self, name: &str, value: &str) -> Self {
        self.values.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Takes events from the subscription of tests at this `host:port`.
    pub fn consuming(mut self, host: &str) -> Self {
        self.consumes = true;
        self.values
            .insert("PUBSUB_EMULATOR_HOST".to_owned(), host.to_owned());
        self.set("WRITERS__PROJECT_ID", "test-project")
            .set("WRITERS__PUBSUB__SUBSCRIPTION_ID", "events-sub")
    }

    /// Adds a destination.
    pub fn to(self, writer: &Arc<MemoryWriter>) -> Self {
        self.with_target(Arc::clone(writer) as Arc<dyn Writer>, IMPATIENT)
    }

    /// Adds a destination that is dealt with in another way.
    pub fn with_target(mut self, writer: Arc<dyn Writer>, delivery: DeliveryConfig) -> Self {
        self.targets.push(Target { writer, delivery });
        self
    }

    /// Puts the log on another disk.
    pub fn on_disk(mut self, disk: Arc<dyn Disk>) -> Self {
        self.disk = disk;
        self
    }

    /// Gives it another clock.
    pub fn by_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Starts it; the reason if it does not start.
    pub async fn try_start(self) -> Result<Collector, String> {
        let read = match self.consumes {
            true => Config::consuming,
            false => Config::from_values,
        };
        let config = read(self.values).map_err(|invalid| invalid.to_string())?;
        let app = App::build_with(&config, self.targets, self.disk, self.clock)
            .await
            .map_err(|error| error.to_string())?;
        let (address, ledger) = (app.address(), app.ledger());
        let admin_address = app.admin_address();
        let (shutdown, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(app.run(async move {
            let _told = stopped.await;
        }));
        Ok(Collector {
            address,
            admin_address,
            ledger,
            folder: self.folder,
            running: Some((shutdown, task)),
        })
    }

    /// Starts it.
    pub async fn start(self) -> Collector {
        self.try_start().await.expect("the collector starts")
    }
}

/// A running collector.
#[derive(Debug)]
pub struct Collector {
    pub address: SocketAddr,
    pub admin_address: SocketAddr,
    pub ledger: Arc<Ledger>,
    pub folder: Arc<TempDir>,
    running: Option<(oneshot::Sender<()>, JoinHandle<Ended>)>,
}

impl Collector {
    /// Sends an event body and expects that it is taken.
    pub async fn takes(&self, body: &str) {
        let answer = super::post(self.address, body).await;
        assert_eq!(
            (answer.status, answer.body.as_str()),
            (200, r#"{"status":"ok"}"#)
        );
    }

    /// Where the dead letters are.
    pub fn dead_letters(&self) -> Vec<serde_json::Value> {
        let mut lines = Vec::new();
        let mut folders = vec![PathBuf::from(self.folder.path()).join("dead_letter")];
        while let Some(folder) = folders.pop() {
            let Ok(entries) = std::fs::read_dir(folder) else {
                continue;
            };
            for entry in entries.map(|entry| entry.expect("an entry").path()) {
                if entry.is_dir() {
                    folders.push(entry);
                } else if entry
                    .extension()
                    .is_some_and(|extension| extension == "jsonl")
                {
                    let text = std::fs::read_to_string(entry).expect("a file");
                    lines.extend(
                        text.lines()
                            .map(|line| serde_json::from_str(line).expect("a line of JSON")),
                    );
                }
            }
        }
        lines
    }

    /// Tells it to stop, waits, and checks the ledger.
    pub async fn stop(mut self) -> Ended {
        let ended = self.end().await;
        self.check_balance();
        ended
    }

    /// Tells it to stop and waits. Its disk does not answer, so that nothing is settled.
    pub async fn stop_unchecked(mut self) -> Ended {
        self.end().await
    }

    async fn end(&mut self) -> Ended {
        let (shutdown, task) = self.running.take().expect("it runs");
        let _gone = shutdown.send(());
        task.await.expect("it ends")
    }

    /// Ends it at once, as far as that can be done in process.
    pub async fn abort(mut self) {
        let (_, task) = self.running.take().expect("it runs");
        task.abort();
        let _aborted = task.await;
    }

    fn check_balance(&self) {
        let intake = self.ledger.intake();
        assert!(intake.balances(), "the ledger does not balance: {intake:?}");
        for destination in self.ledger.destinations() {
            let (totals, pending) = (destination.totals(), destination.pending());
            assert_eq!(
                totals.settled() + pending,
                intake.appended,
                "{}: {totals:?}, pending {pending}, {intake:?}",
                destination.name()
            );
        }
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        assert!(
            self.running.is_none() || std::thread::panicking(),
            "stop the collector, so that its ledger is checked"
        );
    }
}
