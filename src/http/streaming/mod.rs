//! `POST /api/v1/streaming/{stream_id}`: one event, or an array of them, as the tag sends it; `GET`: one event
//! in the query, answered by a pixel.
//!
//! Any content type that holds JSON, and forms. An event is answered for once its receipt resolves; in an array a bad
//! event never costs its neighbours.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, post};
use http::request::Parts;
use http::{HeaderValue, StatusCode, header};
use prost::Message;

use crate::enrich::Visit;
use crate::enrich::explain::Explanation;
use crate::ledger::Origin;
use crate::pipeline::{NotAppended, NotKept, Refused, With, event_key};
use crate::schema::Event;

use super::cookie::SetCookies;
use super::senders::Sender;
use super::{Detail, Error, Shared, body, extract};

mod explain;
mod form;
pub mod payload;
mod rows;
mod validate;

pub use explain::explain;

use payload::{FieldFault, Parsed, Payloads};
use rows::{Row, Rows};

/// Longest stream id.
const MAX_STREAM_ID_BYTES: usize = 128;

/// Most events that an answer names: a client that takes no answers must not cost much memory.
const MAX_DETAILS: usize = 1000;

/// What this path answers, by method.
pub(super) fn methods() -> MethodRouter<Arc<Shared>> {
    post(receive)
        .get(receive_pixel)
        .head(|| async { ([(header::CONTENT_TYPE, "image/gif")], ()) })
        .options(|| async { (StatusCode::NO_CONTENT, [(header::ALLOW, ALLOWED)]) })
}

const ALLOWED: &str = "GET, HEAD, OPTIONS, POST";

/// A GIF of one transparent pixel (<https://www.w3.org/Graphics/GIF/spec-gif89a.txt>).
const PIXEL: &[u8] = b"GIF89a\x01\0\x01\0\x80\0\0\0\0\0\xff\xff\xff!\xf9\x04\x01\0\0\0\0,\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0;";

async fn receive(State(shared): State<Arc<Shared>>, request: Request) -> Result<Response, Error> {
    // Taken apart by hand: extractors would copy all headers.
    let (head, body) = request.into_parts();
    if validate::is_asked(&head).map_err(|error| refused(&shared, error))? {
        return validate::answer(&shared, &head, Some(body)).await;
    }
    let (sender, payloads) = match posted(&shared, &head, body).await {
        Ok(posted) => posted,
        Err(error) => return Err(refused(&shared, error)),
    };
    let (cookies, stored) = store(&shared, &head, &sender, payloads).await;
    let json = HeaderValue::from_static("application/json");
    let ok = || ([(header::CONTENT_TYPE, json)], r#"{"status":"ok"}"#).into_response();
    Ok(with_cookies(stored.map(|()| ok()), cookies))
}

/// `GET`: the tag's GET mode, and pixels in pages that run no scripts.
async fn receive_pixel(
    State(shared): State<Arc<Shared>>,
    request: Request,
) -> Result<Response, Error> {
    let (head, _) = request.into_parts();
    if validate::is_asked(&head).map_err(|error| refused(&shared, error))? {
        return validate::answer(&shared, &head, None).await;
    }
    let bytes = head.uri.query().map_or(0, str::len);
    let queried = admit(&shared, &head).and_then(|sender| {
        shared.intake.admit(bytes)?;
        Ok((sender, query_payloads(&head)?))
    });
    let (sender, payloads) = match queried {
        Ok(queried) => queried,
        Err(error) => return Err(refused(&shared, error)),
    };
    let (cookies, stored) = store(&shared, &head, &sender, payloads).await;
    let headers = [
        (header::CONTENT_TYPE, "image/gif"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    let pixel = || (headers, PIXEL).into_response();
    Ok(with_cookies(stored.map(|()| pixel()), cookies))
}

/// Counts a request that was refused before its events were.
fn refused(shared: &Shared, error: Error) -> Error {
    if let Some(refusal) = error.refusal() {
        shared.ledger.request_refused(refusal);
    }
    error
}

fn with_cookies(stored: Result<Response, Error>, cookies: SetCookies) -> Response {
    let mut response = stored.unwrap_or_else(IntoResponse::into_response);
    cookies.add_to(response.headers_mut());
    response
}

/// Stores all events. The cookies by which the browser is to be told again, if any event was stored: none where it forbids that. And
/// whether all were.
async fn store(
    shared: &Shared,
    head: &Parts,
    sender: &Sender,
    payloads: Payloads,
) -> (SetCookies, Result<(), Error>) {
    shared.senders.sent(sender, payloads.len());
    let client_id = payloads.client_id();
    let visit = extract::visit(shared, stream_id(head), head, client_id.as_deref());
    let may_remember = payloads
        .iter()
        .all(|parsed| shared.enricher.allows_storage(&parsed.event, &visit));
    let mut rows = Rows::of(&shared.enricher, head, &visit);
    // Told before anything is awaited; set only if something is stored then.
    let cookies = |rows: &Rows<'_>| {
        let session = rows.session();
        let session = session
            .as_ref()
            .map(|(name, value)| (*name, value.as_str()));
        match may_remember {
            true => shared.cookie.set(&visit.user_pseudo_id, session, head),
            false => SetCookies::default(),
        }
    };
    let (answers, cookies) = match payloads {
        Payloads::One(parsed) => {
            shared.ledger.received(1);
            let answer = append(shared, &visit, &mut rows, parsed);
            let cookies = cookies(&rows);
            return match settled(answer).await {
                Ok(()) => (cookies, Ok(())),
                Err(fault) => (SetCookies::default(), Err(fault.of_one())),
            };
        }
        Payloads::Many(all) => {
            shared.ledger.received(all.len() as u64);
            let appended = all
                .into_iter()
                .map(|parsed| append(shared, &visit, &mut rows, parsed));
            let answers = appended.collect::<Vec<_>>();
            (answers, cookies(&rows))
        }
    };
    let (mut faults, count) = (Vec::new(), answers.len());
    for (index, answer) in answers.into_iter().enumerate() {
        if let Err(fault) = settled(answer).await {
            faults.push((index, fault));
        }
    }
    let cookies = match faults.len() < count {
        true => cookies,
        false => SetCookies::default(),
    };
    let stored = match faults.is_empty() {
        true => Ok(()),
        false => Err(Fault::of_some(faults)),
    };
    (cookies, stored)
}

/// The last segment of the path, be there a slash at its end or not.
fn stream_id(head: &Parts) -> &str {
    let path = head.uri.path();
    let path = path.strip_suffix('/').unwrap_or(path);
    path.rsplit('/').next().unwrap_or_default()
}

/// What a request posts, if it can be taken at all.
async fn posted(shared: &Shared, head: &Parts, body: Body) -> Result<(Sender, Payloads), Error> {
    let sender = admit(shared, head)?;
    let body = body::read(&head.headers, body, &shared.body).await?;
    shared.intake.admit(body.len())?;
    Ok((sender, payloads(head, &body)?))
}

/// What a body says.
fn payloads(head: &Parts, body: &[u8]) -> Result<Payloads, Error> {
    let content_type = head.headers.get(header::CONTENT_TYPE);
    let content_type = content_type.and_then(|value| value.to_str().ok());
    match content_type {
        Some(content_type) if form::is_form(content_type, body) => {
            parse(form::json(body)?.as_bytes())
        }
        _ => parse(body),
    }
}

/// What the query says.
fn query_payloads(head: &Parts) -> Result<Payloads, Error> {
    let query = head.uri.query().unwrap_or_default();
    parse(form::json(query.as_bytes())?.as_bytes())
}

/// Whether this sender may send to this stream.
fn admit(shared: &Shared, head: &Parts) -> Result<Sender, Error> {
    let address = || shared.client_ip(head);
    shared
        .senders
        .admit(checked_stream_id(head)?, head, address)
}

fn checked_stream_id(head: &Parts) -> Result<&str, Error> {
    let stream_id = stream_id(head);
    let is_safe = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if stream_id.len() > MAX_STREAM_ID_BYTES || !stream_id.bytes().all(is_safe) {
        return Err(Error::BadRequest(
            "stream_id must be 1 to 128 letters, digits, '-', '_' or '.'".to_owned(),
        ));
    }
    Ok(stream_id)
}

fn parse(body: &[u8]) -> Result<Payloads, Error> {
    payload::parse(body).map_err(|malformed| Error::Malformed(malformed.to_string()))
}

/// Why one event was not stored.
enum Fault {
    Field(FieldFault),
    TooLarge,
    Refused(Refused),
    /// By a destination.
    Rejected(String),
}

impl From<NotKept> for Fault {
    fn from(not_kept: NotKept) -> Self {
        match not_kept {
            NotKept::Refused(refused) => Self::Refused(refused),
            NotKept::Rejected(reason) => Self::Rejected(reason),
        }
    }
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
            Self::Rejected(reason) => Error::Rejected(vec![Detail {
                index: None,
                path: String::new(),
                message: reason,
            }]),
        }
    }

    fn of_some(faults: Vec<(usize, Self)>) -> Error {
        let retry = faults
            .iter()
            .any(|(_, fault)| matches!(fault, Self::Refused(_)));
        let unnamed = faults.len().saturating_sub(MAX_DETAILS);
        let mut details: Vec<Detail> = faults
            .into_iter()
            .take(MAX_DETAILS)
            .map(|(index, fault)| {
                let (path, message) = match fault {
                    Self::Field(fault) => (fault.path, fault.message.to_owned()),
                    Self::TooLarge => (String::new(), NotAppended::TooLarge.to_string()),
                    Self::Refused(refused) => {
                        (String::new(), format!("{refused}; send it again later"))
                    }
                    Self::Rejected(reason) => {
                        (String::new(), NotKept::Rejected(reason).to_string())
                    }
                };
                Detail {
                    index: Some(index),
                    path,
                    message,
                }
            })
            .collect();
        if unnamed > 0 {
            details.push(Detail {
                index: None,
                path: String::new(),
                message: format!("{unnamed} more, which are not listed"),
            });
        }
        Error::Some { details, retry }
    }
}

/// Enriches, encodes and appends one event. Everything that is not appended is counted here or below. What the configuration
/// does not want has no receipt: there is nothing to wait for.
fn append(
    shared: &Shared,
    visit: &Visit<'_>,
    rows: &mut Rows<'_>,
    parsed: Result<Parsed, FieldFault>,
) -> Result<Option<With>, Fault> {
    let origin = Origin::new(&visit.stream_id, visit.received_at);
    let parsed = parsed.map_err(|fault| {
        shared.intake.rejected(&origin);
        Fault::Field(fault)
    })?;
    let key = |event: &Event| {
        let name = event.event_name.as_deref().unwrap_or_default();
        let id = event.event_id.as_deref().unwrap_or_default();
        event_key(&visit.stream_id, name, id)
    };
    let is_told_by_id = parsed.event_id_given;
    let Row {
        event,
        added,
        session,
    } = rows.of_event(parsed, &mut Explanation::unasked());
    if shared.enricher.is_filtered(&event) {
        shared.intake.filtered(&origin);
        return Ok(None);
    }
    let added: Vec<_> = added
        .iter()
        .map(|added| (added.encode_to_vec(), key(added)))
        .collect();
    let key = is_told_by_id.then(|| key(&event));
    let appended = ENCODED.with_borrow_mut(|encoded| {
        encoded.clear();
        // A Vec grows as needed, so encoding cannot fail.
        event.encode_raw(encoded);
        let (intake, now) = (&shared.intake, visit.received_at);
        let appended = match added.is_empty() {
            true => intake.append(encoded, key, &origin, now).map(With::from),
            false => intake.append_with(&added, encoded, key, &origin, now),
        };
        encoded.shrink_to(SCRATCH_BYTES);
        appended
    });
    let with = appended.map_err(|not_appended| match not_appended {
        NotAppended::TooLarge => Fault::TooLarge,
        NotAppended::Refused(refused) => Fault::Refused(refused),
    })?;
    rows.kept(session);
    Ok(Some(with))
}

/// The scratch buffer keeps this much between events.
const SCRATCH_BYTES: usize = 64 << 10;

thread_local! {
    static ENCODED: std::cell::RefCell<Vec<u8>> = const { std::cell::RefCell::new(Vec::new()) };
}

async fn settled(answer: Result<Option<With>, Fault>) -> Result<(), Fault> {
    match answer? {
        Some(receipt) => Ok(receipt.settled().await?),
        None => Ok(()),
    }
}
