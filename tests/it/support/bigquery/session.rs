//! What a connection of AppendRows knows from one request to the next, and how a request is judged.
//!
//! The first request names the stream and brings the descriptor of its rows. Later ones need neither, unless they go to
//! another table, which only default streams allow; from then on each names its stream.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use prost::Message as _;
use prost_reflect::prost_types::DescriptorProto;
use tokio::sync::Notify;
use tonic::{Code, Status};

use super::append::taken_over;
use super::plan::{Mismatch, Plan};
use super::refusal::{inside, status};
use super::storage::append_rows_request::Rows;
use super::storage::append_rows_response::{AppendResult, Response};
use super::storage::row_error::RowErrorCode;
use super::storage::storage_error::StorageErrorCode as Cause;
use super::storage::{AppendRowsRequest, AppendRowsResponse, RowError, TableSchema};
use super::stream::StreamName;
use super::table::Chunk;
use super::{State, row, rpc};

/// A request must stay below this.
const MAX_REQUEST: usize = 10_000_000;

/// A no to a request.
pub enum No {
    /// Said in the reply; the connection goes on.
    Inside(rpc::Status),
    /// Said of rows; none of the request was written.
    Rows(Vec<RowError>),
    /// The connection ends.
    End(Status),
}

impl From<Status> for No {
    fn from(status: Status) -> Self {
        Self::End(status)
    }
}

/// How the rows of a stream are read.
struct Schema {
    descriptor: DescriptorProto,
    /// By which version of which table it was judged last.
    plan: Option<(u64, usize, Arc<Plan>)>,
}

/// A connection.
pub struct Session {
    /// Told when another connection takes the stream.
    pub evicted: Arc<Notify>,
    id: u64,
    /// The stream of the last request.
    current: String,
    has_switched: bool,
    schemas: HashMap<String, Schema>,
}

impl Session {
    pub fn new(id: u64) -> Self {
        Self {
            evicted: Arc::new(Notify::new()),
            id,
            current: String::new(),
            has_switched: false,
            schemas: HashMap::new(),
        }
    }

    /// The stream that a request is for.
    pub fn stream_of(&self, request: &AppendRowsRequest) -> String {
        match request.write_stream.as_str() {
            "" => self.current.clone(),
            named => named.to_owned(),
        }
    }

    /// Judges a request and writes its rows.
    ///
    /// # Errors
    /// It is refused, nothing of it is written.
    pub fn write(
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
        let errors = faults(state, &plan, &rows);
        if !errors.is_empty() {
            return Err(No::Rows(errors));
        }
        if !name.is_default() {
            state.stream(&name)?.append(&rows);
        }
        let table = state.tables.get_mut(&name.table);
        let table = table.ok_or_else(|| Status::internal("the table was there"))?;
        table.chunks.push(Chunk { plan, rows });
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

fn no_inside(cause: Cause, message: &str, stream: &str) -> No {
    No::Inside(inside(Code::InvalidArgument, cause, message, stream))
}

/// The offset at which the rows go; none in the default stream.
fn check_offset(
    state: &mut State,
    name: &StreamName,
    offset: Option<i64>,
    rows: &[Bytes],
    path: &str,
) -> Result<Option<i64>, No> {
    if name.is_default() {
        return match offset {
            None => Ok(None),
            Some(_) => {
                let message = "Offset must not be set on the default stream.";
                Err(no_inside(Cause::Unspecified, message, path))
            }
        };
    }
    let stream = state.stream(name)?;
    let end = stream.end;
    let Some(received) = offset.filter(|offset| *offset != end) else {
        return Ok(Some(end));
    };
    if received > end {
        let message =
            format!("The offset is beyond stream, expected offset {end}, received {received}");
        return Err(No::Inside(inside(
            Code::OutOfRange,
            Cause::OffsetOutOfRange,
            &message,
            path,
        )));
    }
    if received < 0 {
        return Err(no_inside(
            Cause::Unspecified,
            "Offset must not be negative.",
            path,
        ));
    }
    if !stream.holds(received, rows) {
        state.foreign_replays += 1;
    }
    let message =
        format!("The offset is within stream, expected offset {end}, received {received}");
    Err(No::Inside(inside(
        Code::AlreadyExists,
        Cause::OffsetAlreadyExists,
        &message,
        path,
    )))
}

/// What is wrong with rows, of those that are checked.
fn faults(state: &mut State, plan: &Plan, rows: &[Bytes]) -> Vec<RowError> {
    let today = row::today();
    let mut errors = Vec::new();
    for (index, encoded) in rows.iter().enumerate() {
        state.rows_seen += 1;
        let is_checked = state.rows_seen.is_multiple_of(state.check_every);
        if !is_checked && state.poisons.is_empty() {
            continue;
        }
        let fault = match row::check(plan, encoded, today) {
            Ok(row) => {
                state.lost_fields += row.lost_fields;
                let poison = state
                    .poisons
                    .iter()
                    .find(|poison| poison.takes(&row.values));
                poison.map(|poison| format!("Field {}: it is poison", poison.column))
            }
            Err(fault) => Some(fault),
        };
        if let Some(message) = fault {
            errors.push(RowError {
                index: i64::try_from(index).expect("few enough"),
                code: RowErrorCode::FieldsError.into(),
                message,
            });
        }
    }
    errors
}

/// A table or stream that is not there.
pub fn not_found(cause: Cause, what: &str) -> Status {
    status(
        Code::NotFound,
        cause,
        "Requested entity was not found.",
        what,
    )
}
