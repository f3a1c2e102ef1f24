//! Who may see what the collector knows: metrics, what became of an event, rows that are only tried out; and who may
//! replay dead letters; and who may look at what arrives.
//!
//! One token, as a bearer token or as the password of Basic authentication
//! (<https://www.rfc-editor.org/rfc/rfc6750#section-2.1>, <https://www.rfc-editor.org/rfc/rfc7617>), so that browsers
//! ask for it by themselves. The host by which the collector is called must be known, so that a name which an
//! attacker points at it (DNS rebinding) leads nowhere. There are no users, roles or sessions.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{get, post};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderValue, Uri, header};
use uuid::Uuid;

use super::secret::{self, Secret};
use super::{Error, Shared, dead_letters, events, health, live};

/// Who may see what, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminConfig {
    /// What must be given; `None` for one made up at start, where `is_made_up` says so.
    pub token: Option<Secret>,
    /// Whether a token is made up if there is none. Otherwise there are no admin routes then.
    pub is_made_up: bool,
    /// Hosts by which the collector may be called, besides `localhost` and addresses; `*` for all.
    pub hosts: Vec<String>,
    /// An address of their own for these routes.
    pub listen: Option<SocketAddr>,
}

/// Tells who may see.
#[derive(Debug)]
pub struct Admin {
    token: Option<Secret>,
    is_made_up: bool,
    hosts: Vec<String>,
}

impl Admin {
    /// Makes up a token if need be, and says it once in the log.
    pub fn new(config: &AdminConfig) -> Self {
        let is_made_up = config.token.is_none() && config.is_made_up;
        let token = config.token.clone().or_else(|| {
            is_made_up.then(|| {
                let token = Secret::new(Uuid::new_v4().simple().to_string());
                tracing::info!(
                    token = token.reveal(),
                    "admin token of this run; set ADMIN__TOKEN to have one that stays"
                );
                token
            })
        });
        Self {
            token,
            is_made_up,
            hosts: config.hosts.clone(),
        }
    }

    /// The token, if it was made up for this run: one that stays is nobody's to tell.
    pub fn made_up(&self) -> Option<&str> {
        let token = self.token.as_ref().filter(|_| self.is_made_up)?;
        Some(token.reveal())
    }

    /// Whether a request with this head may see.
    ///
    /// # Errors
    /// Why not. Without a token there is nothing here.
    pub(super) fn check(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), Error> {
        let Some(token) = &self.token else {
            return Err(Error::NotFound);
        };
        if !self.is_known_host(uri, headers) {
            return Err(Error::UnknownHost);
        }
        match given(headers) {
            Some(given) if token.is(&given) => Ok(()),
            _ => Err(Error::Unauthorized),
        }
    }

    fn is_known_host(&self, uri: &Uri, headers: &HeaderMap) -> bool {
        let host = headers.get(header::HOST).map(|host| host.to_str());
        let host = match host {
            Some(Ok(host)) => host,
            Some(Err(_)) => return false,
            // HTTP/2 has it in the target.
            None => match uri.authority() {
                Some(authority) => authority.as_str(),
                None => return false,
            },
        };
        let name = match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
            _ => host,
        };
        let bare = name.trim_start_matches('[').trim_end_matches(']');
        bare.parse::<IpAddr>().is_ok()
            || name.eq_ignore_ascii_case("localhost")
            || self
                .hosts
                .iter()
                .any(|known| known == "*" || known.eq_ignore_ascii_case(name))
    }
}

/// The token that a request brings, whichever way.
fn given(headers: &HeaderMap) -> Option<Vec<u8>> {
    if let Some(token) = secret::bearer(headers) {
        return Some(token.to_vec());
    }
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, credentials) = value.trim().split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let pair = STANDARD.decode(credentials.trim()).ok()?;
    let colon = pair.iter().position(|byte| *byte == b':')?;
    Some(pair[colon + 1..].to_vec())
}

/// The routes for which a token is needed.
pub(super) fn routes(shared: &Arc<Shared>) -> Router<Arc<Shared>> {
    let guard = middleware::from_fn_with_state(Arc::clone(shared), guard);
    Router::new()
        .route("/metrics", get(health::metrics))
        .route("/api/v1/events/{event_id}", get(events::fate))
        .route("/api/v1/dead_letters", get(dead_letters::waiting))
        .route("/api/v1/dead_letters/replay", post(dead_letters::replay))
        .route("/live", get(live::page))
        .route("/live/", get(live::page))
        .route("/live/events", get(live::events))
        .route_layer(guard)
}

/// What a browser says of who made it send a request (<https://www.w3.org/TR/fetch-metadata/#sec-fetch-site-header>).
const SEC_FETCH_SITE: &str = "sec-fetch-site";

/// Refuses what pages of other sites ask for: a browser that knows the password would send it whoever asks.
pub(super) fn refuse_other_sites(headers: &HeaderMap) -> Result<(), Error> {
    match headers.get(SEC_FETCH_SITE).map(HeaderValue::as_bytes) {
        None | Some(b"same-origin" | b"none") => Ok(()),
        Some(_) => Err(Error::CrossSite),
    }
}

async fn guard(
    State(shared): State<Arc<Shared>>,
    request: Request,
    next: Next,
) -> Result<Response, Error> {
    shared.admin.check(request.uri(), request.headers())?;
    Ok(next.run(request).await)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "correct-horse-battery";

    fn admin(hosts: &[&str]) -> Admin {
        Admin::new(&AdminConfig {
            token: Some(Secret::new(TOKEN)),
            is_made_up: false,
            hosts: hosts.iter().map(|&host| host.to_owned()).collect(),
            listen: None,
        })
    }

    fn checked(admin: &Admin, pairs: &[(header::HeaderName, &str)]) -> Result<(), Error> {
        let pairs = pairs
            .iter()
            .map(|(name, value)| (name.clone(), value.parse().unwrap()));
        admin.check(&Uri::from_static("/metrics"), &pairs.collect())
    }

    #[test]
    fn the_token_is_taken_as_bearer_or_password_and_nothing_else() {
        let basic = |text: &str| format!("Basic {}", STANDARD.encode(text));
        for (value, is_right) in [
            (format!("Bearer {TOKEN}"), true),
            (format!("bearer  {TOKEN} "), true),
            (basic(&format!("anybody:{TOKEN}")), true),
            (basic(&format!(":{TOKEN}")), true),
            (TOKEN.to_owned(), false),
            ("Bearer ".to_owned(), false),
            ("Bearer".to_owned(), false),
            (format!("Bearer {TOKEN}x"), false),
            (format!("Token {TOKEN}"), false),
            (basic(TOKEN), false),
            ("Basic %%%".to_owned(), false),
        ] {
            let headers = [
                (header::HOST, "localhost:8080"),
                (header::AUTHORIZATION, value.as_str()),
            ];
            let expected = if is_right {
                Ok(())
            } else {
                Err(Error::Unauthorized)
            };
            assert_eq!(checked(&admin(&[]), &headers), expected, "{value}");
        }
        assert_eq!(
            checked(&admin(&[]), &[(header::HOST, "localhost")]),
            Err(Error::Unauthorized)
        );
    }

    #[test]
    fn hosts_that_are_not_known_lead_nowhere() {
        let bearer = format!("Bearer {TOKEN}");
        for (host, is_known) in [
            ("localhost", true),
            ("LocalHost:8080", true),
            ("127.0.0.1:8080", true),
            ("[::1]:8080", true),
            ("10.0.0.7", true),
            ("collect.shop.test", true),
            ("Collect.Shop.Test:443", true),
            ("evil.test", false),
            ("collect.shop.test.evil.test", false),
            ("localhost.evil.test", false),
            ("", false),
        ] {
            let headers = [
                (header::HOST, host),
                (header::AUTHORIZATION, bearer.as_str()),
            ];
            let expected = if is_known {
                Ok(())
            } else {
                Err(Error::UnknownHost)
            };
            assert_eq!(
                checked(&admin(&["collect.shop.test"]), &headers),
                expected,
                "{host}"
            );
        }
        let anywhere = [
            (header::HOST, "any.test"),
            (header::AUTHORIZATION, bearer.as_str()),
        ];
        assert_eq!(checked(&admin(&["*"]), &anywhere), Ok(()));
        assert_eq!(
            checked(&admin(&["*"]), &anywhere[1..]),
            Err(Error::UnknownHost)
        );
    }

    #[test]
    fn without_a_token_there_is_nothing() {
        let off = Admin::new(&AdminConfig {
            token: None,
            is_made_up: false,
            hosts: vec!["*".to_owned()],
            listen: None,
        });
        let headers = [
            (header::HOST, "localhost"),
            (header::AUTHORIZATION, "Bearer "),
        ];
        assert_eq!(checked(&off, &headers), Err(Error::NotFound));
    }
}
