//! The predecessor's `.env`, with every variable that it knew: the program starts with it in both strategies and delivers.

use std::fs;

use real_streaming_fakes::bigquery::BigQuery;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::process::Process;
use crate::support::pubsub::Emulator;
use crate::support::{event, eventually, post, request};

const ENVIRONMENT: &str = include_str!("../fixtures/predecessor.env");
const STRATEGY: &str = "APP_CONFIG__WRITERS__STRATEGY=direct";

/// Starts with its file, changed to this strategy, and these lines more.
async fn start(file: &str, strategy: &str, more: &str) -> (TempDir, Process) {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let chosen = format!("APP_CONFIG__WRITERS__STRATEGY={strategy}");
    assert!(ENVIRONMENT.contains(STRATEGY));
    let text = ENVIRONMENT.replace(STRATEGY, &chosen);
    let path = folder.path().join(file);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, format!("{text}{more}")).unwrap();
    let process = Process::start(folder.path(), &[]).await;
    (folder, process)
}

#[track_caller]
fn complains_of_nothing(folder: &TempDir) {
    let output = Process::output(folder.path());
    // That an emulator is set is told each time.
    let is_complaint = |line: &&str| {
        let is_loud = line.contains("WARN") || line.contains("ERROR");
        is_loud && !line.contains("PUBSUB_EMULATOR_HOST is set")
    };
    let complaints: Vec<_> = output.lines().filter(is_complaint).collect();
    assert!(complaints.is_empty(), "{complaints:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_writes_to_bigquery() {
    let bigquery = BigQuery::start().await;
    bigquery.create_dataset("test-project", "analytics");
    let endpoints = format!(
        "APP_CONFIG__WRITERS__BQ__ENDPOINT={}\nAPP_CONFIG__WRITERS__BQ__GRPC_ENDPOINT={}\n",
        bigquery.rest(),
        bigquery.grpc()
    );
    let (folder, process) = start("src/.env", "direct", &endpoints).await;
    let ready = request(process.address, "GET", "/readiness", &[], b"").await;
    assert_eq!(ready.status, 200, "{}", ready.body);
    assert_eq!(post(process.address, &event("1")).await.status, 200);
    eventually("the row is there", || {
        bigquery.texts("test-project.analytics.events", "event_id") == ["1"]
    })
    .await;
    assert!(process.terminate().success());
    complains_of_nothing(&folder);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_publishes_to_pubsub() {
    let emulator = Emulator::start().await;
    let host = format!("PUBSUB_EMULATOR_HOST={}\n", emulator.host);
    let (folder, process) = start(".env", "pubsub", &host).await;
    assert_eq!(post(process.address, &event("1")).await.status, 200);
    let message = emulator.pull(1).await.remove(0);
    let row: Value = serde_json::from_slice(&message.data).unwrap();
    assert_eq!(row["event_id"], "1");
    assert!(process.terminate().success());
    complains_of_nothing(&folder);
}
