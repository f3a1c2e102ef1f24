//! What the open internet sends: each hostile request gets its answer, the connection is in step or ended,
//! and the collector goes on as before.
//!
//! The table is in the modules below, by what is wrong with a request; numbers such as `B19` group it. It
//! runs against the binary. `--nocapture` prints it.
//!
//! Behind each request comes another one on the same connection. Where the collector must end the
//! connection it is an event named `smuggled`, which must never be stored nor answered; elsewhere it must be
//! answered 200.

mod encoding;
mod fields;
mod framing;
mod headers;
mod http2;
mod json;
mod methods;
mod slow;

use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::post;
use crate::support::process::{Process, command};
use crate::support::wire::{Exchange, exchange};

/// How the binary is run here: deadlines of seconds instead of minutes.
const SETTINGS: [(&str, &str); 7] = [
    ("WRITERS__STRATEGY", "memory"),
    ("HTTP__HEADER_TIMEOUT", "3"),
    ("HTTP__BODY_TIMEOUT", "3"),
    ("HTTP__IDLE_TIMEOUT", "9"),
    ("HTTP__REQUEST_TIMEOUT", "20"),
    ("ENRICH__IP", "full"),
    ("CORS__ALLOWED_ORIGINS", r#"["https://allowed.example"]"#),
];

/// How much more memory may be resident after all than before, KiB.
const MEMORY_GROWTH: u64 = 96 << 10;

/// How much more may have been resident at any moment, KiB.
const MEMORY_PEAK: u64 = 256 << 10;

/// Head of a request up to where headers may be added.
const HEAD: &str =
    "POST /api/v1/streaming/1 HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n";

/// One request and what must become of it. Its rows are known by their `user_id`, which is its id.
struct Case {
    id: &'static str,
    what: &'static str,
    bytes: Vec<u8>,
    /// One of these; 0 is a connection that ends without an answer.
    statuses: Vec<u16>,
    closes: bool,
    cut: bool,
    rows: usize,
    holds: Vec<(&'static str, Value)>,
    at_receipt: bool,
}

/// A request that is taken: 200, one row, and the connection goes on.
fn taken(id: &'static str, what: &'static str, bytes: Vec<u8>) -> Case {
    Case {
        id,
        what,
        bytes,
        statuses: vec![200],
        closes: false,
        cut: false,
        rows: 1,
        holds: Vec::new(),
        at_receipt: false,
    }
}

/// A request that is refused: nothing is stored, the connection goes on.
fn refused(id: &'static str, what: &'static str, statuses: &[u16], bytes: Vec<u8>) -> Case {
    Case {
        statuses: statuses.to_vec(),
        rows: 0,
        ..taken(id, what, bytes)
    }
}

impl Case {
    /// The collector ends the connection with its answer.
    fn closed(self) -> Self {
        Self {
            closes: true,
            ..self
        }
    }

    /// Nothing comes behind it: the client closes its half.
    fn cut(self) -> Self {
        Self {
            closes: true,
            cut: true,
            ..self
        }
    }

    /// So many rows are stored.
    fn rows(self, rows: usize) -> Self {
        Self { rows, ..self }
    }

    /// The last row holds this value at this place; null is nothing there.
    fn with(mut self, pointer: &'static str, value: Value) -> Self {
        self.holds.push((pointer, value));
        self
    }

    /// The event is taken to have happened when it came, whatever its client says.
    fn at_receipt(self) -> Self {
        Self {
            at_receipt: true,
            ..self
        }
    }

    /// What is wrong with what came back.
    fn faults(&self, exchange: &Exchange) -> Vec<String> {
        let mut faults = Vec::new();
        let mut expect = |right: bool, what: String| {
            if !right {
                faults.push(format!("{} ({}): {what}", self.id, self.what));
            }
        };
        let statuses = exchange.statuses();
        let first = statuses.first().copied().unwrap_or(0);
        expect(
            self.statuses.contains(&first),
            format!(
                "{statuses:?}, not {:?}: {:?}",
                self.statuses,
                exchange.answers.first()
            ),
        );
        expect(exchange.ended, "the connection does not end".to_owned());
        expect(
            statuses.iter().all(|status| *status < 500),
            format!("a fault of the collector: {statuses:?}"),
        );
        let behind = statuses.get(1..).unwrap_or_default();
        let expected: &[u16] = if self.closes { &[] } else { &[200] };
        expect(behind == expected, format!("behind it {behind:?}"));
        expect(
            exchange.rest.is_empty(),
            format!("{} bytes that are no answer", exchange.rest.len()),
        );
        expect(
            exchange
                .answers
                .iter()
                .all(|answer| answer.header("Access-Control-Allow-Origin").is_none()),
            "a page that is not listed may read the answer".to_owned(),
        );
        let is_error = first >= 400 && !exchange.answers[0].body.is_empty();
        let shape = || exchange.answers[0].json()["status"] == "error";
        expect(!is_error || shape(), "an error of another shape".to_owned());
        faults
    }

    /// What is wrong with what was stored.
    fn faults_of_rows(&self, rows: &[Value]) -> Vec<String> {
        let mine: Vec<&Value> = rows
            .iter()
            .filter(|row| row["user_id"] == self.id)
            .collect();
        let mut faults = Vec::new();
        if mine.len() != self.rows {
            faults.push(format!(
                "{} ({}): {} rows, not {}",
                self.id,
                self.what,
                mine.len(),
                self.rows
            ));
        }
        for row in mine.iter().filter(|_| self.at_receipt) {
            let (time, came) = (&row["event_timestamp"], &row["synced_at_micros_"]);
            if !time.is_number() || time != came {
                faults.push(format!(
                    "{} ({}): it happened at {time}",
                    self.id, self.what
                ));
            }
        }
        for (pointer, expected) in &self.holds {
            let found = mine.last().and_then(|row| row.pointer(pointer));
            if found.unwrap_or(&Value::Null) != expected {
                faults.push(format!(
                    "{} ({}): {pointer} is {found:?}, not {expected}",
                    self.id, self.what
                ));
            }
        }
        faults
    }
}

/// A request with this body.
fn request(body: impl AsRef<[u8]>) -> Vec<u8> {
    request_with("", body)
}

/// A request with these header lines more, and this body.
fn request_with(headers: impl AsRef<[u8]>, body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let length = format!("Content-Length: {}\r\n\r\n", body.len());
    [HEAD.as_bytes(), headers.as_ref(), length.as_bytes(), body].concat()
}

/// A request with these header lines and what follows, in which nothing is counted.
fn framed(rest: impl AsRef<[u8]>) -> Vec<u8> {
    [HEAD.as_bytes(), rest.as_ref()].concat()
}

/// An event by this user with these members more, such as `,"a":1`.
fn event(id: &str, members: &str) -> String {
    format!(r#"{{"event_name":"page_view","user_id":"{id}"{members}}}"#)
}

/// An event with one parameter, `v`, whose value is this JSON.
fn param(id: &str, value: &str) -> String {
    event(
        id,
        &format!(r#","event_params":[{{"key":"v","value":{value}}}]"#),
    )
}

/// The binary in a folder of its own.
async fn start(settings: &[(&str, &str)]) -> (TempDir, Process) {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let process = Process::start(folder.path(), settings).await;
    // Memory counts from a collector that has worked.
    for _ in 0..20 {
        good(&process).await;
    }
    let large = event("warm-up", &format!(r#","big":"{}""#, "x".repeat(1 << 20)));
    assert_eq!(post(process.address, &large).await.status, 200);
    (folder, process)
}

/// A good event on a new connection is taken.
async fn good(process: &Process) {
    assert_eq!(post(process.address, &event("good", "")).await.status, 200);
}

/// Ends the collector. It had no fault: it ends as it was told, and each line of its log is one JSON object
/// without control characters.
fn finish(folder: &Path, process: Process) {
    assert_eq!(process.terminate().code(), Some(0));
    let log = std::fs::read(folder.join("output")).expect("its output");
    let log = String::from_utf8(log).expect("the log is text");
    for line in log.lines() {
        let is_object = serde_json::from_str::<Value>(line).is_ok_and(|line| line.is_object());
        assert!(is_object, "not one JSON object: {line}");
        assert!(!line.contains(char::is_control), "not escaped: {line:?}");
    }
    assert!(!log.contains("panicked"), "{log}");
}

/// Fails if more memory is in use than before, or was at any moment.
fn check_memory(process: &Process, before: u64) {
    let (resident, peak) = process.memory();
    println!(
        "memory: {} MiB before, {} MiB after, {} MiB at most",
        before >> 10,
        resident >> 10,
        peak >> 10
    );
    assert!(resident < before + MEMORY_GROWTH, "memory stays in use");
    assert!(peak < before + MEMORY_PEAK, "too much memory at a time");
}

/// All that is stored.
fn rows(folder: &Path) -> Vec<Value> {
    let output = command(folder, &SETTINGS)
        .args(["show", "-n", "1000000"])
        .output()
        .expect("the binary runs");
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).expect("text");
    text.lines()
        .map(|line| serde_json::from_str(line).expect("a row"))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_hostile_request_has_its_answer_and_the_next_one_too() {
    let (folder, process) = start(&SETTINGS).await;
    let (before, _) = process.memory();
    let cases: Vec<Case> = [
        framing::cases(),
        encoding::cases(),
        json::cases(),
        fields::cases(),
        headers::cases(),
        methods::cases(),
    ]
    .into_iter()
    .flatten()
    .collect();
    let mut faults = Vec::new();
    println!("| | request | answer | connection | ms |\n|---|---|---|---|---|");
    for case in &cases {
        let behind = match (case.cut, case.closes) {
            (true, _) => Vec::new(),
            (false, true) => request(event("smuggled", "")),
            (false, false) => request_with("Connection: close\r\n", event("behind", "")),
        };
        let bytes = [case.bytes.as_slice(), &behind].concat();
        let exchange = exchange(process.address, &bytes, case.cut).await;
        faults.extend(case.faults(&exchange));
        println!(
            "| {} | {} | {} | {} | {} |",
            case.id,
            case.what.replace('|', "\\|"),
            exchange
                .statuses()
                .first()
                .map_or("none".to_owned(), u16::to_string),
            if case.closes { "ended" } else { "goes on" },
            exchange.took.as_millis()
        );
        good(&process).await;
    }
    let rows_sent = cases.iter().filter(|case| !case.closes).count();
    check_memory(&process, before);
    finish(folder.path(), process);
    let rows = rows(folder.path());
    faults.extend(cases.iter().flat_map(|case| case.faults_of_rows(&rows)));
    let of = |user: &str| rows.iter().filter(|row| row["user_id"] == user).count();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert_eq!(of("smuggled"), 0, "a request inside another one was taken");
    assert_eq!(of("behind"), rows_sent);
    assert_eq!(of("good"), 20 + cases.len());
}
