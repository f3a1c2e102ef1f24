//! What a request would become and why, without a collector that runs: the same as `?validate=1&explain=1`, for
//! the command line. Nothing is stored or counted.

use axum::body::Body;
use http::request::Parts;
use serde_json::{Value, json};

use super::{checked_stream_id, payloads, query_payloads, validate};
use crate::clock::Micros;
use crate::enrich::Enricher;
use crate::http::{BodyLimits, Error, body, extract};

/// The answer of `?validate=1&explain=1` to a request that was received at this time. One without a body is told by its query.
///
/// # Errors
/// Nothing of it can be read.
pub async fn explain(
    enricher: &Enricher,
    limits: &BodyLimits,
    received_at: Micros,
    head: &Parts,
    posted: Vec<u8>,
) -> Result<Value, Error> {
    checked_stream_id(head)?;
    let payloads = if posted.is_empty() {
        query_payloads(head)?
    } else {
        let body = body::read(&head.headers, Body::from(posted), limits).await?;
        payloads(head, &body)?
    };
    let known = extract::Known {
        enricher,
        received_at,
    };
    let (events, details) = validate::rows(&known, head, payloads, true);
    if details.is_empty() {
        return Ok(json!({"status": "valid", "events": events}));
    }
    Ok(validate::invalid(&Error::Field(details), events))
}
