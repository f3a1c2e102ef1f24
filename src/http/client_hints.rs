//! Asks browsers for client hints (<https://wicg.github.io/ua-client-hints/>): they send them with later requests, and where critical, ask
//! again at once. They do so for pages of the collector's own origin; pages of other origins ask and delegate by headers of their own.

use axum::response::Response;
use http::{HeaderName, HeaderValue};

use crate::enrich::device::hints::{ASKED_FOR, DELEGATED};

/// What browsers are asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientHintsPolicy {
    /// Nothing.
    #[default]
    None,
    /// Model and full versions, from the next request on.
    Accept,
    /// The same, with this request: browsers make it again.
    Critical,
}

const ACCEPT: HeaderName = HeaderName::from_static("accept-ch");
const CRITICAL: HeaderName = HeaderName::from_static("critical-ch");
const PERMISSIONS: HeaderName = HeaderName::from_static("permissions-policy");

/// Says on an answer what is asked for.
pub(super) fn ask(policy: ClientHintsPolicy, mut response: Response) -> Response {
    let headers = response.headers_mut();
    if policy != ClientHintsPolicy::None {
        headers.insert(ACCEPT, HeaderValue::from_static(ASKED_FOR));
        headers.insert(PERMISSIONS, HeaderValue::from_static(DELEGATED));
    }
    if policy == ClientHintsPolicy::Critical {
        headers.insert(CRITICAL, HeaderValue::from_static(ASKED_FOR));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_configured_is_asked_for() {
        for (policy, expected) in [
            (ClientHintsPolicy::None, [false; 3]),
            (ClientHintsPolicy::Accept, [true, true, false]),
            (ClientHintsPolicy::Critical, [true; 3]),
        ] {
            let response = ask(policy, Response::default());
            let has =
                [ACCEPT, PERMISSIONS, CRITICAL].map(|name| response.headers().contains_key(name));
            assert_eq!(has, expected, "{policy:?}");
        }
    }
}
