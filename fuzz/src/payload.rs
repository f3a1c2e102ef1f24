//! The body of a request: what is taken of it is a row that every reader reads alike.

use real_streaming::http::streaming::payload::{MAX_EVENT_ID, MAX_EVENTS, Payloads, parse};
use real_streaming::schema::Event;
use serde_json::Value;

use prost::Message as _;

use crate::row_bytes;

/// Panics where a promise is broken.
pub fn check(data: &[u8]) {
    let Ok(payloads) = parse(data) else {
        return;
    };
    assert!(payloads.len() <= MAX_EVENTS);
    let text = data.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(data);
    // The collector's own reader must take nothing that is no JSON. What another one refuses for its depth or size is not asked.
    if let Ok(value) = serde_json::from_slice::<Value>(text) {
        match (&value, &payloads) {
            (Value::Object(_), Payloads::One(_)) => {}
            (Value::Array(all), Payloads::Many(events)) => assert_eq!(all.len(), events.len()),
            other => panic!("{other:?}"),
        }
    }
    let all = match payloads {
        Payloads::One(one) => vec![one],
        Payloads::Many(all) => all,
    };
    for parsed in all {
        let parsed = match parsed {
            Ok(parsed) => parsed,
            Err(fault) => {
                assert!(!fault.message.is_empty());
                continue;
            }
        };
        let event: &Event = &parsed.event;
        assert_eq!(parsed.event_id_given, event.event_id.is_some());
        assert!(
            event
                .event_id
                .as_ref()
                .is_none_or(|id| id.len() <= MAX_EVENT_ID)
        );
        assert!(
            event
                .event_name
                .as_ref()
                .is_some_and(|name| !name.is_empty())
        );
        let encoded = event.encode_to_vec();
        assert_eq!(&Event::decode(encoded.as_slice()).expect("a row"), event);
        assert!(row_bytes::is_row(&encoded), "no row: {event:?}");
    }
}
