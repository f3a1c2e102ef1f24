//! `?validate=1`: what rows a request would become. For those with the admin token; nothing is stored or counted.

use std::sync::Arc;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use prost::Message as _;
use serde_json::{Value, json};

use super::payload::{FieldFault, Parsed, Payloads};
use super::{Shared, checked_stream_id, payloads, query_payloads};
use crate::http::{Error, body, extract};
use crate::schema;

/// Whether a request asks for it.
pub(super) fn is_asked(head: &Parts) -> bool {
    let Some(query) = head.uri.query() else {
        return false;
    };
    query.contains("validate")
        && form_urlencoded::parse(query.as_bytes())
            .any(|(name, value)| name == "validate" && matches!(&*value, "1" | "true"))
}

/// The answer: one element of `events` for each event, with its `row` and `warnings`, or with `details` of what is wrong.
pub(super) async fn answer(
    shared: &Arc<Shared>,
    head: &Parts,
    posted: Option<Body>,
) -> Result<Response, Error> {
    shared.admin.check(&head.uri, &head.headers)?;
    checked_stream_id(head)?;
    let payloads = match posted {
        Some(posted) => {
            let body = body::read(&head.headers, posted, &shared.body).await?;
            payloads(head, &body)?
        }
        None => query_payloads(head)?,
    };
    let all = match payloads {
        Payloads::One(parsed) => vec![parsed],
        Payloads::Many(all) => all,
    };
    let is_valid = all.iter().all(Result::is_ok);
    let events: Vec<Value> = all
        .into_iter()
        .map(|parsed| event(shared, head, parsed))
        .collect();
    let status = if is_valid { "valid" } else { "invalid" };
    Ok(axum::Json(json!({"status": status, "events": events})).into_response())
}

fn event(shared: &Shared, head: &Parts, parsed: Result<Parsed, FieldFault>) -> Value {
    let parsed = match parsed {
        Ok(parsed) => parsed,
        Err(fault) => {
            return json!({"details": [{"path": fault.path, "message": fault.message}]});
        }
    };
    let visit = extract::visit(shared, super::stream_id(head), head);
    let mut event = parsed.event;
    shared
        .enricher
        .event(&mut event, &visit, parsed.client_timestamp);
    let mut text = Vec::new();
    let row = schema::json::write_row(&event.encode_to_vec(), &mut text)
        .ok()
        .and_then(|()| serde_json::from_slice::<Value>(&text).ok())
        .unwrap_or_default();
    let warnings = row.pointer("/collector/warnings").cloned();
    json!({"row": row, "warnings": warnings.unwrap_or_else(|| json!([]))})
}
