//! B45–B52: headers that lie, shout, or are no text.

use serde_json::{Value, json};

use super::{Case, event, refused, request_with, taken};

pub(super) fn cases() -> Vec<Case> {
    let with = |id: &'static str, what: &'static str, headers: &[u8]| {
        taken(id, what, request_with(headers, event(id, "")))
    };
    let mut cases = Vec::new();
    let thousand = format!("X-Forwarded-For: {}\r\n", vec!["10.0.0.1"; 1000].join(", "));
    for (id, what, headers) in [
        (
            "B45",
            "X-Forwarded-For of a stranger",
            "X-Forwarded-For: 1.2.3.4\r\n",
        ),
        ("B45b", "X-Forwarded-For with 1,000 hops", &thousand),
        (
            "B45c",
            "X-Forwarded-For ::ffff:127.0.0.1",
            "X-Forwarded-For: ::ffff:10.1.1.1\r\n",
        ),
        (
            "B45d",
            "X-Forwarded-For unknown",
            "X-Forwarded-For: unknown\r\n",
        ),
        (
            "B45e",
            "X-Forwarded-For with markup",
            "X-Forwarded-For: <script>\r\n",
        ),
        (
            "B45f",
            "X-Forwarded-For of commas",
            "X-Forwarded-For: ,,,\r\n",
        ),
        (
            "B45g",
            "X-Forwarded-For twice",
            "X-Forwarded-For: 127.0.0.1, 8.8.8.8\r\nX-Forwarded-For: 9.9.9.9\r\n",
        ),
        (
            "B45h",
            "Forwarded and X-Real-IP",
            "Forwarded: for=6.6.6.6\r\nX-Real-IP: 6.6.6.6\r\n",
        ),
    ] {
        cases.push(with(id, what, headers.as_bytes()).with("/ip", json!("127.0.0.1")));
    }
    // A name that no table knows is stored as it stands, code or control characters are not.
    for (id, what, country, stored) in [
        (
            "B46",
            "a country that is none",
            &b"ZZ\tDROP"[..],
            Value::Null,
        ),
        (
            "B46b",
            "a country like markup",
            b"<script>",
            json!("<script>"),
        ),
        (
            "B46c",
            "a country of bytes that are no text",
            b"\xff\xfe\x80",
            Value::Null,
        ),
        (
            "B46d",
            "a country like a formula",
            b"=cmd|'x'!A0",
            json!("=cmd|'x'!A0"),
        ),
        ("B46e", "a code of no country", b"ZZ", Value::Null),
    ] {
        let headers = [b"X-Client-Geo-Country: ", country, b"\r\n"].concat();
        cases.push(with(id, what, &headers).with("/geo/country", stored));
    }
    let long_host = format!("Host: {}\r\n", "a".repeat(10_000));
    for (id, what, headers) in [
        ("B47", "Host like a path", &b"Host: ../../x\r\n"[..]),
        ("B47b", "Host with a port of letters", b"Host: x:y\r\n"),
        ("B47c", "Host of bytes that are no text", b"Host: \xff\xfe\r\n"),
        ("B47d", "Host with attributes of a cookie", b"Host: a.example;Secure,x\r\n"),
        ("B47e", "Host of 10 kB", long_host.as_bytes()),
        ("B47f", "Origin: null", b"Origin: null\r\n"),
        ("B47g", "Origin that begins like a listed one", b"Origin: https://allowed.example.evil.example\r\n"),
        ("B47h", "Origin twice", b"Origin: https://evil.example\r\nOrigin: https://allowed.example\r\n"),
        ("B47i", "Origin of bytes that are no text", b"Origin: \x80\xff\r\n"),
        ("B47j", "Referer with a script", b"Referer: javascript:alert(1)\r\n"),
        ("B48", "two Cookie headers", b"Cookie: a=b\r\nCookie: c=d\r\n"),
        ("B48b", "200 cookies of one name", "Cookie: ".as_bytes()),
        ("B48c", "a cookie with quotes and brackets", b"Cookie: __uid__=\"<script>\"\r\n"),
        ("B48d", "a cookie that is no text", b"Cookie: __uid__=\xff\xfe\r\n"),
        ("B48e", "a cookie without a value", b"Cookie: __uid__\r\n"),
        ("B48f", "a cookie of signs", b"Cookie: ;=;;=,,=;\r\n"),
        ("B50", "traceparent that is none", b"traceparent: 00-zz-\"}{-01\r\nX-Cloud-Trace-Context: ../1;o=x\r\n"),
        ("B52", "X-HTTP-Method-Override", b"X-HTTP-Method-Override: DELETE\r\n"),
        ("B52b", "Upgrade to h2c", b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"),
        ("B52c", "Upgrade to a WebSocket", b"Connection: Upgrade\r\nUpgrade: websocket\r\n"),
    ] {
        let case = match id {
            "B48b" => {
                let cookies = format!("Cookie: {}\r\n", "__uid__=a; ".repeat(200));
                with(id, what, cookies.as_bytes()).with("/user_pseudo_id", json!("a"))
            }
            _ => with(id, what, headers),
        };
        cases.push(case);
    }
    cases.push(
        refused("B48g", "a cookie with a bare carriage return", &[400], {
            request_with("Cookie: a=b\rSet-Cookie: x\r\n", "{}")
        })
        .closed(),
    );
    let long_agent = format!("User-Agent: {}\r\n", "a".repeat(50_000));
    for (id, what, headers) in [
        ("B49", "User-Agent of 50 kB", long_agent.as_bytes()),
        (
            "B49b",
            "User-Agent with escapes of a terminal",
            b"User-Agent: \x1b]0;pwn\x07\x1b[2J\r\n",
        ),
        (
            "B49c",
            "User-Agent of bytes that are no text",
            b"User-Agent: \x80\x81\xff\r\n",
        ),
        (
            "B49d",
            "User-Agent like a look-up of log4j",
            b"User-Agent: ${jndi:ldap://x/a}\r\n",
        ),
    ] {
        let case = with(id, what, headers);
        // Control characters cannot stand in a header; hyper ends such a connection.
        cases.push(if id == "B49b" {
            refused(id, what, &[400], request_with(headers, event(id, ""))).closed()
        } else {
            case
        });
    }
    let long_type = format!("text/plain;x={}", "y".repeat(10_000));
    for (id, what, content_type) in [
        ("B51", "no Content-Type", None),
        (
            "B51b",
            "text/plain with UTF-7",
            Some("text/plain;charset=utf-7"),
        ),
        ("B51c", "a Content-Type of 10 kB", Some(long_type.as_str())),
        (
            "B51d",
            "multipart that holds JSON",
            Some("multipart/form-data; boundary=x"),
        ),
        ("B51e", "a Content-Type of signs", Some("\"/;;=,")),
    ] {
        let body = event(id, "");
        let line = content_type.map_or(String::new(), |line| format!("Content-Type: {line}\r\n"));
        let bytes = format!(
            "POST /api/v1/streaming/1 HTTP/1.1\r\nHost: x\r\n{line}Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        cases.push(taken(id, what, bytes.into_bytes()));
    }
    let parts = "--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--x--\r\n";
    cases.push(refused("B51f", "multipart", &[400], {
        format!(
            "POST /api/v1/streaming/1 HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=x\r\nContent-Length: {}\r\n\r\n{parts}",
            parts.len()
        )
        .into_bytes()
    }));
    cases
}
