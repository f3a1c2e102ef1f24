//! Dead letters: replayed once and only where they were rejected, over crashes too; and what happens where there are none.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use real_streaming::durable;
use real_streaming::durable::SimulatedDisk;
use real_streaming::ledger::DestinationTotals;
use real_streaming::schema::SequenceNumber;
use real_streaming::writer::Writer;
use real_streaming::writer::memory::{MemoryWriter, Step};
use serde_json::{Value, json};
use xxhash_rust::xxh3::xxh3_64;

use crate::support::client::{Answer, TOKEN, try_request};
use crate::support::collector::{IMPATIENT, QUICK, ids, memory};
use crate::support::process::{Process, command};
use crate::support::{Builder, Collector, admin, event, eventually, post, request};

const REPLAY: &str = "/api/v1/dead_letters/replay";

async fn replay(collector: &Collector, query: &str) -> Answer {
    let bearer = format!("Bearer {TOKEN}");
    let headers = [("Authorization", bearer.as_str())];
    let path = format!("{REPLAY}{query}");
    request(collector.address, "POST", &path, &headers, b"").await
}

/// Replays all that waits; how many it was.
async fn replayed(collector: &Collector) -> u64 {
    let answer = replay(collector, "").await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let done = answer.json();
    assert_eq!(
        (&done["is_complete"], &done["damaged"]),
        (&json!(true), &json!(0))
    );
    done["replayed"].as_u64().unwrap()
}

/// How many rows wait, by destination and reason.
async fn waiting(collector: &Collector, query: &str) -> Vec<(String, String, u64)> {
    let answer = admin(collector.address, &format!("/api/v1/dead_letters{query}")).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let listed = answer.json()["dead_letters"].clone();
    let groups = listed.as_array().unwrap().iter();
    groups
        .map(|group| {
            assert!(text(&group["first"]) <= text(&group["last"]), "{group}");
            let count = group["count"].as_u64().unwrap();
            (text(&group["destination"]), text(&group["reason"]), count)
        })
        .collect()
}

/// The state of the only event with this id at a destination.
async fn state(collector: &Collector, id: &str, destination: &str) -> Value {
    let answer = admin(collector.address, &format!("/api/v1/events/{id}")).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let events = answer.json()["events"].clone();
    assert_eq!(events.as_array().unwrap().len(), 1, "{events}");
    events[0]["destinations"][destination].clone()
}

async fn all_settled(collector: &Collector) {
    eventually("all is settled", || {
        let destinations = collector.ledger.destinations();
        destinations
            .iter()
            .all(|destination| destination.pending() == 0)
    })
    .await;
}

fn rejecting(name: &str, numbers: impl IntoIterator<Item = u64>) -> Arc<MemoryWriter> {
    let writer = memory(name);
    writer.reject(numbers.into_iter().map(SequenceNumber));
    writer
}

fn sorted_ids(writer: &MemoryWriter) -> Vec<String> {
    let mut ids = ids(writer);
    ids.sort();
    ids
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejected_row_is_replayed_once_and_only_where_it_was_rejected() {
    let (a, b) = (rejecting("a", [2]), memory("b"));
    let collector = Builder::new().to(&a).to(&b).start().await;
    let folder = Arc::clone(&collector.folder);
    for id in ["1", "2", "3"] {
        collector.takes(&event(id)).await;
    }
    all_settled(&collector).await;
    let one = ("memory:a".to_owned(), "not wanted".to_owned(), 1);
    assert_eq!(waiting(&collector, "").await, [one]);
    let rejected = json!({"state": "dead_lettered", "reason": "not wanted"});
    assert_eq!(state(&collector, "2", "memory:a").await, rejected);
    a.away(true);
    assert_eq!(replayed(&collector).await, 1);
    assert_eq!(replayed(&collector).await, 0);
    assert_eq!(waiting(&collector, "").await, []);
    let pending = json!({"state": "pending"});
    assert_eq!(state(&collector, "2", "memory:a").await, pending);
    a.away(false);
    all_settled(&collector).await;
    assert_eq!(ids(&a), ["1", "3", "2"]);
    assert_eq!(ids(&b), ["1", "2", "3"], "it has had the row already");
    for destination in ["memory:a", "memory:b"] {
        let stored = json!({"state": "stored"});
        assert_eq!(state(&collector, "2", destination).await, stored);
    }
    let totals = |collector: &Collector| {
        let destinations = collector.ledger.destinations();
        [destinations[0].totals(), destinations[1].totals()]
    };
    let expected = [
        DestinationTotals {
            stored: 3,
            dead_lettered: 1,
            ..DestinationTotals::default()
        },
        DestinationTotals {
            stored: 3,
            elsewhere: 1,
            ..DestinationTotals::default()
        },
    ];
    assert_eq!(totals(&collector), expected);
    let intake = collector.ledger.intake();
    assert_eq!(
        (intake.received, intake.replayed, intake.appended),
        (3, 1, 4)
    );
    collector.stop().await;

    let collector = Builder::in_folder(folder).to(&a).to(&b).start().await;
    assert_eq!(replayed(&collector).await, 0);
    assert_eq!(totals(&collector), expected);
    let intake = collector.ledger.intake();
    assert_eq!(
        (intake.received, intake.replayed, intake.appended),
        (3, 1, 4)
    );
    collector.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_replayed_for_others_counts_as_that_after_a_crash_too() {
    let (a, b) = (rejecting("a", [1]), memory("b"));
    let collector = Builder::new().to(&a).to(&b).start().await;
    let folder = Arc::clone(&collector.folder);
    collector.takes(&event("1")).await;
    all_settled(&collector).await;
    let cursors = folder.path().join("log/cursors");
    let paths = std::fs::read_dir(&cursors).expect("the folder is there");
    let before: Vec<_> = paths
        .map(|entry| entry.expect("an entry").path())
        .map(|path| (std::fs::read(&path).expect("a cursor"), path))
        .collect();
    assert_eq!(replayed(&collector).await, 1);
    collector.takes(&event("2")).await;
    all_settled(&collector).await;
    collector.stop().await;
    // As if the process had died between the writes and the cursors.
    for (cursor, path) in before {
        std::fs::write(path, cursor).expect("a cursor");
    }
    let collector = Builder::in_folder(folder).to(&a).to(&b).start().await;
    let destinations = collector.ledger.destinations();
    let [a_totals, b_totals] = [destinations[0].totals(), destinations[1].totals()];
    assert_eq!(
        (a_totals.stored, a_totals.dead_lettered, a_totals.elsewhere),
        (2, 1, 0)
    );
    assert_eq!(
        (b_totals.stored, b_totals.dead_lettered, b_totals.elsewhere),
        (2, 0, 1)
    );
    collector.stop().await;
    assert_eq!(
        (ids(&a), ids(&b)),
        (vec!["1".into(), "2".into()], vec!["1".into(), "2".into()])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_is_rejected_again_can_be_replayed_again() {
    let a = rejecting("a", [1, 2]);
    let collector = Builder::new().to(&a).start().await;
    collector.takes(&event("e")).await;
    all_settled(&collector).await;
    assert_eq!(replayed(&collector).await, 1);
    all_settled(&collector).await;
    let rejected = json!({"state": "dead_lettered", "reason": "not wanted"});
    assert_eq!(state(&collector, "e", "memory:a").await, rejected);
    assert_eq!(waiting(&collector, "").await.len(), 1);
    assert_eq!(replayed(&collector).await, 1);
    all_settled(&collector).await;
    let stored = json!({"state": "stored"});
    assert_eq!(state(&collector, "e", "memory:a").await, stored);
    assert_eq!(replayed(&collector).await, 0);
    let totals = collector.ledger.destinations()[0].totals();
    assert_eq!((totals.stored, totals.dead_lettered), (1, 2));
    collector.stop().await;
    assert_eq!(ids(&a), ["e"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_was_selected_is_replayed_and_only_for_who_may() {
    let (a, b) = (rejecting("a", [1, 2]), rejecting("b", [2]));
    let collector = Builder::new().to(&a).to(&b).start().await;
    for id in ["1", "2"] {
        collector.takes(&event(id)).await;
    }
    all_settled(&collector).await;
    for (query, expected) in [
        ("?since=2999-01-01T00:00:00Z", 0),
        ("?since=1h", 2),
        ("?until=1h", 0),
        ("?until=2999-01-01T00:00:00Z", 2),
        ("?reason=nonsense", 0),
        ("?reason=t%20want", 2),
        ("?destination=memory%3Ab", 1),
    ] {
        assert_eq!(waiting(&collector, query).await.len(), expected, "{query}");
    }
    for (query, status) in [
        ("?since=yesterday", 400),
        ("?nonsense=1", 400),
        ("?destination=memory:c", 404),
    ] {
        assert_eq!(replay(&collector, query).await.status, status, "{query}");
    }
    let stranger = request(collector.address, "POST", REPLAY, &[], b"").await;
    assert_eq!(stranger.status, 401);
    let bearer = format!("Bearer {TOKEN}");
    let lured = [
        ("Authorization", bearer.as_str()),
        ("Sec-Fetch-Site", "cross-site"),
    ];
    let lured = request(collector.address, "POST", REPLAY, &lured, b"").await;
    assert_eq!(
        (lured.status, &lured.json()["code"]),
        (403, &json!("cross_site"))
    );
    let answer = replay(&collector, "?since=2999-01-01T00:00:00Z").await;
    assert_eq!(answer.json()["replayed"], 0);
    let answer = replay(&collector, "?destination=memory:b&reason=want&since=1d").await;
    assert_eq!(answer.json()["replayed"], 1);
    all_settled(&collector).await;
    let two = ("memory:a".to_owned(), "not wanted".to_owned(), 2);
    assert_eq!(waiting(&collector, "").await, [two]);
    collector.stop().await;
    assert_eq!(
        (ids(&a), sorted_ids(&b)),
        (vec![], vec!["1".to_owned(), "2".to_owned()])
    );
}

fn journals(folder: &Path) -> Vec<PathBuf> {
    let entries =
        std::fs::read_dir(folder.join("dead_letter/replays")).expect("the folder is there");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_between_append_and_mark_doubles_nothing_and_loses_nothing() {
    let a = rejecting("a", [1, 2]);
    let collector = Builder::new().to(&a).start().await;
    let folder = Arc::clone(&collector.folder);
    for id in ["1", "2"] {
        collector.takes(&event(id)).await;
    }
    all_settled(&collector).await;
    assert_eq!(replayed(&collector).await, 2);
    all_settled(&collector).await;
    collector.stop().await;
    // As if the process had died before the marks, and before a third row was appended.
    let paths = journals(folder.path());
    assert_eq!(paths.len(), 1);
    let mut journal: Value = durable::unseal(&std::fs::read(&paths[0]).unwrap(), 1).unwrap();
    journal["is_done"] = json!(false);
    let mut third = journal["rows"][0].clone();
    third["sequence"] = json!(99);
    let rows = journal["rows"].as_array_mut().unwrap();
    rows.push(third);
    for row in rows {
        assert!(row.as_object_mut().unwrap().remove("as").is_some());
    }
    journal.as_object_mut().unwrap().remove("version");
    std::fs::write(&paths[0], durable::seal(&journal, 1).unwrap()).unwrap();

    let collector = Builder::in_folder(folder).to(&a).start().await;
    assert_eq!(replayed(&collector).await, 0);
    let settled: Value = durable::unseal(&std::fs::read(&paths[0]).unwrap(), 1).unwrap();
    let marks: Vec<_> = settled["rows"].as_array().unwrap().iter().collect();
    assert_eq!(marks.len(), 2, "the third was not appended: {settled}");
    assert_eq!((&marks[0]["as"], &marks[1]["as"]), (&json!(3), &json!(4)));
    collector.stop().await;
    assert_eq!(sorted_ids(&a), ["1", "2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn power_losses_during_a_replay_double_nothing_and_lose_nothing() {
    for seed in 0..24 {
        let disk = Arc::new(SimulatedDisk::new());
        let a = rejecting("a", 1..=5);
        let collector = Builder::new()
            .on_disk(Arc::clone(&disk) as _)
            .to(&a)
            .start()
            .await;
        let folder = Arc::clone(&collector.folder);
        let all: Vec<String> = (1..=5).map(|id| id.to_string()).collect();
        for id in &all {
            collector.takes(&event(id)).await;
        }
        all_settled(&collector).await;
        a.away(true);
        let address = collector.address;
        let (before, after) = (disk.syncs(), seed % 6);
        let replaying = tokio::spawn(async move {
            let bearer = format!("Bearer {TOKEN}");
            let headers = [("Authorization", bearer.as_str())];
            request(address, "POST", REPLAY, &headers, b"").await.status
        });
        eventually("it is under way", || {
            disk.syncs() >= before + after || replaying.is_finished()
        })
        .await;
        let disk = Arc::new(disk.crash(seed));
        // What it does from now on, it does on a disk that is not looked at again.
        assert_eq!(replaying.await.unwrap(), 200);
        collector.abort().await;
        a.away(false);

        let collector = Builder::in_folder(folder)
            .on_disk(disk)
            .to(&a)
            .start()
            .await;
        replayed(&collector).await;
        all_settled(&collector).await;
        assert_eq!(replayed(&collector).await, 0);
        let intake = collector.ledger.intake();
        assert_eq!((intake.received, intake.replayed), (5, 5), "seed {seed}");
        collector.stop().await;
        assert_eq!(sorted_ids(&a), all, "seed {seed}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_marked_is_not_replayed_again() {
    let disk = Arc::new(SimulatedDisk::new());
    let a = rejecting("a", [1]);
    let collector = Builder::new()
        .on_disk(Arc::clone(&disk) as _)
        .to(&a)
        .start()
        .await;
    collector.takes(&event("e")).await;
    all_settled(&collector).await;
    disk.set_sync_fault(Some(crate::support::every_sync_fails()), false);
    assert_eq!(replay(&collector, "").await.status, 500);
    assert_eq!(replay(&collector, "").await.status, 500);
    disk.set_sync_fault(None, false);
    assert_eq!(replayed(&collector).await, 1);
    assert_eq!(replayed(&collector).await, 0);
    all_settled(&collector).await;
    collector.stop().await;
    assert_eq!(ids(&a), ["e"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn whichever_sync_fails_each_row_is_replayed_once() {
    for nth in 1..=7 {
        let disk = Arc::new(SimulatedDisk::new());
        let a = rejecting("a", [1, 2]);
        let collector = Builder::new()
            .on_disk(Arc::clone(&disk) as _)
            .to(&a)
            .start()
            .await;
        for id in ["1", "2"] {
            collector.takes(&event(id)).await;
        }
        all_settled(&collector).await;
        // So that the deliveries sync nothing meanwhile.
        a.away(true);
        let fault = real_streaming::durable::Fault {
            nth,
            ..crate::support::every_sync_fails()
        };
        disk.set_sync_fault(Some(fault), false);
        let first = replay(&collector, "").await;
        disk.set_sync_fault(None, false);
        let begun = std::time::Instant::now();
        let mut second = replay(&collector, "").await;
        // The log goes on by itself.
        while second.status == 503 {
            assert!(begun.elapsed() < Duration::from_secs(20), "{}", second.body);
            tokio::time::sleep(Duration::from_millis(20)).await;
            second = replay(&collector, "").await;
        }
        assert_eq!(second.status, 200, "{nth}: {} {}", first.body, second.body);
        assert_eq!(replayed(&collector).await, 0, "{nth}");
        a.away(false);
        all_settled(&collector).await;
        collector.stop().await;
        assert_eq!(sorted_ids(&a), ["1", "2"], "{nth}: {}", first.body);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_in_memory_marks_what_the_destination_has() {
    let a = rejecting("a", [1]);
    let collector = Builder::new()
        .set("LOG__KIND", "memory")
        .to(&a)
        .start()
        .await;
    collector.takes(&event("e")).await;
    assert_eq!(replayed(&collector).await, 1);
    assert_eq!(ids(&a), ["e"], "it has it before the answer");
    assert_eq!(replayed(&collector).await, 0);
    collector.stop().await;
}

/// Lines of a dead letter, made by a collector.
async fn lines(count: u64) -> Vec<Value> {
    let a = rejecting("a", 1..=count);
    let collector = Builder::new().to(&a).start().await;
    let events: Vec<String> = (1..=count).map(|id| event(&format!("{id:04}"))).collect();
    collector.takes(&format!("[{}]", events.join(","))).await;
    all_settled(&collector).await;
    let lines = collector.dead_letters();
    collector.stop().await;
    lines
}

/// Puts text into the dead letter of a destination of the collector that runs in this folder.
fn put(folder: &Path, destination: &str, text: &str) {
    let letters = folder.join("data/dead_letter");
    let letters = letters.join(format!("{:016x}", xxh3_64(destination.as_bytes())));
    std::fs::create_dir_all(&letters).unwrap();
    std::fs::write(letters.join("x.jsonl"), text).unwrap();
}

#[cfg(feature = "delta")]
#[tokio::test(flavor = "multi_thread")]
async fn a_table_has_each_replayed_row_once_however_often_the_process_is_killed() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let values = [("WRITERS__DELTA__COMMIT_INTERVAL", "0.05")];
    let count = 4_000;
    let process = Process::start(folder.path(), &values).await;
    let health = request(process.address, "GET", "/health", &[], b"").await;
    let destination = health.json()["destinations"][0]["name"].clone();
    let destination = destination.as_str().unwrap().to_owned();
    let lines = lines(count).await.into_iter().map(|mut line| {
        line["destination"] = json!(destination);
        line.to_string() + "\n"
    });
    put(folder.path(), &destination, &lines.collect::<String>());
    let ask = async |address| {
        let bearer = format!("Bearer {TOKEN}");
        let headers = [("Authorization", bearer.as_str())];
        try_request(address, "POST", REPLAY, &headers, b"").await
    };
    let mut process = process;
    for wait in [5, 25, 45, 70, 100, 150] {
        let address = process.address;
        let killed = async {
            tokio::time::sleep(Duration::from_millis(wait)).await;
            process.kill();
        };
        let (_cut, ()) = tokio::join!(ask(address), killed);
        process = Process::start(folder.path(), &values).await;
    }
    let answer = ask(process.address).await.expect("an answer");
    assert_eq!(answer.json()["is_complete"], true, "{}", answer.body);
    assert_eq!(
        ask(process.address).await.expect("an answer").json()["replayed"],
        0
    );
    let begun = std::time::Instant::now();
    loop {
        let health = request(process.address, "GET", "/health", &[], b"").await;
        if health.json()["destinations"][0]["pending"] == 0 {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "{}", health.body);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(process.terminate().code(), Some(0));
    let mut ids: Vec<String> = crate::support::process::rows(folder.path())
        .iter()
        .map(|row| row["event_id"].as_str().expect("an id").to_owned())
        .collect();
    ids.sort();
    let all: Vec<String> = (1..=count).map(|id| format!("{id:04}")).collect();
    assert!(ids == all, "{} of {count}", ids.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_lists_and_replays_by_the_running_collector() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let mut line = lines(1).await.remove(0);
    line["destination"] = json!("memory:rows");
    // The second line was cut off by a crash.
    let cut = line.to_string().replace("\"sequence\":1", "\"sequence\":2");
    let text = format!("{line}\n{}", &cut[..cut.len() - 1]);
    put(folder.path(), "memory:rows", &text);

    let values = [("WRITERS__STRATEGY", "memory")];
    let process = Process::start(folder.path(), &values).await;
    let port = process.address.port().to_string();
    let run = |arguments: &[&str]| {
        let values = [values[0], ("RUN__HOST", "127.0.0.1"), ("RUN__PORT", &port)];
        let output = command(folder.path(), &values)
            .arg("replay")
            .args(arguments)
            .output()
            .expect("it runs");
        let text = String::from_utf8(output.stdout).unwrap();
        let errors = String::from_utf8(output.stderr).unwrap();
        (output.status.code(), text, errors)
    };
    let (code, listed, _) = run(&["--dry-run", "--since", "7d", "--reason", "not wanted"]);
    assert_eq!(code, Some(0));
    let rows: Vec<&str> = listed.lines().collect();
    assert_eq!(rows.len(), 2, "{listed}");
    assert!(rows[1].starts_with("1\t20"), "{listed}");
    assert!(rows[1].ends_with("\tmemory:rows\tnot wanted"), "{listed}");
    for expected in ["rows replayed: 1\n", "rows replayed: 0\n"] {
        let done = run(&["--destination", "memory:rows"]);
        assert_eq!(done, (Some(0), expected.to_owned(), String::new()));
    }
    let (code, _, errors) = run(&["--since", "yesterday"]);
    assert_eq!(code, Some(1));
    assert!(
        errors.contains("the collector answers 400: since must be"),
        "{errors}"
    );
    assert_eq!(process.terminate().code(), Some(0));
    let (code, _, errors) = run(&[]);
    assert_eq!(code, Some(1));
    assert!(
        errors.contains("no collector answers at 127.0.0.1"),
        "{errors}"
    );
}

/// A collector without a dead letter.
fn without() -> Builder {
    Builder::new()
        .set("LOG__KIND", "memory")
        .set("DEAD_LETTER__URI", "none")
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_dead_letter_who_sent_a_rejected_row_is_told() {
    let (a, b) = (memory("a"), rejecting("b", [2, 4]));
    let collector = without().to(&a).to(&b).start().await;
    collector.takes(&event("1")).await;
    let answer = post(collector.address, &event("2")).await;
    assert_eq!(answer.status, 422);
    let detail = json!([{"message": "not wanted"}]);
    assert_eq!(
        (&answer.json()["code"], &answer.json()["details"]),
        (&json!("rejected"), &detail)
    );
    // Nothing was promised, so it is not known as a duplicate.
    collector.takes(&event("2")).await;
    let several = format!("[{},{}]", event("4"), event("5"));
    let answer = post(collector.address, &several).await;
    assert_eq!(answer.status, 422, "{}", answer.body);
    let details = answer.json()["details"].clone();
    let message = "a destination will never take the event: not wanted";
    assert_eq!(details, json!([{"index": 0, "message": message}]));
    let answer = replay(&collector, "").await;
    assert_eq!(answer.json()["replayed"], 0);
    assert_eq!(waiting(&collector, "").await, []);
    let totals = collector.ledger.destinations()[1].totals();
    assert_eq!(
        (totals.stored, totals.rejected, totals.dead_lettered),
        (3, 2, 0)
    );
    assert_eq!(collector.ledger.intake().received, 5);
    collector.stop().await;
    assert_eq!(ids(&b), ["1", "2", "5"]);
    assert_eq!(ids(&a), ["1", "2", "2", "4", "5"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_dead_letter_duplicates_share_the_fate_of_the_first() {
    let a = rejecting("a", [1]);
    // Long enough that both wait.
    a.play([Step::Slow(Duration::from_millis(700))]);
    let collector = without().to(&a).start().await;
    let address = collector.address;
    let send = || tokio::spawn(async move { post(address, &event("e")).await.status });
    let first = send();
    eventually("it is under way", || a.attempts() == 1).await;
    let second = send();
    assert_eq!((first.await.unwrap(), second.await.unwrap()), (422, 422));
    assert_eq!(collector.ledger.intake().duplicate, 1);
    collector.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_dead_letter_an_optional_destination_rejects_nobody() {
    let (a, b) = (rejecting("a", [1]), memory("b"));
    let optional = real_streaming::pipeline::DeliveryConfig {
        max_lag: std::num::NonZeroU64::new(1_000),
        ..IMPATIENT
    };
    let collector = without()
        .with_target(Arc::clone(&a) as Arc<dyn Writer>, optional)
        .to(&b)
        .start()
        .await;
    collector.takes(&event("e")).await;
    all_settled(&collector).await;
    assert_eq!(collector.ledger.destinations()[0].totals().rejected, 1);
    collector.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_rows_are_replayed_in_parts() {
    let (limits, count) = (QUICK, 2_500);
    let a = Arc::new(MemoryWriter::new("a", limits, usize::MAX, true));
    a.reject((1..=count).map(SequenceNumber));
    let collector = Builder::new()
        .with_target(Arc::clone(&a) as Arc<dyn Writer>, IMPATIENT)
        .start()
        .await;
    let all: Vec<String> = (0..count).map(|id| event(&format!("{id:04}"))).collect();
    for some in all.chunks(500) {
        collector.takes(&format!("[{}]", some.join(","))).await;
    }
    all_settled(&collector).await;
    assert_eq!(waiting(&collector, "").await[0].2, count);
    assert_eq!(replayed(&collector).await, count);
    all_settled(&collector).await;
    assert_eq!(journals(collector.folder.path()).len(), 3);
    collector.stop().await;
    let stored = sorted_ids(&a);
    assert_eq!(stored.len() as u64, count);
    assert!(stored.windows(2).all(|pair| pair[0] < pair[1]));
}
