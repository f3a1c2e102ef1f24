//! What operators use: probes that tell why, `doctor`, `log inspect`, `log forget`, alarms, dashboards and rules.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use tempfile::TempDir;

use crate::support::collector::memory;
use crate::support::process::{Process, command};
use crate::support::{Builder, admin, event, eventually, metrics, post, request};

fn folder() -> TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

fn run(folder: &Path, values: &[(&str, &str)], arguments: &[&str]) -> Output {
    let mut command = command(folder, values);
    command.args(arguments).output().expect("the binary runs")
}

fn said(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    text(&output.stdout) + &text(&output.stderr)
}

fn text(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn readiness_tells_how_far_behind_a_destination_is_and_the_operator_why() {
    let writer = memory("a");
    writer.away(true);
    let collector = Builder::new().to(&writer).start().await;
    collector.takes(&event("e")).await;
    let destination = &collector.ledger.destinations()[0];
    eventually("an attempt fails", || !destination.is_healthy()).await;
    for path in ["/readiness", "/health"] {
        let public = request(collector.address, "GET", path, &[], b"").await;
        assert_eq!(
            public.status, 200,
            "liveness and readiness do not depend on it"
        );
        let told = &public.json()["destinations"][0];
        assert_eq!(
            (&told["healthy"], &told["pending"]),
            (&false.into(), &1.into())
        );
        assert!(told["pending_seconds"].is_u64(), "{told}");
        assert!(
            told["error"].is_null(),
            "an error is for the operator: {told}"
        );
        let told = admin(collector.address, path).await.json();
        let error = &told["destinations"][0]["error"];
        assert_eq!(error, "told to be out of reach", "{told}");
    }
    eventually("it is told for how long", || {
        let lag = destination.lag(tokio::time::Instant::now());
        lag >= std::time::Duration::from_secs(1)
    })
    .await;
    let name = "delivery_lag_seconds{destination=\"memory:a\"} ";
    let behind = metrics(collector.address).await;
    let behind = behind.lines().find_map(|line| line.strip_prefix(name));
    assert!(behind.expect(name).parse::<u64>().unwrap() >= 1);
    writer.away(false);
    eventually("it is delivered", || destination.pending() == 0).await;
    let told = admin(collector.address, "/readiness").await.json();
    let told = &told["destinations"][0];
    assert!(told["error"].is_null() && told["healthy"] == true, "{told}");
    assert_eq!(told["pending_seconds"], 0);
    collector.stop().await;
}

/// The name of the cursor that `log inspect` lists.
fn cursor(said: &str) -> String {
    let line = said.lines().find(|line| line.starts_with("delta:"));
    line.and_then(|line| line.split('\t').next())
        .unwrap_or_else(|| panic!("{said}"))
        .to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_is_inspected_beside_the_collector_and_as_a_copy() {
    let folder = folder();
    let process = Process::start(folder.path(), &[]).await;
    for id in ["1", "2", "3"] {
        assert_eq!(post(process.address, &event(id)).await.status, 200);
    }
    let output = run(folder.path(), &[], &["log", "inspect"]);
    assert!(output.status.success(), "{}", said(&output));
    let told = said(&output);
    assert!(told.contains("numbers\t1\t3"), "{told}");
    assert!(
        told.contains("00000000000000000001.segment\t1\t3\t3\t"),
        "{told}"
    );
    assert!(cursor(&told).ends_with("/data/events"), "{told}");
    assert_eq!(process.terminate().code(), Some(0));

    let log = folder.path().join("data/log");
    let copy = folder.path().join("copy");
    fs::create_dir(&copy).unwrap();
    for name in ["id", "00000000000000000001.segment"] {
        fs::copy(log.join(name), copy.join(name)).unwrap();
    }
    let arguments = ["log", "inspect", "--dir", "copy"];
    let output = run(folder.path(), &[], &arguments);
    assert!(output.status.success(), "{}", said(&output));
    assert!(!copy.join("cursors").exists(), "nothing is made");

    // In the payload of the first record.
    let segment = copy.join("00000000000000000001.segment");
    let mut bytes = fs::read(&segment).unwrap();
    bytes[64 + 40 + 28 + 5] ^= 1;
    fs::write(&segment, bytes).unwrap();
    let output = run(folder.path(), &[], &arguments);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        said(&output).contains("a record is damaged"),
        "{}",
        said(&output)
    );
    // In the head of the first batch.
    let mut bytes = fs::read(&segment).unwrap();
    bytes[64 + 14] ^= 1;
    fs::write(&segment, bytes).unwrap();
    let output = run(folder.path(), &[], &arguments);
    assert_eq!(output.status.code(), Some(1));
    let told = said(&output);
    assert!(
        told.contains("\t64\t") && told.contains("a batch is damaged"),
        "{told}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_nobody_uses_is_forgotten() {
    let folder = folder();
    let elsewhere = [("WRITERS__STRATEGY", "memory")];
    let process = Process::start(folder.path(), &[]).await;
    assert_eq!(post(process.address, &event("1")).await.status, 200);
    assert_eq!(process.terminate().code(), Some(0));
    let destination = cursor(&said(&run(folder.path(), &[], &["log", "inspect"])));
    let forget = ["log", "forget", &destination];

    let output = run(folder.path(), &[], &forget);
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("is configured"), "{}", said(&output));

    let process = Process::start(folder.path(), &elsewhere).await;
    assert_eq!(post(process.address, &event("2")).await.status, 200);
    let told = said(&run(folder.path(), &elsewhere, &["log", "inspect"]));
    assert!(told.contains("configured no more"), "{told}");
    let output = run(folder.path(), &elsewhere, &forget);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        said(&output).contains("a collector runs"),
        "{}",
        said(&output)
    );
    assert_eq!(process.terminate().code(), Some(0));

    let output = run(folder.path(), &elsewhere, &forget);
    assert!(output.status.success(), "{}", said(&output));
    let told = said(&output);
    assert!(
        told.contains("had not got 1 records") && told.contains("cursors"),
        "{told}"
    );
    let left = said(&run(folder.path(), &elsewhere, &["log", "inspect"]));
    assert!(
        !left.contains("delta:") && left.contains("memory:rows"),
        "{left}"
    );
    let output = run(folder.path(), &elsewhere, &forget);
    assert_eq!(output.status.code(), Some(1), "there is nothing any more");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_looks_beside_a_running_collector_and_leaves_nothing() {
    let folder = folder();
    let process = Process::start(folder.path(), &[]).await;
    fs::write(
        folder.path().join("headers"),
        "X-Forwarded-For: 203.0.113.9\n",
    )
    .unwrap();
    let output = run(folder.path(), &[], &["doctor", "--headers", "headers"]);
    let told = said(&output);
    assert!(output.status.success(), "{told}");
    for what in [
        "fdatasync at the log: p50",
        "file system of the log",
        "room for the log",
        "file descriptors",
        "memory",
        "with 1 it would be 203.0.113.9",
        "delta:file://",
        "dead letter ",
        "clock: it ran evenly",
    ] {
        assert!(told.contains(what), "{what} is not in\n{told}");
    }
    assert!(!has_probe(folder.path()));
    assert_eq!(post(process.address, &event("1")).await.status, 200);
    assert_eq!(process.terminate().code(), Some(0));
}

/// Whether anything below has the name of a file that is only tried out.
fn has_probe(folder: &Path) -> bool {
    fs::read_dir(folder).expect("a folder").any(|entry| {
        let path = entry.expect("an entry").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.contains("doctor") || name.contains("probe") || (path.is_dir() && has_probe(&path))
    })
}

#[test]
fn the_doctor_fails_where_the_collector_would() {
    let folder = folder();
    fs::write(folder.path().join("file"), "").unwrap();
    for (values, what) in [
        (
            [("LOG__DIR", "/proc/none"), ("RUN__PORT", "1")],
            "failure  log /proc/none",
        ),
        (
            [("WRITERS__DELTA__URI", "./file/events"), ("RUN__PORT", "1")],
            "failure  delta:",
        ),
        (
            [("DEAD_LETTER__URI", "./file/letters"), ("RUN__PORT", "1")],
            "failure  dead letter",
        ),
        (
            [
                ("WRITERS__DELTA__URI", "./events"),
                ("ENRICH__TRUSTED_HOPS", "2"),
            ],
            "failure  proxies",
        ),
    ] {
        fs::write(
            folder.path().join("headers"),
            "X-Forwarded-For: 203.0.113.9\n",
        )
        .unwrap();
        let output = run(folder.path(), &values, &["doctor", "--headers", "headers"]);
        assert_eq!(output.status.code(), Some(1), "{what}");
        assert!(said(&output).contains(what), "{what}: {}", said(&output));
    }
}

#[cfg(feature = "bigquery")]
#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_opens_a_table_and_writes_no_row() {
    let bigquery = real_streaming_fakes::bigquery::BigQuery::start().await;
    bigquery.create_dataset("shop", "analytics");
    let folder = folder();
    let (rest, grpc) = (bigquery.rest(), bigquery.grpc());
    let mut values = vec![
        ("WRITERS__PROJECT_ID", "shop"),
        ("WRITERS__BQ__DATASET_ID", "analytics"),
        ("WRITERS__BQ__TABLE_ID", "events"),
        ("WRITERS__BQ__ENDPOINT", &rest),
        ("WRITERS__BQ__GRPC_ENDPOINT", &grpc),
    ];
    let doctor = |values: Vec<(&'static str, String)>| {
        let folder = folder.path().to_owned();
        tokio::task::spawn_blocking(move || {
            let values: Vec<_> = values
                .iter()
                .map(|(name, value)| (*name, value.as_str()))
                .collect();
            run(&folder, &values, &["doctor"])
        })
    };
    let owned = |values: &[(&'static str, &str)]| {
        let owned = values
            .iter()
            .map(|(name, value)| (*name, (*value).to_owned()));
        owned.collect::<Vec<_>>()
    };
    let output = doctor(owned(&values)).await.unwrap();
    assert!(output.status.success(), "{}", said(&output));
    assert!(
        said(&output).contains("ok       bigquery:shop.analytics.events"),
        "{}",
        said(&output)
    );
    assert_eq!(
        bigquery.texts("shop.analytics.events", "event_id"),
        Vec::<String>::new()
    );
    assert!(!folder.path().join("data/log/journals").exists());
    values.push(("WRITERS__BQ__DATASET_ID", "missing"));
    let output = doctor(owned(&values)).await.unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
}

/// Every `.rs` below the sources.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn name_at_start(text: &str) -> &str {
    let is_part = |c: char| c.is_ascii_lowercase() || c == '_';
    &text[..text.find(|c| !is_part(c)).unwrap_or(text.len())]
}

/// The names in the first column of the tables of a section.
fn documented(section: &str) -> BTreeSet<String> {
    let guide = text("docs/operations.md");
    let start = guide
        .find(section)
        .unwrap_or_else(|| panic!("no {section}"));
    let rest = &guide[start + section.len()..];
    let section = &rest[..rest.find("\n## ").unwrap_or(rest.len())];
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.map(|row| name_at_start(row).to_owned()).collect()
}

#[test]
fn every_alarm_is_documented_and_every_documented_one_is_raised() {
    let mut files = Vec::new();
    sources(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("src"),
        &mut files,
    );
    let mut raised = BTreeSet::new();
    for file in files {
        let code = fs::read_to_string(&file).expect("a source");
        for (before, after) in [("alarm = \"", '"'), ("\"alarm ", ':')] {
            for rest in code.split(before).skip(1) {
                let name = name_at_start(rest);
                assert!(
                    rest[name.len()..].starts_with(after),
                    "{}: {rest:.40}",
                    file.display()
                );
                raised.insert(name.to_owned());
            }
        }
    }
    assert!(raised.len() > 15, "{raised:?}");
    assert_eq!(documented("## Alarms"), raised);
}

/// Words that look like metrics: those of a text that end as a metric's name does, or are one.
fn metrics_named(text: &str) -> BTreeSet<String> {
    let is_part = |c: char| c.is_ascii_lowercase() || c == '_';
    let words = text.split(|c| !is_part(c));
    let kinds = ["events_", "delivery_", "requests_", "log_"];
    let named = words.filter(|word| kinds.iter().any(|kind| word.starts_with(kind)));
    named.map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn dashboards_rules_and_guide_name_the_metrics_that_there_are() {
    let writer = memory("a");
    let collector = Builder::new().to(&writer).start().await;
    let page = metrics(collector.address).await;
    collector.stop().await;
    let known: BTreeSet<String> = page
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "))
        .map(|line| line.split(' ').next().expect("a name").to_owned())
        .collect();
    let dashboard: serde_json::Value =
        serde_json::from_str(&text("deploy/grafana/dashboard.json")).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let targets = panels
        .iter()
        .flat_map(|panel| panel["targets"].as_array().expect("targets"));
    let shown: String = targets
        .map(|target| target["expr"].as_str().expect("a query"))
        .collect();
    assert_eq!(
        metrics_named(&shown),
        known,
        "the dashboard shows all there are"
    );
    let rules = text("deploy/prometheus/rules.yml");
    let in_rules: Vec<String> = metrics_named(&rules).difference(&known).cloned().collect();
    assert!(in_rules.is_empty(), "{in_rules:?}");
    assert!(metrics_named(&rules).len() >= 6);
    assert_eq!(documented("## Metrics"), known);
    for rule in rules
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: "))
    {
        assert!(
            text("docs/operations.md").contains(rule),
            "{rule} has no runbook"
        );
    }
}
