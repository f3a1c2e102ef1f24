//! What the server knows of a request: the same for all events in it.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::LazyLock;

use http::{HeaderMap, HeaderName};

use super::ClientHints;
use super::identity::Source;
use crate::clock::Micros;

/// A request, as enrichment sees it.
#[derive(Clone, Debug)]
pub struct Visit<'a> {
    /// When the request was received.
    pub received_at: Micros,
    /// Last segment of the path.
    pub stream_id: Cow<'a, str>,
    /// Id of the browser, by [`super::identity::user_pseudo_id`].
    pub user_pseudo_id: Cow<'a, str>,
    /// Where that id comes from.
    pub user_source: Source,
    /// Address of the client, by [`super::client_ip::client_ip`].
    pub client_ip: Option<IpAddr>,
    /// The headers, as they came; read them by [`Visit::header`].
    pub headers: &'a HeaderMap,
    /// Client hints that the payload brought; they win over those of the headers.
    pub hints: Option<&'a ClientHints>,
}

impl<'a> Visit<'a> {
    /// A header as text, if it is there and not empty.
    pub fn header(&self, name: &HeaderName) -> Option<Cow<'a, str>> {
        let value = self.headers.get(name)?;
        Some(header_text(value.as_bytes())).filter(|text| !text.is_empty())
    }

    /// The same visit for an event that brought client hints of its own.
    #[must_use]
    pub fn with_hints(&self, hints: &'a ClientHints) -> Self {
        Self {
            hints: Some(hints),
            ..self.clone()
        }
    }
}

impl Default for Visit<'_> {
    /// A request without headers.
    fn default() -> Self {
        static NONE: LazyLock<HeaderMap> = LazyLock::new(HeaderMap::new);
        Self {
            received_at: Micros::default(),
            stream_id: Cow::default(),
            user_pseudo_id: Cow::default(),
            user_source: Source::default(),
            client_ip: None,
            headers: &NONE,
            hints: None,
        }
    }
}

/// The text of a header: UTF-8, or Latin-1 where it is no UTF-8.
pub(super) fn header_text(value: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(value) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => Cow::Owned(value.iter().copied().map(char::from).collect()),
    }
}

/// Headers of a test.
#[cfg(test)]
pub(super) fn headers<const N: usize>(headers: [(HeaderName, &str); N]) -> HeaderMap {
    let value = |text: &str| http::HeaderValue::from_bytes(text.as_bytes()).unwrap();
    headers
        .map(|(name, text)| (name, value(text)))
        .into_iter()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_bytes_are_read_as_utf8_first() {
        assert_eq!(header_text("São Paulo".as_bytes()), "São Paulo");
        assert_eq!(header_text(b"S\xe3o Paulo"), "São Paulo");
    }

    #[test]
    fn an_empty_header_is_none() {
        let headers = headers([(http::header::USER_AGENT, ""), (http::header::VIA, "x")]);
        let visit = Visit {
            headers: &headers,
            ..Visit::default()
        };
        assert_eq!(visit.header(&http::header::USER_AGENT), None);
        assert_eq!(visit.header(&http::header::VIA).as_deref(), Some("x"));
    }
}
