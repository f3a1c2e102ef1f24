//! Dead letters in a table of BigQuery.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use prost::Message as _;
use real_streaming::schema::Event;
use real_streaming_fakes::bigquery::BigQuery;
use real_streaming_fakes::bigquery::fault::{Call, Fault, When};

use super::*;
use crate::support::collector::IMPATIENT;
use crate::support::post;
use crate::support::process::Process;

const EVENTS: &str = "shop.analytics.events";
const TABLE: &str = "shop.analytics.events_dead_letter";

async fn bigquery() -> BigQuery {
    let bigquery = BigQuery::start().await;
    bigquery.create_dataset("shop", "analytics");
    bigquery
}

/// The rows that are no marks.
fn letters(bigquery: &BigQuery) -> Vec<Value> {
    let mut rows = bigquery.rows(TABLE);
    rows.retain(|row| row["dead_letter"]["kind"] != "replayed");
    rows
}

impl Place for BigQuery {
    fn name(&self) -> String {
        format!("bigquery:{TABLE}")
    }

    fn used_by(&self, builder: Builder) -> Builder {
        builder
            .set("DEAD_LETTER__URI", &format!("bigquery://{TABLE}"))
            .set("WRITERS__BQ__ENDPOINT", &self.rest())
            .set("WRITERS__BQ__GRPC_ENDPOINT", &self.grpc())
            .set("WRITERS__BQ__ANSWER_TIMEOUT", "1")
    }

    async fn rows(&self) -> Vec<(String, String)> {
        let rows = letters(self).into_iter();
        rows.map(|row| {
            assert_eq!(row["dead_letter"]["destination"], "memory:a");
            (text(&row["event_id"]), text(&row["dead_letter"]["reason"]))
        })
        .collect()
    }

    async fn away(&self, is_away: bool) {
        match is_away {
            true => self.be_unreachable(),
            false => self.heal(),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_table_rows_are_there_before_the_answer() {
    let bigquery = bigquery().await;
    rows_are_there_before_the_answer(&bigquery).await;
    assert_eq!(
        bigquery.lost_fields(),
        0,
        "the descriptor names every field"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_table_rows_are_replayed_once() {
    rows_are_replayed_once_by_all(&bigquery().await).await;
    a_row_that_is_rejected_again_is_replayed_again(&bigquery().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_table_a_log_in_memory_marks_what_the_destination_has() {
    a_log_in_memory_marks_what_the_destination_has(&bigquery().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_wait_while_the_table_is_away() {
    events_wait_while_it_is_away(&bigquery().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_table_a_row_may_be_twice_after_a_crash_under_one_key() {
    assert_eq!(times_there_after_a_crash(&bigquery().await, true).await, 1);
    assert_eq!(times_there_after_a_crash(&bigquery().await, false).await, 2);
    let hidden = bigquery().await;
    let a = rejecting([1]);
    let collector = hidden.used_by(Builder::new()).to(&a).start().await;
    hidden.fail(Call::Append, Fault::HideReply, When::Next(1));
    collector.takes(&event("e")).await;
    settled(&collector).await;
    assert_eq!(letters(&hidden).len(), 2, "nobody knew that it was there");
    assert_eq!(waiting(&collector).await, 1);
    assert_eq!(replayed(&collector, "").await, 1);
    settled(&collector).await;
    collector.stop().await;
    assert_eq!(ids(&a), ["e"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_ends_every_connection_holds_up_nobody() {
    let bigquery = bigquery().await;
    // Neither table takes its columns; the dead letter does without them.
    bigquery.end_connection_at("event_id", |id| id == "2");
    let collector = bigquery
        .used_by(Builder::new())
        .with_target(crate::bigquery::writer(&bigquery, None), IMPATIENT)
        .start()
        .await;
    for id in ["1", "2", "3"] {
        collector.takes(&event(id)).await;
    }
    settled(&collector).await;
    let mut stored = bigquery.texts(EVENTS, "event_id");
    stored.sort();
    assert_eq!(stored, ["1", "3"]);
    let letters = letters(&bigquery);
    assert_eq!(letters.len(), 1, "{letters:?}");
    assert_eq!(letters[0]["event_id"], Value::Null);
    collector.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn marks_that_are_shown_late_double_nothing_here() {
    let bigquery = bigquery().await;
    let a = rejecting([1]);
    let collector = bigquery.used_by(Builder::new()).to(&a).start().await;
    let folder = Arc::clone(&collector.folder);
    collector.takes(&event("e")).await;
    settled(&collector).await;
    bigquery.list_only(1);
    assert_eq!(replayed(&collector, "").await, 1);
    assert_eq!(replayed(&collector, "").await, 0);
    settled(&collector).await;
    collector.stop().await;
    let again = bigquery.used_by(Builder::in_folder(folder));
    let again = again.to(&a).start().await;
    assert_eq!(replayed(&again, "").await, 0, "the journal knows it");
    again.stop().await;
    // In memory only this process knows it, until marks are shown.
    let with = || Builder::new().set("LOG__KIND", "memory");
    let b = memory("a");
    let collector = bigquery.used_by(with()).to(&b).start().await;
    assert_eq!(replayed(&collector, "").await, 1);
    assert_eq!(replayed(&collector, "").await, 0);
    collector.stop().await;
    bigquery.heal();
    let collector = bigquery.used_by(with()).to(&b).start().await;
    assert_eq!(replayed(&collector, "").await, 0);
    collector.stop().await;
    assert_eq!(
        (ids(&a), ids(&b)),
        (vec!["e".to_owned()], vec!["e".to_owned()])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_cannot_be_marked_is_not_replayed_again() {
    for kind in ["disk", "memory"] {
        let bigquery = bigquery().await;
        let a = rejecting([1]);
        let builder = Builder::new().set("LOG__KIND", kind);
        let collector = bigquery.used_by(builder).to(&a).start().await;
        collector.takes(&event("e")).await;
        settled(&collector).await;
        bigquery.fail(Call::Append, Fault::FORBIDDEN, When::Next(2));
        assert_eq!(ask(&collector, "").await.status, 500, "{kind}");
        assert_eq!(ask(&collector, "").await.status, 500, "{kind}");
        assert_eq!(replayed(&collector, "").await, 0, "{kind}");
        settled(&collector).await;
        collector.stop().await;
        assert_eq!(ids(&a), ["e"], "{kind}");
        let marks = bigquery.rows(TABLE).len() - letters(&bigquery).len();
        assert_eq!(marks, 1, "{kind}");
    }
}

fn direct<'v>(rest: &'v str, grpc: &'v str) -> Vec<(&'v str, &'v str)> {
    vec![
        ("=K_SERVICE", "collector"),
        ("WRITERS__PROJECT_ID", "shop"),
        ("WRITERS__BQ__DATASET_ID", "analytics"),
        ("WRITERS__BQ__TABLE_ID", "events"),
        ("WRITERS__BQ__ENDPOINT", rest),
        ("WRITERS__BQ__GRPC_ENDPOINT", grpc),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn on_cloud_run_a_poisoned_row_is_beside_the_events_and_its_sender_gets_200() {
    let bigquery = bigquery().await;
    bigquery.poison("event_id", |id| id.as_str() == Some("bad"));
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let (rest, grpc) = (bigquery.rest(), bigquery.grpc());
    let process = Process::start(folder.path(), &direct(&rest, &grpc)).await;
    let made = bigquery.table(TABLE).expect("it is made at start");
    let columns = made["schema"]["fields"].as_array().unwrap();
    assert_eq!(columns.last().unwrap()["name"], "dead_letter");
    let several = format!("[{},{},{}]", event("1"), event("bad"), event("2"));
    let answer = post(process.address, &several).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let events = bigquery.rows(EVENTS);
    let mut ids: Vec<String> = events.iter().map(|row| text(&row["event_id"])).collect();
    ids.sort();
    assert_eq!(ids, ["1", "2"]);
    let rows = letters(&bigquery);
    assert_eq!(rows.len(), 1);
    let letter = &rows[0]["dead_letter"];
    assert!(text(&letter["reason"]).contains("poison"), "{letter}");
    assert_eq!(letter["destination"], format!("bigquery:{EVENTS}"));
    // It is refused here too, so the event's columns are left out; the record has it.
    assert!(rows[0]["event_id"].is_null());
    assert!(text(&letter["record"]).len() > 100);
    bigquery.heal();
    let bearer = format!("Bearer {TOKEN}");
    let headers = [("Authorization", bearer.as_str())];
    let path = "/api/v1/dead_letters/replay";
    let done = request(process.address, "POST", path, &headers, b"").await;
    assert_eq!(done.json()["replayed"], 1, "{}", done.body);
    let ids = bigquery.rows(EVENTS).into_iter();
    assert!(ids.map(|row| text(&row["event_id"])).any(|id| id == "bad"));
    assert!(process.terminate().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn over_crashes_each_event_is_in_the_table_or_rejected_under_one_key() {
    let bigquery = bigquery().await;
    let is_bad = |id: &str| id.ends_with('7');
    bigquery.poison("event_id", move |id| id.as_str().is_some_and(is_bad));
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let (rest, grpc) = (bigquery.rest(), bigquery.grpc());
    let mut values = direct(&rest, &grpc).split_off(1);
    values.push(("DEAD_LETTER__URI", "bigquery"));
    let mut ids = Vec::new();
    for life in 0..6_u64 {
        let chance = |probability| When::Chance {
            probability,
            seed: life,
        };
        let faults = [Fault::HideReply, Fault::UNAVAILABLE];
        let rules = faults.map(|fault| bigquery.fail(Call::Append, fault, chance(0.2)));
        let process = Process::start(folder.path(), &values).await;
        for number in 0..10 {
            let id = format!("{life}-{number}");
            assert_eq!(post(process.address, &event(&id)).await.status, 200);
            ids.push(id);
        }
        // In the middle of whatever it is doing.
        process.kill();
        rules.into_iter().for_each(|rule| bigquery.end(rule));
    }
    let process = Process::start(folder.path(), &values).await;
    let rejected = || -> BTreeMap<(String, String), String> {
        let rows = letters(&bigquery).into_iter();
        rows.map(|row| {
            let letter = &row["dead_letter"];
            let record = STANDARD.decode(text(&letter["record"])).expect("bytes");
            let event = Event::decode(record.as_slice()).expect("an event");
            let key = (text(&letter["log_id"]), letter["sequence"].to_string());
            (key, event.event_id.expect("an id"))
        })
        .collect()
    };
    let (good, bad): (Vec<_>, Vec<_>) = ids.into_iter().partition(|id| !is_bad(id));
    eventually("all are somewhere", || {
        bigquery.row_count(EVENTS) >= good.len() && rejected().len() >= bad.len()
    })
    .await;
    assert!(process.terminate().success());
    let sorted = |mut ids: Vec<String>| {
        ids.sort();
        ids
    };
    let stored = bigquery.rows(EVENTS).into_iter();
    assert_eq!(
        sorted(stored.map(|row| text(&row["event_id"])).collect()),
        sorted(good)
    );
    assert_eq!(sorted(rejected().into_values().collect()), sorted(bad));
}

#[tokio::test(flavor = "multi_thread")]
async fn on_cloud_run_without_a_dead_letter_the_sender_gets_422() {
    let bigquery = bigquery().await;
    bigquery.poison("event_id", |id| id.as_str() == Some("bad"));
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let (rest, grpc) = (bigquery.rest(), bigquery.grpc());
    let mut values = direct(&rest, &grpc);
    values.push(("DEAD_LETTER__URI", "none"));
    let process = Process::start(folder.path(), &values).await;
    assert_eq!(post(process.address, &event("bad")).await.status, 422);
    assert_eq!(bigquery.tables(), [EVENTS]);
    assert!(process.terminate().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_starts_while_the_table_cannot_be_had() {
    let bigquery = bigquery().await;
    bigquery.fail(
        Call::Tables,
        Fault::FORBIDDEN,
        When::For(Duration::from_secs(1)),
    );
    let a = rejecting([1]);
    let collector = bigquery.used_by(Builder::new()).to(&a).start().await;
    collector.takes(&event("e")).await;
    settled(&collector).await;
    assert_eq!(Place::rows(&bigquery).await, [bad("e")]);
    collector.stop().await;
}
