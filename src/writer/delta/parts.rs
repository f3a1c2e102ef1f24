//! Rows to Parquet files: one file a day, held in memory until it is whole.
//!
//! The day is in the file's path and in the commit, not in the file, as Delta has it. Statistics are
//! kept for the time of the event only: they are what keeps the transaction log small.
//! Knows nothing of commits.

use std::collections::BTreeMap;

use arrow_array::cast::AsArray as _;
use arrow_array::types::{Date32Type, Int64Type};
use arrow_array::{Array as _, RecordBatch, UInt32Array};
use arrow_schema::{Schema, SchemaRef};
use arrow_select::take::take_record_batch;
use bytes::Bytes;
use deltalake_core::kernel::Add;
use jiff::Span as Days;
use jiff::civil;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::Compression;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;
use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

use super::error::Error;

/// The column by whose day the table is partitioned.
pub(super) const DATE: &str = "date";
/// The column of which the transaction log knows the least and the greatest value.
pub(super) const TIME: &str = "event_timestamp";

const ROW_GROUP_ROWS: usize = 128 * 1024;

/// How the files are written.
pub(super) fn parquet_options() -> ArrowWriterOptions {
    let properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_created_by("real-streaming".to_owned())
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        // With some 250 columns, statistics and page indexes would be most of a small file.
        .set_statistics_enabled(EnabledStatistics::None)
        .set_offset_index_disabled(true)
        .set_column_statistics_enabled(ColumnPath::from(TIME), EnabledStatistics::Chunk)
        .build();
    ArrowWriterOptions::new()
        .with_properties(properties)
        .with_skip_arrow_metadata(true)
}

/// The schema of a data file: that of the table without the day.
pub(super) fn file_schema(table: &Schema) -> SchemaRef {
    let fields = table.fields().iter().filter(|field| field.name() != DATE);
    Schema::new(fields.cloned().collect::<Vec<_>>()).into()
}

/// A new file's path inside the table.
pub(super) fn new_path(date: Option<&str>) -> String {
    let date = date.unwrap_or("__HIVE_DEFAULT_PARTITION__");
    format!("{DATE}={date}/part-{}.snappy.parquet", Uuid::now_v7())
}

/// How many rows there are, and from when to when.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Extent {
    /// Rows.
    pub(super) rows: i64,
    /// Least and greatest event time in microseconds; `None` if no row has one.
    pub(super) times: Option<(i64, i64)>,
}

impl Extent {
    /// Takes in the rows of a batch.
    pub(super) fn observe(&mut self, batch: &RecordBatch) {
        let times = batch
            .column_by_name(TIME)
            .and_then(|column| column.as_primitive_opt::<Int64Type>())
            .into_iter()
            .flatten()
            .flatten();
        let mut seen = Self {
            rows: i64::try_from(batch.num_rows()).unwrap_or(i64::MAX),
            times: None,
        };
        for time in times {
            let (least, greatest) = seen.times.unwrap_or((time, time));
            seen.times = Some((least.min(time), greatest.max(time)));
        }
        self.join(seen);
    }

    fn join(&mut self, other: Self) {
        self.rows += other.rows;
        self.times = match (self.times, other.times) {
            (Some(a), Some(b)) => Some((a.0.min(b.0), a.1.max(b.1))),
            (a, b) => a.or(b),
        };
    }

    /// As the transaction log holds it.
    /// <https://github.com/delta-io/delta/blob/master/PROTOCOL.md#per-file-statistics>
    pub(super) fn to_stats(self) -> String {
        let Some((least, greatest)) = self.times else {
            return json!({ "numRecords": self.rows }).to_string();
        };
        let stats = json!({
            "numRecords": self.rows,
            "minValues": { TIME: least },
            "maxValues": { TIME: greatest },
        });
        stats.to_string()
    }

    /// From the transaction log, if it tells.
    pub(super) fn from_stats(stats: &str) -> Option<Self> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Stats {
            num_records: i64,
            min_values: Option<Times>,
            max_values: Option<Times>,
        }
        #[derive(Deserialize)]
        struct Times {
            event_timestamp: Option<i64>,
        }
        let stats: Stats = serde_json::from_str(stats).ok()?;
        let time = |times: Option<Times>| times.and_then(|times| times.event_timestamp);
        Some(Self {
            rows: stats.num_records,
            times: time(stats.min_values).zip(time(stats.max_values)),
        })
    }
}

/// A whole file, not yet stored.
#[derive(Debug)]
pub(super) struct Part {
    /// What the commit says of it.
    pub(super) add: Add,
    /// Its content.
    pub(super) bytes: Bytes,
}

/// What a commit says of a file of ours.
pub(super) fn add_action(
    path: String,
    date: Option<String>,
    size: usize,
    extent: Extent,
    now_millis: i64,
    data_change: bool,
) -> Add {
    Add {
        path,
        partition_values: [(DATE.to_owned(), date)].into(),
        size: i64::try_from(size).unwrap_or(i64::MAX),
        modification_time: now_millis,
        data_change,
        stats: Some(extent.to_stats()),
        ..Add::default()
    }
}

/// The files of one batch while they are filled.
#[derive(Debug, Default)]
pub(super) struct Parts {
    open: BTreeMap<Option<i32>, Open>,
}

#[derive(Debug)]
struct Open {
    writer: ArrowWriter<Vec<u8>>,
    extent: Extent,
}

impl Parts {
    /// Puts rows, which have the day among their columns, into the files of their days.
    pub(super) fn write(&mut self, rows: &RecordBatch) -> Result<(), Error> {
        let day_column = rows.schema().index_of(DATE)?;
        let days = rows.column(day_column).clone();
        let Some(days) = days.as_primitive_opt::<Date32Type>() else {
            return Err(Error::Schema(format!("{DATE} is {}", days.data_type())));
        };
        let mut columns = rows.clone();
        columns.remove_column(day_column);

        let mut rows_of: BTreeMap<Option<i32>, Vec<u32>> = BTreeMap::new();
        for (row, day) in (0..).zip(days.iter()) {
            rows_of.entry(day).or_default().push(row);
        }
        if let [day] = rows_of.keys().copied().collect::<Vec<_>>()[..] {
            return self.write_day(day, &columns);
        }
        for (day, rows) in rows_of {
            let chosen = take_record_batch(&columns, &UInt32Array::from(rows))?;
            self.write_day(day, &chosen)?;
        }
        Ok(())
    }

    fn write_day(&mut self, day: Option<i32>, rows: &RecordBatch) -> Result<(), Error> {
        let open = match self.open.entry(day) {
            std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::btree_map::Entry::Vacant(entry) => entry.insert(Open {
                writer: ArrowWriter::try_new_with_options(
                    Vec::new(),
                    rows.schema(),
                    parquet_options(),
                )?,
                extent: Extent::default(),
            }),
        };
        open.extent.observe(rows);
        Ok(open.writer.write(rows)?)
    }

    /// Ends the files.
    pub(super) fn finish(self, now_millis: i64) -> Result<Vec<Part>, Error> {
        let mut parts = Vec::with_capacity(self.open.len());
        for (day, open) in self.open {
            let bytes = Bytes::from(open.writer.into_inner()?);
            let date = day.and_then(day_name);
            let path = new_path(date.as_deref());
            let add = add_action(path, date, bytes.len(), open.extent, now_millis, true);
            parts.push(Part { add, bytes });
        }
        Ok(parts)
    }
}

/// `YYYY-MM-DD` of a day counted from 1970-01-01; `None` outside the years -9999 to 9999.
fn day_name(day: i32) -> Option<String> {
    let days = Days::new().try_days(day).ok()?;
    let date = civil::date(1970, 1, 1).checked_add(days).ok()?;
    Some(date.to_string())
}

/// The day counted from 1970-01-01 of a `YYYY-MM-DD`.
pub(super) fn day_number(date: &str) -> Option<i32> {
    let date: civil::Date = date.parse().ok()?;
    let since = date
        .since((jiff::Unit::Day, civil::date(1970, 1, 1)))
        .ok()?;
    Some(since.get_days())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_have_names_and_back() {
        assert_eq!(day_name(0).unwrap(), "1970-01-01");
        assert_eq!(day_name(20_778).unwrap(), "2026-11-21");
        assert_eq!(day_name(-1).unwrap(), "1969-12-31");
        assert_eq!(day_number("2026-11-21"), Some(20_778));
        assert_eq!(day_number("x"), None);
    }

    #[test]
    fn statistics_survive_the_log() {
        let extent = Extent {
            rows: 3,
            times: Some((-5, 9_007_199_254_740_993)),
        };
        assert_eq!(Extent::from_stats(&extent.to_stats()), Some(extent));
        let empty = Extent::default();
        assert_eq!(Extent::from_stats(&empty.to_stats()), Some(empty));
        assert_eq!(Extent::from_stats("{}"), None);
    }
}
