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
    /// For BigQuery: instead a view of this table, as project.dataset.table, that shows doubled rows once.
    #[arg(long, value_name = "TABLE")]
    view: Option<String>,
    /// For BigQuery: the table of rejected rows, or its view of those that wait.
    #[arg(long)]
    dead_letter: bool,
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
    let is_other = !matches!(arguments.target, Target::Bigquery);
    if is_other && (arguments.dead_letter || arguments.view.is_some()) {
        return super::failed(&"--view and --dead-letter are for bigquery only");
    }
    let text = match (arguments.target, arguments.view) {
        (_, Some(table)) if arguments.dead_letter => schema::bigquery::dead_letter::view(&table),
        (_, Some(table)) => schema::bigquery::view(&table),
        (_, None) if arguments.dead_letter => pretty(&schema::bigquery::dead_letter::table()),
        (Target::Bigquery, None) => pretty(&schema::bigquery::table()),
        #[cfg(feature = "delta")]
        (Target::Arrow, None) => schema::arrow::schema()
            .fields()
            .iter()
            .map(|field| format!("{field}\n"))
            .collect(),
        (Target::Openapi, None) => pretty(&crate::http::openapi::document()),
    };
    print!("{text}");
    ExitCode::SUCCESS
}

fn pretty(value: &serde_json::Value) -> String {
    format!("{value:#}\n")
}
