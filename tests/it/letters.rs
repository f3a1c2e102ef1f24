//! Dead letters outside of the machine: what was rejected is there before anybody is told, once or under one key, and is
//! replayed once, whoever asks and however often.

#[cfg(feature = "delta")]
mod objects;
mod table;
mod topic;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use real_streaming::schema::SequenceNumber;
use real_streaming::writer::memory::MemoryWriter;
use serde_json::{Value, json};

use crate::support::client::{Answer, TOKEN};
use crate::support::collector::{QUICK, ids, memory};
use crate::support::{Builder, Collector, admin, event, eventually, request};

/// A place for dead letters.
trait Place {
    /// What `/api/v1/events` calls it.
    fn name(&self) -> String;
    /// A collector that uses it.
    fn used_by(&self, builder: Builder) -> Builder;
    /// The ids of the events in it, with the reason.
    async fn rows(&self) -> Vec<(String, String)>;
    /// Goes out of reach, or comes back.
    async fn away(&self, is_away: bool);
}

/// The destination that rejects these.
fn rejecting(numbers: impl IntoIterator<Item = u64>) -> Arc<MemoryWriter> {
    let writer = memory("a");
    writer.reject(numbers.into_iter().map(SequenceNumber));
    writer
}

async fn ask(collector: &Collector, query: &str) -> Answer {
    let bearer = format!("Bearer {TOKEN}");
    let headers = [("Authorization", bearer.as_str())];
    let path = format!("/api/v1/dead_letters/replay{query}");
    request(collector.address, "POST", &path, &headers, b"").await
}

async fn replayed(collector: &Collector, query: &str) -> u64 {
    let answer = ask(collector, query).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let done = answer.json();
    assert_eq!(
        (&done["is_complete"], &done["damaged"]),
        (&json!(true), &json!(0))
    );
    done["replayed"].as_u64().unwrap()
}

/// How many rows wait.
async fn waiting(collector: &Collector) -> u64 {
    let answer = admin(collector.address, "/api/v1/dead_letters").await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let groups = answer.json()["dead_letters"].clone();
    let counts = groups.as_array().unwrap().iter();
    counts.map(|group| group["count"].as_u64().unwrap()).sum()
}

async fn settled(collector: &Collector) {
    eventually("all is settled", || {
        collector.ledger.destinations()[0].pending() == 0
    })
    .await;
}

fn bad(id: &str) -> (String, String) {
    (id.to_owned(), "not wanted".to_owned())
}

fn sorted(writer: &MemoryWriter) -> Vec<String> {
    let mut ids = ids(writer);
    ids.sort();
    ids
}

async fn rows_are_there_before_the_answer(place: &impl Place) {
    let a = rejecting([2]);
    let builder = Builder::new().set("DELIVERY__ACKNOWLEDGE", "written");
    let collector = place.used_by(builder).to(&a).start().await;
    collector.takes(&event("1")).await;
    collector.takes(&event("2")).await;
    assert_eq!(place.rows().await, [bad("2")]);
    let found = admin(collector.address, "/api/v1/events/2").await.json();
    let state = &found["events"][0]["destinations"]["memory:a"];
    assert_eq!(
        *state,
        json!({"state": "settled", "dead_letter": place.name()})
    );
    let totals = collector.ledger.destinations()[0].totals();
    assert_eq!((totals.stored, totals.dead_lettered), (1, 1));
    collector.stop().await;
    assert_eq!(ids(&a), ["1"]);
}

async fn rows_are_replayed_once_by_all(place: &impl Place) {
    let a = rejecting([1, 2]);
    let collector = place.used_by(Builder::new()).to(&a).start().await;
    let folder = Arc::clone(&collector.folder);
    for id in ["1", "2"] {
        collector.takes(&event(id)).await;
    }
    settled(&collector).await;
    assert_eq!(waiting(&collector).await, 2);
    for query in [
        "?reason=nonsense",
        "?since=2999-01-01T00:00:00Z",
        "?until=1h",
    ] {
        assert_eq!(replayed(&collector, query).await, 0, "{query}");
    }
    assert_eq!(replayed(&collector, "?reason=want&since=1h").await, 2);
    assert_eq!(replayed(&collector, "").await, 0);
    assert_eq!(waiting(&collector).await, 0);
    settled(&collector).await;
    collector.stop().await;
    // After a restart, and by another instance.
    let again = place
        .used_by(Builder::in_folder(folder))
        .to(&a)
        .start()
        .await;
    assert_eq!(replayed(&again, "").await, 0);
    assert_eq!(again.ledger.intake().replayed, 2);
    again.stop().await;
    let b = memory("a");
    let other = place.used_by(Builder::new()).to(&b).start().await;
    assert_eq!((waiting(&other).await, replayed(&other, "").await), (0, 0));
    other.stop().await;
    assert_eq!(
        (sorted(&a), ids(&b)),
        (vec!["1".to_owned(), "2".to_owned()], vec![])
    );
    let mut rows = place.rows().await;
    rows.sort();
    assert_eq!(rows, [bad("1"), bad("2")], "they stay where they are");
}

async fn a_row_that_is_rejected_again_is_replayed_again(place: &impl Place) {
    let a = rejecting([1, 2]);
    let collector = place.used_by(Builder::new()).to(&a).start().await;
    collector.takes(&event("e")).await;
    settled(&collector).await;
    for expected in [1, 1, 0] {
        assert_eq!(replayed(&collector, "").await, expected);
        settled(&collector).await;
    }
    collector.stop().await;
    assert_eq!(ids(&a), ["e"]);
}

async fn events_wait_while_it_is_away(place: &impl Place) {
    let a = rejecting([2]);
    let collector = place.used_by(Builder::new()).to(&a).start().await;
    place.away(true).await;
    for id in ["1", "2", "3"] {
        collector.takes(&event(id)).await;
    }
    let destination = Arc::clone(&collector.ledger.destinations()[0]);
    eventually("it is tried again", || destination.failures() > 2).await;
    assert!(destination.pending() > 0);
    assert_eq!(destination.totals().dead_lettered, 0);
    place.away(false).await;
    settled(&collector).await;
    let totals = destination.totals();
    assert_eq!((totals.stored, totals.dead_lettered), (2, 1));
    let rows: BTreeMap<_, _> = place.rows().await.into_iter().collect();
    assert_eq!(rows, BTreeMap::from([bad("2")]));
    collector.stop().await;
    assert_eq!(sorted(&a), ["1", "3"]);
}

/// Files of cursors as they were.
fn cursors(folder: &Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let files = std::fs::read_dir(folder.join("log/cursors")).expect("a folder");
    let paths = files.map(|file| file.expect("an entry").path());
    paths
        .map(|path| (path.clone(), std::fs::read(path).expect("a cursor")))
        .collect()
}

/// A crash between the dead letter and the cursor, and before the note of it where `is_noted` is false; how often the row is there.
async fn times_there_after_a_crash(place: &impl Place, is_noted: bool) -> usize {
    // It remembers no position, so all comes again.
    let a = Arc::new(MemoryWriter::new("a", QUICK, usize::MAX, false));
    a.reject([SequenceNumber(2)]);
    let collector = place.used_by(Builder::new()).to(&a).start().await;
    let folder = Arc::clone(&collector.folder);
    let before = cursors(folder.path());
    collector
        .takes(&format!("[{},{},{}]", event("1"), event("2"), event("3")))
        .await;
    settled(&collector).await;
    collector.stop().await;
    for (path, bytes) in before {
        std::fs::write(path, bytes).expect("a cursor");
    }
    if !is_noted {
        std::fs::remove_dir_all(folder.path().join("log/dead_lettered")).expect("notes");
    }
    let collector = place
        .used_by(Builder::in_folder(folder))
        .to(&a)
        .start()
        .await;
    settled(&collector).await;
    let totals = collector.ledger.destinations()[0].totals();
    assert_eq!((totals.stored, totals.dead_lettered), (2, 1));
    let times = place.rows().await.len();
    assert_eq!(waiting(&collector).await, 1, "one row under one key");
    assert_eq!(replayed(&collector, "").await, 1);
    settled(&collector).await;
    collector.stop().await;
    assert_eq!(sorted(&a), ["1", "1", "2", "3", "3"]);
    times
}

async fn a_log_in_memory_marks_what_the_destination_has(place: &impl Place) {
    let a = rejecting([1]);
    let with = || Builder::new().set("LOG__KIND", "memory");
    let collector = place.used_by(with()).to(&a).start().await;
    collector.takes(&event("e")).await;
    assert_eq!(replayed(&collector, "").await, 1);
    assert_eq!(ids(&a), ["e"], "it has it before the answer");
    assert_eq!(replayed(&collector, "").await, 0);
    collector.stop().await;
    let other = place.used_by(with()).to(&a).start().await;
    assert_eq!(replayed(&other, "").await, 0);
    other.stop().await;
}

/// Text of a JSON value.
fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
