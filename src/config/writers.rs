//! The variables of the destinations: which there are, and where each of them is.

use std::num::NonZeroU64;
use std::path::PathBuf;
use std::time::Duration;

use jiff::tz::TimeZone;

use crate::pipeline::{Acknowledge, DeliveryConfig};

use super::reader::Reader;
use super::variables::PREFIX;
use super::{DestinationConfig, WriterConfig};

/// Rows that the memory destination keeps.
const MEMORY_ROWS: usize = 10_000;

/// The folder of writers' journals; there is one beside a disk log only.
pub(super) type Journals = Option<PathBuf>;

#[cfg_attr(
    not(feature = "bigquery"),
    expect(
        unused_variables,
        reason = "only Google's services ask how events are answered, only BigQuery for days"
    )
)]
pub(super) fn read_destinations(
    reader: &mut Reader,
    journals: &Journals,
    acknowledge: Acknowledge,
    time_zone: &TimeZone,
    strategies: &[String],
) -> Vec<DestinationConfig> {
    let optional = reader.list("WRITERS__OPTIONAL");
    let max_lag: u64 = reader.integer("WRITERS__MAX_LAG", 1);
    let backoff_max = reader.seconds("DELIVERY__BACKOFF_MAX");
    if optional.iter().any(|name| !strategies.contains(name)) {
        reader.fault(
            &format!("{PREFIX}WRITERS__OPTIONAL"),
            "must only name strategies of WRITERS__STRATEGY",
        );
    }
    if acknowledge == Acknowledge::Written && strategies.iter().all(|name| optional.contains(name))
    {
        reader.fault(
            &format!("{PREFIX}WRITERS__OPTIONAL"),
            "must leave one strategy out with DELIVERY__ACKNOWLEDGE=written, which waits for those that are not optional",
        );
    }
    let mut destinations = Vec::new();
    for name in strategies {
        let writer = match name.as_str() {
            #[cfg(feature = "bigquery")]
            "direct" => {
                WriterConfig::BigQuery(read_bigquery(reader, journals, time_zone, acknowledge))
            }
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

/// The names of the destinations.
pub(super) fn read_strategies(reader: &mut Reader) -> Vec<String> {
    let has_table = !reader.text("WRITERS__BQ__TABLE_ID").is_empty();
    reader.parse(
        "WRITERS__STRATEGY",
        &format!(
            "{}, or a JSON list of them, each once",
            KNOWN_STRATEGIES.join(", ")
        ),
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
            // Two of one name would share a cursor.
            let is_twice = |(index, name)| names[..index].contains(name);
            let are_good = !names.is_empty()
                && names.iter().all(is_known)
                && !names.iter().enumerate().any(is_twice);
            are_good.then_some(names)
        },
    )
}

/// The table that a BigQuery subscription of the topic writes into: what names BigQuery's tables is there, and only Pub/Sub
/// is written to.
#[cfg(feature = "bigquery")]
pub(super) fn read_subscribed_table(
    reader: &mut Reader,
    time_zone: &TimeZone,
    strategies: &[String],
) -> Option<crate::writer::bigquery::Config> {
    let has = |strategy| strategies.iter().any(|name| name == strategy);
    let names = [
        "WRITERS__PROJECT_ID",
        "WRITERS__BQ__DATASET_ID",
        "WRITERS__BQ__TABLE_ID",
    ];
    let is_named = names.iter().all(|name| !reader.text(name).is_empty());
    if !has("pubsub") || has("direct") || !is_named {
        return None;
    }
    let config = read_bigquery(reader, &None, time_zone, Acknowledge::Spooled);
    if config.table.contains("{date}") {
        reader.fault(
            &format!("{PREFIX}WRITERS__BQ__TABLE_ID"),
            "must be one table's name: a BigQuery subscription writes into one, not into one a day",
        );
    }
    // Behind an emulator there is no BigQuery, unless one is named that asks for no credentials either.
    let is_emulated = reader.plain("PUBSUB_EMULATOR_HOST").is_some();
    (!is_emulated || config.endpoint.starts_with("http://")).then_some(config)
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
fn read_bigquery(
    reader: &mut Reader,
    journals: &Journals,
    time_zone: &TimeZone,
    acknowledge: Acknowledge,
) -> crate::writer::bigquery::Config {
    let flush_interval = reader.seconds("WRITERS__BQ__FLUSH_INTERVAL");
    // <https://cloud.google.com/bigquery/docs/tables#table_naming>, <https://cloud.google.com/resource-manager/docs/creating-managing-projects>
    let mut named = |name: &str, wanted: &str, also: &'static [u8], day: &str| -> String {
        reader.parse(name, wanted, |text| {
            let is_safe = |byte: u8| byte.is_ascii_alphanumeric() || also.contains(&byte);
            // Where it may be, it stands for letters that are allowed.
            let name = text.replacen(day, "", 1);
            let is_name = (1..=1000).contains(&name.len()) && name.bytes().all(is_safe);
            is_name.then(|| text.to_owned())
        })
    };
    let project = named(
        "WRITERS__PROJECT_ID",
        "the id of your project on Google Cloud",
        b"-:.",
        "",
    );
    let dataset = named(
        "WRITERS__BQ__DATASET_ID",
        "the name of a dataset: letters, digits, '_'",
        b"_",
        "",
    );
    let table = named(
        "WRITERS__BQ__TABLE_ID",
        "the name of a table: letters, digits, '_', '-', and once {date} for a table a day",
        b"_-",
        "{date}",
    );
    let target = format!("bigquery:{project}.{dataset}.{table}");
    let file = crate::durable::file_stem_of(&target) + ".jsonl";
    let journal = journals.as_ref().map(|folder| folder.join(file));
    crate::writer::bigquery::Config {
        project,
        dataset,
        table,
        time_zone: time_zone.clone(),
        endpoint: endpoint(reader, "WRITERS__BQ__ENDPOINT"),
        grpc_endpoint: endpoint(reader, "WRITERS__BQ__GRPC_ENDPOINT"),
        // A client that waits for its row must not wait for others' besides.
        flush_interval: match acknowledge {
            Acknowledge::Written => Duration::ZERO,
            _ => flush_interval,
        },
        max_batch_rows: reader.integer("WRITERS__BQ__MAX_BATCH_SIZE", 1),
        answer_timeout: reader.seconds("WRITERS__BQ__ANSWER_TIMEOUT"),
        journal,
    }
}

#[cfg(feature = "bigquery")]
pub(super) fn endpoint(reader: &mut Reader, name: &str) -> String {
    reader.parse(name, "an address such as https://example.com", |text| {
        let is_address = text.starts_with("https://") || text.starts_with("http://");
        is_address.then(|| text.to_owned())
    })
}

#[cfg(feature = "delta")]
fn read_delta(reader: &mut Reader) -> crate::writer::delta::Config {
    if reader.plain(super::read::CLOUD_RUN).is_some() {
        reader.fault(
            &format!("{PREFIX}WRITERS__DELTA__URI"),
            "must not be on this machine on Cloud Run, whose disk is memory that ends with the instance",
        );
    }
    let config = crate::writer::delta::Config {
        uri: reader.text("WRITERS__DELTA__URI"),
        commit_interval: reader.seconds("WRITERS__DELTA__COMMIT_INTERVAL"),
        commit_interval_max: reader.seconds("WRITERS__DELTA__COMMIT_INTERVAL_MAX"),
        file_retention: reader.seconds("WRITERS__DELTA__FILE_RETENTION"),
        log_retention: reader.seconds("WRITERS__DELTA__LOG_RETENTION"),
        ..crate::writer::delta::Config::default()
    };
    if let Err(error) = config.name() {
        reader.fault(
            &format!("{PREFIX}WRITERS__DELTA__URI"),
            format!("is wrong: {error}"),
        );
    }
    config
}
