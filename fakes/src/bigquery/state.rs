//! All that the fake knows: what there is, what goes wrong, what was counted.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::watch;
use tonic::Status;

use super::fault::{Call, Fault, Rules};
use super::judgement::not_found;
use super::refusal::Refusal;
use super::rest::RestRequest;
use super::storage::storage_error::StorageErrorCode;
use super::stream::{Stream, StreamName};
use super::table::{Table, TableName};

/// Rows that are refused although they fit.
pub(super) struct Poison {
    /// Path of a column, such as `device.category`.
    pub column: String,
    pub is_poison: Box<dyn Fn(&Value) -> bool + Send>,
    /// Whether the connection ends, and nobody says which row it was.
    pub ends_connection: bool,
}

impl Poison {
    pub(super) fn new(column: &str, is_poison: impl Fn(&Value) -> bool + Send + 'static) -> Self {
        Self {
            column: column.to_owned(),
            is_poison: Box::new(is_poison),
            ends_connection: false,
        }
    }

    pub(super) fn takes(&self, row: &Value) -> bool {
        let value = self
            .column
            .split('.')
            .try_fold(row, |value, name| value.get(name));
        (self.is_poison)(value.unwrap_or(&Value::Null))
    }
}

impl fmt::Debug for Poison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.column)
    }
}

/// All that there is.
#[derive(Debug, Default)]
pub(super) struct State {
    /// Each as `project:dataset`.
    pub datasets: BTreeSet<String>,
    pub tables: BTreeMap<TableName, Table>,
    pub streams: BTreeMap<StreamName, Stream>,
    pub rules: Rules,
    pub poisons: Vec<Poison>,
    /// Of so many rows one is checked.
    pub check_every: u64,
    pub rows_seen: u64,
    pub written_rows: u64,
    /// Those of them whose reply left.
    pub answered_rows: u64,
    pub lost_fields: u64,
    pub foreign_replays: u64,
    pub table_lag: Duration,
    pub schema_lag: Duration,
    pub latency: Duration,
    pub idle_after: Duration,
    pub is_unreachable: bool,
    /// Who does not show it is not heard.
    pub token: Option<String>,
    /// So many rows of a table are shown by `tabledata.list`; all if there is no number.
    pub rows_listed: Option<usize>,
    pub connections: u64,
    pub calls: HashMap<Call, u64>,
    pub requests: Vec<RestRequest>,
    pub numbers: u64,
}

impl State {
    pub(super) fn next_number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    /// Counts a call and says what happens to it.
    pub(super) fn meet(&mut self, call: Call) -> Option<Fault> {
        *self.calls.entry(call).or_default() += 1;
        self.rules.meet(call)
    }

    pub(super) fn create_table(&mut self, name: TableName, body: &Value) -> Result<Value, Refusal> {
        if self.tables.contains_key(&name) {
            return Err(Refusal::duplicate(&format!("Table {name}")));
        }
        let table = Table::create(&name, body, self.next_number(), self.table_lag)?;
        let resource = table.resource();
        self.tables.insert(name, table);
        Ok(resource)
    }

    /// A table, if it counts for writers.
    pub(super) fn table_for_writers(&mut self, name: &TableName) -> Result<&mut Table, Status> {
        let dataset = format!("{}:{}", name.project, name.dataset);
        let table = self
            .tables
            .get_mut(name)
            .filter(|_| self.datasets.contains(&dataset));
        table
            .filter(|table| table.columns_for_writers().is_some())
            .ok_or_else(|| not_found(StorageErrorCode::TableNotFound, &name.path()))
    }

    /// A stream that a client made.
    pub(super) fn stream(&mut self, name: &StreamName) -> Result<&mut Stream, Status> {
        let generation = self.tables.get(&name.table).map(|table| table.generation);
        let stream = self.streams.get_mut(name);
        stream
            .filter(|stream| Some(stream.generation) == generation)
            .ok_or_else(|| not_found(StorageErrorCode::StreamNotFound, &name.path()))
    }
}

/// What the sockets share.
#[derive(Debug)]
pub(super) struct Fake {
    pub state: Mutex<State>,
    pub cuts: watch::Sender<u64>,
    pub goaways: watch::Sender<u64>,
}

impl Fake {
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panicked")
    }
}
