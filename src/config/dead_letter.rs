//! The variable of the dead letter: which kind it names, and what is used where it names none.

use std::path::PathBuf;

use super::read::CLOUD_RUN;
use super::reader::Reader;
use super::variables::PREFIX;
use super::{DestinationConfig, LogConfig};

/// Where rejected rows go unless it is told.
const FOLDER: &str = "./data/dead_letter";

/// Behind the name of the events' table.
#[cfg(feature = "bigquery")]
const BESIDE: &str = "dead_letter";

const NAME: &str = "DEAD_LETTER__URI";

/// The ways to write it that this build knows.
const WAYS: &[&str] = &[
    "a path on this machine",
    #[cfg(feature = "delta")]
    "an address such as gs://bucket/folder, s3://… or az://…",
    #[cfg(feature = "bigquery")]
    "bigquery for a table beside that of strategy direct, or bigquery://project.dataset.table",
    #[cfg(feature = "pubsub")]
    "pubsub://project/topic",
    "none",
];

/// Where rows go that a destination will never take.
#[derive(Clone, Debug)]
pub enum DeadLetterConfig {
    /// Below this folder.
    Folder(PathBuf),
    /// Into an object store.
    #[cfg(feature = "delta")]
    Objects(crate::letters::objects::Config),
    /// Into a table of BigQuery.
    #[cfg(feature = "bigquery")]
    Table(crate::writer::bigquery::Place),
    /// To a topic of Pub/Sub.
    #[cfg(feature = "pubsub")]
    Topic(crate::writer::pubsub::Config),
    /// Nowhere: their senders are told.
    Nowhere,
}

impl DeadLetterConfig {
    /// The folder, if it is one.
    pub fn folder(&self) -> Option<&PathBuf> {
        match self {
            Self::Folder(folder) => Some(folder),
            _ => None,
        }
    }
}

pub(super) fn read(
    reader: &mut Reader,
    log: &LogConfig,
    destinations: &[DestinationConfig],
) -> DeadLetterConfig {
    let text = reader.text(NAME).trim().to_owned();
    let on_cloud_run = reader.plain(CLOUD_RUN).is_some();
    let (kind, rest) = text.split_once("://").unwrap_or(("", &text));
    let found = match (kind, rest) {
        ("", "") if on_cloud_run => Some(unset_on_cloud_run(destinations)),
        ("", "") => Some(DeadLetterConfig::Folder(PathBuf::from(FOLDER))),
        ("", "none") => {
            if matches!(log, LogConfig::Disk(_)) {
                reader.fault(
                    &format!("{PREFIX}{NAME}"),
                    "must name a place: none works with a log in memory only, where a 2xx need not be given before the destinations have had their say",
                );
            }
            Some(DeadLetterConfig::Nowhere)
        }
        #[cfg(feature = "bigquery")]
        ("", "bigquery") => match beside(destinations) {
            Some(place) => Some(DeadLetterConfig::Table(place)),
            None => {
                reader.fault(
                    &format!("{PREFIX}{NAME}"),
                    "must name a table as bigquery://project.dataset.table: bigquery alone is the one beside that of strategy direct, which is not among WRITERS__STRATEGY",
                );
                Some(DeadLetterConfig::Nowhere)
            }
        },
        // What is meant as another kind is no folder's name.
        ("", path) if path.contains(':') || is_kind(path) => None,
        ("" | "file", path) if !path.is_empty() => {
            if on_cloud_run {
                reader.fault(
                    &format!("{PREFIX}{NAME}"),
                    "must not be on this machine on Cloud Run, whose disk is memory that ends with the instance",
                );
            }
            Some(DeadLetterConfig::Folder(PathBuf::from(path)))
        }
        #[cfg(feature = "bigquery")]
        ("bigquery", table) => place(reader, table).map(DeadLetterConfig::Table),
        #[cfg(feature = "pubsub")]
        ("pubsub", topic) => super::pubsub::read_topic(reader, topic).map(DeadLetterConfig::Topic),
        #[cfg(feature = "delta")]
        (kind, _) if STORES.contains(&kind) => objects(reader, &text),
        _ => None,
    };
    found.unwrap_or_else(|| {
        let ways = format!("must be {}", WAYS.join(", or "));
        reader.fault(&format!("{PREFIX}{NAME}"), ways);
        DeadLetterConfig::Nowhere
    })
}

/// Whether a name without an address is that of a kind, but for how it is written.
fn is_kind(name: &str) -> bool {
    let kinds = ["none", "bigquery", "pubsub"];
    kinds.iter().any(|kind| kind.eq_ignore_ascii_case(name))
}

/// Nothing outlives an instance but what is outside of it.
#[cfg_attr(
    not(feature = "bigquery"),
    expect(unused_variables, reason = "there is no table to be beside of")
)]
fn unset_on_cloud_run(destinations: &[DestinationConfig]) -> DeadLetterConfig {
    #[cfg(feature = "bigquery")]
    if let Some(place) = beside(destinations) {
        return DeadLetterConfig::Table(place);
    }
    DeadLetterConfig::Nowhere
}

/// Beside the events' table, if there is one.
#[cfg(feature = "bigquery")]
fn beside(destinations: &[DestinationConfig]) -> Option<crate::writer::bigquery::Place> {
    destinations
        .iter()
        .find_map(|destination| match &destination.writer {
            super::WriterConfig::BigQuery(config) => {
                Some(crate::writer::bigquery::Place::beside(config, BESIDE))
            }
            _ => None,
        })
}

/// The place of `project.dataset.table`; the project may have dots and colons itself.
#[cfg(feature = "bigquery")]
fn place(reader: &mut Reader, table: &str) -> Option<crate::writer::bigquery::Place> {
    let mut parts = table.rsplitn(3, '.');
    let (table, dataset, project) = (parts.next()?, parts.next()?, parts.next()?);
    let is_name = |text: &str, also: &[u8]| {
        let is_safe = |byte: u8| byte.is_ascii_alphanumeric() || also.contains(&byte);
        (1..=1024).contains(&text.len()) && text.bytes().all(is_safe)
    };
    let is_right = is_name(project, b"-:.") && is_name(dataset, b"_") && is_name(table, b"_-");
    is_right.then(|| crate::writer::bigquery::Place {
        project: project.to_owned(),
        dataset: dataset.to_owned(),
        table: table.to_owned(),
        endpoint: super::writers::endpoint(reader, "WRITERS__BQ__ENDPOINT"),
        grpc_endpoint: super::writers::endpoint(reader, "WRITERS__BQ__GRPC_ENDPOINT"),
        answer_timeout: reader.seconds("WRITERS__BQ__ANSWER_TIMEOUT"),
    })
}

/// Schemes of object stores (<https://docs.rs/object_store/latest/object_store/enum.ObjectStoreScheme.html>).
#[cfg(feature = "delta")]
const STORES: [&str; 8] = ["gs", "s3", "s3a", "az", "azure", "adl", "abfs", "abfss"];

#[cfg(feature = "delta")]
fn objects(reader: &Reader, text: &str) -> Option<DeadLetterConfig> {
    let url = url::Url::parse(text).ok()?;
    url.host_str()?;
    let options = reader.plain_with(&["AWS_", "AZURE_", "GOOGLE_"]);
    let options = options.map(|(name, value)| (name.to_lowercase(), value.to_owned()));
    Some(DeadLetterConfig::Objects(crate::letters::objects::Config {
        url,
        options: options.collect(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Fault, Invalid};

    fn read(pairs: &[(&str, &str)]) -> Result<DeadLetterConfig, Vec<Fault>> {
        let whole = |(name, value): &(&str, &str)| {
            let name = match name.strip_prefix('=') {
                Some(plain) => plain.to_owned(),
                None => format!("{PREFIX}{name}"),
            };
            (name, (*value).to_owned())
        };
        let read = Config::from_values(pairs.iter().map(whole).collect());
        read.map(|config| config.dead_letter)
            .map_err(|Invalid(faults)| faults)
    }

    #[track_caller]
    fn folder(pairs: &[(&str, &str)]) -> String {
        let found = read(pairs).unwrap();
        found.folder().expect("a folder").display().to_string()
    }

    #[test]
    fn rejected_rows_have_a_place_or_their_senders_are_told() {
        let memory = ("LOG__KIND", "memory");
        assert_eq!(folder(&[]), "./data/dead_letter");
        assert_eq!(folder(&[memory]), "./data/dead_letter");
        assert_eq!(folder(&[(NAME, "file:///mnt/x")]), "/mnt/x");
        let none = read(&[memory, (NAME, "none")]).unwrap();
        assert!(matches!(none, DeadLetterConfig::Nowhere));
        assert!(read(&[(NAME, "none")]).is_err());
    }

    #[test]
    fn what_is_no_place_is_told_with_the_ways() {
        for uri in [
            "file://",
            "bigquery://events",
            "bigquery://shop.analytics",
            "bigquery://shop.ana-lytics.events",
            "bigquery",
            "pubsub://topic",
            "pubsub://project/1",
            "pubsub://pro ject/topic",
            "gs://",
            "ftp://x/y",
        ] {
            let faults = read(&[(NAME, uri)]).unwrap_err();
            assert_eq!(faults.len(), 1, "{uri}");
            assert_eq!(faults[0].variable, format!("{PREFIX}{NAME}"), "{uri}");
            assert!(!faults[0].message.is_empty());
        }
    }

    #[cfg(feature = "bigquery")]
    #[test]
    fn tables_are_beside_the_events_or_where_it_is_told() {
        let direct = [
            ("WRITERS__PROJECT_ID", "shop"),
            ("WRITERS__BQ__DATASET_ID", "analytics"),
            ("WRITERS__BQ__TABLE_ID", "events"),
        ];
        let table = |found: Result<DeadLetterConfig, Vec<Fault>>| match found.unwrap() {
            DeadLetterConfig::Table(place) => {
                format!("{}.{}.{}", place.project, place.dataset, place.table)
            }
            other => panic!("{other:?}"),
        };
        let with = |more: &[(&str, &str)]| read(&[&direct[..], more].concat());
        let beside = "shop.analytics.events_dead_letter";
        assert_eq!(table(with(&[(NAME, "bigquery")])), beside);
        let platform = ("=K_SERVICE", "x");
        assert_eq!(table(with(&[platform])), beside);
        assert!(with(&[]).unwrap().folder().is_some(), "elsewhere a folder");
        let none = with(&[platform, (NAME, "none")]).unwrap();
        assert!(matches!(none, DeadLetterConfig::Nowhere));
        let memory = ("WRITERS__STRATEGY", "memory");
        let none = with(&[platform, memory]).unwrap();
        assert!(matches!(none, DeadLetterConfig::Nowhere));
        let other = (NAME, "bigquery://example.com:p.d.t-1");
        assert_eq!(table(read(&[other])), "example.com:p.d.t-1");
    }

    #[cfg(feature = "delta")]
    #[test]
    fn object_stores_get_what_the_environment_says_and_do_not_show_it() {
        let found = read(&[
            (NAME, "s3://bucket/x"),
            ("=AWS_SECRET_ACCESS_KEY", "hunter2"),
        ]);
        let DeadLetterConfig::Objects(config) = found.unwrap() else {
            panic!("objects");
        };
        let secret = ("aws_secret_access_key".to_owned(), "hunter2".to_owned());
        assert_eq!(config.options, [secret]);
        assert!(!format!("{config:?}").contains("hunter2"));
    }

    #[cfg(feature = "pubsub")]
    #[test]
    fn topics_are_named_with_their_project() {
        let found = read(&[(NAME, "pubsub://shop/rejected")]);
        let DeadLetterConfig::Topic(config) = found.unwrap() else {
            panic!("a topic");
        };
        assert_eq!(
            (config.project.as_str(), config.topic.as_str()),
            ("shop", "rejected")
        );
    }
}
