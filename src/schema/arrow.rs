//! Events, and rows of the ledger, as Arrow: the schema, and encoded rows straight into columns, with no message in between.
//!
//! The conventions are those of Delta Lake and Spark: all is nullable, the items of a list are called
//! `element`, times are UTC microseconds. An absent record is null, an empty one a record of nulls; an
//! absent list is an empty list, as in BigQuery. Nothing here knows of files or tables.
//! <https://github.com/delta-io/delta/blob/master/PROTOCOL.md#schema-serialization-format>

mod buffers;
#[cfg(test)]
mod tests;

use std::sync::{Arc, LazyLock};

use arrow_array::RecordBatch;
use arrow_schema::{ArrowError, DataType, Field, Fields, Schema, SchemaRef, TimeUnit};

use self::buffers::RecordBuffer;
use super::descriptor::{Column, ColumnKind, Table, events, ledger};
use super::wire::RowError;

const UTC: &str = "UTC";

/// The schema of a table of events.
pub fn schema() -> SchemaRef {
    static SCHEMA: LazyLock<SchemaRef> =
        LazyLock::new(|| Arc::new(Schema::new(fields(&events().columns))));
    Arc::clone(&SCHEMA)
}

/// The schema of a table of the ledger's rows.
pub fn ledger_schema() -> SchemaRef {
    Arc::new(Schema::new(fields(&ledger().columns)))
}

fn fields(columns: &[Column]) -> Fields {
    columns
        .iter()
        .map(|column| Field::new(&column.name, column_type(column), true))
        .collect()
}

fn column_type(column: &Column) -> DataType {
    let item = element_type(column);
    if column.is_repeated {
        return DataType::List(element(item));
    }
    item
}

/// The field of a list's items, named as Delta Lake and Spark name it.
fn element(item: DataType) -> Arc<Field> {
    Arc::new(Field::new("element", item, true))
}

fn element_type(column: &Column) -> DataType {
    match column.kind {
        ColumnKind::String | ColumnKind::Json => DataType::Utf8,
        ColumnKind::Int64 => DataType::Int64,
        ColumnKind::Double => DataType::Float64,
        ColumnKind::Bool => DataType::Boolean,
        ColumnKind::Date => DataType::Date32,
        ColumnKind::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, Some(UTC.into())),
        ColumnKind::Record => DataType::Struct(fields(&column.children)),
    }
}

/// Turns encoded rows into a [`RecordBatch`].
#[derive(Debug)]
pub struct RowsBuilder {
    schema: SchemaRef,
    columns: RecordBuffer,
    rows: usize,
}

impl Default for RowsBuilder {
    fn default() -> Self {
        Self::new()
    }
}

impl RowsBuilder {
    /// A builder of events, without rows.
    pub fn new() -> Self {
        Self::of(events(), schema())
    }

    /// A builder of the ledger's rows, without rows.
    pub fn of_ledger() -> Self {
        Self::of(ledger(), ledger_schema())
    }

    fn of(table: &'static Table, schema: SchemaRef) -> Self {
        Self {
            schema,
            columns: RecordBuffer::new(&table.columns),
            rows: 0,
        }
    }

    /// Adds an encoded row.
    ///
    /// # Errors
    /// The record cannot be read; then nothing of it is added.
    pub fn push(&mut self, encoded: &[u8]) -> Result<(), RowError> {
        if let Err(error) = self.columns.read(self.rows, encoded) {
            self.columns.truncate(self.rows);
            return Err(error);
        }
        self.rows += 1;
        Ok(())
    }

    /// Rows added.
    pub fn len(&self) -> usize {
        self.rows
    }

    /// Whether no row was added.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// The rows, which are then no longer in the builder.
    ///
    /// # Errors
    /// More text than one batch can hold (2 GiB in a column).
    pub fn finish(&mut self) -> Result<RecordBatch, ArrowError> {
        let finished = self.columns.finish(self.rows);
        self.columns.truncate(0);
        self.rows = 0;
        RecordBatch::try_new(Arc::clone(&self.schema), finished?)
    }
}
