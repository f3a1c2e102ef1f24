//! `real-streaming show`: the newest rows, oldest of them first; those still in the log too.
//!
//! Reads beside a running collector: takes no lock, changes nothing. A row counts as stored when the
//! table's position says so; what lies beyond it is read from the log.

use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use crate::config::{Config, LogConfig};
use crate::durable::RealDisk;
use crate::log::Reader;
use crate::log::disk::{identities, read_only};
use crate::schema::{self, Kind, LogId, SequenceNumber};

/// How often a table is read to find it standing still.
#[cfg(feature = "delta")]
const TRIES: usize = 5;

/// How often a followed log is looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// Columns of the table form: heading, path, width.
const COLUMNS: [(&str, &str, usize); 6] = [
    ("time", "/synced_at_utc_", 27),
    ("stream", "/stream_id", 8),
    ("event", "/event_name", 20),
    ("user", "/user_pseudo_id", 36),
    ("country", "/geo/country", 8),
    ("page", "/event_params", 60),
];

/// Arguments of `show`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// How many rows.
    #[arg(short = 'n', long, default_value_t = 10)]
    rows: usize,
    /// As a table with a few columns, instead of whole rows as JSON lines.
    #[arg(long)]
    table: bool,
    /// Go on printing rows as they come.
    #[arg(short, long)]
    follow: bool,
}

pub(super) fn run(arguments: &Arguments, config: &Config) -> ExitCode {
    match show(arguments, config) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever reads has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => super::failed(&error),
    }
}

fn show(arguments: &Arguments, config: &Config) -> io::Result<()> {
    let LogConfig::Disk(log) = &config.log else {
        return Err(io::Error::other(
            "a memory log can only be read by the process that holds it",
        ));
    };
    let log_ids = identities(&log.dir, &RealDisk)?;
    let (mut rows, stored) = stored_rows(arguments.rows, config, &log_ids)?;
    let mut tail = read_only(&log.dir, Arc::new(RealDisk), stored);
    while let Some(waiting) = next_rows(tail.as_mut())? {
        rows.extend(waiting);
        let surplus = rows.len().saturating_sub(arguments.rows);
        rows.drain(..surplus);
    }
    let mut out = io::stdout().lock();
    if arguments.table {
        let headings: Vec<String> = COLUMNS
            .iter()
            .map(|(name, _, width)| format!("{name:width$}"))
            .collect();
        writeln!(out, "{}", headings.join("  ").trim_end())?;
    }
    for row in &rows {
        print(&mut out, arguments, row)?;
    }
    if !arguments.follow {
        return out.flush();
    }
    loop {
        out.flush()?;
        match next_rows(tail.as_mut())? {
            Some(rows) => {
                for row in &rows {
                    print(&mut out, arguments, row)?;
                }
            }
            None => std::thread::sleep(LOOK_INTERVAL),
        }
    }
}

/// The number up to which a table holds the log's rows.
#[cfg(feature = "delta")]
async fn stored_number(uri: &str, log_ids: &[LogId]) -> io::Result<SequenceNumber> {
    let mut stored = SequenceNumber::ZERO;
    for log_id in log_ids {
        let position = crate::writer::delta::position(uri, *log_id).await;
        stored = stored.max(position.map_err(io::Error::other)?.unwrap_or_default());
    }
    Ok(stored)
}

/// The newest rows of the table, oldest first, and the number up to which it holds the log's.
#[cfg(feature = "delta")]
fn stored_rows(
    rows: usize,
    config: &Config,
    log_ids: &[LogId],
) -> io::Result<(Vec<Value>, SequenceNumber)> {
    use crate::config::WriterConfig;
    use crate::writer::delta;

    let table = config
        .destinations
        .iter()
        .find_map(|destination| match &destination.writer {
            WriterConfig::Delta(delta) => Some(&delta.uri),
            _ => None,
        });
    let Some(uri) = table else {
        return Ok((Vec::new(), SequenceNumber::ZERO));
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        // Rows and number must be of one version of the table, or what is committed between would be shown twice. A busy table
        // may never stand still for long enough.
        let mut tries = 1..=TRIES;
        let (newest, stored) = loop {
            let before = stored_number(uri, log_ids).await?;
            let newest = delta::newest(uri, rows).await.map_err(io::Error::other)?;
            if stored_number(uri, log_ids).await? == before || tries.next().is_none() {
                break (newest, before);
            }
        };
        let mut lines = arrow_json::LineDelimitedWriter::new(Vec::new());
        lines
            .write(&newest)
            .and_then(|()| lines.finish())
            .map_err(io::Error::other)?;
        let lines = lines.into_inner();
        let rows = lines
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty());
        let mut rows = rows
            .map(serde_json::from_slice)
            .collect::<Result<Vec<Value>, _>>()?;
        rows.iter_mut().for_each(leave_out_empty_lists);
        rows.reverse();
        Ok((rows, stored))
    })
}

/// A list without elements is one that was not sent.
#[cfg(feature = "delta")]
fn leave_out_empty_lists(row: &mut Value) {
    match row {
        Value::Object(members) => {
            members.retain(|_, value| value.as_array().is_none_or(|list| !list.is_empty()));
            members.values_mut().for_each(leave_out_empty_lists);
        }
        Value::Array(values) => values.iter_mut().for_each(leave_out_empty_lists),
        _ => {}
    }
}

#[cfg(not(feature = "delta"))]
fn stored_rows(
    _rows: usize,
    _config: &Config,
    _log_ids: &[LogId],
) -> io::Result<(Vec<Value>, SequenceNumber)> {
    Ok((Vec::new(), SequenceNumber::ZERO))
}

/// The next rows of the log, if there are any.
fn next_rows(tail: &mut dyn Reader) -> io::Result<Option<Vec<Value>>> {
    let records = tail.read(1_000, 4 << 20)?.records;
    if records.is_empty() {
        return Ok(None);
    }
    let mut rows = Vec::with_capacity(records.len());
    for record in records.iter().filter(|record| record.kind == Kind::Event) {
        let mut text = Vec::new();
        schema::json::write_row(&record.payload, &mut text).map_err(io::Error::other)?;
        rows.push(serde_json::from_slice(&text)?);
    }
    Ok(Some(rows))
}

fn print(out: &mut impl Write, arguments: &Arguments, row: &Value) -> io::Result<()> {
    if !arguments.table {
        return writeln!(out, "{row}");
    }
    let cells = COLUMNS.iter().map(|(_, path, width)| {
        let text = match *path {
            "/event_params" => page(row),
            path => row
                .pointer(path)
                .and_then(Value::as_str)
                .unwrap_or_default(),
        };
        // Control characters would play with the terminal.
        let shown: String = text
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .take(*width)
            .collect();
        format!("{shown:width$}")
    });
    writeln!(out, "{}", cells.collect::<Vec<_>>().join("  ").trim_end())
}

fn page(row: &Value) -> &str {
    let params = row.get("event_params").and_then(Value::as_array);
    let location = params
        .into_iter()
        .flatten()
        .find(|param| param.get("key").and_then(Value::as_str) == Some("page_location"));
    location
        .and_then(|param| param.pointer("/value/string_value"))
        .and_then(Value::as_str)
        .unwrap_or_default()
}
