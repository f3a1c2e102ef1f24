//! `GET /live`: a page that shows what arrives now; `GET /live/events`: what it shows, as server-sent events.
//!
//! Which events are wished for is said in the query: `stream`, `event`, `user`, `outcome`, and `personal=1` for those
//! fields as they are.

use std::convert::Infallible;
use std::sync::{Arc, LazyLock};

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt as _;
use http::{HeaderMap, Uri, header};

use super::assets::{Asset, secured, with_hashes};
use super::server::Lasting;
use super::{Error, Shared, admin};
use crate::live::{Outcome, Wish};

static PAGE: LazyLock<Asset> = LazyLock::new(|| {
    let html = with_hashes(include_str!("live/live.html"));
    Asset::new("text/html; charset=utf-8", html)
});

/// Scripts, style sheets and requests of this server only.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Longest text that is wished for, in bytes.
const MAX_WISH: usize = 512;

/// After so many milliseconds a browser comes again when the connection broke off.
const RETRY: &str = "retry: 2000\n\n";

/// `GET /live`.
pub(super) async fn page(request: Request) -> Response {
    secured(PAGE.answer(request.headers()), POLICY)
}

/// `GET /live/events`.
pub(super) async fn events(
    State(shared): State<Arc<Shared>>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Error> {
    admin::refuse_other_sites(&headers)?;
    let wish = wish(uri.query().unwrap_or_default())?;
    let is_personal = wish.is_personal;
    let frames = shared.live.join(wish)?;
    if is_personal {
        tracing::info!("somebody looks at personal fields of what arrives");
    }
    let first = futures_util::stream::iter([RETRY.into()]);
    let frames = first.chain(frames).map(Ok::<_, Infallible>);
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    let mut response = (headers, Body::from_stream(frames)).into_response();
    // Proxies are not to collect it (https://nginx.org/en/docs/http/ngx_http_proxy_module.html#proxy_buffering).
    let unbuffered = http::HeaderValue::from_static("no");
    response
        .headers_mut()
        .insert("x-accel-buffering", unbuffered);
    response.extensions_mut().insert(Lasting);
    Ok(response)
}

/// What a query wishes for; what is empty is not wished for.
fn wish(query: &str) -> Result<Wish, Error> {
    let mut wish = Wish::default();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        if value.len() > MAX_WISH {
            return Err(Error::BadRequest(format!("{name} is too long")));
        }
        let text = || Some(value.trim().to_owned()).filter(|text| !text.is_empty());
        match &*name {
            "stream" => wish.stream = text(),
            "event" => wish.event = text(),
            "user" => wish.user = text(),
            "outcome" => {
                let outcome = |name: String| {
                    Outcome::named(&name).ok_or_else(|| {
                        let names = Outcome::ALL.map(Outcome::name).join(", ");
                        Error::BadRequest(format!("outcome must be one of {names}"))
                    })
                };
                wish.outcome = text().map(outcome).transpose()?;
            }
            "personal" => {
                wish.is_personal = match &*value {
                    "1" | "true" => true,
                    "" | "0" | "false" => false,
                    _ => return Err(Error::BadRequest("personal must be 1 or 0".to_owned())),
                }
            }
            _ => {}
        }
    }
    Ok(wish)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_a_wish() {
        assert_eq!(wish("").unwrap(), Wish::default());
        let expected = Wish {
            stream: Some("shop".to_owned()),
            event: Some("page view".to_owned()),
            user: Some("#0a1b2c".to_owned()),
            outcome: Some(Outcome::Filtered),
            is_personal: true,
        };
        let query = "stream=shop&event=page+view&user=%230a1b2c&outcome=filtered&personal=1&x=y";
        assert_eq!(wish(query).unwrap(), expected);
        assert_eq!(
            wish("stream=&event=+&user=&outcome=&personal=0").unwrap(),
            Wish::default()
        );
        let long = format!("user={}", "x".repeat(MAX_WISH + 1));
        for wrong in ["outcome=stored", "personal=yes", &long] {
            assert!(matches!(wish(wrong), Err(Error::BadRequest(_))), "{wrong}");
        }
    }
}
