//! What the fake can be told, as JSON: `"heal"`, `{"latency":50}`,
//! `{"fail":{"call":"append","fault":"hide_reply","when":{"after":3}}}`. Times are milliseconds, tables `project.dataset.table`.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::PathBuf;
use std::time::Duration;

use real_streaming_fakes::bigquery::BigQuery;
use real_streaming_fakes::bigquery::fault::{Call, Fault, When};
use serde::Deserialize;
use serde_json::{Value, json};

/// The column by which events are known.
const EVENT_ID: &str = "event_id";

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Command {
    Latency(u64),
    IdleAfter(u64),
    TableLag(u64),
    SchemaLag(u64),
    CheckEvery(u64),
    Fail {
        call: Call,
        fault: FaultName,
        when: Which,
    },
    /// Refuses rows whose event id ends like this.
    Poison(String),
    /// Ends all of `fail`, `poison` and `be_unreachable`.
    Heal,
    Cut,
    GoAway,
    BeUnreachable,
    ExpireStreams,
    FinalizeStreams,
    CreateDataset(String),
    RemoveDataset(String),
    CreateTable {
        table: String,
        /// As of tables.insert.
        body: Value,
    },
    DeleteTable(String),
    /// How much there is of what.
    Counts,
    /// Writes the event ids of a table into a file, one a line.
    Ids {
        table: String,
        file: PathBuf,
    },
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum FaultName {
    HideReply,
    Cut,
    Hang,
    HangDone,
    Idle,
    Unavailable,
    DoneThenUnavailable,
    Internal,
    Throttled,
    ThrottledInside,
    Forbidden,
    Unauthenticated,
    Invalid,
}

impl From<FaultName> for Fault {
    fn from(name: FaultName) -> Self {
        match name {
            FaultName::HideReply => Self::HideReply,
            FaultName::Cut => Self::Cut,
            FaultName::Hang => Self::Hang { done: false },
            FaultName::HangDone => Self::Hang { done: true },
            FaultName::Idle => Self::IDLE,
            FaultName::Unavailable => Self::UNAVAILABLE,
            FaultName::DoneThenUnavailable => {
                Self::DoneThenStatus(tonic::Code::Unavailable, "The service is unavailable.")
            }
            FaultName::Internal => Self::INTERNAL,
            FaultName::Throttled => Self::THROTTLED,
            FaultName::ThrottledInside => Self::THROTTLED_INSIDE,
            FaultName::Forbidden => Self::FORBIDDEN,
            FaultName::Unauthenticated => Self::UNAUTHENTICATED,
            FaultName::Invalid => Self::INVALID,
        }
    }
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Which {
    Next(u64),
    After(u64),
    Chance { probability: f64, seed: u64 },
    Always,
}

impl From<Which> for When {
    fn from(which: Which) -> Self {
        match which {
            Which::Next(count) => Self::Next(count),
            Which::After(count) => Self::After(count),
            Which::Chance { probability, seed } => Self::Chance { probability, seed },
            Which::Always => Self::Always,
        }
    }
}

/// Does what it is told; what there is to say.
///
/// # Errors
/// It cannot be done.
pub(super) fn obey(bigquery: &BigQuery, command: Command) -> Result<Value, String> {
    let millis = Duration::from_millis;
    match command {
        Command::Latency(time) => bigquery.latency(millis(time)),
        Command::IdleAfter(time) => bigquery.idle_after(millis(time)),
        Command::TableLag(time) => bigquery.table_lag(millis(time)),
        Command::SchemaLag(time) => bigquery.schema_lag(millis(time)),
        Command::CheckEvery(rows) => bigquery.check_every(rows.max(1)),
        Command::Fail { call, fault, when } => {
            bigquery.fail(call, fault.into(), when.into());
        }
        Command::Poison(end) => bigquery.poison(EVENT_ID, move |id| {
            id.as_str().is_some_and(|id| id.ends_with(&end))
        }),
        Command::Heal => bigquery.heal(),
        Command::Cut => bigquery.cut_connections(),
        Command::GoAway => bigquery.go_away(),
        Command::BeUnreachable => bigquery.be_unreachable(),
        Command::ExpireStreams => bigquery.expire_streams(),
        Command::FinalizeStreams => bigquery.finalize_streams(),
        Command::CreateDataset(name) => {
            let (project, dataset) = dataset(&name)?;
            bigquery.create_dataset(project, dataset);
        }
        Command::RemoveDataset(name) => {
            let (project, dataset) = dataset(&name)?;
            bigquery.remove_dataset(project, dataset);
        }
        Command::CreateTable { table, body } => {
            bigquery.create_table(checked(&table)?, body);
        }
        Command::DeleteTable(table) => bigquery.delete_table(checked(&table)?),
        Command::Counts => return Ok(counts(bigquery)),
        Command::Ids { table, file } => {
            let write = |table| {
                let mut file = BufWriter::new(File::create(&file)?);
                for id in bigquery.texts(table, EVENT_ID) {
                    writeln!(file, "{id}")?;
                }
                file.flush()
            };
            let written = write(checked(&table)?);
            written.map_err(|error| format!("{}: {error}", file.display()))?;
        }
    }
    Ok(Value::Null)
}

/// Project and dataset of `project.dataset`.
///
/// # Errors
/// It is not one.
pub(super) fn dataset(name: &str) -> Result<(&str, &str), String> {
    name.split_once('.')
        .ok_or_else(|| format!("{name} is not project.dataset"))
}

fn checked(table: &str) -> Result<&str, String> {
    let is_whole = table.split('.').count() == 3;
    is_whole
        .then_some(table)
        .ok_or_else(|| format!("{table} is not project.dataset.table"))
}

fn counts(bigquery: &BigQuery) -> Value {
    let tables = bigquery.tables();
    let rows = tables.iter().map(|table| {
        let count = bigquery.row_count(table);
        (table.clone(), json!(count))
    });
    json!({
        "rows": rows.collect::<serde_json::Map<_, _>>(),
        "unanswered_rows": bigquery.unanswered_rows(),
        "lost_fields": bigquery.lost_fields(),
        "foreign_replays": bigquery.foreign_replays(),
        "connections": bigquery.connections(),
        "appends": bigquery.calls(Call::Append),
        "streams": bigquery.calls(Call::Streams),
        "tables": bigquery.calls(Call::Tables),
    })
}
