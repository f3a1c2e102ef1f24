//! The connection to Pub/Sub, and one call with a deadline.
//!
//! It connects when it is first used and again whenever it broke. A call without an answer in time also gets
//! the next ones a new connection: one that a sleeping machine or a lost route has left behind looks alive
//! for minutes.

use std::time::Duration;

use tonic::transport::Channel;
use tonic::{Request, Response, Status};

use crate::writer::WriteError;
use crate::writer::google::Access;

/// Where Pub/Sub is (<https://cloud.google.com/pubsub/docs/reference/service_apis_overview>).
const SERVICE: &str = "https://pubsub.googleapis.com";

/// Why a call has no result.
#[derive(Debug, thiserror::Error)]
pub enum CallFault {
    /// The service, or the connection to it, says so.
    #[error("{}: {}", .0.code(), .0.message())]
    Status(Box<Status>),
    /// It could not be made.
    #[error(transparent)]
    Access(#[from] WriteError),
    /// There was no answer.
    #[error("no answer within {} s", .0.as_secs_f64())]
    Timeout(Duration),
}

impl From<Status> for CallFault {
    fn from(status: Status) -> Self {
        Self::Status(Box::new(status))
    }
}

/// A connection to Pub/Sub.
#[derive(Debug)]
pub struct Connection {
    access: Access,
}

impl Connection {
    /// A connection to the service, or to the emulator at this `host:port`. Asks for nothing yet.
    ///
    /// # Errors
    /// There are no credentials.
    pub fn new(emulator: Option<&str>) -> Result<Self, WriteError> {
        let emulator = emulator.map(|host| format!("http://{host}"));
        Ok(Self {
            access: Access::new(emulator.as_deref().unwrap_or(SERVICE))?,
        })
    }

    /// Calls `rpc` for this resource (`topic=projects/…`), once, and waits for so long.
    ///
    /// # Errors
    /// See [`CallFault`].
    pub async fn call<Q, A, F>(
        &self,
        resource: &str,
        question: Q,
        time: Duration,
        rpc: impl FnOnce(Channel, Request<Q>) -> F,
    ) -> Result<A, CallFault>
    where
        F: Future<Output = Result<Response<A>, Status>>,
    {
        // It has a clock of its own.
        let metadata = self.access.metadata().await?;
        let answer = async {
            let mut request = Request::new(question);
            *request.metadata_mut() = metadata;
            // By which the service routes it (<https://google.aip.dev/client-libraries/4222>).
            if let Ok(routing) = resource.replace('/', "%2F").parse() {
                request
                    .metadata_mut()
                    .insert("x-goog-request-params", routing);
            }
            let answer = rpc(self.access.channel()?, request).await;
            Ok(answer
                .inspect_err(|status| self.access.failed(status.code()))?
                .into_inner())
        };
        // The only clock: one of the library's own would end calls without a new connection.
        match tokio::time::timeout(time, answer).await {
            Ok(answer) => answer,
            Err(_elapsed) => {
                self.access.hang_up();
                Err(CallFault::Timeout(time))
            }
        }
    }
}
