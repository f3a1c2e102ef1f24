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

/// What an event becomes.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) event: Box<Event>,
    /// The rows that belong before it.
    pub(super) added: Vec<Event>,
    /// How the session stands once it is kept, if it is in one.
    pub(super) session: Option<Ongoing>,
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

    /// The row of an event.
    pub(super) fn of_event(&mut self, parsed: Parsed, explanation: &mut Explanation) -> Row {
        let (enricher, visit) = (self.enricher, self.visit);
        let mut event = parsed.event;
        let with_hints = parsed.hints.as_deref().map(|hints| visit.with_hints(hints));
        let hinted = with_hints.as_ref().unwrap_or(visit);
        enricher.event(&mut event, hinted, parsed.client_timestamp, explanation);
        let mut row = Row {
            event,
            added: Vec::new(),
            session: None,
        };
        if enricher.keeps_sessions() && enricher.allows_storage(&row.event, visit) {
            let (_, ongoing) = self.session.get_or_insert_with(|| {
                let name = cookie::session(&visit.stream_id);
                let ongoing = enricher.ongoing(visit, cookie::sent(&self.head.headers, &name));
                (name, ongoing)
            });
            if let Some((session, added)) =
                enricher.session(&mut row.event, visit, ongoing, explanation)
            {
                row.added = added;
                row.session = Some(session);
            }
        }
        row
    }

    /// The session after an event that is kept. One that is not begins no session, so that its next sending does.
    pub(super) fn kept(&mut self, session: Option<Ongoing>) {
        if let (Some((_, ongoing)), Some(session)) = (&mut self.session, session) {
            *ongoing = session;
        }
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
