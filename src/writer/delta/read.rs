//! Reads from a table for the command line: the newest rows, the position of a log.

use std::sync::Arc;

use arrow_array::cast::AsArray as _;
use arrow_array::types::Int64Type;
use arrow_array::{ArrayRef, Date32Array, RecordBatch};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use arrow_select::interleave::interleave_record_batch;
use bytes::Bytes;
use deltalake_core::kernel::EagerSnapshot;
use deltalake_core::logstore::LogStoreRef;
use deltalake_core::logstore::object_store::ObjectStoreExt as _;
use deltalake_core::logstore::object_store::path::Path;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReaderBuilder, RowSelection};

use super::app_id;
use super::conform::conform;
use super::error::Error;
use super::parts::{DATE, Extent, TIME, day_number};
use super::store::{Disk, Location, RealDisk};
use crate::schema::{LogId, SequenceNumber};

fn existing(uri: &str) -> Result<LogStoreRef, Error> {
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    Location::parse(uri)?.existing(&disk)
}

/// The last sequence number of this log that the table holds.
///
/// # Errors
/// No table there, or it cannot be read.
pub async fn position(uri: &str, log_id: LogId) -> Result<Option<SequenceNumber>, Error> {
    let store = existing(uri)?;
    let snapshot = EagerSnapshot::try_new(store.as_ref(), None).await?;
    let version = snapshot
        .transaction_version(store.as_ref(), app_id(log_id))
        .await?;
    Ok(version
        .and_then(|version| u64::try_from(version).ok())
        .map(SequenceNumber))
}

/// A file and what the log says of it.
struct Candidate {
    path: Path,
    day: Option<i32>,
    newest: Option<i64>,
}

/// The newest rows by event time, newest first, in the columns of the table. Reads the files that may
/// hold them, one at a time.
///
/// # Errors
/// No table there, or it cannot be read.
pub async fn newest(uri: &str, rows: usize) -> Result<RecordBatch, Error> {
    let store = existing(uri)?;
    let snapshot = EagerSnapshot::try_new(store.as_ref(), None).await?;
    let schema = snapshot.arrow_schema();
    let mut files: Vec<Candidate> = snapshot
        .try_log_data()?
        .iter()
        .map(|file| Candidate {
            path: file.object_store_path(),
            day: file
                .partition_values_map()
                .remove(DATE)
                .flatten()
                .and_then(|date| day_number(&date)),
            newest: file
                .stats()
                .and_then(|stats| Extent::from_stats(&stats)?.times)
                .map(|(_, newest)| newest),
        })
        .collect();
    // Files of which nothing is known come first: they must be looked into.
    files.sort_by_key(|file| std::cmp::Reverse(file.newest.unwrap_or(i64::MAX)));

    let objects = store.object_store(None);
    let mut best = Best::new(rows);
    for file in files {
        if best.has_all_before(file.newest) {
            break;
        }
        let bytes = objects.get(&file.path).await?.bytes().await?;
        let schema = schema.clone();
        best = tokio::task::spawn_blocking(move || {
            best.take(bytes, file.day, &schema)?;
            Ok::<_, Error>(best)
        })
        .await??;
    }
    best.into_batch(&schema)
}

/// The newest rows so far.
struct Best {
    wanted: usize,
    batches: Vec<RecordBatch>,
    /// Time, batch and row of each, newest first.
    rows: Vec<(i64, usize, usize)>,
}

impl Best {
    fn new(wanted: usize) -> Self {
        Self {
            wanted,
            batches: Vec::new(),
            rows: Vec::new(),
        }
    }

    fn oldest(&self) -> Option<i64> {
        let last = self.wanted.checked_sub(1)?;
        self.rows.get(last).map(|(time, ..)| *time)
    }

    fn has_all_before(&self, newest: Option<i64>) -> bool {
        match (self.oldest(), newest) {
            (Some(oldest), Some(newest)) => newest <= oldest,
            _ => self.wanted == 0,
        }
    }

    /// Looks at the times of all rows, then decodes the other columns of the few that count.
    fn take(&mut self, file: Bytes, day: Option<i32>, schema: &SchemaRef) -> Result<(), Error> {
        let builder = ParquetRecordBatchReaderBuilder::try_new(file.clone())?;
        let only_time = ProjectionMask::columns(builder.parquet_schema(), [TIME]);
        let mut times: Vec<i64> = Vec::new();
        for batch in builder.with_projection(only_time).build()? {
            let batch = batch?;
            let column = batch
                .columns()
                .first()
                .and_then(|column| column.as_primitive_opt::<Int64Type>());
            match column {
                Some(column) => {
                    times.extend(column.iter().map(|time| time.unwrap_or(i64::MIN)));
                }
                None => times.resize(times.len() + batch.num_rows(), i64::MIN),
            }
        }
        let mut order: Vec<usize> = (0..times.len()).collect();
        order.sort_by_key(|row| std::cmp::Reverse(times[*row]));
        order.truncate(self.wanted);
        order.sort_unstable();

        let ranges = order.iter().map(|row| *row..*row + 1);
        let selection = RowSelection::from_consecutive_ranges(ranges, times.len());
        let reader = ParquetRecordBatchReaderBuilder::try_new(file)?
            .with_row_selection(selection)
            .build()?;
        let mut chosen = order.into_iter().map(|row| times[row]);
        for batch in reader {
            let batch = conform(&with_day(&batch?, day)?, schema)?;
            for row in 0..batch.num_rows() {
                let time = chosen.next().unwrap_or(i64::MIN);
                self.rows.push((time, self.batches.len(), row));
            }
            self.batches.push(batch);
        }
        self.rows.sort_by_key(|(time, ..)| std::cmp::Reverse(*time));
        self.rows.truncate(self.wanted);
        Ok(())
    }

    fn into_batch(self, schema: &SchemaRef) -> Result<RecordBatch, Error> {
        if self.rows.is_empty() {
            return Ok(RecordBatch::new_empty(schema.clone()));
        }
        let batches: Vec<&RecordBatch> = self.batches.iter().collect();
        let indices: Vec<_> = self
            .rows
            .iter()
            .map(|(_, batch, row)| (*batch, *row))
            .collect();
        Ok(interleave_record_batch(&batches, &indices)?)
    }
}

fn with_day(rows: &RecordBatch, day: Option<i32>) -> Result<RecordBatch, Error> {
    let mut fields: Vec<_> = rows.schema().fields().iter().cloned().collect();
    fields.push(Arc::new(Field::new(DATE, DataType::Date32, true)));
    let days: ArrayRef = Arc::new(Date32Array::from(vec![day; rows.num_rows()]));
    let columns = rows.columns().iter().cloned().chain([days]).collect();
    Ok(RecordBatch::try_new(Schema::new(fields).into(), columns)?)
}
