//! Events that come from a Pub/Sub subscription instead of over HTTP.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use googleapis_tonic_google_pubsub_v1::google::pubsub::v1::{PublishRequest, PubsubMessage};
use real_streaming::durable::SimulatedDisk;
use real_streaming::schema::LogId;
use real_streaming::writer::Writer;
use real_streaming::writer::pubsub::PubSubWriter;
use serde_json::Value;
use tonic::Code;
use uuid::Uuid;

use crate::support::collector::{ids, memory, rows};
use crate::support::process::{self, Process};
use crate::support::pubsub::{Emulator, Fake, SUBSCRIPTION, TOPIC, config};
use crate::support::{Builder, eventually, every_sync_fails, metrics, post};
use crate::writer_contract::batch;

fn row(id: &str) -> String {
    format!(r#"{{"event_name":"a","event_id":"{id}","stream_id":"1","date":"2026-11-21"}}"#)
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_are_acknowledged_once_they_are_where_they_belong() {
    let fake = Fake::start().await;
    let writer = memory("a");
    writer.away(true);
    let builder = Builder::new().consuming(&fake.host).to(&writer);
    let collector = builder
        .set("DELIVERY__ACKNOWLEDGE", "written")
        .start()
        .await;
    for id in ["1", "2", "3"] {
        fake.send(id, &row(id));
    }
    eventually("leases are renewed", || !fake.leases("3").is_empty()).await;
    assert_eq!(collector.ledger.intake().appended, 3);
    assert!(fake.acknowledged().is_empty(), "nothing is written yet");
    assert!(fake.leases("3").iter().all(|seconds| *seconds >= 10));
    writer.away(false);
    eventually("all are acknowledged", || fake.acknowledged().len() == 3).await;
    collector.stop().await;
    assert_eq!(ids(&writer).len(), 3);
    let stored = rows(&writer).remove(0);
    assert_eq!(stored["subscription_name"], SUBSCRIPTION);
    assert_eq!(stored["message_id"], stored["event_id"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_twice_is_stored_once_and_acknowledged_twice() {
    let fake = Fake::start().await;
    let writer = memory("a");
    let collector = Builder::new()
        .consuming(&fake.host)
        .to(&writer)
        .start()
        .await;
    // Redelivered under the same id, and published twice under two.
    for message in ["1", "1", "2"] {
        fake.send(message, &row("x"));
    }
    eventually("all are acknowledged", || fake.acknowledged().len() == 3).await;
    collector.stop().await;
    assert_eq!(ids(&writer), ["x"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_that_are_no_rows_are_kept_with_the_reason() {
    let fake = Fake::start().await;
    let writer = memory("a");
    let collector = Builder::new()
        .consuming(&fake.host)
        .to(&writer)
        .start()
        .await;
    fake.send("1", "hello");
    fake.send("2", &row("2"));
    fake.send("3", r#"{"event_name":"a","nonsense":1}"#);
    eventually("all are acknowledged", || fake.acknowledged().len() == 3).await;
    let mut letters = collector.dead_letters();
    letters.sort_by_key(|letter| letter["message_id"].to_string());
    let told = |letter: &Value| {
        let data = STANDARD.decode(letter["data"].as_str().unwrap()).unwrap();
        (letter["reason"].clone(), String::from_utf8(data).unwrap())
    };
    assert_eq!(letters.len(), 2);
    let first = "it is not a JSON object (line 1, column 1)";
    assert_eq!(told(&letters[0]), (first.into(), "hello".to_owned()));
    assert_eq!(letters[1]["reason"], "there is no column nonsense");
    assert_eq!(letters[1]["subscription"], SUBSCRIPTION);
    let intake = collector.ledger.intake();
    assert_eq!((intake.received, intake.rejected_field), (3, 2));
    collector.stop().await;
    assert_eq!(ids(&writer), ["2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_of_the_service_cost_nothing() {
    let fake = Fake::start().await;
    for method in ["Pull", "Acknowledge"] {
        fake.always(method, Some(Code::Unavailable));
    }
    let writer = memory("a");
    let collector = Builder::new()
        .consuming(&fake.host)
        .to(&writer)
        .start()
        .await;
    fake.send("1", &row("1"));
    eventually("pulls fail", || fake.calls("Pull") >= 4).await;
    fake.always("Pull", Some(Code::PermissionDenied));
    let before = fake.calls("Pull");
    eventually("they fail otherwise", || fake.calls("Pull") >= before + 4).await;
    fake.always("Pull", None);
    eventually("acknowledgements fail", || fake.calls("Acknowledge") >= 2).await;
    assert_eq!(ids(&writer), ["1"]);
    fake.always("Acknowledge", None);
    // On a slow machine the attempts may be used up by now; then the message comes again.
    fake.send("1", &row("1"));
    eventually("it is acknowledged", || !fake.acknowledged().is_empty()).await;
    collector.stop().await;
    assert_eq!(ids(&writer), ["1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn at_the_end_what_is_not_stored_is_not_acknowledged() {
    let fake = Fake::start().await;
    let writer = memory("a");
    writer.away(true);
    let builder = Builder::new().consuming(&fake.host).to(&writer);
    let collector = builder
        .set("DELIVERY__ACKNOWLEDGE", "written")
        .start()
        .await;
    fake.send("1", &row("1"));
    eventually("it is appended", || collector.ledger.intake().appended == 1).await;
    let begun = Instant::now();
    collector.stop().await;
    assert!(begun.elapsed() < Duration::from_secs(15));
    assert!(fake.acknowledged().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_could_not_be_made_durable_is_given_back() {
    let fake = Fake::start().await;
    let disk = Arc::new(SimulatedDisk::new());
    let writer = memory("a");
    let collector = Builder::new()
        .consuming(&fake.host)
        .on_disk(Arc::clone(&disk) as _)
        .to(&writer)
        .start()
        .await;
    disk.set_sync_fault(Some(every_sync_fails()), false);
    fake.send("1", &row("1"));
    eventually("it is given back", || fake.leases("1").contains(&0)).await;
    assert!(fake.acknowledged().is_empty());
    disk.set_sync_fault(None, false);
    fake.send("1", &row("1"));
    eventually("it is acknowledged", || !fake.acknowledged().is_empty()).await;
    collector.stop().await;
    assert_eq!(ids(&writer), ["1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_takes_nothing_over_http_and_can_be_watched() {
    let fake = Fake::start().await;
    let collector = Builder::new()
        .consuming(&fake.host)
        .to(&memory("a"))
        .start()
        .await;
    assert_eq!(post(collector.address, "{}").await.status, 404);
    assert!(metrics(collector.address).await.contains("received"));
    collector.stop().await;
}

/// Wrong configuration, as whoever starts it sees it.
#[test]
fn a_loop_is_refused() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let values = [
        ("WRITERS__PROJECT_ID", "p"),
        ("WRITERS__STRATEGY", "pubsub"),
        ("WRITERS__PUBSUB__TOPIC_ID", "events"),
    ];
    let output = process::command(folder.path(), &values)
        .arg("consume")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(78));
    let text = String::from_utf8(output.stderr).unwrap();
    for name in ["WRITERS__STRATEGY", "WRITERS__PUBSUB__SUBSCRIPTION_ID"] {
        assert!(text.contains(name), "{text}");
    }
}

/// Messages of the writer, some of them twice, and one that is no row; into a table, past a crash.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_published_is_in_the_table_once() {
    const EVENTS: u64 = 4_000;
    let emulator = Emulator::start().await;
    let publisher = PubSubWriter::new(config(&emulator.host)).unwrap();
    let log_id = LogId(Uuid::from_u128(1));
    for first in (1..=EVENTS).step_by(500) {
        publisher
            .write(&batch(log_id, first, first + 499))
            .await
            .unwrap();
    }
    publisher.write(&batch(log_id, 1, 500)).await.unwrap();
    let hello = PubsubMessage {
        data: "hello".into(),
        ..PubsubMessage::default()
    };
    let request = PublishRequest {
        topic: TOPIC.to_owned(),
        messages: vec![hello],
    };
    emulator.publisher().publish(request).await.unwrap();

    let folder = Arc::new(tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap());
    let environment = format!(
        "PUBSUB_EMULATOR_HOST={}\nAPP_CONFIG__WRITERS__PROJECT_ID=test-project\n\
         APP_CONFIG__WRITERS__PUBSUB__SUBSCRIPTION_ID=events-sub\nAPP_CONFIG__WRITERS__STRATEGY=delta\n",
        emulator.host
    );
    std::fs::write(folder.path().join(".env"), environment).unwrap();
    let killed = Process::start_as("consume", folder.path(), &[]).await;
    until_rows(folder.path(), 1).await;
    killed.kill();
    let process = Process::start_as("consume", folder.path(), &[]).await;
    let rows = until_rows(folder.path(), EVENTS as usize).await;
    let distinct: BTreeSet<_> = rows.iter().map(|row| row["event_id"].as_str()).collect();
    assert_eq!(
        (rows.len(), distinct.len()),
        (EVENTS as usize, EVENTS as usize)
    );
    until_dead_letter(folder.path()).await;
    assert!(process.terminate().success());
    assert_eq!(process::rows(folder.path()).len(), EVENTS as usize);
}

/// The rows as soon as there are so many.
async fn until_rows(folder: &Path, count: usize) -> Vec<Value> {
    let begun = Instant::now();
    loop {
        let rows = process::rows(folder);
        if rows.len() >= count {
            return rows;
        }
        let (found, output) = (rows.len(), std::fs::read_to_string(folder.join("output")));
        assert!(
            begun.elapsed() < Duration::from_secs(120),
            "{found} of {count} rows\n{output:?}"
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn until_dead_letter(folder: &Path) {
    let is_there = || {
        let folders = std::fs::read_dir(folder.join("data/dead_letter"))
            .into_iter()
            .flatten();
        let files = folders.flat_map(|folder| std::fs::read_dir(folder.unwrap().path()).unwrap());
        let texts = files.map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap());
        texts
            .collect::<String>()
            .contains(&STANDARD.encode("hello"))
    };
    eventually("the message that is no row is kept", is_there).await;
}
