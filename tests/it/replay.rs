//! Requests that real clients sent, again, as they were: headers in their order, bodies to the byte.
//!
//! `tests/fixtures/clients` holds them, one JSON object a line. Those that were sent to another path are sent
//! to that of the streaming endpoint; `raw.jsonl` has all bytes of a connection and is sent untouched.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::Value;

use crate::support::Builder;
use crate::support::collector::{memory, rows};
use crate::support::wire::exchange;

const PATH: &str = "/api/v1/streaming/";

/// What a request that is no event for us may be answered.
const REFUSED: [u16; 8] = [204, 400, 404, 405, 408, 413, 415, 422];

#[derive(Deserialize)]
struct Recording {
    client: String,
    scenario: String,
    #[serde(default)]
    method: String,
    #[serde(default)]
    target: String,
    #[serde(default)]
    headers: Vec<(String, String)>,
    #[serde(default)]
    body: String,
    /// All bytes of a connection.
    #[serde(default)]
    bytes: String,
}

impl Recording {
    fn body(&self) -> Vec<u8> {
        STANDARD.decode(&self.body).expect("base64")
    }

    /// The request as it was, on the streaming endpoint's path.
    fn request(&self) -> Vec<u8> {
        let (path, query) = match self.target.split_once('?') {
            Some((path, query)) => (path, format!("?{query}")),
            None => (self.target.as_str(), String::new()),
        };
        let path = match path.starts_with(PATH) {
            true => path.to_owned(),
            false => format!("{PATH}4711"),
        };
        let mut head = format!("{} {path}{query} HTTP/1.1\r\n", self.method);
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        [head.into_bytes(), self.body()].concat()
    }
}

fn recordings(file: &str) -> Vec<Recording> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/clients/");
    let text = std::fs::read_to_string(format!("{folder}{file}")).expect("recordings");
    text.lines()
        .map(|line| serde_json::from_str(line).expect("a recording"))
        .collect()
}

/// The parameters of a row or of a body, without those that are null or empty.
fn params(event: &Value) -> BTreeMap<&str, &Value> {
    let params = event["event_params"].as_array();
    params
        .into_iter()
        .flatten()
        .filter_map(|param| Some((param["key"].as_str()?, &param["value"])))
        .collect()
}

/// The value of a parameter, whatever slot it is in.
fn value(slots: &Value) -> Option<String> {
    let mut values = slots.as_object()?.values().filter(|value| !value.is_null());
    let value = values.next()?;
    // Half a surrogate pair becomes U+FFFD, which readers of JSON do as well.
    Some(match value.as_f64() {
        Some(number) => number.to_string(),
        None => value.as_str()?.to_owned(),
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn what_data_tags_send_is_taken() {
    let writer = memory("a");
    let collector = Builder::new().to(&writer).start().await;
    let recordings = recordings("data_tags.jsonl");
    assert!(recordings.len() >= 20, "recordings are missing");
    for recording in &recordings {
        let exchange = exchange(collector.address, &recording.request(), true).await;
        assert_eq!(
            exchange.statuses(),
            [200],
            "{} {}: {exchange:?}",
            recording.client,
            recording.scenario
        );
    }
    collector.stop().await;
    let rows = rows(&writer);
    // What the original's tag sent is in its row, to the value. Sent again with the same id, it is there once.
    for recording in &recordings {
        let Ok(mut sent) = serde_json::from_slice::<Value>(&lossy(recording.body())) else {
            continue;
        };
        let Some(id) = sent["event_id"].as_str().map(str::to_owned) else {
            continue;
        };
        let stored: Vec<&Value> = rows.iter().filter(|row| row["event_id"] == id).collect();
        assert_eq!(stored.len(), 1, "{id}");
        let name = sent["event_name"].take();
        assert_eq!(stored[0]["event_name"], name);
        let found = params(stored[0]);
        for (key, slots) in params(&sent) {
            let found = found.get(key).unwrap_or_else(|| panic!("{id} lacks {key}"));
            assert_eq!(value(found), value(slots), "{id} {key}");
        }
    }
    let distinct = recordings.iter().map(|recording| &recording.body);
    let distinct: std::collections::BTreeSet<_> = distinct.collect();
    assert!(rows.len() >= distinct.len(), "{} rows", rows.len());
}

/// Escapes of half a surrogate pair as what they are stored as.
fn lossy(body: Vec<u8>) -> Vec<u8> {
    let text = String::from_utf8(body).unwrap_or_default();
    text.replace(r"\ud800b", r"\ufffdb").into_bytes()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_meant_for_others_does_no_harm() {
    let writer = memory("a");
    let collector = Builder::new().to(&writer).start().await;
    let recordings = recordings("foreign.jsonl");
    assert!(recordings.len() >= 80, "recordings are missing");
    let mut taken = 0;
    for recording in &recordings {
        let exchange = exchange(collector.address, &recording.request(), true).await;
        let statuses = exchange.statuses();
        println!(
            "| {} | {} | {} | {statuses:?} |",
            recording.client, recording.scenario, recording.method
        );
        assert_eq!(
            statuses.len(),
            1,
            "{recording:?}",
            recording = recording.target
        );
        let is_known = statuses[0] == 200 || REFUSED.contains(&statuses[0]);
        assert!(
            is_known,
            "{} {}: {exchange:?}",
            recording.client, recording.scenario
        );
        taken += usize::from(statuses[0] == 200);
    }
    collector.takes(r#"{"event_name":"ours"}"#).await;
    collector.stop().await;
    assert_eq!(
        rows(&writer).len(),
        taken + 1,
        "what is refused is not stored"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn http_clients_of_all_kinds_are_understood() {
    let writer = memory("a");
    let collector = Builder::new()
        .set("HTTP__IDLE_TIMEOUT", "2")
        .to(&writer)
        .start()
        .await;
    let mut taken = 0;
    for recording in recordings("raw.jsonl") {
        let bytes = STANDARD.decode(&recording.bytes).expect("base64");
        let text = String::from_utf8_lossy(&bytes);
        // The others had ended their half when they were recorded.
        let cut = !text.starts_with("PRI");
        let exchange = exchange(collector.address, &bytes, cut).await;
        let statuses = exchange.statuses();
        let what = format!("{} {}", recording.client, recording.scenario);
        println!("| {what} | {statuses:?} |");
        if text.starts_with("PRI") {
            // A HEADERS frame on stream 1 whose block begins with `:status: 200`.
            let ok = [1, 4, 0, 0, 0, 1, 0x88];
            let has_ok = exchange.rest.windows(ok.len()).any(|bytes| bytes == ok);
            assert!(has_ok, "{what}: {exchange:?}");
            taken += 1;
            continue;
        }
        let requests = text.matches(" HTTP/1.").count();
        let expected = match text.split(['?', ' ']).nth(1) {
            Some("/api/v1/streaming/4711") if text.contains("multipart/form-data") => 400,
            Some("/api/v1/streaming/4711") if text.starts_with("OPTIONS") => 204,
            Some("/api/v1/streaming/4711") => 200,
            _ => 404,
        };
        assert_eq!(statuses, vec![expected; requests], "{what}: {exchange:?}");
        taken += usize::from(expected == 200);
    }
    collector.stop().await;
    assert!(taken >= 10);
    assert_eq!(rows(&writer).len(), taken);
}
