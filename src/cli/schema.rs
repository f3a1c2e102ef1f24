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
    /// Instead the schema of the table of the ledger's rows.
    #[arg(long, conflicts_with_all = ["view", "dead_letter"])]
    ledger: bool,
    /// For BigQuery: instead a view of this table, as project.dataset.table, that shows doubled rows once.
    #[arg(long, value_name = "TABLE")]
    view: Option<String>,
    /// For BigQuery: the table of rejected rows, or its view of those that wait.
    #[arg(long)]
    dead_letter: bool,
    /// For BigQuery: instead a view of this table of the predecessor, as project.dataset.table, and ours beside it, under the
    /// predecessor's names and types.
    #[arg(long, value_name = "TABLE", conflicts_with_all = ["view", "dead_letter", "ledger"])]
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
    let text = match arguments.target {
        Target::Bigquery => bigquery(&arguments),
        _ if arguments.view.is_some() || arguments.migrate.is_some() || arguments.dead_letter => {
            return super::failed(&"--view, --migrate and --dead-letter are for bigquery only");
        }
        #[cfg(feature = "delta")]
        Target::Arrow if arguments.ledger => lines(&schema::arrow::ledger_schema()),
        #[cfg(feature = "delta")]
        Target::Arrow => lines(&schema::arrow::schema()),
        Target::Openapi if arguments.ledger => {
            return super::failed(&"the ledger has no endpoint to describe");
        }
        Target::Openapi => pretty(&crate::http::openapi::document()),
    };
    print!("{text}");
    ExitCode::SUCCESS
}

fn bigquery(arguments: &Arguments) -> String {
    match (&arguments.view, &arguments.migrate) {
        (Some(table), _) if arguments.dead_letter => schema::bigquery::dead_letter::view(table),
        (Some(table), _) => schema::bigquery::view(table),
        (None, Some(table)) => migrating(table, arguments.old_has),
        (None, None) if arguments.ledger => pretty(&schema::bigquery::ledger_table()),
        (None, None) if arguments.dead_letter => pretty(&schema::bigquery::dead_letter::table()),
        (None, None) => pretty(&schema::bigquery::table()),
    }
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

#[cfg(feature = "delta")]
fn lines(schema: &arrow_schema::Schema) -> String {
    let fields = schema.fields().iter();
    fields.map(|field| format!("{field}\n")).collect()
}
