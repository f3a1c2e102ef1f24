//! The columns by which events are told apart, counted and sorted, read off an encoded event without decoding the rest.

use std::sync::LazyLock;

use super::descriptor::{Column, events};
use super::wire::{Fields, Raw, RowError, Value, raw_field};

/// What an encoded [`Event`](super::Event) says in the columns that the collector itself goes by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary<'a> {
    /// `stream_id`.
    pub stream_id: Option<&'a str>,
    /// `event_name`.
    pub event_name: Option<&'a str>,
    /// `event_id`.
    pub event_id: Option<&'a str>,
    /// `date`, in days since 1970-01-01.
    pub date: Option<i32>,
    /// `synced_at_micros_`: when it was received, in microseconds since 1970 in UTC.
    pub synced_at_micros: Option<i64>,
}

/// Where the columns stand among those of the row.
struct Places {
    columns: &'static [Column],
    stream_id: usize,
    event_name: usize,
    event_id: usize,
    date: usize,
    synced_at_micros: usize,
}

static PLACES: LazyLock<Places> = LazyLock::new(|| {
    let columns = &events().columns;
    // A column that is not there is nowhere.
    let place = |name: &str| {
        let found = columns.iter().position(|column| column.name == name);
        found.unwrap_or(usize::MAX)
    };
    Places {
        columns,
        stream_id: place("stream_id"),
        event_name: place("event_name"),
        event_id: place("event_id"),
        date: place("date"),
        synced_at_micros: place("synced_at_micros_"),
    }
});

impl<'a> Summary<'a> {
    /// The summary of an encoded event.
    ///
    /// # Errors
    /// The record cannot be read.
    pub fn of(encoded: &'a [u8]) -> Result<Self, RowError> {
        let places = &*PLACES;
        let mut summary = Self::default();
        for field in Fields::new(places.columns, encoded) {
            let (index, value) = field?;
            match value {
                Value::Text(text) if index == places.stream_id => summary.stream_id = Some(text),
                Value::Text(text) if index == places.event_name => summary.event_name = Some(text),
                Value::Text(text) if index == places.event_id => summary.event_id = Some(text),
                Value::Int(day) if index == places.date => summary.date = i32::try_from(day).ok(),
                Value::Int(time) if index == places.synced_at_micros => {
                    summary.synced_at_micros = Some(time);
                }
                _ => {}
            }
        }
        Ok(summary)
    }
}

/// Stream and time of receipt (microseconds since 1970 in UTC) of an encoded event: of its columns the two by which events
/// are counted, as far as they can be read. Nothing else of it is looked at, so that it may be asked of every row.
pub fn origin(encoded: &[u8]) -> (Option<&str>, Option<i64>) {
    let places = &*PLACES;
    let (stream_field, time_field) = (places.stream_id + 1, places.synced_at_micros + 1);
    let (mut stream_id, mut received_at) = (None, None);
    let mut rest = encoded;
    while let Some((number, value)) = raw_field(&mut rest) {
        match value {
            Raw::Bytes(bytes) if number == stream_field => stream_id = str::from_utf8(bytes).ok(),
            Raw::Varint(time) if number == time_field => received_at = Some(time.cast_signed()),
            _ => {}
        }
    }
    (stream_id, received_at)
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;
    use crate::schema::Event;
    use crate::schema::random::{SEEDS, random_event};

    #[test]
    fn the_summary_is_what_prost_decodes() {
        for seed in 0..SEEDS {
            let encoded = random_event(&mut fastrand::Rng::with_seed(seed));
            let event = Event::decode(encoded.as_slice()).unwrap();
            let summary = Summary::of(&encoded).unwrap();
            assert_eq!(summary.stream_id, event.stream_id.as_deref());
            assert_eq!(summary.event_name, event.event_name.as_deref());
            assert_eq!(summary.event_id, event.event_id.as_deref());
            assert_eq!(summary.date, event.date);
            assert_eq!(summary.synced_at_micros, event.synced_at_micros);
            let origin = origin(&encoded);
            assert_eq!(origin, (summary.stream_id, summary.synced_at_micros));
        }
        let mut event = Event {
            stream_id: Some("s".to_owned()),
            synced_at_micros: Some(-1),
            ..Event::default()
        };
        let encoded = event.encode_to_vec();
        assert_eq!(origin(&encoded), (Some("s"), Some(-1)));
        event.synced_at_micros = None;
        assert_eq!(origin(&event.encode_to_vec()), (Some("s"), None));
        // Whatever is cut off, what stands before is read.
        for length in 0..encoded.len() {
            let (stream, time) = origin(&encoded[..length]);
            assert!(stream.is_none_or(|stream| stream == "s") && time.is_none());
        }
        assert!(Summary::of(&[0x0a, 0xff]).is_err());
    }
}
