//! BigQuery by the Storage Write API (<https://cloud.google.com/bigquery/docs/write-api>).
//!
//! The encoded records of the log are the rows: they are sent as they are. With a disk log each row is written exactly
//! once (see [`appender`]); with a memory log at least once, by the default stream. `tables` makes the table and lets it grow.
//! Nothing here retries; a batch that is wrong somewhere is halved until the row is found.
//!
//! ```text
//! shards       which table: one, or one a day
//! tables       REST: the table            connection   one stream of requests and answers
//! appender     which stream, at what offset            journal      what was about to be sent
//! error        what each error asks for            side         another table beside that of the events
//! ledger       that of the ledger's rows               listing      the rows of such a table, as REST tells them
//! ```

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;
use jiff::tz::TimeZone;

use crate::clock::Clock;
use crate::durable::Disk;
use crate::schema::{LogId, Record, SequenceNumber};

use super::{Batch, LedgerTable, Limits, RowFault, WriteError, Writer};

mod appender;
mod connection;
mod error;
mod journal;
mod ledger;
mod listing;
mod shards;
mod side;
mod tables;
mod under_way;

use error::Reaction;
use ledger::BigQueryLedger;
pub use listing::Listing;
use shards::{Day, Shard, Shards};
pub use side::{Place, RefusedRow, SideTable};
pub use tables::Definition;
use under_way::UnderWay;

/// Requests may have 10 MB, and rows are not all of them.
const MAX_REQUEST_BYTES: usize = 9 << 20;

/// Requests under way at once: enough for 50 ms from here to there and back.
const IN_FLIGHT: usize = 8;

/// A row is rejected for a reason that names no row only if the table was looked at within this time.
const LOOK_BEFORE_REJECTING: Duration = Duration::from_secs(5);

/// While columns are missing, the table is looked at so often: somebody may have taken them away.
const LOOK_WHILE_LAGGING: Duration = Duration::from_secs(120);

/// How long the end of the process waits for the end of the stream.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// Where the rows go and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Project of the table.
    pub project: String,
    /// Dataset of the table.
    pub dataset: String,
    /// The table; with `{date}` in its name one for each day.
    pub table: String,
    /// Whose days.
    pub time_zone: TimeZone,
    /// The REST API; `http://` for one that asks for no credentials.
    pub endpoint: String,
    /// The Storage Write API; `http://` for one that asks for no credentials.
    pub grpc_endpoint: String,
    /// How long rows wait for more while others are under way.
    pub flush_interval: Duration,
    /// Most rows of a request.
    pub max_batch_rows: usize,
    /// How long an answer may take.
    pub answer_timeout: Duration,
    /// Where what is about to be sent is written down; without it rows are written at least once.
    pub journal: Option<PathBuf>,
}

impl Config {
    /// Kind and target, as the writer is called.
    pub fn name(&self) -> String {
        format!("bigquery:{}.{}.{}", self.project, self.dataset, self.table)
    }
}

/// A table's name.
#[derive(Clone, Debug, PartialEq, Eq)]
struct TableName {
    project: String,
    dataset: String,
    table: String,
}

impl TableName {
    /// As the Storage Write API has it.
    fn path(&self) -> String {
        format!(
            "projects/{}/datasets/{}/tables/{}",
            self.project, self.dataset, self.table
        )
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.project, self.dataset, self.table)
    }
}

/// Writes rows into a table of BigQuery.
#[derive(Debug)]
pub struct BigQueryWriter {
    name: String,
    /// Where the table of the ledger's rows is.
    ledger: Place,
    shards: Shards,
    flush_interval: Duration,
    max_batch_rows: usize,
    is_exact: bool,
    in_flight: AtomicUsize,
    /// Up to which number rows of each table were handed in since nothing was under way.
    handed_in: Mutex<BTreeMap<Day, SequenceNumber>>,
    /// Rows at a default stream that were written while others of their batch were not.
    partly: Mutex<HashSet<SequenceNumber>>,
}

/// The rows of a batch that go to one table.
struct Part<'a> {
    day: Day,
    records: Cow<'a, [Record]>,
    /// Those of the table before them, which may still be under way.
    previous: Option<SequenceNumber>,
}

impl BigQueryWriter {
    /// A writer that has asked nothing yet.
    ///
    /// # Errors
    /// There are no credentials.
    pub fn new(
        config: &Config,
        disk: &Arc<dyn Disk>,
        clock: &Arc<dyn Clock>,
    ) -> Result<Self, WriteError> {
        Ok(Self {
            name: config.name(),
            ledger: Place::beside(config, ledger::SUFFIX),
            shards: Shards::new(config, disk, clock)?,
            flush_interval: config.flush_interval,
            max_batch_rows: config.max_batch_rows,
            is_exact: config.journal.is_some(),
            in_flight: AtomicUsize::new(0),
            handed_in: Mutex::default(),
            partly: Mutex::default(),
        })
    }

    /// Hands the rows of a batch in, by table, and those that belong in none.
    fn parts<'a>(&self, batch: &'a Batch) -> (Vec<Part<'a>>, Vec<RowFault>) {
        let mut faults = Vec::new();
        let by_day = if self.shards.are_daily() {
            let mut by_day: BTreeMap<Day, Vec<Record>> = BTreeMap::new();
            for record in &batch.records {
                match shards::day_of(record) {
                    Ok(day) => by_day.entry(Some(day)).or_default().push(record.clone()),
                    Err(reason) => faults.push(RowFault {
                        sequence: record.sequence,
                        reason,
                    }),
                }
            }
            let by_day = by_day.into_iter();
            by_day
                .map(|(day, records)| (day, Cow::Owned(records)))
                .collect()
        } else {
            vec![(None, Cow::Borrowed(batch.records.as_slice()))]
        };
        let mut handed_in = lock(&self.handed_in);
        if batch.previous.is_none() {
            handed_in.clear();
        }
        let mut parts = Vec::with_capacity(by_day.len());
        for (day, records) in by_day {
            let last = records.last().map(|record| record.sequence);
            let previous = last.and_then(|last| handed_in.insert(day, last));
            parts.push(Part {
                day,
                records: self.not_yet_written(records),
                previous,
            });
        }
        (parts, faults)
    }

    /// Without those that an earlier attempt wrote into a default stream.
    fn not_yet_written<'a>(&self, records: Cow<'a, [Record]>) -> Cow<'a, [Record]> {
        let partly = lock(&self.partly);
        let is_new = |record: &&Record| !partly.contains(&record.sequence);
        if partly.is_empty() || records.iter().all(|record| is_new(&record)) {
            return records;
        }
        records.iter().filter(is_new).cloned().collect()
    }

    /// Appends rows; where something in them is wrong that nobody names, halves them until it is found. What stands
    /// before a wrong row is written then, and nothing behind it.
    async fn append(
        &self,
        batch: &Batch,
        part: &Part<'_>,
        shard: &Shard,
    ) -> Result<(), WriteError> {
        let mut todo = requests(part.previous, &part.records);
        while let Some((previous, records)) = todo.pop() {
            let appended = shard.appender.append(batch.log_id, previous, records).await;
            let reaction = match appended {
                Ok(()) => {
                    if !self.is_exact && records.len() < batch.records.len() {
                        let written = records.iter().map(|record| record.sequence);
                        lock(&self.partly).extend(written);
                    }
                    continue;
                }
                Err(reaction) => reaction,
            };
            let fault = |index: usize, reason: String| RowFault {
                sequence: records[index].sequence,
                reason,
            };
            return Err(match reaction {
                // It may have been another request that ended the connection.
                Reaction::Ended(text) if self.in_flight.load(Ordering::Relaxed) > 1 => {
                    WriteError::transient(text)
                }
                Reaction::Something(reason) | Reaction::Ended(reason) => {
                    if records.len() > 1 {
                        let (left, right) = records.split_at(records.len() / 2);
                        let last = left.last().map(|record| record.sequence);
                        todo.extend([(last, right), (previous, left)]);
                        continue;
                    }
                    // It may be the table that is not what it was.
                    match self
                        .shards
                        .look_after(part.day, LOOK_BEFORE_REJECTING)
                        .await
                    {
                        Ok(()) => WriteError::Rejected(vec![fault(0, reason)]),
                        Err(error) => error,
                    }
                }
                Reaction::SchemaLag(_) => {
                    let looked = self.shards.look_after(part.day, LOOK_WHILE_LAGGING).await;
                    looked.err().unwrap_or_else(|| reaction.into_write_error())
                }
                Reaction::Rows(rows) => WriteError::Rejected(
                    rows.into_iter()
                        .map(|(index, reason)| fault(index, reason))
                        .collect(),
                ),
                Reaction::NoTable(text) => self.shards.tables().unknown(&shard.table, text).await,
                other => other.into_write_error(),
            });
        }
        Ok(())
    }
}

/// Makes the table, or the columns that it lacks, for rows that somebody else writes; says so in the log if it cannot.
pub async fn prepare_table(config: &Config, clock: &Arc<dyn Clock>) {
    match Shards::table_now(config, clock).await {
        Ok(table) => tracing::info!(table, "the table behind the topic is ready"),
        Err(error) => tracing::warn!(
            %error,
            "the table behind the topic cannot be looked after; if it is there already, with all columns, all is well"
        ),
    }
}

/// The rows by request, the first ones last, each with the number behind which it belongs.
fn requests(
    previous: Option<SequenceNumber>,
    records: &[Record],
) -> Vec<(Option<SequenceNumber>, &[Record])> {
    let mut requests = Vec::new();
    let (mut previous, mut rest) = (previous, records);
    while !rest.is_empty() {
        let mut bytes = 0;
        let fits = rest.iter().take_while(|record| {
            bytes += record.payload.len();
            bytes <= MAX_REQUEST_BYTES
        });
        // One that is too large alone is for the server to refuse.
        let (request, behind) = rest.split_at(fits.count().max(1));
        requests.push((previous, request));
        previous = request.last().map(|record| record.sequence);
        rest = behind;
    }
    requests.reverse();
    requests
}

/// The first error, but that rejected rows are told together.
fn joined(results: Vec<Result<(), WriteError>>) -> Result<(), WriteError> {
    let mut rejected = Vec::new();
    for result in results {
        match result {
            Ok(()) => {}
            Err(WriteError::Rejected(faults)) => rejected.extend(faults),
            Err(error) => return Err(error),
        }
    }
    if rejected.is_empty() {
        return Ok(());
    }
    Err(WriteError::Rejected(rejected))
}

#[async_trait]
impl Writer for BigQueryWriter {
    fn name(&self) -> &str {
        &self.name
    }

    fn limits(&self) -> Limits {
        // What comes while nothing is under way has nothing to wait for.
        let is_idle = self.in_flight.load(Ordering::Relaxed) == 0;
        Limits {
            rows: self.max_batch_rows,
            bytes: MAX_REQUEST_BYTES,
            age: if is_idle {
                Duration::ZERO
            } else {
                self.flush_interval
            },
            in_flight: IN_FLIGHT,
        }
    }

    async fn open(&self) -> Result<(), WriteError> {
        self.shards.prepare().await
    }

    async fn position(&self, log_id: LogId) -> Result<Option<SequenceNumber>, WriteError> {
        // Where there are several tables, each knows of its own rows only: the cursor counts.
        match self.shards.only().await {
            Some(shard) => Ok(shard.appender.settled(log_id).await),
            None => Ok(None),
        }
    }

    async fn furthest(&self, log_id: LogId) -> Result<Option<SequenceNumber>, WriteError> {
        if self.shards.are_daily() {
            return Ok(self.shards.furthest(log_id));
        }
        self.position(log_id).await
    }

    async fn write(&self, batch: &Batch) -> Result<(), WriteError> {
        let _under_way = UnderWay::new(&self.in_flight);
        // Before anything is waited for: batches come in the order of the log.
        let (parts, faults) = self.parts(batch);
        if !faults.is_empty() {
            return Err(WriteError::Rejected(faults));
        }
        let days: Vec<Day> = parts.iter().map(|part| part.day).collect();
        let shards = self.shards.of(&days).await?;
        let parts = parts.iter().zip(&shards);
        let appends = parts.map(|(part, shard)| self.append(batch, part, shard));
        joined(join_all(appends).await)?;
        let mut partly = lock(&self.partly);
        if !partly.is_empty() {
            for record in &batch.records {
                partly.remove(&record.sequence);
            }
        }
        Ok(())
    }

    async fn close(&self) {
        self.shards.close().await;
    }

    fn ledger(&self) -> Result<Option<Arc<dyn LedgerTable>>, WriteError> {
        Ok(Some(Arc::new(BigQueryLedger::at(&self.ledger)?)))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
