//! JSON as a row: what is taken is written as it was meant.

use prost::Message as _;
use real_streaming::schema::Event;
use real_streaming::schema::json::read_row;
use serde_json::Value;

use crate::row_bytes;

/// Panics where a promise is broken.
pub fn check(data: &[u8]) {
    let Ok(encoded) = read_row(data, &[]) else {
        return;
    };
    let event = Event::decode(encoded.as_slice()).expect("what was read is a row");
    assert!(row_bytes::is_row(&encoded));
    // Texts are what the text says. Of members that are there twice the last one counts, to both readers.
    if let Ok(Value::Object(row)) = serde_json::from_slice(data) {
        for (name, text) in [
            ("stream_id", &event.stream_id),
            ("event_name", &event.event_name),
            ("event_id", &event.event_id),
        ] {
            let said = row.get(name).and_then(Value::as_str);
            assert_eq!(said, text.as_deref(), "{name}");
        }
    }
}
