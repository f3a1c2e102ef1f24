//! The documentation that the collector serves: pages that need nothing from elsewhere, and a description that is true.

use std::collections::BTreeSet;
use std::io::Read;
use std::net::SocketAddr;
use std::process::Command;

use serde_json::Value;

use crate::support::client::{Answer, TOKEN};
use crate::support::collector::memory;
use crate::support::process::Process;
use crate::support::python::tool;
use crate::support::{Builder, request};

async fn get(address: SocketAddr, path: &str, headers: &[(&str, &str)]) -> Answer {
    request(address, "GET", path, headers, b"").await
}

/// What stands in quotes behind `src=` and `href=`.
fn links(page: &str) -> Vec<String> {
    let links = ["src=\"", "href=\""].into_iter().flat_map(|attribute| {
        page.split(attribute)
            .skip(1)
            .filter_map(|rest| rest.split('"').next())
    });
    links.map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_load_only_what_the_collector_holds() {
    let collector = Builder::new().to(&memory("a")).start().await;
    let address = collector.address;
    for path in ["/docs", "/docs/", "/redoc", "/redoc/"] {
        let page = get(address, path, &[]).await;
        assert_eq!(page.status, 200, "{path}");
        assert_eq!(
            page.header("content-type"),
            Some("text/html; charset=utf-8")
        );
        let policy = page.header("content-security-policy").unwrap();
        assert!(
            policy.starts_with("default-src 'none'; script-src 'self';"),
            "{policy}"
        );
        assert!(
            policy.contains("frame-ancestors 'none'") && !policy.contains("http"),
            "{policy}"
        );
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("referrer-policy", "no-referrer"),
        ] {
            assert_eq!(page.header(name), Some(value), "{path} {name}");
        }
        assert!(
            !page.body.contains("style=") && !page.body.contains("<script>"),
            "{path}: inline"
        );
        let links = links(&page.body);
        assert!(links.len() >= 4, "{links:?}");
        for link in links {
            assert!(
                link.starts_with('/') && !link.starts_with("//"),
                "{path} loads {link}"
            );
            let file = get(address, &link, &[]).await;
            assert_eq!(file.status, 200, "{link}");
            assert_eq!(
                file.header("x-content-type-options"),
                Some("nosniff"),
                "{link}"
            );
            let forever = Some("public, max-age=31536000, immutable");
            let cached = file.header("cache-control");
            assert_eq!(
                cached == forever,
                link.contains("?v="),
                "{link}: {cached:?}"
            );
            assert_eq!(link.starts_with("/static/"), link.contains("?v="), "{link}");
        }
    }
    let redoc = get(address, "/static/redoc.js", &[]).await;
    assert!(redoc.body.contains("ReDoc Version") && !redoc.body.contains("https://cdn."));
    let swagger_ui = get(address, "/static/swagger-ui.js", &[]).await;
    assert!(swagger_ui.body.contains("SwaggerUIBundle"));
    collector.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_sent_in_the_form_that_the_client_takes_and_only_once() {
    let collector = Builder::new().to(&memory("a")).start().await;
    let address = collector.address;
    let paths = [
        "/openapi.json",
        "/docs",
        "/static/redoc.js",
        "/static/swagger-ui.png",
    ];
    for path in paths {
        let plain = get(address, path, &[]).await;
        assert_eq!(
            (plain.status, plain.header("content-encoding")),
            (200, None),
            "{path}"
        );
        let tag = plain.header("etag").unwrap().to_owned();
        assert!(
            tag.starts_with('"') && tag.ends_with('"'),
            "{tag} is strong"
        );
        assert_eq!(plain.header("cache-control"), Some("no-cache"), "{path}");
        let zipped = get(address, path, &[("Accept-Encoding", "gzip")]).await;
        assert_eq!(zipped.header("content-encoding"), Some("gzip"), "{path}");
        assert!(
            zipped.head.to_lowercase().contains("vary: accept-encoding"),
            "{path}"
        );
        assert!(
            zipped.bytes.len() < plain.bytes.len() || path.ends_with("png"),
            "{path}"
        );
        let zipped_tag = zipped.header("etag").unwrap();
        assert_ne!(zipped_tag, tag, "{path}: other bytes have another tag");
        let mut inflated = Vec::new();
        let mut decoder = flate2::read::GzDecoder::new(&zipped.bytes[..]);
        decoder.read_to_end(&mut inflated).unwrap();
        assert!(inflated == plain.bytes, "{path}");
        let again = get(address, path, &[("If-None-Match", &tag)]).await;
        assert_eq!((again.status, again.body.as_str()), (304, ""), "{path}");
        assert_eq!(again.header("etag"), Some(tag.as_str()), "{path}");
        let headers = [("If-None-Match", tag.as_str()), ("Accept-Encoding", "gzip")];
        assert_eq!(
            get(address, path, &headers).await.status,
            200,
            "{path}: it is another form"
        );
        let head = request(address, "HEAD", path, &[], b"").await;
        assert_eq!((head.status, head.body.as_str()), (200, ""), "{path}");
        assert_eq!(
            head.header("content-length"),
            plain.header("content-length"),
            "{path}"
        );
    }
    let brotli = get(
        address,
        "/openapi.json",
        &[("Accept-Encoding", "gzip, deflate, br")],
    )
    .await;
    assert_eq!(brotli.header("content-encoding"), Some("br"));
    for (path, headers) in [
        ("/static/nothing.js", []),
        ("/static/", []),
        ("/static/..%2fdocs", []),
    ] {
        assert_eq!(get(address, path, &headers).await.status, 404, "{path}");
    }
    let stale = get(address, "/static/docs.js?v=0", &[]).await;
    assert_eq!(
        stale.header("cache-control"),
        Some("no-cache"),
        "the content is not of that hash"
    );
    collector.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_compressed_only_where_it_pays() {
    let collector = Builder::new().to(&memory("a")).start().await;
    let headers = [("Accept-Encoding", "gzip")];
    let bearer = format!("Bearer {TOKEN}");
    let with_token = [headers[0], ("Authorization", bearer.as_str())];
    let metrics = get(collector.address, "/metrics", &with_token).await;
    assert_eq!(metrics.header("content-encoding"), Some("gzip"));
    let mut text = String::new();
    let mut decoder = flate2::read::GzDecoder::new(&metrics.bytes[..]);
    decoder.read_to_string(&mut text).unwrap();
    assert!(text.contains("requests_refused_total"), "{text}");
    let event = br#"{"event_name":"e"}"#;
    let answer = request(
        collector.address,
        "POST",
        "/api/v1/streaming/1",
        &headers,
        event,
    )
    .await;
    assert_eq!(
        (answer.body.as_str(), answer.header("content-encoding")),
        (r#"{"status":"ok"}"#, None)
    );
    collector.stop().await;
}

/// The routes that the router names.
fn routes() -> BTreeSet<String> {
    let sources = [
        include_str!("../../src/http/mod.rs"),
        include_str!("../../src/http/admin.rs"),
    ];
    let routes = sources
        .into_iter()
        .flat_map(|source| source.split(".route(").skip(1));
    let routes = routes.filter_map(|rest| rest.split('"').nth(1));
    // A slash at the end is the same endpoint.
    routes
        .map(|route| route.trim_end_matches('/').to_owned())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_description_names_every_route_and_method() {
    let collector = Builder::new().to(&memory("a")).start().await;
    let document = get(collector.address, "/openapi.json", &[]).await.json();
    assert_eq!(document, real_streaming::http::openapi::document());
    let paths = document["paths"].as_object().unwrap();
    let described: BTreeSet<String> = paths.keys().cloned().collect();
    assert_eq!(described, routes());
    for (path, methods) in paths {
        let example = path
            .replace("{stream_id}", "1")
            .replace("{event_id}", "1")
            .replace("{file}", "docs.js");
        let refused = request(collector.address, "NONSENSE", &example, &[], b"").await;
        assert_eq!(
            (refused.status, &refused.json()["code"]),
            (405, &Value::from("method_not_allowed")),
            "{path}"
        );
        let allowed: BTreeSet<String> = refused
            .header("allow")
            .unwrap_or_else(|| panic!("{path}: a 405 names the methods"))
            .split(',')
            .map(|method| method.trim().to_ascii_lowercase())
            .collect();
        let mut described: BTreeSet<String> =
            methods.as_object().unwrap().keys().cloned().collect();
        // Where there is GET there is HEAD.
        if described.contains("get") {
            described.insert("head".to_owned());
        }
        assert_eq!(described, allowed, "{path}");
    }
    let ids: Vec<&str> = paths
        .values()
        .flat_map(|methods| methods.as_object().unwrap().values())
        .map(|operation| operation["operationId"].as_str().unwrap())
        .collect();
    assert_eq!(
        ids.iter().collect::<BTreeSet<_>>().len(),
        ids.len(),
        "{ids:?}"
    );
    collector.stop().await;
}

#[test]
fn every_reference_in_the_description_leads_somewhere() {
    fn check(document: &Value, value: &Value) -> usize {
        if let Some(reference) = value["$ref"].as_str() {
            let found = document.pointer(reference.strip_prefix('#').unwrap());
            assert!(found.is_some(), "{reference} leads nowhere");
        }
        let below: usize = match value {
            Value::Object(members) => members.values().map(|value| check(document, value)).sum(),
            Value::Array(elements) => elements.iter().map(|value| check(document, value)).sum(),
            _ => 0,
        };
        below + usize::from(value["$ref"].is_string())
    }
    let document = real_streaming::http::openapi::document();
    assert!(check(&document, &document) > 50);
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_the_description_allows_is_taken_and_whatever_it_forbids_is_refused() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    // So that the number of events is what ends a long array.
    let values = [("HTTP__MAX_BODY_BYTES", "8388608")];
    let process = Process::start(folder.path(), &values).await;
    let output = Command::new(tool("schemathesis"))
        .current_dir(folder.path())
        .args(["run", &format!("http://{}/openapi.json", process.address)])
        .args([
            "--checks",
            "all",
            "--mode",
            "all",
            "--seed",
            "1",
            "--no-color",
        ])
        .args(["--header", &format!("Authorization: Bearer {TOKEN}")])
        .args(["--max-examples", "50", "--request-timeout", "20"])
        .args(["--suppress-health-check", "all", "--continue-on-failure"])
        .output()
        .expect("it runs");
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}\n{errors}");
    assert!(
        text.contains("Operations:       15 selected / 15 total"),
        "it has tried all: {text}"
    );
    assert_eq!(process.terminate().code(), Some(0));
}
