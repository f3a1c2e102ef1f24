//! `?validate=1`: what rows a request would become, and with `&explain=1` why. For those with the admin token; nothing
//! is stored or counted.

use std::sync::Arc;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use prost::Message as _;
use serde_json::{Value, json};

use super::payload::{Parsed, Payloads};
use super::{Shared, checked_stream_id, payloads, query_payloads};
use crate::enrich::explain::Explanation;
use crate::http::{Detail, Error, body, extract};
use crate::schema;

/// Whether a request asks for it.
///
/// # Errors
/// It asks for something else: to store what was only to be tried out would be wrong.
pub(super) fn is_asked(head: &Parts) -> Result<bool, Error> {
    flag(head, "validate")
}

/// A flag of the query: absent, `1`/`true` or `0`/`false`.
fn flag(head: &Parts, flag: &'static str) -> Result<bool, Error> {
    let Some(query) = head.uri.query().filter(|query| query.contains(flag)) else {
        return Ok(false);
    };
    let mut is_set = false;
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        if name == flag {
            is_set = match &*value {
                "1" | "true" => true,
                "0" | "false" => false,
                _ => return Err(Error::BadRequest(format!("{flag} must be 1 or 0"))),
            };
        }
    }
    Ok(is_set)
}

/// The answer: one element of `events` for each event, with its `row`, `warnings` and, if asked for, `steps`. If an event is wrong, the error that
/// sending would have given, and null in its place.
pub(super) async fn answer(
    shared: &Arc<Shared>,
    head: &Parts,
    posted: Option<Body>,
) -> Result<Response, Error> {
    shared.admin.check(&head.uri, &head.headers)?;
    checked_stream_id(head)?;
    let is_explained = flag(head, "explain")?;
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
            Ok(parsed) => events.push(row(shared, head, parsed, is_explained)),
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

fn row(shared: &Shared, head: &Parts, parsed: Parsed, is_explained: bool) -> Value {
    let visit = extract::visit(shared, super::stream_id(head), head);
    let mut event = parsed.event;
    let mut explanation = match is_explained {
        true => Explanation::asked(),
        false => Explanation::unasked(),
    };
    let hints = parsed.hints.as_deref();
    let with_hints = hints.map(|hints| visit.with_hints(hints));
    shared.enricher.event(
        &mut event,
        with_hints.as_ref().unwrap_or(&visit),
        parsed.client_timestamp,
        &mut explanation,
    );
    let mut text = Vec::new();
    let row = schema::json::write_row(&event.encode_to_vec(), &mut text)
        .ok()
        .and_then(|()| serde_json::from_slice::<Value>(&text).ok())
        .unwrap_or_default();
    let warnings = row.pointer("/collector/warnings").cloned();
    let mut answer = json!({"row": row, "warnings": warnings.unwrap_or_else(|| json!([]))});
    if is_explained {
        answer["steps"] = json!(explanation.into_steps());
    }
    answer
}
