//! `?validate=1`: what rows a request would become, and with `&explain=1` why. For those with the admin token; nothing
//! is stored or counted.

use std::sync::Arc;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use prost::Message as _;
use serde_json::{Value, json};

use super::payload::{Parsed, Payloads};
use super::rows::{Row, Rows};
use super::{Shared, checked_stream_id, payloads, query_payloads};
use crate::enrich::explain::Explanation;
use crate::http::{Detail, Error, body, extract};
use crate::schema::{self, Event};

/// Of so many events of a request the steps are told: they are larger than the rows.
const MAX_EXPLAINED: usize = 100;

/// Whether a request asks for it.
///
/// # Errors
/// It asks for something else: to store what was only to be tried out would be wrong.
pub(super) fn is_asked(head: &Parts) -> Result<bool, Error> {
    // What it says is looked at even where nobody asks what it would say.
    flag(head, "explain")?;
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

/// The answer: one element of `events` for each event, with its `row`, `warnings`, the rows that would be `added` before it and, if asked for, `steps`. If an event is wrong, the error that
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
    let known = extract::Known {
        enricher: &shared.enricher,
        received_at: shared.clock.now(),
    };
    let (events, details) = rows(&known, head, payloads, is_explained);
    if details.is_empty() {
        let answer = json!({"status": "valid", "events": events});
        return Ok(axum::Json(answer).into_response());
    }
    let error = Error::Field(details);
    Ok((error.status(), axum::Json(invalid(&error, events))).into_response())
}

/// What is answered where some events are wrong.
pub(super) fn invalid(error: &Error, events: Vec<Value>) -> Value {
    json!({
        "status": "error", "code": error.code(), "message": "some events would not be stored",
        "details": error.details(), "events": events,
    })
}

/// What each event would become, null for one that is wrong; and what is wrong.
pub(super) fn rows(
    known: &extract::Known<'_>,
    head: &Parts,
    payloads: Payloads,
    is_explained: bool,
) -> (Vec<Value>, Vec<Detail>) {
    let client_id = payloads.client_id();
    let visit = known.visit(super::stream_id(head), head, client_id.as_deref());
    let mut rows = Rows::of(known.enricher, head, &visit);
    let all = match payloads {
        Payloads::One(parsed) => vec![parsed],
        Payloads::Many(all) => all,
    };
    let (mut events, mut details) = (Vec::new(), Vec::new());
    for (index, parsed) in all.into_iter().enumerate() {
        match parsed {
            Ok(parsed) => {
                let is_explained = is_explained && index < MAX_EXPLAINED;
                events.push(row(&mut rows, parsed, is_explained));
            }
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
    (events, details)
}

fn row(rows: &mut Rows<'_>, parsed: Parsed, is_explained: bool) -> Value {
    let mut explanation = match is_explained {
        true => Explanation::asked(),
        false => Explanation::unasked(),
    };
    let Row {
        event,
        added,
        session,
    } = rows.of_event(parsed, &mut explanation);
    rows.kept(session);
    let row = written(&event);
    let warnings = row.pointer("/collector/warnings").cloned();
    let mut answer = json!({"row": row, "warnings": warnings.unwrap_or_else(|| json!([]))});
    if !added.is_empty() {
        answer["added"] = added.iter().map(written).collect();
    }
    if is_explained {
        answer["steps"] = json!(explanation.into_steps());
    }
    answer
}

/// A row as JSON.
fn written(event: &Event) -> Value {
    let mut text = Vec::new();
    schema::json::write_row(&event.encode_to_vec(), &mut text)
        .ok()
        .and_then(|()| serde_json::from_slice(&text).ok())
        .unwrap_or_default()
}
