//! What a connection of AppendRows knows from one request to the next, and how a request is judged.
//!
//! The first request names the stream and brings the descriptor of its rows. Later ones need neither, unless they go to
//! another table, which only default streams allow; from then on each names its stream.

use std::collections::HashMap;
use std::sync::Arc;

use prost::Message as _;
use prost_types::DescriptorProto;
use tokio::sync::Notify;
use tonic::Status;

use super::append::taken_over;
use super::judgement::{No, check_offset, check_rows, no_inside};
use super::plan::{Mismatch, Plan};

use super::chunk::Chunk;
use super::state::State;
use super::storage::append_rows_request::Rows;
use super::storage::append_rows_response::{AppendResult, Response};
use super::storage::storage_error::StorageErrorCode as Cause;
use super::storage::{AppendRowsRequest, AppendRowsResponse, TableSchema};
use super::stream::StreamName;

/// A request must stay below this.
const MAX_REQUEST: usize = 10_000_000;

/// How the rows of a stream are read.
struct Schema {
    descriptor: DescriptorProto,
    /// By which version of which table it was judged last.
    plan: Option<(u64, usize, Arc<Plan>)>,
}

/// A connection.
pub(super) struct Session {
    /// Told when another connection takes the stream.
    pub evicted: Arc<Notify>,
    id: u64,
    /// The stream of the last request.
    current: String,
    has_switched: bool,
    schemas: HashMap<String, Schema>,
}

impl Session {
    pub(super) fn new(id: u64) -> Self {
        Self {
            evicted: Arc::new(Notify::new()),
            id,
            current: String::new(),
            has_switched: false,
            schemas: HashMap::new(),
        }
    }

    /// The stream that a request is for.
    pub(super) fn stream_of(&self, request: &AppendRowsRequest) -> String {
        match request.write_stream.as_str() {
            "" => self.current.clone(),
            named => named.to_owned(),
        }
    }

    /// Judges a request and writes its rows.
    ///
    /// # Errors
    /// It is refused, nothing of it is written.
    pub(super) fn write(
        &mut self,
        state: &mut State,
        mut request: AppendRowsRequest,
    ) -> Result<AppendRowsResponse, No> {
        if request.encoded_len() >= MAX_REQUEST {
            let message = format!("The request is larger than {MAX_REQUEST} bytes.");
            return Err(Status::invalid_argument(message).into());
        }
        let path = self.switch(&request)?;
        let name = StreamName::parse(&path)?;
        let Some(Rows::ProtoRows(data)) = request.rows.take() else {
            return Err(Status::invalid_argument("proto_rows must be set.").into());
        };
        let descriptor = data
            .writer_schema
            .map(|schema| schema.proto_descriptor.unwrap_or_default());
        self.learn(&name, &path, descriptor)?;
        let rows = data.rows.unwrap_or_default().serialized_rows;
        state.table_for_writers(&name.table)?;
        if !name.is_default() {
            self.own(state, &name)?;
        }
        if rows.is_empty() {
            return Err(no_inside(Cause::Unspecified, "There are no rows.", &path));
        }
        let (plan, updated_schema) = self.plan(state, &name, &path)?;
        let offset = check_offset(state, &name, request.offset, &rows, &path)?;
        check_rows(state, &plan, &rows)?;
        if !name.is_default() {
            state.stream(&name)?.append(&rows);
        }
        state.written_rows += rows.len() as u64;
        let table = state.tables.get_mut(&name.table);
        let table = table.ok_or_else(|| Status::internal("the table was there"))?;
        table.chunks.push(Chunk::new(plan, &rows));
        let result = AppendResult { offset };
        Ok(AppendRowsResponse {
            response: Some(Response::AppendResult(result)),
            updated_schema,
            write_stream: path,
            ..AppendRowsResponse::default()
        })
    }

    /// The stream that a request is for, which may be another than before.
    fn switch(&mut self, request: &AppendRowsRequest) -> Result<String, Status> {
        let named = request.write_stream.as_str();
        if named.is_empty() && (self.current.is_empty() || self.has_switched) {
            return Err(Status::invalid_argument("write_stream must be set."));
        }
        let path = self.stream_of(request);
        if !self.current.is_empty() && path != self.current {
            let is_default = |path: &str| Ok::<_, Status>(StreamName::parse(path)?.is_default());
            if !is_default(&path)? || !is_default(&self.current)? {
                let message = "A connection cannot switch from or to a stream that is not the default stream.";
                return Err(Status::invalid_argument(message));
            }
            self.has_switched = true;
        }
        self.current.clone_from(&path);
        Ok(path)
    }

    /// Takes the descriptor that came with a request.
    fn learn(
        &mut self,
        name: &StreamName,
        path: &str,
        descriptor: Option<DescriptorProto>,
    ) -> Result<(), Status> {
        let Some(descriptor) = descriptor else {
            if self.schemas.contains_key(path) {
                return Ok(());
            }
            let message = "writer_schema must be set in the first request of a stream.";
            return Err(Status::invalid_argument(message));
        };
        let known = self.schemas.get(path).map(|schema| &schema.descriptor);
        if known == Some(&descriptor) {
            return Ok(());
        }
        if known.is_some() && !name.is_default() {
            let message = "writer_schema of this stream cannot change on a connection.";
            return Err(Status::invalid_argument(message));
        }
        let schema = Schema {
            descriptor,
            plan: None,
        };
        self.schemas.insert(path.to_owned(), schema);
        Ok(())
    }

    /// Makes this connection the one that writes to a stream that a client made.
    fn own(&self, state: &mut State, name: &StreamName) -> Result<(), No> {
        let path = name.path();
        let stream = state.stream(name)?;
        let is_owner = stream.owner.as_ref().is_some_and(|(id, _)| *id == self.id);
        if !is_owner {
            // Told once and for all: whoever was told does not come back.
            if self.evicted_by(stream.owner.as_ref().map(|(id, _)| *id)) {
                return Err(taken_over().into());
            }
            let owner = (self.id, Arc::clone(&self.evicted));
            if let Some((_, older)) = stream.owner.replace(owner) {
                older.notify_one();
            }
        }
        if stream.is_finalized {
            let message = "Stream has been finalized and cannot be appended.";
            return Err(no_inside(Cause::StreamFinalized, message, &path));
        }
        Ok(())
    }

    /// Whether a connection that began later owns the stream.
    fn evicted_by(&self, owner: Option<u64>) -> bool {
        owner.is_some_and(|owner| owner > self.id)
    }

    /// How to read the rows; with the table's columns if they are new to the connection.
    fn plan(
        &mut self,
        state: &mut State,
        name: &StreamName,
        path: &str,
    ) -> Result<(Arc<Plan>, Option<TableSchema>), No> {
        let table = state.table_for_writers(&name.table)?;
        let Some((version, columns)) = table.columns_for_writers() else {
            return Err(Status::internal("the table counts").into());
        };
        let schema = self.schemas.get_mut(path);
        let schema = schema.ok_or_else(|| Status::internal("the schema was learned"))?;
        let judged = schema.plan.as_ref();
        let judged = judged.filter(|(generation, _, _)| *generation == table.generation);
        if let Some((_, known, plan)) = judged
            && *known == version
        {
            return Ok((Arc::clone(plan), None));
        }
        let is_changed = judged.is_some();
        let plan = Plan::new(&schema.descriptor, columns, table.partition());
        let plan = Arc::new(plan.map_err(|mismatch| match mismatch {
            Mismatch::Invalid(message) => no_inside(Cause::Unspecified, &message, path),
            Mismatch::ExtraField(field) => {
                let message = format!(
                    "Input schema has more fields than BigQuery schema, extra fields: '{field}'"
                );
                no_inside(Cause::SchemaMismatchExtraFields, &message, path)
            }
        })?);
        schema.plan = Some((table.generation, version, Arc::clone(&plan)));
        let updated = is_changed.then(|| TableSchema {
            fields: columns.iter().map(|column| column.to_storage()).collect(),
        });
        Ok((plan, updated))
    }
}
