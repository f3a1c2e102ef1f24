//! What an endpoint holds of the live view while it handles a request: nothing where nobody looks.
//!
//! An event is told of at each step that it passes. What that costs is bounded: facts of each event, the whole story of
//! those only for which a viewer has room, and no more explanations than a budget allows.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use bytes::Bytes;
use http::request::Parts;

use crate::enrich::Visit;
use crate::enrich::explain::Explanation;
use crate::schema::Event;

use super::Live;
use super::seen::{self, Facts, Outcome, Request, Seen, Story, TABLES};
use super::viewer::Viewer;

/// A larger row is not shown.
const MAX_ROW: usize = 64 << 10;

/// When a request began that is looked at.
#[derive(Clone, Copy, Debug)]
pub struct Begun(Instant);

impl Begun {
    pub(super) fn now() -> Self {
        Self(Instant::now())
    }
}

/// A look at one request, if anybody looks.
#[derive(Debug)]
pub struct Look<'r>(Option<Looking<'r>>);

#[derive(Debug)]
struct Looking<'r> {
    live: &'r Live,
    viewers: Arc<[Arc<Viewer>]>,
    head: &'r Parts,
    payload: Bytes,
    begun: Instant,
    read: Instant,
    /// Made for the first of its events that is shown.
    request: OnceLock<Arc<Request>>,
}

impl<'r> Look<'r> {
    pub(super) fn nobody() -> Self {
        Self(None)
    }

    pub(super) fn new(
        live: &'r Live,
        viewers: Arc<[Arc<Viewer>]>,
        begun: Begun,
        head: &'r Parts,
        payload: Bytes,
    ) -> Self {
        Self(Some(Looking {
            live,
            viewers,
            head,
            payload,
            begun: begun.0,
            read: Instant::now(),
            request: OnceLock::new(),
        }))
    }

    /// One of the request's events passes; `index` is its place in an array.
    pub fn event(&self, visit: &Visit<'_>, index: Option<usize>) -> Passing<'_> {
        let look = self.0.as_ref();
        let Some(look) = look.filter(|look| look.live.queue.has_room()) else {
            return Passing(None);
        };
        let (visitor, aliases) = (&*visit.user_pseudo_id, &look.live.aliases);
        let mut facts = Facts::default();
        facts[TABLES.len() - 1] = Some(visit.stream_id.clone().into_owned());
        Passing(Some(Box::new(Noted {
            look,
            index,
            facts,
            at: visit.received_at,
            stream_id: visit.stream_id.clone().into_owned(),
            visitor: visitor.to_owned(),
            matching: look.matching(|viewer| {
                let wish = &viewer.wish;
                wish.is_of(&visit.stream_id, None) && wish.is_by([Some(visitor), None], aliases)
            }),
            kept: None,
        })))
    }
}

impl Looking<'_> {
    /// The bits of those viewers whom `is` tells.
    fn matching(&self, is: impl Fn(&Viewer) -> bool) -> u64 {
        let viewers = self.viewers.iter().filter(|viewer| is(viewer));
        viewers.fold(0, |bits, viewer| bits | viewer.bit)
    }

    fn micros(&self, time: Instant) -> u64 {
        let after = time.saturating_duration_since(self.begun);
        u64::try_from(after.as_micros()).unwrap_or(u64::MAX)
    }

    fn request(&self) -> Arc<Request> {
        let request = || Arc::new(Request::new(self.head, &self.payload));
        Arc::clone(self.request.get_or_init(request))
    }
}

/// An event on its way, if anybody looks. One that is dropped before it has ended had nobody who waited for its answer.
#[derive(Debug)]
#[must_use = "an event whose end is not told"]
pub struct Passing<'l>(Option<Box<Noted<'l>>>);

#[derive(Debug)]
struct Noted<'l> {
    look: &'l Looking<'l>,
    index: Option<usize>,
    facts: Facts,
    at: crate::clock::Micros,
    stream_id: String,
    /// The browser's id, as the request tells it.
    visitor: String,
    /// Who wants to see it, as far as it is known yet.
    matching: u64,
    /// What can be shown besides, where one of them has room.
    kept: Option<Kept>,
}

/// What is known of an event that may be shown.
#[derive(Debug, Default)]
struct Kept {
    event_name: Option<String>,
    event_id: Option<String>,
    user: Option<String>,
    page: Option<String>,
    steps: Option<Vec<crate::enrich::explain::Step>>,
    added: Vec<String>,
    row: Option<Vec<u8>>,
    row_bytes: usize,
    sequence: Option<u64>,
    enriched: Option<Instant>,
    appended: Option<Instant>,
}

impl Passing<'_> {
    /// What the steps of enrichment are to tell of this event, as its client sent it.
    pub fn explanation(&mut self, event: &Event) -> Explanation {
        let Some(noted) = &mut self.0 else {
            return Explanation::unasked();
        };
        let (look, name) = (noted.look, event.event_name.as_deref());
        let ids = [Some(noted.visitor.as_str()), event.user_id.as_deref()];
        noted.matching = look.matching(|viewer| viewer.wish.is_of(&noted.stream_id, name));
        let is_wanted = |viewer: &&Arc<Viewer>| {
            viewer.bit & noted.matching != 0
                && viewer.budget.has_some()
                && viewer.wish.is_by(ids, &look.live.aliases)
        };
        match look.viewers.iter().any(|viewer| is_wanted(&viewer)) && look.live.explained.take() {
            true => Explanation::asked(),
            false => Explanation::unasked(),
        }
    }

    /// Its row is finished, as are those that the collector adds before it.
    pub fn enriched(&mut self, event: &Event, explanation: Explanation, added: &[Event]) {
        let Some(noted) = &mut self.0 else {
            return;
        };
        noted.facts = seen::facts(event);
        let (look, matching) = (noted.look, noted.matching);
        let ids = [event.user_pseudo_id.as_deref(), event.user_id.as_deref()];
        noted.matching = look.matching(|viewer| {
            viewer.bit & matching != 0 && viewer.wish.is_by(ids, &look.live.aliases)
        });
        if !noted.has_room() {
            return;
        }
        let steps = explanation.into_steps();
        noted.kept = Some(Kept {
            event_name: event.event_name.clone(),
            event_id: event.event_id.clone(),
            user: event.user_id.clone().or(event.user_pseudo_id.clone()),
            page: seen::page(event).map(str::to_owned),
            steps: (!steps.is_empty()).then_some(steps),
            added: added
                .iter()
                .filter_map(|added| added.event_name.clone())
                .collect(),
            enriched: Some(Instant::now()),
            ..Kept::default()
        });
    }

    /// Its row was handed to the log, which gave it a number if it took it.
    pub fn appended(&mut self, row: &[u8], sequence: Option<u64>) {
        let Some(kept) = self.0.as_mut().and_then(|noted| noted.kept.as_mut()) else {
            return;
        };
        kept.row_bytes = row.len();
        kept.row = (row.len() <= MAX_ROW).then(|| row.to_vec());
        kept.sequence = sequence;
        kept.appended = Some(Instant::now());
    }

    /// Its client is told what became of it.
    pub fn ended(mut self, outcome: Outcome, reason: Option<String>) {
        if let Some(noted) = self.0.take() {
            noted.tell(outcome, reason);
        }
    }
}

impl Drop for Passing<'_> {
    fn drop(&mut self) {
        if let Some(noted) = self.0.take() {
            noted.tell(Outcome::Unanswered, None);
        }
    }
}

impl Noted<'_> {
    fn has_room(&self) -> bool {
        let mut viewers = self.look.viewers.iter();
        viewers.any(|viewer| viewer.bit & self.matching != 0 && viewer.budget.has_some())
    }

    fn tell(mut self, outcome: Outcome, reason: Option<String>) {
        // Of what could not be read nothing was kept.
        if self.kept.is_none() && outcome == Outcome::Rejected && self.has_room() {
            self.kept = Some(Kept::default());
        }
        let mut shown = 0;
        for viewer in self.look.viewers.iter() {
            if viewer.bit & self.matching == 0 || !viewer.wish.is_outcome(outcome) {
                continue;
            }
            if self.kept.is_some() && viewer.budget.take() {
                shown |= viewer.bit;
            } else {
                viewer
                    .missed
                    .fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            }
        }
        let live = self.look.live;
        let story = self
            .kept
            .take()
            .filter(|_| shown != 0)
            .map(|kept| Box::new(self.story(kept, shown, outcome, reason)));
        live.queue.push(Seen {
            facts: self.facts,
            story,
        });
    }

    fn story(&self, kept: Kept, viewers: u64, outcome: Outcome, reason: Option<String>) -> Story {
        let look = self.look;
        let steps = [
            ("read", Some(look.read)),
            ("enriched", kept.enriched),
            ("appended", kept.appended),
            ("settled", Some(Instant::now())),
        ];
        let times = steps.into_iter();
        Story {
            viewers,
            at: self.at,
            stream_id: self.stream_id.clone(),
            event_name: kept.event_name,
            event_id: kept.event_id,
            user: kept.user,
            page: kept.page,
            outcome,
            reason,
            request: look.request(),
            index: self.index,
            steps: kept.steps,
            added: kept.added,
            row: kept.row,
            row_bytes: kept.row_bytes,
            sequence: kept.sequence,
            times: times
                .filter_map(|(step, time)| Some((step, look.micros(time?))))
                .collect(),
        }
    }
}
