//! Dead letters on a topic of Pub/Sub, from where `consume` replays them.

use tonic::Code;

use super::*;
use crate::support::process::command;
use crate::support::pubsub::{Emulator, Fake};

/// A collector whose dead letter is the topic of tests.
fn with_topic(builder: Builder, host: &str) -> Builder {
    builder
        .environment("PUBSUB_EMULATOR_HOST", host)
        .set("DEAD_LETTER__URI", "pubsub://test-project/events")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejected_row_is_published_with_the_reason_and_consumed_again() {
    let emulator = Emulator::start().await;
    let a = rejecting([1, 3]);
    let builder = Builder::new().set("DELIVERY__ACKNOWLEDGE", "written");
    let collector = with_topic(builder, &emulator.host).to(&a).start().await;
    collector.takes(&event("1")).await;
    let messages = emulator.pull(1).await;
    let (message, data) = (&messages[0], messages[0].data.to_vec());
    let row: Value = serde_json::from_slice(&data).expect("a row");
    assert_eq!(
        (&row["event_id"], &row["event_name"]),
        (&json!("1"), &json!("page_view"))
    );
    let attribute = |name: &str| message.attributes[name].as_str();
    assert_eq!(attribute("reason"), "not wanted");
    assert_eq!(attribute("destination"), "memory:a");
    assert_eq!((attribute("sequence"), attribute("event_id")), ("1", "1"));
    assert_eq!(attribute("log_id").len(), 32);
    // What is consumed from a subscription of the topic is in the log once more.
    collector.takes(&event("2")).await;
    collector.takes(&event("3")).await;
    let consumer = Builder::new().consuming(&emulator.host);
    let b = memory("a");
    let consumer = consumer.to(&b).start().await;
    eventually("it is consumed", || ids(&b) == ["3"]).await;
    consumer.stop().await;
    collector.stop().await;
    assert_eq!(ids(&a), ["2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn events_wait_for_a_topic_that_is_missing_or_refuses() {
    let fake = Fake::start().await;
    fake.topic(false);
    let a = rejecting([1, 2]);
    let collector = with_topic(Builder::new(), &fake.host).to(&a).start().await;
    collector.takes(&event("1")).await;
    let destination = Arc::clone(&collector.ledger.destinations()[0]);
    eventually("it is tried again", || destination.failures() > 2).await;
    assert_eq!(destination.pending(), 1);
    fake.topic(true);
    settled(&collector).await;
    fake.always("Publish", Some(Code::PermissionDenied));
    let failures = destination.failures();
    collector.takes(&event("2")).await;
    eventually("it is tried again", || {
        destination.failures() > failures + 2
    })
    .await;
    assert_eq!(destination.pending(), 1);
    fake.always("Publish", None);
    settled(&collector).await;
    assert_eq!(destination.totals().dead_lettered, 2);
    collector.stop().await;
    assert_eq!(fake.ids(), ["1", "2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_says_who_replays() {
    let fake = Fake::start().await;
    let a = rejecting([1]);
    let collector = with_topic(Builder::new(), &fake.host).to(&a).start().await;
    let answer = ask(&collector, "").await;
    assert_eq!(answer.status, 409, "{}", answer.body);
    assert_eq!(answer.json()["code"], "not_replayed");
    let port = collector.address.port().to_string();
    let values = [("RUN__HOST", "127.0.0.1"), ("RUN__PORT", port.as_str())];
    let folder = Arc::clone(&collector.folder);
    for arguments in [&["replay"][..], &["replay", "--dry-run"]] {
        let mut command = command(folder.path(), &values);
        command.args(arguments);
        let output = tokio::task::spawn_blocking(move || command.output());
        let output = output.await.expect("no panic").expect("it runs");
        assert_eq!(output.status.code(), Some(1));
        let errors = String::from_utf8(output.stderr).expect("text");
        let topic = "pubsub:projects/test-project/topics/events";
        assert!(
            errors.contains(topic) && errors.contains("consume"),
            "{errors}"
        );
    }
    collector.stop().await;
}
