//! Google Cloud Pub/Sub: one message an event, for BigQuery subscriptions and whoever else subscribes.
//!
//! A batch is one `Publish` request, unless it is larger than a request may be. At-least-once: a request
//! whose answer is lost is sent again, and Pub/Sub gives its messages new ids. Subscribers tell duplicates
//! by the attributes `stream_id`, `event_name` and `event_id`.
//!
//! ```text
//! messages   rows → messages, messages → requests      sent    what an attempt before has published
//! connection one call with a deadline                    error   what an answer means
//! annotated  records with attributes of their own
//! ```

mod annotated;
mod connection;
mod error;
mod messages;
mod sent;

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use googleapis_tonic_google_pubsub_v1::google::pubsub::v1::publisher_client::PublisherClient;
use googleapis_tonic_google_pubsub_v1::google::pubsub::v1::{
    GetTopicRequest, PublishRequest, Topic,
};
use tonic::Code;

use self::error::Reaction;
use self::messages::{Outgoing, encode, requests};
use self::sent::Sent;
use super::{Batch, Limits, RowFault, WriteError, Writer, background};
use crate::schema::json::Integers;
use crate::schema::{LogId, SequenceNumber};

pub use self::annotated::Annotated;
pub use self::connection::{CallFault, Connection};
pub use self::error::Error;

/// Most messages that a request takes.
pub const MAX_BATCH_ROWS: usize = messages::REQUEST_MESSAGES;

/// How long a batch waits where clients wait for it: not at all, but the contract wants a time.
const HURRIED: Duration = Duration::from_millis(1);

/// So many messages of a batch may be refused one by one before any was taken; then it is the topic.
const REFUSED_IN_A_ROW: usize = 8;

/// What is published, where, and how.
#[derive(Clone, Debug)]
pub struct Config {
    /// Id of the project on Google Cloud.
    pub project: String,
    /// Id of the topic.
    pub topic: String,
    /// Whether a topic that is missing is made.
    pub create: bool,
    /// How 64-bit integers are spelled.
    pub integers: Integers,
    /// Most rows of a batch.
    pub max_batch_rows: usize,
    /// Most payload bytes of a batch; as JSON it is about twice as large.
    pub max_batch_bytes: usize,
    /// How long a batch waits for more rows.
    pub flush_interval: Duration,
    /// Whether clients wait until their events are published: then no batch waits for more.
    pub is_awaited: bool,
    /// How long a request may take.
    pub publish_timeout: Duration,
    /// Most requests under way.
    pub in_flight: usize,
    /// `host:port` of an emulator.
    pub emulator: Option<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            project: String::new(),
            topic: String::new(),
            create: false,
            integers: Integers::Numbers,
            max_batch_rows: 500,
            max_batch_bytes: 1 << 20,
            flush_interval: Duration::from_millis(500),
            is_awaited: false,
            publish_timeout: Duration::from_secs(10),
            in_flight: 4,
            emulator: None,
        }
    }
}

impl Config {
    /// Kind and target, as the writer is called.
    pub fn name(&self) -> String {
        format!("pubsub:projects/{}/topics/{}", self.project, self.topic)
    }
}

/// Publishes batches.
#[derive(Debug)]
pub struct PubSubWriter {
    config: Config,
    name: String,
    /// `projects/…/topics/…`.
    topic: String,
    connection: Connection,
    sent: Sent,
    was_forbidden: AtomicBool,
}

impl PubSubWriter {
    /// A writer for the topic. Asks for nothing yet. Must be made inside of a runtime.
    ///
    /// # Errors
    /// There are no credentials.
    pub fn new(config: Config) -> Result<Self, WriteError> {
        let topic = format!("projects/{}/topics/{}", config.project, config.topic);
        if let Some(emulator) = &config.emulator {
            tracing::warn!(
                emulator,
                "PUBSUB_EMULATOR_HOST is set: nothing reaches Google Cloud"
            );
        }
        Ok(Self {
            connection: Connection::new(config.emulator.as_deref())?,
            name: config.name(),
            topic,
            config,
            sent: Sent::default(),
            was_forbidden: AtomicBool::new(false),
        })
    }

    fn error(&self, fault: CallFault) -> Error {
        Error {
            topic: self.topic.clone(),
            fault,
        }
    }

    async fn get_topic(&self) -> Result<(), Error> {
        let question = GetTopicRequest {
            topic: self.topic.clone(),
        };
        let time = self.config.publish_timeout;
        let resource = format!("topic={}", self.topic);
        let answer = self
            .connection
            .call(&resource, question, time, |channel, request| async {
                PublisherClient::new(channel).get_topic(request).await
            });
        answer.await.map(drop).map_err(|fault| self.error(fault))
    }

    async fn create_topic(&self) -> Result<(), Error> {
        let question = Topic {
            name: self.topic.clone(),
            ..Topic::default()
        };
        let time = self.config.publish_timeout;
        let resource = format!("name={}", self.topic);
        let answer = self
            .connection
            .call(&resource, question, time, |channel, request| async {
                PublisherClient::new(channel).create_topic(request).await
            });
        match answer.await.map_err(|fault| self.error(fault)) {
            Ok(_) => {
                tracing::info!(topic = self.topic, "topic was created");
                Ok(())
            }
            Err(error) if error.code() == Some(Code::AlreadyExists) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn publish(&self, messages: &[Outgoing]) -> Result<(), Error> {
        let question = PublishRequest {
            topic: self.topic.clone(),
            messages: messages
                .iter()
                .map(|outgoing| outgoing.message.clone())
                .collect(),
        };
        let time = self.config.publish_timeout;
        let resource = format!("topic={}", self.topic);
        let answer = self
            .connection
            .call(&resource, question, time, |channel, request| async {
                PublisherClient::new(channel).publish(request).await
            });
        let answer = answer.await.map_err(|fault| self.error(fault))?;
        if answer.message_ids.len() != messages.len() {
            let (ids, sent) = (answer.message_ids.len(), messages.len());
            let status = tonic::Status::unknown(format!("{ids} ids came for {sent} messages"));
            return Err(self.error(status.into()));
        }
        Ok(())
    }

    /// Publishes these messages. Those of a request that is refused because of a message are tried in halves,
    /// until it is clear which one it is.
    async fn publish_all(&self, batch: &Batch, messages: &[Outgoing]) -> Result<(), WriteError> {
        let mut waiting: VecDeque<Range<usize>> = requests(messages, &self.topic).into();
        let mut faults: Vec<RowFault> = Vec::new();
        let mut was_any_taken = messages.len() < batch.records.len();
        while let Some(range) = waiting.pop_front() {
            let some = &messages[range.clone()];
            let Err(error) = self.publish(some).await else {
                was_any_taken = true;
                let sequences = some.iter().map(|outgoing| outgoing.sequence);
                if some.len() < batch.records.len() {
                    self.sent.remember(batch.log_id, sequences);
                }
                continue;
            };
            if error.reaction() != Reaction::Rows {
                return Err(error.into());
            }
            if let [refused] = some {
                let sequence = refused.sequence;
                let reason = error.to_string();
                faults.push(RowFault { sequence, reason });
                if faults.len() >= REFUSED_IN_A_ROW && !was_any_taken {
                    return Err(WriteError::fatal(format!(
                        "{error}; it refuses one message after the other: look whether the topic has a schema, and take it off"
                    )));
                }
                continue;
            }
            let middle = range.start + some.len() / 2;
            waiting.push_front(middle..range.end);
            waiting.push_front(range.start..middle);
        }
        if faults.is_empty() {
            self.sent.forget(batch);
            return Ok(());
        }
        Err(WriteError::Rejected(faults))
    }
}

#[async_trait]
impl Writer for PubSubWriter {
    fn name(&self) -> &str {
        &self.name
    }

    fn limits(&self) -> Limits {
        Limits {
            rows: self.config.max_batch_rows,
            bytes: self.config.max_batch_bytes,
            age: if self.config.is_awaited {
                HURRIED
            } else {
                self.config.flush_interval
            },
            in_flight: self.config.in_flight,
        }
    }

    async fn open(&self) -> Result<(), WriteError> {
        let opened = if self.config.create {
            self.create_topic().await
        } else {
            self.get_topic().await
        };
        match opened {
            // Whoever may publish may not look. The first batch shows whether the topic is there.
            Err(error) if error.code() == Some(Code::PermissionDenied) => {
                if !self.was_forbidden.swap(true, Ordering::Relaxed) {
                    tracing::warn!(
                        topic = self.topic,
                        "whether the topic exists could not be looked up: that takes pubsub.topics.get, or pubsub.topics.create to make it"
                    );
                }
                Ok(())
            }
            opened => Ok(opened?),
        }
    }

    async fn position(&self, _: LogId) -> Result<Option<SequenceNumber>, WriteError> {
        Ok(None)
    }

    async fn write(&self, batch: &Batch) -> Result<(), WriteError> {
        let mut records = batch.records.clone();
        records.retain(|record| !self.sent.contains(batch.log_id, record.sequence));
        let (integers, topic) = (self.config.integers, self.topic.clone());
        let encoding = background::run("pubsub", move || encode(&records, integers, &topic));
        let (encoded, _) = encoding.await.map_err(WriteError::transient)?;
        match encoded {
            Ok(messages) => self.publish_all(batch, &messages).await,
            Err(faults) => Err(WriteError::Rejected(faults)),
        }
    }

    async fn close(&self) {}
}
