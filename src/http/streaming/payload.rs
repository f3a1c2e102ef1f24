//! The body of a streaming request → [`Event`]s: one JSON object, or an array of them.
//!
//! Tolerant of how clients write (absent members are null, numbers in text are numbers, unknown
//! fields are listed in `collector.warnings`), exact in what it stores, and each element of an array
//! stands for itself. It knows only what the client said; what the server knows is added by `enrich`.
//! A body that is itself a JSON text holding JSON is not taken apart.

use crate::clock::Micros;
use crate::enrich::ClientHints;
use crate::schema::{AppInfo, Collector, Event, EventParam, UserLtv};

mod commerce;
mod consent;
mod hints;
mod input;
mod json;
mod params;
#[cfg(test)]
mod tests;

use input::{Fault, Input, Path, fault};
use json::Kind;

/// Most events in one request.
pub const MAX_EVENTS: usize = 10_000;

/// Longest `event_id`, in bytes.
pub const MAX_EVENT_ID: usize = 512;

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// Top-level fields of the data tag that GA4 has as event parameters.
pub const FLAT_PARAMS: [&str; 8] = [
    "page_location",
    "page_hostname",
    "page_path",
    "page_referrer",
    "page_title",
    "page_encoding",
    "screen_resolution",
    "viewport_size",
];

/// The body is no JSON that could hold events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the body is not valid JSON: {what}, at byte {offset}")]
pub struct Malformed {
    /// What is wrong.
    what: &'static str,
    /// Where, in bytes from the start.
    pub offset: usize,
}

/// An event that cannot be read: one of its values is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path} {message}")]
pub struct FieldFault {
    /// Path of the value inside the event, such as `event_params[2].value`.
    pub path: String,
    /// What it must be; follows the path in a sentence and never holds what was sent.
    pub message: &'static str,
}

/// An event as the client sent it.
#[derive(Debug)]
pub struct Parsed {
    /// The event, with warnings but nothing of the server's in it.
    pub event: Box<Event>,
    /// Whether the client gave an `event_id`.
    pub event_id_given: bool,
    /// Who the visitor is by the client's own count, unchecked.
    pub client_id: Option<String>,
    /// When the event happened by the client's clock, unchecked.
    pub client_timestamp: Option<Micros>,
    /// Client hints, if it brought any.
    pub hints: Option<Box<ClientHints>>,
}

/// The events of a request.
#[derive(Debug)]
pub enum Payloads {
    /// The body was an object.
    One(Result<Parsed, FieldFault>),
    /// The body was an array: its elements in order.
    Many(Vec<Result<Parsed, FieldFault>>),
}

impl Payloads {
    /// How many events there are, those that could not be read among them.
    #[expect(
        clippy::len_without_is_empty,
        reason = "an array may be empty, but nobody asks"
    )]
    pub fn len(&self) -> usize {
        match self {
            Self::One(_) => 1,
            Self::Many(all) => all.len(),
        }
    }

    /// Who the visitor is by the client's own count: a request is one visitor's, so the first that says it counts.
    pub fn client_id(&self) -> Option<String> {
        self.iter().find_map(|parsed| parsed.client_id.clone())
    }

    /// The events that could be read.
    pub fn iter(&self) -> impl Iterator<Item = &Parsed> {
        let all = match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Many(many) => many,
        };
        all.iter().flatten()
    }
}

/// Reads the body of a request.
///
/// # Errors
/// The body is no JSON object and no array, or an array of more than [`MAX_EVENTS`].
pub fn parse(body: &[u8]) -> Result<Payloads, Malformed> {
    let body = body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(body);
    let text = std::str::from_utf8(body).map_err(|error| Malformed {
        what: "it is not UTF-8",
        offset: error.valid_up_to(),
    })?;
    let mut input = Input::new(text);
    let payloads = match input.json.peek()? {
        Kind::Object => Payloads::One(element(&mut input, 1)?),
        Kind::Array => Payloads::Many(elements(&mut input)?),
        _ => {
            return Err(Malformed {
                what: "an object or an array of objects is expected",
                offset: 0,
            });
        }
    };
    input.json.finish()?;
    Ok(payloads)
}

fn elements(input: &mut Input<'_>) -> Result<Vec<Result<Parsed, FieldFault>>, Malformed> {
    let mut elements = Vec::new();
    input.json.enter();
    while input.json.next_element()? {
        if elements.len() == MAX_EVENTS {
            return Err(Malformed {
                what: "more events than one request may hold",
                offset: input.json.position(),
            });
        }
        elements.push(element(input, elements.len() + 1)?);
    }
    Ok(elements)
}

/// Reads one event; after a fault it stands behind the event all the same.
fn element(input: &mut Input<'_>, place: usize) -> Result<Result<Parsed, FieldFault>, Malformed> {
    input.json.peek()?;
    let start = input.json.position();
    match event(input, place) {
        Ok(parsed) => Ok(Ok(parsed)),
        Err(Fault::Malformed(malformed)) => Err(malformed),
        Err(Fault::Field(fault)) => {
            input.json.rewind(start);
            input.json.skip()?;
            input.take_warnings();
            Ok(Err(fault))
        }
    }
}

fn event(input: &mut Input<'_>, place: usize) -> Result<Parsed, Fault> {
    let root = Path::Root;
    if !input.object(&root.field("event"))? {
        return Err(fault(&root.field("event"), "must be an object"));
    }
    let mut event = Box::<Event>::default();
    let mut collector = Box::<Collector>::default();
    let mut commerce = None;
    let mut flat_params = Vec::new();
    let mut consent = consent::Sent::default();
    let mut client_id = None;
    let mut timestamps = (None, None);
    let mut client_hints: Option<Box<ClientHints>> = None;
    // Where fields stand that nobody knows, and whether this is the flat form of the data tag, which has its
    // own fields beside the parameters.
    let mut unknown = Vec::new();
    let (mut is_flat, mut has_params) = (false, false);
    while let Some(name) = input.json.next_key()? {
        let at = root.field(&name);
        match name.as_ref() {
            "event_name" => event.event_name = input.text(at)?,
            "event_params" => {
                has_params = true;
                event.event_params = params::event_params(input, &at)?;
            }
            "event_id" => event.event_id = event_id(input, at)?,
            "user_id" => event.user_id = input.text(at)?,
            "client_id" => client_id = input.text(at)?,
            "user_properties" => event.user_properties = params::user_properties(input, &at)?,
            "privacy_info" | "consent" | "consent_state" => {
                consent.read(input, &at)?;
            }
            "app_info" => event.app_info = app_info(input, &at)?,
            "ecommerce" => commerce = commerce::ecommerce(input, &at)?,
            "items" => event.items = commerce::items(input, &at)?,
            "timestamp_micros" => timestamps.0 = input.micros(at)?,
            "event_timestamp" => timestamps.1 = input.micros(at)?,
            "event_previous_timestamp" => event.event_previous_timestamp = input.micros(at)?,
            "user_first_touch_timestamp" => event.user_first_touch_timestamp = input.micros(at)?,
            "user_ltv" => event.user_ltv = user_ltv(input, &at)?,
            "is_active_user" => event.is_active_user = consent::flag(input, &at)?,
            "batch_event_index" => event.batch_event_index = input.integer(at)?,
            "batch_page_id" => event.batch_page_id = input.integer(at)?,
            "batch_ordering_id" => event.batch_ordering_id = input.integer(at)?,
            flat if FLAT_PARAMS.contains(&flat) => {
                is_flat = true;
                if let Some(value) = params::value(input, &at)? {
                    flat_params.push(params::param(flat, value));
                }
            }
            all if hints::OBJECTS.contains(&all) => {
                let json = input.json.skip()?;
                hints::take_all(client_hints.get_or_insert_default(), json);
            }
            hint if hints::is_hint(hint) => {
                let json = input.json.skip()?;
                hints::take(client_hints.get_or_insert_default(), hint, json);
            }
            other if consent.string(input, &at, other)? => {}
            other if is_of_no_use(other) => {
                is_flat = true;
                input.json.skip()?;
            }
            _ => {
                input.json.peek()?;
                unknown.push((input.json.position(), name));
                input.json.skip()?;
            }
        }
    }
    if is_flat && !has_params {
        let end = input.json.position();
        for (position, name) in unknown {
            input.json.rewind(position);
            if let Some(value) = params::value(input, &root.field(&name))? {
                flat_params.push(params::param(&name, value));
            }
        }
        input.json.rewind(end);
    } else {
        for (_, name) in unknown {
            input.ignored(&root.field(&name));
        }
    }
    if event
        .event_name
        .as_deref()
        .is_none_or(|name| name.trim().is_empty())
    {
        return Err(fault(
            &root.field("event_name"),
            "must be a text that is not empty",
        ));
    }
    if let Some(commerce) = commerce {
        event.ecommerce = Some(commerce.columns);
        flat_params.extend(commerce.params);
        if event.items.is_empty() {
            event.items = commerce.items;
        }
    }
    params::keep_last(&mut flat_params, |param| param.key.as_deref());
    for param in flat_params {
        let sent = |other: &EventParam| other.key == param.key;
        if !event.event_params.iter().any(sent) {
            event.event_params.push(param);
        }
    }
    event.batch_event_index = event.batch_event_index.or(i64::try_from(place).ok());
    (event.privacy_info, collector.consent) = consent.columns();
    collector.warnings = input.take_warnings();
    event.collector = Some(collector);
    Ok(Parsed {
        event_id_given: event.event_id.is_some(),
        client_id,
        event,
        client_timestamp: timestamps.0.or(timestamps.1).map(Micros),
        hints: client_hints.filter(|hints| !hints.is_empty()),
    })
}

/// Fields that the tags send for their own ends.
fn is_of_no_use(name: &str) -> bool {
    matches!(
        name,
        "v" | "_dcid_temp" | "_dcid" | "common_cookie" | "protocol_version"
    ) || name.starts_with("x-ga-")
}

fn event_id(input: &mut Input<'_>, at: Path<'_>) -> Result<Option<String>, Fault> {
    let event_id = input.text(at)?.filter(|id| !id.is_empty());
    match &event_id {
        Some(id) if id.len() > MAX_EVENT_ID => Err(fault(&at, "must not be longer than 512 bytes")),
        _ => Ok(event_id),
    }
}

fn app_info(input: &mut Input<'_>, at: &Path<'_>) -> Result<Option<AppInfo>, Fault> {
    if !input.object(at)? {
        return Ok(None);
    }
    let mut app_info = AppInfo::default();
    while let Some(name) = input.json.next_key()? {
        let at = at.field(&name);
        match name.as_ref() {
            "id" => app_info.id = input.text(at)?,
            "version" => app_info.version = input.text(at)?,
            "install_store" => app_info.install_store = input.text(at)?,
            "firebase_app_id" => app_info.firebase_app_id = input.text(at)?,
            "install_source" => app_info.install_source = input.text(at)?,
            _ => input.ignore(&at)?,
        }
    }
    Ok(Some(app_info))
}

fn user_ltv(input: &mut Input<'_>, at: &Path<'_>) -> Result<Option<UserLtv>, Fault> {
    if !input.object(at)? {
        return Ok(None);
    }
    let mut user_ltv = UserLtv::default();
    while let Some(name) = input.json.next_key()? {
        let at = at.field(&name);
        match name.as_ref() {
            "revenue" => user_ltv.revenue = input.number(at)?,
            "currency" => user_ltv.currency = input.text(at)?,
            _ => input.ignore(&at)?,
        }
    }
    Ok(Some(user_ltv))
}
