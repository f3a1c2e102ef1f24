//! The template for Google Tag Manager: it stands the checks of `web/gtm`, which are as strict as Tag Manager, and what its tags send
//! becomes the row that the same event becomes without it.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::browser::play;
use crate::support::clock::SetClock;
use crate::support::collector::{memory, rows};
use crate::support::process::{self, Process};
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
    node(&["--test", "gtm/gtm.test.js"]);
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
        assert_eq!(tag["ended"], json!(["success"]), "{tag:#}");
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

/// The parameters of a row that are not the page's, by name.
fn params(row: &Value) -> Value {
    let all = row["event_params"].as_array().expect("parameters");
    let mut named = serde_json::Map::new();
    for param in all {
        let name = param["key"].as_str().expect("a key");
        if !real_streaming::http::streaming::payload::FLAT_PARAMS.contains(&name) {
            named.insert(name.to_owned(), param["value"].clone());
        }
    }
    Value::Object(named)
}

#[tokio::test(flavor = "multi_thread")]
async fn tags_work_in_a_browser_with_the_collectors_script() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("temporary folder");
    let origins = json!(["https://www.shop.example", "https://www.partner.example"]).to_string();
    let values = [
        ("CORS__ALLOWED_ORIGINS", origins.as_str()),
        ("ENRICH__TRUSTED_HOPS", "1"),
    ];
    let collector = Process::start(folder.path(), &values).await;
    let told = play("tags.py", &collector, folder.path(), &[]);
    assert_eq!(collector.terminate().code(), Some(0));
    let rows = process::rows(folder.path());

    let pages = told.as_array().expect("pages");
    for (page, sent) in pages.iter().zip([1, 3, 1, 1]) {
        assert_eq!(page["complaints"], json!([]), "{page:#}");
        assert_eq!(
            page["ended"],
            Value::from(vec!["success"; sent]),
            "{page:#}"
        );
        let requests = page["requests"].as_array().expect("requests");
        let of = |method: &str| -> Vec<&Value> {
            let chosen = requests
                .iter()
                .filter(|request| request["method"] == method);
            chosen.map(|request| &request["path"]).collect()
        };
        // The script is kept by the browser; each event goes out once, and no browser asks for it beforehand.
        let loaded = of("GET");
        assert!(
            loaded == ["/cart", "/static/v6.js"] || loaded == ["/cart"],
            "{loaded:?}"
        );
        assert_eq!(of("POST"), vec!["/api/v1/streaming/1"; sent], "{page:#}");
        assert_eq!(of("OPTIONS"), [""; 0], "{page:#}");
    }
    let [denied, first, next, waiting] = &pages[..] else {
        panic!("four pages");
    };
    for place in ["stored", "cookies", "readable_cookie"] {
        let kept = &denied[place];
        assert!(
            kept == &json!({}) || kept == &json!([]) || kept == "",
            "{kept} in {place}"
        );
    }
    assert_eq!(
        first["layer"],
        json!([{"status": 200, "event": "collected"}])
    );
    let visitor = &first["stored"]["__uid__"];
    assert!(visitor.is_string(), "{first:#}");
    for page in [first, next, waiting] {
        assert_eq!(
            (
                &page["cookies"][0]["value"],
                &page["cookies"][0]["httpOnly"]
            ),
            (visitor, &json!(true)),
            "{page:#}"
        );
        assert_eq!(
            (&page["stored"], &page["readable_cookie"]),
            (&json!({"__uid__": visitor}), &json!("")),
            "{page:#}"
        );
    }
    assert_eq!(waiting["before_the_choice"], 1, "nothing but the page");

    assert_eq!(rows.len(), 6, "{rows:#?}");
    for row in &rows {
        assert_eq!(row["collector"]["warnings"], Value::Null, "{row:#}");
        assert_eq!(
            row["collected_traffic_source"]["manual_source"], "n1",
            "{row:#}"
        );
    }
    let named = |name: &'static str| rows.iter().filter(move |row| row["event_name"] == name);
    let views: Vec<_> = named("page_view")
        .map(|row| &row["user_pseudo_id"])
        .collect();
    assert_eq!(
        views.iter().filter(|id| id.is_null()).count(),
        1,
        "{views:?}"
    );
    assert_eq!(
        views.iter().filter(|id| **id == visitor).count(),
        3,
        "{views:?}"
    );
    let sale = named("purchase").next().expect("the purchase");
    assert_eq!(
        (
            &sale["user_pseudo_id"],
            &sale["ecommerce"]["purchase_revenue"]
        ),
        (visitor, &json!(19.9))
    );
    assert_eq!(
        (&sale["items"][0]["item_id"], &sale["items"][0]["quantity"]),
        (&json!("7"), &json!(2))
    );
    let sign_up = named("sign_up_done").next().expect("the custom event");
    assert_eq!(
        (&sign_up["user_pseudo_id"], &sign_up["user_id"]),
        (visitor, &json!("42"))
    );
    let address =
        json!({"string_value": "6a0bf011a1fc1e9a8add1728704b8ddb5d9d2701ae295a65452d9f1f1cf91be5"});
    let expected = json!({
        "event": {"string_value": "ready"}, "plan": {"string_value": "007"},
        "digest": {"string_value": "0cc175b9c0f1b6a831c399e269772661"},
        "user_id": {"string_value": "42"}, "email_address": address,
    });
    assert_eq!(params(sign_up), expected);
}
