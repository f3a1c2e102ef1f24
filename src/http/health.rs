//! Probes and metrics. Liveness never depends on a destination or on the log; readiness tells whether
//! an event would be taken now.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde_json::json;

use super::{Shared, assets};

/// Readiness is about a request of this size.
const TYPICAL_REQUEST_BYTES: usize = 4 << 10;

/// The process answers.
pub(super) async fn liveness() -> Response {
    axum::Json(json!({"status": "alive"})).into_response()
}

/// What runs, and how the destinations are.
pub(super) async fn health(State(shared): State<Arc<Shared>>) -> Response {
    axum::Json(json!({
        "status": "healthy",
        "service": "real-streaming",
        "version": env!("CARGO_PKG_VERSION"),
        "destinations": destinations(&shared),
    }))
    .into_response()
}

/// Whether an event would be taken now, and which destination is behind by how much.
pub(super) async fn readiness(State(shared): State<Arc<Shared>>) -> Response {
    let (status, state) = match shared.intake.admit(TYPICAL_REQUEST_BYTES) {
        Ok(()) => (StatusCode::OK, "ready".to_owned()),
        Err(refused) => (StatusCode::SERVICE_UNAVAILABLE, refused.to_string()),
    };
    (
        status,
        axum::Json(json!({"status": state, "destinations": destinations(&shared)})),
    )
        .into_response()
}

/// The ledger as Prometheus text.
pub(super) async fn metrics(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let media_type = "text/plain; version=0.0.4; charset=utf-8";
    assets::fresh(request.headers(), media_type, shared.ledger.render())
}

fn destinations(shared: &Shared) -> Vec<serde_json::Value> {
    let destinations = shared.ledger.destinations();
    destinations
        .iter()
        .map(|destination| {
            json!({
                "name": destination.name(),
                "healthy": destination.is_healthy(),
                "pending": destination.pending(),
            })
        })
        .collect()
}
