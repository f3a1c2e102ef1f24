//! The door: what browsers, tags and pixels send, and what they are answered.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::json;

use crate::support::client::Answer;
use crate::support::collector::{Collector, events, ids, memory};
use crate::support::{Builder, event, eventually, metrics, request};

const PATH: &str = "/api/v1/streaming/1";
const SHOP: &str = "https://shop.test";

async fn send(collector: &Collector, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    request(collector.address, "POST", PATH, headers, body).await
}

fn uid(answer: &Answer) -> Option<&str> {
    let cookie = answer.header("Set-Cookie")?.strip_prefix("__uid__=")?;
    cookie.split(';').next()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_is_told_again_by_its_cookie() {
    let writer = memory("a");
    let collector = Builder::new().to(&writer).start().await;
    let first = send(
        &collector,
        &[("Host", "c.shop.test")],
        event("1").as_bytes(),
    )
    .await;
    let id = uid(&first).expect("a cookie").to_owned();
    assert_eq!(
        first.header("Set-Cookie").unwrap(),
        format!("__uid__={id}; Domain=shop.test; Path=/; Max-Age=63072000; HttpOnly; SameSite=Lax")
    );
    let cookie = format!("other=1; __uid__={id}");
    let https = [("Cookie", cookie.as_str()), ("X-Forwarded-Proto", "https")];
    let second = send(&collector, &https, event("2").as_bytes()).await;
    assert_eq!(
        second.header("Set-Cookie").unwrap(),
        format!("__uid__={id}; Path=/; Max-Age=63072000; HttpOnly; Secure; SameSite=None"),
        "refreshed, and no domain for an address"
    );
    let hostile = send(
        &collector,
        &[("Cookie", "__uid__=\"<script>\"")],
        event("3").as_bytes(),
    )
    .await;
    assert_ne!(uid(&hostile), Some("\"<script>\""));
    collector.stop().await;
    let stored: Vec<_> = events(&writer)
        .into_iter()
        .map(|event| event.user_pseudo_id.unwrap())
        .collect();
    assert_eq!(stored[..2], [id.clone(), id]);
    assert_eq!(Some(stored[2].as_str()), uid(&hostile));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_cookie_is_set_where_it_is_forbidden_or_nothing_was_stored() {
    let writer = memory("a");
    let collector = Builder::new().to(&writer).start().await;
    for (body, status, is_set) in [
        (json!({"event_name":"a"}), 200, true),
        (
            json!({"event_name":"a","privacy_info":{"analytics_storage":true}}),
            200,
            true,
        ),
        (
            json!({"event_name":"a","privacy_info":{"ad_storage":false}}),
            200,
            true,
        ),
        (
            json!({"event_name":"a","privacy_info":{"analytics_storage":false}}),
            200,
            false,
        ),
        (
            json!({"event_name":"a","consent":{"analytics_storage":"denied"}}),
            200,
            false,
        ),
        (
            json!([{"event_name":"a"},{"event_name":"a","privacy_info":{"analytics_storage":"No"}}]),
            200,
            false,
        ),
        (json!({"event_name":""}), 422, false),
        (json!("x"), 400, false),
    ] {
        let answer = send(&collector, &[], body.to_string().as_bytes()).await;
        assert_eq!(answer.status, status, "{body}");
        assert_eq!(uid(&answer).is_some(), is_set, "{body}");
    }
    collector.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_listed_origins_read_every_answer() {
    let writer = memory("a");
    let collector = Builder::new()
        .set("CORS__ALLOWED_ORIGINS", &json!([SHOP]).to_string())
        .set("HTTP__MAX_BODY_BYTES", "1KiB")
        .set("HTTP__REQUEST_TIMEOUT", "0.3")
        .set("DELIVERY__ACKNOWLEDGE", "written")
        .to(&writer)
        .start()
        .await;
    let stored = event("1");
    let large = " ".repeat(2000);
    let slow = event("slow");
    for (method, path, body, status) in [
        ("POST", PATH, stored.as_str(), 200),
        ("POST", PATH, "{", 400),
        ("POST", PATH, "{}", 422),
        ("POST", PATH, &large, 413),
        ("PUT", PATH, "", 405),
        ("POST", "/nowhere", "", 404),
        ("POST", PATH, &slow, 503),
    ] {
        if status == 503 {
            writer.play([real_streaming::writer::memory::Step::Slow(
                std::time::Duration::from_millis(900),
            )]);
        }
        for origin in [SHOP, "https://other.test", "null"] {
            if origin != SHOP && status == 503 {
                continue;
            }
            let headers = [("Origin", origin), ("Content-Type", "text/plain")];
            let answer = request(collector.address, method, path, &headers, body.as_bytes()).await;
            assert_eq!(answer.status, status, "{path} {body}");
            let is_listed = origin == SHOP;
            let header = |name: &str| answer.header(name).map(str::to_owned);
            assert_eq!(
                header("Access-Control-Allow-Origin"),
                is_listed.then(|| SHOP.to_owned()),
                "{status}"
            );
            assert_eq!(
                header("Access-Control-Allow-Credentials"),
                is_listed.then(|| "true".to_owned())
            );
            assert_eq!(header("Vary").as_deref(), Some("Origin"));
        }
    }
    eventually("what took too long is stored", || writer.rows().len() == 2).await;
    collector.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn browsers_are_told_beforehand_what_they_may_send() {
    let writer = memory("a");
    let collector = Builder::new()
        .set("CORS__ALLOWED_ORIGINS", &json!([SHOP]).to_string())
        .to(&writer)
        .start()
        .await;
    let ask = async |headers: &[(&str, &str)]| {
        request(collector.address, "OPTIONS", PATH, headers, b"").await
    };
    let wanted = ("Access-Control-Request-Method", "POST");
    let preflight = ask(&[("Origin", SHOP), wanted]).await;
    assert_eq!(preflight.status, 204);
    assert_eq!(preflight.header("Access-Control-Allow-Origin"), Some(SHOP));
    assert_eq!(preflight.header("Access-Control-Max-Age"), Some("600"));
    assert_eq!(
        preflight.header("Access-Control-Allow-Methods"),
        Some("GET, POST, OPTIONS")
    );
    let headers = preflight.header("Access-Control-Allow-Headers").unwrap();
    assert!(headers.contains("Content-Type"), "{headers}");
    let stranger = ask(&[("Origin", "https://other.test"), wanted]).await;
    assert_eq!(stranger.header("Access-Control-Allow-Origin"), None);
    assert_eq!(stranger.header("Access-Control-Allow-Methods"), None);
    let plain = ask(&[]).await;
    assert_eq!(
        (plain.status, plain.header("Allow")),
        (204, Some("GET, HEAD, OPTIONS, POST"))
    );
    collector.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_origins_are_stored_and_counted_or_refused() {
    for refuse in [false, true] {
        let writer = memory("a");
        let collector = Builder::new()
            .set("CORS__ALLOWED_ORIGINS", &json!([SHOP]).to_string())
            .set("CORS__REFUSE_UNLISTED", &refuse.to_string())
            .to(&writer)
            .start()
            .await;
        let stranger = [("Origin", "https://other.test")];
        let answer = send(&collector, &stranger, event("1").as_bytes()).await;
        if refuse {
            assert_eq!(
                (answer.status, answer.json()["code"].as_str()),
                (403, Some("origin_not_allowed"))
            );
        } else {
            assert_eq!(answer.status, 200);
        }
        // A server sends no origin.
        assert_eq!(
            send(&collector, &[], event("2").as_bytes()).await.status,
            200
        );
        let metrics = metrics(collector.address).await;
        assert!(
            metrics.contains("requests_unlisted_origin_total 1"),
            "{metrics}"
        );
        collector.stop().await;
        assert_eq!(ids(&writer).len(), if refuse { 1 } else { 2 });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn compressed_bodies_are_inflated_within_limits() {
    let writer = memory("a");
    let collector = Builder::new()
        .set("HTTP__MAX_INFLATED_BYTES", "1MiB")
        .to(&writer)
        .start()
        .await;
    let gzip = |bytes: &[u8]| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    };
    let encoded = ("Content-Encoding", "gzip");
    let stored = send(&collector, &[encoded], &gzip(event("1").as_bytes())).await;
    assert_eq!(stored.status, 200);
    let bomb = gzip(&vec![b' '; 100 << 20]);
    let refused = send(&collector, &[encoded], &bomb).await;
    assert_eq!(
        (refused.status, refused.json()["code"].as_str()),
        (413, Some("too_large"))
    );
    let cut = &gzip(event("2").as_bytes())[..40];
    assert_eq!(send(&collector, &[encoded], cut).await.status, 400);
    let unknown = send(&collector, &[("Content-Encoding", "compress")], b"").await;
    assert_eq!(
        (unknown.status, unknown.json()["code"].as_str()),
        (415, Some("unsupported_encoding"))
    );
    collector.stop().await;
    assert_eq!(ids(&writer), ["1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn pixels_and_the_tags_get_mode_store_an_event() {
    let writer = memory("a");
    let collector = Builder::new().to(&writer).start().await;
    let query = "v=2&event=page_view&event_id=g1&page_location=https%3A%2F%2Fshop.test%2F%3Futm_source%3Dn1&\
                 page_title=A%20%26%20B&consent_state=%5Bobject%20Object%5D&plan=pro";
    // {"event_name":"view_item","event_id":"g2"}
    let dtdc = "v=2&event=view_item&dtdc=eyJldmVudF9uYW1lIjoidmlld19pdGVtIiwiZXZlbnRfaWQiOiJnMiJ9";
    for query in [query, dtdc] {
        let path = format!("{PATH}?{query}");
        let answer = request(collector.address, "GET", &path, &[], b"").await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        assert_eq!(answer.header("Content-Type"), Some("image/gif"));
        assert_eq!(answer.header("Cache-Control"), Some("no-store"));
        assert!(answer.bytes.starts_with(b"GIF89a") && answer.bytes.ends_with(b";"));
        assert!(uid(&answer).is_some());
    }
    let head = request(
        collector.address,
        "HEAD",
        &format!("{PATH}?{query}"),
        &[],
        b"",
    )
    .await;
    assert_eq!(head.status, 200);
    let nothing = request(collector.address, "GET", PATH, &[], b"").await;
    assert_eq!(nothing.json()["details"][0]["path"], "event_name");
    let broken = request(
        collector.address,
        "GET",
        &format!("{PATH}?dtdc=%"),
        &[],
        b"",
    )
    .await;
    assert_eq!(broken.status, 400);
    collector.stop().await;
    assert_eq!(ids(&writer), ["g1", "g2"]);
    let event = &events(&writer)[0];
    let keys: Vec<_> = event
        .event_params
        .iter()
        .filter_map(|param| param.key.as_deref())
        .collect();
    assert_eq!(keys, ["page_location", "page_title", "plan"]);
    let source = event.collected_traffic_source.as_ref().unwrap();
    assert_eq!(source.manual_source.as_deref(), Some("n1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn forms_and_unusual_content_types_are_read_for_what_they_hold() {
    let writer = memory("a");
    let collector = Builder::new().to(&writer).start().await;
    let form = "application/x-www-form-urlencoded";
    for (content_type, body) in [
        (
            form,
            "event_name=sign_up&event_id=1&plan=pro+plus".to_owned(),
        ),
        (form, event("2")),
        ("text/plain;charset=UTF-8", event("3")),
        ("", event("4")),
        ("application/octet-stream", event("5")),
        ("image/png; what=ever", format!("\u{feff}{}", event("6"))),
    ] {
        let answer = send(
            &collector,
            &[("Content-Type", content_type)],
            body.as_bytes(),
        )
        .await;
        assert_eq!(answer.status, 200, "{content_type}: {}", answer.body);
    }
    // A slash at the end is not worth a redirect, which would cost a tag its event.
    let slash = request(
        collector.address,
        "POST",
        &format!("{PATH}/"),
        &[],
        event("7").as_bytes(),
    )
    .await;
    assert_eq!(slash.status, 200);
    collector.stop().await;
    assert_eq!(ids(&writer), ["1", "2", "3", "4", "5", "6", "7"]);
    assert!(
        events(&writer)
            .iter()
            .all(|event| event.stream_id.as_deref() == Some("1"))
    );
}

/// Sends bytes as they are and reads until the collector closes.
async fn raw(collector: &Collector, parts: &[&[u8]]) -> (String, std::time::Duration) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let begun = std::time::Instant::now();
    let mut stream = tokio::net::TcpStream::connect(collector.address)
        .await
        .unwrap();
    for part in parts {
        if stream.write_all(part).await.is_err() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    let mut answers = Vec::new();
    let read = stream.read_to_end(&mut answers);
    // A reset after the answer is as good as a close.
    drop(
        tokio::time::timeout(std::time::Duration::from_secs(10), read)
            .await
            .expect("it closes"),
    );
    (
        String::from_utf8_lossy(&answers).into_owned(),
        begun.elapsed(),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn each_state_of_a_connection_has_its_deadline() {
    let writer = memory("a");
    let collector = Builder::new()
        .set("HTTP__HEADER_TIMEOUT", "0.5")
        .set("HTTP__IDLE_TIMEOUT", "1.5")
        .set("HTTP__BODY_TIMEOUT", "0.7")
        .to(&writer)
        .start()
        .await;
    let body = event("1");
    let whole = format!(
        "POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let head = b"POST /api/v1/streaming/1 HTTP/1.1\r\n".as_slice();
    let slow_body =
        b"POST /api/v1/streaming/1 HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n{".as_slice();
    let trickle: Vec<&[u8]> = std::iter::once(head)
        .chain(std::iter::repeat_n(b"x".as_slice(), 30))
        .collect();
    for (what, parts, answers, seconds) in [
        ("nothing is sent", vec![], "", 0.5..1.4),
        ("a head trickles", trickle, "", 0.5..3.4),
        (
            "a body does not come",
            vec![slow_body],
            "HTTP/1.1 408",
            0.7..1.5,
        ),
        (
            "it is idle",
            vec![whole.as_bytes()],
            "HTTP/1.1 200",
            1.4..2.6,
        ),
        (
            "a second head does not come",
            vec![whole.as_bytes(), head],
            "HTTP/1.1 200",
            0.5..1.4,
        ),
    ] {
        let (answer, took) = raw(&collector, &parts).await;
        assert!(
            answer.starts_with(answers) && answer.is_empty() == answers.is_empty(),
            "{what}: {answer}"
        );
        assert!(seconds.contains(&took.as_secs_f64()), "{what}: {took:?}");
    }
    collector.stop().await;
    assert_eq!(ids(&writer), ["1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_make_room() {
    let writer = memory("a");
    let collector = Builder::new()
        .set("HTTP__MAX_CONNECTIONS", "20")
        .set("HTTP__MAX_CONNECTIONS_PER_IP", "30")
        .to(&writer)
        .start()
        .await;
    let mut idle = Vec::new();
    for _ in 0..20 {
        idle.push(
            tokio::net::TcpStream::connect(collector.address)
                .await
                .unwrap(),
        );
    }
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    for id in ["1", "2", "3"] {
        assert_eq!(
            send(&collector, &[], event(id).as_bytes()).await.status,
            200
        );
    }
    collector.stop().await;
    assert_eq!(ids(&writer), ["1", "2", "3"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn framing_that_can_be_read_in_two_ways_ends_the_connection() {
    let writer = memory("a");
    let collector = Builder::new().to(&writer).start().await;
    let head = "POST /api/v1/streaming/1 HTTP/1.1\r\nHost: x\r\n";
    let smuggled = "GET /health HTTP/1.1\r\nHost: x\r\n\r\n";
    for (framing, status) in [
        (
            "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "400",
        ),
        ("Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}", "400"),
        ("Content-Length: +2\r\n\r\n{}", "400"),
        ("Content-Length: 18446744073709551616\r\n\r\n", "400"),
        (
            "Transfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFF\r\n",
            "400",
        ),
        ("Transfer-Encoding: \u{b}chunked\r\n\r\n0\r\n\r\n", "400"),
        ("Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", "400"),
        ("X : a\r\n\r\n", "400"),
        ("X: \0\r\n\r\n", "400"),
    ] {
        let request = format!("{head}{framing}{smuggled}");
        let (answers, _) = raw(&collector, &[request.as_bytes()]).await;
        assert!(
            answers.starts_with(&format!("HTTP/1.1 {status}")),
            "{framing:?}: {answers}"
        );
        assert_eq!(
            answers.matches("HTTP/1.1 ").count(),
            1,
            "{framing:?}: {answers}"
        );
    }
    let many = format!("{head}{}\r\n", "X: a\r\n".repeat(101));
    let long = format!("{head}Cookie: {}\r\n\r\n", "a".repeat(70_000));
    for large in [many, long] {
        let (answers, _) = raw(&collector, &[large.as_bytes()]).await;
        assert!(answers.starts_with("HTTP/1.1 431"), "{answers}");
    }
    // A body in chunks is fine.
    let body = event("1");
    let chunked = format!(
        "{head}Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
        body.len()
    );
    let (answers, _) = raw(&collector, &[chunked.as_bytes()]).await;
    assert!(answers.starts_with("HTTP/1.1 200"), "{answers}");
    collector.stop().await;
    assert_eq!(ids(&writer), ["1"]);
}
