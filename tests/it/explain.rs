//! What a request would become and why: by the command line and over HTTP, which must say the same.

use std::process::Output;

use serde_json::{Value, json};

use crate::support::collector::memory;
use crate::support::process::command;
use crate::support::{Builder, client, request};

const KEYS: &str = r#"["a key for tests of explain"]"#;
const BODY: &str = r#"{"event_name":"page_view","event_id":"1","event_params":{"page_location":"https://shop.test/?utm_source=n1&utm_medium=email"}}"#;
const HEADERS: [(&str, &str); 4] = [
    ("Cookie", "__uid__=somebody.known"),
    ("Accept-Language", "uk-UA"),
    ("X-Forwarded-For", "203.0.113.9"),
    (
        "User-Agent",
        "Mozilla/5.0 (X11; Linux x86_64; rv:144.0) Gecko/20100101 Firefox/144.0",
    ),
];

/// The request as it goes over the wire.
fn wire() -> String {
    let mut text = "POST /api/v1/streaming/7 HTTP/1.1\r\n".to_owned();
    for (name, value) in HEADERS {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    format!("{text}\r\n{BODY}")
}

fn explain(arguments: &[&str]) -> Output {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    std::fs::write(folder.path().join("request.http"), wire()).expect("a file");
    std::fs::write(folder.path().join("body.json"), BODY).expect("a file");
    let faulty = r#"[{"event_name":""},{"event_name":"a"}]"#;
    std::fs::write(folder.path().join("faulty.json"), faulty).expect("a file");
    command(
        folder.path(),
        &[("SESSION__KEYS", KEYS), ("ENRICH__TRUSTED_HOPS", "1")],
    )
    .arg("explain")
    .args(arguments)
    .output()
    .expect("the binary runs")
}

fn stdout(output: &Output) -> String {
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    String::from_utf8(output.stdout.clone()).expect("text")
}

/// An answer without what follows from the time of the request.
fn timeless(mut answer: Value) -> Value {
    fn clean(value: &mut Value) {
        match value {
            Value::Object(members) => {
                let is_of_time = |name: &str| {
                    matches!(
                        name,
                        "event_timestamp" | "event_date" | "date" | "user_first_touch_timestamp"
                    ) || name.starts_with("synced_at")
                };
                members.retain(|name, _| !is_of_time(name));
                members.values_mut().for_each(clean);
            }
            Value::Array(elements) => {
                // A pair of what was seen or filled, and its value.
                let is_of_time = |pair: &Value| {
                    let name = pair[0].as_str().unwrap_or_default();
                    name.contains("time") || name == "event_date"
                };
                elements.retain(|element| !is_of_time(element));
                elements.iter_mut().for_each(clean);
            }
            _ => {}
        }
    }
    clean(&mut answer);
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_says_what_the_collector_says() {
    let told = stdout(&explain(&["request.http", "--format", "json"]));
    let told: Value = serde_json::from_str(&told).expect("JSON");

    let writer = memory("a");
    let collector = Builder::new()
        .to(&writer)
        .set("SESSION__KEYS", KEYS)
        .set("ENRICH__TRUSTED_HOPS", "1")
        .start()
        .await;
    let bearer = format!("Bearer {}", client::TOKEN);
    let mut headers = HEADERS.to_vec();
    headers.push(("Authorization", &bearer));
    let path = "/api/v1/streaming/7?validate=1&explain=1";
    let answer = request(collector.address, "POST", path, &headers, BODY.as_bytes()).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let unexplained = request(
        collector.address,
        "POST",
        "/api/v1/streaming/7?validate=1",
        &headers,
        BODY.as_bytes(),
    )
    .await;
    assert!(unexplained.json()["events"][0]["steps"].is_null());
    collector.stop().await;
    assert!(writer.rows().is_empty(), "nothing is stored");

    assert_eq!(timeless(told.clone()), timeless(answer.json()));
    let event = &told["events"][0];
    assert_eq!(event["added"][0]["event_name"], "session_start");
    assert_eq!(event["row"]["user_pseudo_id"], "somebody.known");
    let steps: Vec<&str> = event["steps"]
        .as_array()
        .expect("steps")
        .iter()
        .map(|step| step["step"].as_str().expect("a name"))
        .collect();
    for step in [
        "consent",
        "client_ip",
        "time",
        "identity",
        "language",
        "traffic_source",
        "session",
    ] {
        assert!(steps.contains(&step), "{step} is not among {steps:?}");
    }
    for step in event["steps"].as_array().expect("steps") {
        assert!(!step["rule"].as_str().expect("a rule").is_empty(), "{step}");
    }
}

#[test]
fn people_read_each_step_and_the_row() {
    let text = stdout(&explain(&["request.http"]));
    for line in [
        "event 1: page_view",
        "  identity: the cookie __uid__",
        "    -> user_pseudo_id = somebody.known",
        "  language: the language of the highest weight",
        "    <- Accept-Language = uk-UA",
        "  session: nothing was known: the first one",
        "  added before it: session_start",
        "  row",
        "    stream_id = 7",
        "    ip = 203.0.113.0",
    ] {
        assert!(
            text.lines().any(|found| found == line),
            "{line:?} is not in\n{text}"
        );
    }
}

#[test]
fn a_request_may_be_put_together() {
    let arguments = [
        "--json",
        "body.json",
        "--stream",
        "shop",
        "--address",
        "198.51.100.7",
        "-H",
        "Sec-GPC: 1",
        "--header",
        "X-Forwarded-For: unknown",
        "--format",
        "json",
    ];
    let told: Value = serde_json::from_str(&stdout(&explain(&arguments))).expect("JSON");
    let row = &told["events"][0]["row"];
    assert_eq!(
        (&row["stream_id"], &row["ip"]),
        (&json!("shop"), &json!("198.51.100.0"))
    );
    assert_eq!(row["collector"]["consent"]["global_privacy_control"], true);
}

#[test]
fn what_is_wrong_is_told() {
    let output = explain(&["--json", "faulty.json"]);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("event 1: would not be stored"), "{text}");
    assert!(text.contains("event 1: event_name must be"), "{text}");
    assert!(text.contains("event 2: a"), "{text}");
    for (arguments, reason) in [
        (&["nowhere.http"][..], "nowhere.http: "),
        (&["body.json"][..], "the request cannot be read"),
        (
            &["--json", "body.json", "-H", "no colon"][..],
            "is not 'Name: value'",
        ),
        (&["--json", "body.json", "--stream", "a b"][..], "--stream"),
        (&["--json", "request.http"][..], "not valid JSON"),
    ] {
        let output = explain(arguments);
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        assert!(told.contains(reason), "{arguments:?}: {told}");
    }
}
