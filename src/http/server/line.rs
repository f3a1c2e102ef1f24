//! The line that the log gets of a request: what was asked, what was answered, under which ids.
//!
//! Refused requests are logged, all others only where somebody debugs. Of the client it holds the method, the path without its
//! query, and the user agent: no body, cookie, key or address. A request's id is the client's if it sent a proper
//! one; traces are those of W3C (<https://www.w3.org/TR/trace-context/#traceparent-header>) or of Google's load
//! balancers (<https://cloud.google.com/trace/docs/trace-context#legacy-http-header>).

use std::time::Instant;

use axum::response::Response;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri, header};
use tracing::Level;

use crate::http::error::Refusal;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const CLOUD_TRACE: HeaderName = HeaderName::from_static("x-cloud-trace-context");

/// Longer ids are not taken from clients.
const MAX_ID_BYTES: usize = 128;

/// Of paths and user agents as much is logged.
const MAX_SHOWN_CHARACTERS: usize = 200;

/// What of a request may be said later.
#[derive(Debug)]
pub(super) struct Line {
    began: Instant,
    id: HeaderValue,
    method: Method,
    uri: Uri,
    user_agent: Option<HeaderValue>,
    traceparent: Option<HeaderValue>,
    cloud_trace: Option<HeaderValue>,
}

impl Line {
    pub(super) fn of<B>(request: &Request<B>) -> Self {
        let headers = request.headers();
        let header = |name: &HeaderName| headers.get(name).cloned();
        Self {
            began: Instant::now(),
            id: request_id(headers),
            method: request.method().clone(),
            uri: request.uri().clone(),
            user_agent: header(&header::USER_AGENT),
            traceparent: header(&TRACEPARENT),
            cloud_trace: header(&CLOUD_TRACE),
        }
    }

    /// Says it, and tells the client the request's id.
    pub(super) fn answered(self, response: &mut Response) {
        let status = response.status();
        let refusal = response.extensions_mut().remove::<Refusal>();
        if refusal.is_some() || tracing::enabled!(Level::DEBUG) {
            self.say(status, refusal);
        }
        response.headers_mut().insert(REQUEST_ID, self.id);
    }

    fn say(&self, status: StatusCode, refusal: Option<Refusal>) {
        let trace = self.trace();
        let trace = trace.as_ref();
        let code = refusal.as_ref().map(|refusal| refusal.code);
        let message =
            refusal.map_or_else(|| "request answered".to_owned(), |refusal| refusal.reason);
        macro_rules! say {
            ($level:expr) => {
                tracing::event!(
                    $level,
                    code,
                    http.method = self.method.as_str(),
                    http.path = shown(self.uri.path().as_bytes()),
                    http.status = status.as_u16(),
                    http.user_agent = self
                        .user_agent
                        .as_ref()
                        .map(|value| shown(value.as_bytes())),
                    http.latency_ms = self.began.elapsed().as_secs_f64() * 1e3,
                    request_id = self.id.to_str().ok(),
                    trace.id = trace.map(|trace| trace.id.as_str()),
                    trace.span_id = trace.map(|trace| trace.span_id.as_str()),
                    trace.is_sampled = trace.map(|trace| trace.is_sampled),
                    "{message}"
                )
            };
        }
        match status.as_u16() {
            503 => say!(Level::WARN),
            500.. => say!(Level::ERROR),
            400.. => say!(Level::INFO),
            _ => say!(Level::DEBUG),
        }
    }

    fn trace(&self) -> Option<Trace> {
        let text =
            |value: &'_ Option<HeaderValue>| value.as_ref()?.to_str().ok().map(str::to_owned);
        let of_w3c = text(&self.traceparent).and_then(|value| Trace::of_w3c(&value));
        of_w3c.or_else(|| Trace::of_google(&text(&self.cloud_trace)?))
    }
}

/// The client's id if it is a proper one, else a new one.
fn request_id(headers: &HeaderMap) -> HeaderValue {
    let is_proper = |id: &&HeaderValue| {
        let is_safe = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
        (1..=MAX_ID_BYTES).contains(&id.len()) && id.as_bytes().iter().all(is_safe)
    };
    if let Some(id) = headers.get(REQUEST_ID).filter(is_proper) {
        return id.clone();
    }
    let mut id = [0; 16];
    let number = fastrand::u64(..);
    for (index, digit) in id.iter_mut().enumerate() {
        *digit = b"0123456789abcdef"[(number >> (4 * index)) as usize & 15];
    }
    HeaderValue::from_bytes(&id).unwrap_or(HeaderValue::from_static("0"))
}

/// As much of a client's text as is logged.
fn shown(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.chars().take(MAX_SHOWN_CHARACTERS).collect()
}

/// Where a request belongs.
#[derive(Debug, PartialEq, Eq)]
struct Trace {
    /// 32 hexadecimal digits.
    id: String,
    /// 16 hexadecimal digits.
    span_id: String,
    is_sampled: bool,
}

impl Trace {
    fn of_w3c(value: &str) -> Option<Self> {
        let mut parts = value.split('-');
        let [version, id, span_id, flags] = [(); 4].map(|()| parts.next());
        let hex = |part: Option<&'_ str>, digits: usize| {
            let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
            part.filter(|part| part.len() == digits && part.bytes().all(is_digit))
                .map(str::to_owned)
        };
        let (version, flags) = (hex(version, 2)?, hex(flags, 2)?);
        let is_zero = |text: &String| text.bytes().all(|byte| byte == b'0');
        let id = hex(id, 32).filter(|id| !is_zero(id))?;
        let span_id = hex(span_id, 16).filter(|id| !is_zero(id))?;
        let is_known = version != "ff" && (version != "00" || parts.next().is_none());
        is_known.then(|| Self {
            id,
            span_id,
            is_sampled: u8::from_str_radix(&flags, 16).is_ok_and(|flags| flags & 1 == 1),
        })
    }

    /// `TRACE_ID/SPAN_ID;o=OPTIONS`, the span id in decimal.
    fn of_google(value: &str) -> Option<Self> {
        let (id, rest) = value.split_once('/')?;
        let (span_id, options) = rest.split_once(';').unwrap_or((rest, ""));
        let is_id = id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
        let span_id: u64 = span_id.parse().ok()?;
        is_id.then(|| Self {
            id: id.to_ascii_lowercase(),
            span_id: format!("{span_id:016x}"),
            is_sampled: options == "o=1",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traces_are_read_in_both_forms_and_junk_is_none() {
        let id = "4bf92f3577b34da6a3ce929d0e0e4736";
        let trace = |span_id: &str, is_sampled| Trace {
            id: id.to_owned(),
            span_id: span_id.to_owned(),
            is_sampled,
        };
        for (value, expected) in [
            (
                format!("00-{id}-00f067aa0ba902b7-01"),
                Some(trace("00f067aa0ba902b7", true)),
            ),
            (
                format!("00-{id}-00f067aa0ba902b7-00"),
                Some(trace("00f067aa0ba902b7", false)),
            ),
            (
                format!("01-{id}-00f067aa0ba902b7-01-more"),
                Some(trace("00f067aa0ba902b7", true)),
            ),
            (format!("00-{id}-00f067aa0ba902b7-01-more"), None),
            (format!("ff-{id}-00f067aa0ba902b7-01"), None),
            (
                format!("00-{}-00f067aa0ba902b7-01", id.to_uppercase()),
                None,
            ),
            (format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32)), None),
            (format!("00-{id}-0000000000000000-01"), None),
            ("00-junk".to_owned(), None),
            (String::new(), None),
        ] {
            assert_eq!(Trace::of_w3c(&value), expected, "{value}");
        }
        for (value, expected) in [
            (format!("{id}/1;o=1"), Some(trace("0000000000000001", true))),
            (format!("{id}/255"), Some(trace("00000000000000ff", false))),
            (format!("{id}/x;o=1"), None),
            ("1/1".to_owned(), None),
            (id.to_owned(), None),
        ] {
            assert_eq!(Trace::of_google(&value), expected, "{value}");
        }
    }

    #[test]
    fn a_proper_id_is_kept_and_any_other_replaced() {
        let with = |id: &[u8]| {
            let mut headers = HeaderMap::new();
            headers.insert(REQUEST_ID, HeaderValue::from_bytes(id).unwrap());
            request_id(&headers)
        };
        assert_eq!(with(b"abc-DEF_1.2"), "abc-DEF_1.2");
        for improper in [&b""[..], b"a b", b"<script>", &[b'a'; 129], &[0xff]] {
            let id = with(improper);
            assert_eq!(id.len(), 16);
            assert_ne!(id.as_bytes(), improper);
        }
        assert_ne!(request_id(&HeaderMap::new()), request_id(&HeaderMap::new()));
    }
}
