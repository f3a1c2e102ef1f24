//! The calls by which a subscription is consumed.

use std::time::Duration;

use googleapis_tonic_google_pubsub_v1::google::pubsub::v1::subscriber_client::SubscriberClient;
use googleapis_tonic_google_pubsub_v1::google::pubsub::v1::{
    AcknowledgeRequest, ModifyAckDeadlineRequest, PullRequest, ReceivedMessage,
};
use tonic::Code;

use super::Config;
use crate::writer::WriteError;
use crate::writer::pubsub::{CallFault, Connection};

/// Most messages of a pull, and most ids of a call about them.
const MESSAGES: usize = 1_000;

/// How long a pull waits for messages; the service answers an empty one earlier.
const PULL_TIME: Duration = Duration::from_secs(90);

/// How long any other call may take.
const CALL_TIME: Duration = Duration::from_secs(10);

/// The largest answer to a pull that is taken.
const ANSWER_BYTES: usize = 64 << 20;

/// Why a call failed, and what the operator can do.
#[derive(Debug, thiserror::Error)]
#[error("{subscription}: {fault}{}", advice(.subscription, .fault))]
pub(super) struct Error {
    subscription: String,
    #[source]
    fault: CallFault,
}

fn advice(subscription: &str, fault: &CallFault) -> String {
    let CallFault::Status(status) = fault else {
        return String::new();
    };
    match status.code() {
        Code::NotFound => "; there is no such subscription: correct APP_CONFIG__WRITERS__PUBSUB__SUBSCRIPTION_ID or \
             APP_CONFIG__WRITERS__PROJECT_ID, or make it with `gcloud pubsub subscriptions create`"
            .to_owned(),
        Code::PermissionDenied => format!(
            "; the collector's service account needs roles/pubsub.subscriber on it: `gcloud pubsub subscriptions add-iam-policy-binding \
             {subscription} --member=serviceAccount:… --role=roles/pubsub.subscriber`"
        ),
        Code::FailedPrecondition | Code::InvalidArgument => {
            "; only pull subscriptions can be consumed".to_owned()
        }
        _ => String::new(),
    }
}

/// A subscription.
#[derive(Debug)]
pub(super) struct Subscription {
    connection: Connection,
    /// `projects/…/subscriptions/…`.
    name: String,
    /// By which calls are routed.
    resource: String,
}

impl Subscription {
    pub(super) fn new(config: &Config) -> Result<Self, WriteError> {
        let Config {
            project,
            subscription,
            ..
        } = config;
        let name = format!("projects/{project}/subscriptions/{subscription}");
        Ok(Self {
            connection: Connection::new(config.emulator.as_deref())?,
            resource: format!("subscription={name}"),
            name,
        })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    fn error(&self, fault: CallFault) -> Error {
        Error {
            subscription: self.name.clone(),
            fault,
        }
    }

    /// The next messages; none if none came in time.
    pub(super) async fn pull(&self) -> Result<Vec<ReceivedMessage>, Error> {
        let question = PullRequest {
            subscription: self.name.clone(),
            max_messages: MESSAGES as i32,
            ..PullRequest::default()
        };
        let answer = self.connection.call(
            &self.resource,
            question,
            PULL_TIME,
            |channel, request| async {
                let client = SubscriberClient::new(channel);
                client
                    .max_decoding_message_size(ANSWER_BYTES)
                    .pull(request)
                    .await
            },
        );
        match answer.await {
            Ok(answer) => Ok(answer.received_messages),
            Err(CallFault::Timeout(_)) => Ok(Vec::new()),
            Err(CallFault::Status(status)) if status.code() == Code::DeadlineExceeded => {
                Ok(Vec::new())
            }
            Err(fault) => Err(self.error(fault)),
        }
    }

    /// Messages that need not come again.
    pub(super) async fn acknowledge(&self, ids: &[String]) -> Result<(), Error> {
        for ids in ids.chunks(MESSAGES) {
            let question = AcknowledgeRequest {
                subscription: self.name.clone(),
                ack_ids: ids.to_vec(),
            };
            let answer = self.connection.call(
                &self.resource,
                question,
                CALL_TIME,
                |channel, request| async {
                    SubscriberClient::new(channel).acknowledge(request).await
                },
            );
            answer.await.map_err(|fault| self.error(fault))?;
        }
        Ok(())
    }

    /// How long from now on messages do not come again; zero to give them back.
    pub(super) async fn lease(&self, ids: &[String], time: Duration) -> Result<(), Error> {
        for ids in ids.chunks(MESSAGES) {
            let question = ModifyAckDeadlineRequest {
                subscription: self.name.clone(),
                ack_ids: ids.to_vec(),
                ack_deadline_seconds: time.as_secs() as i32,
            };
            let answer = self.connection.call(
                &self.resource,
                question,
                CALL_TIME,
                |channel, request| async {
                    SubscriberClient::new(channel)
                        .modify_ack_deadline(request)
                        .await
                },
            );
            answer.await.map_err(|fault| self.error(fault))?;
        }
        Ok(())
    }
}
