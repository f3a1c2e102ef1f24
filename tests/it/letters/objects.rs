//! Dead letters in an object store, by its protocol.

use real_streaming::clock::SystemClock;
use real_streaming::letters::objects::{Config, ObjectLetters};
use real_streaming::pipeline::Archive;
use real_streaming::schema::{Event, Kind};

use prost::Message;

use super::*;
use crate::support::s3::{BUCKET, ObjectStore};

struct Objects(ObjectStore);

impl Objects {
    async fn start() -> Self {
        let store = ObjectStore::start().await;
        store.create_bucket().await;
        Self(store)
    }

    fn uri(&self) -> String {
        format!("s3://{BUCKET}/rejected")
    }
}

impl Place for Objects {
    fn name(&self) -> String {
        self.uri()
    }

    fn used_by(&self, builder: Builder) -> Builder {
        let with =
            |builder: Builder, (name, value): (&str, String)| builder.environment(name, &value);
        let environment = self.0.environment().into_iter();
        environment
            .fold(builder, with)
            .set("DEAD_LETTER__URI", &self.uri())
    }

    async fn rows(&self) -> Vec<(String, String)> {
        let options = self.0.environment().into_iter();
        let config = Config {
            url: self.uri().parse().expect("an address"),
            options: options
                .map(|(name, value)| (name.to_lowercase(), value))
                .collect(),
        };
        let letters = ObjectLetters::new(&config, SystemClock::shared()).expect("a store");
        let page = letters.excerpt("memory:a", None).await.expect("rows");
        assert_eq!(page.next, None);
        let row = |letter: real_streaming::pipeline::Letter| {
            let (kind, payload) = letter.record.expect("a record");
            assert_eq!(kind, Kind::Event);
            let event = Event::decode(payload).expect("an event");
            (event.event_id.expect("an id"), letter.reason)
        };
        page.letters.into_iter().map(row).collect()
    }

    async fn away(&self, _: bool) {
        unreachable!("its bucket is made late instead");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn in_objects_rows_are_there_before_the_answer() {
    rows_are_there_before_the_answer(&Objects::start().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_objects_rows_are_replayed_once() {
    rows_are_replayed_once_by_all(&Objects::start().await).await;
    a_row_that_is_rejected_again_is_replayed_again(&Objects::start().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_objects_a_log_in_memory_marks_what_the_destination_has() {
    a_log_in_memory_marks_what_the_destination_has(&Objects::start().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_objects_a_row_is_there_once_after_a_crash() {
    for is_noted in [true, false] {
        let times = times_there_after_a_crash(&Objects::start().await, is_noted).await;
        assert_eq!(times, 1, "noted: {is_noted}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn in_objects_a_row_is_there_once_in_whatever_company() {
    let place = Objects::start().await;
    // It remembers no position, so all comes again.
    let a = Arc::new(MemoryWriter::new("a", QUICK, usize::MAX, false));
    a.reject([SequenceNumber(2)]);
    let collector = place.used_by(Builder::new()).to(&a).start().await;
    let folder = Arc::clone(&collector.folder);
    let before = cursors(folder.path());
    let events = format!("[{},{},{}]", event("1"), event("2"), event("3"));
    collector.takes(&events).await;
    settled(&collector).await;
    collector.stop().await;
    // A crash before the note and the cursor.
    for (path, bytes) in before {
        std::fs::write(path, bytes).unwrap();
    }
    std::fs::remove_dir_all(folder.path().join("log/dead_lettered")).unwrap();
    a.reject([SequenceNumber(3)]);
    let collector = place
        .used_by(Builder::in_folder(folder))
        .to(&a)
        .start()
        .await;
    settled(&collector).await;
    let mut rows = place.rows().await;
    rows.sort();
    assert_eq!(rows, [bad("2"), bad("3")]);
    collector.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_wait_for_a_bucket_that_is_missing() {
    let place = Objects(ObjectStore::start().await);
    let a = rejecting([2]);
    let collector = place.used_by(Builder::new()).to(&a).start().await;
    for id in ["1", "2", "3"] {
        collector.takes(&event(id)).await;
    }
    let destination = Arc::clone(&collector.ledger.destinations()[0]);
    eventually("it is tried again", || destination.failures() > 2).await;
    assert!(destination.pending() > 0);
    place.0.create_bucket().await;
    settled(&collector).await;
    assert_eq!(destination.totals().dead_lettered, 1);
    assert_eq!(place.rows().await, [bad("2")]);
    collector.stop().await;
    assert_eq!(sorted(&a), ["1", "3"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn while_another_collector_replays_nobody_else_does() {
    let place = Objects::start().await;
    let (a, b) = (rejecting([1]), memory("a"));
    // With a log in memory a replay waits for the destination.
    let with = || Builder::new().set("LOG__KIND", "memory");
    let collector = place.used_by(with()).to(&a).start().await;
    let other = place.used_by(with()).to(&b).start().await;
    collector.takes(&event("e")).await;
    a.away(true);
    let (first, second) = tokio::join!(ask(&collector, ""), async {
        eventually("it is under way", || {
            collector.ledger.intake().replayed == 1
        })
        .await;
        let refused = ask(&other, "").await;
        a.away(false);
        refused
    });
    assert_eq!((first.status, second.status), (200, 409), "{}", second.body);
    assert_eq!(second.json()["code"], "not_replayed");
    assert_eq!(replayed(&other, "").await, 0);
    collector.stop().await;
    other.stop().await;
    assert_eq!((ids(&a), ids(&b)), (vec!["e".to_owned()], vec![]));
}
