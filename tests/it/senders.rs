//! Limits by sender: streams, keys, rates.

use serde_json::json;

use crate::support::collector::{Collector, ids, memory};
use crate::support::{Builder, event, metrics, request};

async fn send(collector: &Collector, path: &str, headers: &[(&str, &str)], body: &str) -> u16 {
    let answer = request(collector.address, "POST", path, headers, body.as_bytes()).await;
    answer.status
}

#[tokio::test(flavor = "multi_thread")]
async fn senders_that_send_too_much_are_told_when_to_come_back() {
    let writer = memory("a");
    let collector = Builder::new()
        .set("ENRICH__TRUSTED_HOPS", "1")
        .set("INTAKE__IP_RATE", "0.01")
        .set("INTAKE__IP_BURST", "3")
        .set("CORS__ALLOWED_ORIGINS", r#"["https://shop.test"]"#)
        .to(&writer)
        .start()
        .await;
    let path = "/api/v1/streaming/1";
    let first = [
        ("X-Forwarded-For", "192.0.2.1"),
        ("Origin", "https://shop.test"),
    ];
    let array = json!([{"event_name":"a","event_id":"1"},{"event_name":"a","event_id":"2"}]);
    assert_eq!(
        send(&collector, path, &first, &array.to_string()).await,
        200
    );
    assert_eq!(send(&collector, path, &first, &event("3")).await, 200);
    let refused = request(
        collector.address,
        "POST",
        path,
        &first,
        event("4").as_bytes(),
    )
    .await;
    assert_eq!(
        (refused.status, refused.json()["code"].as_str()),
        (429, Some("too_many"))
    );
    let seconds: u64 = refused.header("Retry-After").unwrap().parse().unwrap();
    assert!((1..=101).contains(&seconds), "{seconds}");
    assert_eq!(
        refused.header("Access-Control-Expose-Headers"),
        Some("Retry-After")
    );
    let pixel = format!("{path}?event_name=a");
    let pixel = request(collector.address, "GET", &pixel, &first, b"").await;
    assert_eq!(pixel.status, 429);
    let second = [("X-Forwarded-For", "192.0.2.2")];
    assert_eq!(send(&collector, path, &second, &event("5")).await, 200);
    let page = metrics(collector.address).await;
    assert!(
        page.contains(r#"requests_refused_total{reason="rate"} 2"#),
        "{page}"
    );
    collector.stop().await;
    assert_eq!(ids(&writer), ["1", "2", "3", "5"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_have_limits_of_their_own() {
    let writer = memory("a");
    let collector = Builder::new()
        .set("INTAKE__STREAM_RATE", "0.01")
        .set("INTAKE__STREAM_BURST", "1")
        .to(&writer)
        .start()
        .await;
    for (path, id, status) in [
        ("/api/v1/streaming/1", "1", 200),
        ("/api/v1/streaming/1/", "2", 429),
        ("/api/v1/streaming/2", "3", 200),
    ] {
        assert_eq!(send(&collector, path, &[], &event(id)).await, status);
    }
    collector.stop().await;
    assert_eq!(ids(&writer), ["1", "3"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_and_keys_that_are_not_listed_are_refused_in_the_open() {
    let writer = memory("a");
    let collector = Builder::new()
        .set("INTAKE__STREAMS", r#"["1","shop"]"#)
        .set("INTAKE__WRITE_KEYS", r#"["key-of-the-shop"]"#)
        .to(&writer)
        .start()
        .await;
    let key = ("X-Write-Key", "key-of-the-shop");
    let shop = "/api/v1/streaming/shop";
    assert_eq!(send(&collector, shop, &[key], &event("1")).await, 200);
    let queried = format!("{shop}?write_key=key-of-the-shop");
    assert_eq!(send(&collector, &queried, &[], &event("2")).await, 200);
    let pixel = format!("{queried}&event_name=a&event_id=3&plan=pro");
    let pixel = request(collector.address, "GET", &pixel, &[], b"").await;
    assert_eq!(pixel.status, 200);
    for (path, headers, status, code) in [
        (shop, &[][..], 401, "wrong_write_key"),
        (shop, &[("X-Write-Key", "key")], 401, "wrong_write_key"),
        ("/api/v1/streaming/2", &[key], 403, "stream_not_allowed"),
    ] {
        let refused = request(
            collector.address,
            "POST",
            path,
            headers,
            event("x").as_bytes(),
        )
        .await;
        assert_eq!(
            (refused.status, refused.json()["code"].as_str()),
            (status, Some(code))
        );
    }
    let page = metrics(collector.address).await;
    assert!(page.contains(r#"requests_refused_total{reason="sender"} 3"#));
    collector.stop().await;
    assert_eq!(ids(&writer), ["1", "2", "3"]);
    let stored = crate::support::collector::events(&writer);
    let keys: Vec<_> = stored[2]
        .event_params
        .iter()
        .filter_map(|param| param.key.as_deref())
        .collect();
    assert_eq!(keys, ["plan"], "the key is not stored");
}
