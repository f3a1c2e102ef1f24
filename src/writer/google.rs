//! What the writers of Google's services share: credentials, and channels of gRPC.
//!
//! Credentials are Application Default Credentials (<https://cloud.google.com/docs/authentication/application-default-credentials>);
//! tokens are cached and renewed early by the library. An endpoint with `http://` asks for none: emulators and tests.
//!
//! The library gives up for good after an answer that it takes for final, such as one that is no JSON, waits without end
//! for one that does not come, and keeps a token that the service has ceased to take. Each time the credentials are made
//! anew, so that nobody has to restart the collector.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use google_cloud_auth::credentials::{Builder, CacheableResource, Credentials};
use http::{Extensions, HeaderMap};
use tonic::Code;
use tonic::metadata::MetadataMap;
use tonic::transport::{Channel, ClientTlsConfig, Endpoint};

use super::WriteError;

/// <https://developers.google.com/identity/protocols/oauth2/scopes>
const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";

/// Connections through which nothing comes are asked whether they live: after a pause of the processor they often do not.
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(10);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A token comes from this machine or from one nearby.
const TOKEN_TIMEOUT: Duration = Duration::from_secs(5);

/// How long credentials are kept at least, doubled each time that they are made anew soon after: of those before, a question
/// may still be under way that nobody ends.
const KEEP_FIRST: Duration = Duration::from_secs(1);
const KEEP_MOST: Duration = Duration::from_secs(60);

#[derive(Debug)]
struct Made {
    credentials: Credentials,
    /// When they were made anew last, and how long they are kept then.
    renewed: Option<(Instant, Duration)>,
}

impl Made {
    /// Whether it is time for new ones; notes that it was.
    fn is_due(&mut self, now: Instant) -> bool {
        let keep = match self.renewed {
            Some((at, keep)) if now - at < keep => return false,
            Some((at, keep)) if now - at < 2 * KEEP_MOST => KEEP_MOST.min(keep * 2),
            _ => KEEP_FIRST,
        };
        self.renewed = Some((now, keep));
        true
    }
}

/// Where a service is, and who asks.
#[derive(Debug)]
pub(super) struct Access {
    endpoint: String,
    credentials: Option<Mutex<Made>>,
    channel: Mutex<Option<Channel>>,
}

impl Access {
    /// Nothing is asked yet.
    ///
    /// # Errors
    /// There are no credentials.
    pub(super) fn new(endpoint: &str) -> Result<Self, WriteError> {
        let credentials = if endpoint.starts_with("http://") {
            None
        } else {
            let credentials = credentials()?;
            let renewed = None;
            Some(Mutex::new(Made {
                credentials,
                renewed,
            }))
        };
        Ok(Self {
            endpoint: endpoint.trim_end_matches('/').to_owned(),
            credentials,
            channel: Mutex::default(),
        })
    }

    /// Where the service is, without a slash at the end.
    pub(super) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The headers that say who asks.
    ///
    /// # Errors
    /// No token can be had now.
    pub(super) async fn headers(&self) -> Result<HeaderMap, WriteError> {
        let Some(credentials) = &self.credentials else {
            return Ok(HeaderMap::new());
        };
        let current = credentials
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .credentials
            .clone();
        let asked = tokio::time::timeout(TOKEN_TIMEOUT, current.headers(Extensions::new()));
        let why = match asked.await {
            Ok(Ok(CacheableResource::New { data, .. })) => return Ok(data),
            // Only said to those who show a tag.
            Ok(Ok(CacheableResource::NotModified)) => return Ok(HeaderMap::new()),
            Ok(Err(error)) => with_causes(&error),
            Err(_elapsed) => format!("no answer within {} s", TOKEN_TIMEOUT.as_secs()),
        };
        self.renew();
        Err(WriteError::transient(format!(
            "no token can be had for Google Cloud: {why}"
        )))
    }

    /// The credentials are made anew, unless that was done just now: the token that there is was of no use. Keeps them if there are
    /// none any more.
    pub(super) fn renew(&self) {
        let Some(mutex) = &self.credentials else {
            return;
        };
        let mut made = mutex.lock().unwrap_or_else(PoisonError::into_inner);
        if !made.is_due(Instant::now()) {
            return;
        }
        match credentials() {
            Ok(new) => made.credentials = new,
            Err(error) => tracing::warn!(%error, "the credentials cannot be read again"),
        }
    }

    /// Draws the consequences of an error over gRPC for the token and the channel.
    pub(super) fn failed(&self, code: Code) {
        match code {
            Code::Unauthenticated => self.renew(),
            // That is how waiting for an answer ends.
            Code::DeadlineExceeded | Code::Cancelled => self.hang_up(),
            _ => {}
        }
    }

    /// The next call gets a new channel: one that a sleeping machine or a lost route has left behind looks alive for
    /// minutes. Whoever uses the old one keeps it.
    pub(super) fn hang_up(&self) {
        *self.channel.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// The same for gRPC.
    ///
    /// # Errors
    /// No token can be had now.
    pub(super) async fn metadata(&self) -> Result<MetadataMap, WriteError> {
        Ok(MetadataMap::from_headers(self.headers().await?))
    }

    /// The channel, which connects when it is used, and again when it breaks.
    ///
    /// # Errors
    /// The endpoint is no address.
    pub(super) fn channel(&self) -> Result<Channel, WriteError> {
        let mut channel = self.channel.lock().unwrap_or_else(PoisonError::into_inner);
        match &*channel {
            Some(channel) => Ok(channel.clone()),
            None => Ok(channel.insert(self.new_channel()?).clone()),
        }
    }

    fn new_channel(&self) -> Result<Channel, WriteError> {
        let endpoint = Endpoint::from_shared(self.endpoint.clone()).map_err(WriteError::fatal)?;
        let endpoint = endpoint
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_TIMEOUT)
            .keep_alive_while_idle(true);
        let endpoint = if self.credentials.is_some() {
            let tls = ClientTlsConfig::new().with_native_roots();
            endpoint.tls_config(tls).map_err(WriteError::fatal)?
        } else {
            endpoint
        };
        Ok(endpoint.connect_lazy())
    }
}

fn credentials() -> Result<Credentials, WriteError> {
    Builder::default().with_scopes([SCOPE]).build().map_err(|error| {
        WriteError::fatal(format!(
            "there are no credentials for Google Cloud ({error}): run `gcloud auth application-default login`, or give the machine a service account"
        ))
    })
}

/// An error of the library says little without what is behind it.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use google_cloud_auth::credentials::anonymous;

    use super::*;

    #[test]
    fn credentials_are_made_anew_less_and_less_often() {
        let mut made = Made {
            credentials: anonymous::Builder::new().build(),
            renewed: None,
        };
        let begun = Instant::now();
        let renewals: Vec<u64> = (0..400)
            .filter(|second| made.is_due(begun + Duration::from_secs(*second)))
            .collect();
        assert_eq!(renewals, [0, 1, 3, 7, 15, 31, 63, 123, 183, 243, 303, 363]);
        assert!(made.is_due(begun + Duration::from_secs(1000)));
        assert!(made.is_due(begun + Duration::from_secs(1001)));
    }
}
