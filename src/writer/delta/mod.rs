//! Delta Lake: rows as Parquet files and a transaction log, on local disk.
//!
//! A batch is one commit: its files and the batch's last sequence number (`txn`, under an identity made
//! of the log's id) become part of the table in the same atomic act, so each row is in it once. Files
//! and commits are durable when [`Writer::write`] returns. A task beside it merges the many small files
//! into few large ones and deletes what the table has let go of. The rows of the ledger have a table of their own, of the
//! same make.
//!
//! ```text
//! store   where the table lies; a local file system that syncs      table   creates, compares columns
//! parts   rows → Parquet files, one a day                           tail    the end of the log; commits
//! merge   which small files become one       upkeep  compaction, checkpoints, vacuum
//! pace    how long a batch waits             read    newest rows, for the command line
//! ledger  the table of the ledger's rows
//! ```

mod conform;
mod error;
mod ledger;
mod merge;
mod pace;
mod parts;
mod read;
mod store;
mod table;
mod tail;
mod upkeep;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use arrow_schema::SchemaRef;
use async_trait::async_trait;
use deltalake_core::kernel::{Action, Transaction};
use deltalake_core::logstore::LogStoreRef;
use deltalake_core::logstore::object_store::path::Path;
use deltalake_core::logstore::object_store::{self, ObjectStoreExt as _};
use deltalake_core::protocol::{DeltaOperation, SaveMode};
use tokio::sync::{Mutex, Notify};
use tokio::task::JoinHandle;

use self::ledger::DeltaLedger;
use self::pace::Pace;
use self::parts::{DATE, Part, Parts};
use self::store::{Disk, Location, RealDisk};
use self::table::Title;
use self::tail::{Commit, Tail};
use self::upkeep::Upkeep;
use super::{Batch, LedgerTable, Limits, RowFault, WriteError, Writer, background};
use crate::clock::Clock;
use crate::schema::{Kind, LogId, Record, SequenceNumber, arrow};

pub use self::error::Error;
pub use self::read::{newest, position};

/// Rows that are decoded at a time.
const SLICE_ROWS: usize = 1024;

/// Between two slices the processor is left to those who answer requests.
const BREATH: Duration = Duration::from_micros(500);

/// How a Delta table is written and kept.
#[derive(Clone, Debug)]
pub struct Config {
    /// Local path or `file://` URI of the table.
    pub uri: String,
    /// How long a batch waits for more rows.
    pub commit_interval: Duration,
    /// How long it waits at most when commits take up the machine.
    pub commit_interval_max: Duration,
    /// Most rows of a batch.
    pub max_batch_rows: usize,
    /// Most payload bytes of a batch: the bound of the memory that a write takes, about twice over.
    pub max_batch_bytes: usize,
    /// About how large merged files become.
    pub target_file_bytes: u64,
    /// Files of at least this size are left as they are.
    pub small_file_bytes: u64,
    /// So many files of similar size are merged into one.
    pub compact_after: usize,
    /// How long files that were merged into others are kept for those who still read them.
    pub file_retention: Duration,
    /// How long files are kept that never became part of the table.
    pub orphan_after: Duration,
    /// How long old commits are kept.
    pub log_retention: Duration,
    /// Commits from one checkpoint to the next.
    pub checkpoint_interval: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            uri: "./data/events".to_owned(),
            commit_interval: Duration::from_secs(2),
            commit_interval_max: Duration::from_secs(30),
            max_batch_rows: 100_000,
            max_batch_bytes: 32 << 20,
            target_file_bytes: 128 << 20,
            small_file_bytes: 32 << 20,
            compact_after: 8,
            file_retention: Duration::from_secs(3_600),
            orphan_after: Duration::from_secs(86_400),
            log_retention: Duration::from_secs(86_400),
            checkpoint_interval: 100,
        }
    }
}

impl Config {
    /// Kind and target, as the writer is called.
    ///
    /// # Errors
    /// The place cannot be that of a table.
    pub fn name(&self) -> Result<String, Error> {
        Ok(name_of(&Location::parse(&self.uri)?))
    }
}

fn name_of(location: &Location) -> String {
    format!("delta:{}", location.uri())
}

/// Whether files can be put and deleted where the table is or is to be, tried with a small one; whether it is there. Makes
/// the folder, but no table.
///
/// # Errors
/// Why they cannot.
pub async fn probe(uri: &str) -> Result<bool, Error> {
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let store = Location::parse(uri)?.create(&disk)?;
    tail::probe(&store).await?;
    Ok(store.is_delta_table_location().await?)
}

/// The identity under which a table remembers the position of a log.
fn app_id(log_id: LogId) -> String {
    format!("real-streaming-{log_id}")
}

/// An open table: shared by the writer and its upkeep. Commits take turns.
#[derive(Debug)]
struct Table {
    store: LogStoreRef,
    tail: Mutex<Tail>,
}

/// Writes batches into a Delta table.
#[derive(Debug)]
pub struct DeltaWriter {
    config: Config,
    name: String,
    location: Location,
    clock: Arc<dyn Clock>,
    disk: Arc<dyn Disk>,
    columns: SchemaRef,
    title: Title,
    pace: Arc<Pace>,
    open: Mutex<Option<Open>>,
}

/// What lives between `open` and `close`.
#[derive(Debug)]
struct Open {
    table: Arc<Table>,
    upkeep: Arc<Upkeep>,
    task: JoinHandle<()>,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.upkeep.stop.store(true, Ordering::Relaxed);
        self.upkeep.nudge.notify_one();
    }
}

impl DeltaWriter {
    /// A writer for the table at that place. Touches nothing yet.
    ///
    /// # Errors
    /// The place cannot be that of a table.
    pub fn new(config: Config, clock: Arc<dyn Clock>) -> Result<Self, Error> {
        Self::with(config, clock, Arc::new(RealDisk), arrow::schema())
    }

    fn with(
        config: Config,
        clock: Arc<dyn Clock>,
        disk: Arc<dyn Disk>,
        columns: SchemaRef,
    ) -> Result<Self, Error> {
        let location = Location::parse(&config.uri)?;
        let title = table::EVENTS;
        Ok(Self::at(location, config, clock, disk, columns, title))
    }

    fn at(
        location: Location,
        config: Config,
        clock: Arc<dyn Clock>,
        disk: Arc<dyn Disk>,
        columns: SchemaRef,
        title: Title,
    ) -> Self {
        let (least, most) = (config.commit_interval, config.commit_interval_max);
        Self {
            name: name_of(&location),
            location,
            clock,
            disk,
            columns,
            title,
            pace: Arc::new(Pace::new(least, most, Instant::now())),
            open: Mutex::default(),
            config,
        }
    }

    async fn try_open(&self) -> Result<(), Error> {
        let mut open = self.open.lock().await;
        if open.is_some() {
            return Ok(());
        }
        let store = self.location.create(&self.disk)?;
        tail::probe(&store).await?;
        table::prepare(&store, &self.config, &self.columns, self.title).await?;
        let small = self.config.small_file_bytes;
        let tail = Tail::load(store.clone(), self.columns.clone(), small).await?;
        let table = Arc::new(Table {
            store,
            tail: Mutex::new(tail),
        });
        let upkeep = Arc::new(Upkeep {
            table: table.clone(),
            config: self.config.clone(),
            clock: self.clock.clone(),
            pace: self.pace.clone(),
            nudge: Notify::new(),
            stop: Arc::new(AtomicBool::new(false)),
        });
        upkeep.nudge.notify_one();
        let task = tokio::spawn(upkeep.clone().run());
        *open = Some(Open {
            table,
            upkeep,
            task,
        });
        Ok(())
    }

    async fn table(&self) -> Result<Arc<Table>, Error> {
        let open = self.open.lock().await;
        open.as_ref()
            .map(|open| open.table.clone())
            .ok_or(Error::NotOpen)
    }

    async fn position_of(&self, log_id: LogId) -> Result<Option<i64>, Error> {
        let table = self.table().await?;
        let mut tail = table.tail.lock().await;
        tail.position(&app_id(log_id)).await
    }

    /// Stores the files, then makes them part of the table together with the position.
    async fn land(
        &self,
        parts: Vec<Part>,
        app_id: &str,
        known: Option<i64>,
        last: i64,
    ) -> Result<(), Error> {
        let table = self.table().await?;
        let objects = table.store.object_store(None);
        let mut actions = Vec::with_capacity(parts.len());
        for part in parts {
            let path = Path::parse(&part.add.path).map_err(object_store::Error::from)?;
            objects.put(&path, part.bytes.into()).await?;
            actions.push(Action::Add(part.add));
        }
        let now = self.clock.now().0 / 1_000;
        let commit = Commit {
            actions,
            operation: DeltaOperation::Write {
                mode: SaveMode::Append,
                partition_by: Some(vec![DATE.to_owned()]),
                predicate: None,
            },
            transaction: Some(Transaction::new_with_last_update(app_id, last, Some(now))),
        };
        let mut tail = table.tail.lock().await;
        tail.commit(commit, |tail| tail.unmoved(app_id, known))
            .await?;
        drop(tail);
        if let Some(open) = self.open.lock().await.as_ref() {
            open.upkeep.nudge.notify_one();
        }
        Ok(())
    }
}

/// Why records did not become files.
enum Unfit {
    Rows(Vec<RowFault>),
    Other(Error),
}

impl From<Error> for Unfit {
    fn from(error: Error) -> Self {
        Self::Other(error)
    }
}

/// Decodes records into the files of their days. Takes the processor for long: run it where it may block.
fn encode(records: &[Record], now_millis: i64) -> Result<Vec<Part>, Unfit> {
    let mut rows = arrow::RowsBuilder::new();
    let mut parts = Parts::default();
    let mut faults = Vec::new();
    for record in records {
        let reason = match record.kind {
            Kind::Document | Kind::Replayed => {
                Some("only events are stored in this table".to_owned())
            }
            Kind::Event => rows
                .push(&record.payload)
                .err()
                .map(|error| error.to_string()),
        };
        if let Some(reason) = reason {
            let sequence = record.sequence;
            faults.push(RowFault { sequence, reason });
        }
        if rows.len() >= SLICE_ROWS {
            let slice = rows.finish().map_err(Error::from)?;
            if faults.is_empty() {
                parts.write(&slice)?;
            }
            std::thread::sleep(BREATH);
        }
    }
    if !faults.is_empty() {
        return Err(Unfit::Rows(faults));
    }
    if !rows.is_empty() {
        parts.write(&rows.finish().map_err(Error::from)?)?;
    }
    Ok(parts.finish(now_millis)?)
}

#[async_trait]
impl Writer for DeltaWriter {
    fn name(&self) -> &str {
        &self.name
    }

    fn limits(&self) -> Limits {
        Limits {
            rows: self.config.max_batch_rows,
            bytes: self.config.max_batch_bytes,
            age: self.pace.age(Instant::now()),
            in_flight: 1,
        }
    }

    async fn open(&self) -> Result<(), WriteError> {
        Ok(self.try_open().await?)
    }

    async fn position(&self, log_id: LogId) -> Result<Option<SequenceNumber>, WriteError> {
        let position = self.position_of(log_id).await?;
        Ok(position
            .and_then(|last| u64::try_from(last).ok())
            .map(SequenceNumber))
    }

    async fn write(&self, batch: &Batch) -> Result<(), WriteError> {
        let known = self.position_of(batch.log_id).await?;
        let stored = known.and_then(|last| u64::try_from(last).ok()).unwrap_or(0);
        if batch.last.0 <= stored {
            // The commit may be one that was told to have failed, because it was not durable yet.
            return Ok(tail::probe(&self.table().await?.store).await?);
        }
        // The table may hold the beginning of the batch from an attempt whose answer was lost.
        let new = batch
            .records
            .iter()
            .filter(|record| record.sequence.0 > stored);
        let records: Vec<Record> = new.cloned().collect();
        let now = self.clock.now().0 / 1_000;
        let (encoded, took) = background::run("delta-encode", move || encode(&records, now))
            .await
            .map_err(Error::from)?;
        let parts = match encoded {
            Ok(parts) => parts,
            Err(Unfit::Rows(faults)) => return Err(WriteError::Rejected(faults)),
            Err(Unfit::Other(error)) => return Err(error.into()),
        };
        let last = i64::try_from(batch.last.0).map_err(WriteError::fatal)?;
        self.land(parts, &app_id(batch.log_id), known, last).await?;
        self.pace.spent(took);
        Ok(())
    }

    async fn close(&self) {
        let Some(mut open) = self.open.lock().await.take() else {
            return;
        };
        open.upkeep.stop.store(true, Ordering::Relaxed);
        open.upkeep.nudge.notify_one();
        if let Err(error) = (&mut open.task).await {
            tracing::warn!(%error, "upkeep of the table ended early");
        }
    }

    fn ledger(&self) -> Result<Option<Arc<dyn LedgerTable>>, WriteError> {
        Ok(Some(Arc::new(DeltaLedger::beside(self))))
    }
}
