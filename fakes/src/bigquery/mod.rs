//! BigQuery as far as a collector uses it, in process: the Storage Write API over gRPC, tables over REST.
//!
//! It refuses what BigQuery's documentation says is refused, and where that leaves room it is the strict one; what was
//! never seen at the real service is said where it is decided. Faults are set by the test (`fault`). Rows are kept as
//! they came, packed, and decoded when they are asked for, so that it takes more than a collector can send.
//!
//! `server` sockets, `grpc` and `rest` the two interfaces, `append` a connection that appends, `session` and `judgement`
//! how its requests are judged, `plan` and `row` how rows are read, `table`, `chunk`, `layout`, `schema` and `stream` what there is, `listing` rows as REST
//! tells them.

mod append;
mod chunk;
pub mod fault;
mod grpc;
mod judgement;
mod layout;
mod listing;
mod plan;
mod refusal;
mod rest;
mod row;
mod schema;
mod server;
mod session;
mod state;
mod stream;
mod table;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub use googleapis_tonic_google_cloud_bigquery_storage_v1::google::cloud::bigquery::storage::v1 as storage;
pub use googleapis_tonic_google_cloud_bigquery_storage_v1::google::rpc;

use self::fault::{Call, Fault, RuleId, When};
pub use self::rest::RestRequest;
use self::server::Interface;
use self::state::{Fake, Poison, State};
use self::stream::StreamName;
use self::table::{Table, TableName};

/// A running BigQuery. Names of tables are `project.dataset.table`.
#[derive(Debug)]
pub struct BigQuery {
    fake: Arc<Fake>,
    grpc: SocketAddr,
    rest: SocketAddr,
    accepting: [JoinHandle<()>; 2],
}

impl Drop for BigQuery {
    fn drop(&mut self) {
        self.accepting.iter().for_each(JoinHandle::abort);
        self.cut_connections();
    }
}

impl BigQuery {
    /// Starts an empty one on free ports.
    pub async fn start() -> Self {
        let state = State {
            check_every: 1,
            idle_after: Duration::from_secs(600),
            ..State::default()
        };
        let fake = Arc::new(Fake {
            state: Mutex::new(state),
            cuts: watch::Sender::new(0),
            goaways: watch::Sender::new(0),
        });
        let (grpc, accepting_grpc) = server::listen(Arc::clone(&fake), Interface::Grpc).await;
        let (rest, accepting_rest) = server::listen(Arc::clone(&fake), Interface::Rest).await;
        Self {
            fake,
            grpc,
            rest,
            accepting: [accepting_grpc, accepting_rest],
        }
    }

    /// Where the Storage Write API is.
    pub fn grpc(&self) -> String {
        format!("http://{}", self.grpc)
    }

    /// Where the REST interface is.
    pub fn rest(&self) -> String {
        format!("http://{}", self.rest)
    }

    pub fn create_dataset(&self, project: &str, dataset: &str) {
        self.fake
            .lock()
            .datasets
            .insert(format!("{project}:{dataset}"));
    }

    /// Makes a table of a body of tables.insert, which need not name it.
    pub fn create_table(&self, name: &str, mut body: Value) {
        let name = TableName::parse(name);
        body["tableReference"] = serde_json::json!({
            "projectId": name.project, "datasetId": name.dataset, "tableId": name.table,
        });
        let made = self.fake.lock().create_table(name, &body);
        made.expect("it can be made");
    }

    /// All tables, as `project.dataset.table`.
    pub fn tables(&self) -> Vec<String> {
        let state = self.fake.lock();
        let names = state.tables.keys();
        names
            .map(|name| format!("{}.{}.{}", name.project, name.dataset, name.table))
            .collect()
    }

    /// A table as REST shows it.
    pub fn table(&self, name: &str) -> Option<Value> {
        let state = self.fake.lock();
        state
            .tables
            .get(&TableName::parse(name))
            .map(Table::resource)
    }

    /// The rows of a table in the order in which they were written, one object each, absent columns left out.
    pub fn rows(&self, name: &str) -> Vec<Value> {
        let state = self.fake.lock();
        let table = state.tables.get(&TableName::parse(name));
        let chunks = table.iter().flat_map(|table| &table.chunks);
        chunks
            .flat_map(|chunk| {
                let read =
                    |row: Bytes| row::read(&chunk.plan, &row).expect("an unchecked row is bad");
                chunk.rows().into_iter().map(move |row| read(row).values)
            })
            .collect()
    }

    /// What a column of text holds in each row in which it is, without a look at the others.
    pub fn texts(&self, table: &str, column: &str) -> Vec<String> {
        let state = self.fake.lock();
        let table = state.tables.get(&TableName::parse(table));
        let chunks = table.iter().flat_map(|table| &table.chunks);
        chunks
            .flat_map(|chunk| {
                let rows = chunk.rows().into_iter();
                rows.filter_map(|row| row::text(&chunk.plan, &row, column))
            })
            .collect()
    }

    /// Rows that were written although no reply said so.
    pub fn unanswered_rows(&self) -> u64 {
        let state = self.fake.lock();
        state.written_rows - state.answered_rows
    }

    /// How many rows a table has.
    pub fn row_count(&self, name: &str) -> usize {
        let state = self.fake.lock();
        let table = state.tables.get(&TableName::parse(name));
        let chunks = table.iter().flat_map(|table| &table.chunks);
        chunks.map(|chunk| chunk.len()).sum()
    }

    /// Names of the streams that clients made.
    pub fn streams(&self) -> Vec<String> {
        self.fake
            .lock()
            .streams
            .keys()
            .map(StreamName::path)
            .collect()
    }

    /// Fields in rows that no descriptor named and that were lost, of rows that were checked.
    pub fn lost_fields(&self) -> u64 {
        self.fake.lock().lost_fields
    }

    /// Requests at an offset where other rows stood already.
    pub fn foreign_replays(&self) -> u64 {
        self.fake.lock().foreign_replays
    }

    /// TCP connections so far.
    pub fn connections(&self) -> u64 {
        self.fake.lock().connections
    }

    /// Calls of a kind so far.
    pub fn calls(&self, call: Call) -> u64 {
        self.fake
            .lock()
            .calls
            .get(&call)
            .copied()
            .unwrap_or_default()
    }

    /// Requests to the REST interface so far.
    pub fn requests(&self) -> Vec<RestRequest> {
        self.fake.lock().requests.clone()
    }

    /// Only one row of so many is checked column by column.
    pub fn check_every(&self, rows: u64) {
        self.fake.lock().check_every = rows;
    }
}

/// What goes wrong.
impl BigQuery {
    /// Lets calls of a kind meet a fault.
    pub fn fail(&self, call: Call, fault: Fault, when: When) -> RuleId {
        self.fake.lock().rules.add(call, fault, when)
    }

    /// Ends one rule.
    pub fn end(&self, rule: RuleId) {
        self.fake.lock().rules.end(rule);
    }

    /// Ends all rules and poisons; every connection is taken again.
    pub fn heal(&self) {
        let mut state = self.fake.lock();
        state.rules.clear();
        state.poisons.clear();
        state.is_unreachable = false;
        state.rows_listed = None;
    }

    /// Refuses rows by the value of a column, given by its path; null if it is absent.
    pub fn poison(&self, column: &str, is_poison: impl Fn(&Value) -> bool + Send + 'static) {
        self.fake
            .lock()
            .poisons
            .push(Poison::new(column, is_poison));
    }

    /// Like [`BigQuery::poison`], but the connection ends and nobody says which row it was.
    pub fn end_connection_at(
        &self,
        column: &str,
        is_poison: impl Fn(&Value) -> bool + Send + 'static,
    ) {
        let mut poison = Poison::new(column, is_poison);
        poison.ends_connection = true;
        self.fake.lock().poisons.push(poison);
    }

    /// Hears only who shows this token from now on. Connections that are open stay so.
    pub fn require_token(&self, token: &str) {
        self.fake.lock().token = Some(token.to_owned());
    }

    /// Each reply leaves so much later.
    pub fn latency(&self, latency: Duration) {
        self.fake.lock().latency = latency;
    }

    /// Closes connections of AppendRows on which nothing came for so long.
    pub fn idle_after(&self, time: Duration) {
        self.fake.lock().idle_after = time;
    }

    /// Writers see tables made from now on so much later.
    pub fn table_lag(&self, lag: Duration) {
        self.fake.lock().table_lag = lag;
    }

    /// Writers see columns added from now on so much later.
    pub fn schema_lag(&self, lag: Duration) {
        self.fake.lock().schema_lag = lag;
    }

    /// `tabledata.list` shows so many rows of a table and no others, as if these had just come.
    pub fn list_only(&self, rows: usize) {
        self.fake.lock().rows_listed = Some(rows);
    }

    /// Breaks every connection.
    pub fn cut_connections(&self) {
        self.fake.cuts.send_modify(|count| *count += 1);
    }

    /// Tells every client to go away, as a server does that restarts.
    pub fn go_away(&self) {
        self.fake.goaways.send_modify(|count| *count += 1);
    }

    /// Breaks every connection and takes none until it is healed.
    pub fn be_unreachable(&self) {
        self.fake.lock().is_unreachable = true;
        self.cut_connections();
    }

    /// The streams that clients made are gone, as after days without a request.
    pub fn expire_streams(&self) {
        self.fake.lock().streams.clear();
    }

    /// The streams that clients made take nothing any more.
    pub fn finalize_streams(&self) {
        let mut state = self.fake.lock();
        state
            .streams
            .values_mut()
            .for_each(|stream| stream.is_finalized = true);
    }

    /// Somebody deletes a table with all that is in it.
    pub fn delete_table(&self, name: &str) {
        self.fake.lock().tables.remove(&TableName::parse(name));
    }

    /// Somebody takes a dataset away; [`BigQuery::create_dataset`] gives it back with its tables.
    pub fn remove_dataset(&self, project: &str, dataset: &str) {
        self.fake
            .lock()
            .datasets
            .remove(&format!("{project}:{dataset}"));
    }
}
