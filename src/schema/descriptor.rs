//! The columns of the row as plain data, read once from the descriptor of the .proto files.

use std::sync::LazyLock;

use prost_reflect::{DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MessageDescriptor};

/// Encoded FileDescriptorSet of `proto/`, with options and comments.
static DESCRIPTOR: &[u8] = include_bytes!("gen/descriptor.bin");

/// Type of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnKind {
    /// Text.
    String,
    /// Whole number.
    Int64,
    /// Number.
    Double,
    /// Yes or no.
    Bool,
    /// Day: int32 days since 1970-01-01.
    Date,
    /// Time: int64 microseconds since 1970-01-01 UTC.
    Timestamp,
    /// JSON text.
    Json,
    /// Columns below it.
    Record,
}

/// A column.
#[derive(Clone, Debug)]
pub struct Column {
    /// Name, in every system.
    pub name: String,
    /// Field number in the encoded message.
    pub number: u32,
    /// Type.
    pub kind: ColumnKind,
    /// Whether it is a list.
    pub is_repeated: bool,
    /// Whether it says something about a person.
    pub is_personal: bool,
    /// What it holds, one sentence.
    pub description: String,
    /// Columns of a record, by ascending number.
    pub children: Vec<Column>,
}

/// A message as a table.
#[derive(Clone, Debug)]
pub struct Table {
    /// Whole name of the message.
    pub(super) message: &'static str,
    /// Its columns, by ascending number.
    pub columns: Vec<Column>,
    /// The DATE column by whose day it is partitioned.
    pub partition_by: String,
    /// The columns by which a partition is sorted.
    pub cluster_by: Vec<String>,
}

/// The table of events.
pub fn events() -> &'static Table {
    static TABLE: LazyLock<Table> = LazyLock::new(|| table("collector.v1.Event"));
    &TABLE
}

/// The table of the ledger's rows.
pub fn ledger() -> &'static Table {
    static TABLE: LazyLock<Table> = LazyLock::new(|| table("collector.v1.LedgerRow"));
    &TABLE
}

/// The column with a field number, among columns by ascending number.
pub(super) fn by_number(columns: &[Column], number: u32) -> Option<(usize, &Column)> {
    // Most messages number their columns without gaps.
    let guess = usize::try_from(number).ok()?.checked_sub(1)?;
    if let Some(column) = columns.get(guess).filter(|column| column.number == number) {
        return Some((guess, column));
    }
    let index = columns
        .binary_search_by_key(&number, |column| column.number)
        .ok()?;
    columns.get(index).map(|column| (index, column))
}

/// The descriptors of `proto/`.
#[expect(
    clippy::expect_used,
    reason = "the bytes are compiled in and a test decodes them"
)]
pub fn pool() -> &'static DescriptorPool {
    static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| {
        DescriptorPool::decode(DESCRIPTOR).expect("the compiled-in descriptor is valid")
    });
    &POOL
}

#[expect(
    clippy::expect_used,
    reason = "the name is compiled in and a test asks for it"
)]
fn table(name: &'static str) -> Table {
    let message = pool()
        .get_message_by_name(name)
        .expect("the message is in the descriptor");
    let option = extension(&message.options(), "collector.v1.table");
    let text = |name: &str| {
        option
            .as_ref()
            .and_then(|option| Some(option.get_field_by_name(name)?.into_owned()))
    };
    let partition_by = text("partition_by")
        .and_then(|value| value.as_str().map(str::to_owned))
        .unwrap_or_default();
    let cluster_by = text("cluster_by").and_then(|value| {
        let names = value
            .as_list()?
            .iter()
            .filter_map(|name| name.as_str().map(str::to_owned));
        Some(names.collect())
    });
    Table {
        message: name,
        columns: columns(&message),
        partition_by,
        cluster_by: cluster_by.unwrap_or_default(),
    }
}

fn extension(options: &DynamicMessage, name: &str) -> Option<DynamicMessage> {
    let extension = pool().get_extension_by_name(name)?;
    if !options.has_extension(&extension) {
        return None;
    }
    options.get_extension(&extension).as_message().cloned()
}

fn columns(message: &MessageDescriptor) -> Vec<Column> {
    let mut columns: Vec<Column> = message.fields().map(|field| column(&field)).collect();
    columns.sort_by_key(|column| column.number);
    columns
}

fn column(field: &FieldDescriptor) -> Column {
    let option = extension(&field.options(), "collector.v1.column");
    let get = |name: &str| {
        option
            .as_ref()
            .and_then(|option| Some(option.get_field_by_name(name)?.into_owned()))
    };
    let stored_as = get("type")
        .and_then(|value| value.as_str().map(str::to_owned))
        .unwrap_or_default();
    let (kind, children) = match (field.kind(), stored_as.as_str()) {
        (Kind::Message(message), _) => (ColumnKind::Record, columns(&message)),
        (_, "DATE") => (ColumnKind::Date, Vec::new()),
        (_, "TIMESTAMP") => (ColumnKind::Timestamp, Vec::new()),
        (_, "JSON") => (ColumnKind::Json, Vec::new()),
        (Kind::Int64, _) => (ColumnKind::Int64, Vec::new()),
        (Kind::Double, _) => (ColumnKind::Double, Vec::new()),
        (Kind::Bool, _) => (ColumnKind::Bool, Vec::new()),
        _ => (ColumnKind::String, Vec::new()),
    };
    Column {
        name: field.name().to_owned(),
        number: field.number(),
        kind,
        is_repeated: field.is_list(),
        is_personal: get("personal")
            .and_then(|value| value.as_bool())
            .unwrap_or_default(),
        description: comment(field),
        children,
    }
}

/// The comment above a field, as one line.
fn comment(field: &FieldDescriptor) -> String {
    let file = field.parent_file();
    let info = file.file_descriptor_proto().source_code_info.as_ref();
    let location = info.and_then(|info| {
        info.location
            .iter()
            .find(|location| location.path == field.path())
    });
    let text = location
        .and_then(|location| location.leading_comments.as_deref())
        .unwrap_or_default();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_numbers(columns: &[Column]) {
        assert!(
            columns.len() <= 128,
            "as many as wire::check can tell apart"
        );
        assert!(columns.is_sorted_by(|a, b| a.number < b.number));
        for (index, column) in columns.iter().enumerate() {
            let found = by_number(columns, column.number).map(|(index, _)| index);
            assert_eq!(found, Some(index), "{}", column.name);
            assert!(
                !column.description.is_empty(),
                "{} has no comment",
                column.name
            );
            check_numbers(&column.children);
        }
    }

    #[test]
    fn numbers_may_have_gaps() {
        let columns = &events().columns;
        let some = [columns[0].clone(), columns[1].clone(), columns[9].clone()];
        let index = |number| by_number(&some, number).map(|(index, _)| index);
        assert_eq!([1, 2, 10].map(index), [Some(0), Some(1), Some(2)]);
        assert_eq!([0, 3, 9, 11, u32::MAX].map(index), [None; 5]);
    }

    #[test]
    fn the_tree_is_complete() {
        let table = events();
        assert_eq!(table.columns.len(), 41);
        assert_eq!(
            (table.partition_by.as_str(), table.cluster_by.len()),
            ("date", 2)
        );
        check_numbers(&table.columns);
        let date = &table.columns[31];
        assert_eq!((date.name.as_str(), date.kind), ("date", ColumnKind::Date));
        assert!(table.columns[33].is_personal);
        check_numbers(&ledger().columns);
        assert_eq!(ledger().columns.len(), 10);
        assert_eq!(ledger().partition_by, "date");
    }
}
