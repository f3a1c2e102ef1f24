//! The one error shape, and the one place where errors become statuses:
//! `{"status":"error","code":"…","message":"…","details":[…]}`.

use std::sync::LazyLock;

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;

use crate::ledger::RequestRefusal;
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
            Self::Field(_) | Self::Some { retry: false, .. } => StatusCode::UNPROCESSABLE_ENTITY,
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::SlowBody => StatusCode::REQUEST_TIMEOUT,
            Self::UnsupportedEncoding => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::OriginNotAllowed => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::Timeout | Self::Unavailable(_) | Self::Some { retry: true, .. } => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The name by which programs tell it.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "malformed",
            Self::BadRequest(_) => "bad_request",
            Self::Field(_) => "wrong_field",
            Self::Some { .. } => "some_not_stored",
            Self::TooLarge(_) => "too_large",
            Self::NotFound => "not_found",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::Timeout => "timeout",
            Self::SlowBody => "slow_body",
            Self::UnsupportedEncoding => "unsupported_encoding",
            Self::OriginNotAllowed => "origin_not_allowed",
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
            Self::Unavailable(_) => Some(RequestRefusal::Unavailable),
            Self::BadRequest(_)
            | Self::UnsupportedEncoding
            | Self::NotFound
            | Self::MethodNotAllowed
            | Self::Internal => Some(RequestRefusal::Other),
            Self::Field(_) | Self::Some { .. } => None,
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

    fn details(&self) -> &[Detail] {
        match self {
            Self::Field(details) | Self::Some { details, .. } => details,
            _ => &[],
        }
    }
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
        if self.status() == StatusCode::SERVICE_UNAVAILABLE {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER_SECONDS));
        }
        response
    }
}
