//! `GET /api/v1/events/{event_id}`: what became of an event.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::{Path, State};
use serde::Serialize;

use crate::pipeline::{Fate, NotFound};

use super::{Error, Shared};

/// How long the log is searched; below the deadline of requests.
const SEARCH_TIME: Duration = Duration::from_secs(20);

/// The answer.
#[derive(Debug, Serialize)]
pub(super) struct Found {
    status: &'static str,
    /// One an event of this id; several streams and event names may have it.
    events: Vec<Fate>,
}

pub(super) async fn fate(
    State(shared): State<Arc<Shared>>,
    Path(event_id): Path<String>,
) -> Result<Json<Found>, Error> {
    let until = Instant::now() + SEARCH_TIME;
    let search = tokio::task::spawn_blocking(move || shared.fates.find(&event_id, until));
    match search.await.map_err(|_panic| Error::Internal)? {
        Ok(events) => Ok(Json(Found {
            status: "ok",
            events,
        })),
        Err(NotFound::Nowhere) => Err(Error::EventNotFound),
        Err(NotFound::TimeIsUp) => Err(Error::Timeout),
        Err(NotFound::Disk(error)) => {
            tracing::error!(%error, "events cannot be searched for");
            Err(Error::Internal)
        }
    }
}
