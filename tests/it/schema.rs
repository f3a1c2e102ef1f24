//! The row's columns: what they may be, that none is ever changed, what is derived from them, and that
//! `docs/columns.md` knows each. `GENERATE=1` adds new columns to the snapshot of the columns;
//! `INSTA_UPDATE=always` renews the snapshots of the derived schemas.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use prost::Message as _;
use prost_reflect::prost_types::{DescriptorProto, FileDescriptorProto, FileDescriptorSet};
use prost_reflect::{DescriptorPool, DynamicMessage, Kind, MessageDescriptor};
use real_streaming::schema::{
    Column, ColumnKind, Event, EventParam, Value as ParamValue, bigquery, events, ledger, pool,
};

fn file(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Each column with its path, records included, in order.
fn each_column<'c>(
    columns: &'c [Column],
    parent: &str,
    visit: &mut impl FnMut(String, &'c Column),
) {
    for column in columns {
        let path = match parent {
            "" => column.name.clone(),
            parent => format!("{parent}.{}", column.name),
        };
        visit(path.clone(), column);
        each_column(&column.children, &path, visit);
    }
}

fn check_fields(message: &MessageDescriptor) {
    for field in message.fields() {
        let name = field.full_name();
        match field.kind() {
            Kind::Float => panic!("{name}: a 32-bit float loses digits, use double"),
            Kind::Message(message) => {
                check_fields(&message);
                continue;
            }
            // A list of numbers would be packed on the wire, which `schema::wire` does not read.
            Kind::String => {}
            Kind::Int32 | Kind::Int64 | Kind::Double | Kind::Bool => {
                assert!(!field.is_list(), "{name}: a list holds texts or messages");
            }
            other => panic!("{name}: {other:?} has no column type"),
        }
        let has_presence = field.supports_presence() || field.is_list();
        assert!(
            has_presence,
            "{name}: needs `optional`, else 0 and \"\" become null"
        );
        let is_plain_optional = field
            .containing_oneof()
            .is_none_or(|oneof| oneof.is_synthetic());
        assert!(is_plain_optional, "{name}: a oneof is no set of columns");
    }
}

#[test]
fn every_field_can_be_a_column() {
    check_fields(
        &pool()
            .get_message_by_name("collector.v1.Event")
            .expect("the row"),
    );
    for name in ["collector.v1.Document", "collector.v1.LedgerRow"] {
        check_fields(&pool().get_message_by_name(name).expect("the message"));
    }
    each_column(&events().columns, "", &mut |path, column| {
        let field_kind = wire_kind(&path);
        let fits = match column.kind {
            ColumnKind::Date => field_kind == Kind::Int32,
            ColumnKind::Int64 | ColumnKind::Timestamp => field_kind == Kind::Int64,
            ColumnKind::String | ColumnKind::Json => field_kind == Kind::String,
            ColumnKind::Double => field_kind == Kind::Double,
            ColumnKind::Bool => field_kind == Kind::Bool,
            ColumnKind::Record => matches!(field_kind, Kind::Message(_)),
        };
        assert!(
            fits,
            "{path}: {field_kind:?} is not stored as {:?}",
            column.kind
        );
    });
}

fn wire_kind(path: &str) -> Kind {
    let mut message = pool()
        .get_message_by_name("collector.v1.Event")
        .expect("the row");
    let mut kind = Kind::Message(message.clone());
    for name in path.split('.') {
        kind = message
            .get_field_by_name(name)
            .expect("the column's field")
            .kind();
        if let Kind::Message(inner) = &kind {
            message = inner.clone();
        }
    }
    kind
}

/// The columns by path: number and type.
type Listed = BTreeMap<String, (String, String)>;

fn listed(text: &str) -> Listed {
    let lines = text.lines().map(|line| {
        let mut words = line.split_whitespace().map(str::to_owned);
        let mut word = || words.next().unwrap_or_default();
        (word(), (word(), word()))
    });
    lines.collect()
}

/// What of the committed columns is gone or changed.
fn broken(committed: &Listed, now: &Listed) -> Vec<String> {
    let broken = committed
        .iter()
        .filter(|(path, column)| now.get(*path) != Some(column));
    broken
        .map(|(path, column)| format!("{path}: was {column:?}, is {:?}", now.get(path)))
        .collect()
}

#[test]
fn columns_are_only_added() {
    let mut now = String::new();
    let mut list = |path: String, column: &Column| {
        let list = if column.is_repeated { "[]" } else { "" };
        now.push_str(&format!(
            "{path} {} {:?}{list}\n",
            column.number, column.kind
        ));
    };
    each_column(&events().columns, "", &mut list);
    each_column(&ledger().columns, "(ledger)", &mut list);
    let snapshot = file("tests/it/snapshots/columns.txt");
    let committed = fs::read_to_string(&snapshot).unwrap_or_default();
    let broken = broken(&listed(&committed), &listed(&now));
    assert!(
        broken.is_empty(),
        "tables of these columns exist, so they stay as they are: {broken:#?}"
    );
    if std::env::var_os("GENERATE").is_some() {
        fs::write(&snapshot, &now).expect("the snapshot is written");
        return;
    }
    assert!(committed == now, "columns were added: run `make generate`");
}

#[test]
fn a_broken_column_is_noticed() {
    let before = listed("a 1 String\nb 2 Record\nb.c 1 Int64\n");
    let cases = [
        ("a 1 String\nb 2 Record\nb.c 1 Int64\nd 3 Bool\n", 0),
        ("a 1 String\nb 2 Record\n", 1),
        ("a 2 String\nb 1 Record\nb.c 1 Int64\n", 2),
        ("a 1 String\nb 2 Record\nb.c 1 Double\n", 1),
        ("a 1 String\nb 2 Record[]\nb.c 1 Int64\n", 1),
        ("a 1 String\nb 2 Record\nb.d 1 Int64\n", 1),
    ];
    for (now, expected) in cases {
        assert_eq!(broken(&before, &listed(now)).len(), expected, "{now}");
    }
}

#[test]
fn the_bigquery_table_is_as_committed() {
    insta::assert_snapshot!("bigquery", format!("{:#}", bigquery::table()));
    insta::assert_snapshot!("bigquery_ledger", format!("{:#}", bigquery::ledger_table()));
}

#[test]
fn the_bigquery_tables_are_ones_that_can_be_made() {
    can_be_made(&bigquery::table());
    can_be_made(&bigquery::ledger_table());
}

#[track_caller]
fn can_be_made(table: &serde_json::Value) {
    let fields = table["schema"]["fields"].as_array().expect("fields");
    let field = |name: &str| {
        fields
            .iter()
            .find(|field| field["name"] == name)
            .expect("a column")
    };
    let partition = table["timePartitioning"]["field"]
        .as_str()
        .expect("a column");
    assert_eq!(field(partition)["type"], "DATE");
    let clustering = table["clustering"]["fields"].as_array().expect("columns");
    assert!(
        (1..=4).contains(&clustering.len()),
        "BigQuery clusters by at most four columns"
    );
    for name in clustering {
        assert_eq!(field(name.as_str().expect("a name"))["mode"], "NULLABLE");
    }
    for field in fields {
        assert!(
            field["description"]
                .as_str()
                .is_some_and(|text| (1..=1024).contains(&text.len())),
            "{field}"
        );
        assert_eq!(
            field["type"] == "RECORD",
            field["fields"].is_array(),
            "{field}"
        );
    }
}

/// One line a field: what the Storage Write API is told of it.
fn writer_lines(message: &DescriptorProto, depth: usize, lines: &mut String) {
    let indent = "  ".repeat(depth);
    lines.push_str(&format!("{indent}{} {{\n", message.name()));
    for inner in &message.nested_type {
        writer_lines(inner, depth + 1, lines);
    }
    for field in &message.field {
        let label = format!("{:?}", field.label()).to_lowercase();
        let kind = field.type_name.clone();
        let kind = kind.unwrap_or_else(|| format!("{:?}", field.r#type()).to_lowercase());
        lines.push_str(&format!(
            "{indent}  {label} {kind} {} = {};\n",
            field.name(),
            field.number()
        ));
    }
    lines.push_str(&format!("{indent}}}\n"));
}

#[test]
fn the_writer_descriptor_is_as_committed() {
    let mut lines = String::new();
    writer_lines(&bigquery::writer_descriptor(), 0, &mut lines);
    insta::assert_snapshot!("bigquery_writer", lines);
}

#[test]
fn the_writer_descriptor_stands_alone() {
    let descriptor = bigquery::writer_descriptor();
    let nested = &descriptor.nested_type;
    let names: BTreeSet<&str> = nested.iter().map(DescriptorProto::name).collect();
    assert_eq!(names.len(), nested.len(), "a message is there twice");
    for message in nested.iter().chain([&descriptor]) {
        assert!(message.enum_type.is_empty() && message.oneof_decl.is_empty());
        for field in &message.field {
            let name = field.name();
            assert!(
                field.oneof_index.is_none() && field.proto3_optional.is_none(),
                "{name}: proto2 knows no such field"
            );
            if let Some(kind) = &field.type_name {
                assert!(names.contains(kind.as_str()), "{name}: no {kind} inside");
            }
        }
    }
    assert!(nested.iter().all(|message| message.nested_type.is_empty()));
    // Read alone it gives back what was encoded, fields that are 0 or "" included.
    let file = FileDescriptorProto {
        name: Some("row.proto".to_owned()),
        message_type: vec![descriptor],
        ..FileDescriptorProto::default()
    };
    let pool = DescriptorPool::from_file_descriptor_set(FileDescriptorSet { file: vec![file] })
        .expect("the descriptor needs nothing else");
    let event = Event {
        event_name: Some(String::new()),
        event_timestamp: Some(0),
        is_active_user: Some(false),
        event_params: vec![EventParam {
            key: Some("a".to_owned()),
            value: Some(ParamValue {
                double_value: Some(0.0),
                ..ParamValue::default()
            }),
        }],
        ..Event::default()
    };
    let row = pool.get_message_by_name("Event").expect("the row");
    let read = DynamicMessage::decode(row, event.encode_to_vec().as_slice()).expect("it is read");
    assert_eq!(read.unknown_fields().count(), 0);
    for name in ["event_name", "event_timestamp", "is_active_user"] {
        assert!(read.has_field_by_name(name), "{name} is lost");
    }
    assert_eq!(read.encode_to_vec(), event.encode_to_vec());
}

#[cfg(feature = "delta")]
#[test]
fn the_arrow_schema_is_as_committed() {
    let mut lines = String::new();
    for field in real_streaming::schema::arrow::schema().fields() {
        arrow_lines(field, 0, &mut lines);
    }
    insta::assert_snapshot!("arrow", lines);
}

#[cfg(feature = "delta")]
fn arrow_lines(field: &arrow_schema::Field, depth: usize, lines: &mut String) {
    use arrow_schema::DataType;
    let (kind, children): (String, Vec<_>) = match field.data_type() {
        DataType::Struct(fields) => ("Struct".to_owned(), fields.iter().collect()),
        DataType::List(element) => ("List".to_owned(), vec![element]),
        other => (other.to_string(), Vec::new()),
    };
    let null = if field.is_nullable() { "" } else { " not null" };
    lines.push_str(&format!(
        "{}{}: {kind}{null}\n",
        "  ".repeat(depth),
        field.name()
    ));
    for child in children {
        arrow_lines(child, depth + 1, lines);
    }
}

/// The columns that have a row in a table of docs/columns.md, each as often as it is there.
fn documented() -> Vec<(String, String)> {
    let text = fs::read_to_string(file("docs/columns.md")).expect("docs/columns.md");
    let rows = text.lines().filter_map(|line| {
        line.strip_prefix("| `")?
            .strip_suffix(" |")?
            .split_once("` | ")
    });
    rows.map(|(path, origin)| (path.to_owned(), origin.to_owned()))
        .collect()
}

#[test]
fn every_column_of_the_ledger_is_documented() {
    let text = fs::read_to_string(file("docs/ledger.md")).expect("docs/ledger.md");
    for column in &ledger().columns {
        let cell = format!("`{}`", column.name);
        let is_there = |line: &str| line.starts_with('|') && line.contains(&cell);
        assert!(text.lines().any(is_there), "{cell} is missing");
    }
}

#[test]
fn every_column_is_documented() {
    let documented = documented();
    let paths: BTreeSet<String> = documented.iter().map(|(path, _)| path.clone()).collect();
    assert_eq!(
        paths.len(),
        documented.len(),
        "a column is documented twice"
    );
    let mut leaves = BTreeSet::new();
    each_column(&events().columns, "", &mut |path, column| {
        if column.kind != ColumnKind::Record {
            leaves.insert(path);
        }
    });
    let missing: Vec<_> = leaves.difference(&paths).collect();
    let unknown: Vec<_> = paths.difference(&leaves).collect();
    assert!(
        missing.is_empty() && unknown.is_empty(),
        "missing: {missing:#?}, no such column: {unknown:#?}"
    );
    for (path, origin) in documented {
        let says_whence = origin.starts_with("filled from ") || origin.starts_with("null because ");
        assert!(
            says_whence,
            "{path}: say \"filled from …\" or \"null because …\", not {origin:?}"
        );
    }
}
