//! Who may send: which streams are taken, whether a key is asked for, how many events a second.
//!
//! Decided on the head alone, before the body is read. Limits are token buckets, one for each client address and
//! one for each stream, counted in events: a request is taken while its bucket is not empty, and an array that is
//! larger than what was left is paid off afterwards. They are of this process and bounded in number:
//! of too many senders those that were not heard of for longest are forgotten, which fills their buckets.

use std::hash::{BuildHasher as _, Hash, RandomState};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use http::HeaderName;
use http::request::Parts;
use quick_cache::sync::Cache;

use super::Error;
use super::secret::{self, Secret};

/// Senders remembered by each kind of limit; about 100 bytes each.
const MAX_SENDERS: usize = 100_000;

const WRITE_KEY: HeaderName = HeaderName::from_static("x-write-key");

/// The member of a query that holds the key, for beacons and pixels.
pub(super) const WRITE_KEY_MEMBER: &str = "write_key";

/// How many events a sender may send.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// In the long run, above 0.
    pub events_per_second: f64,
    /// At once.
    pub burst: f64,
}

/// Who may send.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SendersConfig {
    /// Streams that are taken; all if there are none.
    pub streams: Vec<String>,
    /// Keys of which one must be given; none is asked for if there are none.
    pub write_keys: Vec<Secret>,
    /// Limit of each client address.
    pub of_address: Option<Rate>,
    /// Limit of each stream.
    pub of_stream: Option<Rate>,
}

/// Tells who may send.
#[derive(Debug)]
pub struct Senders {
    streams: Vec<String>,
    write_keys: Vec<Secret>,
    addresses: Option<Buckets>,
    by_stream: Option<Buckets>,
}

impl Senders {
    /// With full buckets.
    pub fn new(config: &SendersConfig) -> Self {
        Self {
            streams: config.streams.clone(),
            write_keys: config.write_keys.clone(),
            addresses: config.of_address.map(Buckets::new),
            by_stream: config.of_stream.map(Buckets::new),
        }
    }

    /// Whether a request to this stream is taken; `address` is asked only if there is a limit.
    ///
    /// # Errors
    /// Why not.
    pub(super) fn admit(
        &self,
        stream_id: &str,
        head: &Parts,
        address: impl FnOnce() -> Option<IpAddr>,
    ) -> Result<Sender, Error> {
        if !self.streams.is_empty() && !self.streams.iter().any(|stream| stream == stream_id) {
            return Err(Error::StreamNotAllowed);
        }
        if !self.write_keys.is_empty() && !self.has_key(head) {
            return Err(Error::WrongWriteKey);
        }
        let of_stream = match &self.by_stream {
            Some(buckets) => Some(buckets.admit(stream_id)?),
            None => None,
        };
        let of_address = match &self.addresses {
            Some(buckets) => address()
                .map(|address| buckets.admit(network(address)))
                .transpose()?,
            None => None,
        };
        Ok(Sender {
            of_stream,
            of_address,
        })
    }

    /// Takes what a request sent out of its sender's buckets.
    pub(super) fn sent(&self, sender: &Sender, events: usize) {
        let pairs = [
            (&self.by_stream, &sender.of_stream),
            (&self.addresses, &sender.of_address),
        ];
        for (buckets, bucket) in pairs {
            if let (Some(buckets), Some(bucket)) = (buckets, bucket) {
                buckets.take(bucket, events);
            }
        }
    }

    fn has_key(&self, head: &Parts) -> bool {
        let is_key = |given: &[u8]| {
            // All are compared, so that the time does not tell which one was right.
            let matching = self.write_keys.iter().filter(|key| key.is(given));
            matching.count() > 0
        };
        if let Some(given) = head.headers.get(WRITE_KEY) {
            return is_key(given.as_bytes());
        }
        if let Some(given) = secret::bearer(&head.headers) {
            return is_key(given);
        }
        let query = head.uri.query().unwrap_or_default();
        form_urlencoded::parse(query.as_bytes())
            .find(|(name, _)| name == WRITE_KEY_MEMBER)
            .is_some_and(|(_, given)| is_key(given.as_bytes()))
    }
}

/// The buckets of one request.
#[derive(Debug)]
pub(super) struct Sender {
    of_stream: Option<Bucket>,
    of_address: Option<Bucket>,
}

/// What one line of a provider is: addresses of IPv6 come by the /64.
fn network(address: IpAddr) -> [u16; 8] {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_ipv6_mapped().segments(),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            [a, b, c, d, 0, 0, 0, 0]
        }
    }
}

/// When a sender's bucket is full again, nanoseconds after the buckets were made
/// (<https://en.wikipedia.org/wiki/Generic_cell_rate_algorithm>).
type Bucket = Arc<AtomicI64>;

#[derive(Debug)]
struct Buckets {
    buckets: Cache<u64, Bucket>,
    hasher: RandomState,
    made: Instant,
    nanos_per_event: f64,
    burst_nanos: i64,
}

impl Buckets {
    fn new(rate: Rate) -> Self {
        let nanos_per_event = 1e9 / rate.events_per_second;
        Self {
            buckets: Cache::new(MAX_SENDERS),
            hasher: RandomState::new(),
            made: Instant::now(),
            nanos_per_event,
            burst_nanos: (rate.burst * nanos_per_event) as i64,
        }
    }

    fn now(&self) -> i64 {
        i64::try_from(self.made.elapsed().as_nanos()).unwrap_or(i64::MAX)
    }

    /// The sender's bucket, if it is not empty.
    fn admit(&self, sender: impl Hash) -> Result<Bucket, Error> {
        let key = self.hasher.hash_one(sender);
        let bucket = self
            .buckets
            .get_or_insert_with(
                &key,
                || Ok::<_, std::convert::Infallible>(Bucket::default()),
            )
            .unwrap_or_else(|never| match never {});
        let full_in = bucket.load(Ordering::Relaxed).saturating_sub(self.now());
        let wait = full_in.saturating_add(self.nanos_per_event as i64) - self.burst_nanos;
        match u64::try_from(wait) {
            Err(_) | Ok(0) => Ok(bucket),
            Ok(nanos) => Err(Error::TooMany {
                wait: Duration::from_nanos(nanos),
            }),
        }
    }

    fn take(&self, bucket: &Bucket, events: usize) {
        let now = self.now();
        let cost = (events as f64 * self.nanos_per_event) as i64;
        let mut full_at = bucket.load(Ordering::Relaxed);
        while let Err(other) = bucket.compare_exchange_weak(
            full_at,
            full_at.max(now).saturating_add(cost),
            Ordering::Relaxed,
            Ordering::Relaxed,
        ) {
            full_at = other;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(uri: &str, headers: &[(&str, &str)]) -> Parts {
        let mut request = http::Request::get(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    fn plain() -> Parts {
        head("/", &[])
    }

    #[test]
    fn a_bucket_is_emptied_and_fills_again() {
        let buckets = Buckets::new(Rate {
            events_per_second: 20.0,
            burst: 3.0,
        });
        let mut taken = 0;
        let wait = loop {
            match buckets.admit("a") {
                Ok(bucket) => buckets.take(&bucket, 1),
                Err(Error::TooMany { wait }) => break wait,
                Err(other) => panic!("{other}"),
            }
            taken += 1;
            assert!(taken < 100, "it never empties");
        };
        assert!(taken >= 3, "{taken}");
        assert!(wait <= Duration::from_millis(50), "{wait:?}");
        assert!(buckets.admit("b").is_ok(), "another sender has its own");
        std::thread::sleep(wait + Duration::from_millis(5));
        assert!(buckets.admit("a").is_ok());
    }

    #[test]
    fn a_large_array_is_taken_and_paid_off() {
        let senders = Senders::new(&SendersConfig {
            of_stream: Some(Rate {
                events_per_second: 10.0,
                burst: 5.0,
            }),
            ..SendersConfig::default()
        });
        let sender = senders.admit("1", &plain(), || None).unwrap();
        senders.sent(&sender, 105);
        let Err(Error::TooMany { wait }) = senders.admit("1", &plain(), || None) else {
            panic!("the bucket is empty");
        };
        assert!((9..=11).contains(&wait.as_secs()), "{wait:?}");
        assert!(senders.admit("2", &plain(), || None).is_ok());
    }

    #[test]
    fn addresses_count_by_line_and_are_asked_only_if_limited() {
        let limited = Senders::new(&SendersConfig {
            of_address: Some(Rate {
                events_per_second: 0.001,
                burst: 1.0,
            }),
            ..SendersConfig::default()
        });
        let send = |address: &str| {
            let address = address.parse().unwrap();
            let sender = limited.admit("1", &plain(), || Some(address));
            sender.map(|sender| limited.sent(&sender, 1)).is_ok()
        };
        assert!(send("192.0.2.1") && !send("192.0.2.1") && !send("::ffff:192.0.2.1"));
        assert!(send("192.0.2.2"));
        assert!(send("2001:db8:0:1::1") && !send("2001:db8:0:1:ffff::2"));
        assert!(send("2001:db8:0:2::1"));
        assert!(
            limited.admit("1", &plain(), || None).is_ok(),
            "whoever cannot be told is taken"
        );
        let free = Senders::new(&SendersConfig::default());
        assert!(free.admit("1", &plain(), || panic!("asked")).is_ok());
    }

    #[test]
    fn a_key_may_come_in_three_ways() {
        let senders = Senders::new(&SendersConfig {
            write_keys: vec![Secret::new("old-key-0"), Secret::new("new+key/1")],
            ..SendersConfig::default()
        });
        for (uri, headers, is_right) in [
            ("/", &[("x-write-key", "old-key-0")][..], true),
            ("/", &[("authorization", "Bearer new+key/1")], true),
            ("/?a=1&write_key=new%2Bkey%2F1", &[], true),
            ("/?write_key=new", &[], false),
            ("/", &[], false),
            ("/", &[("x-write-key", "")], false),
            (
                "/?write_key=old-key-0",
                &[("x-write-key", "wrong-key")],
                false,
            ),
        ] {
            let admitted = senders.admit("1", &head(uri, headers), || None);
            match admitted {
                Ok(_) => assert!(is_right, "{uri} {headers:?}"),
                Err(error) => assert!(
                    !is_right && error == Error::WrongWriteKey,
                    "{uri} {headers:?}"
                ),
            }
        }
    }

    #[test]
    fn only_listed_streams_are_taken() {
        let senders = Senders::new(&SendersConfig {
            streams: vec!["1".to_owned(), "shop".to_owned()],
            ..SendersConfig::default()
        });
        assert!(senders.admit("shop", &plain(), || None).is_ok());
        for other in ["2", "Shop", "shop2", ""] {
            let refused = senders.admit(other, &plain(), || None).unwrap_err();
            assert_eq!(refused, Error::StreamNotAllowed, "{other}");
        }
    }
}
