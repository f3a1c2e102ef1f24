//! Sessions, with no database: what is known of a visitor comes with each request, in a signed cookie, and goes back with the answer.
//!
//! A session ends after a pause, or when a new campaign brings the visitor. No instance remembers anything, so what a new session is
//! called must follow from what parallel requests share: its id is a hash of the visitor's id, the previous session's number and the visitor's last activity
//! before it, not of the clock (but of the day, where no activity is known). A session that the client keeps itself counts as it is.
//!
//! Requests of a visitor whom nothing tells yet share nothing: they are different visitors. Whether cookies may be used at all is decided
//! by `consent`, which row is made in a session's name by [`rows`].

use std::time::Duration;

use prost::Message;
use xxhash_rust::xxh3::xxh3_64;

use super::explain::{Explanation, Step};
use super::identity::{self, Source};
use super::key::Key;
use super::{Visit, text_param};
use crate::clock::Micros;
use crate::schema::{Event, EventParam};

use click::Click;
pub(super) use columns::Group;

mod click;
mod columns;
mod cookie;
mod rows;
#[cfg(test)]
mod tests;

/// The event parameter by which a session is told.
const SESSION_ID: &str = "ga_session_id";
const SESSION_NUMBER: &str = "ga_session_number";
const SESSION_ENGAGED: &str = "session_engaged";

/// From how long on a session is engaged, as GA4 has it (<https://support.google.com/analytics/answer/12195621>).
const ENGAGED_AFTER: Duration = Duration::from_secs(10);

/// From how many views of pages on.
const ENGAGED_VIEWS: u32 = 2;

/// For how long a click stays the last one that counts, when sessions without source follow: GA4's window
/// (<https://support.google.com/analytics/answer/10597962>).
const CLICK_COUNTS: Duration = Duration::from_secs(90 * 86_400);

/// How sessions are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Whether they are kept at all.
    pub is_on: bool,
    /// The pause after which a session has ended.
    pub pause: Duration,
    /// Whether rows `session_start` and `first_visit` are added.
    pub adds_rows: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            is_on: true,
            pause: Duration::from_secs(1800),
            adds_rows: true,
        }
    }
}

/// What is known of a visitor: what the cookie holds.
#[derive(Clone, PartialEq, Message)]
pub(super) struct State {
    /// Id of the session.
    #[prost(int64, tag = "1")]
    id: i64,
    /// Number of the session, from 1.
    #[prost(int64, tag = "2")]
    number: i64,
    /// When it began, microseconds.
    #[prost(int64, tag = "3")]
    began: i64,
    /// Time of its newest event, microseconds.
    #[prost(int64, tag = "4")]
    last: i64,
    /// Pages that were viewed in it, as far as that matters.
    #[prost(uint32, tag = "5")]
    views: u32,
    /// Whether it counts as engaged.
    #[prost(bool, tag = "6")]
    is_engaged: bool,
    /// Whether an event told the page, and so where the visitor came from.
    #[prost(bool, tag = "7")]
    has_page: bool,
    /// The last click that brought the visitor; none for a direct visit.
    #[prost(message, optional, tag = "8")]
    last_click: Option<Click>,
    /// The click that brought them first.
    #[prost(message, optional, tag = "9")]
    first_click: Option<Click>,
    /// When they came first, microseconds.
    #[prost(int64, tag = "10")]
    first_touch: i64,
}

/// Keeps sessions.
#[derive(Debug)]
pub(super) struct Sessions {
    /// The first signs; all are understood.
    keys: Vec<Key>,
    config: Config,
}

/// The session of a request, from event to event.
#[derive(Clone, Debug, Default)]
pub struct Ongoing {
    state: Option<State>,
    /// Whether an event of the request went into it.
    is_followed: bool,
}

/// Why a session began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Began {
    /// Nothing was known.
    First,
    /// The last one had paused too long.
    Pause,
    /// A new campaign brought the visitor.
    Campaign,
    /// The client says so.
    Client,
}

impl Sessions {
    /// `None` if there is no key, or they are not wanted.
    pub(super) fn new(keys: &[Key], config: Config) -> Option<Self> {
        (config.is_on && !keys.is_empty()).then(|| Self {
            keys: keys.to_vec(),
            config,
        })
    }

    /// What the cookie of a request tells; one that is forged, damaged, or of somebody else tells nothing.
    pub(super) fn ongoing(&self, visit: &Visit<'_>, cookie: Option<&str>) -> Ongoing {
        Ongoing {
            state: cookie.and_then(|cookie| cookie::read(&self.keys, visit, cookie)),
            is_followed: false,
        }
    }

    /// The cookie of the answer; `None` if no event went into a session.
    pub(super) fn cookie(&self, visit: &Visit<'_>, ongoing: &Ongoing) -> Option<String> {
        let state = ongoing.state.as_ref().filter(|_| ongoing.is_followed)?;
        Some(cookie::write(self.keys.first()?, visit, state))
    }

    /// Puts an event, all else of which is filled in, into its session. How that stands once the event is kept, and the rows that
    /// are to be added before it.
    pub(super) fn follow(
        &self,
        event: &mut Event,
        visit: &Visit<'_>,
        ongoing: &Ongoing,
        group: Group<'_>,
        explanation: &mut Explanation,
    ) -> (Ongoing, Vec<Event>) {
        let now = event.event_timestamp.unwrap_or(visit.received_at.0);
        let clients = whole_param(event, SESSION_ID);
        let has_page = text_param(event, "page_location").is_some();
        let click = Click::of(event, now);
        let earlier = ongoing.state.as_ref();
        let is_first_visit = earlier.is_none() && self.is_first_visit(visit, now);

        let unknown_on = earlier.is_none().then(|| day(now));
        let began = self.begins(earlier, clients, click.as_ref(), now);
        let mut state = match (began, earlier.cloned()) {
            (None, Some(mut state)) => {
                state.adopt(click, has_page);
                state
            }
            (_, earlier) => State::begin(earlier, event, visit, clients, click, now),
        };
        state.follow(event, has_page, now);
        columns::fill(event, &state, group);
        explanation.step(|| explained(event, earlier, began, self.config.pause));

        // A client that keeps its sessions says itself when they begin; a crawler begins one with each page.
        let adds = self.config.adds_rows && began.is_some() && clients.is_none() && !is_bot(event);
        let which = rows::Which {
            number: state.number,
            day: unknown_on,
        };
        let added = match adds {
            true => rows::of(event, visit, &which, is_first_visit),
            false => Vec::new(),
        };
        let ongoing = Ongoing {
            state: Some(state),
            is_followed: true,
        };
        (ongoing, added)
    }

    /// Whether an event begins a session, and why.
    fn begins(
        &self,
        state: Option<&State>,
        clients: Option<i64>,
        click: Option<&Click>,
        now: i64,
    ) -> Option<Began> {
        let Some(state) = state else {
            return Some(Began::First);
        };
        if let Some(clients) = clients {
            return (clients != state.id).then_some(Began::Client);
        }
        if Micros(now).since(Micros(state.last)) > self.config.pause {
            return Some(Began::Pause);
        }
        let campaign = click.and_then(|click| click.campaign)?;
        let current = state.last_click.as_ref().and_then(|click| click.campaign);
        // The page may come after the first events of its session, which then did not know what brought the visitor.
        (state.has_page && current != Some(campaign)).then_some(Began::Campaign)
    }

    /// Whether somebody came for the first time, of whom no session is known: whose id is new. One of a tag or of Google Analytics says
    /// since when it is there; any other id may be of somebody who was here before there were sessions.
    fn is_first_visit(&self, visit: &Visit<'_>, now: i64) -> bool {
        let made = identity::first_touch(&visit.user_pseudo_id, visit.received_at.0);
        visit.user_source == Source::New
            || made.is_some_and(|made| Micros(now).since(Micros(made)) <= self.config.pause)
    }
}

impl State {
    fn begin(
        earlier: Option<Self>,
        event: &Event,
        visit: &Visit<'_>,
        clients: Option<i64>,
        click: Option<Click>,
        now: i64,
    ) -> Self {
        let (number, last) = earlier
            .as_ref()
            .map_or((0, day(now)), |earlier| (earlier.number, earlier.last));
        let clients_number = clients.and_then(|_| whole_param(event, SESSION_NUMBER));
        let (first_touch, first_click, last_click) = match earlier {
            Some(earlier) => {
                let counts =
                    |click: &Click| Micros(now).since(Micros(click.clicked)) <= CLICK_COUNTS;
                let last_click = click.or(earlier.last_click.filter(counts));
                (earlier.first_touch, earlier.first_click, last_click)
            }
            None => {
                let touched = event.user_first_touch_timestamp;
                (
                    touched.unwrap_or(now),
                    click.as_ref().map(Click::first),
                    click,
                )
            }
        };
        Self {
            id: clients.unwrap_or_else(|| session_id(visit, number, last)),
            number: clients_number
                .filter(|number| *number > 0)
                .unwrap_or(number.saturating_add(1)),
            began: now,
            last: last.max(now),
            last_click,
            first_click,
            first_touch,
            ..Self::default()
        }
    }

    /// Takes over what brought the visitor, if no event of the session could say it yet.
    fn adopt(&mut self, click: Option<Click>, has_page: bool) {
        if self.has_page || !has_page {
            return;
        }
        let Some(click) = click else { return };
        if self.number == 1 && self.first_click.is_none() {
            self.first_click = Some(click.first());
        }
        self.last_click = Some(click);
    }

    /// An event of the session.
    fn follow(&mut self, event: &Event, has_page: bool, now: i64) {
        let name = event.event_name.as_deref().unwrap_or_default();
        if matches!(name, "page_view" | "screen_view") {
            self.views = self.views.saturating_add(1).min(ENGAGED_VIEWS);
        }
        self.has_page |= has_page;
        self.last = self.last.max(now);
        self.is_engaged |= self.views >= ENGAGED_VIEWS
            || name == "purchase"
            || Micros(now).since(Micros(self.began)) >= ENGAGED_AFTER;
    }
}

/// The beginning of the day (UTC).
fn day(now: i64) -> i64 {
    const DAY: i64 = 86_400_000_000;
    now - now.rem_euclid(DAY)
}

/// The id of the session after this one: ten digits, as many as GA4's have, but no time.
fn session_id(visit: &Visit<'_>, number: i64, last: i64) -> i64 {
    const LEAST: u64 = 1_000_000_000;
    let (stream_id, user) = (&visit.stream_id, &visit.user_pseudo_id);
    let text = format!("{stream_id}\n{user}\n{number}\n{last}");
    let id = LEAST + xxh3_64(text.as_bytes()) % (9 * LEAST);
    i64::try_from(id).unwrap_or(i64::MAX)
}

fn is_bot(event: &Event) -> bool {
    let collector = event.collector.as_ref();
    let bot = collector.and_then(|collector| collector.bot.as_ref());
    bot.and_then(|bot| bot.is_bot) == Some(true)
}

/// The parameter of this name as a whole number, also where it came as text.
fn whole_param(event: &Event, key: &str) -> Option<i64> {
    let value = param(event, key)?.value.as_ref()?;
    let text = value.string_value.as_deref();
    value
        .int_value
        .or_else(|| text.and_then(|text| text.trim().parse().ok()))
}

fn param<'e>(event: &'e Event, key: &str) -> Option<&'e EventParam> {
    let mut params = event.event_params.iter().rev();
    params.find(|param| param.key.as_deref() == Some(key))
}

fn explained(
    event: &Event,
    earlier: Option<&State>,
    began: Option<Began>,
    pause: Duration,
) -> Step {
    let rule = match began {
        None => "it goes on".to_owned(),
        Some(Began::First) => "nothing was known: the first one".to_owned(),
        Some(Began::Pause) => format!("a new one: more than {} s passed", pause.as_secs()),
        Some(Began::Campaign) => "a new one: another campaign brought the visitor".to_owned(),
        Some(Began::Client) => "the client's own, which counts".to_owned(),
    };
    let click = event.session_traffic_source_last_click.as_ref();
    let campaign = click.and_then(|click| click.manual_campaign.as_ref());
    let first = event.traffic_source.as_ref();
    Step::new("session", rule)
        .saw("session before", earlier.map(|state| state.id))
        .saw("number before", earlier.map(|state| state.number))
        .saw("last activity", earlier.map(|state| state.last))
        .filled(SESSION_ID, whole_param(event, SESSION_ID))
        .filled(SESSION_NUMBER, whole_param(event, SESSION_NUMBER))
        .filled(SESSION_ENGAGED, text_param(event, SESSION_ENGAGED))
        .filled(
            "session_traffic_source_last_click.manual_campaign.source",
            campaign.and_then(|campaign| campaign.source.as_ref()),
        )
        .filled(
            "traffic_source.source",
            first.and_then(|first| first.source.as_ref()),
        )
        .filled(
            "user_first_touch_timestamp",
            event.user_first_touch_timestamp,
        )
}
