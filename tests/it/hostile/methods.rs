//! B53–B58: methods, addresses and versions that are not ours, and what browsers send besides.

use serde_json::json;

use super::{Case, event, refused, taken};

/// A request without a body.
fn bare(line: &str) -> Vec<u8> {
    format!("{line} HTTP/1.1\r\nHost: x\r\n\r\n").into_bytes()
}

fn posted(target: &str, version: &str, headers: &str, body: &str) -> Vec<u8> {
    format!(
        "POST {target} {version}\r\n{headers}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

pub(super) fn cases() -> Vec<Case> {
    const P: &str = "/api/v1/streaming/1";
    let post_to =
        |id: &str, target: &str| posted(target, "HTTP/1.1", "Host: x\r\n", &event(id, ""));
    let pixel =
        |id: &str, more: &str| bare(&format!("GET {P}?event_name=page_view&user_id={id}{more}"));
    let long = format!("&w={}", "a".repeat(16 << 10));
    let beacon = event(
        "B57",
        &format!(r#","page_title":"{}""#, "t".repeat(64 << 10)),
    );
    let names = vec!["x-a"; 1000].join(",");
    let long_method = "M".repeat(10_000);
    let mut cases = vec![
        refused("B53", "TRACE", &[405], bare(&format!("TRACE {P}"))),
        refused("B53b", "CONNECT", &[400, 404, 405], bare("CONNECT x:443")),
        refused("B53c", "PROPFIND", &[405], bare(&format!("PROPFIND {P}"))),
        refused("B53d", "DELETE", &[405], bare(&format!("DELETE {P}"))),
        refused("B53e", "OPTIONS *", &[404], bare("OPTIONS *")),
        refused(
            "B53f",
            "a method of 10 kB",
            &[405],
            bare(&format!("{long_method} {P}")),
        ),
        refused(
            "B53g",
            "a method with a bracket",
            &[400],
            bare(&format!("GE(T {P}")),
        )
        .closed(),
        refused(
            "B54",
            "a second slash",
            &[404],
            post_to("B54", "//api/v1/streaming/1"),
        ),
        refused(
            "B54b",
            "%2e%2e in the path",
            &[404],
            post_to("B54b", "/api/v1/%2e%2e/streaming/1"),
        ),
        refused(
            "B54c",
            "%2e%2e as stream",
            &[400],
            post_to("B54c", "/api/v1/streaming/%2e%2e"),
        ),
        refused(
            "B54d",
            ".. in the path",
            &[404],
            post_to("B54d", "/api/v1/streaming/1/../../admin"),
        ),
        refused(
            "B54e",
            "a matrix parameter",
            &[400],
            post_to("B54e", "/api/v1/streaming/1;x"),
        ),
        refused(
            "B54f",
            "a slash, encoded",
            &[400],
            post_to("B54f", "/api/v1/streaming/1%2f2"),
        ),
        refused(
            "B54g",
            "a zero byte, encoded",
            &[400],
            post_to("B54g", "/api/v1/streaming/1%00"),
        ),
        refused(
            "B54h",
            "capitals in the path",
            &[404],
            post_to("B54h", "/API/v1/streaming/1"),
        ),
        refused(
            "B54i",
            "a space in the path",
            &[400],
            post_to("B54i", "/api/v1/streaming/1 x"),
        )
        .closed(),
        refused(
            "B54j",
            "no slash at the beginning",
            &[400, 404],
            post_to("B54j", "api/v1/streaming/1"),
        )
        .closed(),
        taken(
            "B54k",
            "the whole address of another host",
            post_to("B54k", "http://other.example/api/v1/streaming/1"),
        )
        .with("/stream_id", json!("1")),
        taken("B55", "a pixel with 16 KiB", pixel("B55", &long)).with(
            "/event_params/0/value/string_value",
            json!("a".repeat(16 << 10)),
        ),
        taken(
            "B55b",
            "a pixel with names like arrays",
            pixel("B55b", "&e[]=1&e[]=2&a[b][]=3&a[b][]=4"),
        )
        .with("/event_params/0/value/string_value", json!("2"))
        .with("/event_params/1/key", json!("a[b][]")),
        taken(
            "B56",
            "a pixel with broken escapes",
            pixel("B56", "&u=%zz&x=%c0%ae"),
        )
        .with("/event_params/0/value/string_value", json!("%zz"))
        .with(
            "/event_params/1/value/string_value",
            json!("\u{fffd}\u{fffd}"),
        ),
        taken(
            "B57",
            "a beacon of 64 KiB",
            posted(
                P,
                "HTTP/1.1",
                "Host: x\r\nContent-Type: text/plain\r\n",
                &beacon,
            ),
        ),
        refused("B57b", "a preflight for 1,000 headers", &[204], {
            format!("OPTIONS {P} HTTP/1.1\r\nHost: x\r\nOrigin: https://evil.example\r\nAccess-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: {names}\r\n\r\n").into_bytes()
        }),
        taken(
            "B58",
            "HTTP/1.0",
            posted(P, "HTTP/1.0", "Host: x\r\n", &event("B58", "")),
        )
        .closed(),
        taken(
            "B58b",
            "HTTP/1.0 without Host",
            posted(P, "HTTP/1.0", "", &event("B58b", "")),
        )
        .closed(),
        taken(
            "B58c",
            "HTTP/1.1 without Host",
            posted(P, "HTTP/1.1", "", &event("B58c", "")),
        ),
        refused("B58d", "HTTP/0.9", &[400], b"GET /\r\n".to_vec()).closed(),
    ];
    for (id, what, bytes) in [
        (
            "B58e",
            "HTTP/1.2",
            posted(P, "HTTP/1.2", "Host: x\r\n", &event("B58e", "")),
        ),
        (
            "B58f",
            "HTTP/2.0 in a line of HTTP/1",
            posted(P, "HTTP/2.0", "Host: x\r\n", &event("B58f", "")),
        ),
        (
            "B58g",
            "HTTP/9.9",
            posted(P, "HTTP/9.9", "Host: x\r\n", &event("B58g", "")),
        ),
        (
            "B58h",
            "the beginning of TLS",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n".to_vec(),
        ),
        ("B58i", "SSH", b"SSH-2.0-x\r\n\r\n".to_vec()),
        ("B58j", "zeros", [&[0; 4096][..], b"\r\n\r\n"].concat()),
        (
            "B58k",
            "the preface of HTTP/2 behind a line feed",
            b"\nPRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        ),
    ] {
        cases.push(refused(id, what, &[400], bytes).closed());
    }
    cases
}
