//! The values of each column while rows are read, and how they become Arrow arrays.
//!
//! Of some 250 columns a row fills a few, so a column keeps only the values that it was given, each with
//! its row; the nulls between are laid out once, when the batch is finished. A row is thus paid for by
//! its values, not by the columns, and taken back by cutting off what lies at its row and behind.

use std::mem;
use std::sync::Arc;

use arrow_array::types::{Date32Type, Float64Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{
    Array, ArrayRef, ArrowPrimitiveType, BooleanArray, ListArray, PrimitiveArray, StringArray,
    StructArray, new_null_array,
};
use arrow_buffer::{BooleanBufferBuilder, NullBuffer, OffsetBuffer};
use arrow_schema::{ArrowError, DataType, Fields};

use super::{UTC, element, element_type};
use crate::schema::descriptor::{Column, ColumnKind};
use crate::schema::wire::{self, RowError, Value};

/// The columns of a row or record.
#[derive(Debug)]
pub(super) struct RecordBuffer {
    columns: &'static [Column],
    buffers: Vec<Buffer>,
}

/// One column. The row of an element of a list is its place among the elements of all rows.
#[derive(Debug)]
enum Buffer {
    Text(TextBuffer),
    Int(Sparse<i64>),
    Double(Sparse<f64>),
    Bool(Sparse<bool>),
    Date(Sparse<i32>),
    Timestamp(Sparse<i64>),
    /// `rows` have the record.
    Record {
        rows: Vec<usize>,
        fields: Fields,
        record: RecordBuffer,
    },
    /// `rows` holds the row of each element.
    List {
        rows: Vec<usize>,
        elements: Box<Buffer>,
    },
}

impl RecordBuffer {
    pub(super) fn new(columns: &'static [Column]) -> Self {
        let buffers = columns.iter().map(Buffer::new).collect();
        Self { columns, buffers }
    }

    /// Reads an encoded message into a row. After an error parts of it are there: see `truncate`.
    pub(super) fn read(&mut self, row: usize, message: &[u8]) -> Result<(), RowError> {
        for field in wire::Fields::new(self.columns, message) {
            let (index, value) = field?;
            self.buffers[index].set(row, value)?;
        }
        Ok(())
    }

    /// Takes back a row and all behind it.
    pub(super) fn truncate(&mut self, row: usize) {
        for buffer in &mut self.buffers {
            buffer.truncate(row);
        }
    }

    /// The columns as arrays of so many rows. The buffers are empty afterwards.
    pub(super) fn finish(&mut self, rows: usize) -> Result<Vec<ArrayRef>, ArrowError> {
        let columns = self.columns.iter().zip(&mut self.buffers);
        columns
            .map(|(column, buffer)| match buffer.is_empty() {
                true if !column.is_repeated => Ok(new_null_array(&element_type(column), rows)),
                _ => buffer.finish(rows),
            })
            .collect()
    }
}

impl Buffer {
    fn new(column: &'static Column) -> Self {
        let item = match column.kind {
            ColumnKind::String | ColumnKind::Json => Self::Text(TextBuffer::default()),
            ColumnKind::Int64 => Self::Int(Sparse::default()),
            ColumnKind::Double => Self::Double(Sparse::default()),
            ColumnKind::Bool => Self::Bool(Sparse::default()),
            ColumnKind::Date => Self::Date(Sparse::default()),
            ColumnKind::Timestamp => Self::Timestamp(Sparse::default()),
            ColumnKind::Record => Self::Record {
                rows: Vec::new(),
                fields: super::fields(&column.children),
                record: RecordBuffer::new(&column.children),
            },
        };
        if !column.is_repeated {
            return item;
        }
        Self::List {
            rows: Vec::new(),
            elements: Box::new(item),
        }
    }

    /// Sets the value of a row; to a list, adds it.
    fn set(&mut self, row: usize, value: Value<'_>) -> Result<(), RowError> {
        match (self, value) {
            (Self::Text(texts), Value::Text(text)) => texts.set(row, text),
            (Self::Int(numbers), Value::Int(number)) => numbers.set(row, number),
            (Self::Timestamp(times), Value::Int(micros)) => times.set(row, micros),
            (Self::Date(days), Value::Int(day)) => {
                let day = i32::try_from(day).map_err(|_| RowError("a day is out of range"))?;
                days.set(row, day)
            }
            (Self::Double(numbers), Value::Double(number)) => numbers.set(row, number),
            (Self::Bool(states), Value::Bool(state)) => states.set(row, state),
            (Self::Record { rows, record, .. }, Value::Record(message)) => {
                append(rows, row)?;
                record.read(row, message)
            }
            (Self::List { rows, elements }, value) => {
                rows.push(row);
                elements.set(rows.len() - 1, value)
            }
            _ => Err(RowError("a field has another type")),
        }
    }

    fn is_empty(&self) -> bool {
        match self {
            Self::Text(texts) => texts.rows.is_empty(),
            Self::Int(numbers) | Self::Timestamp(numbers) => numbers.rows.is_empty(),
            Self::Double(numbers) => numbers.rows.is_empty(),
            Self::Bool(states) => states.rows.is_empty(),
            Self::Date(days) => days.rows.is_empty(),
            Self::Record { rows, .. } | Self::List { rows, .. } => rows.is_empty(),
        }
    }

    fn truncate(&mut self, row: usize) {
        match self {
            Self::Text(texts) => texts.truncate(row),
            Self::Int(numbers) | Self::Timestamp(numbers) => numbers.truncate(row),
            Self::Double(numbers) => numbers.truncate(row),
            Self::Bool(states) => states.truncate(row),
            Self::Date(days) => days.truncate(row),
            Self::Record { rows, record, .. } => {
                rows.truncate(rows_before(rows, row));
                record.truncate(row);
            }
            Self::List { rows, elements } => {
                rows.truncate(rows_before(rows, row));
                elements.truncate(rows.len());
            }
        }
    }

    fn finish(&mut self, rows: usize) -> Result<ArrayRef, ArrowError> {
        Ok(match self {
            Self::Text(texts) => Arc::new(texts.finish(rows)?),
            Self::Int(numbers) => Arc::new(primitive::<Int64Type>(numbers, rows)?),
            Self::Double(numbers) => Arc::new(primitive::<Float64Type>(numbers, rows)?),
            Self::Date(days) => Arc::new(primitive::<Date32Type>(days, rows)?),
            Self::Timestamp(times) => {
                let array = primitive::<TimestampMicrosecondType>(times, rows)?;
                Arc::new(array.with_timezone(UTC))
            }
            Self::Bool(states) => {
                let (states, nulls) = states.finish(rows);
                Arc::new(BooleanArray::new(states.into(), nulls))
            }
            Self::Record {
                rows: present,
                fields,
                record,
            } => {
                let arrays = record.finish(rows)?;
                let nulls = nulls(&take(present), rows);
                let fields = fields.clone();
                Arc::new(StructArray::try_new_with_length(
                    fields, arrays, nulls, rows,
                )?)
            }
            Self::List {
                rows: of_elements,
                elements,
            } => {
                let of_elements = take(of_elements);
                let values = elements.finish(of_elements.len())?;
                let item: DataType = values.data_type().clone();
                let offsets = list_offsets(&of_elements, rows)?;
                Arc::new(ListArray::try_new(element(item), offsets, values, None)?)
            }
        })
    }
}

/// Values of fixed size.
#[derive(Debug, Default)]
struct Sparse<T> {
    rows: Vec<usize>,
    values: Vec<T>,
}

impl<T: Copy + Default> Sparse<T> {
    fn set(&mut self, row: usize, value: T) -> Result<(), RowError> {
        append(&mut self.rows, row)?;
        self.values.push(value);
        Ok(())
    }

    fn truncate(&mut self, row: usize) {
        self.rows.truncate(rows_before(&self.rows, row));
        self.values.truncate(self.rows.len());
    }

    fn finish(&mut self, rows: usize) -> (Vec<T>, Option<NullBuffer>) {
        let present = take(&mut self.rows);
        let values = take(&mut self.values);
        let Some(nulls) = nulls(&present, rows) else {
            return (values, None);
        };
        let mut spread = vec![T::default(); rows];
        for (row, value) in present.into_iter().zip(values) {
            spread[row] = value;
        }
        (spread, Some(nulls))
    }
}

fn primitive<A: ArrowPrimitiveType>(
    buffer: &mut Sparse<A::Native>,
    rows: usize,
) -> Result<PrimitiveArray<A>, ArrowError> {
    let (values, nulls) = buffer.finish(rows);
    PrimitiveArray::try_new(values.into(), nulls)
}

/// Texts, one after the other.
#[derive(Debug, Default)]
struct TextBuffer {
    rows: Vec<usize>,
    /// Where each text ends in `bytes`.
    ends: Vec<usize>,
    bytes: Vec<u8>,
}

impl TextBuffer {
    fn set(&mut self, row: usize, text: &str) -> Result<(), RowError> {
        append(&mut self.rows, row)?;
        self.bytes.extend_from_slice(text.as_bytes());
        self.ends.push(self.bytes.len());
        Ok(())
    }

    fn truncate(&mut self, row: usize) {
        self.rows.truncate(rows_before(&self.rows, row));
        self.ends.truncate(self.rows.len());
        self.bytes
            .truncate(self.ends.last().copied().unwrap_or_default());
    }

    fn finish(&mut self, rows: usize) -> Result<StringArray, ArrowError> {
        let present = take(&mut self.rows);
        let ends = take(&mut self.ends);
        let bytes = take(&mut self.bytes);
        let mut offsets = Vec::with_capacity(rows + 1);
        let mut last_end = 0;
        for (row, end) in present.iter().zip(ends) {
            offsets.resize(row + 1, last_end);
            last_end = offset(end)?;
        }
        offsets.resize(rows + 1, last_end);
        let offsets = OffsetBuffer::new(offsets.into());
        StringArray::try_new(offsets, bytes.into(), nulls(&present, rows))
    }
}

/// Notes that a row has a value.
fn append(rows: &mut Vec<usize>, row: usize) -> Result<(), RowError> {
    if rows.last() == Some(&row) {
        return Err(RowError("a field is there twice"));
    }
    rows.push(row);
    Ok(())
}

/// How many of the ascending `rows` lie before `row`.
fn rows_before(rows: &[usize], row: usize) -> usize {
    rows.partition_point(|at| *at < row)
}

/// What a buffer holds; it is left with room for as much again, as batches are mostly alike.
fn take<T>(buffer: &mut Vec<T>) -> Vec<T> {
    let room = Vec::with_capacity(buffer.len());
    mem::replace(buffer, room)
}

/// Which of the rows are null, if `present` does not hold them all.
fn nulls(present: &[usize], rows: usize) -> Option<NullBuffer> {
    if present.len() == rows {
        return None;
    }
    let mut bits = BooleanBufferBuilder::new(rows);
    bits.append_n(rows, false);
    for row in present {
        bits.set_bit(*row, true);
    }
    Some(NullBuffer::new(bits.finish()))
}

/// Where the list of each row begins, from the row of each element.
fn list_offsets(of_elements: &[usize], rows: usize) -> Result<OffsetBuffer<i32>, ArrowError> {
    let end = offset(of_elements.len())?;
    let mut offsets = Vec::with_capacity(rows + 1);
    for (place, row) in (0..end).zip(of_elements) {
        if offsets.len() <= *row {
            offsets.resize(row + 1, place);
        }
    }
    offsets.resize(rows + 1, end);
    Ok(OffsetBuffer::new(offsets.into()))
}

fn offset(place: usize) -> Result<i32, ArrowError> {
    let too_large = |_| ArrowError::InvalidArgumentError("more than 2 GiB in a column".to_owned());
    i32::try_from(place).map_err(too_large)
}
