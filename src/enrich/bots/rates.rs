//! How many events came from an address within a minute, in memory that does not grow.
//!
//! Addresses share cells by their hash. Who finds a cell taken by an address that sends much is not counted until the next minute, so
//! an address may go uncounted, and hardly ever counts for another one (one chance in four billion).

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use super::super::device::hash::Seeded;
use crate::clock::Micros;

/// Cells; 512 KiB in all.
const CELLS: usize = 1 << 16;

/// An address that has sent so much keeps its cell for the minute.
const KEEPS: u64 = 16;

const MICROS_PER_MINUTE: i64 = 60_000_000;

/// Counts by address and minute. A cell: 32 bits of the address's hash, 16 of the minute, 16 of the count.
#[derive(Debug)]
pub(super) struct Rates {
    seed: Seeded,
    cells: Box<[AtomicU64]>,
}

impl Default for Rates {
    fn default() -> Self {
        Self {
            seed: Seeded::new(),
            cells: (0..CELLS).map(|_| AtomicU64::new(0)).collect(),
        }
    }
}

impl Rates {
    /// Counts an event, and tells how many there were within this minute. Of IPv6 the network counts, /64.
    pub(super) fn count(&self, ip: IpAddr, at: Micros) -> u32 {
        let hash = match ip.to_canonical() {
            IpAddr::V4(ip) => self.seed.of(&ip.octets()),
            IpAddr::V6(ip) => self.seed.of(&ip.octets()[..8]),
        };
        let minute = at.0.div_euclid(MICROS_PER_MINUTE) as u64 & 0xFFFF;
        let owner = hash & !0xFFFF_FFFF | minute << 16;
        let cell = &self.cells[hash as usize % CELLS];
        let now = cell.load(Ordering::Relaxed);
        let count = now & 0xFFFF;
        let next = match (now & !0xFFFF == owner, now >> 16 & 0xFFFF == minute) {
            (true, _) => owner | (count + 1).min(0xFFFF),
            (false, true) if count >= KEEPS => return 1,
            (false, _) => owner | 1,
        };
        // A count that is lost because two wrote at once does not matter.
        cell.store(next, Ordering::Relaxed);
        (next & 0xFFFF) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_counted_by_the_minute() {
        let rates = Rates::default();
        let (one, other) = (
            IpAddr::from([203, 0, 113, 9]),
            IpAddr::from([198, 51, 100, 7]),
        );
        let minute = |number: i64| Micros(number * MICROS_PER_MINUTE);
        for expected in 1..=1000 {
            assert_eq!(rates.count(one, minute(28_000_000)), expected);
        }
        assert_eq!(rates.count(other, minute(28_000_000)), 1);
        assert_eq!(rates.count(one, minute(28_000_001)), 1);
        let mapped = "::ffff:203.0.113.9".parse().unwrap();
        assert_eq!(rates.count(mapped, minute(28_000_001)), 2);
    }

    #[test]
    fn a_network_of_ipv6_is_one_address() {
        let rates = Rates::default();
        for (expected, ip) in (1..).zip(["2001:db8:1:2::1", "2001:db8:1:2:ffff::2"]) {
            assert_eq!(rates.count(ip.parse().unwrap(), Micros(0)), expected);
        }
        assert_eq!(
            rates.count("2001:db8:1:3::1".parse().unwrap(), Micros(0)),
            1
        );
    }

    #[test]
    fn a_crowd_does_not_hide_who_sends_much() {
        let rates = Rates::default();
        let loud = IpAddr::from([203, 0, 113, 9]);
        for _ in 0..KEEPS {
            rates.count(loud, Micros(0));
        }
        for number in 0..200_000_u32 {
            rates.count(IpAddr::from(number.to_be_bytes()), Micros(0));
        }
        assert!(rates.count(loud, Micros(0)) > KEEPS as u32);
    }
}
