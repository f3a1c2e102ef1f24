//! The client's address, from X-Forwarded-For and the connection.
//!
//! Each proxy appends the address that it saw, so only the last entries can be trusted: as many as
//! there are proxies of one's own. All that stands before them is the client's word and never counts.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::IpPolicy;

/// The address of the client.
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
    let mut entries = forwarded.rev().flat_map(|header| header.rsplit(','));
    let entry = entries.nth(skipped);
    entry.and_then(|entry| address(entry.trim())).or(peer)
}

/// An address with or without port, brackets, quotes.
fn address(entry: &str) -> Option<IpAddr> {
    let entry = entry.trim_matches('"');
    let bare = entry
        .strip_prefix('[')
        .and_then(|entry| entry.strip_suffix(']'));
    let address = match bare.unwrap_or(entry).parse() {
        Ok(address) => address,
        Err(_) => entry.parse::<SocketAddr>().ok()?.ip(),
    };
    Some(address.to_canonical())
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
mod tests {
    use super::*;

    const PEER: &str = "10.0.0.7";

    #[track_caller]
    fn check(headers: &[&str], hops: usize, expected: &str) {
        let found = client_ip(headers.iter().copied(), PEER.parse().ok(), hops);
        assert_eq!(
            found.unwrap().to_string(),
            expected,
            "{headers:?} with {hops} hops"
        );
    }

    #[test]
    fn only_trusted_entries_count_from_the_right() {
        check(&["203.0.113.9, 35.1.2.3"], 0, PEER);
        check(&["203.0.113.9, 35.1.2.3"], 1, "35.1.2.3");
        check(&["6.6.6.6, 203.0.113.9, 35.1.2.3"], 2, "203.0.113.9");
        check(&["6.6.6.6, 203.0.113.9", "35.1.2.3"], 2, "203.0.113.9");
        check(&["127.0.0.1, 8.8.8.8"], 1, "8.8.8.8");
    }

    #[test]
    fn junk_and_a_short_chain_fall_back_to_the_connection() {
        check(&[], 1, PEER);
        check(&["203.0.113.9"], 2, PEER);
        for junk in [
            "unknown",
            "",
            ",,,",
            "<script>",
            "1.2.3",
            "1.2.3.4.5",
            "a:b",
            "_hidden",
            "999.1.1.1",
        ] {
            check(&[junk], 1, PEER);
        }
        assert_eq!(client_ip(["x"].into_iter(), None, 1), None);
    }

    #[test]
    fn ports_brackets_and_mapped_addresses_are_taken_off() {
        check(&["203.0.113.9:4711"], 1, "203.0.113.9");
        check(&["[2001:db8::1]:443"], 1, "2001:db8::1");
        check(&["[2001:db8::1]"], 1, "2001:db8::1");
        check(&["\"2001:db8::1\""], 1, "2001:db8::1");
        check(&["::ffff:203.0.113.9"], 1, "203.0.113.9");
        assert_eq!(
            client_ip([].into_iter(), "::ffff:1.2.3.4".parse().ok(), 0),
            "1.2.3.4".parse().ok()
        );
    }

    #[test]
    fn the_policy_decides_what_is_stored() {
        let stored_as = |text: &str, policy| stored(text.parse().ok(), policy);
        assert_eq!(
            stored_as("203.0.113.9", IpPolicy::Full).as_deref(),
            Some("203.0.113.9")
        );
        assert_eq!(
            stored_as("203.0.113.9", IpPolicy::Truncated).as_deref(),
            Some("203.0.113.0")
        );
        assert_eq!(
            stored_as("::ffff:203.0.113.9", IpPolicy::Truncated).as_deref(),
            Some("203.0.113.0")
        );
        assert_eq!(
            stored_as("2001:db8:a:b::1", IpPolicy::Truncated).as_deref(),
            Some("2001:db8:a::")
        );
        assert_eq!(stored_as("203.0.113.9", IpPolicy::None), None);
    }
}
