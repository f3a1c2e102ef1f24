//! A process whose processor is taken away between requests, as Cloud Run does: meanwhile connections end and time passes.

use std::time::Duration;

use real_streaming_fakes::bigquery::BigQuery;
use real_streaming_fakes::bigquery::fault::Call;
use tempfile::TempDir;

use crate::support::process::Process;
use crate::support::{event, eventually, metrics, post};

const TABLE: &str = "shop.analytics.events";
/// Longer than anything waits here.
const PAUSE: Duration = Duration::from_secs(3);

/// A collector on Cloud Run: its log is in memory, and a 2xx says that the row is in the table.
async fn on_cloud_run(bigquery: &BigQuery) -> (TempDir, Process) {
    bigquery.create_dataset("shop", "analytics");
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    std::fs::write(folder.path().join(".env"), "K_SERVICE=real-streaming\n").unwrap();
    let (rest, grpc) = (bigquery.rest(), bigquery.grpc());
    let values = [
        ("WRITERS__PROJECT_ID", "shop"),
        ("WRITERS__BQ__DATASET_ID", "analytics"),
        ("WRITERS__BQ__TABLE_ID", "events"),
        ("WRITERS__BQ__ANSWER_TIMEOUT", "1"),
        ("WRITERS__BQ__ENDPOINT", &rest),
        ("WRITERS__BQ__GRPC_ENDPOINT", &grpc),
    ];
    let process = Process::start(folder.path(), &values).await;
    (folder, process)
}

async fn is_written(process: &Process, bigquery: &BigQuery, id: &str) {
    let answer = post(process.address, &event(id)).await;
    assert_eq!(answer.status, 200, "{id}: {}", answer.body);
    let stored = bigquery.texts(TABLE, "event_id");
    assert!(stored.iter().any(|stored| stored == id), "{id}: {stored:?}");
}

#[track_caller]
fn raises_no_alarm(folder: &TempDir) {
    let output = Process::output(folder.path());
    let is_loud = |line: &&str| line.contains("\"ERROR\"") || line.contains("\"alarm\"");
    let loud: Vec<_> = output.lines().filter(is_loud).collect();
    assert!(loud.is_empty(), "{loud:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_request_is_written_though_connections_ended_meanwhile() {
    let bigquery = BigQuery::start().await;
    let (folder, process) = on_cloud_run(&bigquery).await;
    for round in 0..3 {
        is_written(&process, &bigquery, &format!("before {round}")).await;
        process.pause();
        match round {
            0 => bigquery.cut_connections(),
            1 => bigquery.go_away(),
            // BigQuery closes what is not used.
            _ => bigquery.idle_after(Duration::from_millis(100)),
        }
        tokio::time::sleep(PAUSE).await;
        process.resume();
        is_written(&process, &bigquery, &format!("after {round}")).await;
    }
    assert_eq!(bigquery.row_count(TABLE), 6, "nothing was sent twice");
    let page = metrics(process.address).await;
    let failures = page
        .lines()
        .find_map(|line| line.strip_prefix("delivery_write_failures_total{"))
        .and_then(|line| line.rsplit(' ').next()?.parse::<u64>().ok());
    assert_eq!(
        failures,
        Some(0),
        "an idle connection that ends is no failure"
    );
    assert!(process.terminate().success());
    raises_no_alarm(&folder);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_was_on_its_way_is_written() {
    let bigquery = BigQuery::start().await;
    let (folder, process) = on_cloud_run(&bigquery).await;
    bigquery.latency(Duration::from_millis(500));
    let address = process.address;
    let request = tokio::spawn(async move { post(address, &event("1")).await });
    eventually("it is on its way", || bigquery.calls(Call::Append) > 0).await;
    process.pause();
    bigquery.cut_connections();
    tokio::time::sleep(PAUSE).await;
    process.resume();
    let answer = request.await.unwrap();
    assert_eq!(answer.status, 200, "{}", answer.body);
    // Its reply is lost, so it is sent again: the default stream cannot tell.
    let stored = bigquery.texts(TABLE, "event_id");
    assert!(
        !stored.is_empty() && stored.iter().all(|id| id == "1"),
        "{stored:?}"
    );
    assert!(process.terminate().success());
    raises_no_alarm(&folder);
}
