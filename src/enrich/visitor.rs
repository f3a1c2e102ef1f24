//! What the intake asks of enrichment about a visitor: who it is, whether anything may be stored of them, which session it is.

use std::borrow::Cow;

use super::explain::Explanation;
use super::session::Ongoing;
use super::traffic_source::{Source, channel_group};
use super::{Enricher, Visit, identity, text_param, time};
use crate::schema::Event;

impl Enricher {
    /// The id of a browser by its cookies, `__uid__` and that of Google Analytics, or by what the client itself says; a new one if
    /// they tell none.
    pub fn user_pseudo_id<'a>(
        &self,
        cookie: Option<&'a str>,
        ga: impl FnOnce() -> Option<&'a str>,
        client_id: Option<&'a str>,
    ) -> (Cow<'a, str>, identity::Source) {
        let ga = self.takes_ga_cookie.then(ga).flatten();
        identity::user_pseudo_id(cookie, ga, client_id)
    }

    /// Whether anything may be stored at the visitor, as far as this event, which is not yet enriched, and its request tell.
    pub fn allows_storage(&self, event: &Event, visit: &Visit<'_>) -> bool {
        self.consent.allows_storage(event, visit)
    }

    /// Whether sessions are kept.
    pub fn keeps_sessions(&self) -> bool {
        self.sessions.is_some()
    }

    /// The session that the cookie of a request tells of.
    pub fn ongoing(&self, visit: &Visit<'_>, cookie: Option<&str>) -> Ongoing {
        let sessions = self.sessions.as_ref();
        sessions.map_or_else(Ongoing::default, |sessions| sessions.ongoing(visit, cookie))
    }

    /// Puts an enriched event into its session, which may begin with it. How the session stands once the event is kept, and the rows that are to be
    /// added before it, in order. Nothing happens where storage is denied or no sessions are kept.
    pub fn session(
        &self,
        event: &mut Event,
        visit: &Visit<'_>,
        ongoing: &Ongoing,
        explanation: &mut Explanation,
    ) -> Option<(Ongoing, Vec<Event>)> {
        let sessions = self.sessions.as_ref()?;
        if !self.allows_storage(event, visit) {
            return None;
        }
        let lists = self.lists();
        let group = |source: Source<'_>| channel_group(source, &lists).name();
        Some(sessions.follow(event, visit, ongoing, &group, explanation))
    }

    /// The session's cookie after the events of a request; `None` if there is none to set.
    pub fn session_cookie(&self, visit: &Visit<'_>, ongoing: &Ongoing) -> Option<String> {
        self.sessions.as_ref()?.cookie(visit, ongoing)
    }

    /// The id for the day of who denied storage, if there is to be one.
    pub(super) fn cookieless_id(&self, event: &Event, visit: &Visit<'_>) -> Option<String> {
        let cookieless = self.cookieless.as_ref()?;
        let day = time::day(visit.received_at, &self.time_zone)?.1;
        cookieless.id(visit, text_param(event, "page_location"), day)
    }
}
