//! The HTTP surface: router, limits, endpoints. Glue only: it reads requests, calls `enrich` and
//! `pipeline`, and answers. It never sees a writer, and nothing below it sees HTTP.

use std::net::IpAddr;
use std::sync::Arc;

use axum::Router;
use axum::middleware::map_response;
use axum::routing::get;
use http::request::Parts;

use crate::clock::Clock;
use crate::enrich::Enricher;
use crate::ledger::Ledger;
use crate::pipeline::{Fates, Intake, Replays};

mod admin;
mod assets;
mod body;
mod client_hints;
mod cookie;
mod cors;
mod dead_letters;
mod docs;
mod error;
mod events;
mod extract;
mod health;
pub mod openapi;
mod secret;
mod senders;
mod server;
pub mod streaming;

pub use admin::{Admin, AdminConfig};
pub use body::BodyLimits;
pub use client_hints::ClientHintsPolicy;
pub use cookie::{Cookie, CookieConfig, SameSite, is_cookie_name};
pub use cors::CorsConfig;
pub use error::{Detail, Error};
pub use secret::Secret;
pub use senders::{Rate, Senders, SendersConfig};
pub use server::{Server, ServerConfig};

/// What endpoints share.
#[derive(Debug)]
pub struct Shared {
    /// Where events are appended.
    pub intake: Arc<Intake>,
    /// What is known of each event besides what its client says.
    pub enricher: Enricher,
    /// The counts.
    pub ledger: Arc<Ledger>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Limits of request bodies.
    pub body: BodyLimits,
    /// Which client hints browsers are asked for.
    pub client_hints: ClientHintsPolicy,
    /// How the cookie of browsers is set.
    pub cookie: Cookie,
    /// Who may send.
    pub senders: Senders,
    /// Who may see what the collector knows.
    pub admin: Admin,
    /// What became of events.
    pub fates: Fates,
    /// The dead letters.
    pub replays: Arc<Replays>,
}

impl Shared {
    /// The client's address.
    fn client_ip(&self, head: &Parts) -> Option<IpAddr> {
        extract::client_ip(&self.enricher, head)
    }
}

/// Which routes a listener has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Routes {
    /// Those for clients.
    Public,
    /// Those for the operator.
    Admin,
    /// All.
    All,
    /// None but the probes.
    Probes,
}

/// The routes of a listener. Probes are everywhere.
pub fn router(shared: Arc<Shared>, routes: Routes) -> Router {
    let mut router = Router::new()
        .route("/health", get(health::health))
        .route("/liveness", get(health::liveness))
        .route("/readiness", get(health::readiness));
    if matches!(routes, Routes::Public | Routes::All) {
        let policy = shared.client_hints;
        router = router.merge(match policy {
            ClientHintsPolicy::None => public(),
            _ => public().layer(map_response(move |response| async move {
                client_hints::ask(policy, response)
            })),
        });
    }
    if matches!(routes, Routes::Admin | Routes::All) {
        router = router.merge(admin::routes(&shared));
    }
    router
        .fallback(|| async { Error::NotFound })
        .method_not_allowed_fallback(|| async { Error::MethodNotAllowed })
        .with_state(shared)
}

fn public() -> Router<Arc<Shared>> {
    Router::new()
        .route("/api/v1/streaming/{stream_id}", streaming::methods())
        .route("/api/v1/streaming/{stream_id}/", streaming::methods())
        .route("/openapi.json", get(docs::openapi))
        .route("/docs", get(docs::swagger_ui))
        .route("/docs/", get(docs::swagger_ui))
        .route("/redoc", get(docs::redoc))
        .route("/redoc/", get(docs::redoc))
        .route("/static/{file}", get(assets::file))
        .route("/api/v1/fetch/v6.js", get(assets::v6))
}
