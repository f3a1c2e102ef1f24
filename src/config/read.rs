//! From variables to the configuration: each group of variables is read by a function of its own.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::time::Duration;

use crate::http::{
    AdminConfig, BodyLimits, CookieConfig, CorsConfig, Rate, SameSite, Secret, SendersConfig,
    ServerConfig,
};
use crate::pipeline::{Acknowledge, DeadLetterConfig, DedupeConfig, DeliveryConfig};
use crate::{enrich, log};

use super::reader::Reader;
use super::variables::PREFIX;
use super::{Config, DestinationConfig, From, Invalid, LogConfig, LogFormat, WriterConfig};

/// Set on Cloud Run (<https://cloud.google.com/run/docs/container-contract#env-vars>).
const CLOUD_RUN: &str = "K_SERVICE";

/// What a log may hold unless it is told.
const DISK_LOG_BYTES: u64 = 10 << 30;

/// The same in memory: it must fit into a small container, beside everything else.
const MEMORY_LOG_BYTES: u64 = 128 << 20;

/// Where rejected rows go unless it is told.
const DEAD_LETTER_FOLDER: &str = "./data/dead_letter";

/// Rows that the memory destination keeps.
const MEMORY_ROWS: usize = 10_000;

impl Config {
    /// The configuration that these variables say.
    ///
    /// # Errors
    /// All faults at once.
    pub fn from_values(values: BTreeMap<String, String>) -> Result<Self, Invalid> {
        let mut reader = Reader::new(values);
        let config = Self::read(&mut reader);
        reader.checked(config)
    }

    /// The same, for a collector that takes its events from a subscription.
    ///
    /// # Errors
    /// All faults at once.
    #[cfg(feature = "pubsub")]
    pub fn consuming(values: BTreeMap<String, String>) -> Result<Self, Invalid> {
        let mut reader = Reader::new(values);
        let mut config = Self::read(&mut reader);
        let is_topic =
            |destination: &DestinationConfig| matches!(destination.writer, WriterConfig::PubSub(_));
        if config.destinations.iter().any(is_topic) {
            reader.fault(
                &format!("{PREFIX}WRITERS__STRATEGY"),
                "must not have pubsub, from which the events come",
            );
        }
        config.consume = Some(super::pubsub::read_subscription(&mut reader));
        if config.dead_letter == DeadLetterConfig::Nowhere {
            reader.fault(
                &format!("{PREFIX}DEAD_LETTER__URI"),
                "must be a path to consume a subscription: messages that are no rows are kept there",
            );
        }
        reader.checked(config)
    }

    fn read(reader: &mut Reader) -> Self {
        let is_qa = reader.text("ENVIRONMENT").eq_ignore_ascii_case("QA");
        let port = match reader.plain("PORT").map(str::parse) {
            Some(Ok(port)) => port,
            Some(Err(_)) => {
                reader.fault("PORT", "must be a port number");
                0
            }
            None => reader.integer("RUN__PORT", 0),
        };
        let log = read_log(reader);
        let acknowledge = read_acknowledge(reader, &log);
        let journals = match &log {
            LogConfig::Disk(log) => Some(log.dir.join("journals")),
            LogConfig::Memory { .. } => None,
        };
        let dead_letter = read_dead_letter(reader, &log);
        Self {
            log_format: if is_qa {
                LogFormat::Text
            } else {
                LogFormat::Json {
                    project: read_project(reader),
                }
            },
            host: reader
                .parse("RUN__HOST", "an IP address such as 127.0.0.1", |text| {
                    text.parse().ok().map(Host)
                })
                .0,
            port,
            drain: reader.seconds("RUN__DRAIN"),
            server: read_server(reader),
            body: BodyLimits {
                wire_bytes: to_usize(reader.bytes("HTTP__MAX_BODY_BYTES")),
                inflated_bytes: to_usize(reader.bytes("HTTP__MAX_INFLATED_BYTES")),
                time: reader.seconds("HTTP__BODY_TIMEOUT"),
            },
            senders: SendersConfig {
                streams: reader.list("INTAKE__STREAMS"),
                write_keys: read_write_keys(reader),
                of_address: read_rate(reader, "INTAKE__IP_RATE", "INTAKE__IP_BURST"),
                of_stream: read_rate(reader, "INTAKE__STREAM_RATE", "INTAKE__STREAM_BURST"),
            },
            admin: read_admin(reader),
            cors: read_cors(reader),
            cookie: read_cookie(reader),
            log,
            acknowledge,
            dedupe: DedupeConfig {
                window: reader.seconds("DEDUPE__WINDOW"),
                max_entries: reader.integer("DEDUPE__MAX_ENTRIES", 1),
            },
            destinations: read_destinations(reader, &journals, acknowledge),
            #[cfg(feature = "pubsub")]
            consume: None,
            from: reader
                .parse("WRITERS__FROM", "newest or oldest", |text| match text {
                    "newest" => Some(Choice(Some(From::Newest))),
                    "oldest" => Some(Choice(Some(From::Oldest))),
                    _ => None,
                })
                .0
                .unwrap_or(From::Newest),
            dead_letter,
            enrich: read_enrich(reader),
        }
    }
}

/// The project on Google Cloud, if any.
pub(super) fn read_project(reader: &Reader) -> Option<String> {
    let names = [
        &format!("{PREFIX}WRITERS__PROJECT_ID"),
        "GOOGLE_CLOUD_PROJECT",
    ];
    names
        .iter()
        .find_map(|name| reader.plain(name))
        .map(str::to_owned)
}

/// A host with a default, for the reader.
struct Host(IpAddr);

impl Default for Host {
    fn default() -> Self {
        Self(IpAddr::from([0, 0, 0, 0]))
    }
}

/// A choice with a default, for the reader.
pub(super) struct Choice<T>(pub(super) Option<T>);

impl<T> Default for Choice<T> {
    fn default() -> Self {
        Self(None)
    }
}

fn read_log(reader: &mut Reader) -> LogConfig {
    let max_bytes = if reader.text("LOG__MAX_BYTES").is_empty() {
        None
    } else {
        Some(reader.bytes("LOG__MAX_BYTES"))
    };
    let config = log::disk::Config {
        dir: PathBuf::from(reader.text("LOG__DIR")),
        max_bytes: max_bytes.unwrap_or(DISK_LOG_BYTES),
        segment_bytes: reader.bytes("LOG__SEGMENT_BYTES"),
        buffer_bytes: reader.bytes("LOG__BUFFER_BYTES"),
        retention: reader.seconds("DEDUPE__WINDOW"),
        commit_interval: reader.seconds("LOG__COMMIT_INTERVAL"),
    };
    let is_memory = reader.parse("LOG__KIND", "disk or memory", |text| match text {
        "" => Some(Choice(None)),
        "disk" => Some(Choice(Some(false))),
        "memory" => Some(Choice(Some(true))),
        _ => None,
    });
    let on_cloud_run = reader.plain(CLOUD_RUN).is_some();
    if on_cloud_run && is_memory.0 == Some(false) {
        reader.fault(
            &format!("{PREFIX}LOG__KIND"),
            "must be memory on Cloud Run, whose disk is memory that ends with the instance",
        );
    }
    if is_memory.0.unwrap_or(on_cloud_run) {
        LogConfig::Memory {
            max_bytes: max_bytes.unwrap_or(MEMORY_LOG_BYTES),
        }
    } else {
        LogConfig::Disk(config)
    }
}

fn read_acknowledge(reader: &mut Reader, log: &LogConfig) -> Acknowledge {
    let choice = reader.parse(
        "DELIVERY__ACKNOWLEDGE",
        "spooled, written or queued",
        |text| {
            if text.is_empty() {
                return Some(Choice(None));
            }
            Some(Choice(Some(match text {
                "spooled" => Acknowledge::Spooled,
                "written" => Acknowledge::Written,
                "queued" => Acknowledge::Queued,
                _ => return None,
            })))
        },
    );
    match (log, choice.0) {
        (LogConfig::Memory { .. }, Some(Acknowledge::Spooled)) => {
            reader.fault(
                &format!("{PREFIX}DELIVERY__ACKNOWLEDGE"),
                "must be written or queued: a log in memory makes nothing durable",
            );
            Acknowledge::Written
        }
        (LogConfig::Memory { .. }, choice) => choice.unwrap_or(Acknowledge::Written),
        (LogConfig::Disk(_), choice) => choice.unwrap_or(Acknowledge::Spooled),
    }
}

fn read_dead_letter(reader: &mut Reader, log: &LogConfig) -> DeadLetterConfig {
    let choice = reader.parse(
        "DEAD_LETTER__URI",
        "a path on this machine, or none",
        |text| {
            let path = text.strip_prefix("file://").unwrap_or(text);
            Some(Choice(Some(match text {
                "" => return Some(Choice(None)),
                "none" => DeadLetterConfig::Nowhere,
                _ if path.is_empty() || path.contains("://") => return None,
                _ => DeadLetterConfig::Folder(PathBuf::from(path)),
            })))
        },
    );
    let on_cloud_run = reader.plain(CLOUD_RUN).is_some();
    match (log, choice.0) {
        (LogConfig::Disk(_), Some(DeadLetterConfig::Nowhere)) => {
            reader.fault(
                &format!("{PREFIX}DEAD_LETTER__URI"),
                "must be a path: none works with a log in memory only, where a 2xx is not given before the destinations have had their say",
            );
            DeadLetterConfig::Nowhere
        }
        (_, Some(choice)) => choice,
        (_, None) if on_cloud_run => DeadLetterConfig::Nowhere,
        (_, None) => DeadLetterConfig::Folder(PathBuf::from(DEAD_LETTER_FOLDER)),
    }
}

/// The folder of writers' journals; there is one beside a disk log only.
type Journals = Option<PathBuf>;

#[cfg_attr(
    not(feature = "pubsub"),
    expect(unused_variables, reason = "only Pub/Sub asks how events are answered")
)]
fn read_destinations(
    reader: &mut Reader,
    journals: &Journals,
    acknowledge: Acknowledge,
) -> Vec<DestinationConfig> {
    let has_table = !reader.text("WRITERS__BQ__TABLE_ID").is_empty();
    let strategies = reader.parse(
        "WRITERS__STRATEGY",
        &format!("{}, or a JSON list of them", KNOWN_STRATEGIES.join(", ")),
        |text| {
            if text.is_empty() {
                let unset = if has_table {
                    "direct"
                } else {
                    DEFAULT_STRATEGY
                };
                return Some(vec![unset.to_owned()]);
            }
            let names: Vec<String> = if text.starts_with('[') {
                serde_json::from_str(text).ok()?
            } else {
                vec![text.to_owned()]
            };
            let is_known = |name: &String| KNOWN_STRATEGIES.contains(&name.as_str());
            (!names.is_empty() && names.iter().all(is_known)).then_some(names)
        },
    );
    let optional = reader.list("WRITERS__OPTIONAL");
    let max_lag: u64 = reader.integer("WRITERS__MAX_LAG", 1);
    let backoff_max = reader.seconds("DELIVERY__BACKOFF_MAX");
    if optional.iter().any(|name| !strategies.contains(name)) {
        reader.fault(
            &format!("{PREFIX}WRITERS__OPTIONAL"),
            "must only name strategies of WRITERS__STRATEGY",
        );
    }
    let mut destinations = Vec::new();
    for name in &strategies {
        let writer = match name.as_str() {
            #[cfg(feature = "bigquery")]
            "direct" => WriterConfig::BigQuery(read_bigquery(reader, journals)),
            #[cfg(feature = "pubsub")]
            "pubsub" => WriterConfig::PubSub(super::pubsub::read(reader, acknowledge)),
            #[cfg(feature = "delta")]
            "delta" => WriterConfig::Delta(read_delta(reader)),
            _ => WriterConfig::Memory { rows: MEMORY_ROWS },
        };
        let max_lag = if optional.contains(name) {
            NonZeroU64::new(max_lag)
        } else {
            None
        };
        let delivery = DeliveryConfig {
            backoff: Duration::from_millis(100),
            backoff_max,
            backoff_fatal: backoff_max,
            max_lag,
        };
        destinations.push(DestinationConfig { writer, delivery });
    }
    destinations
}

/// Those that this build has.
const KNOWN_STRATEGIES: &[&str] = &[
    #[cfg(feature = "bigquery")]
    "direct",
    #[cfg(feature = "pubsub")]
    "pubsub",
    #[cfg(feature = "delta")]
    "delta",
    "memory",
];

const DEFAULT_STRATEGY: &str = if cfg!(feature = "delta") {
    "delta"
} else {
    "memory"
};

#[cfg(feature = "bigquery")]
fn read_bigquery(reader: &mut Reader, journals: &Journals) -> crate::writer::bigquery::Config {
    // <https://cloud.google.com/bigquery/docs/tables#table_naming>, <https://cloud.google.com/resource-manager/docs/creating-managing-projects>
    let mut named = |name: &str, wanted: &str, also: &'static [u8]| -> String {
        reader.parse(name, wanted, |text| {
            let is_safe = |byte: u8| byte.is_ascii_alphanumeric() || also.contains(&byte);
            let is_name = (1..=1024).contains(&text.len()) && text.bytes().all(is_safe);
            is_name.then(|| text.to_owned())
        })
    };
    let project = named(
        "WRITERS__PROJECT_ID",
        "the id of your project on Google Cloud",
        b"-:.",
    );
    let dataset = named(
        "WRITERS__BQ__DATASET_ID",
        "the name of a dataset: letters, digits, '_'",
        b"_",
    );
    let table = named(
        "WRITERS__BQ__TABLE_ID",
        "the name of a table: letters, digits, '_', '-'",
        b"_-",
    );
    let mut endpoint = |name: &str| -> String {
        reader.parse(name, "an address such as https://example.com", |text| {
            let is_address = text.starts_with("https://") || text.starts_with("http://");
            is_address.then(|| text.to_owned())
        })
    };
    let target = format!("bigquery:{project}.{dataset}.{table}");
    let file = format!(
        "{:016x}.jsonl",
        xxhash_rust::xxh3::xxh3_64(target.as_bytes())
    );
    let journal = journals.as_ref().map(|folder| folder.join(file));
    crate::writer::bigquery::Config {
        project,
        dataset,
        table,
        endpoint: endpoint("WRITERS__BQ__ENDPOINT"),
        grpc_endpoint: endpoint("WRITERS__BQ__GRPC_ENDPOINT"),
        flush_interval: reader.seconds("WRITERS__BQ__FLUSH_INTERVAL"),
        max_batch_rows: reader.integer("WRITERS__BQ__MAX_BATCH_SIZE", 1),
        answer_timeout: reader.seconds("WRITERS__BQ__ANSWER_TIMEOUT"),
        journal,
    }
}

#[cfg(feature = "delta")]
fn read_delta(reader: &mut Reader) -> crate::writer::delta::Config {
    if reader.plain(CLOUD_RUN).is_some() {
        reader.fault(
            &format!("{PREFIX}WRITERS__DELTA__URI"),
            "must not be on this machine on Cloud Run, whose disk is memory that ends with the instance",
        );
    }
    crate::writer::delta::Config {
        uri: reader.text("WRITERS__DELTA__URI"),
        commit_interval: reader.seconds("WRITERS__DELTA__COMMIT_INTERVAL"),
        commit_interval_max: reader.seconds("WRITERS__DELTA__COMMIT_INTERVAL_MAX"),
        file_retention: reader.seconds("WRITERS__DELTA__FILE_RETENTION"),
        log_retention: reader.seconds("WRITERS__DELTA__LOG_RETENTION"),
        ..crate::writer::delta::Config::default()
    }
}

fn read_enrich(reader: &mut Reader) -> enrich::Config {
    let zone = reader.text("ENRICH__TIME_ZONE");
    let time_zone = jiff::tz::TimeZone::get(&zone).unwrap_or_else(|_| {
        reader.fault(
            &format!("{PREFIX}ENRICH__TIME_ZONE"),
            "must be an IANA time zone such as Europe/Kyiv",
        );
        jiff::tz::TimeZone::UTC
    });
    let ip = reader.parse("ENRICH__IP", "full, truncated or none", |text| {
        Some(Choice(Some(match text {
            "full" => enrich::IpPolicy::Full,
            "truncated" => enrich::IpPolicy::Truncated,
            "none" => enrich::IpPolicy::None,
            _ => return None,
        })))
    });
    let mut own_domains = reader.list("ENRICH__OWN_DOMAINS");
    own_domains.extend(reader.list("CORS__ALLOWED_ORIGINS"));
    enrich::Config {
        trusted_hops: reader.integer("ENRICH__TRUSTED_HOPS", 0),
        trust_geo_headers: reader.boolean("ENRICH__TRUST_GEO_HEADERS"),
        ip: ip.0.unwrap_or(enrich::IpPolicy::Truncated),
        time_zone,
        own_domains,
    }
}

fn read_server(reader: &mut Reader) -> ServerConfig {
    let is_behind_proxies =
        reader.plain(CLOUD_RUN).is_some() || reader.integer::<usize>("ENRICH__TRUSTED_HOPS", 0) > 0;
    let max_connections: usize = reader.integer("HTTP__MAX_CONNECTIONS", 1);
    let is_given = |reader: &Reader, name: &str| !reader.text(name).is_empty();
    let idle_timeout = match (is_given(reader, "HTTP__IDLE_TIMEOUT"), is_behind_proxies) {
        (true, _) => reader.seconds("HTTP__IDLE_TIMEOUT"),
        (false, true) => Duration::from_secs(610),
        (false, false) => Duration::from_secs(75),
    };
    let max_connections_of_address = match is_given(reader, "HTTP__MAX_CONNECTIONS_PER_IP") {
        true => reader.integer("HTTP__MAX_CONNECTIONS_PER_IP", 1),
        false if is_behind_proxies => max_connections,
        false => (max_connections / 4).max(1),
    };
    ServerConfig {
        request_timeout: reader.seconds("HTTP__REQUEST_TIMEOUT"),
        header_timeout: reader.seconds("HTTP__HEADER_TIMEOUT"),
        idle_timeout,
        max_connections,
        max_connections_of_address,
    }
}

/// By default a burst is what comes in so many seconds.
const BURST_SECONDS: f64 = 10.0;

/// Shorter secrets can be guessed.
const MIN_TOKEN_CHARACTERS: usize = 16;

fn read_rate(reader: &mut Reader, rate: &str, burst: &str) -> Option<Rate> {
    let number = |least: f64| {
        move |text: &str| {
            let number = text.parse::<f64>().ok();
            number.filter(|number| number.is_finite() && *number >= least)
        }
    };
    let events_per_second =
        reader.parse(rate, "a number of events a second, 0 or more", number(0.0));
    let given = reader.parse(burst, "a number of events, 1 or more", |text| {
        if text.is_empty() {
            return Some(Choice(None));
        }
        number(1.0)(text).map(|burst| Choice(Some(burst)))
    });
    (events_per_second > 0.0).then(|| Rate {
        events_per_second,
        burst: given
            .0
            .unwrap_or((events_per_second * BURST_SECONDS).max(1.0)),
    })
}

fn read_write_keys(reader: &mut Reader) -> Vec<Secret> {
    let keys = reader.list("INTAKE__WRITE_KEYS");
    if keys.iter().any(String::is_empty) {
        reader.fault(
            &format!("{PREFIX}INTAKE__WRITE_KEYS"),
            "must not hold an empty key",
        );
    }
    keys.into_iter().map(Secret::new).collect()
}

fn read_admin(reader: &mut Reader) -> AdminConfig {
    let token = reader.text("ADMIN__TOKEN");
    if !token.is_empty() && token.chars().count() < MIN_TOKEN_CHARACTERS {
        reader.fault(
            &format!("{PREFIX}ADMIN__TOKEN"),
            format!("must have {MIN_TOKEN_CHARACTERS} characters or more"),
        );
    }
    let listen = reader.parse(
        "ADMIN__LISTEN",
        "an address with a port, such as 127.0.0.1:9090",
        |text| {
            if text.is_empty() {
                return Some(Choice(None));
            }
            text.parse::<SocketAddr>()
                .ok()
                .map(|address| Choice(Some(address)))
        },
    );
    AdminConfig {
        token: (!token.is_empty()).then(|| Secret::new(token)),
        is_made_up: reader.plain(CLOUD_RUN).is_none(),
        hosts: reader.list("ADMIN__HOSTS"),
        listen: listen.0,
    }
}

fn read_cors(reader: &mut Reader) -> CorsConfig {
    let config = CorsConfig {
        allowed_origins: reader.list("CORS__ALLOWED_ORIGINS"),
        allow_credentials: reader.boolean("CORS__ALLOW_CREDENTIALS"),
        allow_methods: reader.list("CORS__ALLOW_METHODS"),
        allow_headers: reader.list("CORS__ALLOW_HEADERS"),
        max_age: reader.seconds("CORS__MAX_AGE"),
        refuse_unlisted: reader.boolean("CORS__REFUSE_UNLISTED"),
    };
    let is_any = |origin: &String| origin == "*";
    if config.allowed_origins.len() > 1 && config.allowed_origins.iter().any(is_any) {
        reader.fault(
            &format!("{PREFIX}CORS__ALLOWED_ORIGINS"),
            "must be either [\"*\"] or a list of origins",
        );
    }
    let is_origin = |origin: &str| {
        let host = origin
            .strip_prefix("https://")
            .or_else(|| origin.strip_prefix("http://"));
        host.is_some_and(|host| {
            let is_safe = |byte: u8| byte.is_ascii_graphic() && !b"/?#@\\\"*".contains(&byte);
            !host.is_empty() && host.bytes().all(is_safe)
        })
    };
    for origin in config
        .allowed_origins
        .iter()
        .filter(|origin| !is_any(origin))
    {
        if !is_origin(origin) {
            reader.fault(
                &format!("{PREFIX}CORS__ALLOWED_ORIGINS"),
                "must hold origins as browsers send them, such as https://shop.example, with no path and no '/' at the end",
            );
        }
    }
    let is_token = |text: &String| {
        let is_safe = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        !text.is_empty() && text.bytes().all(is_safe)
    };
    for (name, texts) in [
        ("CORS__ALLOW_METHODS", &config.allow_methods),
        ("CORS__ALLOW_HEADERS", &config.allow_headers),
    ] {
        if !texts.iter().all(is_token) {
            reader.fault(
                &format!("{PREFIX}{name}"),
                "must hold names as HTTP has them",
            );
        }
    }
    config
}

fn read_cookie(reader: &mut Reader) -> CookieConfig {
    let same_site = reader.parse("COOKIE__SAMESITE", "none, lax or strict", |text| {
        Some(Choice(Some(match text.to_ascii_lowercase().as_str() {
            "none" => SameSite::None,
            "lax" => SameSite::Lax,
            "strict" => SameSite::Strict,
            _ => return None,
        })))
    });
    CookieConfig {
        max_age: reader.seconds("COOKIE__MAX_AGE"),
        secure: reader.boolean("COOKIE__SECURE"),
        http_only: reader.boolean("COOKIE__HTTPONLY"),
        same_site: same_site.0.unwrap_or(SameSite::None),
    }
}

pub(super) fn to_usize(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}
