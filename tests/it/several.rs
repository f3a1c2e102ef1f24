//! BigQuery and Delta Lake at once: each has its own cursor and speed, and whether one is required decides what waits for it.

use std::time::{Duration, Instant};

use real_streaming_fakes::bigquery::BigQuery;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::process::{self, Process};
use crate::support::{event, eventually, metrics, post, request};

const TABLE: &str = "shop.analytics.events";
/// A waited-for thing must come within this time, also on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

async fn bigquery() -> BigQuery {
    let bigquery = BigQuery::start().await;
    bigquery.create_dataset("shop", "analytics");
    bigquery
}

fn folder() -> TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

/// A collector that writes to both, with these variables more.
async fn start(bigquery: &BigQuery, folder: &TempDir, more: &[(&str, &str)]) -> Process {
    let (rest, grpc) = (bigquery.rest(), bigquery.grpc());
    let mut values = vec![
        ("WRITERS__STRATEGY", r#"["direct","delta"]"#),
        ("WRITERS__PROJECT_ID", "shop"),
        ("WRITERS__BQ__DATASET_ID", "analytics"),
        ("WRITERS__BQ__TABLE_ID", "events"),
        ("WRITERS__BQ__FLUSH_INTERVAL", "0.01"),
        ("WRITERS__BQ__ENDPOINT", &rest),
        ("WRITERS__BQ__GRPC_ENDPOINT", &grpc),
        ("WRITERS__DELTA__COMMIT_INTERVAL", "0.05"),
        ("DELIVERY__BACKOFF_MAX", "0.1"),
        ("RUN__DRAIN", "1"),
    ];
    values.extend(more);
    Process::start(folder.path(), &values).await
}

async fn send(process: &Process, ids: std::ops::Range<usize>) {
    for id in ids {
        let answer = post(process.address, &event(&format!("{id:03}"))).await;
        assert_eq!(answer.status, 200, "{id}: {}", answer.body);
    }
}

fn ids(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|id| format!("{id:03}")).collect()
}

fn in_bigquery(bigquery: &BigQuery) -> Vec<String> {
    let mut ids = bigquery.texts(TABLE, "event_id");
    ids.sort();
    ids
}

fn in_delta(folder: &TempDir) -> Vec<String> {
    let rows = process::rows(folder.path());
    let id = |row: &Value| row["event_id"].as_str().expect("an id").to_owned();
    let mut ids: Vec<String> = rows.iter().map(id).collect();
    ids.sort();
    ids
}

/// Waits until `/readiness` tells this of both: whether it is healthy, and how many rows it has not got. Events are taken
/// all the while.
async fn readiness_tells(process: &Process, is_told: impl Fn(&[(bool, u64)]) -> bool) {
    let begun = Instant::now();
    loop {
        let answer = request(process.address, "GET", "/readiness", &[], b"").await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        let told = answer.json()["destinations"].as_array().unwrap().clone();
        let states = told.iter().map(|one| {
            let pending = one["pending"].as_u64().expect("a number");
            (one["healthy"] == true, pending)
        });
        let states: Vec<_> = states.collect();
        if is_told(&states) {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "{states:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_away_does_not_slow_the_other_and_gets_all_later() {
    let bigquery = bigquery().await;
    let folder = folder();
    let process = start(&bigquery, &folder, &[]).await;
    send(&process, 0..10).await;
    eventually("both have them", || in_bigquery(&bigquery).len() == 10).await;
    // Its answer has come, too.
    readiness_tells(&process, |states| states == [(true, 0), (true, 0)]).await;
    bigquery.be_unreachable();
    send(&process, 10..30).await;
    eventually("the other one has them", || in_delta(&folder).len() == 30).await;
    assert_eq!(in_bigquery(&bigquery).len(), 10);
    readiness_tells(&process, |states| states == [(false, 20), (true, 0)]).await;
    // Each goes on where it was, also in another life.
    assert!(process.terminate().success());
    bigquery.heal();
    let process = start(&bigquery, &folder, &[]).await;
    send(&process, 30..40).await;
    eventually("both have all", || {
        in_bigquery(&bigquery).len() >= 40 && in_delta(&folder).len() >= 40
    })
    .await;
    assert!(process.terminate().success());
    assert_eq!(in_bigquery(&bigquery), ids(0..40));
    assert_eq!(in_delta(&folder), ids(0..40));
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_wait_for_every_required_one() {
    let bigquery = bigquery().await;
    let folder = folder();
    let more = [
        ("DELIVERY__ACKNOWLEDGE", "written"),
        ("HTTP__REQUEST_TIMEOUT", "1"),
    ];
    let process = start(&bigquery, &folder, &more).await;
    send(&process, 0..3).await;
    assert_eq!(in_bigquery(&bigquery), ids(0..3));
    assert_eq!(in_delta(&folder), ids(0..3));
    bigquery.be_unreachable();
    let answer = post(process.address, &event("003")).await;
    assert_eq!(
        (answer.status, answer.json()["code"].as_str()),
        (503, Some("timeout"))
    );
    bigquery.heal();
    send(&process, 4..5).await;
    // Behind a 503 is also what came late.
    assert_eq!(in_bigquery(&bigquery), ids(0..5));
    assert!(process.terminate().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_optional_one_is_waited_for_by_nobody_and_may_miss_what_it_is_too_slow_for() {
    let bigquery = bigquery().await;
    let folder = folder();
    let more = [
        ("DELIVERY__ACKNOWLEDGE", "written"),
        ("HTTP__REQUEST_TIMEOUT", "10"),
        ("WRITERS__OPTIONAL", r#"["direct"]"#),
        ("WRITERS__MAX_LAG", "10"),
    ];
    let process = start(&bigquery, &folder, &more).await;
    bigquery.be_unreachable();
    send(&process, 0..50).await;
    assert_eq!(in_delta(&folder), ids(0..50), "a 2xx says that it is there");
    assert!(in_bigquery(&bigquery).is_empty());
    readiness_tells(&process, |states| states[0].1 <= 10).await;
    bigquery.heal();
    send(&process, 50..60).await;
    eventually("it takes what comes once it is back", || {
        in_bigquery(&bigquery).ends_with(&ids(50..60))
    })
    .await;
    let page = metrics(process.address).await;
    let expired = page.lines().find_map(|line| {
        let is_it = line.contains("bigquery:") && line.contains("outcome=\"expired\"");
        let value = line.rsplit_once(' ').filter(|_| is_it)?.1;
        value.parse::<usize>().ok()
    });
    let stored = in_bigquery(&bigquery).len();
    assert_eq!(expired, Some(60 - stored), "what it missed is counted");
    assert!(stored < 30, "{stored} rows");
    assert!(process.terminate().success());
    assert_eq!(in_delta(&folder), ids(0..60));
}
