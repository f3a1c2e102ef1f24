//! The tracker in real browsers: what it promises of delivery, of names, and of pages that make it hard. The scripts in `tests/browser` act and tell;
//! here is judged.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::support::process::{Process, rows};

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its address").port()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}"))
}

fn list(value: &Value) -> &[Value] {
    value
        .as_array()
        .unwrap_or_else(|| panic!("no list: {value}"))
}

/// A parameter of a row; null if there is none.
fn param<'r>(row: &'r Value, key: &str) -> &'r Value {
    let mut params = list(&row["event_params"]).iter();
    let found = params.find(|param| param["key"] == key);
    let slots = found.and_then(|param| param["value"].as_object());
    let value = slots.and_then(|slots| slots.values().find(|value| !value.is_null()));
    value.unwrap_or(&Value::Null)
}

/// Journeys of visitors with this browser, and the rows that came of them. The collector is killed and started again when the script asks for it.
async fn walk(browser: &str, journeys: usize, seed: u32) -> (Value, Vec<Value>) {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let site = free_port();
    let origins = json!([format!("http://localhost:{site}")]).to_string();
    let values = [("CORS__ALLOWED_ORIGINS", origins.as_str())];
    let mut process = Process::start(folder.path(), &values).await;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser/journeys.mjs");
    let mut node = Command::new("node")
        .arg(script)
        .arg(browser)
        .args([site, process.address.port()].map(|port| port.to_string()))
        .args([journeys.to_string(), seed.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("node runs; `make node` installs it");
    let mut asked = node.stdin.take().expect("its input");
    let mut told = Value::Null;
    for line in BufReader::new(node.stdout.take().expect("its output")).lines() {
        let line: Value = serde_json::from_str(&line.expect("text")).expect("JSON");
        if line["ask"] == "restart" {
            process.kill();
            process = Process::start(folder.path(), &values).await;
            writeln!(asked, "{}", process.address.port()).expect("it listens");
        } else {
            told = line;
        }
    }
    let ended = node.wait().expect("it ends");
    assert!(ended.success(), "journeys.mjs with seed {seed}: {ended}");
    process.drained().await;
    assert_eq!(process.terminate().code(), Some(0));
    (told, rows(folder.path()))
}

/// What the table must say of journeys: each event once, each visit one user and one session.
fn check_journeys(told: &Value, rows: &[Value], seed: u32) {
    let mut ids = BTreeSet::new();
    let mut stored: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
    for row in rows {
        let id = (text(&row["event_name"]), text(&row["event_id"]));
        assert!(ids.insert(id), "seed {seed}: twice: {row}");
        let name = match text(&row["event_name"]) {
            "page_view" => {
                let location = text(param(row, "page_location"));
                &location[location.find('?').expect("a query")..]
            }
            name => name,
        };
        stored.entry(name).or_default().push(row);
    }
    let (mut unsure, mut missing) = (0, 0);
    for journey in list(&told["journeys"]) {
        let mut expected: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
        for event in list(&journey["events"]) {
            let (sure, all) = expected.entry(text(&event["name"])).or_default();
            *all += 1;
            *sure += usize::from(event["sure"] == true);
        }
        let (mut users, mut sessions) = (BTreeSet::new(), BTreeSet::new());
        for (name, (sure, all)) in expected {
            let found = stored.remove(name).unwrap_or_default();
            assert!(
                (sure..=all).contains(&found.len()),
                "seed {seed}: {name} is there {} times, not {sure} to {all}: {}",
                found.len(),
                journey["steps"]
            );
            unsure += all - sure;
            missing += all - found.len();
            for row in found {
                users.insert(text(&row["user_pseudo_id"]));
                sessions.insert(param(row, "ga_session_id").as_i64().expect("a session"));
            }
        }
        assert_eq!(
            (users.len(), sessions.len()),
            (1, 1),
            "seed {seed}: {users:?} {sessions:?} {}",
            journey["steps"]
        );
    }
    let visits = list(&told["journeys"]).len();
    for name in ["session_start", "first_visit"] {
        let found = stored.remove(name).unwrap_or_default();
        assert_eq!(found.len(), visits, "seed {seed}: one {name} a visit");
    }
    assert!(
        missing * 20 <= unsure,
        "seed {seed}: {missing} of {unsure} events are missing whose tab closed at once"
    );
    let largest = told["largest"].as_u64().expect("a number");
    assert!(largest < 65_536, "a request of {largest} bytes");
    println!(
        "seed {seed}: {visits} journeys, {} rows, {unsure} events whose tab closed at once, {missing} of them missing, largest request {largest} bytes",
        rows.len()
    );
}

/// How many journeys, and which: `JOURNEYS` and `SEED` say otherwise.
fn journeys(usual: usize) -> (usize, u32) {
    let variable = |name: &str| std::env::var(name).ok();
    let count = variable("JOURNEYS").and_then(|text| text.parse().ok());
    let seed = variable("SEED").and_then(|text| text.parse().ok());
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed();
    let random = now.expect("a clock").subsec_nanos() | 1;
    (count.unwrap_or(usual), seed.unwrap_or(random))
}

#[tokio::test(flavor = "multi_thread")]
async fn visitors_with_chromium_lose_nothing_and_are_counted_once() {
    let (count, seed) = journeys(10);
    let (told, rows) = walk("chromium", count, seed).await;
    check_journeys(&told, &rows, seed);
}

#[tokio::test(flavor = "multi_thread")]
async fn visitors_with_firefox_lose_nothing_and_are_counted_once() {
    let (count, seed) = journeys(5);
    let (told, rows) = walk("firefox", count, seed).await;
    check_journeys(&told, &rows, seed);
}
