//! A table beside that of the events: made and grown like it, appended to by the default stream.
//!
//! Whoever uses it brings the table's definition and the descriptor of its rows; nothing is known here of what they say.
//! Rows are appended at least once: after an error that leaves it open whether they were written, they are handed in again
//! and may be there twice, so they had better carry a key. One append makes one attempt. Nothing is asked before the first.

use bytes::Bytes;
use prost_types::DescriptorProto;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::Mutex;
use uuid::Uuid;

use crate::schema::{Kind, LogId, Record, SequenceNumber};
use crate::writer::WriteError;
use crate::writer::google::Access;

use super::appender::Appender;
use super::error::Reaction;
use super::listing::Listing;
use super::shards::DATE;
use super::tables::{Definition, Tables};
use super::under_way::UnderWay;
use super::{Config, MAX_REQUEST_BYTES, TableName};

/// Most rows of a request.
const MAX_REQUEST_ROWS: usize = 5_000;

/// Where a table is and by which interfaces it is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
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
    /// How long an answer may take.
    pub answer_timeout: Duration,
}

impl Place {
    /// Beside the events' table, under its name with `_suffix` behind; beside tables of days with `suffix_` before what
    /// they have in common, so that a query of all days (`events_*`) does not find it.
    pub fn beside(events: &Config, suffix: &str) -> Self {
        let table = match events.table.replacen(DATE, "", 1) {
            table if table == events.table => format!("{table}_{suffix}"),
            common => format!("{suffix}_{}", common.trim_matches('_')),
        };
        Self {
            project: events.project.clone(),
            dataset: events.dataset.clone(),
            table,
            endpoint: events.endpoint.clone(),
            grpc_endpoint: events.grpc_endpoint.clone(),
            answer_timeout: events.answer_timeout,
        }
    }
}

/// A table that takes rows beside those of the events.
#[derive(Debug)]
pub struct SideTable {
    wanted: TableName,
    definition: Definition,
    tables: Tables,
    appender: Appender,
    /// The table that rows go to, once it is ready.
    ready: Mutex<Option<TableName>>,
    /// Calls of [`SideTable::append`] under way.
    in_flight: AtomicUsize,
}

/// A row that the table will never take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedRow {
    /// Which of the rows that were handed in.
    pub index: usize,
    /// Why.
    pub reason: String,
}

impl SideTable {
    /// A table that was not asked for yet, whose rows are encoded as `descriptor` says.
    ///
    /// # Errors
    /// There are no credentials.
    pub fn new(
        place: &Place,
        definition: Definition,
        descriptor: DescriptorProto,
    ) -> Result<Self, WriteError> {
        let access = Access::new(&place.grpc_endpoint)?;
        Ok(Self {
            wanted: TableName {
                project: place.project.clone(),
                dataset: place.dataset.clone(),
                table: place.table.clone(),
            },
            definition,
            tables: Tables::new(Access::new(&place.endpoint)?)?,
            appender: Appender::new(access, descriptor, None, place.answer_timeout)?,
            ready: Mutex::default(),
            in_flight: AtomicUsize::new(0),
        })
    }

    /// Makes the table, or the columns that it lacks, unless that is done already.
    ///
    /// # Errors
    /// Transient and fatal ones; never `Rejected`.
    pub async fn open(&self) -> Result<(), WriteError> {
        self.prepared().await.map(drop)
    }

    /// Appends encoded rows, in requests of a size that the interface takes. Tells those that the table will never take;
    /// all others are durable there.
    ///
    /// # Errors
    /// Transient and fatal ones; never `Rejected`. Any of the rows may be there.
    pub async fn append(&self, rows: &[Bytes]) -> Result<Vec<RefusedRow>, WriteError> {
        let table = self.prepared().await?;
        let _under_way = UnderWay::new(&self.in_flight);
        let mut refused = Vec::new();
        let mut todo = requests(rows);
        // From the back; the first rows stand there.
        while let Some(mut records) = todo.pop() {
            let reaction = match self.appender.append(NO_LOG, None, &records).await {
                Ok(()) => continue,
                Err(reaction) => reaction,
            };
            match reaction {
                // Nothing of the request was written.
                Reaction::Rows(named) if !named.is_empty() => {
                    for (index, reason) in &named {
                        refused.push(refusal(&records[*index], reason.clone()));
                    }
                    let mut index = 0..;
                    records.retain(|_| {
                        let index = index.next();
                        !named.iter().any(|(named, _)| Some(*named) == index)
                    });
                    if !records.is_empty() {
                        todo.push(records);
                    }
                }
                // It may have been another request that ended the connection.
                Reaction::Ended(text) if self.in_flight.load(Ordering::Relaxed) > 1 => {
                    return Err(WriteError::transient(text));
                }
                Reaction::Something(reason) | Reaction::Ended(reason) => match records.as_slice() {
                    [alone] => refused.push(refusal(alone, reason)),
                    _ => {
                        let right = records.split_off(records.len() / 2);
                        todo.extend([right, records]);
                    }
                },
                Reaction::NoTable(text) => return Err(self.tables.unknown(&table, text).await),
                other => return Err(other.into_write_error()),
            }
        }
        refused.sort_by_key(|row| row.index);
        Ok(refused)
    }

    /// Some rows from the place that `next` of an earlier listing told, of these columns (`a`, `a.b`) only. New rows may be
    /// seen late: the interface shows what came in the last minutes when it likes.
    ///
    /// # Errors
    /// Transient and fatal ones; never `Rejected`.
    pub async fn list(&self, columns: &[&str], from: Option<&str>) -> Result<Listing, WriteError> {
        let table = self.prepared().await?;
        self.tables.list(&table, columns, from).await
    }

    async fn prepared(&self) -> Result<TableName, WriteError> {
        let mut ready = self.ready.lock().await;
        if let Some(table) = &*ready {
            return Ok(table.clone());
        }
        let table = self.tables.prepare(&self.wanted, &self.definition).await?;
        self.appender.begin(table.clone()).await?;
        *ready = Some(table.clone());
        Ok(table)
    }
}

/// The rows are of no log; their numbers are their places, from 1.
const NO_LOG: LogId = LogId(Uuid::nil());

fn refusal(record: &Record, reason: String) -> RefusedRow {
    RefusedRow {
        index: usize::try_from(record.sequence.0 - 1).unwrap_or(usize::MAX),
        reason,
    }
}

/// The rows as requests that are not too large, the last first.
fn requests(rows: &[Bytes]) -> Vec<Vec<Record>> {
    let mut requests: Vec<Vec<Record>> = Vec::new();
    let mut bytes = 0;
    for (sequence, row) in (1..).zip(rows) {
        let record = Record {
            sequence: SequenceNumber(sequence),
            kind: Kind::Event,
            payload: row.clone(),
        };
        match requests.last_mut() {
            Some(request)
                if bytes + row.len() <= MAX_REQUEST_BYTES && request.len() < MAX_REQUEST_ROWS =>
            {
                bytes += row.len();
                request.push(record);
            }
            _ => {
                bytes = row.len();
                requests.push(vec![record]);
            }
        }
    }
    requests.reverse();
    requests
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_small_enough_and_miss_no_row() {
        let rows: Vec<Bytes> = [4, 4, 2, 10, 1]
            .map(|megabytes| Bytes::from(vec![0; megabytes << 20]))
            .into();
        let mut cut = requests(&rows);
        cut.reverse();
        let numbers = |request: &Vec<Record>| -> Vec<u64> {
            request.iter().map(|record| record.sequence.0).collect()
        };
        let numbers: Vec<_> = cut.iter().map(numbers).collect();
        assert_eq!(numbers, [vec![1, 2], vec![3], vec![4], vec![5]]);
        let many = requests(&vec![Bytes::new(); MAX_REQUEST_ROWS + 1]);
        assert_eq!(
            many.iter().map(Vec::len).collect::<Vec<_>>(),
            [1, MAX_REQUEST_ROWS]
        );
    }
}
