//! The fake BigQuery as a process of its own.
//!
//! It first prints where it is, one line of JSON: `{"grpc":"http://…","rest":"http://…"}`. Then it reads commands from
//! standard input, one line of JSON each (see [`command`]), and answers each with a line: `{"ok":…}` or `{"error":"…"}`.
//! It ends with its standard input, so also with whoever started it.

use std::error::Error;
use std::io::{self, BufRead as _, Write as _};
use std::time::Duration;

use clap::Parser;
use real_streaming_fakes::bigquery::BigQuery;
use serde_json::{Value, json};

mod command;

/// Takes millions of rows that it must not be slow about.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A strict BigQuery that keeps its tables in memory.
#[derive(Debug, Parser)]
struct Arguments {
    /// Dataset that is there from the beginning, as project.dataset; may be given again.
    #[arg(long)]
    dataset: Vec<String>,
    /// Only one row of so many is checked column by column.
    #[arg(long, default_value_t = 1)]
    check_every: u64,
    /// Milliseconds by which each reply leaves later.
    #[arg(long, default_value_t = 0)]
    latency: u64,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Runtime::new()?;
    let bigquery = runtime.block_on(BigQuery::start());
    bigquery.check_every(arguments.check_every.max(1));
    bigquery.latency(Duration::from_millis(arguments.latency));
    for dataset in &arguments.dataset {
        let (project, dataset) = command::dataset(dataset)?;
        bigquery.create_dataset(project, dataset);
    }
    say(&json!({"grpc": bigquery.grpc(), "rest": bigquery.rest()}))?;
    for line in io::stdin().lock().lines() {
        let outcome = serde_json::from_str(&line?)
            .map_err(|error| error.to_string())
            .and_then(|command| command::obey(&bigquery, command));
        match outcome {
            Ok(answer) => say(&json!({"ok": answer}))?,
            Err(error) => say(&json!({"error": error}))?,
        }
    }
    Ok(())
}

fn say(line: &Value) -> io::Result<()> {
    let mut output = io::stdout().lock();
    writeln!(output, "{line}")?;
    output.flush()
}
