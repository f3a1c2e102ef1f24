//! A request to the streaming endpoint, through the router: query, form or JSON, headers, content codings.
//!
//! An input is the text of a request: a line `METHOD target`, lines `name: value`, an empty line, the body. Every answer is
//! one of those that are documented, every event is counted once, and what is appended is a row. A body says the same
//! when it is compressed.

use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::{Arc, LazyLock, Mutex};

use axum::body::Body;
use axum::extract::ConnectInfo;
use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use http::{HeaderName, HeaderValue, Method, Request, StatusCode, header};
use http_body_util::BodyExt as _;
use real_streaming::config::Config;
use real_streaming::durable::{Disk, SimulatedDisk};
use real_streaming::enrich::Enricher;
use real_streaming::enrich::client_ip::client_ip;
use real_streaming::http::{Admin, Cookie, Routes, Senders, Shared, router};
use real_streaming::ledger::{IntakeTotals, Ledger, LogCounts};
use real_streaming::live::Live;
use real_streaming::log::{Log, MemoryLog};
use real_streaming::pipeline::{
    Acknowledge, Dedupe, DedupeConfig, Fates, Intake, Replays, Searched, Sent, Source, Unfinished,
};
use real_streaming::schema::SequenceNumber;
use tower::ServiceExt as _;

use crate::row_bytes;
use crate::tiny::Ticks;

const WIRE: usize = 64 << 10;
const INFLATED: usize = 256 << 10;

struct Counts(Arc<dyn Log>);

impl LogCounts for Counts {
    fn appended(&self) -> u64 {
        self.0.appended()
    }

    fn failed(&self) -> u64 {
        self.0.failed()
    }

    fn max_bytes(&self) -> u64 {
        u64::MAX
    }

    fn size_bytes(&self) -> u64 {
        self.0.size_bytes()
    }
}

/// A collector without a socket and without destinations.
struct Door {
    log: Arc<dyn Log>,
    ledger: Arc<Ledger>,
    router: axum::Router,
    runtime: tokio::runtime::Runtime,
    read: SequenceNumber,
}

static DOOR: LazyLock<Mutex<Door>> = LazyLock::new(|| Mutex::new(Door::new()));

impl Door {
    fn new() -> Self {
        let values = [
            ("APP_CONFIG__LOG__KIND", "memory"),
            ("APP_CONFIG__DEAD_LETTER__URI", "none"),
        ];
        let values = values.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let mut config = Config::from_values(values.into()).expect("a configuration");
        config.body.wire_bytes = WIRE;
        config.body.inflated_bytes = INFLATED;
        config.enrich.trusted_hops = 1;
        let log: Arc<dyn Log> = Arc::new(MemoryLog::new(64 << 20));
        let ledger = Arc::new(Ledger::new(
            IntakeTotals::default(),
            0,
            0,
            Arc::new(Counts(Arc::clone(&log))),
        ));
        let window = DedupeConfig {
            window: std::time::Duration::from_secs(600),
            max_entries: 1000,
        };
        let intake = Intake::new(
            Arc::clone(&log),
            Dedupe::new(window),
            Arc::clone(&ledger),
            Acknowledge::Queued,
            Vec::new(),
            None,
            9 << 20,
        );
        let replays = Replays {
            log: Arc::clone(&log),
            ledger: Arc::clone(&ledger),
            origins: None,
            source: Source::Nowhere,
            journals: None,
            destinations: Vec::new(),
            is_durable: false,
            sent: Sent::default(),
            turn: tokio::sync::Mutex::new(Unfinished::default()),
        };
        let disk: Arc<dyn Disk> = Arc::new(SimulatedDisk::new());
        let shared = Shared {
            intake: Arc::new(intake),
            enricher: Enricher::new(config.enrich.clone()),
            ledger: Arc::clone(&ledger),
            clock: Ticks::shared(),
            body: config.body,
            client_hints: config.client_hints,
            cookie: Cookie::new(&config.cookie),
            senders: Senders::new(&config.senders),
            admin: Admin::new(&config.admin),
            fates: Fates::new(
                Arc::clone(&log),
                Arc::clone(&ledger),
                disk,
                Searched::Nowhere,
            ),
            replays: Arc::new(replays),
            live: Arc::new(Live::new(Arc::clone(&ledger), Ticks::shared())),
            is_trial: false,
        };
        Self {
            log,
            ledger,
            router: router(Arc::new(shared), Routes::Public),
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .build()
                .expect("a runtime"),
            read: SequenceNumber::ZERO,
        }
    }

    /// Sends a request; the status of the answer, and how many rows were appended.
    fn send(
        &mut self,
        asked: &Asked<'_>,
        coding: Option<&'static str>,
        body: Vec<u8>,
    ) -> (StatusCode, u64) {
        let before = self.ledger.intake();
        let mut request = Request::new(Body::from(body));
        *request.method_mut() = asked.method.clone();
        *request.uri_mut() = asked.target.parse().expect("it was parsed before");
        for (name, value) in &asked.headers {
            request.headers_mut().append(name, value.clone());
        }
        if let Some(coding) = coding {
            request
                .headers_mut()
                .append(header::CONTENT_ENCODING, HeaderValue::from_static(coding));
        }
        request
            .extensions_mut()
            .insert(ConnectInfo(SocketAddr::from(([192, 0, 2, 1], 5))));
        let router = self.router.clone();
        let (status, length) = self.runtime.block_on(async {
            let answer = router.oneshot(request).await.expect("an answer");
            for value in answer.headers().get_all(header::SET_COOKIE) {
                let text = value.to_str().expect("text");
                assert!(
                    text.starts_with("__uid__=") && text.contains("; Path=/"),
                    "{text}"
                );
            }
            let status = answer.status();
            let body = answer
                .into_body()
                .collect()
                .await
                .expect("a body")
                .to_bytes();
            (status, body.len())
        });
        const DOCUMENTED: [u16; 15] = [
            200, 204, 207, 400, 401, 403, 404, 405, 406, 408, 413, 415, 421, 422, 429,
        ];
        assert!(
            DOCUMENTED.contains(&status.as_u16()),
            "{status}, {length} bytes"
        );

        let after = self.ledger.intake();
        assert!(after.balances(), "{after:?}");
        let received = after.received - before.received;
        let appended = after.appended - before.appended;
        if status == StatusCode::OK && asked.is_stored() {
            assert_eq!(
                appended + (after.duplicate - before.duplicate),
                received,
                "2xx for what is not kept"
            );
        }
        let mut reader = self.log.reader(self.read);
        let mut rows = 0;
        loop {
            let chunk = reader.read(10_000, 64 << 20).expect("memory");
            if chunk.last == self.read {
                break;
            }
            self.read = chunk.last;
            for record in chunk.records {
                rows += 1;
                assert!(
                    row_bytes::is_row(&record.payload),
                    "what is appended is no row"
                );
            }
        }
        assert_eq!(rows, appended);
        self.log.release(self.read);
        (status, received)
    }
}

/// What an input asks for.
struct Asked<'a> {
    method: Method,
    target: &'a str,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: &'a [u8],
}

impl<'a> Asked<'a> {
    fn read(data: &'a [u8]) -> Option<Self> {
        let at = data.windows(2).position(|two| two == b"\n\n")?;
        let mut lines = data[..at].split(|byte| *byte == b'\n');
        let first = std::str::from_utf8(lines.next()?).ok()?;
        let (method, target) = first.split_once(' ')?;
        let mut headers = Vec::new();
        for line in lines {
            let colon = line.iter().position(|byte| *byte == b':')?;
            let name = HeaderName::from_bytes(&line[..colon]).ok()?;
            headers.push((
                name,
                HeaderValue::from_bytes(line[colon + 1..].trim_ascii()).ok()?,
            ));
        }
        target.parse::<http::Uri>().ok()?;
        Some(Self {
            method: Method::from_bytes(method.as_bytes()).ok()?,
            target,
            headers,
            body: &data[at + 2..],
        })
    }

    /// Whether what is sent is to be stored, not only tried out or looked up.
    fn is_stored(&self) -> bool {
        let is_tried = self.target.contains('?')
            || self
                .headers
                .iter()
                .any(|(name, _)| name.as_str().starts_with("x-"));
        [Method::POST, Method::GET].contains(&self.method)
            && self.target.starts_with("/api/")
            && !is_tried
    }

    fn may_be_compressed(&self) -> bool {
        let codes = |(name, _): &(HeaderName, HeaderValue)| {
            name == header::CONTENT_ENCODING || name == header::CONTENT_LENGTH
        };
        self.method == Method::POST
            && !self.headers.iter().any(codes)
            && !self.body.starts_with(&[0x1f, 0x8b])
            && self.body.len() < WIRE / 2
    }
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(body).expect("memory");
    encoder.finish().expect("memory")
}

fn deflate(body: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(body).expect("memory");
    encoder.finish().expect("memory")
}

/// The address of the client is that of the connection, or an entry that stands so far from the end as there are proxies.
fn check_forwarded(asked: &Asked<'_>) {
    let values = asked
        .headers
        .iter()
        .filter(|(name, _)| name == "x-forwarded-for");
    let values: Vec<&str> = values
        .filter_map(|(_, value)| value.to_str().ok())
        .collect();
    let peer = "192.0.2.1".parse().ok();
    assert_eq!(client_ip(values.iter().copied(), peer, 0), peer);
    for hops in 1..4 {
        let found = client_ip(values.iter().copied(), peer, hops).expect("there is one");
        let entries: Vec<&str> = values.iter().flat_map(|value| value.split(',')).collect();
        let entry = entries.len().checked_sub(hops).map(|at| entries[at]);
        let is_entry = entry.is_some_and(|entry| {
            let bare = entry.trim().trim_matches(['"', '[', ']']);
            let address = bare
                .parse::<std::net::IpAddr>()
                .map(|address| address.to_canonical());
            address.is_ok_and(|address| address == found) || entry.contains(':')
        });
        assert!(
            is_entry || Some(found) == peer,
            "{found} of {values:?}, {hops} hops"
        );
    }
}

/// Panics where a promise is broken.
pub fn check(data: &[u8]) {
    let Some(asked) = Asked::read(data) else {
        return;
    };
    check_forwarded(&asked);
    let mut door = DOOR.lock().expect("nobody has panicked");
    let plain = door.send(&asked, None, asked.body.to_vec());
    if asked.may_be_compressed() {
        for (coding, body) in [
            ("gzip", gzip(asked.body)),
            ("deflate", deflate(asked.body)),
            ("deflate, gzip", gzip(&deflate(asked.body))),
        ] {
            assert_eq!(door.send(&asked, Some(coding), body), plain, "{coding}");
        }
    }
}
