//! Networks in CIDR notation, one a line: those of data centres, as cloud providers publish them.

use std::net::IpAddr;

/// Networks, as ranges of addresses that neither touch nor overlap.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks(Vec<(u128, u128)>);

/// A line is no network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {0} is no network such as 203.0.113.0/24")]
pub struct NoNetwork(pub usize);

/// An address as number, those of IPv4 within IPv6.
fn number(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().to_bits(),
        IpAddr::V6(ip) => ip.to_bits(),
    }
}

fn network(text: &str) -> Option<(u128, u128)> {
    let (ip, bits) = match text.split_once('/') {
        Some((ip, bits)) => (ip, Some(bits.parse::<u32>().ok()?)),
        None => (text, None),
    };
    let ip: IpAddr = ip.parse().ok()?;
    let width = if ip.is_ipv4() { 32 } else { 128 };
    let host = width - bits.unwrap_or(width).min(width);
    if bits.is_some_and(|bits| bits > width) {
        return None;
    }
    let mask = 1_u128.checked_shl(host).map_or(u128::MAX, |bit| bit - 1);
    Some((number(ip) & !mask, number(ip) | mask))
}

impl Networks {
    /// Reads a list. Empty lines count as nothing, and so does what follows a `#`.
    ///
    /// # Errors
    /// The first line that is no network.
    pub fn parse(list: &str) -> Result<Self, NoNetwork> {
        let mut ranges = Vec::new();
        for (at, line) in (1..).zip(list.lines()) {
            let text = line.split('#').next().unwrap_or_default().trim();
            if !text.is_empty() {
                ranges.push(network(text).ok_or(NoNetwork(at))?);
            }
        }
        ranges.sort_unstable();
        let mut merged: Vec<(u128, u128)> = Vec::with_capacity(ranges.len());
        for (first, last) in ranges {
            match merged.last_mut() {
                Some((_, end)) if first <= end.saturating_add(1) => *end = last.max(*end),
                _ => merged.push((first, last)),
            }
        }
        Ok(Self(merged))
    }

    /// How many ranges there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether an address is in one of them.
    pub fn contains(&self, ip: IpAddr) -> bool {
        let ip = number(ip);
        let after = self.0.partition_point(|(first, _)| *first <= ip);
        after > 0 && ip <= self.0[after - 1].1
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn addresses_are_found_in_networks() {
        let list = "# a cloud\n203.0.113.0/25\n203.0.113.128/25 # the other half\n\n2001:db8::/32\n198.51.100.7\n0.0.0.0/8\n";
        let networks = Networks::parse(list).unwrap();
        assert_eq!(networks.len(), 4);
        for (ip, is_in) in [
            ("203.0.113.0", true),
            ("203.0.113.255", true),
            ("203.0.114.0", false),
            ("203.0.112.255", false),
            ("::ffff:203.0.113.9", true),
            ("198.51.100.7", true),
            ("198.51.100.8", false),
            ("2001:db8:ffff::1", true),
            ("2001:db9::", false),
            ("::1", false),
            ("0.1.2.3", true),
        ] {
            assert_eq!(networks.contains(ip.parse().unwrap()), is_in, "{ip}");
        }
        assert!(
            Networks::parse("::/0")
                .unwrap()
                .contains("192.0.2.1".parse().unwrap())
        );
        assert!(!Networks::default().contains("192.0.2.1".parse().unwrap()));
    }

    #[test]
    fn the_wrong_line_is_named() {
        for wrong in ["203.0.113.0/33", "cloud", "203.0.113.0/x", "2001:db8::/129"] {
            assert_eq!(
                Networks::parse(&format!("\n{wrong}")),
                Err(NoNetwork(2)),
                "{wrong}"
            );
        }
    }

    proptest! {
        #[test]
        fn ranges_are_what_was_listed(listed in prop::collection::vec((any::<u32>(), 0..=32_u32), 0..8), asked in any::<u32>()) {
            let ip = |bits: u32| std::net::Ipv4Addr::from_bits(bits);
            let list: String = listed.iter().map(|(bits, length)| format!("{}/{length}\n", ip(*bits))).collect();
            let is_in = listed.iter().any(|(bits, length)| (bits ^ asked).checked_shr(32 - length).unwrap_or(0) == 0);
            prop_assert_eq!(Networks::parse(&list).unwrap().contains(IpAddr::V4(ip(asked))), is_in);
        }
    }
}
