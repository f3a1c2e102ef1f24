//! The metadata server of a machine on Google Cloud, as far as credentials ask it
//! (<https://cloud.google.com/compute/docs/metadata/predefined-metadata-keys>).

use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// What is answered to who asks for a token.
#[derive(Clone, Debug)]
pub enum Mood {
    /// This token, for an hour.
    Gives(String),
    /// This status.
    Refuses(StatusCode),
    /// A page instead of a token, as from a network that wants to be paid first.
    Junk,
    /// Nothing.
    Hangs,
}

#[derive(Debug)]
struct Inner {
    mood: Mood,
    questions: u64,
    scopes: Option<String>,
}

/// A running metadata server.
#[derive(Debug)]
pub struct Metadata {
    inner: Arc<Mutex<Inner>>,
    /// For `GCE_METADATA_HOST`.
    pub host: String,
    serving: JoinHandle<()>,
}

impl Drop for Metadata {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Metadata {
    pub async fn start(mood: Mood) -> Self {
        let inner = Arc::new(Mutex::new(Inner {
            mood,
            questions: 0,
            scopes: None,
        }));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let host = listener.local_addr().expect("its address").to_string();
        let path = "/computeMetadata/v1/instance/service-accounts/default/token";
        let router = Router::new()
            .route(path, get(token))
            .with_state(Arc::clone(&inner));
        let serving = tokio::spawn(async move {
            axum::serve(listener, router).await.expect("it serves");
        });
        Self {
            inner,
            host,
            serving,
        }
    }

    /// Answers so from now on.
    pub fn set(&self, mood: Mood) {
        lock(&self.inner).mood = mood;
    }

    /// How often a token was asked for.
    pub fn questions(&self) -> u64 {
        lock(&self.inner).questions
    }

    /// What the last one was asked for.
    pub fn scopes(&self) -> Option<String> {
        lock(&self.inner).scopes.clone()
    }
}

fn lock(inner: &Mutex<Inner>) -> std::sync::MutexGuard<'_, Inner> {
    inner.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn token(
    State(inner): State<Arc<Mutex<Inner>>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    // Without it a page in a browser could ask.
    if headers
        .get("metadata-flavor")
        .map(|flavor| flavor.as_bytes())
        != Some(b"Google")
    {
        return StatusCode::FORBIDDEN.into_response();
    }
    let mood = {
        let mut inner = lock(&inner);
        inner.questions += 1;
        inner.scopes = query;
        inner.mood.clone()
    };
    match mood {
        Mood::Gives(token) => {
            let token = json!({"access_token": token, "expires_in": 3_600, "token_type": "Bearer"});
            axum::Json(token).into_response()
        }
        Mood::Refuses(status) => (status, "not now").into_response(),
        Mood::Junk => "<html>Please log in</html>".into_response(),
        Mood::Hangs => std::future::pending().await,
    }
}
