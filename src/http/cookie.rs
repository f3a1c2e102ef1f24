//! The cookie `__uid__`: how a browser is told again. Set by the server, so that it outlives the seven
//! days that some browsers give to cookies of scripts (<https://webkit.org/blog/8613/>).
//!
//! It says only how the cookie is set. Which value is taken from a client is `enrich::identity`'s choice.

use std::borrow::Cow;
use std::time::Duration;

use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, header};

/// Its name.
const NAME: &str = "__uid__";

const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// How the cookie is set (<https://www.rfc-editor.org/rfc/rfc6265>).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CookieConfig {
    /// How long it lasts from the last visit on.
    pub max_age: Duration,
    /// Only over https, where the request came over it.
    pub secure: bool,
    /// Out of reach of scripts.
    pub http_only: bool,
    /// Which sites' requests carry it.
    pub same_site: SameSite,
}

/// Which sites' requests carry the cookie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SameSite {
    /// All sites'. Browsers want it secure then.
    None,
    /// The same site's, and links from others.
    Lax,
    /// The same site's.
    Strict,
}

impl SameSite {
    fn text(self) -> &'static str {
        match self {
            Self::None => "None",
            Self::Lax => "Lax",
            Self::Strict => "Strict",
        }
    }
}

/// The value that a browser sent: the first of that name, for browsers send the one with the longer path,
/// then the older, first (<https://www.rfc-editor.org/rfc/rfc6265#section-5.4>).
pub(super) fn sent(headers: &HeaderMap) -> Option<&str> {
    let lines = headers.get_all(header::COOKIE).iter();
    let lines = lines.filter_map(|value| value.to_str().ok());
    lines.flat_map(|line| line.split(';')).find_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        (name.trim() == NAME).then(|| value.trim())
    })
}

/// The cookie as it is set, with what never changes written beforehand.
#[derive(Debug)]
pub struct Cookie {
    secure: bool,
    /// The attributes over https, and otherwise.
    attributes: [String; 2],
}

impl Cookie {
    /// The cookie that this configuration says.
    pub fn new(config: &CookieConfig) -> Self {
        let attributes = |secure: bool| {
            let same_site = match config.same_site {
                // Browsers drop a cookie for all sites that is not secure.
                SameSite::None if !secure => SameSite::Lax,
                same_site => same_site,
            };
            format!(
                "; Path=/; Max-Age={}{}{}; SameSite={}",
                config.max_age.as_secs(),
                if config.http_only { "; HttpOnly" } else { "" },
                if secure { "; Secure" } else { "" },
                same_site.text()
            )
        };
        Self {
            secure: config.secure,
            attributes: [attributes(true), attributes(false)],
        }
    }

    /// `Set-Cookie` with this value, which [`identity`](crate::enrich::identity) found safe.
    pub(super) fn set(&self, value: &str, head: &Parts) -> Option<HeaderValue> {
        let secure = self.secure && is_https(head);
        let host = host(head);
        let domain = host.as_deref().and_then(registrable_domain);
        let parts = [
            NAME,
            "=",
            value,
            if domain.is_some() { "; Domain=" } else { "" },
            domain.unwrap_or_default(),
            &self.attributes[usize::from(!secure)],
        ];
        HeaderValue::try_from(parts.concat()).ok()
    }
}

/// Whether the client's half of the way is https. Whoever lies here harms their own cookie only.
fn is_https(head: &Parts) -> bool {
    let forwarded = head.headers.get(FORWARDED_PROTO);
    match forwarded.and_then(|value| value.to_str().ok()) {
        Some(protocols) => protocols
            .rsplit(',')
            .next()
            .is_some_and(|protocol| protocol.trim().eq_ignore_ascii_case("https")),
        None => head.uri.scheme() == Some(&http::uri::Scheme::HTTPS),
    }
}

/// The host that the client asked for, without its port, in lower case. `None` for an address of IPv6.
fn host(head: &Parts) -> Option<Cow<'_, str>> {
    let authority = match head.headers.get(header::HOST) {
        Some(host) => host.to_str().ok()?,
        None => head.uri.authority()?.as_str(),
    };
    let host = authority.split(':').next().unwrap_or_default();
    let is_host = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    if !host.bytes().all(is_host) {
        return None;
    }
    if host.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Some(host.to_ascii_lowercase().into());
    }
    Some(host.into())
}

/// The domain for which a browser accepts a cookie of this host: never a public suffix, nor that of a
/// hoster under which anybody can have a name (<https://publicsuffix.org/>). `None`: the host alone.
fn registrable_domain(host: &str) -> Option<&str> {
    // The last label of an address is a number, that of a domain never.
    let last = host.rsplit('.').next().unwrap_or_default();
    let is_address = last.bytes().all(|byte| byte.is_ascii_digit());
    if is_address || !host.contains('.') {
        return None;
    }
    psl::domain_str(host)
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    const CONFIG: CookieConfig = CookieConfig {
        max_age: Duration::from_secs(63_072_000),
        secure: true,
        http_only: true,
        same_site: SameSite::None,
    };

    fn head(host: &str, protocol: Option<&str>) -> Parts {
        let mut request = Request::post("/").header("Host", host);
        if let Some(protocol) = protocol {
            request = request.header("X-Forwarded-Proto", protocol);
        }
        request.body(()).unwrap().into_parts().0
    }

    fn set(config: CookieConfig, host: &str, protocol: Option<&str>) -> String {
        let cookie = Cookie::new(&config);
        let value = cookie.set("u.1", &head(host, protocol)).unwrap();
        value.to_str().unwrap().to_owned()
    }

    #[test]
    fn over_https_it_is_as_configured() {
        assert_eq!(
            set(CONFIG, "api.shop.example.com", Some("https")),
            "__uid__=u.1; Domain=example.com; Path=/; Max-Age=63072000; HttpOnly; Secure; SameSite=None"
        );
        let readable = CookieConfig {
            http_only: false,
            same_site: SameSite::Strict,
            ..CONFIG
        };
        assert_eq!(
            set(readable, "example.com:443", Some("http, HTTPS")),
            "__uid__=u.1; Domain=example.com; Path=/; Max-Age=63072000; Secure; SameSite=Strict"
        );
    }

    #[test]
    fn what_is_not_secure_stays_on_its_site() {
        let expected = "__uid__=u.1; Path=/; Max-Age=63072000; HttpOnly; SameSite=Lax";
        for protocol in [None, Some("http"), Some("https, http")] {
            assert_eq!(set(CONFIG, "localhost:8080", protocol), expected);
        }
        let config = CookieConfig {
            secure: false,
            ..CONFIG
        };
        assert_eq!(set(config, "localhost", Some("https")), expected);
    }

    #[test]
    fn the_domain_is_one_that_browsers_accept() {
        for (host, domain) in [
            ("collect.example.com", Some("example.com")),
            ("a.b.foo.co.uk", Some("foo.co.uk")),
            ("Collect.Example.COM", Some("example.com")),
            ("x-uc.a.run.app", Some("x-uc.a.run.app")),
            ("someone.github.io", Some("someone.github.io")),
            ("github.io", None),
            ("co.uk", None),
            ("localhost", None),
            ("127.0.0.1", None),
            ("[::1]", None),
            ("example.com.", None),
            ("", None),
            ("a;b.example.com", None),
            ("user@example.com", None),
        ] {
            let found = set(CONFIG, host, None);
            let found = found
                .split("; ")
                .find_map(|part| part.strip_prefix("Domain="));
            assert_eq!(found, domain, "{host}");
        }
    }

    #[test]
    fn the_first_cookie_of_that_name_counts() {
        let mut headers = HeaderMap::new();
        headers.append(
            "cookie",
            HeaderValue::from_static("a=1; __uid__=first; __uid__=2"),
        );
        headers.append("cookie", HeaderValue::from_static("__uid__=3"));
        assert_eq!(sent(&headers), Some("first"));
        assert_eq!(sent(&HeaderMap::new()), None);
    }
}
