//! The one error shape, and the one place where errors become statuses:
//! `{"status":"error","code":"…","message":"…","details":[…]}`.

use std::sync::LazyLock;
use std::time::Duration;

use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde::Serialize;

use crate::ledger::RequestRefusal;
use crate::live::Closed;
use crate::pipeline::Refused;

/// After how many seconds a refused client may come back.
const RETRY_AFTER_SECONDS: u32 = 5;

/// One fault of a request: where, and what to do about it. Never shows values.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Detail {
    /// Index of the event in the array; absent for a single event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index: Option<usize>,
    /// Path of the field, such as `items[0].price`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub path: String,
    /// What is wrong and what would be right.
    pub message: String,
}

/// Everything that a request can be answered with instead of success.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The body is not JSON.
    #[error("{0}")]
    Malformed(String),
    /// A path or query parameter is wrong.
    #[error("{0}")]
    BadRequest(String),
    /// A field is wrong.
    #[error("the event has a field that is wrong")]
    Field(Vec<Detail>),
    /// A destination will never take the event, and there is no dead letter.
    #[error("a destination will never take the event")]
    Rejected(Vec<Detail>),
    /// Some or all events of an array were not stored; the others were.
    #[error("some events were not stored; the others were")]
    Some {
        /// The events that were not stored.
        details: Vec<Detail>,
        /// Whether sending them again later may help.
        retry: bool,
    },
    /// The body, or an event, is too large.
    #[error("{0}")]
    TooLarge(String),
    /// There is nothing at this path.
    #[error("there is nothing at this path")]
    NotFound,
    /// The path does not take this method.
    #[error("this path does not take that method")]
    MethodNotAllowed,
    /// It took too long.
    #[error("the request took too long; send it again")]
    Timeout,
    /// The client took too long to send it.
    #[error("the body did not come in time; send it again")]
    SlowBody,
    /// The body is compressed in a way that we do not know.
    #[error("Content-Encoding must be gzip, deflate, br, zstd or identity, at most two of them")]
    UnsupportedEncoding,
    /// Scripts of this origin may not send.
    #[error(
        "this origin is not in CORS__ALLOWED_ORIGINS, and the collector refuses those that are not"
    )]
    OriginNotAllowed,
    /// This stream is none of ours.
    #[error("this stream_id is not in INTAKE__STREAMS")]
    StreamNotAllowed,
    /// A key is asked for.
    #[error(
        "a right write key is needed: send it as X-Write-Key, as a bearer token, or as write_key in the query"
    )]
    WrongWriteKey,
    /// The sender sends more than it may.
    #[error("too many events of this sender; send it again after Retry-After")]
    TooMany {
        /// When the next one is taken.
        wait: Duration,
    },
    /// The admin token is asked for.
    #[error(
        "the admin token is needed: as a bearer token, or as the password of Basic authentication"
    )]
    Unauthorized,
    /// Admin routes are not for this host.
    #[error("admin routes answer to localhost, addresses and the hosts in ADMIN__HOSTS only")]
    UnknownHost,
    /// Nobody more can look at what arrives.
    #[error("{0}")]
    NotLive(#[from] Closed),
    /// A page of another site asks the operator's browser to act.
    #[error("pages of other sites may not do this")]
    CrossSite,
    /// There is no such destination.
    #[error("there is no destination of this name; /health lists them")]
    DestinationNotFound,
    /// The dead letters cannot be read, or not now.
    #[error("{0}")]
    NotReplayed(String),
    /// Nobody knows this event.
    #[error(
        "no event with this id is in the log or in a dead letter; the log on disk keeps events for DEDUPE__WINDOW after their delivery"
    )]
    EventNotFound,
    /// Nothing can be made durable now.
    #[error("{0}; send it again later")]
    Unavailable(#[from] Refused),
    /// A fault of ours.
    #[error("the collector failed on this request; send it again")]
    Internal,
}

impl Error {
    /// Status of the answer.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Malformed(_) | Self::BadRequest(_) => StatusCode::BAD_REQUEST,
            Self::Field(_) | Self::Rejected(_) | Self::Some { retry: false, .. } => {
                StatusCode::UNPROCESSABLE_ENTITY
            }
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::SlowBody => StatusCode::REQUEST_TIMEOUT,
            Self::UnsupportedEncoding => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::OriginNotAllowed
            | Self::StreamNotAllowed
            | Self::UnknownHost
            | Self::CrossSite => StatusCode::FORBIDDEN,
            Self::WrongWriteKey | Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::TooMany { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::NotFound | Self::EventNotFound | Self::DestinationNotFound => {
                StatusCode::NOT_FOUND
            }
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::NotReplayed(_) => StatusCode::CONFLICT,
            Self::NotLive(_)
            | Self::Timeout
            | Self::Unavailable(_)
            | Self::Some { retry: true, .. } => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The name by which programs tell it.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "malformed",
            Self::BadRequest(_) => "bad_request",
            Self::Field(_) => "wrong_field",
            Self::Rejected(_) => "rejected",
            Self::Some { .. } => "some_not_stored",
            Self::TooLarge(_) => "too_large",
            Self::NotFound => "not_found",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::Timeout => "timeout",
            Self::SlowBody => "slow_body",
            Self::UnsupportedEncoding => "unsupported_encoding",
            Self::OriginNotAllowed => "origin_not_allowed",
            Self::StreamNotAllowed => "stream_not_allowed",
            Self::WrongWriteKey => "wrong_write_key",
            Self::TooMany { .. } => "too_many",
            Self::Unauthorized => "unauthorized",
            Self::UnknownHost => "unknown_host",
            Self::NotLive(_) => "not_live",
            Self::CrossSite => "cross_site",
            Self::DestinationNotFound => "destination_not_found",
            Self::NotReplayed(_) => "not_replayed",
            Self::EventNotFound => "event_not_found",
            Self::Unavailable(_) => "unavailable",
            Self::Internal => "internal",
        }
    }

    /// How it is counted, if the request was refused before its events were.
    pub fn refusal(&self) -> Option<RequestRefusal> {
        match self {
            Self::Malformed(_) => Some(RequestRefusal::Malformed),
            Self::TooLarge(_) => Some(RequestRefusal::TooLarge),
            Self::Timeout | Self::SlowBody => Some(RequestRefusal::Timeout),
            Self::OriginNotAllowed => Some(RequestRefusal::Origin),
            Self::StreamNotAllowed | Self::WrongWriteKey => Some(RequestRefusal::Sender),
            Self::TooMany { .. } => Some(RequestRefusal::Rate),
            Self::Unavailable(_) => Some(RequestRefusal::Unavailable),
            Self::BadRequest(_) | Self::UnsupportedEncoding | Self::Internal => {
                Some(RequestRefusal::Other)
            }
            Self::NotFound
            | Self::MethodNotAllowed
            | Self::Field(_)
            | Self::Rejected(_)
            | Self::Some { .. }
            | Self::Unauthorized
            | Self::UnknownHost
            | Self::CrossSite
            | Self::NotLive(_)
            | Self::DestinationNotFound
            | Self::NotReplayed(_)
            | Self::EventNotFound => None,
        }
    }

    /// The whole answer on a connection that nobody will read: HTTP/1.1, and the connection ends with it.
    pub(super) fn too_many_connections() -> &'static str {
        static ANSWER: LazyLock<String> = LazyLock::new(|| {
            let body = Body {
                status: "error",
                code: "unavailable",
                message: "there are more connections than the collector takes; send it again later"
                    .to_owned(),
                details: &[],
            };
            // Strings always serialise.
            let body = serde_json::to_string(&body).unwrap_or_default();
            format!(
                "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nretry-after: {RETRY_AFTER_SECONDS}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                body.len()
            )
        });
        &ANSWER
    }

    /// What the answer says besides, as the status asks for it.
    fn headers(&self) -> Vec<(HeaderName, HeaderValue)> {
        match self {
            Self::TooMany { wait } => {
                let seconds = wait.as_secs().saturating_add(1);
                vec![(header::RETRY_AFTER, HeaderValue::from(seconds))]
            }
            // A line each: Chromium takes a line for one scheme, and would ask for no password.
            Self::Unauthorized => [
                "Basic realm=\"Real Streaming\", charset=\"UTF-8\"",
                "Bearer",
            ]
            .map(|scheme| (header::WWW_AUTHENTICATE, HeaderValue::from_static(scheme)))
            .into(),
            Self::WrongWriteKey => {
                let scheme = HeaderValue::from_static("Bearer");
                vec![(header::WWW_AUTHENTICATE, scheme)]
            }
            _ if self.status() == StatusCode::SERVICE_UNAVAILABLE => {
                vec![(header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER_SECONDS))]
            }
            _ => Vec::new(),
        }
    }

    /// The message and the first detail.
    fn reason(&self) -> String {
        match self.details() {
            [] => self.to_string(),
            [first, ..] => format!("{self}: {} {}", first.path, first.message),
        }
    }

    pub(super) fn details(&self) -> &[Detail] {
        match self {
            Self::Field(details) | Self::Rejected(details) | Self::Some { details, .. } => details,
            _ => &[],
        }
    }
}

/// Why an answer is an error, for the log: no word of the client's.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    pub(super) code: &'static str,
    pub(super) reason: String,
}

#[derive(Serialize)]
struct Body<'a> {
    status: &'static str,
    code: &'static str,
    message: String,
    details: &'a [Detail],
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let body = Body {
            status: "error",
            code: self.code(),
            message: self.to_string(),
            details: self.details(),
        };
        let mut response = (self.status(), axum::Json(&body)).into_response();
        for (name, value) in self.headers() {
            response.headers_mut().append(name, value);
        }
        response.extensions_mut().insert(Refusal {
            code: self.code(),
            reason: self.reason(),
        });
        response
    }
}
