//! The gRPC interface `google.cloud.bigquery.storage.v1.BigQueryWrite`. Each call must say by
//! `x-goog-request-params` what it is about, as Google's front ends route by it.

use std::sync::Arc;
use std::time::SystemTime;

use http::{Request, Response};
use hyper::body::Incoming;
use percent_encoding::percent_decode_str;
use tonic::body::Body;
use tonic::metadata::MetadataMap;
use tonic::server::Grpc;
use tonic::{Code, Status};
use tonic_prost::ProstCodec;
use tower::service_fn;

use super::append;
use super::fault::Call;
use super::refusal::status;
use super::server::{Connection, meet};
use super::state::{Fake, State};
use super::storage::storage_error::StorageErrorCode;
use super::storage::{
    CreateWriteStreamRequest, FinalizeWriteStreamRequest, FinalizeWriteStreamResponse,
    GetWriteStreamRequest, TableSchema, WriteStream, WriteStreamView, write_stream,
};
use super::stream::{Stream, StreamName};
use super::table::TableName;

/// What a message may measure at most; what BigQuery takes is less.
const MAX_MESSAGE: usize = 64 << 20;

/// Answers a call.
pub(super) async fn answer(
    fake: Arc<Fake>,
    connection: Arc<Connection>,
    request: Request<Incoming>,
) -> Response<Body> {
    let method = request
        .uri()
        .path()
        .strip_prefix("/google.cloud.bigquery.storage.v1.BigQueryWrite/");
    match method.unwrap_or_default() {
        "AppendRows" => {
            let serve = service_fn(|request| {
                append::serve(Arc::clone(&fake), Arc::clone(&connection), request)
            });
            let codec = ProstCodec::default();
            let mut grpc = Grpc::new(codec).max_decoding_message_size(MAX_MESSAGE);
            grpc.streaming(serve, request).await
        }
        "CreateWriteStream" => {
            let create = service_fn(|request: tonic::Request<CreateWriteStreamRequest>| {
                let (fake, connection) = (Arc::clone(&fake), Arc::clone(&connection));
                async move {
                    check_route(request.metadata(), "parent", &request.get_ref().parent)?;
                    let act = |state: &mut State| create(state, request.get_ref());
                    let stream = meet(&fake, &connection, Call::Streams, act, Status::new).await;
                    stream.map(tonic::Response::new)
                }
            });
            Grpc::new(ProstCodec::default())
                .unary(create, request)
                .await
        }
        "GetWriteStream" => {
            let get = service_fn(|request: tonic::Request<GetWriteStreamRequest>| {
                let (fake, connection) = (Arc::clone(&fake), Arc::clone(&connection));
                async move {
                    check_route(request.metadata(), "name", &request.get_ref().name)?;
                    let act = |state: &mut State| get(state, request.get_ref());
                    let stream = meet(&fake, &connection, Call::Streams, act, Status::new).await;
                    stream.map(tonic::Response::new)
                }
            });
            Grpc::new(ProstCodec::default()).unary(get, request).await
        }
        "FinalizeWriteStream" => {
            let finalize = service_fn(|request: tonic::Request<FinalizeWriteStreamRequest>| {
                let (fake, connection) = (Arc::clone(&fake), Arc::clone(&connection));
                async move {
                    check_route(request.metadata(), "name", &request.get_ref().name)?;
                    let act = |state: &mut State| finalize(state, &request.get_ref().name);
                    let count = meet(&fake, &connection, Call::Streams, act, Status::new).await;
                    count.map(tonic::Response::new)
                }
            });
            Grpc::new(ProstCodec::default())
                .unary(finalize, request)
                .await
        }
        other => Status::unimplemented(format!("no method {other}")).into_http(),
    }
}

/// Checks that a call is routed by what it is about.
///
/// # Errors
/// It is not.
pub(super) fn check_route(metadata: &MetadataMap, key: &str, value: &str) -> Result<(), Status> {
    let params = metadata
        .get("x-goog-request-params")
        .and_then(|params| params.to_str().ok());
    let Some(params) = params else {
        return Err(Status::invalid_argument(
            "Missing metadata x-goog-request-params.",
        ));
    };
    let routed = params
        .split('&')
        .find_map(|param| param.strip_prefix(key)?.strip_prefix('='));
    let routed = routed.map(|routed| percent_decode_str(routed).decode_utf8_lossy());
    if routed.as_deref() == Some(value) {
        return Ok(());
    }
    Err(Status::invalid_argument(format!(
        "x-goog-request-params is {params}, not {key}={value}"
    )))
}

fn create(state: &mut State, request: &CreateWriteStreamRequest) -> Result<WriteStream, Status> {
    let Some((table, "")) = TableName::of_path(&request.parent) else {
        return Err(Status::invalid_argument(format!(
            "Invalid parent {}",
            request.parent
        )));
    };
    let asked = request.write_stream.as_ref().map(WriteStream::r#type);
    match asked {
        Some(write_stream::Type::Committed) => {}
        Some(write_stream::Type::Pending | write_stream::Type::Buffered) => {
            return Err(Status::unimplemented(
                "only COMMITTED streams are played here",
            ));
        }
        _ => {
            return Err(Status::invalid_argument(
                "The type of the stream must be set.",
            ));
        }
    }
    let found = state.table_for_writers(&table)?;
    let generation = found.generation;
    let id = format!("s{}", state.next_number());
    let name = StreamName { table, stream: id };
    state.streams.insert(name.clone(), Stream::new(generation));
    get(
        state,
        &GetWriteStreamRequest {
            name: name.path(),
            view: WriteStreamView::Full.into(),
        },
    )
}

fn get(state: &mut State, request: &GetWriteStreamRequest) -> Result<WriteStream, Status> {
    let name = StreamName::parse(&request.name)?;
    let table = state.table_for_writers(&name.table)?;
    let columns = table.columns_for_writers();
    let schema = columns.map(|(_, columns)| TableSchema {
        fields: columns.iter().map(|column| column.to_storage()).collect(),
    });
    if !name.is_default() {
        state.stream(&name)?;
    }
    Ok(WriteStream {
        name: request.name.clone(),
        r#type: write_stream::Type::Committed.into(),
        create_time: Some(SystemTime::now().into()),
        table_schema: schema.filter(|_| request.view() == WriteStreamView::Full),
        write_mode: write_stream::WriteMode::Insert.into(),
        location: "eu".to_owned(),
        ..WriteStream::default()
    })
}

fn finalize(state: &mut State, name: &str) -> Result<FinalizeWriteStreamResponse, Status> {
    let stream = StreamName::parse(name)?;
    if stream.is_default() {
        let cause = StorageErrorCode::InvalidStreamType;
        let message = "The default stream cannot be finalized.";
        return Err(status(Code::InvalidArgument, cause, message, name));
    }
    let stream = state.stream(&stream)?;
    stream.is_finalized = true;
    Ok(FinalizeWriteStreamResponse {
        row_count: stream.end,
    })
}
