//! The variables of Pub/Sub.

use crate::pipeline::Acknowledge;
use crate::schema::json::Integers;
use crate::writer::pubsub::{Config, MAX_BATCH_ROWS};

use super::read::{Choice, read_project, to_usize};
use super::reader::Reader;
use super::variables::PREFIX;

/// Set where programs are to talk to an emulator (<https://cloud.google.com/pubsub/docs/emulator>).
const EMULATOR: &str = "PUBSUB_EMULATOR_HOST";

pub(super) fn read(reader: &mut Reader, acknowledge: Acknowledge) -> Config {
    Config {
        project: project(reader),
        topic: id(reader, "WRITERS__PUBSUB__TOPIC_ID", "topic"),
        is_awaited: acknowledge == Acknowledge::Written,
        ..read_how(reader)
    }
}

/// The topic of `project/topic`, with how rows are published anywhere. `None` if it is none.
pub(super) fn read_topic(reader: &mut Reader, name: &str) -> Option<Config> {
    let (project, topic) = name.split_once('/')?;
    (is_project(project) && is_id(topic)).then(|| Config {
        project: project.to_owned(),
        topic: topic.to_owned(),
        ..read_how(reader)
    })
}

fn read_how(reader: &mut Reader) -> Config {
    let integers = reader.parse("WRITERS__PUBSUB__INTEGERS", "number or string", |text| {
        Some(Choice(Some(match text {
            "number" => Integers::Numbers,
            "string" => Integers::Texts,
            _ => return None,
        })))
    });
    let max_batch_rows = reader.parse(
        "WRITERS__PUBSUB__MAX_BATCH_SIZE",
        &format!("a whole number from 1 to {MAX_BATCH_ROWS}"),
        |text| {
            let rows = text.parse().ok();
            rows.filter(|rows| (1..=MAX_BATCH_ROWS).contains(rows))
        },
    );
    Config {
        create: reader.boolean("WRITERS__PUBSUB__CREATE"),
        integers: integers.0.unwrap_or_default(),
        max_batch_rows,
        max_batch_bytes: to_usize(reader.bytes("WRITERS__PUBSUB__MAX_BYTES")),
        flush_interval: reader.seconds("WRITERS__PUBSUB__FLUSH_INTERVAL"),
        publish_timeout: reader.seconds("WRITERS__PUBSUB__PUBLISH_TIMEOUT"),
        emulator: reader.plain(EMULATOR).map(str::to_owned),
        ..Config::default()
    }
}

pub(super) fn read_subscription(reader: &mut Reader) -> crate::consume::Config {
    crate::consume::Config {
        project: project(reader),
        subscription: id(reader, "WRITERS__PUBSUB__SUBSCRIPTION_ID", "subscription"),
        emulator: reader.plain(EMULATOR).map(str::to_owned),
    }
}

fn project(reader: &mut Reader) -> String {
    let project = read_project(reader).unwrap_or_default();
    if !is_project(&project) {
        reader.fault(
            &format!("{PREFIX}WRITERS__PROJECT_ID"),
            "must be the id of your project on Google Cloud",
        );
    }
    project
}

fn is_project(project: &str) -> bool {
    let is_safe = |c: char| c.is_ascii_alphanumeric() || "-.:".contains(c);
    !project.is_empty() && project.chars().all(is_safe)
}

/// Whether it is the id of a topic or subscription (<https://cloud.google.com/pubsub/docs/pubsub-basics#resource_names>).
fn is_id(id: &str) -> bool {
    let is_safe = |c: char| c.is_ascii_alphanumeric() || "-_.~+%".contains(c);
    (3..=255).contains(&id.len())
        && id.starts_with(|c: char| c.is_ascii_alphabetic())
        && !id.starts_with("goog")
        && id.chars().all(is_safe)
}

fn id(reader: &mut Reader, name: &str, of: &str) -> String {
    let id = reader.text(name);
    if !is_id(&id) {
        let message = format!(
            "must be the id of your {of}, such as events: 3 to 255 letters, digits or -_.~+%, a letter first, not the path with projects/"
        );
        reader.fault(&format!("{PREFIX}{name}"), message);
    }
    id
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use super::*;
    use crate::config::{self, Invalid, LogConfig, WriterConfig};

    /// The environment of the system that this one replaces, as it documents it.
    const ORIGINAL: &[(&str, &str)] = &[
        ("RUN__HOST", "127.0.0.1"),
        ("RUN__PORT", "8000"),
        ("API__PREFIX", "/api"),
        ("API__V1__PREFIX", "/v1"),
        ("API__V1__STREAMING", "/streaming"),
        ("API__V1__FETCH", "/fetch"),
        ("WRITERS__PROJECT_ID", "my-project"),
        ("WRITERS__STRATEGY", "pubsub"),
        ("WRITERS__BQ__DATASET_ID", "events"),
        ("WRITERS__BQ__TABLE_ID", "events"),
        ("WRITERS__BQ__FLUSH_INTERVAL", "0.5"),
        ("WRITERS__BQ__MAX_BATCH_SIZE", "500"),
        ("WRITERS__BQ__MAX_QUEUE_SIZE", "100000"),
        ("WRITERS__PUBSUB__TOPIC_ID", "stream-events"),
        ("WRITERS__PUBSUB__SUBSCRIPTION_ID", "stream-events-sub"),
        ("WRITERS__PUBSUB__MAX_BYTES", "1048576"),
        ("WRITERS__PUBSUB__PUBLISH_TIMEOUT", "10.0"),
        ("WRITERS__PUBSUB__MAX_BATCH_SIZE", "500"),
        ("WRITERS__PUBSUB__FLUSH_INTERVAL", "0.5"),
        (
            "CORS__ALLOWED_ORIGINS",
            r#"["https://127.0.0.1:8080", "http://127.0.0.1:8080"]"#,
        ),
        ("COOKIE__HTTPONLY", "true"),
        ("COOKIE__SAMESITE", "none"),
    ];

    /// The original with changes; `=NAME` is a variable without the prefix.
    fn values(changes: &[(&str, &str)]) -> BTreeMap<String, String> {
        let whole = |(name, value): &(&str, &str)| {
            let name = match name.strip_prefix('=') {
                Some(plain) => plain.to_owned(),
                None => format!("{PREFIX}{name}"),
            };
            (name, (*value).to_owned())
        };
        ORIGINAL.iter().chain(changes).map(whole).collect()
    }

    fn config(changes: &[(&str, &str)]) -> Result<config::Config, Invalid> {
        config::Config::from_values(values(changes))
    }

    fn writer(changes: &[(&str, &str)]) -> Config {
        match config(changes).unwrap().destinations.remove(0).writer {
            WriterConfig::PubSub(config) => config,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_environment_of_the_predecessor_is_understood() {
        let found = writer(&[]);
        assert_eq!(
            (found.project.as_str(), found.topic.as_str()),
            ("my-project", "stream-events")
        );
        assert_eq!(
            (found.max_batch_rows, found.max_batch_bytes),
            (500, 1 << 20)
        );
        assert_eq!(found.flush_interval, Duration::from_millis(500));
        assert_eq!(found.publish_timeout, Duration::from_secs(10));
        assert_eq!(found.integers, Integers::Numbers);
        assert!(!found.create && !found.is_awaited && found.emulator.is_none());
    }

    #[test]
    fn on_cloud_run_clients_wait_for_the_topic() {
        let platform = ("=K_SERVICE", "x");
        assert!(matches!(
            config(&[platform]).unwrap().log,
            LogConfig::Memory { .. }
        ));
        assert!(writer(&[platform]).is_awaited);
    }

    #[test]
    fn what_is_set_is_used() {
        let found = writer(&[
            ("=PUBSUB_EMULATOR_HOST", "localhost:8085"),
            ("WRITERS__PUBSUB__INTEGERS", "string"),
            ("WRITERS__PUBSUB__CREATE", "true"),
            ("WRITERS__PUBSUB__MAX_BATCH_SIZE", "1000"),
            ("WRITERS__PROJECT_ID", ""),
            ("=GOOGLE_CLOUD_PROJECT", "of-the-machine"),
        ]);
        assert_eq!(found.emulator.as_deref(), Some("localhost:8085"));
        assert_eq!(found.integers, Integers::Texts);
        assert_eq!((found.create, found.max_batch_rows), (true, 1000));
        assert_eq!(found.project, "of-the-machine");
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        for (name, value) in [
            ("WRITERS__PROJECT_ID", ""),
            ("WRITERS__PROJECT_ID", "my/project"),
            ("WRITERS__PUBSUB__TOPIC_ID", ""),
            ("WRITERS__PUBSUB__TOPIC_ID", "projects/p/topics/t"),
            ("WRITERS__PUBSUB__TOPIC_ID", "google-topic"),
            ("WRITERS__PUBSUB__TOPIC_ID", "1st"),
            ("WRITERS__PUBSUB__CREATE", "perhaps"),
            ("WRITERS__PUBSUB__INTEGERS", "text"),
            ("WRITERS__PUBSUB__MAX_BATCH_SIZE", "1001"),
            ("WRITERS__PUBSUB__MAX_BATCH_SIZE", "0"),
            ("WRITERS__PUBSUB__MAX_BYTES", "0"),
            ("WRITERS__PUBSUB__FLUSH_INTERVAL", "0"),
            ("WRITERS__PUBSUB__PUBLISH_TIMEOUT", "-1"),
        ] {
            let Invalid(faults) = config(&[(name, value)]).unwrap_err();
            let named: Vec<_> = faults.iter().map(|fault| fault.variable.as_str()).collect();
            assert_eq!(named, [format!("{PREFIX}{name}")], "{name}={value}");
        }
    }

    #[test]
    fn a_subscription_is_consumed_into_another_strategy() {
        let consuming = |changes: &[(&str, &str)]| config::Config::consuming(values(changes));
        let delta = ("WRITERS__STRATEGY", "delta");
        let found = consuming(&[delta]).unwrap().consume.unwrap();
        assert_eq!(
            (found.project.as_str(), found.subscription.as_str()),
            ("my-project", "stream-events-sub")
        );
        assert!(config(&[delta]).unwrap().consume.is_none());
        let faults = consuming(&[("WRITERS__PUBSUB__SUBSCRIPTION_ID", "")]).unwrap_err();
        let named: Vec<_> = faults
            .0
            .iter()
            .map(|fault| fault.variable.as_str())
            .collect();
        let expected = [
            "APP_CONFIG__WRITERS__STRATEGY",
            "APP_CONFIG__WRITERS__PUBSUB__SUBSCRIPTION_ID",
        ];
        assert_eq!(named, expected);
    }

    #[test]
    fn other_strategies_do_not_ask_for_a_topic() {
        let none = ("WRITERS__PUBSUB__TOPIC_ID", "");
        assert!(config(&[none, ("WRITERS__STRATEGY", "memory")]).is_ok());
        let both = ("WRITERS__STRATEGY", r#"["memory","pubsub"]"#);
        assert_eq!(config(&[both]).unwrap().destinations.len(), 2);
    }
}
