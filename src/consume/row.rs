//! A message → an encoded event, with the four columns that BigQuery's subscriptions fill too.

use std::collections::BTreeMap;

use googleapis_tonic_google_pubsub_v1::google::pubsub::v1::{PubsubMessage, ReceivedMessage};
use jiff::Timestamp;
use serde_json::value::{RawValue, to_raw_value};

use crate::pipeline::event_key;
use crate::schema::Summary;
use crate::schema::json::read_row;

/// A row that came as a message.
#[derive(Debug)]
pub(super) struct Row {
    /// The encoded event.
    pub(super) encoded: Vec<u8>,
    /// By which its duplicates are told. An event without an id is told by the message's.
    pub(super) key: u128,
}

/// The row that the message is.
///
/// # Errors
/// Why it is none.
pub(super) fn read(received: &ReceivedMessage, subscription: &str) -> Result<Row, String> {
    let message = received.message.as_ref().ok_or("there is no message")?;
    let metadata = metadata(message, subscription).map_err(|error| error.to_string())?;
    let encoded = read_row(&message.data, &metadata).map_err(|error| error.to_string())?;
    let summary = Summary::of(&encoded).map_err(|error| error.to_string())?;
    let name = summary.event_name.filter(|name| !name.is_empty());
    let name = name.ok_or("event_name is missing")?;
    let id = summary.event_id.filter(|id| !id.is_empty());
    let key = event_key(
        summary.stream_id.unwrap_or_default(),
        name,
        id.unwrap_or(&message.message_id),
    );
    Ok(Row { encoded, key })
}

fn metadata(
    message: &PubsubMessage,
    subscription: &str,
) -> serde_json::Result<Vec<(&'static str, Box<RawValue>)>> {
    let attributes: BTreeMap<_, _> = message.attributes.iter().collect();
    let mut columns = vec![
        ("subscription_name", to_raw_value(subscription)?),
        ("message_id", to_raw_value(&message.message_id)?),
        ("attributes", to_raw_value(&attributes)?),
    ];
    let time = message.publish_time.as_ref();
    if let Some(time) = time.and_then(|time| Timestamp::new(time.seconds, time.nanos).ok()) {
        columns.push(("publish_time", to_raw_value(&time.to_string())?));
    }
    Ok(columns)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use prost::Message;

    use super::*;
    use crate::schema::Event;

    fn received(data: &str) -> ReceivedMessage {
        let message = PubsubMessage {
            data: data.to_owned().into(),
            attributes: [
                ("b".to_owned(), "2".to_owned()),
                ("a".to_owned(), "1".to_owned()),
            ]
            .into(),
            message_id: "17".to_owned(),
            publish_time: Some(prost_types::Timestamp {
                seconds: 1,
                nanos: 500_000_999,
            }),
            ..PubsubMessage::default()
        };
        ReceivedMessage {
            message: Some(message),
            ..ReceivedMessage::default()
        }
    }

    #[test]
    fn a_message_is_a_row_with_what_a_subscription_adds() {
        let row = read(
            &received(r#"{"event_name":"a","event_id":"x","stream_id":"1"}"#),
            "s",
        )
        .unwrap();
        let expected = Event {
            event_name: Some("a".to_owned()),
            event_id: Some("x".to_owned()),
            stream_id: Some("1".to_owned()),
            subscription_name: Some("s".to_owned()),
            message_id: Some("17".to_owned()),
            publish_time: Some(1_500_000),
            attributes: Some(r#"{"a":"1","b":"2"}"#.to_owned()),
            ..Event::default()
        };
        assert_eq!(Event::decode(row.encoded.as_slice()).unwrap(), expected);
        assert_eq!(row.key, event_key("1", "a", "x"));
    }

    #[test]
    fn an_event_without_an_id_is_told_by_its_message() {
        let row = read(&received(r#"{"event_name":"a","event_id":""}"#), "s").unwrap();
        assert_eq!(row.key, event_key("", "a", "17"));
    }

    #[test]
    fn what_is_no_row_says_why() {
        let reason = |data: &str| read(&received(data), "s").unwrap_err();
        assert_eq!(reason("{}"), "event_name is missing");
        assert_eq!(
            reason("hello"),
            "it is not a JSON object (line 1, column 1)"
        );
        assert_eq!(
            reason(r#"{"event_name":"a","x":1}"#),
            "there is no column x"
        );
        assert!(read(&ReceivedMessage::default(), "s").is_err());
    }

    proptest! {
        /// Whatever a message is, it is a row with what the service says of it, or a reason.
        #[test]
        fn any_message_is_a_row_or_has_a_reason(
            data in prop_oneof![
                proptest::collection::vec(any::<u8>(), 0..60),
                r#"\{"event_name":"[a-z"\\]{0,3}","(stream_id|date|event_timestamp|items|x)":[0-9"\[\]{}a]{0,6}\}"#
                    .prop_map(String::into_bytes),
            ],
            attributes in proptest::collection::hash_map(any::<String>(), any::<String>(), 0..3),
            message_id in any::<String>(),
            time in any::<(i64, i32)>(),
        ) {
            let message = PubsubMessage {
                data: data.into(),
                attributes: attributes.clone(),
                message_id: message_id.clone(),
                publish_time: Some(prost_types::Timestamp { seconds: time.0, nanos: time.1 }),
                ..PubsubMessage::default()
            };
            let received = ReceivedMessage { message: Some(message), ..ReceivedMessage::default() };
            match read(&received, "s") {
                Ok(row) => {
                    let event = Event::decode(row.encoded.as_slice()).unwrap();
                    prop_assert!(event.event_name.is_some_and(|name| !name.is_empty()));
                    prop_assert_eq!(event.message_id, Some(message_id));
                    let said: std::collections::HashMap<String, String> =
                        serde_json::from_str(&event.attributes.unwrap()).unwrap();
                    prop_assert_eq!(said, attributes);
                }
                Err(reason) => prop_assert!(!reason.is_empty()),
            }
        }
    }
}
