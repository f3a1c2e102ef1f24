//! `GET /` where the collector is tried out (`ENVIRONMENT=QA`): that it runs, what to put on a page, and a test event that one can watch
//! arriving. Elsewhere there is nothing at `/`, so the description of the API has no such path.
//!
//! The page knows no more than anybody: what became of the event it asks with the admin token, which one gives it.

use std::sync::{Arc, LazyLock};

use axum::Router;
use axum::extract::Request;
use axum::response::Response;
use axum::routing::get;

use super::assets::{Asset, secured, with_hashes};
use super::{Shared, docs};

static PAGE: LazyLock<Asset> = LazyLock::new(|| {
    Asset::new(
        "text/html; charset=utf-8",
        with_hashes(include_str!("first_use/index.html")),
    )
});

pub(super) fn routes() -> Router<Arc<Shared>> {
    Router::new().route("/", get(page))
}

async fn page(request: Request) -> Response {
    secured(PAGE.answer(request.headers()), docs::POLICY)
}
