//! Cross-origin rules (<https://fetch.spec.whatwg.org/#http-cors-protocol>): which sites' scripts may read answers.
//!
//! Decides on headers only, around everything else, so that refusals, timeouts and faults carry them too:
//! without them a browser hides the answer from the page. It protects no data: any site may still send,
//! unless those that are not listed are refused.

use std::collections::HashSet;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};

/// Which origins may read answers, and how they may ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CorsConfig {
    /// Origins such as `https://shop.example`, exactly as browsers send them; `*` for all, without credentials.
    pub allowed_origins: Vec<String>,
    /// Whether cookies are sent and taken.
    pub allow_credentials: bool,
    /// Methods that a page may use.
    pub allow_methods: Vec<String>,
    /// Headers that a page may set.
    pub allow_headers: Vec<String>,
    /// How long a browser remembers the answer to a preflight.
    pub max_age: Duration,
    /// Whether requests of other origins are refused instead of stored.
    pub refuse_unlisted: bool,
}

/// Headers that a page may always set.
const SAFE_HEADERS: [&str; 4] = [
    "Accept",
    "Accept-Language",
    "Content-Language",
    "Content-Type",
];

/// The rules, ready to be used.
#[derive(Debug)]
pub(super) struct Cors {
    origins: HashSet<HeaderValue>,
    any: bool,
    credentials: bool,
    methods: HeaderValue,
    headers: HeaderValue,
    max_age: HeaderValue,
    pub(super) refuse_unlisted: bool,
}

/// What a request's origin is to us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// It names none: not from a script of another origin.
    None,
    /// It may read the answer, which names this.
    Listed(HeaderValue),
    /// It may not read the answer.
    Unlisted,
}

impl Cors {
    pub(super) fn new(config: &CorsConfig) -> Self {
        let list = |items: &[&str]| value(&items.join(", "));
        let mut headers: Vec<&str> = config.allow_headers.iter().map(String::as_str).collect();
        for safe in SAFE_HEADERS {
            if !headers
                .iter()
                .any(|header| header.eq_ignore_ascii_case(safe))
            {
                headers.push(safe);
            }
        }
        let methods: Vec<&str> = config.allow_methods.iter().map(String::as_str).collect();
        let origins = config.allowed_origins.iter().map(|origin| value(origin));
        Self {
            origins: origins.collect(),
            any: config.allowed_origins.iter().any(|origin| origin == "*"),
            credentials: config.allow_credentials,
            methods: list(&methods),
            headers: list(&headers),
            max_age: HeaderValue::from(config.max_age.as_secs()),
            refuse_unlisted: config.refuse_unlisted,
        }
    }

    /// What the origin of a request with these headers is to us.
    pub(super) fn origin(&self, headers: &HeaderMap) -> Origin {
        match headers.get(header::ORIGIN) {
            None => Origin::None,
            Some(_) if self.any => Origin::Listed(HeaderValue::from_static("*")),
            Some(origin) if self.origins.contains(origin) => Origin::Listed(origin.clone()),
            Some(origin) if is_own(origin, headers) => Origin::None,
            Some(_) => Origin::Unlisted,
        }
    }

    /// Whether a browser asks beforehand what it may send.
    pub(super) fn is_preflight<B>(request: &Request<B>) -> bool {
        request.method() == Method::OPTIONS
            && request.headers().contains_key(header::ORIGIN)
            && request
                .headers()
                .contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
    }

    /// The answer to a preflight, without what [`mark`](Self::mark) adds.
    pub(super) fn preflight(&self, origin: &Origin) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        if let Origin::Listed(_) = origin {
            let headers = response.headers_mut();
            headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, self.methods.clone());
            headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, self.headers.clone());
            headers.insert(header::ACCESS_CONTROL_MAX_AGE, self.max_age.clone());
        }
        response
    }

    /// Says on an answer who may read it.
    pub(super) fn mark(&self, origin: Origin, response: &mut Response) {
        let headers = response.headers_mut();
        if !self.any {
            headers.append(header::VARY, HeaderValue::from_static("Origin"));
        }
        let Origin::Listed(origin) = origin else {
            return;
        };
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        if self.credentials && !self.any {
            headers.insert(
                header::ACCESS_CONTROL_ALLOW_CREDENTIALS,
                HeaderValue::from_static("true"),
            );
        }
        if headers.contains_key(header::RETRY_AFTER) {
            headers.insert(
                header::ACCESS_CONTROL_EXPOSE_HEADERS,
                HeaderValue::from_static("Retry-After"),
            );
        }
    }
}

/// Whether it is the collector's own: its documentation sends too.
fn is_own(origin: &HeaderValue, headers: &HeaderMap) -> bool {
    let origin = origin.as_bytes();
    let host = origin
        .strip_prefix(b"https://")
        .or_else(|| origin.strip_prefix(b"http://"));
    let called = headers.get(header::HOST).map(HeaderValue::as_bytes);
    host.is_some_and(|host| !host.is_empty() && Some(host) == called)
}

/// The configuration has been checked: what is no header value names nobody.
fn value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(origins: &[&str]) -> CorsConfig {
        let texts = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect();
        CorsConfig {
            allowed_origins: texts(origins),
            allow_credentials: true,
            allow_methods: texts(&["GET", "POST"]),
            allow_headers: texts(&["content-type", "X-Own"]),
            max_age: Duration::from_secs(600),
            refuse_unlisted: false,
        }
    }

    fn asked(cors: &Cors, origin: &str) -> Response {
        let request = Request::options("/")
            .header("Origin", origin)
            .header("Access-Control-Request-Method", "POST")
            .body(())
            .unwrap();
        assert!(Cors::is_preflight(&request));
        let origin = cors.origin(request.headers());
        let mut response = cors.preflight(&origin);
        cors.mark(origin, &mut response);
        response
    }

    #[test]
    fn only_the_very_origins_that_are_listed_may_read() {
        let cors = Cors::new(&config(&["https://shop.test", "http://localhost:3000"]));
        for listed in ["https://shop.test", "http://localhost:3000"] {
            let response = asked(&cors, listed);
            let header = |name: &str| response.headers().get(name).unwrap().to_str().unwrap();
            assert_eq!(header("access-control-allow-origin"), listed);
            assert_eq!(header("access-control-allow-credentials"), "true");
            assert_eq!(header("access-control-allow-methods"), "GET, POST");
            assert_eq!(
                header("access-control-allow-headers"),
                "content-type, X-Own, Accept, Accept-Language, Content-Language"
            );
            assert_eq!(
                (header("access-control-max-age"), header("vary")),
                ("600", "Origin")
            );
        }
        for other in [
            "null",
            "https://shop.test.evil.example",
            "https://evil.example/https://shop.test",
            "http://shop.test",
            "https://shop.test:8443",
            "HTTPS://SHOP.TEST",
            "https://shop.test/",
            "*",
            "",
        ] {
            let response = asked(&cors, other);
            let names: Vec<_> = response
                .headers()
                .keys()
                .map(|name| name.as_str())
                .collect();
            assert_eq!(names, ["vary"], "{other}");
        }
    }

    #[test]
    fn pages_of_the_collector_itself_are_of_no_other_origin() {
        let cors = Cors::new(&config(&[]));
        for (origin, host, expected) in [
            ("http://localhost:8080", "localhost:8080", Origin::None),
            ("https://collect.test", "collect.test", Origin::None),
            (
                "https://collect.test",
                "collect.test:8080",
                Origin::Unlisted,
            ),
            ("https://evil.test", "collect.test", Origin::Unlisted),
            ("collect.test", "collect.test", Origin::Unlisted),
            ("https://", "", Origin::Unlisted),
        ] {
            let headers = [(header::ORIGIN, origin), (header::HOST, host)]
                .map(|(name, value)| (name, HeaderValue::from_static(value)));
            let found = cors.origin(&HeaderMap::from_iter(headers));
            assert_eq!(found, expected, "{origin} {host}");
        }
    }

    #[test]
    fn anybody_may_read_only_what_has_no_credentials() {
        let cors = Cors::new(&config(&["*"]));
        let response = asked(&cors, "https://anybody.test");
        assert_eq!(response.headers()["access-control-allow-origin"], "*");
        assert!(
            !response
                .headers()
                .contains_key("access-control-allow-credentials")
        );
    }
}
