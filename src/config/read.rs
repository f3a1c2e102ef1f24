//! From variables to the configuration: each group of variables is read by a function of its own.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::http::BodyLimits;
use crate::pipeline::{Acknowledge, DedupeConfig};
use crate::{enrich, log};

use super::reader::Reader;
use super::variables::PREFIX;
use super::{
    Config, DeviceData, From, Invalid, LogConfig, LogFormat, dead_letter, enrichment, http,
    visitors, writers,
};

/// Set on Cloud Run (<https://cloud.google.com/run/docs/container-contract#env-vars>).
pub(super) const CLOUD_RUN: &str = "K_SERVICE";

/// What a log may hold unless it is told.
const DISK_LOG_BYTES: u64 = 10 << 30;

/// The same in memory: it must fit into a small container, beside everything else.
const MEMORY_LOG_BYTES: u64 = 128 << 20;

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
        let is_topic = |destination: &super::DestinationConfig| {
            matches!(destination.writer, super::WriterConfig::PubSub(_))
        };
        if config.destinations.iter().any(is_topic) {
            reader.fault(
                &format!("{PREFIX}WRITERS__STRATEGY"),
                "must not have pubsub, from which the events come",
            );
        }
        config.consume = Some(super::pubsub::read_subscription(&mut reader));
        if config.dead_letter.folder().is_none() {
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
        let enrich = read_enrich(reader);
        let strategies = writers::read_strategies(reader);
        let journals = match &log {
            LogConfig::Disk(log) => Some(log.dir.join("journals")),
            LogConfig::Memory { .. } => None,
        };
        let destinations = writers::read_destinations(
            reader,
            &journals,
            acknowledge,
            &enrich.time_zone,
            &strategies,
        );
        let dead_letter = dead_letter::read(reader, &log, &destinations);
        Self {
            log_format: if is_qa {
                LogFormat::Text
            } else {
                LogFormat::Json {
                    project: read_project(reader),
                }
            },
            is_trial: is_qa,
            host: reader
                .parse("RUN__HOST", "an IP address such as 127.0.0.1", |text| {
                    text.parse().ok().map(Host)
                })
                .0,
            port,
            drain: reader.seconds("RUN__DRAIN"),
            server: http::read_server(reader),
            body: BodyLimits {
                wire_bytes: to_usize(reader.bytes("HTTP__MAX_BODY_BYTES")),
                inflated_bytes: to_usize(reader.bytes("HTTP__MAX_INFLATED_BYTES")),
                time: reader.seconds("HTTP__BODY_TIMEOUT"),
            },
            senders: http::read_senders(reader),
            admin: http::read_admin(reader),
            cors: http::read_cors(reader),
            client_hints: http::read_client_hints(reader),
            cookie: http::read_cookie(reader),
            log,
            acknowledge,
            dedupe: DedupeConfig {
                window: reader.seconds("DEDUPE__WINDOW"),
                max_entries: reader.integer("DEDUPE__MAX_ENTRIES", 1),
            },
            destinations,
            #[cfg(feature = "bigquery")]
            subscribed_table: writers::read_subscribed_table(
                reader,
                &enrich.time_zone,
                &strategies,
            ),
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
            ledger_interval: read_ledger_interval(reader),
            dead_letter,
            device_data: read_device_data(reader),
            data_centres: Some(reader.text("ENRICH__DATA_CENTRES"))
                .filter(|path| !path.is_empty())
                .map(PathBuf::from),
            enrich,
            reference: enrichment::read_reference(reader),
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

fn read_ledger_interval(reader: &mut Reader) -> Option<Duration> {
    reader
        .parse("LEDGER__INTERVAL", "a number of seconds, or none", |text| {
            if text == "none" {
                return Some(Choice(None));
            }
            let interval = Duration::try_from_secs_f64(text.parse().ok()?).ok()?;
            Some(Choice(
                Some(interval).filter(|interval| !interval.is_zero()),
            ))
        })
        .0
}

fn read_device_data(reader: &mut Reader) -> DeviceData {
    match reader.text("ENRICH__DEVICE_DATA").as_str() {
        "" => DeviceData::Usual,
        "none" => DeviceData::None,
        path => DeviceData::File(PathBuf::from(path)),
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
        trusted_hops: enrichment::read_trusted_hops(reader),
        hops_header: enrichment::read_hops_header(reader),
        platform: enrichment::read_platform(reader),
        trust_geo_headers: reader.boolean("ENRICH__TRUST_GEO_HEADERS"),
        ip: ip.0.unwrap_or(enrich::IpPolicy::Truncated),
        time_zone,
        own_domains,
        bots: reader
            .parse("FILTER__BOTS", "keep, mark or drop", |text| {
                Some(Choice(Some(match text {
                    "keep" => enrich::bots::BotPolicy::Keep,
                    "mark" => enrich::bots::BotPolicy::Mark,
                    "drop" => enrich::bots::BotPolicy::Drop,
                    _ => return None,
                })))
            })
            .0
            .unwrap_or_default(),
        ignored_referrers: reader.list("ENRICH__IGNORED_REFERRERS"),
        ..visitors::read(reader)
    }
}

pub(super) fn to_usize(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}
