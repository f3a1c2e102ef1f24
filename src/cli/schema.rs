//! `real-streaming schema`: the schema of the rows as other systems want it, and of the requests.

use std::process::ExitCode;

use clap::ValueEnum;

use crate::schema;
use crate::schema::bigquery::{OURS_BESIDE, OldColumn};

/// Arguments of `schema`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// For which system.
    #[arg(value_enum)]
    target: Target,
    /// For BigQuery: instead a view of this table, as project.dataset.table, that shows doubled rows once.
    #[arg(long, value_name = "TABLE")]
    view: Option<String>,
    /// For BigQuery: instead a view of this table of the predecessor, as project.dataset.table, and ours beside it, under the
    /// predecessor's names and types.
    #[arg(long, value_name = "TABLE", conflicts_with = "view")]
    migrate: Option<String>,
    /// Which column the predecessor's table has.
    #[arg(long, value_enum, requires = "migrate", default_value = "event_id")]
    old_has: OldHas,
}

/// The column that tells the predecessor's layouts apart.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum OldHas {
    /// The newer layout.
    #[value(name = "event_id")]
    EventId,
    /// The older one.
    #[value(name = "synced_at_utc_")]
    SyncedAtUtc,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Target {
    /// Body for BigQuery's tables.insert, JSON.
    Bigquery,
    /// Arrow schema, one column a line.
    #[cfg(feature = "delta")]
    Arrow,
    /// OpenAPI 3.1 description of the endpoints, JSON.
    Openapi,
}

pub(super) fn run(arguments: Arguments) -> ExitCode {
    let text = match (arguments.target, arguments.view, arguments.migrate) {
        (Target::Bigquery, Some(table), _) => schema::bigquery::view(&table),
        (Target::Bigquery, None, Some(table)) => migrating(&table, arguments.old_has),
        (_, Some(_), _) | (_, _, Some(_)) => {
            return super::failed(&"there is a view for bigquery only");
        }
        (Target::Bigquery, None, None) => pretty(&schema::bigquery::table()),
        #[cfg(feature = "delta")]
        (Target::Arrow, None, None) => schema::arrow::schema()
            .fields()
            .iter()
            .map(|field| format!("{field}\n"))
            .collect(),
        (Target::Openapi, None, None) => pretty(&crate::http::openapi::document()),
    };
    print!("{text}");
    ExitCode::SUCCESS
}

fn migrating(table: &str, old_has: OldHas) -> String {
    let has = match old_has {
        OldHas::EventId => OldColumn::EventId,
        OldHas::SyncedAtUtc => OldColumn::SyncedAtUtc,
    };
    schema::bigquery::united_view(table, has, &format!("{table}{OURS_BESIDE}"))
}

fn pretty(value: &serde_json::Value) -> String {
    format!("{value:#}\n")
}
