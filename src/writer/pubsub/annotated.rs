//! Records with attributes of their own: for whoever has more to say about a row than the row itself.
//!
//! A record that cannot be a row of JSON is published as it stands in the log, encoded, with the attribute `encoding`.

use googleapis_tonic_google_pubsub_v1::google::pubsub::v1::PubsubMessage;

use super::PubSubWriter;
use super::messages::{self, ATTRIBUTE_BYTES, Outgoing};
use crate::schema::Record;
use crate::writer::{WriteError, background};

/// What the data of a message is that is no row.
const ENCODED: &str = "protobuf";

/// A record and what is said about it.
#[derive(Clone, Debug)]
pub struct Annotated {
    /// The record.
    pub record: Record,
    /// Names and values; a value that is too long is cut.
    pub attributes: Vec<(&'static str, String)>,
}

impl PubSubWriter {
    /// Publishes these, at least once.
    ///
    /// # Errors
    /// Transient and fatal ones; never `Rejected`. Any of them may be published.
    pub async fn publish_annotated(&self, all: Vec<Annotated>) -> Result<(), WriteError> {
        let (integers, topic) = (self.config.integers, self.topic.clone());
        let encoding = background::run("pubsub", move || {
            let encode = |annotated: &Annotated| {
                let row = messages::encode_one(&annotated.record, integers, &topic);
                let row = row.map(|row| with_attributes(row, &annotated.attributes));
                match row {
                    Ok(row) if row.fits(&topic) => row,
                    _ => with_attributes(as_it_stands(&annotated.record), &annotated.attributes),
                }
            };
            all.iter().map(encode).collect::<Vec<Outgoing>>()
        });
        let (outgoing, _) = encoding.await.map_err(WriteError::transient)?;
        for range in messages::requests(&outgoing, &self.topic) {
            self.publish(&outgoing[range]).await?;
        }
        Ok(())
    }
}

fn as_it_stands(record: &Record) -> Outgoing {
    let attributes = [("encoding".to_owned(), ENCODED.to_owned())];
    let message = PubsubMessage {
        data: record.payload.clone(),
        attributes: attributes.into(),
        ..PubsubMessage::default()
    };
    Outgoing::new(record.sequence, message)
}

fn with_attributes(outgoing: Outgoing, attributes: &[(&'static str, String)]) -> Outgoing {
    let mut message = outgoing.message;
    for (name, value) in attributes.iter().filter(|(_, value)| !value.is_empty()) {
        let value = value[..value.floor_char_boundary(ATTRIBUTE_BYTES)].to_owned();
        message.attributes.insert((*name).to_owned(), value);
    }
    Outgoing::new(outgoing.sequence, message)
}
