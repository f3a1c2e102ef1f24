//! Cookies: `__uid__`, by which a browser is told again, where wanted its twin that scripts can read, and for each stream
//! `__sid_{stream_id}__`, the session. Set by the server, so that they outlive the seven days that some browsers give to cookies
//! of scripts (<https://webkit.org/blog/8613/>).
//!
//! It says only how they are set. Which value is taken from a client is `enrich::identity`'s and `enrich::session`'s choice.

use std::borrow::Cow;
use std::time::Duration;

use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, header};

/// The cookie of the browser's id.
pub(super) const USER: &str = "__uid__";

/// The cookie of Google Analytics.
pub(super) const GOOGLE_ANALYTICS: &str = "_ga";

/// The cookie of a stream's sessions. Stream ids are made of what names of cookies may have.
pub(super) fn session(stream_id: &str) -> String {
    format!("__sid_{stream_id}__")
}

const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// How cookies are set (<https://www.rfc-editor.org/rfc/rfc6265>).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CookieConfig {
    /// How long they last from the last visit on.
    pub max_age: Duration,
    /// Only over https, where the request came over it.
    pub secure: bool,
    /// Out of reach of scripts.
    pub http_only: bool,
    /// Which sites' requests carry it.
    pub same_site: SameSite,
    /// Name of a further cookie with the browser's id, which scripts can read.
    pub readable: Option<String>,
}

/// Whether a text can be the name of a cookie.
pub fn is_cookie_name(text: &str) -> bool {
    let is_safe = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
    !text.is_empty() && text.bytes().all(is_safe)
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

/// The value of a cookie that a browser sent: the first of that name, for browsers send the one with the longer path,
/// then the older, first (<https://www.rfc-editor.org/rfc/rfc6265#section-5.4>).
pub(super) fn sent<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let lines = headers.get_all(header::COOKIE).iter();
    // As bytes: another cookie of the site may hold anything.
    let mut pairs = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b';'));
    pairs.find_map(|pair| {
        let equals = memchr::memchr(b'=', pair)?;
        let (found, value) = (&pair[..equals], &pair[equals + 1..]);
        let is_it = found.trim_ascii() == name.as_bytes();
        is_it.then(|| std::str::from_utf8(value.trim_ascii()).ok())?
    })
}

/// Cookies as they are set, with what never changes written beforehand.
#[derive(Debug)]
pub struct Cookie {
    secure: bool,
    readable: Option<String>,
    /// The attributes over https, and otherwise.
    attributes: [String; 2],
    /// The same of what scripts can read.
    readable_attributes: [String; 2],
}

/// The `Set-Cookie` headers of an answer: the browser's id, its twin, the session.
#[derive(Debug, Default)]
pub(super) struct SetCookies([Option<HeaderValue>; 3]);

impl SetCookies {
    /// Adds them to an answer.
    pub(super) fn add_to(self, headers: &mut HeaderMap) {
        for cookie in self.0.into_iter().flatten() {
            headers.append(header::SET_COOKIE, cookie);
        }
    }
}

impl Cookie {
    /// The cookies that this configuration says.
    pub fn new(config: &CookieConfig) -> Self {
        let attributes = |secure: bool, http_only: bool| {
            let same_site = match config.same_site {
                // Browsers drop a cookie for all sites that is not secure.
                SameSite::None if !secure => SameSite::Lax,
                same_site => same_site,
            };
            format!(
                "; Path=/; Max-Age={}{}{}; SameSite={}",
                config.max_age.as_secs(),
                if http_only { "; HttpOnly" } else { "" },
                if secure { "; Secure" } else { "" },
                same_site.text()
            )
        };
        let both = |http_only| [attributes(true, http_only), attributes(false, http_only)];
        Self {
            secure: config.secure,
            readable: config.readable.clone(),
            attributes: both(config.http_only),
            readable_attributes: both(false),
        }
    }

    /// The cookies that tell the browser and, if it has one, its session, by name and value: values that
    /// [`identity`](crate::enrich::identity) and [`session`](crate::enrich::session) found safe.
    pub(super) fn set(
        &self,
        user_pseudo_id: &str,
        session: Option<(&str, &str)>,
        head: &Parts,
    ) -> SetCookies {
        let secure = self.secure && is_https(head);
        let host = host(head);
        let domain = host.as_deref().and_then(registrable_domain);
        let cookie = |name: &str, value: &str, attributes: &[String; 2]| {
            let parts = [
                name,
                "=",
                value,
                if domain.is_some() { "; Domain=" } else { "" },
                domain.unwrap_or_default(),
                &attributes[usize::from(!secure)],
            ];
            HeaderValue::try_from(parts.concat()).ok()
        };
        let readable = self.readable.as_deref();
        SetCookies([
            cookie(USER, user_pseudo_id, &self.attributes),
            readable.and_then(|name| cookie(name, user_pseudo_id, &self.readable_attributes)),
            session.and_then(|(name, value)| cookie(name, value, &self.attributes)),
        ])
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
pub(super) fn host(head: &Parts) -> Option<Cow<'_, str>> {
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
pub(super) fn registrable_domain(host: &str) -> Option<&str> {
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
        readable: None,
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
        let mut cookies = HeaderMap::new();
        cookie
            .set("u.1", None, &head(host, protocol))
            .add_to(&mut cookies);
        cookies[header::SET_COOKIE].to_str().unwrap().to_owned()
    }

    #[test]
    fn the_twin_is_readable_and_the_session_is_not() {
        let config = CookieConfig {
            readable: Some("uid".to_owned()),
            ..CONFIG
        };
        let mut cookies = HeaderMap::new();
        Cookie::new(&config)
            .set(
                "u.1",
                Some((&session("a-1"), "x.y")),
                &head("localhost", None),
            )
            .add_to(&mut cookies);
        let all = cookies.get_all(header::SET_COOKIE).iter();
        let all: Vec<_> = all.map(|value| value.to_str().unwrap()).collect();
        assert_eq!(
            all,
            [
                "__uid__=u.1; Path=/; Max-Age=63072000; HttpOnly; SameSite=Lax",
                "uid=u.1; Path=/; Max-Age=63072000; SameSite=Lax",
                "__sid_a-1__=x.y; Path=/; Max-Age=63072000; HttpOnly; SameSite=Lax",
            ]
        );
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
        assert_eq!(sent(&headers, USER), Some("first"));
        assert_eq!(sent(&headers, "a"), Some("1"));
        assert_eq!(sent(&headers, "uid__"), None);
        assert_eq!(sent(&HeaderMap::new(), USER), None);
    }
}
