//! BigQuery: tables that are made and grown, rows that are there exactly once whatever happens on the way.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::tz::TimeZone;
use real_streaming::clock::SystemClock;
use real_streaming::durable::{Disk, RealDisk};
use real_streaming::pipeline::DeliveryConfig;
use real_streaming::schema::{self, LogId};
use real_streaming::writer::bigquery::{BigQueryWriter, Config};
use real_streaming::writer::{WriteError, Writer};
use serde_json::{Value, json};
use tempfile::TempDir;
use uuid::Uuid;

use crate::support::collector::{Collector, IMPATIENT};
use crate::support::process::Process;
use crate::support::{Builder, event, eventually, post};
use crate::writer_contract::batch;
use real_streaming_fakes::bigquery::BigQuery;
use real_streaming_fakes::bigquery::fault::{Call, Fault, When};

mod days;
mod requests;
mod united;

const TABLE: &str = "shop.analytics.events";

async fn bigquery() -> BigQuery {
    let bigquery = BigQuery::start().await;
    bigquery.create_dataset("shop", "analytics");
    bigquery
}

fn config(bigquery: &BigQuery, folder: Option<&TempDir>) -> Config {
    Config {
        project: "shop".to_owned(),
        dataset: "analytics".to_owned(),
        table: "events".to_owned(),
        time_zone: TimeZone::UTC,
        endpoint: bigquery.rest(),
        grpc_endpoint: bigquery.grpc(),
        flush_interval: Duration::from_millis(5),
        max_batch_rows: 500,
        answer_timeout: Duration::from_secs(1),
        journal: folder.map(|folder| folder.path().join("log/journals/events.jsonl")),
    }
}

pub(crate) fn writer(bigquery: &BigQuery, folder: Option<&TempDir>) -> Arc<dyn Writer> {
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    Arc::new(
        BigQueryWriter::new(&config(bigquery, folder), &disk, &SystemClock::shared())
            .expect("it can be made"),
    )
}

/// A collector that writes each row exactly once.
async fn collector(bigquery: &BigQuery, folder: &Arc<TempDir>) -> Collector {
    Builder::in_folder(Arc::clone(folder))
        .with_target(writer(bigquery, Some(folder)), IMPATIENT)
        .start()
        .await
}

fn folder() -> Arc<TempDir> {
    Arc::new(tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder"))
}

async fn all_delivered(collector: &Collector) {
    let destination = &collector.ledger.destinations()[0];
    // As long as something is delivered, more is waited for.
    while let before @ 1.. = destination.pending() {
        eventually("more is delivered", || destination.pending() < before).await;
    }
}

/// How often each event is in the table.
fn counts(bigquery: &BigQuery, table: &str) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for row in bigquery.rows(table) {
        let id = row["event_id"].as_str().expect("an id").to_owned();
        *counts.entry(id).or_default() += 1;
    }
    counts
}

#[track_caller]
fn each_once(bigquery: &BigQuery, ids: impl IntoIterator<Item = String>, what: &str) {
    let counts = counts(bigquery, TABLE);
    let expected: BTreeMap<String, usize> = ids.into_iter().map(|id| (id, 1)).collect();
    let wrong: Vec<_> = counts
        .iter()
        .filter(|(id, count)| expected.get(*id) != Some(count))
        .collect();
    let missing: Vec<_> = expected
        .keys()
        .filter(|id| !counts.contains_key(*id))
        .collect();
    assert!(
        wrong.is_empty() && missing.is_empty(),
        "{what}: wrong {wrong:?}, missing {missing:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_table_is_made_and_rows_are_exact() {
    let bigquery = bigquery().await;
    let collector = collector(&bigquery, &folder()).await;
    let made = bigquery.table(TABLE).expect("the table is made at start");
    let ours = schema::bigquery::table();
    assert_eq!(made["schema"]["fields"], ours["schema"]["fields"]);
    assert_eq!(made["timePartitioning"]["field"], "date");
    assert_eq!(made["clustering"], ours["clustering"]);
    let body = json!({
        "event_name": "purchase", "event_id": "exact",
        "event_params": [
            {"key": "big", "value": {"int_value": i64::MAX}},
            {"key": "price", "value": {"double_value": 19.99}},
            {"key": "name", "value": {"string_value": "São Paulo 😀"}},
            {"key": "empty", "value": {"string_value": ""}},
            {"key": "zero", "value": {"int_value": 0}},
        ],
        "ecommerce": {"transaction_id": "T1", "value": 1_234_567.89},
        "items": [{"item_id": "a", "price": 19.99, "quantity": 3}],
    });
    collector.takes(&body.to_string()).await;
    all_delivered(&collector).await;
    let rows = bigquery.rows(TABLE);
    assert_eq!(rows.len(), 1);
    let row = &rows[0];
    assert_eq!(row["event_name"], "purchase");
    let value = |index: usize| row["event_params"][index]["value"].clone();
    assert_eq!(value(1)["double_value"], json!(19.99));
    assert_eq!(value(2)["string_value"], "São Paulo 😀");
    assert_eq!(value(3)["string_value"], "", "empty is not absent");
    assert!(value(4)["int_value"] == json!(0) || value(4)["int_value"] == json!("0"));
    assert_eq!(row["ecommerce"]["purchase_revenue"], json!(1_234_567.89));
    assert_eq!(row["items"][0]["price"], json!(19.99));
    assert_eq!(
        bigquery.lost_fields(),
        0,
        "the descriptor names every field"
    );
    collector.stop().await;
}

/// Sends events one after the other while `fault` happens to the appends, and expects each exactly once.
async fn exactly_once_through(what: &str, happen: impl Fn(&BigQuery)) {
    let bigquery = bigquery().await;
    let collector = collector(&bigquery, &folder()).await;
    let mut ids = Vec::new();
    for number in 0..30 {
        if number == 7 || number == 15 {
            happen(&bigquery);
        }
        let id = format!("{number}");
        collector.takes(&event(&id)).await;
        ids.push(id);
    }
    all_delivered(&collector).await;
    each_once(&bigquery, ids, what);
    assert_eq!(bigquery.foreign_replays(), 0, "{what}");
    assert!(collector.dead_letters().is_empty(), "{what}");
    collector.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_row_is_there_once_whatever_happens_to_a_request() {
    use tonic::Code;
    for (what, fault) in [
        ("a hidden reply", Fault::HideReply),
        ("a cut", Fault::Cut),
        ("no answer, written", Fault::Hang { done: true }),
        ("no answer, not written", Fault::Hang { done: false }),
        ("unavailable", Fault::UNAVAILABLE),
        ("internal", Fault::INTERNAL),
        ("throttled", Fault::THROTTLED),
        ("throttled in the stream", Fault::THROTTLED_INSIDE),
        ("idle", Fault::IDLE),
        ("forbidden", Fault::FORBIDDEN),
        ("not authenticated", Fault::UNAUTHENTICATED),
        (
            "written, then aborted",
            Fault::DoneThenStatus(Code::Aborted, "the server restarts"),
        ),
    ] {
        exactly_once_through(what, |bigquery| {
            bigquery.fail(Call::Append, fault, When::Next(1));
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_row_is_there_once_whatever_happens_to_streams_and_connections() {
    exactly_once_through("streams are finalized", BigQuery::finalize_streams).await;
    exactly_once_through("connections break", BigQuery::cut_connections).await;
    exactly_once_through("the server goes away", BigQuery::go_away).await;
    exactly_once_through("streams cannot be made", |bigquery| {
        bigquery.cut_connections();
        bigquery.fail(Call::Streams, Fault::UNAVAILABLE, When::Next(3));
    })
    .await;
    exactly_once_through("every third request is hurt", |bigquery| {
        for (seed, fault) in [Fault::HideReply, Fault::UNAVAILABLE]
            .into_iter()
            .enumerate()
        {
            let when = When::Chance {
                probability: 0.15,
                seed: seed as u64,
            };
            bigquery.fail(Call::Append, fault, when);
        }
    })
    .await;
}

/// Where the binary finds BigQuery.
fn variables(bigquery: &BigQuery) -> [(&'static str, String); 5] {
    [
        ("WRITERS__PROJECT_ID", "shop".to_owned()),
        ("WRITERS__BQ__DATASET_ID", "analytics".to_owned()),
        ("WRITERS__BQ__TABLE_ID", "events".to_owned()),
        ("WRITERS__BQ__ENDPOINT", bigquery.rest()),
        ("WRITERS__BQ__GRPC_ENDPOINT", bigquery.grpc()),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn each_row_is_there_once_over_crashes() {
    let bigquery = bigquery().await;
    let folder = folder();
    let values = variables(&bigquery);
    let values: Vec<_> = values
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    let mut ids = Vec::new();
    for life in 0..10_u64 {
        let chance = |probability| When::Chance {
            probability,
            seed: life,
        };
        bigquery.fail(Call::Append, Fault::HideReply, chance(0.2));
        bigquery.fail(Call::Append, Fault::UNAVAILABLE, chance(0.2));
        let process = Process::start(folder.path(), &values).await;
        for number in 0..10 {
            let id = format!("{life}-{number}");
            assert_eq!(post(process.address, &event(&id)).await.status, 200);
            ids.push(id);
        }
        // In the middle of whatever it is doing.
        process.kill();
        bigquery.heal();
    }
    let process = Process::start(folder.path(), &values).await;
    eventually("all rows came", || bigquery.row_count(TABLE) >= ids.len()).await;
    assert!(process.terminate().success());
    each_once(&bigquery, ids, "crashes");
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_behind_an_expired_stream_are_not_lost() {
    let bigquery = bigquery().await;
    let folder = folder();
    let collector = collector(&bigquery, &folder).await;
    for id in ["1", "2"] {
        collector.takes(&event(id)).await;
    }
    all_delivered(&collector).await;
    bigquery.expire_streams();
    collector.takes(&event("3")).await;
    all_delivered(&collector).await;
    each_once(&bigquery, ["1", "2", "3"].map(str::to_owned), "expired");
    collector.stop().await;
    // At the end the stream was ended: nobody need ask it later.
    let asked = bigquery.calls(Call::Streams);
    bigquery.expire_streams();
    let collector = self::collector(&bigquery, &folder).await;
    assert_eq!(bigquery.calls(Call::Streams), asked);
    collector.takes(&event("4")).await;
    all_delivered(&collector).await;
    each_once(&bigquery, ["1", "2", "3", "4"].map(str::to_owned), "again");
    collector.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_before_the_stream_expired_loses_nothing() {
    let bigquery = bigquery().await;
    let folder = folder();
    let values = variables(&bigquery);
    let values: Vec<_> = values
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    let first = Process::start(folder.path(), &values).await;
    for id in ["1", "2"] {
        assert_eq!(post(first.address, &event(id)).await.status, 200);
    }
    eventually("rows came", || bigquery.row_count(TABLE) == 2).await;
    bigquery.be_unreachable();
    assert_eq!(post(first.address, &event("3")).await.status, 200);
    first.kill();
    bigquery.heal();
    bigquery.expire_streams();
    let second = Process::start(folder.path(), &values).await;
    let is_there = |id: &str| counts(&bigquery, TABLE).contains_key(id);
    eventually("the last came", || is_there("3")).await;
    assert!(second.terminate().success());
    // Those whose answer was on its way when the process was killed may be there twice.
    assert!(is_there("1") && is_there("2"));
}

fn array(ids: impl Iterator<Item = usize>) -> String {
    let events = ids.map(|id| serde_json::from_str(&event(&id.to_string())).unwrap());
    Value::Array(events.collect()).to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_bad_row_costs_no_other_wherever_it_stands() {
    const ROWS: usize = 500;
    let bigquery = bigquery().await;
    // In each array of so many the one whose turn it is: the first in the first, the last in the last.
    let is_bad = |id: usize| id / ROWS == id % ROWS;
    bigquery.poison("event_id", move |id| {
        let id = id.as_str().and_then(|id| id.parse().ok());
        id.is_some_and(is_bad)
    });
    let collector = collector(&bigquery, &folder()).await;
    for position in 0..ROWS {
        collector
            .takes(&array(position * ROWS..(position + 1) * ROWS))
            .await;
    }
    all_delivered(&collector).await;
    let good = (0..ROWS * ROWS).filter(|id| !is_bad(*id));
    let stored = bigquery.texts(TABLE, "event_id");
    assert_eq!(stored.len(), good.clone().count());
    let stored: BTreeSet<String> = stored.into_iter().collect();
    assert!(good.map(|id| id.to_string()).eq(sorted_by_number(&stored)));
    let mut dead: Vec<usize> = collector
        .dead_letters()
        .iter()
        .map(|letter| {
            let id = letter["row"]["event_id"].as_str().expect("an id");
            id.parse().expect("a number")
        })
        .collect();
    dead.sort_unstable();
    assert!(
        dead.into_iter()
            .eq((0..ROWS).map(|position| position * ROWS + position))
    );
    collector.stop().await;
}

fn sorted_by_number(ids: &BTreeSet<String>) -> Vec<String> {
    let mut ids: Vec<String> = ids.iter().cloned().collect();
    ids.sort_by_key(|id| id.parse::<usize>().expect("a number"));
    ids
}

/// What follows a refused request goes where that should have gone: the stream goes on, nothing is asked.
#[tokio::test(flavor = "multi_thread")]
async fn a_bad_row_does_not_end_its_stream() {
    let bigquery = bigquery().await;
    bigquery.poison("event_id", |id| id == "5");
    let collector = collector(&bigquery, &folder()).await;
    for rows in [0..10, 10..20] {
        collector.takes(&array(rows)).await;
        all_delivered(&collector).await;
    }
    assert_eq!(bigquery.streams().len(), 1);
    collector.stop().await;
    let others = (0..20).filter(|id| *id != 5).map(|id| id.to_string());
    each_once(&bigquery, others, "a bad row");
}

/// Its place in the request is not that in the batch where the batch begins with rows that the table has already.
#[tokio::test(flavor = "multi_thread")]
async fn a_bad_row_behind_rows_that_are_there_is_the_one_that_is_named() {
    let bigquery = bigquery().await;
    bigquery.poison("event_id", |id| id == "15");
    let folder = folder();
    let writer = writer(&bigquery, Some(&folder));
    writer.open().await.expect("the table is made");
    let log_id = LogId(Uuid::from_u128(1));
    bigquery.fail(Call::Append, Fault::HideReply, When::Next(1));
    let unanswered = writer.write(&batch(log_id, 1, 10)).await;
    assert!(matches!(unanswered, Err(WriteError::Transient { .. })));
    let refused = writer.write(&batch(log_id, 1, 20)).await;
    let Err(WriteError::Rejected(faults)) = refused else {
        panic!("{refused:?}");
    };
    let named: Vec<u64> = faults.iter().map(|fault| fault.sequence.0).collect();
    assert_eq!(named, [15]);
    writer.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_row_that_nobody_names_is_found_by_halving() {
    for is_exact in [true, false] {
        let bigquery = bigquery().await;
        let folder = folder();
        // 500 take nine requests until one row is alone; they may come in more than one batch.
        bigquery.fail(Call::Append, Fault::INVALID, When::Next(60));
        let writer = writer(&bigquery, is_exact.then_some(&*folder));
        let collector = Builder::in_folder(Arc::clone(&folder))
            .with_target(writer, IMPATIENT)
            .start()
            .await;
        collector.takes(&array(0..500)).await;
        all_delivered(&collector).await;
        let dead = collector.dead_letters();
        let dead: Vec<String> = dead
            .iter()
            .map(|line| line["row"]["event_id"].as_str().unwrap().to_owned())
            .collect();
        assert!((1..=60).contains(&dead.len()), "{dead:?}");
        let others = (0..500).map(|id| id.to_string());
        each_once(&bigquery, others.filter(|id| !dead.contains(id)), "halving");
        collector.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_under_way_behind_a_refused_request_does_not_take_its_place() {
    for (what, fault) in [
        ("a bad row", None),
        ("refused as a whole", Some(Fault::INVALID)),
        ("throttled", Some(Fault::THROTTLED_INSIDE)),
    ] {
        let bigquery = bigquery().await;
        bigquery.latency(Duration::from_millis(20));
        let folder = folder();
        let config = Config {
            max_batch_rows: 5,
            ..config(&bigquery, Some(&folder))
        };
        let disk: Arc<dyn Disk> = Arc::new(RealDisk);
        let writer = Arc::new(
            BigQueryWriter::new(&config, &disk, &SystemClock::shared()).expect("it can be made"),
        );
        let collector = Builder::in_folder(Arc::clone(&folder))
            .with_target(writer, IMPATIENT)
            .start()
            .await;
        match fault {
            Some(fault) => drop(bigquery.fail(Call::Append, fault, When::After(10))),
            None => bigquery.poison("event_id", |id| id.as_str() == Some("77")),
        }
        collector.takes(&array(0..300)).await;
        all_delivered(&collector).await;
        let is_bad = |id: &usize| fault.is_none() && *id == 77;
        let ids = (0..300).filter(|id| !is_bad(id)).map(|id| id.to_string());
        each_once(&bigquery, ids, what);
        assert_eq!(collector.dead_letters().len(), usize::from(fault.is_none()));
        collector.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_journal_nothing_is_lost_and_only_what_is_not_known_is_doubled() {
    let bigquery = bigquery().await;
    let collector = Builder::new()
        .set("LOG__KIND", "memory")
        .with_target(writer(&bigquery, None), IMPATIENT)
        .start()
        .await;
    for number in 0..30 {
        if number % 10 == 5 {
            bigquery.fail(Call::Append, Fault::UNAVAILABLE, When::Next(1));
        }
        if number == 20 {
            bigquery.fail(Call::Append, Fault::HideReply, When::Next(1));
        }
        collector.takes(&event(&number.to_string())).await;
    }
    all_delivered(&collector).await;
    let counts = counts(&bigquery, TABLE);
    assert_eq!(counts.len(), 30);
    let doubled: Vec<_> = counts.iter().filter(|(_, count)| **count > 1).collect();
    assert_eq!(doubled, [(&"20".to_owned(), &2)]);
    assert_eq!(bigquery.unanswered_rows(), 1, "which is the one");
    assert!(bigquery.streams().is_empty(), "only the default stream");
    collector.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_gets_the_columns_that_it_lacks_and_keeps_its_own() {
    let bigquery = bigquery().await;
    let mut table = schema::bigquery::table();
    let fields = table["schema"]["fields"].as_array_mut().unwrap();
    fields.retain(|field| field["name"] != "collector" && field["name"] != "event_id");
    fields.push(json!({"name": "note", "type": "STRING"}));
    bigquery.create_table(TABLE, table);
    // Writers learn of new columns late.
    bigquery.schema_lag(Duration::from_millis(300));
    let folders = (folder(), folder());
    let collectors = tokio::join!(
        collector(&bigquery, &folders.0),
        collector(&bigquery, &folders.1)
    );
    for (number, collector) in [&collectors.0, &collectors.1].into_iter().enumerate() {
        collector.takes(&event(&number.to_string())).await;
        all_delivered(collector).await;
    }
    let grown = bigquery.table(TABLE).unwrap();
    let names: Vec<&str> = grown["schema"]["fields"]
        .as_array()
        .unwrap()
        .iter()
        .map(|field| field["name"].as_str().unwrap())
        .collect();
    for name in ["note", "collector", "event_id"] {
        assert_eq!(
            names.iter().filter(|found| **found == name).count(),
            1,
            "{names:?}"
        );
    }
    each_once(&bigquery, ["0", "1"].map(str::to_owned), "two at once");
    collectors.0.stop().await;
    collectors.1.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn beside_the_predecessors_table_there_is_one_of_ours() {
    let bigquery = bigquery().await;
    let theirs = json!({"schema": {"fields": [
        {"name": "date", "type": "DATE"},
        {"name": "event_timestamp", "type": "INTEGER"},
        {"name": "event_name", "type": "STRING"},
        {"name": "stream_id", "type": "INTEGER"},
    ]}});
    bigquery.create_table(TABLE, theirs);
    let before = bigquery.table(TABLE);
    let collector = collector(&bigquery, &folder()).await;
    collector.takes(&event("1")).await;
    all_delivered(&collector).await;
    assert_eq!(bigquery.table(TABLE), before, "it is left alone");
    assert_eq!(bigquery.row_count("shop.analytics.events_ga4"), 1);
    collector.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_the_operator_can_mend_waits_in_the_log_and_is_not_done_by_force() {
    let bigquery = bigquery().await;
    let collector = collector(&bigquery, &folder()).await;
    collector.takes(&event("1")).await;
    all_delivered(&collector).await;
    bigquery.delete_table(TABLE);
    collector.takes(&event("2")).await;
    eventually("the delivery fails", || {
        collector.ledger.destinations()[0].failures() > 2
    })
    .await;
    assert!(bigquery.tables().is_empty(), "it is not made again");
    assert_eq!(collector.ledger.destinations()[0].pending(), 1);
    let before = bigquery.calls(Call::Append) + bigquery.calls(Call::Streams);
    tokio::time::sleep(Duration::from_millis(500)).await;
    let after = bigquery.calls(Call::Append) + bigquery.calls(Call::Streams);
    assert!(after - before < 50, "it is no hot loop: {}", after - before);
    bigquery.create_table(TABLE, schema::bigquery::table());
    all_delivered(&collector).await;
    each_once(&bigquery, ["2".to_owned()], "the new table");
    collector.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dataset_that_is_missing_is_told_and_waited_for() {
    let bigquery = BigQuery::start().await;
    let writer = writer(&bigquery, None);
    let error = writer.open().await.unwrap_err().to_string();
    assert!(error.contains("bq mk --dataset shop:analytics"), "{error}");
    bigquery.create_dataset("shop", "analytics");
    bigquery.fail(Call::Tables, Fault::FORBIDDEN, When::Next(1));
    let error = writer.open().await.unwrap_err().to_string();
    assert!(error.contains("roles/bigquery.dataEditor"), "{error}");
    writer.open().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_of_other_types_is_told_with_every_difference() {
    let bigquery = bigquery().await;
    let mut table = schema::bigquery::table();
    for field in table["schema"]["fields"].as_array_mut().unwrap() {
        if field["name"] == "user_id" || field["name"] == "event_timestamp" {
            field["type"] = json!("FLOAT");
        }
    }
    bigquery.create_table(TABLE, table);
    let error = writer(&bigquery, None)
        .open()
        .await
        .unwrap_err()
        .to_string();
    for line in [
        "user_id: is FLOAT, must be STRING",
        "event_timestamp: is FLOAT, must be INTEGER",
    ] {
        assert!(error.contains(line), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_come_when_the_row_is_there_with_the_predecessors_environment_on_cloud_run() {
    let bigquery = bigquery().await;
    let folder = folder();
    let (rest, grpc) = (bigquery.rest(), bigquery.grpc());
    let values = [
        ("WRITERS__PROJECT_ID", "shop"),
        ("WRITERS__BQ__DATASET_ID", "analytics"),
        ("WRITERS__BQ__TABLE_ID", "events"),
        ("WRITERS__BQ__MAX_QUEUE_SIZE", "100000"),
        ("WRITERS__PUBSUB__TOPIC_ID", "unused"),
        ("WRITERS__PUBSUB__SUBSCRIPTION_ID", "unused"),
        ("CORS__ALLOWED_ORIGINS", "[]"),
        ("WRITERS__BQ__ENDPOINT", &rest),
        ("WRITERS__BQ__GRPC_ENDPOINT", &grpc),
        ("DELIVERY__ACKNOWLEDGE", "written"),
    ];
    let process = Process::start(folder.path(), &values).await;
    bigquery.latency(Duration::from_millis(100));
    let begun = Instant::now();
    for number in 0..5 {
        let answer = post(process.address, &event(&number.to_string())).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        assert_eq!(
            bigquery.row_count(TABLE),
            number + 1,
            "a 2xx says that it is there"
        );
    }
    assert!(begun.elapsed() > Duration::from_millis(500));
    assert!(process.terminate().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_go_on_while_others_are_on_their_way() {
    let bigquery = bigquery().await;
    bigquery.latency(Duration::from_millis(50));
    let collector = Builder::new()
        .with_target(
            writer(&bigquery, None),
            DeliveryConfig {
                backoff_max: Duration::from_secs(1),
                ..IMPATIENT
            },
        )
        .start()
        .await;
    let begun = Instant::now();
    for batch in 0..20 {
        collector
            .takes(&array(batch * 500..(batch + 1) * 500))
            .await;
    }
    all_delivered(&collector).await;
    assert_eq!(bigquery.row_count(TABLE), 10_000);
    assert!(
        begun.elapsed() < Duration::from_secs(20),
        "{:?}",
        begun.elapsed()
    );
    collector.stop().await;
}
