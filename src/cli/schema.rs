//! `real-streaming schema`: the schema of the rows as other systems want it, and of the requests.

use std::process::ExitCode;

use clap::ValueEnum;

use crate::schema;

/// Arguments of `schema`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// For which system.
    #[arg(value_enum)]
    target: Target,
    /// Instead the schema of the table of the ledger's rows.
    #[arg(long, conflicts_with = "view")]
    ledger: bool,
    /// For BigQuery: instead a view of this table, as project.dataset.table, that shows doubled rows once.
    #[arg(long, value_name = "TABLE")]
    view: Option<String>,
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
    let text = match (arguments.target, arguments.view) {
        (Target::Bigquery, Some(table)) => schema::bigquery::view(&table),
        (_, Some(_)) => return super::failed(&"there is a view for bigquery only"),
        (Target::Bigquery, None) if arguments.ledger => pretty(&schema::bigquery::ledger_table()),
        (Target::Bigquery, None) => pretty(&schema::bigquery::table()),
        #[cfg(feature = "delta")]
        (Target::Arrow, None) if arguments.ledger => lines(&schema::arrow::ledger_schema()),
        #[cfg(feature = "delta")]
        (Target::Arrow, None) => lines(&schema::arrow::schema()),
        (Target::Openapi, None) if arguments.ledger => {
            return super::failed(&"the ledger has no endpoint to describe");
        }
        (Target::Openapi, None) => pretty(&crate::http::openapi::document()),
    };
    print!("{text}");
    ExitCode::SUCCESS
}

fn pretty(value: &serde_json::Value) -> String {
    format!("{value:#}\n")
}

#[cfg(feature = "delta")]
fn lines(schema: &arrow_schema::Schema) -> String {
    let fields = schema.fields().iter();
    fields.map(|field| format!("{field}\n")).collect()
}
