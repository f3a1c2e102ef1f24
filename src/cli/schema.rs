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
        Target::Bigquery => pretty(&schema::bigquery::table()),
        #[cfg(feature = "delta")]
        Target::Arrow => schema::arrow::schema()
            .fields()
            .iter()
            .map(|field| format!("{field}\n"))
            .collect(),
        Target::Openapi => pretty(&crate::http::openapi::document()),
    };
    print!("{text}");
    ExitCode::SUCCESS
}

fn pretty(value: &serde_json::Value) -> String {
    format!("{value:#}\n")
}
