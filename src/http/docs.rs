//! The documentation of the API, served by the binary itself: its description, and two pages that draw it. They
//! load nothing from anywhere else, and their policy forbids that they could.

use std::sync::LazyLock;

use axum::extract::Request;
use axum::response::Response;

use super::assets::{Asset, secured, with_hashes};
use super::openapi;

static OPENAPI: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("application/json", openapi::document().to_string()));
static SWAGGER_UI: LazyLock<Asset> = LazyLock::new(|| page(include_str!("docs/swagger-ui.html")));
static REDOC: LazyLock<Asset> = LazyLock::new(|| page(include_str!("docs/redoc.html")));

fn page(html: &str) -> Asset {
    Asset::new("text/html; charset=utf-8", with_hashes(html))
}

/// Scripts, style sheets and requests of this server only.
pub(super) const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// ReDoc searches in a worker that it makes itself, and writes its styles into the page; styles can run nothing.
const REDOC_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
    connect-src 'self'; worker-src blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// `GET /openapi.json`.
pub(super) async fn openapi(request: Request) -> Response {
    OPENAPI.answer(request.headers())
}

/// `GET /docs`: Swagger UI.
pub(super) async fn swagger_ui(request: Request) -> Response {
    secured(SWAGGER_UI.answer(request.headers()), POLICY)
}

/// `GET /redoc`: ReDoc.
pub(super) async fn redoc(request: Request) -> Response {
    secured(REDOC.answer(request.headers()), REDOC_POLICY)
}
