//! The rows that GA4 makes itself: `first_visit` and `session_start`, before the event that began the session.
//!
//! Their ids follow from stream, visitor and session, so that those of parallel requests are told to be the same.

use uuid::Uuid;

use super::super::Visit;
use super::{SESSION_ENGAGED, SESSION_ID, SESSION_NUMBER};
use crate::schema::Event;

/// Namespace of the ids (RFC 9562, section 5.5).
const NAMESPACE: Uuid = Uuid::from_u128(0x6f1c_2a9e_58d0_4b7b_9a3e_d1c7_40b2_e865);

/// Parameters that tell of the page and the session, not of what was done there.
const PARAMS: [&str; 9] = [
    "page_location",
    "page_referrer",
    "page_title",
    "page_hostname",
    "page_path",
    "debug_mode",
    SESSION_ID,
    SESSION_NUMBER,
    SESSION_ENGAGED,
];

/// Which of the visitor's sessions begins.
pub(super) struct Which {
    pub(super) number: i64,
    /// The day, where no earlier session was known: without it everybody who keeps no cookies would have one number 1 for ever.
    pub(super) day: Option<i64>,
}

/// The rows in the order in which they belong before the event.
pub(super) fn of(
    event: &Event,
    visit: &Visit<'_>,
    which: &Which,
    is_first_visit: bool,
) -> Vec<Event> {
    let names: &[&str] = match is_first_visit {
        true => &["first_visit", "session_start"],
        false => &["session_start"],
    };
    let is_sent = |name: &&&str| event.event_name.as_deref() != Some(**name);
    let row = |name: &&str| Event {
        event_name: Some((*name).to_owned()),
        event_id: Some(id(visit, which, name).to_string()),
        ..begun(event)
    };
    names.iter().filter(is_sent).map(row).collect()
}

/// What the event tells of the visitor and the page.
fn begun(event: &Event) -> Event {
    let is_of_session =
        |key: &Option<String>| key.as_deref().is_some_and(|key| PARAMS.contains(&key));
    let mut collector = event.collector.clone();
    if let Some(collector) = &mut collector {
        collector.warnings.clear();
    }
    let params = event.event_params.iter();
    Event {
        event_date: event.event_date.clone(),
        date: event.date,
        event_timestamp: event.event_timestamp,
        event_server_timestamp_offset: event.event_server_timestamp_offset,
        synced_at_utc: event.synced_at_utc,
        synced_at_micros: event.synced_at_micros,
        event_params: params
            .filter(|param| is_of_session(&param.key))
            .cloned()
            .collect(),
        user_id: event.user_id.clone(),
        user_pseudo_id: event.user_pseudo_id.clone(),
        privacy_info: event.privacy_info.clone(),
        user_first_touch_timestamp: event.user_first_touch_timestamp,
        device: event.device.clone(),
        geo: event.geo.clone(),
        app_info: event.app_info.clone(),
        traffic_source: event.traffic_source.clone(),
        stream_id: event.stream_id.clone(),
        platform: event.platform.clone(),
        event_dimensions: event.event_dimensions.clone(),
        collected_traffic_source: event.collected_traffic_source.clone(),
        is_active_user: event.is_active_user,
        batch_page_id: event.batch_page_id,
        batch_ordering_id: event.batch_ordering_id,
        session_traffic_source_last_click: event.session_traffic_source_last_click.clone(),
        ip: event.ip.clone(),
        collector,
        ..Event::default()
    }
}

/// UUID v5 of stream, visitor, session and name. None of them holds a line break.
fn id(visit: &Visit<'_>, which: &Which, name: &str) -> Uuid {
    let (stream_id, user) = (&visit.stream_id, &visit.user_pseudo_id);
    let Which { number, day } = which;
    let mut text = format!("{stream_id}\n{user}\n{number}\n{name}");
    if let Some(day) = day {
        text += &format!("\n{day}");
    }
    Uuid::new_v5(&NAMESPACE, text.as_bytes())
}
