//! What is noted of an event that passes: the few facts that are counted, and of some the whole story.

use std::sync::Arc;

use http::request::Parts;

use crate::clock::Micros;
use crate::enrich::explain::Step;
use crate::schema::{Event, EventParam};

/// What became of an event, as its client was told. The ledger's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// It is in the log, as safe as `DELIVERY__ACKNOWLEDGE` asks.
    Appended,
    /// It was there already.
    Duplicate,
    /// It is wrong, or a destination will never take it.
    Rejected,
    /// The configuration does not want it.
    Filtered,
    /// It cannot be made durable now.
    Refused,
    /// Its request broke off before the answer.
    Unanswered,
}

impl Outcome {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Appended,
        Self::Duplicate,
        Self::Rejected,
        Self::Filtered,
        Self::Refused,
        Self::Unanswered,
    ];

    /// Its word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Appended => "appended",
            Self::Duplicate => "duplicate",
            Self::Rejected => "rejected",
            Self::Filtered => "filtered",
            Self::Refused => "refused",
            Self::Unanswered => "unanswered",
        }
    }

    /// The outcome that is called so.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|outcome| outcome.name() == name)
    }
}

/// What the tables of the most frequent values are about, in the order of [`Facts`].
pub const TABLES: [&str; 8] = [
    "events",
    "pages",
    "sources",
    "channels",
    "countries",
    "devices",
    "bots",
    "streams",
];

/// What an event counts for in each of [`TABLES`].
pub(super) type Facts = [Option<String>; TABLES.len()];

/// What the finished row of an event counts for.
pub(super) fn facts(event: &Event) -> Facts {
    let collector = event.collector.as_ref();
    let bot = collector.and_then(|collector| collector.bot.as_ref());
    let bot = bot.filter(|bot| bot.is_bot == Some(true));
    let of_source = collector.and_then(|collector| collector.traffic_source.as_ref());
    [
        event.event_name.clone(),
        page(event).map(str::to_owned),
        source(event),
        of_source.and_then(|source| source.channel_group.clone()),
        event.geo.as_ref().and_then(|geo| geo.country.clone()),
        event
            .device
            .as_ref()
            .and_then(|device| device.category.clone()),
        bot.map(|bot| {
            let name = bot.name.as_ref().or(bot.category.as_ref());
            name.map_or_else(|| "unnamed".to_owned(), Clone::clone)
        }),
        event.stream_id.clone(),
    ]
}

/// Host and path of the event's page: what follows them may be personal.
pub(super) fn page(event: &Event) -> Option<&str> {
    let location = text(&event.event_params, "page_location")?;
    let (_, address) = location.split_once("://").unwrap_or(("", location));
    let end = address.find(['?', '#']).unwrap_or(address.len());
    let page = &address[..end];
    // Name and password may stand before the host.
    let host_end = page.find('/').unwrap_or(page.len());
    let begin = page[..host_end].rfind('@').map_or(0, |at| at + 1);
    Some(&page[begin..]).filter(|page| !page.is_empty())
}

fn text<'e>(params: &'e [EventParam], key: &str) -> Option<&'e str> {
    let param = params
        .iter()
        .find(|param| param.key.as_deref() == Some(key));
    param?.value.as_ref()?.string_value.as_deref()
}

/// Source and medium that the event itself tells.
fn source(event: &Event) -> Option<String> {
    let collected = event.collected_traffic_source.as_ref()?;
    let (source, medium) = (&collected.manual_source, &collected.manual_medium);
    if source.is_none() && medium.is_none() {
        return None;
    }
    let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "(not set)".to_owned());
    Some(format!("{} / {}", text(source), text(medium)))
}

/// An event that has passed.
#[derive(Debug)]
pub(super) struct Seen {
    /// None of an event that could not be read.
    pub(super) facts: Facts,
    /// For those whose turn it is to be shown.
    pub(super) story: Option<Box<Story>>,
}

/// All that can be shown of one event.
#[derive(Debug)]
pub(super) struct Story {
    /// Bit by bit, which of the viewers see it.
    pub(super) viewers: u64,
    pub(super) at: Micros,
    pub(super) stream_id: String,
    pub(super) event_name: Option<String>,
    pub(super) event_id: Option<String>,
    pub(super) user: Option<String>,
    pub(super) page: Option<String>,
    pub(super) outcome: Outcome,
    pub(super) reason: Option<String>,
    pub(super) request: Arc<Request>,
    /// Which of the request's events it is; `None` if there is one only.
    pub(super) index: Option<usize>,
    /// `None` where too many came to note them.
    pub(super) steps: Option<Vec<Step>>,
    /// Names of the events that the collector added before it.
    pub(super) added: Vec<String>,
    /// The encoded row; `None` if there is none, or it is too large to be shown.
    pub(super) row: Option<Vec<u8>>,
    pub(super) row_bytes: usize,
    pub(super) sequence: Option<u64>,
    /// What was done, and the microseconds from the request's beginning until then.
    pub(super) times: Vec<(&'static str, u64)>,
}

/// A request as it came.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) method: String,
    pub(super) target: String,
    pub(super) headers: Vec<(String, String)>,
    /// The body, inflated; of a GET what its query says, as JSON.
    pub(super) payload: bytes::Bytes,
    pub(super) payload_bytes: usize,
}

/// A payload that is larger is not kept: one event is looked for in it only when it is shown.
const MAX_PAYLOAD: usize = 256 << 10;

impl Request {
    pub(super) fn new(head: &Parts, payload: &bytes::Bytes) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let headers = head.headers.iter();
        Self {
            method: head.method.to_string(),
            target: head.uri.to_string(),
            headers: headers
                .map(|(name, value)| (name.to_string(), text(value.as_bytes())))
                .collect(),
            payload: match payload.len() <= MAX_PAYLOAD {
                true => payload.clone(),
                false => bytes::Bytes::new(),
            },
            payload_bytes: payload.len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::Value;

    fn event(location: &str) -> Event {
        Event {
            event_params: vec![EventParam {
                key: Some("page_location".to_owned()),
                value: Some(Value {
                    string_value: Some(location.to_owned()),
                    ..Value::default()
                }),
            }],
            ..Event::default()
        }
    }

    #[test]
    fn pages_are_counted_without_what_may_be_personal() {
        for (location, expected) in [
            (
                "https://shop.test/a/b?mail=a@b.test#x",
                Some("shop.test/a/b"),
            ),
            ("https://shop.test", Some("shop.test")),
            ("https://joe:secret@shop.test/a@b", Some("shop.test/a@b")),
            ("/path?x", Some("/path")),
            ("?x", None),
            ("", None),
        ] {
            assert_eq!(page(&event(location)), expected, "{location}");
        }
    }

    #[test]
    fn outcomes_are_found_by_their_names() {
        for outcome in Outcome::ALL {
            assert_eq!(Outcome::named(outcome.name()), Some(outcome));
        }
        assert_eq!(Outcome::named("stored"), None);
    }
}
