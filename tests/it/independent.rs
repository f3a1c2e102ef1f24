//! A reader that knows nothing of this program finds exactly what was sent, soon, and while files are merged.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::process::Process;
use crate::support::python::query;
use crate::support::{event, post, request};

#[tokio::test(flavor = "multi_thread")]
async fn what_was_sent_is_found_within_seconds_and_exact() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let process = Process::start(folder.path(), &[]).await;
    let body = r#"{
        "event_name": "purchase", "event_id": "exact",
        "event_params": [
            {"key": "big", "value": {"int_value": 9223372036854775807}},
            {"key": "odd", "value": {"int_value": 9007199254740993}},
            {"key": "price", "value": {"double_value": 19.99}},
            {"key": "name", "value": {"string_value": "São Paulo 😀"}},
            {"key": "zero", "value": {"int_value": 0}},
            {"key": "empty", "value": {"string_value": ""}}
        ],
        "ecommerce": {"transaction_id": "T1", "value": 1234567.89},
        "items": [{"item_id": "a", "price": 19.99, "quantity": 3}, {"item_id": "b", "price": 0.1}]
    }"#;
    let headers = [("Cookie", "__uid__=visitor-1")];
    let before = micros_now();
    let answer = request(
        process.address,
        "POST",
        "/api/v1/streaming/1",
        &headers,
        body.as_bytes(),
    )
    .await;
    let after = micros_now();
    assert_eq!(answer.status, 200, "{}", answer.body);

    let sql = "SELECT event_name, user_pseudo_id, event_timestamp, epoch_us(synced_at_utc_) AS synced, date,
        [p.key FOR p IN event_params] AS keys, [p.value.int_value FOR p IN event_params] AS ints,
        [p.value.double_value FOR p IN event_params] AS doubles, [p.value.string_value FOR p IN event_params] AS texts,
        [i.item_id FOR i IN items] AS item_ids, [i.price FOR i IN items] AS prices, [i.item_revenue FOR i IN items] AS revenues,
        ecommerce.purchase_revenue AS revenue, ecommerce.total_item_quantity AS quantity
        FROM events WHERE event_id = 'exact'";
    let begun = Instant::now();
    let rows = loop {
        match query(folder.path(), sql) {
            Ok(rows) if !rows.is_empty() => break rows,
            other => assert!(
                begun.elapsed() < Duration::from_secs(15),
                "it is not found: {other:?}"
            ),
        }
    };
    let row = &rows[0];
    assert_eq!(rows.len(), 1);
    assert_eq!(row["user_pseudo_id"], "visitor-1");
    assert_eq!(
        row["keys"].as_array().unwrap()[..6],
        *json!(["big", "odd", "price", "name", "zero", "empty"])
            .as_array()
            .unwrap()
    );
    assert_eq!(
        row["ints"].as_array().unwrap()[..6],
        *json!([i64::MAX, 9_007_199_254_740_993_i64, null, null, 0, null])
            .as_array()
            .unwrap()
    );
    assert_eq!(row["doubles"][2], json!(19.99));
    assert_eq!(
        (&row["texts"][3], &row["texts"][5]),
        (&json!("São Paulo 😀"), &json!(""))
    );
    assert_eq!(row["item_ids"], json!(["a", "b"]));
    assert_eq!(row["prices"], json!([19.99, 0.1]));
    assert_eq!(row["revenue"], json!(1_234_567.89));
    assert_eq!(row["synced"], row["event_timestamp"]);
    let time = row["event_timestamp"].as_i64().unwrap();
    assert!((before..=after).contains(&time), "{before} {time} {after}");
    assert_eq!(process.terminate().code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_never_fails_while_files_are_merged_and_removed() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let values = [
        ("WRITERS__DELTA__COMMIT_INTERVAL", "0.02"),
        ("WRITERS__DELTA__COMMIT_INTERVAL_MAX", "0.02"),
    ];
    let process = Process::start(folder.path(), &values).await;
    let address = process.address;
    let sender = tokio::spawn(async move {
        for id in 0..600 {
            assert_eq!(post(address, &event(&format!("{id:04}"))).await.status, 200);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    let count = "SELECT count(*) AS rows, count(DISTINCT event_id) AS ids FROM events";
    let mut reads = 0;
    while !sender.is_finished() {
        let rows =
            query(folder.path(), count).unwrap_or_else(|error| panic!("read {reads}: {error}"));
        assert_eq!(rows[0]["rows"], rows[0]["ids"]);
        reads += 1;
    }
    sender.await.unwrap();
    assert_eq!(process.terminate().code(), Some(0));
    assert!(reads >= 3, "{reads}");
    assert_eq!(
        query(folder.path(), count).unwrap()[0],
        json!({"rows": 600, "ids": 600})
    );
    let files = std::fs::read_dir(folder.path().join("data/events"))
        .unwrap()
        .count();
    assert!(files > 0);
}

fn micros_now() -> i64 {
    let elapsed = std::time::SystemTime::UNIX_EPOCH
        .elapsed()
        .expect("after 1970");
    i64::try_from(elapsed.as_micros()).expect("before the year 294246")
}
