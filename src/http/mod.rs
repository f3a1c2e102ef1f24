//! The HTTP surface: router, limits, endpoints. Glue only: it reads requests, calls `enrich` and
//! `pipeline`, and answers. It never sees a writer, and nothing below it sees HTTP.

use std::sync::Arc;

use axum::Router;
use axum::routing::get;

use crate::clock::Clock;
use crate::enrich::Enricher;
use crate::ledger::Ledger;
use crate::pipeline::Intake;

mod assets;
mod body;
mod cookie;
mod cors;
mod docs;
mod error;
mod extract;
mod health;
pub mod openapi;
mod server;
pub mod streaming;

pub use body::BodyLimits;
pub use cookie::{Cookie, CookieConfig, SameSite};
pub use cors::CorsConfig;
pub use error::{Detail, Error};
pub use server::{Server, ServerConfig};

/// What endpoints share.
#[derive(Debug)]
pub struct Shared {
    /// Where events are appended.
    pub intake: Intake,
    /// What is known of each event besides what its client says.
    pub enricher: Enricher,
    /// The counts.
    pub ledger: Arc<Ledger>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Proxies in front that append to X-Forwarded-For.
    pub trusted_hops: usize,
    /// Limits of request bodies.
    pub body: BodyLimits,
    /// How the cookie of browsers is set.
    pub cookie: Cookie,
}

/// All routes.
pub fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/api/v1/streaming/{stream_id}", streaming::methods())
        .route("/api/v1/streaming/{stream_id}/", streaming::methods())
        .route("/health", get(health::health))
        .route("/liveness", get(health::liveness))
        .route("/readiness", get(health::readiness))
        .route("/metrics", get(health::metrics))
        .route("/openapi.json", get(docs::openapi))
        .route("/docs", get(docs::swagger_ui))
        .route("/docs/", get(docs::swagger_ui))
        .route("/redoc", get(docs::redoc))
        .route("/redoc/", get(docs::redoc))
        .route("/static/{file}", get(assets::file))
        .fallback(|| async { Error::NotFound })
        .method_not_allowed_fallback(|| async { Error::MethodNotAllowed })
        .with_state(shared)
}
