//! The client's address, from what proxies of one's own vouch for, and the connection.
//!
//! Each proxy appends the address that it saw to X-Forwarded-For or Forwarded, so only the last entries can be trusted: as
//! many as there are proxies of one's own. All that stands before them is the client's word and never counts. A platform
//! that tells the client's address in a header of its own is believed only where it is configured to be in front.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use http::{HeaderMap, HeaderName};

use super::IpPolicy;
use super::explain::Step;
use super::visit::header_text;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// What stands in front of the collector and writes headers of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Platform {
    /// Nothing, or proxies that write X-Forwarded-For or Forwarded.
    #[default]
    None,
    /// Application load balancer of Google Cloud: its X-Forwarded-For ends with the client's address and its own.
    Google,
    /// App Engine.
    AppEngine,
    /// Cloudflare.
    Cloudflare,
    /// Amazon CloudFront.
    CloudFront,
    /// Fastly.
    Fastly,
    /// Vercel.
    Vercel,
    /// Akamai, or another that sets True-Client-IP.
    Akamai,
}

impl Platform {
    /// The header in which it tells the client's address.
    pub const fn header(self) -> Option<HeaderName> {
        Some(HeaderName::from_static(match self {
            Self::None | Self::Google => return None,
            Self::AppEngine => "x-appengine-user-ip",
            Self::Cloudflare => "cf-connecting-ip",
            Self::CloudFront => "cloudfront-viewer-address",
            Self::Fastly => "fastly-client-ip",
            Self::Vercel => "x-vercel-forwarded-for",
            Self::Akamai => "true-client-ip",
        }))
    }
}

/// The header to which proxies append.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HopsHeader {
    /// X-Forwarded-For.
    #[default]
    ForwardedFor,
    /// Forwarded (RFC 7239).
    Forwarded,
}

impl HopsHeader {
    /// Its name.
    pub const fn name(self) -> HeaderName {
        match self {
            Self::ForwardedFor => FORWARDED_FOR,
            Self::Forwarded => http::header::FORWARDED,
        }
    }
}

/// Whose word on the client's address counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Trust {
    /// What is in front.
    pub platform: Platform,
    /// Proxies that append to the header; with 0 the connection's address counts.
    pub hops: usize,
    /// The header to which they append.
    pub header: HopsHeader,
}

/// What told the client's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Platform,
    Hops,
    Connection,
}

impl Trust {
    /// The address of the client: by the platform's header if there is one, else by the entry that the proxies vouch for.
    /// Where there is none, or it is no address, it is that of the connection.
    pub fn client_ip(&self, headers: &HeaderMap, peer: Option<IpAddr>) -> Option<IpAddr> {
        let (address, _) = self.by_headers(headers);
        address.or(peer.map(|peer| peer.to_canonical()))
    }

    /// How many entries the header has to which proxies append.
    pub fn entries(&self, headers: &HeaderMap) -> usize {
        let values = headers.get_all(self.header.name()).iter();
        let entries = values.map(|value| match self.header {
            HopsHeader::ForwardedFor => value.as_bytes().split(|byte| *byte == b',').count(),
            HopsHeader::Forwarded => elements_from_right(&header_text(value.as_bytes())).count(),
        });
        entries.sum()
    }

    fn by_headers(&self, headers: &HeaderMap) -> (Option<IpAddr>, Told) {
        if let Some(address) = self.by_platform(headers) {
            return (Some(address), Told::Platform);
        }
        match self.by_hops(headers) {
            Some(address) => (Some(address), Told::Hops),
            None => (None, Told::Connection),
        }
    }

    fn by_platform(&self, headers: &HeaderMap) -> Option<IpAddr> {
        let mut values = headers.get_all(self.platform.header()?).iter();
        let value = header_text(values.next()?.as_bytes());
        // The platform writes one; a second is somebody else's.
        if values.next().is_some() {
            return None;
        }
        match self.platform {
            // Its port is always there, and addresses of version 6 have no brackets.
            Platform::CloudFront => value
                .rsplit_once(':')
                .and_then(|(address_only, _port)| address(address_only))
                .or_else(|| address(&value)),
            _ => address(&value),
        }
    }

    fn by_hops(&self, headers: &HeaderMap) -> Option<IpAddr> {
        let last = self.hops.checked_sub(1)?;
        match self.header {
            HopsHeader::ForwardedFor => {
                let values = headers.get_all(FORWARDED_FOR).iter().rev();
                for_entry(values.map(|value| header_text(value.as_bytes())), last)
            }
            HopsHeader::Forwarded => {
                let values = headers.get_all(http::header::FORWARDED).iter().rev();
                let mut skip = last;
                for value in values {
                    let value = header_text(value.as_bytes());
                    if let Some(element) = elements_from_right(&value).nth(skip) {
                        return forwarded_for(element);
                    }
                    skip -= elements_from_right(&value).count();
                }
                None
            }
        }
    }

    /// What was seen and which rule decided; what is stored is filled in by the caller.
    pub(super) fn explained(&self, headers: &HeaderMap) -> Step {
        let rule = match self.by_headers(headers).1 {
            Told::Platform => "header of the platform".to_owned(),
            Told::Hops => format!("entry {} from the right", self.hops),
            Told::Connection => "address of the connection".to_owned(),
        };
        let text = |name: &HeaderName| {
            let values = headers.get_all(name).iter();
            let values: Vec<_> = values.map(|value| header_text(value.as_bytes())).collect();
            (!values.is_empty()).then(|| values.join(", "))
        };
        let mut step = Step::new("client_ip", rule);
        if let Some(header) = self.platform.header() {
            step = step.saw(header.as_str().to_owned(), text(&header));
        }
        let header = self.header.name();
        step.saw(header.as_str().to_owned(), text(&header))
    }
}

/// The address of the client by X-Forwarded-For alone.
///
/// `forwarded` holds the values of all X-Forwarded-For headers in order. With `trusted_hops` 0, too
/// few entries, or one that is no address, it is that of the connection.
pub fn client_ip<'h>(
    forwarded: impl DoubleEndedIterator<Item = &'h str>,
    peer: Option<IpAddr>,
    trusted_hops: usize,
) -> Option<IpAddr> {
    let peer = peer.map(|address| address.to_canonical());
    let Some(skipped) = trusted_hops.checked_sub(1) else {
        return peer;
    };
    for_entry(forwarded.rev(), skipped).or(peer)
}

/// The entry of X-Forwarded-For before `skip` others at its end; the headers come last first.
fn for_entry<T: AsRef<str>>(headers: impl Iterator<Item = T>, mut skip: usize) -> Option<IpAddr> {
    for header in headers {
        let header = header.as_ref();
        if let Some(entry) = header.rsplit(',').nth(skip) {
            return address(entry);
        }
        skip -= header.split(',').count();
    }
    None
}

/// The elements of a Forwarded header, last first.
///
/// It is read from the right, so that a quote which the client left open cannot swallow what proxies appended.
fn elements_from_right(value: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(value);
    std::iter::from_fn(move || {
        let text = rest?;
        let mut is_quoted = false;
        let comma = text.bytes().rposition(|byte| {
            is_quoted ^= byte == b'"';
            byte == b',' && !is_quoted
        });
        let (before, element) = match comma {
            Some(comma) => (Some(&text[..comma]), &text[comma + 1..]),
            None => (None, text),
        };
        rest = before;
        Some(element)
    })
}

/// The address in the `for` of an element of Forwarded.
fn forwarded_for(element: &str) -> Option<IpAddr> {
    let mut pairs = element.split(';').filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.find(|(name, _)| name.trim().eq_ignore_ascii_case("for"))?;
    address(value)
}

/// An address with or without port, brackets, quotes. One that nobody can have is none.
fn address(entry: &str) -> Option<IpAddr> {
    let entry = entry.trim().trim_matches('"');
    let bare = entry
        .strip_prefix('[')
        .and_then(|entry| entry.strip_suffix(']'));
    let address = match bare.unwrap_or(entry).parse() {
        Ok(address) => address,
        Err(_) => entry.parse::<SocketAddr>().ok()?.ip(),
    };
    let address: IpAddr = address.to_canonical();
    (!address.is_unspecified()).then_some(address)
}

/// What of an address is stored.
pub(super) fn stored(address: Option<IpAddr>, policy: IpPolicy) -> Option<String> {
    let address = address?.to_canonical();
    match (policy, address) {
        (IpPolicy::None, _) => None,
        (IpPolicy::Full, address) => Some(address.to_string()),
        (IpPolicy::Truncated, IpAddr::V4(v4)) => {
            let [a, b, c, _] = v4.octets();
            Some(Ipv4Addr::new(a, b, c, 0).to_string())
        }
        (IpPolicy::Truncated, IpAddr::V6(v6)) => {
            let [a, b, c, ..] = v6.segments();
            Some(Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0).to_string())
        }
    }
}

#[cfg(test)]
mod tests;
