//! Golden rows: each body under `tests/fixtures/streaming`, read and enriched as in a fixed visit.
//!
//! A body may have the request's headers beside it. Ids that are made anew each time are replaced.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use http::{HeaderMap, HeaderName, HeaderValue};
use prost::Message;
use real_streaming::clock::Micros;
use real_streaming::enrich::explain::Explanation;
use real_streaming::enrich::{Config, Enricher, Visit, identity};
use real_streaming::http::streaming::payload::{Parsed, Payloads, parse};
use real_streaming::schema::Event;
use real_streaming::schema::json::write_row;

/// 2026-11-21 00:30:00 UTC.
const RECEIVED: Micros = Micros(1_795_221_000_000_000);

type Headers = BTreeMap<String, String>;

fn headers_beside(body: &Path) -> Headers {
    match fs::read(body.with_extension("headers.json")) {
        Ok(headers) => serde_json::from_slice(&headers).expect("headers are JSON"),
        Err(_) => Headers::new(),
    }
}

fn enriched(parsed: Parsed, headers: &Headers) -> Event {
    let named = |name: &str| headers.get(name).map(String::as_str);
    let headers: HeaderMap = [
        ("user-agent", named("user-agent")),
        ("accept-language", named("accept-language")),
        ("x-client-geo-country", Some("UA")),
        ("x-client-geo-region", Some("UA77")),
        ("x-client-geo-city", Some("Chernivtsi")),
    ]
    .into_iter()
    .filter_map(|(name, text)| {
        let value = HeaderValue::from_bytes(text?.as_bytes()).ok()?;
        Some((HeaderName::from_static(name), value))
    })
    .collect();
    let visit = Visit {
        received_at: RECEIVED,
        stream_id: "4711".into(),
        user_pseudo_id: "1795200000000.111111111.222222222.333333333".into(),
        user_source: identity::Source::Cookie,
        client_ip: "203.0.113.9".parse().ok(),
        headers: &headers,
        ..Visit::default()
    };
    let mut event = *parsed.event;
    Enricher::new(Config::default()).event(
        &mut event,
        &visit,
        parsed.client_timestamp,
        &mut Explanation::unasked(),
    );
    if !parsed.event_id_given {
        event.event_id = Some("(new)".to_owned());
    }
    event
}

/// The row as JSON, in the order of its columns.
fn row(event: &Event) -> serde_json::Value {
    let mut json = Vec::new();
    write_row(&event.encode_to_vec(), &mut json).expect("a row");
    serde_json::from_slice(&json).expect("JSON")
}

fn bodies() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/streaming");
    let entries = fs::read_dir(folder).expect("fixtures");
    let paths = entries.map(|entry| entry.expect("fixture").path());
    paths
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "body")
        })
        .collect()
}

#[test]
fn each_body_becomes_its_row() {
    let bodies = bodies();
    assert!(bodies.len() >= 15, "fixtures are missing");
    for path in bodies {
        let name = path
            .file_stem()
            .expect("name")
            .to_string_lossy()
            .into_owned();
        let body = fs::read(&path).expect("body");
        let Ok(Payloads::One(Ok(parsed))) = parse(&body) else {
            panic!("{name} is not accepted");
        };
        let event = enriched(parsed, &headers_beside(&path));
        insta::assert_json_snapshot!(name, row(&event));
    }
}
