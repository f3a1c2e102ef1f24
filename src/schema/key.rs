//! The three columns by which events are told apart, read off an encoded event without decoding the rest.

use super::descriptor::events;
use super::wire::{Fields, RowError, Value};

/// What an encoded [`Event`](super::Event) says in the columns by which duplicates are told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Key<'a> {
    /// `stream_id`.
    pub stream_id: Option<&'a str>,
    /// `event_name`.
    pub event_name: Option<&'a str>,
    /// `event_id`.
    pub event_id: Option<&'a str>,
}

impl<'a> Key<'a> {
    /// The key of an encoded event.
    ///
    /// # Errors
    /// The record cannot be read.
    pub fn of(encoded: &'a [u8]) -> Result<Self, RowError> {
        let columns = &events().columns;
        let mut key = Self::default();
        for field in Fields::new(columns, encoded) {
            let (index, value) = field?;
            let Value::Text(text) = value else {
                continue;
            };
            match columns[index].name.as_str() {
                "stream_id" => key.stream_id = Some(text),
                "event_name" => key.event_name = Some(text),
                "event_id" => key.event_id = Some(text),
                _ => {}
            }
        }
        Ok(key)
    }
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;
    use crate::schema::Event;
    use crate::schema::random::{SEEDS, random_event};

    #[test]
    fn the_key_is_what_prost_decodes() {
        for seed in 0..SEEDS {
            let encoded = random_event(&mut fastrand::Rng::with_seed(seed));
            let event = Event::decode(encoded.as_slice()).unwrap();
            let key = Key::of(&encoded).unwrap();
            assert_eq!(key.stream_id, event.stream_id.as_deref());
            assert_eq!(key.event_name, event.event_name.as_deref());
            assert_eq!(key.event_id, event.event_id.as_deref());
        }
        assert!(Key::of(&[0x0a, 0xff]).is_err());
    }
}
