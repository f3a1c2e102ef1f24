//! The fake BigQuery as a process, told what to do by lines of JSON. The only place here with the names of its dataset
//! and tables.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{ChildStdin, ChildStdout, Command, Stdio};

use serde::Deserialize;
use serde_json::{Value, json};

use crate::Failure;
use crate::child::Child;
use crate::collector::Settings;

const PROJECT: &str = "shop";
const DATASET: &str = "analytics";

/// A running fake.
#[derive(Debug)]
pub struct Fake {
    /// Its process.
    pub child: Child,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
    endpoints: Endpoints,
}

#[derive(Debug, Deserialize)]
struct Endpoints {
    grpc: String,
    rest: String,
}

/// What the fake counts.
#[derive(Debug, Deserialize)]
pub struct Counts {
    rows: std::collections::BTreeMap<String, u64>,
    /// Rows that were written although no reply said so.
    pub unanswered_rows: u64,
    /// Fields of rows that no descriptor named.
    pub lost_fields: u64,
    /// Requests at an offset where other rows stood already.
    pub foreign_replays: u64,
    /// TCP connections.
    pub connections: u64,
    /// Requests of AppendRows.
    pub appends: u64,
    /// Calls about write streams.
    pub streams: u64,
    /// Calls about tables.
    pub tables: u64,
}

impl Counts {
    /// Rows of a table.
    pub fn rows(&self, table: &str) -> u64 {
        self.rows.get(&whole(table)).copied().unwrap_or(0)
    }

    /// Calls of any kind.
    pub fn calls(&self) -> u64 {
        self.appends + self.streams + self.tables
    }
}

impl Fake {
    /// Starts it with its dataset; it checks one row of `check_every`.
    ///
    /// # Errors
    /// It does not start.
    pub fn start(binary: &Path, check_every: u64) -> Result<Self, Failure> {
        let mut command = Command::new(binary);
        command
            .args(["--dataset", &dataset()])
            .args(["--check-every", &check_every.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = Child::spawn(&mut command)?;
        let (commands, answers) = child.pipes().ok_or("the fake has no pipes")?;
        let mut answers = BufReader::new(answers);
        let mut line = String::new();
        answers.read_line(&mut line)?;
        Ok(Self {
            child,
            commands,
            answers,
            endpoints: serde_json::from_str(&line)?,
        })
    }

    /// A collector's settings, so that its rows go to this table of the fake.
    pub fn takes(&self, table: &str, settings: Settings) -> Settings {
        settings
            .with("WRITERS__STRATEGY", "direct")
            .with("WRITERS__PROJECT_ID", PROJECT)
            .with("WRITERS__BQ__DATASET_ID", DATASET)
            .with("WRITERS__BQ__TABLE_ID", table)
            .with("WRITERS__BQ__ENDPOINT", &self.endpoints.rest)
            .with("WRITERS__BQ__GRPC_ENDPOINT", &self.endpoints.grpc)
    }

    /// Tells it something; its answer.
    ///
    /// # Errors
    /// It cannot do it, or has ended.
    pub fn tell(&mut self, command: &Value) -> Result<Value, Failure> {
        writeln!(self.commands, "{command}")?;
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        let mut answer: Value = serde_json::from_str(&line)?;
        match answer.get("error") {
            Some(error) => Err(format!("the fake, told {command}: {error}").into()),
            None => Ok(answer["ok"].take()),
        }
    }

    /// Lets calls of a kind (`append`, `streams`, `tables`) meet a fault.
    ///
    /// # Errors
    /// As [`Fake::tell`].
    pub fn fail(&mut self, call: &str, fault: &str, when: Value) -> Result<(), Failure> {
        self.tell(&json!({"fail": {"call": call, "fault": fault, "when": when}}))
            .map(drop)
    }

    /// Its counts.
    ///
    /// # Errors
    /// As [`Fake::tell`].
    pub fn counts(&mut self) -> Result<Counts, Failure> {
        Ok(serde_json::from_value(self.tell(&json!("counts"))?)?)
    }

    /// Writes the event ids of a table into a file, one a line.
    ///
    /// # Errors
    /// As [`Fake::tell`].
    pub fn ids(&mut self, table: &str, file: &Path) -> Result<(), Failure> {
        self.tell(&json!({"ids": {"table": whole(table), "file": file}}))
            .map(drop)
    }
}

/// The dataset as the fake is told of it.
pub fn dataset() -> String {
    format!("{PROJECT}.{DATASET}")
}

/// A table as the fake is told of it.
pub fn whole(table: &str) -> String {
    format!("{PROJECT}.{DATASET}.{table}")
}
