//! Bytes as an encoded row: all who read it without decoding it find what prost decodes, and JSON is a way there and back.

use prost::Message as _;
use real_streaming::schema::json::{read_row, write_row};
use real_streaming::schema::{Event, Summary, origin};
use serde_json::Value;

/// Panics where a promise is broken.
pub fn check(data: &[u8]) {
    is_row(data);
}

/// Whether these bytes are a row.
pub(crate) fn is_row(encoded: &[u8]) -> bool {
    let mut json = b"before".to_vec();
    let written = write_row(encoded, &mut json);
    let summary = Summary::of(encoded);
    let (stream_id, received_at) = origin(encoded);
    if written.is_err() {
        assert_eq!(json, b"before", "what cannot be written leaves nothing");
        return false;
    }
    let event = Event::decode(encoded).expect("what is written as JSON is a row to others too");
    let summary = summary.expect("a row has a summary");
    assert_eq!(summary.stream_id, event.stream_id.as_deref());
    assert_eq!(summary.event_name, event.event_name.as_deref());
    assert_eq!(summary.event_id, event.event_id.as_deref());
    assert_eq!(summary.date, event.date);
    assert_eq!(summary.synced_at_micros, event.synced_at_micros);
    assert_eq!(stream_id, event.stream_id.as_deref());
    assert_eq!(received_at, event.synced_at_micros);

    let json = &json[b"before".len()..];
    let value: Value = serde_json::from_slice(json).expect("JSON");
    assert!(value.is_object());
    let read = read_row(json, &[]).expect("what was written is read");
    let mut again = Vec::new();
    write_row(&read, &mut again).expect("what was read is written");
    assert_eq!(
        String::from_utf8_lossy(json),
        String::from_utf8_lossy(&again),
        "there and back"
    );
    true
}
