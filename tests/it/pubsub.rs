//! Pub/Sub: what subscribers get, and what becomes of events when publishing fails.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use prost::Message;
use real_streaming::schema::{self, Event, Kind, LogId, Record, SequenceNumber};
use real_streaming::writer::pubsub::{Config, PubSubWriter};
use real_streaming::writer::{Batch, WriteError, Writer};
use serde_json::{Value, json};
use tonic::Code;
use uuid::Uuid;

use crate::support::collector::IMPATIENT;
use crate::support::process::Process;
use crate::support::pubsub::{Act, Emulator, Fake, TOPIC, config};
use crate::support::{Builder, Collector, event, eventually, post};
use crate::writer_contract::batch;

fn writer(config: Config) -> Arc<PubSubWriter> {
    Arc::new(PubSubWriter::new(config).unwrap())
}

const LOG: LogId = LogId(Uuid::from_u128(9));

/// A batch of events whose ids are the numbers, with so much text each.
fn large(first: u64, last: u64, bytes: usize) -> Batch {
    let record = |number: u64| {
        let event = Event {
            event_id: Some(number.to_string()),
            ip: Some("x".repeat(bytes)),
            ..Event::default()
        };
        Record {
            sequence: SequenceNumber(number),
            kind: Kind::Event,
            payload: event.encode_to_vec().into(),
        }
    };
    Batch {
        log_id: LOG,
        records: (first..=last).map(record).collect(),
        last: SequenceNumber(last),
        previous: None,
    }
}

/// How often each id is there.
fn counted(ids: Vec<String>) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for id in ids {
        *counts.entry(id).or_default() += 1;
    }
    counts
}

#[track_caller]
fn each_once(ids: Vec<String>, count: usize) {
    let counts = counted(ids);
    assert_eq!(counts.len(), count, "{counts:?}");
    assert!(counts.values().all(|times| *times == 1), "{counts:?}");
}

/// A collector that publishes, and answers when that is done.
async fn collector(fake: &Fake) -> Collector {
    let writer = writer(Config {
        is_awaited: true,
        ..config(&fake.host)
    });
    let builder = Builder::new().with_target(writer, IMPATIENT);
    let builder = builder.set("DELIVERY__ACKNOWLEDGE", "written");
    builder.start().await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_predecessors_environment_publishes_rows_that_bigquery_reads() {
    let emulator = Emulator::start().await;
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    environment(folder.path(), &emulator.host);
    let process = Process::start(folder.path(), &[]).await;
    let body = json!({
        "event_name": "purchase", "event_id": "größe 1",
        "event_params": [
            {"key": "page_location", "value": {"string_value": "https://shop.test/a?utm_source=n1"}},
            {"key": "large", "value": {"int_value": i64::MAX}},
            {"key": "price", "value": {"double_value": 19.99}},
        ],
        "items": [{"item_id": "1", "price": 5, "quantity": 2}],
    });
    let answer = post(process.address, &body.to_string()).await;
    assert_eq!(answer.status, 200, "{}", answer.body);

    // It was answered when the emulator had it.
    let message = emulator.pull(1).await.remove(0);
    let attributes: BTreeMap<_, _> = message.attributes.iter().collect();
    let expected = [
        ("event_id", "größe 1"),
        ("event_name", "purchase"),
        ("stream_id", "1"),
    ];
    let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(attributes, expected.iter().map(|(k, v)| (k, v)).collect());
    let row: Value = serde_json::from_slice(&message.data).unwrap();
    let mut constant = row.clone();
    for (column, value) in constant.as_object_mut().unwrap() {
        let is_of_the_day = ["date", "time", "micro"]
            .iter()
            .any(|word| column.contains(word));
        if is_of_the_day || column.starts_with("synced") || column == "user_pseudo_id" {
            *value = "differs".into();
        }
    }
    insta::assert_json_snapshot!(constant);
    for filled in [
        "subscription_name",
        "message_id",
        "publish_time",
        "attributes",
    ] {
        assert!(row.get(filled).is_none(), "{filled}");
    }
    let has_null = String::from_utf8_lossy(&message.data).contains("null");
    assert!(!has_null, "{row}");
    let date = row["date"].as_str().unwrap();
    assert_eq!(date.replace('-', ""), row["event_date"]);
    assert!(row["synced_at_utc_"].as_str().unwrap().ends_with('Z'));
    assert!(row["event_timestamp"].is_i64());
    assert!(process.terminate().success());
    assert!(
        emulator.pull_some().await.is_empty(),
        "it was published once"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_table_behind_the_topic_is_made_and_is_no_condition() {
    use real_streaming_fakes::bigquery::BigQuery;
    use real_streaming_fakes::bigquery::fault::{Call, Fault, When};
    for may_make_tables in [true, false] {
        let emulator = Emulator::start().await;
        let bigquery = BigQuery::start().await;
        bigquery.create_dataset("test-project", "events");
        if !may_make_tables {
            bigquery.fail(Call::Tables, Fault::FORBIDDEN, When::Always);
        }
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        environment(folder.path(), &emulator.host);
        let endpoint = bigquery.rest();
        let values = [("WRITERS__BQ__ENDPOINT", endpoint.as_str())];
        let process = Process::start(folder.path(), &values).await;
        assert_eq!(post(process.address, &event("1")).await.status, 200);
        assert_eq!(emulator.pull_some().await.len(), 1);
        eventually("the table was asked for", || {
            bigquery.calls(Call::Tables) > 0
        })
        .await;
        if may_make_tables {
            eventually("the table is made", || !bigquery.tables().is_empty()).await;
            let fields =
                bigquery.table("test-project.events.events").unwrap()["schema"]["fields"].clone();
            assert_eq!(fields, schema::bigquery::table()["schema"]["fields"]);
        } else {
            assert!(bigquery.tables().is_empty());
        }
        assert!(process.terminate().success());
    }
}

/// The `.env` of the predecessor, on Cloud Run.
fn environment(folder: &Path, emulator: &str) {
    let text = format!(
        r#"K_SERVICE=stream-events
PUBSUB_EMULATOR_HOST={emulator}
APP_CONFIG__WRITERS__PROJECT_ID=test-project
APP_CONFIG__WRITERS__STRATEGY=pubsub
APP_CONFIG__WRITERS__BQ__DATASET_ID=events
APP_CONFIG__WRITERS__BQ__TABLE_ID=events
APP_CONFIG__WRITERS__BQ__FLUSH_INTERVAL=0.5
APP_CONFIG__WRITERS__BQ__MAX_BATCH_SIZE=500
APP_CONFIG__WRITERS__BQ__MAX_QUEUE_SIZE=100000
APP_CONFIG__WRITERS__PUBSUB__TOPIC_ID=events
APP_CONFIG__WRITERS__PUBSUB__SUBSCRIPTION_ID=events-sub
APP_CONFIG__WRITERS__PUBSUB__MAX_BYTES=1048576
APP_CONFIG__WRITERS__PUBSUB__PUBLISH_TIMEOUT=10.0
APP_CONFIG__WRITERS__PUBSUB__MAX_BATCH_SIZE=500
APP_CONFIG__WRITERS__PUBSUB__FLUSH_INTERVAL=0.5
APP_CONFIG__CORS__ALLOWED_ORIGINS='["https://127.0.0.1:8080","http://127.0.0.1:8080"]'
ENVIRONMENT=PROD
"#
    );
    std::fs::write(folder.join(".env"), text).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_lost_may_double_a_message_and_loses_none() {
    let fake = Fake::start().await;
    fake.play([Act::DoAndFail(Code::Unavailable)]);
    let collector = collector(&fake).await;
    collector.takes(&event("a")).await;
    collector.takes(&event("b")).await;
    collector.stop().await;
    let expected = [("a".to_owned(), 2), ("b".to_owned(), 1)];
    assert_eq!(counted(fake.ids()), BTreeMap::from(expected));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_without_an_id_for_each_message_is_none() {
    let fake = Fake::start().await;
    fake.play([Act::DoNothing]);
    let collector = collector(&fake).await;
    collector.takes(&event("a")).await;
    collector.stop().await;
    each_once(fake.ids(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_pass_is_tried_again() {
    let fake = Fake::start().await;
    let codes = [
        Code::Unavailable,
        Code::ResourceExhausted,
        Code::Internal,
        Code::Aborted,
        Code::Cancelled,
        Code::Unknown,
        Code::DeadlineExceeded,
    ];
    fake.play(codes.map(Act::Fail));
    let collector = collector(&fake).await;
    collector.takes(&event("a")).await;
    collector.stop().await;
    each_once(fake.ids(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_says_when_to_come_back() {
    let fake = Fake::start().await;
    fake.play([Act::FailFor(
        Code::ResourceExhausted,
        Duration::from_secs(7),
    )]);
    let failed = writer(config(&fake.host)).write(&batch(LOG, 1, 2)).await;
    let Err(WriteError::Transient { retry_after, .. }) = failed else {
        panic!("{failed:?}")
    };
    assert_eq!(retry_after, Some(Duration::from_secs(7)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_permission_keeps_events_until_it_is_given() {
    let fake = Fake::start().await;
    fake.always("Publish", Some(Code::PermissionDenied));
    let writer = writer(config(&fake.host));
    let Err(WriteError::Fatal(cause)) = writer.write(&batch(LOG, 1, 1)).await else {
        panic!("it must be fatal")
    };
    let told = cause.to_string();
    assert!(
        told.contains("roles/pubsub.publisher") && told.contains(TOPIC),
        "{told}"
    );

    let collector = Builder::new().with_target(writer, IMPATIENT).start().await;
    for id in 0..20 {
        collector.takes(&event(&id.to_string())).await;
    }
    let destination = collector.ledger.destinations().remove(0);
    eventually("the destination is unhealthy", || !destination.is_healthy()).await;
    assert_eq!(destination.pending(), 20);
    fake.always("Publish", None);
    eventually("all are published", || destination.pending() == 0).await;
    collector.stop().await;
    each_once(fake.ids(), 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_topic_is_told_or_made() {
    let fake = Fake::start().await;
    fake.topic(false);
    let Err(WriteError::Fatal(cause)) = writer(config(&fake.host)).open().await else {
        panic!("it must be fatal")
    };
    let told = cause.to_string();
    for word in [
        TOPIC,
        "WRITERS__PUBSUB__TOPIC_ID",
        "gcloud pubsub topics create",
    ] {
        assert!(told.contains(word), "{told}");
    }
    assert!(!fake.has_topic());
    let making = writer(Config {
        create: true,
        ..config(&fake.host)
    });
    making.open().await.unwrap();
    assert!(fake.has_topic());
    making.open().await.expect("one that is there is no error");
    making.write(&batch(LOG, 1, 1)).await.unwrap();

    fake.topic(false);
    let gone = making.write(&batch(LOG, 2, 2)).await;
    assert!(matches!(gone, Err(WriteError::Fatal(_))), "{gone:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publisher_that_may_not_look_publishes() {
    let fake = Fake::start().await;
    for method in ["GetTopic", "CreateTopic"] {
        fake.always(method, Some(Code::PermissionDenied));
    }
    for create in [false, true] {
        let writer = writer(Config {
            create,
            ..config(&fake.host)
        });
        writer.open().await.unwrap();
    }
    fake.always("GetTopic", Some(Code::Unavailable));
    let away = writer(config(&fake.host)).open().await;
    assert!(
        matches!(away, Err(WriteError::Transient { .. })),
        "{away:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_without_an_answer_is_given_up_with_its_connection() {
    let fake = Fake::start().await;
    fake.play([Act::Hang]);
    let writer = writer(Config {
        publish_timeout: Duration::from_millis(300),
        ..config(&fake.host)
    });
    let hung = writer.write(&batch(LOG, 1, 2)).await;
    assert!(
        matches!(hung, Err(WriteError::Transient { .. })),
        "{hung:?}"
    );
    let patient = eventually_written(&writer, &batch(LOG, 1, 2)).await;
    assert_eq!(patient, 2);
    each_once(fake.ids(), 2);
    assert!(
        fake.connections() > 1,
        "the next one has a connection of its own"
    );
}

/// Writes as often as it takes on a busy machine; the rows of the batch.
async fn eventually_written(writer: &PubSubWriter, batch: &Batch) -> usize {
    for _ in 0..20 {
        match writer.write(batch).await {
            Ok(()) => return batch.records.len(),
            Err(WriteError::Transient { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
    panic!("it was not written")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_message_costs_its_neighbours_nothing_wherever_it_stands() {
    const ROWS: u64 = 40;
    for poisoned in 1..=ROWS {
        let fake = Fake::start().await;
        fake.refuse(Some(&format!(r#""event_id":"{poisoned}""#)));
        let writer = writer(config(&fake.host));
        let mut all = large(1, ROWS, 1);
        let Err(WriteError::Rejected(faults)) = writer.write(&all).await else {
            panic!("{poisoned} must be rejected")
        };
        assert_eq!(faults.len(), 1, "{faults:?}");
        assert_eq!(faults[0].sequence, SequenceNumber(poisoned));
        assert!(faults[0].reason.contains("does not fit the schema"));
        all.records.retain(|record| record.sequence.0 != poisoned);
        writer.write(&all).await.unwrap();
        each_once(fake.ids(), ROWS as usize - 1);
        assert!(!fake.ids().contains(&poisoned.to_string()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_messages_are_in_the_dead_letter() {
    let fake = Fake::start().await;
    fake.refuse(Some("poison"));
    let writer = writer(config(&fake.host));
    let collector = Builder::new().with_target(writer, IMPATIENT).start().await;
    for id in ["a", "poison", "b", "c"] {
        collector.takes(&event(id)).await;
    }
    let destination = collector.ledger.destinations().remove(0);
    eventually("all are settled", || destination.pending() == 0).await;
    let letters = collector.dead_letters();
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0]["row"]["event_id"], "poison");
    collector.stop().await;
    each_once(fake.ids(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_refuses_everything_is_for_the_operator() {
    let fake = Fake::start().await;
    fake.refuse(Some("event_id"));
    let writer = writer(config(&fake.host));
    let Err(WriteError::Fatal(cause)) = writer.write(&large(1, 100, 1)).await else {
        panic!("it must be fatal")
    };
    assert!(cause.to_string().contains("schema"), "{cause}");
    fake.refuse(None);
    writer.write(&large(1, 100, 1)).await.unwrap();
    each_once(fake.ids(), 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_of_several_requests_goes_on_where_it_broke() {
    let fake = Fake::start().await;
    let writer = writer(config(&fake.host));
    let all = large(1, 25, 1_000_000);
    fake.play([Act::Do, Act::Fail(Code::Unavailable)]);
    let broke = writer.write(&all).await;
    assert!(
        matches!(broke, Err(WriteError::Transient { .. })),
        "{broke:?}"
    );
    assert_eq!(fake.requests(), [9]);
    writer.write(&all).await.unwrap();
    assert_eq!(fake.requests(), [9, 9, 7]);
    each_once(fake.ids(), 25);
    writer.write(&all).await.unwrap();
    assert_eq!(fake.ids().len(), 50, "a finished batch is forgotten");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_no_message_can_hold_is_rejected() {
    let fake = Fake::start().await;
    let writer = writer(config(&fake.host));
    let mut batch = large(1, 2, 10);
    batch
        .records
        .push(large(3, 3, 10_000_001).records.remove(0));
    batch.last = SequenceNumber(3);
    let Err(WriteError::Rejected(faults)) = writer.write(&batch).await else {
        panic!("it must be rejected")
    };
    assert_eq!(faults[0].sequence, SequenceNumber(3));
    assert!(fake.requests().is_empty(), "nothing was sent");
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_wait_share_requests_only_while_others_are_under_way() {
    let fake = Fake::start().await;
    let patient = config(&fake.host);
    let hurried = Config {
        is_awaited: true,
        ..patient.clone()
    };
    let limits = [patient, hurried].map(|config| writer(config).limits());
    assert_eq!(limits[0].age, Duration::from_millis(20));
    assert!(limits[1].age < Duration::from_millis(5));
    assert_eq!((limits[0].rows, limits[0].bytes), (500, 1 << 20));
}
