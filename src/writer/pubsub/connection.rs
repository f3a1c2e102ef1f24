//! The connection to Pub/Sub: where it is, who we are, and one call with a deadline.
//!
//! Connects when it is first used and again whenever the connection broke. A call without an answer in time
//! also gets the next ones a new connection: one that a sleeping machine or a lost route has left behind
//! looks alive for minutes. Tokens come from Application Default Credentials and are kept by their crate.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use google_cloud_auth::credentials::{self, CacheableResource, Credentials};
use google_cloud_auth::errors::CredentialsError;
use http::Extensions;
use tonic::metadata::MetadataMap;
use tonic::transport::{Channel, ClientTlsConfig, Endpoint};
use tonic::{Request, Response, Status};

/// Where Pub/Sub is (<https://cloud.google.com/pubsub/docs/reference/service_apis_overview>).
const SERVICE: &str = "https://pubsub.googleapis.com";

/// What our token may be used for.
const SCOPE: &str = "https://www.googleapis.com/auth/pubsub";

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How often a connection that is in use is asked whether it lives, and how long the answer may take.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// No connection can be made with this configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConnectionFault {
    /// The address is none.
    #[error("Pub/Sub: {0}")]
    Address(#[from] tonic::transport::Error),
    /// There are credentials, but they cannot be used.
    #[error("Pub/Sub: the application default credentials cannot be used: {0}")]
    Credentials(#[from] google_cloud_auth::build_errors::Error),
}

/// Why a call has no result.
#[derive(Debug, thiserror::Error)]
pub enum CallFault {
    /// The service, or the connection to it, says so.
    #[error("{}: {}", .0.code(), .0.message())]
    Status(Box<Status>),
    /// There is no token for it.
    #[error("no access token: {0}")]
    Token(#[from] CredentialsError),
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
    endpoint: Endpoint,
    channel: Mutex<Channel>,
    /// None with an emulator, which asks for none.
    credentials: Option<Credentials>,
}

impl Connection {
    /// A connection to the service, or to the emulator at this `host:port`. Must be made inside of a runtime.
    ///
    /// # Errors
    /// See [`ConnectionFault`].
    pub fn new(emulator: Option<&str>) -> Result<Self, ConnectionFault> {
        let (endpoint, credentials) = match emulator {
            Some(host) => (Endpoint::from_shared(format!("http://{host}"))?, None),
            None => {
                let tls = ClientTlsConfig::new().with_enabled_roots();
                let builder = credentials::Builder::default().with_scopes([SCOPE]);
                let endpoint = Endpoint::from_static(SERVICE).tls_config(tls)?;
                (endpoint, Some(builder.build()?))
            }
        };
        let endpoint = endpoint
            .user_agent(concat!("real-streaming/", env!("CARGO_PKG_VERSION")))?
            .connect_timeout(CONNECT_TIMEOUT)
            .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
            .keep_alive_timeout(KEEP_ALIVE_TIMEOUT);
        Ok(Self {
            channel: Mutex::new(endpoint.connect_lazy()),
            endpoint,
            credentials,
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
        let answer = async {
            let mut request = Request::new(question);
            if let Some(credentials) = &self.credentials
                && let CacheableResource::New { data, .. } =
                    credentials.headers(Extensions::new()).await?
            {
                *request.metadata_mut() = MetadataMap::from_headers(data);
            }
            // By which the service routes it (<https://google.aip.dev/client-libraries/4222>).
            if let Ok(routing) = resource.replace('/', "%2F").parse() {
                request
                    .metadata_mut()
                    .insert("x-goog-request-params", routing);
            }
            request.set_timeout(time);
            let channel = self.channel.lock().unwrap_or_else(PoisonError::into_inner);
            let channel = channel.clone();
            Ok(rpc(channel, request).await?.into_inner())
        };
        match tokio::time::timeout(time, answer).await {
            Ok(answer) => answer,
            Err(_elapsed) => {
                let mut channel = self.channel.lock().unwrap_or_else(PoisonError::into_inner);
                *channel = self.endpoint.connect_lazy();
                Err(CallFault::Timeout(time))
            }
        }
    }
}
