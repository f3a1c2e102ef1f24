//! What a process meets from outside: signals at bad moments, few descriptors, a second one on its log, a copy of its log.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use real_streaming_fakes::bigquery::BigQuery;
use rustix::process::Signal;
use tempfile::TempDir;
use tokio::net::TcpStream;

use crate::support::client::try_request;
use crate::support::process::{Process, command, rows};
use crate::support::{event, eventually, post};

const TABLE: &str = "shop.analytics.events";

fn folder() -> TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

async fn bigquery() -> BigQuery {
    let bigquery = BigQuery::start().await;
    bigquery.create_dataset("shop", "analytics");
    bigquery
}

fn writes_to(bigquery: &BigQuery) -> Vec<(&'static str, String)> {
    let value = |name, value: &str| (name, value.to_owned());
    vec![
        value("WRITERS__PROJECT_ID", "shop"),
        value("WRITERS__BQ__DATASET_ID", "analytics"),
        value("WRITERS__BQ__TABLE_ID", "events"),
        value("WRITERS__BQ__FLUSH_INTERVAL", "0.01"),
        value("WRITERS__BQ__ENDPOINT", &bigquery.rest()),
        value("WRITERS__BQ__GRPC_ENDPOINT", &bigquery.grpc()),
        value("RUN__DRAIN", "1"),
    ]
}

async fn start(folder: &Path, values: &[(&'static str, String)]) -> Process {
    let values: Vec<(&str, &str)> = values
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    Process::start(folder, &values).await
}

/// Sends until nobody answers; the ids that were taken and those of which that is not known.
async fn load(
    process: &Process,
    name: &str,
) -> tokio::task::JoinHandle<(Vec<String>, Vec<String>)> {
    let (address, name) = (process.address, name.to_owned());
    let (begun, begins) = tokio::sync::oneshot::channel();
    let task = tokio::spawn(async move {
        let mut begun = Some(begun);
        let (mut taken, mut unknown) = (Vec::new(), Vec::new());
        for number in 0.. {
            let id = format!("{name} {number}");
            let body = event(&id);
            let path = "/api/v1/streaming/1";
            match try_request(address, "POST", path, &[], body.as_bytes()).await {
                Ok(answer) if answer.status == 200 => taken.push(id),
                Ok(answer) => {
                    assert_eq!(answer.status, 503, "{}", answer.body);
                    unknown.push(id);
                }
                Err(_) => {
                    unknown.push(id);
                    break;
                }
            }
            if let Some(begun) = begun.take() {
                begun.send(()).unwrap();
            }
        }
        (taken, unknown)
    });
    begins.await.unwrap();
    task
}

#[tokio::test(flavor = "multi_thread")]
async fn told_to_stop_under_load_it_ends_in_time_and_loses_nothing() {
    for (what, times) in [
        ("well", 1),
        ("slow", 1),
        ("silent", 1),
        ("silent", 2),
        ("well", 2),
    ] {
        let bigquery = bigquery().await;
        let folder = folder();
        let values = writes_to(&bigquery);
        let process = start(folder.path(), &values).await;
        match what {
            "slow" => bigquery.latency(Duration::from_millis(400)),
            "silent" => bigquery.be_unreachable(),
            _ => {}
        }
        let load = load(&process, "a").await;
        tokio::time::sleep(Duration::from_millis(200)).await;
        let begun = Instant::now();
        for _ in 0..times {
            process.signal(Signal::TERM);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let status = tokio::task::spawn_blocking(|| process.wait())
            .await
            .unwrap();
        let took = begun.elapsed();
        assert_eq!(status.code(), Some(0), "{what} {times}");
        assert!(took < Duration::from_secs(10), "{what} {times}: {took:?}");
        let (taken, unknown) = load.await.unwrap();
        bigquery.latency(Duration::ZERO);
        bigquery.heal();
        let process = start(folder.path(), &values).await;
        for id in &unknown {
            assert_eq!(post(process.address, &event(id)).await.status, 200);
        }
        process.drained().await;
        assert!(process.terminate().success());
        let mut expected = [taken, unknown].concat();
        let mut stored = bigquery.texts(TABLE, "event_id");
        expected.sort();
        stored.sort();
        assert!(
            stored == expected,
            "{what} {times}: {} of {}",
            stored.len(),
            expected.len()
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn told_to_stop_while_it_starts_it_ends() {
    let folder = folder();
    let process = Process::start(folder.path(), &[]).await;
    assert_eq!(post(process.address, &event("1")).await.status, 200);
    process.kill();
    for millis in (0..200).step_by(10) {
        let process = Process::spawn(&[], "serve", folder.path(), &[]);
        tokio::time::sleep(Duration::from_millis(millis)).await;
        let status = process.terminate();
        // Before it listens to signals, this one ends it by itself.
        let is_known = status.code() == Some(0) || status.signal() == Some(Signal::TERM.as_raw());
        assert!(is_known, "{millis} ms: {status}");
    }
    let process = Process::start(folder.path(), &[]).await;
    assert_eq!(post(process.address, &event("2")).await.status, 200);
    process.drained().await;
    assert!(process.terminate().success());
    let rows = rows(folder.path());
    let ids: Vec<_> = rows.iter().map(|row| row["event_id"].as_str()).collect();
    assert_eq!(ids, [Some("1"), Some("2")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_descriptors_it_waits_and_neither_spins_nor_loses() {
    let folder = folder();
    let limited = ["prlimit", "--nofile=64:64"].map(str::to_owned);
    let process = Process::start_under(&limited, folder.path(), &[]).await;
    let process = process.expect("it starts");
    let mut taken = Vec::new();
    let mut crowd = Vec::new();
    for id in 0..150 {
        let connecting = TcpStream::connect(process.address);
        if let Ok(Ok(stream)) = tokio::time::timeout(Duration::from_millis(200), connecting).await {
            crowd.push(stream);
        }
        if id % 10 == 0 {
            let id = format!("crowded {id}");
            let body = event(&id);
            let sent = try_request(
                process.address,
                "POST",
                "/api/v1/streaming/1",
                &[],
                body.as_bytes(),
            );
            let answer = tokio::time::timeout(Duration::from_secs(1), sent).await;
            if let Ok(Ok(answer)) = answer
                && answer.status == 200
            {
                taken.push(id);
            }
        }
    }
    let (before, begun) = (process.cpu(), Instant::now());
    tokio::time::sleep(Duration::from_secs(1)).await;
    let share = (process.cpu() - before).as_secs_f64() / begun.elapsed().as_secs_f64();
    assert!(share < 0.5, "it spins: {share}");
    drop(crowd);
    let begun = Instant::now();
    while try_request(process.address, "GET", "/liveness", &[], b"")
        .await
        .is_err()
    {
        assert!(
            begun.elapsed() < Duration::from_secs(20),
            "it does not recover"
        );
    }
    taken.push("after".to_owned());
    assert_eq!(post(process.address, &event("after")).await.status, 200);
    process.drained().await;
    assert!(process.terminate().success());
    let mut counts = BTreeMap::<_, usize>::new();
    for row in rows(folder.path()) {
        *counts
            .entry(row["event_id"].as_str().unwrap().to_owned())
            .or_default() += 1;
    }
    for id in taken {
        assert_eq!(counts.get(&id), Some(&1), "{id}");
    }
    assert!(!Process::output(folder.path()).contains("panicked"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_process_on_the_log_ends_and_does_no_harm() {
    let folder = folder();
    let process = Process::start(folder.path(), &[]).await;
    assert_eq!(post(process.address, &event("1")).await.status, 200);
    let values = [("RUN__PORT", "0"), ("RUN__HOST", "127.0.0.1")];
    let second = command(folder.path(), &values)
        .arg("serve")
        .output()
        .unwrap();
    assert_eq!(second.status.code(), Some(1), "{second:?}");
    let told = String::from_utf8_lossy(&second.stdout);
    assert!(
        told.contains("in use") || told.contains("another"),
        "{told}"
    );
    assert_eq!(post(process.address, &event("2")).await.status, 200);
    process.drained().await;
    assert!(process.terminate().success());
    assert_eq!(rows(folder.path()).len(), 2);
}

/// Copies a folder with all below it.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let to = to.join(path.file_name().unwrap());
        match path.is_dir() {
            true => copy(&path, &to),
            false => drop(std::fs::copy(&path, &to).unwrap()),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copied_log_beside_the_first_is_found_out_and_loses_nothing() {
    let (first, second) = (folder(), folder());
    let table = first.path().join("data/events");
    let values = [
        ("WRITERS__DELTA__URI", table.to_str().unwrap().to_owned()),
        ("WRITERS__DELTA__COMMIT_INTERVAL", "0.05".to_owned()),
        ("DELIVERY__BACKOFF_MAX", "0.2".to_owned()),
        ("RUN__DRAIN", "1".to_owned()),
    ];
    let process = start(first.path(), &values).await;
    assert_eq!(post(process.address, &event("common")).await.status, 200);
    process.drained().await;
    assert!(process.terminate().success());
    copy(
        &first.path().join("data/log"),
        &second.path().join("data/log"),
    );
    let both = [&first, &second];
    let mut expected = vec!["common".to_owned()];
    // What one of them cannot deliver beside the other, it delivers after a start.
    for round in 0..3 {
        let mut processes = Vec::new();
        for folder in both {
            processes.push(start(folder.path(), &values).await);
        }
        for number in 0..20 {
            for (name, process) in processes.iter().enumerate() {
                let id = format!("{round} {number} {name}");
                assert_eq!(post(process.address, &event(&id)).await.status, 200);
                expected.push(id);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
        for process in processes {
            assert!(process.terminate().success());
        }
    }
    let told = || both.map(|folder| Process::output(folder.path())).concat();
    eventually("it is told", || told().contains("\"log_rewound\"")).await;
    for folder in both {
        let process = start(folder.path(), &values).await;
        process.drained().await;
        assert!(process.terminate().success());
    }
    let mut stored: Vec<String> = rows(first.path())
        .iter()
        .map(|row| row["event_id"].as_str().unwrap().to_owned())
        .collect();
    stored.sort();
    expected.sort();
    assert!(stored == expected, "{} of {}", stored.len(), expected.len());
}
