//! The template for Google Tag Manager: it stands the checks of `web/gtm`, which are as strict as Tag Manager, and what its tags send
//! becomes the row that the same event becomes without it.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::support::clock::SetClock;
use crate::support::collector::{memory, rows};
use crate::support::{Builder, request};

/// 2026-11-21 00:30:00 UTC.
const NOW: i64 = 1_795_221_000_000_000;

const TEMPLATE: &str = "static/gtm/template.tpl";

fn in_root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// What node prints, run in `web/`.
#[track_caller]
fn node(arguments: &[&str]) -> String {
    let output = Command::new("node")
        .current_dir(in_root("web"))
        .args(arguments)
        .output()
        .expect("node runs; `make node` installs it");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    let (told, complaint) = (text(output.stdout), text(output.stderr));
    assert!(
        output.status.success(),
        "node {arguments:?} ended with {}; does `make node` say what is missing?\n{told}{complaint}",
        output.status,
    );
    told
}

#[test]
fn the_template_does_what_tag_manager_allows() {
    node(&["--test", "gtm/"]);
}

/// The row of this body, sent to this path of a collector of its own.
async fn row(path: &str, body: &str) -> Value {
    let writer = memory("a");
    let collector = Builder::new()
        .to(&writer)
        .by_clock(SetClock::at(NOW))
        .start()
        .await;
    let headers = [
        ("Content-Type", "text/plain"),
        (
            "Cookie",
            "__uid__=1795200000000.111111111.222222222.333333333",
        ),
        (
            "User-Agent",
            "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/148.0.0.0 Safari/537.36",
        ),
    ];
    let answer = request(collector.address, "POST", path, &headers, body.as_bytes()).await;
    assert_eq!(answer.status, 200, "{body}: {}", answer.body);
    collector.stop().await;
    let mut rows = rows(&writer);
    assert_eq!(rows.len(), 1, "{body}");
    rows.remove(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_tags_send_becomes_the_row_that_it_becomes_without_them() {
    let path = |relative: &str| in_root(relative).display().to_string();
    let told = node(&[
        "gtm/fire.js",
        &path(TEMPLATE),
        &path("tests/fixtures/gtm/tags.json"),
        &path("tests/fixtures/streaming"),
    ]);
    let tags: Vec<Value> = serde_json::from_str(&told).expect("JSON");
    assert!(tags.len() >= 20, "tags are missing");
    for tag in tags {
        let text = |pointer: &str| {
            tag.pointer(pointer)
                .and_then(Value::as_str)
                .unwrap_or_else(|| panic!("{pointer} of {tag:#}"))
        };
        assert_eq!(tag["ended"], serde_json::json!(["success"]), "{tag:#}");
        let (_, sent_to) = text("/sent/0/url")
            .split_once("//collect.example.com")
            .expect("the collector");
        let sent = row(sent_to, text("/sent/0/body")).await;
        let expected = row(text("/path"), text("/expected")).await;
        assert_eq!(sent, expected, "{}", text("/name"));
        let warnings = sent["collector"]["warnings"].to_string();
        assert!(
            !warnings.contains("ignored"),
            "{}: {warnings}",
            text("/name")
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_template_names_the_collector_that_gave_it() {
    let collector = Builder::new().to(&memory("a")).start().await;
    let template = std::fs::read_to_string(in_root(TEMPLATE)).expect("the template");
    for (host, named) in [
        ("collect.shop.example", "collect.shop.example"),
        ("Collect.Shop.Example:443", "collect.shop.example"),
        ("localhost:8080", "collect.example.com"),
        ("127.0.0.1", "collect.example.com"),
        ("evil\\u0022.example", "collect.example.com"),
    ] {
        let answer = request(
            collector.address,
            "GET",
            "/static/gtm/template.tpl",
            &[("Host", host)],
            b"",
        )
        .await;
        assert_eq!(answer.status, 200, "{host}");
        assert!(
            answer.body == template.replace("collect.example.com", named),
            "{host}"
        );
        for (name, value) in [
            ("content-type", "text/plain; charset=utf-8"),
            (
                "content-disposition",
                "attachment; filename=\"real-streaming.tpl\"",
            ),
            ("cache-control", "no-cache"),
            ("x-content-type-options", "nosniff"),
        ] {
            assert_eq!(answer.header(name), Some(value), "{host}");
        }
    }
    collector.stop().await;
}
