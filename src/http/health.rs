//! Probes and metrics. Liveness never depends on a destination or on the log; readiness tells whether
//! an event would be taken now.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde_json::json;
use tokio::time::Instant;

use super::{Shared, assets};

/// Readiness is about a request of this size.
const TYPICAL_REQUEST_BYTES: usize = 4 << 10;

/// The process answers.
pub(super) async fn liveness() -> Response {
    axum::Json(json!({"status": "alive"})).into_response()
}

/// What runs, and how the destinations are.
pub(super) async fn health(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    axum::Json(json!({
        "status": "healthy",
        "service": "real-streaming",
        "version": env!("CARGO_PKG_VERSION"),
        "destinations": destinations(&shared, &request),
    }))
    .into_response()
}

/// Whether an event would be taken now, and which destination is behind by how much, and why.
pub(super) async fn readiness(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let (status, state) = match shared.intake.admit(TYPICAL_REQUEST_BYTES) {
        Ok(()) => (StatusCode::OK, "ready".to_owned()),
        Err(refused) => (StatusCode::SERVICE_UNAVAILABLE, refused.to_string()),
    };
    (
        status,
        axum::Json(json!({"status": state, "destinations": destinations(&shared, &request)})),
    )
        .into_response()
}

/// The ledger as Prometheus text.
pub(super) async fn metrics(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let media_type = "text/plain; version=0.0.4; charset=utf-8";
    assets::fresh(request.headers(), media_type, shared.ledger.render())
}

/// How the destinations are. Errors are told to those who may see them.
fn destinations(shared: &Shared, request: &Request) -> Vec<serde_json::Value> {
    let may_see = shared.admin.check(request.uri(), request.headers()).is_ok();
    let now = Instant::now();
    let destinations = shared.ledger.destinations();
    let shown = destinations.iter().map(|destination| {
        let error = destination.error();
        let mut shown = json!({
            "name": destination.name(),
            "healthy": error.is_none(),
            "pending": destination.pending(),
            "pending_seconds": destination.lag(now).as_secs(),
        });
        if let Some(error) = error.filter(|_| may_see) {
            shown["error"] = error.into();
        }
        shown
    });
    shown.collect()
}
