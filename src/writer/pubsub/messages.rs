//! Rows → messages, and messages → requests that the service takes.
//!
//! The data is the row as JSON by column name, as a BigQuery subscription with "use table schema" reads it.
//! The columns that such a subscription fills itself are left out; so is what is absent, because whether an
//! explicit `null` is taken for a list is documented nowhere.

use std::collections::HashMap;
use std::ops::Range;

use googleapis_tonic_google_pubsub_v1::google::pubsub::v1::PubsubMessage;
use prost::Message;

use crate::schema::json::{Integers, Style, write_row_as};
use crate::schema::{Kind, Record, SequenceNumber, Summary};
use crate::writer::RowFault;

/// Most bytes and messages of a request (<https://cloud.google.com/pubsub/quotas#resource_limits>).
const REQUEST_BYTES: usize = 10_000_000;
pub(super) const REQUEST_MESSAGES: usize = 1_000;

/// Longest value of an attribute, from the same page.
pub(super) const ATTRIBUTE_BYTES: usize = 1_024;

/// The columns that a subscription with "write metadata" fills.
const METADATA: &[&str] = &[
    "subscription_name",
    "message_id",
    "publish_time",
    "attributes",
];

/// A message, and which record it is.
#[derive(Clone, Debug)]
pub(super) struct Outgoing {
    pub(super) sequence: SequenceNumber,
    pub(super) message: PubsubMessage,
    /// What it takes up in a request.
    bytes: usize,
}

impl Outgoing {
    pub(super) fn new(sequence: SequenceNumber, message: PubsubMessage) -> Self {
        Self {
            sequence,
            bytes: framed(message.encoded_len()),
            message,
        }
    }

    /// Whether a request on this topic has room for it.
    pub(super) fn fits(&self, topic: &str) -> bool {
        self.bytes <= room(topic)
    }
}

/// The messages of these records.
///
/// # Errors
/// The records that cannot be messages on this topic.
pub(super) fn encode(
    records: &[Record],
    integers: Integers,
    topic: &str,
) -> Result<Vec<Outgoing>, Vec<RowFault>> {
    let mut messages = Vec::with_capacity(records.len());
    let mut faults = Vec::new();
    for record in records {
        match encode_one(record, integers, topic) {
            Ok(message) => messages.push(message),
            Err(reason) => faults.push(RowFault {
                sequence: record.sequence,
                reason,
            }),
        }
    }
    if faults.is_empty() {
        Ok(messages)
    } else {
        Err(faults)
    }
}

pub(super) fn encode_one(
    record: &Record,
    integers: Integers,
    topic: &str,
) -> Result<Outgoing, String> {
    if record.kind == Kind::Document {
        return Err("documents are not published on this topic".to_owned());
    }
    let style = Style {
        integers,
        leave_out: METADATA,
    };
    let mut data = Vec::with_capacity(record.payload.len() * 2);
    write_row_as(&record.payload, style, &mut data).map_err(|error| error.to_string())?;
    let message = PubsubMessage {
        data: data.into(),
        attributes: attributes(&record.payload)?,
        ..PubsubMessage::default()
    };
    let outgoing = Outgoing::new(record.sequence, message);
    if !outgoing.fits(topic) {
        return Err(format!(
            "it is larger than a message may be: {} bytes, {REQUEST_BYTES} with the topic's name are the limit",
            outgoing.bytes
        ));
    }
    Ok(outgoing)
}

/// By these, subscribers tell duplicates and filter. One that is too long for an attribute is left out: the data has it.
fn attributes(encoded: &[u8]) -> Result<HashMap<String, String>, String> {
    let summary = Summary::of(encoded).map_err(|error| error.to_string())?;
    let named = [
        ("event_id", summary.event_id),
        ("event_name", summary.event_name),
        ("stream_id", summary.stream_id),
    ];
    let fit = |value: &&str| !value.is_empty() && value.len() <= ATTRIBUTE_BYTES;
    let named = named
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value.filter(fit)?.to_owned())));
    Ok(named.collect())
}

/// Bytes of a field of this length with a one-byte key.
fn framed(length: usize) -> usize {
    1 + prost::length_delimiter_len(length) + length
}

/// Bytes that a request has for messages.
fn room(topic: &str) -> usize {
    REQUEST_BYTES - framed(topic.len())
}

/// Which messages go together.
pub(super) fn requests(messages: &[Outgoing], topic: &str) -> Vec<Range<usize>> {
    let mut ranges = Vec::new();
    let (mut start, mut bytes) = (0, 0);
    for (index, message) in messages.iter().enumerate() {
        let is_full = index - start == REQUEST_MESSAGES || bytes + message.bytes > room(topic);
        if is_full && index > start {
            ranges.push(start..index);
            (start, bytes) = (index, 0);
        }
        bytes += message.bytes;
    }
    if start < messages.len() {
        ranges.push(start..messages.len());
    }
    ranges
}

#[cfg(test)]
mod tests {
    use googleapis_tonic_google_pubsub_v1::google::pubsub::v1::PublishRequest;
    use prost::Message;

    use super::*;
    use crate::schema::Event;

    const TOPIC: &str = "projects/p/topics/t";

    fn record(number: u64, event: &Event) -> Record {
        Record {
            sequence: SequenceNumber(number),
            kind: Kind::Event,
            payload: event.encode_to_vec().into(),
        }
    }

    /// An event whose message takes up so many bytes in a request.
    fn sized(bytes: usize) -> Event {
        let mut length = 0;
        // What frames a text grows with it.
        loop {
            let event = Event {
                ip: Some("x".repeat(length)),
                ..Event::default()
            };
            let message = encode_one(&record(1, &event), Integers::Numbers, "").unwrap();
            if message.bytes == bytes {
                return event;
            }
            length = length + bytes - message.bytes;
        }
    }

    fn encoded(events: &[Event]) -> Result<Vec<Outgoing>, Vec<RowFault>> {
        let numbered = events.iter().zip(1..);
        let records: Vec<_> = numbered
            .map(|(event, number)| record(number, event))
            .collect();
        encode(&records, Integers::Numbers, TOPIC)
    }

    #[test]
    fn a_message_is_the_row_with_its_key_beside() {
        let event = Event {
            event_name: Some("größe".to_owned()),
            stream_id: Some(String::new()),
            event_id: Some("x".repeat(ATTRIBUTE_BYTES)),
            message_id: Some("filled by the subscription".to_owned()),
            ..Event::default()
        };
        let message = encoded(&[event]).unwrap().remove(0).message;
        let id = "x".repeat(ATTRIBUTE_BYTES);
        let expected = format!(r#"{{"event_name":"größe","stream_id":"","event_id":"{id}"}}"#);
        assert_eq!(message.data, expected);
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let expected = [pair("event_name", "größe"), pair("event_id", &id)];
        assert_eq!(message.attributes, HashMap::from(expected));
    }

    #[test]
    fn what_is_too_long_for_an_attribute_is_in_the_data_only() {
        let event = Event {
            event_id: Some("x".repeat(ATTRIBUTE_BYTES + 1)),
            ..Event::default()
        };
        let message = encoded(&[event]).unwrap().remove(0).message;
        assert!(message.attributes.is_empty());
        assert!(message.data.len() > ATTRIBUTE_BYTES);
    }

    #[test]
    fn the_largest_message_fills_a_request_and_a_larger_one_is_refused() {
        let largest = encoded(&[sized(room(TOPIC))]).unwrap();
        let request = PublishRequest {
            topic: TOPIC.to_owned(),
            messages: largest
                .into_iter()
                .map(|outgoing| outgoing.message)
                .collect(),
        };
        assert_eq!(request.encoded_len(), REQUEST_BYTES);
        let small = Event::default();
        let faults = encoded(&[small, sized(room(TOPIC) + 1)]).unwrap_err();
        assert_eq!(faults.len(), 1);
        assert_eq!(faults[0].sequence, SequenceNumber(2));
        assert!(
            faults[0].reason.contains("10000000"),
            "{}",
            faults[0].reason
        );
    }

    #[test]
    fn requests_are_full_and_never_too_large() {
        let half = room(TOPIC) / 2;
        let messages = encoded(&[sized(half), sized(half), sized(half + 2), sized(100)]).unwrap();
        assert_eq!(requests(&messages, TOPIC), [0..2, 2..4]);
        let many = vec![messages[3].clone(); 2 * REQUEST_MESSAGES + 1];
        let expected = [0..1_000, 1_000..2_000, 2_000..2_001];
        assert_eq!(requests(&many, TOPIC), expected);
        assert!(requests(&[], TOPIC).is_empty());
    }

    #[test]
    fn documents_are_refused() {
        let mut document = record(7, &Event::default());
        document.kind = Kind::Document;
        let faults = encode(&[document], Integers::Numbers, TOPIC).unwrap_err();
        assert_eq!(faults[0].sequence, SequenceNumber(7));
    }
}
