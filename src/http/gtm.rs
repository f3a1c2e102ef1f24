//! `GET /static/gtm/template.tpl`: the template for Google Tag Manager, as a file to import there (`docs/gtm.md`).
//!
//! Tag Manager loads scripts only from where the template's permissions say. In the repository that is an example's host; whoever fetches
//! the template from their collector gets it with their collector's.

use axum::extract::Request;
use axum::response::Response;
use http::{HeaderValue, header};

use super::{assets, cookie};

const TEMPLATE: &str = include_str!("../../static/gtm/template.tpl");

/// The host that the template names.
const EXAMPLE: &str = "collect.example.com";

pub(super) async fn template(request: Request) -> Response {
    let (head, _) = request.into_parts();
    let host = cookie::host(&head);
    // An address, or a name within a network, is none from which pages of others could load a script.
    let host = host.filter(|host| cookie::registrable_domain(host).is_some());
    let template = TEMPLATE.replace(EXAMPLE, host.as_deref().unwrap_or(EXAMPLE));
    let mut response = assets::fresh(&head.headers, "text/plain; charset=utf-8", template);
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_DISPOSITION,
        HeaderValue::from_static("attachment; filename=\"real-streaming.tpl\""),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}
