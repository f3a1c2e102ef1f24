//! The binary as users run it: environment, signals, exit codes, and what the command line prints.

use std::path::Path;
use std::process::Output;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::client::try_request;
use crate::support::process::{Process, command, rows};
use crate::support::{event, metrics, post};

fn run(folder: &Path, values: &[(&str, &str)], arguments: &[&str]) -> Output {
    command(folder, values)
        .args(arguments)
        .output()
        .expect("the binary runs")
}

fn ids(rows: &[Value]) -> Vec<&str> {
    rows.iter()
        .map(|row| row["event_id"].as_str().expect("an id"))
        .collect()
}

#[test]
fn wrong_configuration_ends_with_78_and_all_faults() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    for arguments in [&["serve"][..], &["check"], &[]] {
        let output = run(
            folder.path(),
            &[("RUN__PORT", "x"), ("LOG__KIND", "y"), ("TYPO", "z")],
            arguments,
        );
        assert_eq!(output.status.code(), Some(78));
        let text = String::from_utf8(output.stderr).unwrap();
        for name in ["RUN__PORT", "LOG__KIND", "TYPO"] {
            assert!(text.contains(name), "{text}");
        }
    }
}

#[test]
fn a_log_in_memory_is_refused() {
    let folder = tempfile::tempdir_in("/dev/shm").unwrap();
    let output = run(folder.path(), &[("RUN__PORT", "0")], &["serve"]);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.contains("tmpfs") && text.contains("LOG__DIR"),
        "{text}"
    );
}

#[test]
fn check_prints_what_is_in_force() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    std::fs::write(
        folder.path().join(".env"),
        "APP_CONFIG__RUN__DRAIN=3\nAPP_CONFIG__LOG__KIND=disk\n",
    )
    .unwrap();
    std::fs::create_dir(folder.path().join("src")).unwrap();
    std::fs::write(folder.path().join("src/.env"), "APP_CONFIG__RUN__DRAIN=4\n").unwrap();
    let output = run(folder.path(), &[("RUN__HOST", "127.0.0.1")], &["check"]);
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    for line in [
        "APP_CONFIG__RUN__HOST=127.0.0.1",
        "APP_CONFIG__RUN__DRAIN=4",
        "APP_CONFIG__RUN__PORT=8080",
    ] {
        assert!(
            text.lines().any(|found| found == line),
            "{line} is not in\n{text}"
        );
    }
}

#[test]
fn schemas_are_printed() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    for (target, expected) in [
        ("bigquery", "event_params"),
        ("arrow", "event_params"),
        ("openapi", "/api/v1/streaming"),
    ] {
        let output = run(folder.path(), &[], &["schema", target]);
        assert!(output.status.success());
        assert!(
            String::from_utf8(output.stdout).unwrap().contains(expected),
            "{target}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_is_shown_at_once_and_still_after_a_stop() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let process = Process::start(folder.path(), &[]).await;
    assert_eq!(post(process.address, &event("one")).await.status, 200);
    assert_eq!(ids(&rows(folder.path())), ["one"], "from the log");
    assert_eq!(post(process.address, &event("two")).await.status, 200);
    assert_eq!(process.terminate().code(), Some(0));
    let rows = rows(folder.path());
    assert_eq!(ids(&rows), ["one", "two"], "from the table");
    assert_eq!(
        rows[0]["event_params"][0]["value"]["string_value"],
        "https://shop.test/a?utm_source=n1"
    );
    assert!(folder.path().join("data/events/_delta_log").is_dir());
    let table = run(folder.path(), &[], &["show", "--table", "-n", "1"]);
    let table = String::from_utf8(table.stdout).unwrap();
    assert!(
        table.lines().count() == 2
            && table.contains("page_view")
            && table.contains("https://shop.test/a"),
        "{table}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_moment_it_loses_nothing_and_doubles_nothing() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let values = [("WRITERS__DELTA__COMMIT_INTERVAL", "0.05")];
    let mut sent = 0_u32;
    let mut unanswered: Vec<String> = Vec::new();
    for round in 0..6_u64 {
        let process = Process::start(folder.path(), &values).await;
        let address = process.address;
        let first = sent;
        let ids: Vec<String> = unanswered
            .drain(..)
            .chain((0..400).map(|n| format!("{:06}", first + n)))
            .collect();
        sent += 400;
        let senders: Vec<_> = ids
            .chunks(ids.len().div_ceil(4))
            .map(<[String]>::to_vec)
            .map(|ids| {
                tokio::spawn(async move {
                    let mut left = Vec::new();
                    for id in ids {
                        let answer = try_request(
                            address,
                            "POST",
                            "/api/v1/streaming/1",
                            &[],
                            event(&id).as_bytes(),
                        )
                        .await;
                        if !answer.is_ok_and(|answer| answer.status == 200) {
                            left.push(id);
                        }
                    }
                    left
                })
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(20 + round * 40)).await;
        process.kill();
        for sender in senders {
            unanswered.extend(sender.await.unwrap());
        }
    }
    let process = Process::start(folder.path(), &values).await;
    for id in &unanswered {
        assert_eq!(post(process.address, &event(id)).await.status, 200);
    }
    let metrics = async || metrics(process.address).await;
    let begun = Instant::now();
    while !metrics()
        .await
        .lines()
        .any(|line| line.starts_with("delivery_pending{") && line.ends_with(" 0"))
    {
        assert!(
            begun.elapsed() < Duration::from_secs(20),
            "it is not drained"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(process.terminate().code(), Some(0));
    let stored = rows(folder.path());
    let mut stored: Vec<&str> = ids(&stored);
    stored.sort_unstable();
    let expected: Vec<String> = (0..sent).map(|n| format!("{n:06}")).collect();
    assert_eq!(stored.len(), expected.len(), "as many rows as events");
    assert!(stored == expected, "each event once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_followed_log_shows_rows_as_they_come() {
    use std::io::{BufRead, BufReader};
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let process = Process::start(folder.path(), &[]).await;
    assert_eq!(post(process.address, &event("before")).await.status, 200);
    let mut follower = command(folder.path(), &[])
        .args(["show", "--follow"])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(follower.stdout.take().unwrap()).lines();
    let (heard, hears) = std::sync::mpsc::sync_channel(4);
    std::thread::spawn(move || {
        while let Some(Ok(line)) = lines.next() {
            if heard.send(line).is_err() {
                return;
            }
        }
    });
    let next = || {
        hears
            .recv_timeout(Duration::from_secs(10))
            .expect("a row is shown")
    };
    assert!(next().contains("before"));
    assert_eq!(post(process.address, &event("after")).await.status, 200);
    assert!(next().contains("after"));
    follower.kill().unwrap();
    follower.wait().unwrap();
    assert_eq!(process.terminate().code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn health_tells_whether_the_collector_answers() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let process = Process::start(folder.path(), &[]).await;
    let port = process.address.port().to_string();
    for name in ["PORT", "APP_CONFIG__RUN__PORT"] {
        let health = command(folder.path(), &[])
            .env(name, &port)
            .arg("health")
            .output();
        let health = health.unwrap();
        assert_eq!(health.status.code(), Some(0), "{health:?}");
    }
    assert_eq!(process.terminate().code(), Some(0));
    let health = run(folder.path(), &[("RUN__PORT", &port)], &["health"]);
    assert_eq!(health.status.code(), Some(1));
    let text = String::from_utf8(health.stderr).unwrap();
    assert!(text.contains(&format!("127.0.0.1:{port}")), "{text}");
}

#[test]
fn health_is_not_taken_in_by_whatever_else_listens() {
    use std::io::{Read, Write};
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    for answer in [
        "HTTP/1.1 503 Service Unavailable\r\n\r\n",
        "HTTP/1.1 404 Not Found\r\n\r\nHTTP/1.1 200 OK\r\n",
        "SSH-2.0-OpenSSH_9.2\r\n",
        "\u{0}\u{0}",
        "",
    ] {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port().to_string();
        let listening = std::thread::spawn(move || {
            let (mut connection, _) = listener.accept().unwrap();
            let mut request = [0; 15];
            connection.read_exact(&mut request).unwrap();
            connection.write_all(answer.as_bytes()).unwrap();
            request
        });
        let health = run(folder.path(), &[("RUN__PORT", &port)], &["health"]);
        assert_eq!(health.status.code(), Some(1), "{answer:?}");
        assert_eq!(&listening.join().unwrap(), b"GET /liveness H");
    }
    let mute = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = mute.local_addr().unwrap().port().to_string();
    let health = run(folder.path(), &[("RUN__PORT", &port)], &["health"]);
    assert_eq!(health.status.code(), Some(1), "it answers nothing");
}
