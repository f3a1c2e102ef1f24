//! Brings rows of an older or differently ordered schema into the table's present one: columns are
//! found by name at every depth, missing ones are null.

use std::sync::Arc;

use arrow_array::cast::AsArray as _;
use arrow_array::{
    Array as _, ArrayRef, ListArray, RecordBatch, RecordBatchOptions, StructArray, new_null_array,
};
use arrow_schema::{DataType, FieldRef, SchemaRef};

use super::error::Error;

/// The rows in that schema.
pub(super) fn conform(rows: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, Error> {
    let mut columns = Vec::with_capacity(schema.fields().len());
    for field in schema.fields() {
        columns.push(match rows.column_by_name(field.name()) {
            Some(column) => conform_column(column, field.data_type())?,
            None => new_null_array(field.data_type(), rows.num_rows()),
        });
    }
    let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
    Ok(RecordBatch::try_new_with_options(
        schema.clone(),
        columns,
        &options,
    )?)
}

fn conform_column(column: &ArrayRef, wanted: &DataType) -> Result<ArrayRef, Error> {
    match (column.data_type(), wanted) {
        (have, wanted) if have == wanted => Ok(column.clone()),
        (DataType::Struct(_), DataType::Struct(fields)) => {
            conform_struct(column.as_struct(), fields.iter())
        }
        (DataType::List(_), DataType::List(element)) => {
            conform_list(column.as_list::<i32>(), element)
        }
        _ => Ok(arrow_cast::cast(column, wanted)?),
    }
}

fn conform_struct<'a>(
    column: &StructArray,
    fields: impl Iterator<Item = &'a FieldRef>,
) -> Result<ArrayRef, Error> {
    let (mut names, mut children) = (Vec::new(), Vec::new());
    for field in fields {
        names.push(field.clone());
        children.push(match column.column_by_name(field.name()) {
            Some(child) => conform_column(child, field.data_type())?,
            None => new_null_array(field.data_type(), column.len()),
        });
    }
    let conformed = StructArray::try_new(names.into(), children, column.nulls().cloned())?;
    Ok(Arc::new(conformed))
}

fn conform_list(column: &ListArray, element: &FieldRef) -> Result<ArrayRef, Error> {
    let values = conform_column(column.values(), element.data_type())?;
    let offsets = column.offsets().clone();
    let conformed = ListArray::try_new(element.clone(), offsets, values, column.nulls().cloned())?;
    Ok(Arc::new(conformed))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::Int64Array;
    use arrow_buffer::OffsetBuffer;
    use arrow_schema::{Field, Schema};

    fn list_of(fields: Vec<Field>) -> DataType {
        let element = Field::new("element", DataType::Struct(fields.into()), true);
        DataType::List(element.into())
    }

    #[test]
    fn a_nested_column_that_came_later_is_null() {
        let a = Field::new("a", DataType::Int64, true);
        let b = Field::new("b", DataType::Utf8, true);
        let values = StructArray::new(
            vec![a.clone()].into(),
            vec![Arc::new(Int64Array::from(vec![1, 2, 3]))],
            None,
        );
        let old_type = list_of(vec![a.clone()]);
        let DataType::List(element) = &old_type else {
            unreachable!()
        };
        let list = ListArray::new(
            element.clone(),
            OffsetBuffer::from_lengths([2, 0, 1]),
            Arc::new(values),
            None,
        );
        let old = Schema::new(vec![Field::new("items", old_type.clone(), true)]);
        let rows = RecordBatch::try_new(old.into(), vec![Arc::new(list)]).unwrap();

        let new: SchemaRef = Schema::new(vec![
            Field::new("later", DataType::Int64, true),
            Field::new("items", list_of(vec![b, a]), true),
        ])
        .into();
        let conformed = conform(&rows, &new).unwrap();
        assert_eq!(conformed.column(0).null_count(), 3);
        let items = conformed.column(1).as_list::<i32>();
        assert_eq!(items.value_length(0), 2);
        let inner = items.values().as_struct();
        assert_eq!(inner.column(0).null_count(), 3);
        assert_eq!(
            inner.column(1).to_data(),
            Int64Array::from(vec![1, 2, 3]).to_data()
        );
    }
}
