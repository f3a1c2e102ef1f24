//! BigQuery by the Storage Write API (<https://cloud.google.com/bigquery/docs/write-api>).
//!
//! The encoded records of the log are the rows: they are sent as they are. With a disk log each row is written exactly
//! once (see [`appender`]); with a memory log at least once, by the default stream. `tables` makes the table and lets it grow.
//! Nothing here retries; a batch that is wrong somewhere is halved until the row is found.
//!
//! ```text
//! tables       REST: the table            connection   one stream of requests and answers
//! appender     which stream, at what offset            journal      what was about to be sent
//! error        what each error asks for            side         another table beside that of the events
//! ledger       the table of the ledger's rows
//! ```

use std::collections::HashSet;
use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use crate::durable::Disk;
use crate::schema::{self, LogId, Record, SequenceNumber};

use super::google::Access;
use super::{Batch, LedgerTable, Limits, RowFault, WriteError, Writer};

mod appender;
mod connection;
mod error;
mod journal;
mod ledger;
mod side;
mod tables;

use appender::Appender;
use error::Reaction;
use journal::Journal;
use ledger::BigQueryLedger;
pub use side::{Place, RefusedRow, SideTable};
pub use tables::Definition;
use tables::Tables;

/// Requests may have 10 MB, and rows are not all of them.
const MAX_REQUEST_BYTES: usize = 9 << 20;

/// Requests under way at once: enough for 50 ms from here to there and back.
const IN_FLIGHT: usize = 8;

/// Where the rows go and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Project of the table.
    pub project: String,
    /// Dataset of the table.
    pub dataset: String,
    /// The table.
    pub table: String,
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
    wanted: TableName,
    /// Where the table of the ledger's rows is.
    ledger: Place,
    tables: Tables,
    appender: Appender,
    flush_interval: Duration,
    max_batch_rows: usize,
    is_exact: bool,
    in_flight: AtomicUsize,
    /// The table that rows go to, once it is ready.
    ready: Mutex<Option<TableName>>,
    /// Rows at the default stream that were written while others of their batch were not.
    partly: Mutex<HashSet<SequenceNumber>>,
}

impl BigQueryWriter {
    /// A writer that has asked nothing yet.
    ///
    /// # Errors
    /// There are no credentials, or the journal cannot be read.
    pub fn new(config: &Config, disk: &Arc<dyn Disk>) -> Result<Self, WriteError> {
        let wanted = TableName {
            project: config.project.clone(),
            dataset: config.dataset.clone(),
            table: config.table.clone(),
        };
        let journal = match &config.journal {
            Some(path) => {
                let journal = Journal::open(Arc::clone(disk), path);
                Some(journal.map_err(|error| {
                    WriteError::fatal(format!("{} cannot be read: {error}", path.display()))
                })?)
            }
            None => None,
        };
        let is_exact = journal.is_some();
        let access = Access::new(&config.grpc_endpoint)?;
        Ok(Self {
            name: format!("bigquery:{wanted}"),
            wanted,
            ledger: Place::beside(config, ledger::SUFFIX),
            tables: Tables::new(Access::new(&config.endpoint)?)?,
            appender: Appender::new(
                access,
                schema::bigquery::writer_descriptor(),
                journal,
                config.answer_timeout,
            )?,
            flush_interval: config.flush_interval,
            max_batch_rows: config.max_batch_rows,
            is_exact,
            in_flight: AtomicUsize::new(0),
            ready: Mutex::default(),
            partly: Mutex::default(),
        })
    }

    /// Appends rows; where something in them is wrong that nobody names, halves them until it is found. What stands
    /// before a wrong row is written then, and nothing behind it.
    async fn append(&self, batch: &Batch, records: &[Record]) -> Result<(), WriteError> {
        let whole = records.len();
        let mut todo = vec![(batch.previous, records)];
        while let Some((previous, records)) = todo.pop() {
            let appended = self.appender.append(batch.log_id, previous, records).await;
            let reaction = match appended {
                Ok(()) => {
                    if !self.is_exact && records.len() < whole {
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
                Reaction::Something(reason) => {
                    if records.len() > 1 {
                        let (left, right) = records.split_at(records.len() / 2);
                        let last = left.last().map(|record| record.sequence);
                        todo.extend([(last, right), (previous, left)]);
                        continue;
                    }
                    WriteError::Rejected(vec![fault(0, reason)])
                }
                Reaction::Rows(rows) => WriteError::Rejected(
                    rows.into_iter()
                        .map(|(index, reason)| fault(index, reason))
                        .collect(),
                ),
                Reaction::NoTable(text) => self.without_table(text).await,
                other => other.into_write_error(),
            });
        }
        Ok(())
    }

    async fn without_table(&self, text: String) -> WriteError {
        let table = lock(&self.ready).clone();
        match table {
            Some(table) => self.tables.unknown(&table, text).await,
            None => WriteError::transient(text),
        }
    }
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
        let table = self.tables.prepare(&self.wanted, &events()).await?;
        self.appender.begin(table.clone()).await?;
        *lock(&self.ready) = Some(table);
        Ok(())
    }

    async fn position(&self, log_id: LogId) -> Result<Option<SequenceNumber>, WriteError> {
        Ok(self.appender.settled(log_id).await)
    }

    async fn write(&self, batch: &Batch) -> Result<(), WriteError> {
        let _under_way = UnderWay::new(&self.in_flight);
        let known = {
            let partly = lock(&self.partly);
            let is_new = |record: &&Record| !partly.contains(&record.sequence);
            let is_whole = partly.is_empty() || batch.records.iter().all(|record| is_new(&record));
            (!is_whole).then(|| {
                batch
                    .records
                    .iter()
                    .filter(is_new)
                    .cloned()
                    .collect::<Vec<_>>()
            })
        };
        let records = known.as_deref().unwrap_or(&batch.records);
        self.append(batch, records).await?;
        let mut partly = lock(&self.partly);
        if !partly.is_empty() {
            for record in &batch.records {
                partly.remove(&record.sequence);
            }
        }
        Ok(())
    }

    async fn close(&self) {}

    fn ledger(&self) -> Result<Option<Arc<dyn LedgerTable>>, WriteError> {
        Ok(Some(Arc::new(BigQueryLedger::at(&self.ledger)?)))
    }
}

/// The table of events.
fn events() -> Definition {
    let mut table = schema::bigquery::table();
    table["description"] = "Events of Real Streaming, as Google Analytics 4 exports them".into();
    Definition {
        table,
        named_by: "WRITERS__BQ__TABLE_ID",
    }
}

/// Counts a request as under way until it is dropped.
struct UnderWay<'a>(&'a AtomicUsize);

impl<'a> UnderWay<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
