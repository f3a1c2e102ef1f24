//! `POST /api/v1/streaming/{stream_id}`: one event, or an array of them, as the tag sends it.
//!
//! Any content type that holds JSON. An event is answered for once its receipt resolves; in an array a bad
//! event never costs its neighbours.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use prost::Message;

use crate::enrich::Visit;
use crate::ledger::{Outcome, Rejection};
use crate::pipeline::{NotAppended, Receipt, Refused, event_key};

use super::extract;
use super::{Detail, Error, Shared};

pub mod payload;

use payload::{FieldFault, Parsed, Payloads};

/// Longest stream id.
const MAX_STREAM_ID_BYTES: usize = 128;

pub(super) async fn receive(
    State(shared): State<Arc<Shared>>,
    request: Request,
) -> Result<Response, Error> {
    // Taken apart by hand: extractors would copy all headers.
    let (head, body) = request.into_parts();
    let stream_id = head.uri.path().rsplit('/').next().unwrap_or_default();
    let payloads = match admitted(&shared, stream_id, body).await {
        Ok(payloads) => payloads,
        Err(error) => {
            if let Some(refusal) = error.refusal() {
                shared.ledger.request_refused(refusal);
            }
            return Err(error);
        }
    };
    let visit = extract::visit(&shared, stream_id, &head);
    let answers = match payloads {
        Payloads::One(parsed) => {
            shared.ledger.received(1);
            let answer = append(&shared, &visit, parsed);
            drop(visit);
            settled(answer).await.map_err(|fault| fault.of_one())?;
            return Ok(ok());
        }
        Payloads::Many(all) => {
            shared.ledger.received(all.len() as u64);
            let appended = all
                .into_iter()
                .map(|parsed| append(&shared, &visit, parsed));
            appended.collect::<Vec<_>>()
        }
    };
    drop(visit);
    let mut faults = Vec::new();
    for (index, answer) in answers.into_iter().enumerate() {
        if let Err(fault) = settled(answer).await {
            faults.push((index, fault));
        }
    }
    if faults.is_empty() {
        Ok(ok())
    } else {
        Err(Fault::of_some(faults))
    }
}

/// What the body says, if the request can be taken at all.
async fn admitted(shared: &Shared, stream_id: &str, body: Body) -> Result<Payloads, Error> {
    let body = read(body, shared.max_body_bytes).await?;
    let is_safe = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if stream_id.len() > MAX_STREAM_ID_BYTES || !stream_id.bytes().all(is_safe) {
        return Err(Error::BadRequest(
            "stream_id must be 1 to 128 letters, digits, '-', '_' or '.'".to_owned(),
        ));
    }
    shared.intake.admit(body.len())?;
    payload::parse(&body).map_err(|malformed| Error::Malformed(malformed.to_string()))
}

/// The whole body, if it is not larger than it may be.
async fn read(body: Body, max_bytes: usize) -> Result<Bytes, Error> {
    match Limited::new(body, max_bytes).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(Error::TooLarge(format!(
            "the body is larger than {max_bytes} bytes"
        ))),
        Err(_) => Err(Error::BadRequest("the body broke off".to_owned())),
    }
}

/// Why one event was not stored.
enum Fault {
    Field(FieldFault),
    TooLarge,
    Refused(Refused),
}

impl Fault {
    fn of_one(self) -> Error {
        match self {
            Self::Field(fault) => Error::Field(vec![Detail {
                index: None,
                path: fault.path,
                message: fault.message.to_owned(),
            }]),
            Self::TooLarge => Error::TooLarge(NotAppended::TooLarge.to_string()),
            Self::Refused(refused) => Error::Unavailable(refused),
        }
    }

    fn of_some(faults: Vec<(usize, Self)>) -> Error {
        let retry = faults
            .iter()
            .any(|(_, fault)| matches!(fault, Self::Refused(_)));
        let details = faults
            .into_iter()
            .map(|(index, fault)| {
                let (path, message) = match fault {
                    Self::Field(fault) => (fault.path, fault.message.to_owned()),
                    Self::TooLarge => (String::new(), NotAppended::TooLarge.to_string()),
                    Self::Refused(refused) => {
                        (String::new(), format!("{refused}; send it again later"))
                    }
                };
                Detail {
                    index: Some(index),
                    path,
                    message,
                }
            })
            .collect();
        Error::Some { details, retry }
    }
}

/// Enriches, encodes and appends one event. Everything that is not appended is counted here or below.
fn append(
    shared: &Shared,
    visit: &Visit<'_>,
    parsed: Result<Parsed, FieldFault>,
) -> Result<Receipt, Fault> {
    let parsed = parsed.map_err(|fault| {
        shared.ledger.ended(Outcome::Rejected(Rejection::Field), 1);
        Fault::Field(fault)
    })?;
    let mut event = parsed.event;
    shared
        .enricher
        .event(&mut event, visit, parsed.client_timestamp);
    let key = parsed.event_id_given.then(|| {
        let name = event.event_name.as_deref().unwrap_or_default();
        let id = event.event_id.as_deref().unwrap_or_default();
        event_key(&visit.stream_id, name, id)
    });
    let appended = ENCODED.with_borrow_mut(|encoded| {
        encoded.clear();
        // A Vec grows as needed, so encoding cannot fail.
        event.encode_raw(encoded);
        let appended = shared.intake.append(encoded, key, visit.received_at);
        encoded.shrink_to(SCRATCH_BYTES);
        appended
    });
    appended.map_err(|not_appended| match not_appended {
        NotAppended::TooLarge => Fault::TooLarge,
        NotAppended::Refused(refused) => Fault::Refused(refused),
    })
}

/// The scratch buffer keeps this much between events.
const SCRATCH_BYTES: usize = 64 << 10;

thread_local! {
    static ENCODED: std::cell::RefCell<Vec<u8>> = const { std::cell::RefCell::new(Vec::new()) };
}

async fn settled(answer: Result<Receipt, Fault>) -> Result<(), Fault> {
    answer?.settled().await.map_err(Fault::Refused)
}

fn ok() -> Response {
    let json = HeaderValue::from_static("application/json");
    ([(header::CONTENT_TYPE, json)], r#"{"status":"ok"}"#).into_response()
}
