//! An id for the day of who denied storage, where the configuration wants one: nothing is kept at the visitor, and no address here.
//!
//! It is a keyed hash of the truncated address, the User-Agent and the site, with a salt of the day that is derived from a configured key,
//! so that all instances find the same id and nobody finds the visitor from it, nor tomorrow's id from today's. A visit that is under way at
//! midnight goes on under yesterday's id: this instance remembers which ids it saw lately, in bounded memory. Another instance cannot know that.

use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use http::header;
use quick_cache::sync::Cache;
use sha2::Sha256;

use super::key::Key;
use super::{IpPolicy, Visit, client_ip, url};
use crate::clock::Micros;

/// Most ids that are remembered.
const REMEMBERED: usize = 50_000;

/// See the module.
#[derive(Debug)]
pub(super) struct Cookieless {
    key: Key,
    /// How long a visit may pause.
    pause: Duration,
    /// When an id was seen last.
    seen: Cache<u128, Micros>,
}

impl Cookieless {
    pub(super) fn new(key: Key, pause: Duration) -> Self {
        Self {
            key,
            pause,
            seen: Cache::new(REMEMBERED),
        }
    }

    /// The id on this day, counted since 1970; `None` where the address or the User-Agent is not known: it would be that of strangers too.
    pub(super) fn id(&self, visit: &Visit<'_>, page: Option<&str>, day: i32) -> Option<String> {
        let ip = client_ip::stored(visit.client_ip, IpPolicy::Truncated)?;
        let user_agent = visit.header(&header::USER_AGENT)?;
        let site = site(visit, page);
        let of_day = |day: i32| {
            let salt = self.key.hash(b"cookieless salt", &[&day.to_le_bytes()]);
            // A key of any length makes a hash.
            let mut hash = Hmac::<Sha256>::new_from_slice(&salt).ok()?;
            for part in [&*visit.stream_id, &site, &ip, &user_agent] {
                hash.update(&(part.len() as u64).to_le_bytes());
                hash.update(part.as_bytes());
            }
            let bytes: [u8; 32] = hash.finalize().into_bytes().into();
            let (half, _) = bytes.split_first_chunk::<16>()?;
            Some(u128::from_be_bytes(*half))
        };
        let now = visit.received_at;
        let yesterdays = of_day(day.wrapping_sub(1))?;
        let goes_on = self
            .seen
            .get(&yesterdays)
            .is_some_and(|seen| now.since(seen) <= self.pause);
        let id = match goes_on {
            true => yesterdays,
            false => of_day(day)?,
        };
        self.seen.insert(id, now);
        Some(format!("{id:032x}"))
    }
}

/// The site that sent the event: what its browser says of it, else the page's address. Its registrable domain.
fn site(visit: &Visit<'_>, page: Option<&str>) -> String {
    let of = |name| visit.header(name).as_deref().and_then(url::host);
    let host = of(&header::ORIGIN)
        .or_else(|| of(&header::REFERER))
        .or_else(|| page.and_then(url::host));
    let host = host.unwrap_or_default();
    psl::domain_str(&host).unwrap_or(&host).to_owned()
}

#[cfg(test)]
mod tests {
    use super::super::visit::headers;
    use super::*;

    const PAUSE: Duration = Duration::from_secs(1800);
    const DAY: i64 = 86_400_000_000;

    fn made_with(key: &str) -> Cookieless {
        Cookieless::new(Key::new(key), PAUSE)
    }

    fn id(of: &Cookieless, ip: &str, user_agent: &str, micros: i64) -> Option<String> {
        let headers = headers([(header::USER_AGENT, user_agent)]);
        let visit = Visit {
            received_at: Micros(micros),
            stream_id: "1".into(),
            client_ip: ip.parse().ok(),
            headers: &headers,
            ..Visit::default()
        };
        of.id(
            &visit,
            Some("https://www.shop.test/"),
            i32::try_from(micros.div_euclid(DAY)).unwrap(),
        )
    }

    #[test]
    fn instances_agree_and_nothing_but_the_visitor_decides() {
        let (one, other) = (made_with("a key of sixteen"), made_with("a key of sixteen"));
        let first = id(&one, "203.0.113.9", "x", 10 * DAY).unwrap();
        assert_eq!(first.len(), 32);
        assert_eq!(
            Some(&first),
            id(&other, "203.0.113.77", "x", 10 * DAY + 5).as_ref()
        );
        for (ip, user_agent, key) in [
            ("203.0.114.9", "x", "a key of sixteen"),
            ("203.0.113.9", "y", "a key of sixteen"),
            ("203.0.113.9", "x", "another key, also long"),
        ] {
            let found = id(&made_with(key), ip, user_agent, 10 * DAY);
            assert_ne!(found.as_ref(), Some(&first), "{ip} {user_agent} {key}");
        }
        assert_eq!(id(&one, "", "x", 10 * DAY), None);
        assert_eq!(id(&one, "203.0.113.9", "", 10 * DAY), None);
    }

    #[test]
    fn it_changes_by_day_but_not_within_a_visit() {
        let minute = 60_000_000;
        let of = made_with("a key of sixteen");
        let at = |micros| id(&of, "2001:db8::1", "x", micros).unwrap();
        let evening = at(11 * DAY - 20 * minute);
        assert_eq!(at(11 * DAY + 5 * minute), evening, "the visit goes on");
        assert_eq!(at(11 * DAY + 30 * minute), evening);
        assert_ne!(
            at(11 * DAY + 61 * minute),
            evening,
            "it had paused too long"
        );
        let fresh = made_with("a key of sixteen");
        let day = |micros| id(&fresh, "2001:db8::1", "x", micros).unwrap();
        assert_ne!(day(12 * DAY), day(13 * DAY));
        assert_ne!(day(13 * DAY), day(14 * DAY));
    }
}
