//! `?validate=1`: what rows a request would become. For those with the admin token; nothing is stored or counted.

use std::sync::Arc;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use prost::Message as _;
use serde_json::{Value, json};

use super::payload::{Parsed, Payloads};
use super::{Shared, checked_stream_id, payloads, query_payloads};
use crate::http::{Detail, Error, body, extract};
use crate::schema;

/// Whether a request asks for it.
///
/// # Errors
/// It asks for something else: to store what was only to be tried out would be wrong.
pub(super) fn is_asked(head: &Parts) -> Result<bool, Error> {
    let Some(query) = head.uri.query().filter(|query| query.contains("validate")) else {
        return Ok(false);
    };
    let mut is_asked = false;
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        if name == "validate" {
            is_asked = match &*value {
                "1" | "true" => true,
                "0" | "false" => false,
                _ => return Err(Error::BadRequest("validate must be 1 or 0".to_owned())),
            };
        }
    }
    Ok(is_asked)
}

/// The answer: one element of `events` for each event, with its `row` and `warnings`. If an event is wrong, the error that
/// sending would have given, and null in its place.
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
    let (mut events, mut details) = (Vec::new(), Vec::new());
    for (index, parsed) in all.into_iter().enumerate() {
        match parsed {
            Ok(parsed) => events.push(row(shared, head, parsed)),
            Err(fault) => {
                events.push(Value::Null);
                details.push(Detail {
                    index: Some(index),
                    path: fault.path,
                    message: fault.message.to_owned(),
                });
            }
        }
    }
    if details.is_empty() {
        let answer = json!({"status": "valid", "events": events});
        return Ok(axum::Json(answer).into_response());
    }
    let error = Error::Field(details);
    let answer = json!({
        "status": "error", "code": error.code(), "message": "some events would not be stored",
        "details": error.details(), "events": events,
    });
    Ok((error.status(), axum::Json(answer)).into_response())
}

fn row(shared: &Shared, head: &Parts, parsed: Parsed) -> Value {
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
