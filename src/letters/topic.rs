//! Rejected rows as messages on a topic of Pub/Sub, as strategy `pubsub` publishes them and with the reason beside.
//!
//! What a subscription of that topic gets is replayed by `real-streaming consume`, so nothing is read here. Published at least once: the
//! attributes `log_id`, `sequence` and `destination` are the key of the row.

use async_trait::async_trait;

use crate::pipeline::{Letter, Letters};
use crate::schema::{LogId, Record, SequenceNumber};
use crate::writer::pubsub::{Annotated, Config, PubSubWriter};
use crate::writer::{WriteError, Writer as _};

/// See the module.
#[derive(Debug)]
pub struct TopicLetters {
    publisher: PubSubWriter,
}

impl TopicLetters {
    /// A topic that was not asked for yet. Must be made inside of a runtime.
    ///
    /// # Errors
    /// There are no credentials.
    pub fn new(config: Config) -> Result<Self, WriteError> {
        let publisher = PubSubWriter::new(config)?;
        Ok(Self { publisher })
    }
}

#[async_trait]
impl Letters for TopicLetters {
    fn name(&self) -> &str {
        self.publisher.name()
    }

    async fn open(&self) -> Result<(), WriteError> {
        self.publisher.open().await
    }

    async fn take(&self, letters: &[Letter]) -> Result<(), WriteError> {
        let mut messages = Vec::with_capacity(letters.len());
        for letter in letters {
            let Some((kind, payload)) = letter.record.clone() else {
                continue;
            };
            messages.push(Annotated {
                record: Record {
                    sequence: SequenceNumber(letter.sequence),
                    kind,
                    payload,
                },
                attributes: vec![
                    ("reason", letter.reason.clone()),
                    ("destination", letter.destination.clone()),
                    ("log_id", letter.log_id.to_string()),
                    ("sequence", letter.sequence.to_string()),
                ],
            });
        }
        self.publisher.publish_annotated(messages).await
    }

    async fn taken(&self, _: &str, _: LogId, _: SequenceNumber) -> Result<Vec<u64>, WriteError> {
        Ok(Vec::new())
    }
}
