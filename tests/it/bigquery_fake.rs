//! The fake of BigQuery itself: each refusal and each fault once, by a client that knows nothing of this program's
//! writer, and by Google's own clients.

mod faults;
mod google;
mod rows;
mod streams;
mod tables;

use std::time::Duration;

use prost::Message as _;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, FieldDescriptorProto};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status, Streaming};

use real_streaming_fakes::bigquery::storage::append_rows_request::{ProtoData, Rows};
use real_streaming_fakes::bigquery::storage::append_rows_response::Response as Outcome;
use real_streaming_fakes::bigquery::storage::big_query_write_client::BigQueryWriteClient;
use real_streaming_fakes::bigquery::storage::storage_error::StorageErrorCode as Cause;
use real_streaming_fakes::bigquery::storage::{
    AppendRowsRequest, AppendRowsResponse, CreateWriteStreamRequest, ProtoRows, ProtoSchema,
    StorageError, WriteStream, write_stream,
};
use real_streaming_fakes::bigquery::{BigQuery, rpc};

const TABLE: &str = "p.d.t";
const PARENT: &str = "projects/p/datasets/d/tables/t";
const DEFAULT: &str = "projects/p/datasets/d/tables/t/streams/_default";
/// An answer must come within this time, also on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// A row of the table that these tests make.
#[derive(Clone, PartialEq, prost::Message)]
struct Row {
    #[prost(string, optional, tag = "1")]
    id: Option<String>,
    #[prost(int32, optional, tag = "2")]
    day: Option<i32>,
    #[prost(int64, optional, tag = "3")]
    at: Option<i64>,
    #[prost(int64, optional, tag = "4")]
    number: Option<i64>,
    #[prost(double, optional, tag = "5")]
    price: Option<f64>,
    #[prost(bool, optional, tag = "6")]
    is_new: Option<bool>,
    #[prost(string, optional, tag = "7")]
    document: Option<String>,
    #[prost(string, repeated, tag = "8")]
    tags: Vec<String>,
    #[prost(message, optional, tag = "9")]
    device: Option<Device>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Device {
    #[prost(string, optional, tag = "1")]
    name: Option<String>,
}

fn row(id: &str) -> Row {
    Row {
        id: Some(id.to_owned()),
        ..Row::default()
    }
}

/// So many rows from a number on.
fn rows(first: usize, count: usize) -> Vec<Vec<u8>> {
    let ids = first..first + count;
    ids.map(|id| row(&id.to_string()).encode_to_vec()).collect()
}

fn schema() -> Value {
    json!({
        "schema": {"fields": [
            {"name": "id", "type": "STRING", "mode": "REQUIRED"},
            {"name": "day", "type": "DATE"},
            {"name": "at", "type": "TIMESTAMP"},
            {"name": "number", "type": "INTEGER"},
            {"name": "price", "type": "FLOAT"},
            {"name": "is_new", "type": "BOOLEAN"},
            {"name": "document", "type": "JSON"},
            {"name": "tags", "type": "STRING", "mode": "REPEATED"},
            {"name": "device", "type": "RECORD", "fields": [{"name": "name", "type": "STRING"}]},
        ]},
        "timePartitioning": {"type": "DAY", "field": "day"},
        "clustering": {"fields": ["id"]},
    })
}

fn field(name: &str, number: i32, label: Label, kind: Type) -> FieldDescriptorProto {
    FieldDescriptorProto {
        name: Some(name.to_owned()),
        number: Some(number),
        label: Some(label.into()),
        r#type: Some(kind.into()),
        ..FieldDescriptorProto::default()
    }
}

fn optional(name: &str, number: i32, kind: Type) -> FieldDescriptorProto {
    field(name, number, Label::Optional, kind)
}

fn message(name: &str, fields: Vec<FieldDescriptorProto>) -> DescriptorProto {
    DescriptorProto {
        name: Some(name.to_owned()),
        field: fields,
        ..DescriptorProto::default()
    }
}

fn descriptor() -> DescriptorProto {
    let device = FieldDescriptorProto {
        type_name: Some("Device".to_owned()),
        ..optional("device", 9, Type::Message)
    };
    let fields = vec![
        // Names of columns are found whatever their case.
        optional("ID", 1, Type::String),
        optional("day", 2, Type::Int32),
        optional("at", 3, Type::Int64),
        optional("number", 4, Type::Int64),
        optional("price", 5, Type::Double),
        optional("is_new", 6, Type::Bool),
        optional("document", 7, Type::String),
        field("tags", 8, Label::Repeated, Type::String),
        device,
    ];
    DescriptorProto {
        nested_type: vec![message("Device", vec![optional("name", 1, Type::String)])],
        ..message("Row", fields)
    }
}

/// A BigQuery with the table.
async fn bigquery() -> BigQuery {
    let bigquery = BigQuery::start().await;
    bigquery.create_dataset("p", "d");
    bigquery.create_table(TABLE, schema());
    bigquery
}

fn client(bigquery: &BigQuery) -> BigQueryWriteClient<Channel> {
    let endpoint = Endpoint::from_shared(bigquery.grpc()).expect("an address");
    BigQueryWriteClient::new(endpoint.connect_lazy()).max_encoding_message_size(64 << 20)
}

/// A call that is routed by what it is about.
fn routed<T>(message: T, key: &str, value: &str) -> Request<T> {
    let mut request = Request::new(message);
    let params = format!("{key}={value}").parse().expect("plain text");
    request
        .metadata_mut()
        .insert("x-goog-request-params", params);
    request
}

async fn create_stream(bigquery: &BigQuery) -> String {
    let message = CreateWriteStreamRequest {
        parent: PARENT.to_owned(),
        write_stream: Some(WriteStream {
            r#type: write_stream::Type::Committed.into(),
            ..WriteStream::default()
        }),
    };
    let call = routed(message, "parent", PARENT);
    let created = client(bigquery).create_write_stream(call).await;
    created.expect("a stream").into_inner().name
}

/// A request as a first one must be.
fn first(stream: &str, offset: Option<i64>, rows: Vec<Vec<u8>>) -> AppendRowsRequest {
    with_descriptor(stream, offset, rows, descriptor())
}

fn with_descriptor(
    stream: &str,
    offset: Option<i64>,
    rows: Vec<Vec<u8>>,
    descriptor: DescriptorProto,
) -> AppendRowsRequest {
    let mut request = later(offset, rows);
    request.write_stream = stream.to_owned();
    if let Some(Rows::ProtoRows(data)) = &mut request.rows {
        data.writer_schema = Some(ProtoSchema {
            proto_descriptor: Some(descriptor),
        });
    }
    request
}

/// A request as the later ones may be.
fn later(offset: Option<i64>, rows: Vec<Vec<u8>>) -> AppendRowsRequest {
    let rows = ProtoRows {
        serialized_rows: rows.into_iter().map(Into::into).collect(),
    };
    AppendRowsRequest {
        offset,
        rows: Some(Rows::ProtoRows(ProtoData {
            rows: Some(rows),
            writer_schema: None,
        })),
        ..AppendRowsRequest::default()
    }
}

/// A connection of AppendRows.
struct Connection {
    requests: mpsc::Sender<AppendRowsRequest>,
    replies: Streaming<AppendRowsResponse>,
}

impl Connection {
    /// Opens one with a first request; `stream` is what the call is routed by.
    async fn open(
        bigquery: &BigQuery,
        stream: &str,
        first: AppendRowsRequest,
    ) -> Result<Self, Status> {
        Self::open_with(bigquery, Some(stream), first).await
    }

    async fn open_with(
        bigquery: &BigQuery,
        stream: Option<&str>,
        first: AppendRowsRequest,
    ) -> Result<Self, Status> {
        let (requests, outgoing) = mpsc::channel(1000);
        requests.send(first).await.expect("room");
        let outgoing = futures_util::stream::unfold(outgoing, async |mut outgoing| {
            Some((outgoing.recv().await?, outgoing))
        });
        let call = match stream {
            Some(stream) => routed(outgoing, "write_stream", stream),
            None => Request::new(outgoing),
        };
        let replies = client(bigquery).append_rows(call).await?.into_inner();
        Ok(Self { requests, replies })
    }

    async fn send(&self, request: AppendRowsRequest) {
        self.requests.send(request).await.expect("it is open");
    }

    async fn reply(&mut self) -> Result<AppendRowsResponse, Status> {
        let reply = tokio::time::timeout(PATIENCE, self.replies.message()).await;
        let reply = reply.expect("an answer in time")?;
        reply.ok_or_else(|| Status::ok("the end"))
    }

    async fn append(&mut self, request: AppendRowsRequest) -> Result<AppendRowsResponse, Status> {
        self.send(request).await;
        self.reply().await
    }
}

/// Opens a connection, sends one request, takes its reply.
async fn append(
    bigquery: &BigQuery,
    stream: &str,
    request: AppendRowsRequest,
) -> Result<AppendRowsResponse, Status> {
    let mut connection = Connection::open(bigquery, stream, request).await?;
    connection.reply().await
}

/// The offset at which the rows of a reply are.
#[track_caller]
fn offset(reply: Result<AppendRowsResponse, Status>) -> Option<i64> {
    match reply.expect("a reply").response {
        Some(Outcome::AppendResult(result)) => result.offset,
        other => panic!("not written: {other:?}"),
    }
}

/// The error inside a reply: code, cause, message.
#[track_caller]
fn error(reply: Result<AppendRowsResponse, Status>) -> (Code, Cause, String) {
    match reply.expect("a reply").response {
        Some(Outcome::Error(status)) => (Code::from(status.code), cause(&status), status.message),
        other => panic!("no error: {other:?}"),
    }
}

/// What a status says to be the cause.
fn cause(status: &rpc::Status) -> Cause {
    let Some(detail) = status.details.first() else {
        return Cause::Unspecified;
    };
    assert!(
        detail
            .type_url
            .ends_with("google.cloud.bigquery.storage.v1.StorageError")
    );
    StorageError::decode(detail.value.as_slice())
        .expect("an error")
        .code()
}

/// How a connection ended: code and cause.
#[track_caller]
fn end<T: std::fmt::Debug>(ended: Result<T, Status>) -> (Code, Cause) {
    let status = ended.expect_err("it ended");
    let details = rpc::Status::decode(status.details()).expect("a status");
    (status.code(), cause(&details))
}
