//! `tabledata.list`: rows as cells without names (<https://cloud.google.com/bigquery/docs/reference/rest/v2/tabledata/list>).
//!
//! Whatever is asked besides is refused. Rows of the last minutes may be missing, as far as a test says so.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use bytes::Bytes;
use jiff::Timestamp;
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use super::refusal::Refusal;
use super::row;
use super::schema::Column;
use super::storage::table_field_schema::{Mode, Type};
use super::table::Table;

/// Most rows and bytes of an answer (<https://cloud.google.com/bigquery/quotas#tabledata_list_requests>).
const MAX_ROWS: usize = 100_000;
const MAX_BYTES: usize = 10 << 20;

const KNOWN: [&str; 6] = [
    "maxResults",
    "startIndex",
    "pageToken",
    "selectedFields",
    "formatOptions.useInt64Timestamp",
    "prettyPrint",
];

/// Some rows of a table, of whose rows `shown` are shown at all.
///
/// # Errors
/// It is no such question.
pub(super) fn list(table: &Table, query: &str, shown: usize) -> Result<Value, Refusal> {
    let asked = parameters(query)?;
    let number = |name: &str| -> Result<Option<usize>, Refusal> {
        let invalid = |_| Refusal::invalid(format!("Invalid value for {name}"));
        let text = asked.get(name);
        text.map(|text| text.parse().map_err(invalid)).transpose()
    };
    let start = match (asked.get("pageToken"), number("startIndex")?) {
        (Some(_), Some(_)) => {
            let message = "Only one of pageToken and startIndex can be given.";
            return Err(Refusal::invalid(message));
        }
        (Some(token), None) => {
            index(token).ok_or_else(|| Refusal::invalid(format!("Invalid page token: {token}")))?
        }
        (None, start) => start.unwrap_or_default(),
    };
    let most = number("maxResults")?.unwrap_or(MAX_ROWS).min(MAX_ROWS);
    let is_whole_time = match asked.get("formatOptions.useInt64Timestamp") {
        None => false,
        Some(text) if text.eq_ignore_ascii_case("true") => true,
        Some(text) if text.eq_ignore_ascii_case("false") => false,
        Some(_) => return Err(Refusal::invalid("Invalid value for useInt64Timestamp")),
    };
    let all = table.columns();
    let columns = match asked.get("selectedFields") {
        None => all.to_vec(),
        Some(wanted) => select(&all, &wanted.split(',').collect::<Vec<_>>())?,
    };
    let read = table.chunks.iter().flat_map(|chunk| {
        let read = |row: Bytes| row::read(&chunk.plan, &row).expect("an unchecked row is bad");
        chunk.rows().into_iter().map(move |row| read(row).values)
    });
    let total: usize = table.chunks.iter().map(|chunk| chunk.len()).sum();
    let total = total.min(shown);
    let (mut rows, mut bytes) = (Vec::new(), 0);
    for row in read.take(total).skip(start).take(most) {
        let row = cells(&columns, &row, is_whole_time);
        bytes += row.to_string().len();
        if bytes > MAX_BYTES && !rows.is_empty() {
            break;
        }
        rows.push(row);
    }
    let next = start + rows.len();
    let mut told =
        json!({"kind": "bigquery#tableDataList", "etag": "e1==", "totalRows": total.to_string()});
    if next < total {
        told["pageToken"] = token(next).into();
    }
    // Nothing is told as nothing.
    if !rows.is_empty() {
        told["rows"] = rows.into();
    }
    Ok(told)
}

fn parameters(query: &str) -> Result<HashMap<String, String>, Refusal> {
    let decoded = |text: &str| {
        let text = text.replace('+', " ");
        percent_decode_str(&text).decode_utf8_lossy().into_owned()
    };
    let mut asked = HashMap::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let name = decoded(name);
        if !KNOWN.contains(&name.as_str()) || asked.insert(name.clone(), decoded(value)).is_some() {
            let message = format!("Invalid query parameter: {name}");
            return Err(Refusal::invalid(message));
        }
    }
    Ok(asked)
}

fn token(index: usize) -> String {
    URL_SAFE.encode(format!("page {index}"))
}

fn index(token: &str) -> Option<usize> {
    let text = String::from_utf8(URL_SAFE.decode(token).ok()?).ok()?;
    text.strip_prefix("page ")?.parse().ok()
}

/// The columns that are named, in the order of the table.
fn select(columns: &[Column], wanted: &[&str]) -> Result<Vec<Column>, Refusal> {
    let no_such = |name: &str| Refusal::invalid(format!("No such field: {name}."));
    for name in wanted {
        let first = name.split('.').next().unwrap_or_default();
        Column::find(columns, first).ok_or_else(|| no_such(name))?;
    }
    let mut selected = Vec::new();
    for column in columns {
        if wanted
            .iter()
            .any(|name| column.name.eq_ignore_ascii_case(name))
        {
            selected.push(column.clone());
            continue;
        }
        let below = wanted.iter().filter_map(|name| name.split_once('.'));
        let below: Vec<&str> = below
            .filter(|(above, _)| column.name.eq_ignore_ascii_case(above))
            .map(|(_, below)| below)
            .collect();
        if !below.is_empty() {
            let children = select(&column.children, &below)?;
            selected.push(Column {
                children,
                ..column.clone()
            });
        }
    }
    Ok(selected)
}

fn cells(columns: &[Column], row: &Value, is_whole_time: bool) -> Value {
    let cells = columns.iter().map(|column| {
        let value = row.get(&column.name).unwrap_or(&Value::Null);
        let cell = |value: &Value| json!({"v": cell(column, value, is_whole_time)});
        match value.as_array() {
            Some(list) => json!({"v": list.iter().map(cell).collect::<Vec<_>>()}),
            None if column.mode == Mode::Repeated => json!({"v": []}),
            None => cell(value),
        }
    });
    json!({"f": cells.collect::<Vec<_>>()})
}

/// A value as text.
fn cell(column: &Column, value: &Value, is_whole_time: bool) -> Value {
    match (column.kind, value) {
        (_, Value::Null) => Value::Null,
        (Type::Struct, record) => cells(&column.children, record, is_whole_time),
        (Type::Timestamp, Value::String(text)) => {
            let time: Timestamp = text.parse().expect("it was written as one");
            if is_whole_time {
                json!(time.as_microsecond().to_string())
            } else {
                #[expect(clippy::cast_precision_loss, reason = "as it is told")]
                let seconds = time.as_microsecond() as f64 / 1e6;
                json!(format!("{seconds:E}"))
            }
        }
        (_, Value::String(text)) => json!(text),
        (_, other) => json!(other.to_string()),
    }
}
