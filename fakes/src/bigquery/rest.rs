//! The REST interface: datasets and tables (<https://cloud.google.com/bigquery/docs/reference/rest/v2/tables>).
//! What is not asked for here (deleting, replacing, inserting rows) is refused; rows are told by `listing`.

use axum::body::{Body, to_bytes};
use axum::response::IntoResponse;
use http::header::IF_MATCH;
use http::{Method, Request, Response};
use hyper::body::Incoming;
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};
use tonic::Code;

use super::fault::Call;
use super::listing;
use super::refusal::Refusal;
use super::server::{Connection, meet};
use super::state::{Fake, State};
use super::table::{Table, TableName};

/// A request as it came.
#[derive(Clone, Debug)]
pub struct RestRequest {
    pub method: Method,
    pub path: String,
    pub query: String,
    pub if_match: Option<String>,
    pub authorization: Option<String>,
    pub body: Value,
}

/// Answers a request.
pub(super) async fn answer(
    fake: &Fake,
    connection: &Connection,
    request: Request<Incoming>,
) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let header = |name| {
        let value = parts
            .headers
            .get(name)
            .and_then(|value: &http::HeaderValue| value.to_str().ok());
        value.map(str::to_owned)
    };
    let (if_match, authorization) = (header(IF_MATCH), header(http::header::AUTHORIZATION));
    let Ok(body) = to_bytes(Body::new(body), 10 << 20).await else {
        return Refusal::invalid("The body cannot be read").into_response();
    };
    let body = match serde_json::from_slice(&body) {
        Ok(body) => body,
        Err(_) if body.is_empty() => Value::Null,
        Err(_) => return Refusal::invalid("Parse Error").into_response(),
    };
    let request = RestRequest {
        method: parts.method,
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        if_match,
        authorization,
        body,
    };
    fake.lock().requests.push(request.clone());
    let act = |state: &mut State| route(state, &request);
    let refuse = |code: Code, message: &'static str| Refusal::of(code, message);
    match meet(fake, connection, Call::Tables, act, refuse).await {
        Ok(body) => axum::Json(body).into_response(),
        Err(refusal) => refusal.into_response(),
    }
}

fn route(state: &mut State, request: &RestRequest) -> Result<Value, Refusal> {
    let path = request.path.strip_prefix("/bigquery/v2/projects/");
    let segments = path.unwrap_or_default().split('/');
    let segments: Vec<String> = segments
        .map(|segment| percent_decode_str(segment).decode_utf8_lossy().into_owned())
        .collect();
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    let is_known = |project: &str, dataset: &str| {
        let id = format!("{project}:{dataset}");
        let is_there = state.datasets.contains(&id);
        is_there
            .then_some(())
            .ok_or_else(|| Refusal::not_found(&format!("Dataset {id}")))
    };
    match (request.method.as_str(), segments.as_slice()) {
        ("GET", [project, "datasets", dataset]) => {
            is_known(project, dataset)?;
            Ok(json!({
                "kind": "bigquery#dataset",
                "id": format!("{project}:{dataset}"),
                "datasetReference": {"projectId": project, "datasetId": dataset},
                "location": "EU",
                "etag": "e1==",
            }))
        }
        ("GET", [project, "datasets", dataset, "tables"]) => {
            is_known(project, dataset)?;
            Ok(list(state, project, dataset))
        }
        ("POST", [project, "datasets", dataset, "tables"]) => {
            is_known(project, dataset)?;
            let table = request.body["tableReference"]["tableId"].as_str();
            state.create_table(
                TableName::new(project, dataset, table.unwrap_or_default()),
                &request.body,
            )
        }
        ("GET", [project, "datasets", dataset, "tables", table]) => {
            is_known(project, dataset)?;
            let name = TableName::new(project, dataset, table);
            find(state, &name).map(|table| table.resource())
        }
        ("GET", [project, "datasets", dataset, "tables", table, "data"]) => {
            is_known(project, dataset)?;
            let shown = state.rows_listed.unwrap_or(usize::MAX);
            let name = TableName::new(project, dataset, table);
            find(state, &name).and_then(|table| listing::list(table, &request.query, shown))
        }
        ("PATCH", [project, "datasets", dataset, "tables", table]) => {
            is_known(project, dataset)?;
            let lag = state.schema_lag;
            let table = find(state, &TableName::new(project, dataset, table))?;
            table.patch(&request.body, request.if_match.as_deref(), lag)?;
            Ok(table.resource())
        }
        (method, _) => Err(Refusal::not_found(&format!("{method} {}", request.path))),
    }
}

fn find<'s>(state: &'s mut State, name: &TableName) -> Result<&'s mut Table, Refusal> {
    let table = state.tables.get_mut(name);
    table.ok_or_else(|| Refusal::not_found(&format!("Table {name}")))
}

fn list(state: &State, project: &str, dataset: &str) -> Value {
    let inside = state
        .tables
        .iter()
        .filter(|(name, _)| name.project == project && name.dataset == dataset);
    let tables: Vec<Value> = inside
        .map(|(_, table)| {
            let mut resource = table.resource();
            if let Some(resource) = resource.as_object_mut() {
                resource.retain(|key, _| {
                    !["schema", "etag", "numRows", "location"].contains(&key.as_str())
                });
            }
            resource
        })
        .collect();
    json!({"kind": "bigquery#tableList", "etag": "e1==", "totalItems": tables.len(), "tables": tables})
}
