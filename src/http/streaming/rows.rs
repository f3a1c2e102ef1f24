//! The rows of one request: its events share a visit, and a session that goes on from one to the next.

use http::request::Parts;
use http::{HeaderValue, header};

use super::payload::Parsed;
use crate::enrich::explain::Explanation;
use crate::enrich::session::Ongoing;
use crate::enrich::{Enricher, Visit};
use crate::http::cookie;
use crate::schema::Event;

/// A browser that sends more than this gets no cookie besides. Servers before the collector take 8 KiB of headers, mostly.
const MOST_COOKIE_BYTES: usize = 4 << 10;

/// Makes rows of events.
#[derive(Debug)]
pub(super) struct Rows<'r> {
    enricher: &'r Enricher,
    head: &'r Parts,
    visit: &'r Visit<'r>,
    /// Name of the session's cookie, and what it told. Not read before an event allows it.
    session: Option<(String, Ongoing)>,
}

impl<'r> Rows<'r> {
    pub(super) fn of(enricher: &'r Enricher, head: &'r Parts, visit: &'r Visit<'r>) -> Self {
        Self {
            enricher,
            head,
            visit,
            session: None,
        }
    }

    /// The row of an event, and the rows that belong before it.
    pub(super) fn of_event(
        &mut self,
        parsed: Parsed,
        explanation: &mut Explanation,
    ) -> (Box<Event>, Vec<Event>) {
        let (enricher, visit) = (self.enricher, self.visit);
        let mut event = parsed.event;
        let with_hints = parsed.hints.as_deref().map(|hints| visit.with_hints(hints));
        let hinted = with_hints.as_ref().unwrap_or(visit);
        enricher.event(&mut event, hinted, parsed.client_timestamp, explanation);
        if !enricher.keeps_sessions() || !enricher.allows_storage(&event, visit) {
            return (event, Vec::new());
        }
        let (_, ongoing) = self.session.get_or_insert_with(|| {
            let name = cookie::session(&visit.stream_id);
            let ongoing = enricher.ongoing(visit, cookie::sent(&self.head.headers, &name));
            (name, ongoing)
        });
        let added = enricher.session(&mut event, visit, ongoing, explanation);
        (event, added)
    }

    /// Name and value of the session's cookie after these events, if there is one to set. Not where the browser has many
    /// already: somebody else's page could fill it with cookies of streams that it thinks up.
    pub(super) fn session(&self) -> Option<(&str, String)> {
        let (name, ongoing) = self.session.as_ref()?;
        let headers = &self.head.headers;
        let bytes: usize = headers
            .get_all(header::COOKIE)
            .iter()
            .map(HeaderValue::len)
            .sum();
        if bytes > MOST_COOKIE_BYTES && cookie::sent(headers, name).is_none() {
            return None;
        }
        Some((name, self.enricher.session_cookie(self.visit, ongoing)?))
    }
}
