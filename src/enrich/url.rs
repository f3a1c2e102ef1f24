//! Splits addresses of pages into the two parts that matter here: host and parameters.
//!
//! It takes any text and never fails: what has no host that could be one has none. It does not
//! resolve, normalise or check the rest.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

/// Longest host name (RFC 1035), in bytes.
const MAX_HOST: usize = 253;

/// The host of an absolute address, in lower case, without user, port, brackets and final dot.
pub(super) fn host(url: &str) -> Option<String> {
    let (scheme, rest) = url.trim().split_once(':')?;
    let rest = rest.strip_prefix("//")?;
    let is_scheme_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    if scheme.is_empty() || !scheme.bytes().all(is_scheme_byte) {
        return None;
    }
    let mut bytes = rest.bytes();
    let end = bytes.position(|byte| matches!(byte, b'/' | b'?' | b'#' | b'\\'));
    let authority = &rest[..end.unwrap_or(rest.len())];
    let host_and_port = authority.rsplit('@').next()?;
    if let Some(literal) = host_and_port.strip_prefix('[') {
        let (address, _port) = literal.split_once(']')?;
        return address
            .parse::<std::net::Ipv6Addr>()
            .ok()
            .map(|address| address.to_string());
    }
    host_name(host_and_port.split(':').next()?)
}

/// A text as a host name, in lower case and without final dot, if it can be one.
pub(super) fn host_name(text: &str) -> Option<String> {
    let host = text.trim_end_matches('.');
    if host.is_empty() || host.len() > MAX_HOST {
        return None;
    }
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    if host.is_ascii() {
        return host.bytes().all(is_part).then(|| host.to_ascii_lowercase());
    }
    let is_part = |c: char| match u8::try_from(c) {
        Ok(byte) if byte.is_ascii() => is_part(byte),
        _ => c.is_alphanumeric(),
    };
    host.chars().all(is_part).then(|| host.to_lowercase())
}

/// The parameters of an address's query, then those of its fragment (`#utm_source=a`, `#/path?utm_source=a`), in order, not decoded.
/// Those without a value are left out.
pub(super) fn parameters(url: &str) -> impl Iterator<Item = (&str, &str)> {
    let (address, fragment) = url.split_once('#').unwrap_or((url, ""));
    let query = address.split_once('?').map_or("", |(_, query)| query);
    let fragment = fragment
        .split_once('?')
        .map_or(fragment, |(_, query)| query);
    query
        .split('&')
        .chain(fragment.split('&'))
        .filter_map(|pair| pair.split_once('='))
        .filter(|(_, value)| !value.is_empty())
}

/// A key or value of a query as text: `+` is a space, what is not UTF-8 becomes U+FFFD.
pub(super) fn decode(text: &str) -> Cow<'_, str> {
    if !text.bytes().any(|byte| matches!(byte, b'+' | b'%')) {
        return Cow::Borrowed(text);
    }
    let spaced = text.replace('+', " ");
    Cow::Owned(percent_decode_str(&spaced).decode_utf8_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn hosts_are_found_where_there_is_one() {
        for (url, expected) in [
            ("https://Shop.Example.com/a?b#c", Some("shop.example.com")),
            ("https://shop.test:8443/", Some("shop.test")),
            ("https://user:pw@shop.test", Some("shop.test")),
            ("https://shop.test?x=1", Some("shop.test")),
            ("https://shop.test#x", Some("shop.test")),
            ("https://shop.test./", Some("shop.test")),
            ("http://[::1]:80/", Some("::1")),
            ("http://[::1", None),
            ("https://[bad/", None),
            ("http://127.0.0.1/", Some("127.0.0.1")),
            (
                "android-app://com.google.android.gm/",
                Some("com.google.android.gm"),
            ),
            ("https://пример.укр/", Some("пример.укр")),
            ("/relative?x=1", None),
            ("javascript:alert(1)", None),
            ("https://", None),
            ("https://a b/", None),
            ("https://<script>/", None),
            ("", None),
        ] {
            assert_eq!(host(url).as_deref(), expected, "{url}");
        }
    }

    #[test]
    fn parameters_are_those_of_query_and_fragment_that_are_not_blank() {
        for (url, expected) in [
            (
                "https://a.test/?x=1&y=&z&w=a=b?c#d=1&e",
                &[("x", "1"), ("w", "a=b?c"), ("d", "1")] as &[_],
            ),
            ("https://a.test/#?x=1", &[("x", "1")]),
            ("https://a.test/#/path?x=1&y=2", &[("x", "1"), ("y", "2")]),
            ("https://a.test/?x=1#top", &[("x", "1")]),
            ("https://a.test/#a#b=1", &[("a#b", "1")]),
            ("x=1", &[]),
        ] {
            let found: Vec<_> = parameters(url).collect();
            assert_eq!(found, expected, "{url}");
        }
    }

    #[test]
    fn plus_and_percent_are_decoded() {
        for (text, expected) in [
            ("a+b%20c", "a b c"),
            ("%2B", "+"),
            ("%zz%4", "%zz%4"),
            ("%c3%28", "\u{fffd}("),
            ("S%C3%A3o", "São"),
        ] {
            assert_eq!(decode(text), expected);
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(url in "\\PC*", tail in "[\\[\\]:/?#@%&=+.\\\\a]{0,20}") {
            for url in [url.clone(), format!("https://{tail}"), format!("https://{url}{tail}")] {
                host(&url);
                for (key, value) in parameters(&url) {
                    decode(key);
                    decode(value);
                }
            }
        }
    }
}
