//! What a client of the endpoint sees.

use serde_json::json;

use crate::support::collector::{events, ids, memory};
use crate::support::{Builder, admin, event, eventually, metrics, post, request};

#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_answered_and_stored() {
    let writer = memory("a");
    let collector = Builder::new().to(&writer).start().await;
    collector.takes(&event("e1")).await;
    eventually("the row is stored", || writer.rows().len() == 1).await;
    let event = &events(&writer)[0];
    assert_eq!(event.event_name.as_deref(), Some("page_view"));
    assert_eq!(event.stream_id.as_deref(), Some("1"));
    assert_eq!(event.event_id.as_deref(), Some("e1"));
    assert!(
        event.user_pseudo_id.is_some() && event.event_timestamp.is_some() && event.date.is_some()
    );
    let intake = collector.ledger.intake();
    assert_eq!((intake.received, intake.appended), (1, 1));
    assert!(collector.stop().await.is_drained);
}

#[tokio::test(flavor = "multi_thread")]
async fn any_content_type_that_holds_json_is_taken() {
    let writer = memory("a");
    let collector = Builder::new().to(&writer).start().await;
    for kind in [
        "application/json",
        "text/plain;charset=UTF-8",
        "application/x-www-form-urlencoded",
        "nonsense",
    ] {
        let body = event(kind);
        let answer = request(
            collector.address,
            "POST",
            "/api/v1/streaming/1",
            &[("Content-Type", kind)],
            body.as_bytes(),
        )
        .await;
        assert_eq!(answer.status, 200, "{kind}: {}", answer.body);
    }
    let answer = request(
        collector.address,
        "POST",
        "/api/v1/streaming/1",
        &[],
        event("none").as_bytes(),
    )
    .await;
    assert_eq!(answer.status, 200);
    collector.stop().await;
    assert_eq!(writer.rows().len(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_event_in_an_array_costs_its_neighbours_nothing() {
    let writer = memory("a");
    let collector = Builder::new().to(&writer).start().await;
    let body = format!(
        r#"[{},{{"event_name":"x","items":[{{"price":"abc"}}]}},{},7]"#,
        event("one"),
        event("two")
    );
    let answer = post(collector.address, &body).await;
    assert_eq!(answer.status, 422);
    let json = answer.json();
    assert_eq!(json["code"], "some_not_stored");
    let details: Vec<(u64, &str)> = json["details"]
        .as_array()
        .unwrap()
        .iter()
        .map(|d| {
            (
                d["index"].as_u64().unwrap(),
                d["path"].as_str().unwrap_or(""),
            )
        })
        .collect();
    assert_eq!(details[0], (1, "items[0].price"));
    assert_eq!(details[1].0, 3);
    let intake = collector.ledger.intake();
    assert_eq!(
        (intake.received, intake.appended, intake.rejected_field),
        (4, 2, 2)
    );
    collector.stop().await;
    assert_eq!(ids(&writer), ["one", "two"]);
    let positions: Vec<Option<i64>> = events(&writer)
        .iter()
        .map(|event| event.batch_event_index)
        .collect();
    assert_eq!(positions, [Some(1), Some(3)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_names_a_bounded_number_of_bad_events() {
    let writer = memory("a");
    let collector = Builder::new().to(&writer).start().await;
    for (count, listed) in [(1000, 1000), (1001, 1001), (3000, 1001)] {
        let body = format!("[{}{}]", "{},".repeat(count), event(&count.to_string()));
        let answer = post(collector.address, &body).await;
        assert_eq!(answer.status, 422);
        let json = answer.json();
        let details = json["details"].as_array().unwrap();
        assert_eq!(details.len(), listed);
        assert_eq!(details[999]["index"], 999);
        let more = details.get(1000).map(|detail| detail["message"].clone());
        let expected = format!("{} more, which are not listed", count - 1000);
        assert_eq!(more, (count > 1000).then(|| json!(expected)));
    }
    collector.stop().await;
    assert_eq!(ids(&writer), ["1000", "1001", "3000"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_array_is_answered_ok() {
    let writer = memory("a");
    let collector = Builder::new().to(&writer).start().await;
    collector
        .takes(&format!("[{},{}]", event("1"), event("2")))
        .await;
    collector.takes("[]").await;
    collector.stop().await;
    assert_eq!(ids(&writer), ["1", "2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_input_is_told_what_is_wrong_and_nothing_is_stored() {
    let writer = memory("a");
    let collector = Builder::new()
        .set("HTTP__MAX_BODY_BYTES", "4KiB")
        .to(&writer)
        .start()
        .await;
    let long = format!(r#"{{"event_name":"x","user_id":"{}"}}"#, "u".repeat(5_000));
    let cases: [(&str, &str, &str, u16, &str); 13] = [
        ("POST", "/api/v1/streaming/1", "{", 400, "malformed"),
        ("POST", "/api/v1/streaming/1", "", 400, "malformed"),
        (
            "POST",
            "/api/v1/streaming/1",
            r#"{"event_name":"x"} tail"#,
            400,
            "malformed",
        ),
        ("POST", "/api/v1/streaming/1", "{}", 422, "wrong_field"),
        (
            "POST",
            "/api/v1/streaming/1",
            r#"{"event_name":""}"#,
            422,
            "wrong_field",
        ),
        (
            "POST",
            "/api/v1/streaming/1",
            r#"{"event_name":"x","event_params":"y"}"#,
            422,
            "wrong_field",
        ),
        ("POST", "/api/v1/streaming/1", &long, 413, "too_large"),
        (
            "POST",
            "/api/v1/streaming/%20",
            r#"{"event_name":"x"}"#,
            400,
            "bad_request",
        ),
        ("PUT", "/api/v1/streaming/1", "", 405, "method_not_allowed"),
        ("GET", "/api/v1/streaming/1", "", 422, "wrong_field"),
        ("POST", "/health", "", 405, "method_not_allowed"),
        ("GET", "/nothing", "", 404, "not_found"),
        ("POST", "/", "{}", 404, "not_found"),
    ];
    for (method, path, body, status, code) in cases {
        let answer = request(collector.address, method, path, &[], body.as_bytes()).await;
        assert_eq!(
            answer.status, status,
            "{method} {path} {body}: {}",
            answer.body
        );
        let json = answer.json();
        assert_eq!(
            (&json["status"], &json["code"]),
            (&json!("error"), &json!(code)),
            "{body}"
        );
        assert!(!json["message"].as_str().unwrap().is_empty());
        if code == "wrong_field" {
            assert!(
                !json["details"][0]["path"].as_str().unwrap().is_empty(),
                "{json}"
            );
        }
    }
    collector.stop().await;
    assert!(writer.rows().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_duplicate_is_answered_like_the_first_and_stored_once() {
    let writer = memory("a");
    let collector = Builder::new().to(&writer).start().await;
    let mut requests = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let address = collector.address;
        requests.spawn(async move { post(address, &event("same")).await.status });
    }
    assert!(
        requests
            .join_all()
            .await
            .iter()
            .all(|status| *status == 200)
    );
    collector
        .takes(r#"{"event_name":"other","event_id":"same"}"#)
        .await;
    let answer = request(
        collector.address,
        "POST",
        "/api/v1/streaming/2",
        &[],
        event("same").as_bytes(),
    )
    .await;
    assert_eq!(answer.status, 200);
    let intake = collector.ledger.intake();
    assert_eq!(
        (intake.received, intake.appended, intake.duplicate),
        (22, 3, 19)
    );
    collector.stop().await;
    assert_eq!(writer.rows().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn events_without_an_id_get_one_and_are_never_duplicates() {
    let writer = memory("a");
    let collector = Builder::new().to(&writer).start().await;
    for _ in 0..3 {
        collector.takes(r#"{"event_name":"x"}"#).await;
    }
    collector.stop().await;
    let mut ids = ids(&writer);
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_visit_is_in_the_row() {
    let writer = memory("a");
    let collector = Builder::new()
        .set("ENRICH__TRUSTED_HOPS", "1")
        .set("ENRICH__IP", "full")
        .to(&writer)
        .start()
        .await;
    let headers = [
        ("X-Forwarded-For", "6.6.6.6, 203.0.113.9"),
        (
            "User-Agent",
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36",
        ),
        ("Accept-Language", "uk-UA,uk;q=0.9,en;q=0.8"),
        ("X-Client-Geo-Country", "UA"),
        ("X-Client-Geo-State", "UA77"),
        ("X-Client-Geo-City", "São Paulo Łódź"),
        ("Cookie", "a=b; __uid__=visitor-1; __uid__=visitor-2"),
    ];
    let answer = request(
        collector.address,
        "POST",
        "/api/v1/streaming/7",
        &headers,
        event("e").as_bytes(),
    )
    .await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    collector.stop().await;
    let event = events(&writer).remove(0);
    assert_eq!(event.ip.as_deref(), Some("203.0.113.9"));
    assert_eq!(event.user_pseudo_id.as_deref(), Some("visitor-1"));
    assert_eq!(event.stream_id.as_deref(), Some("7"));
    let geo = event.geo.unwrap();
    assert_eq!(
        (
            geo.country.as_deref(),
            geo.region.as_deref(),
            geo.city.as_deref()
        ),
        (
            Some("Ukraine"),
            Some("Chernivtsi Oblast"),
            Some("São Paulo Łódź")
        )
    );
    let device = event.device.unwrap();
    assert_eq!(
        (device.category.as_deref(), device.language.as_deref()),
        (Some("desktop"), Some("uk-UA"))
    );
    assert_eq!(device.web_info.unwrap().browser.as_deref(), Some("Chrome"));
    let source = event.collected_traffic_source.unwrap();
    assert_eq!(source.manual_source.as_deref(), Some("n1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn probes_and_metrics_answer() {
    let writer = memory("a");
    let collector = Builder::new().to(&writer).start().await;
    collector.takes(&event("e")).await;
    eventually("it is delivered", || {
        collector.ledger.destinations()[0].pending() == 0
    })
    .await;
    for path in ["/health", "/liveness", "/readiness"] {
        let answer = request(collector.address, "GET", path, &[], b"").await;
        assert_eq!(answer.status, 200, "{path}");
        assert!(answer.json()["status"].is_string());
    }
    let metrics = metrics(collector.address).await;
    for line in [
        "events_received_total 1",
        r#"events_outcome_total{outcome="appended",reason=""} 1"#,
        r#"delivery_outcome_total{destination="memory:a",outcome="stored"} 1"#,
        r#"delivery_pending{destination="memory:a"} 0"#,
    ] {
        assert!(
            metrics.lines().any(|found| found == line),
            "{line} is not in\n{metrics}"
        );
    }
    collector.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_away_leaves_a_balanced_ledger() {
    use tokio::io::AsyncWriteExt;
    let writer = memory("a");
    let collector = Builder::new()
        .set("DELIVERY__ACKNOWLEDGE", "written")
        .to(&writer)
        .start()
        .await;
    writer.play([real_streaming::writer::memory::Step::Slow(
        std::time::Duration::from_millis(300),
    )]);
    for id in 0..5 {
        let body = event(&format!("gone-{id}"));
        let mut stream = tokio::net::TcpStream::connect(collector.address)
            .await
            .unwrap();
        let head = format!(
            "POST /api/v1/streaming/1 HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(body.as_bytes()).await.unwrap();
        stream.flush().await.unwrap();
        eventually("it is received", || {
            collector.ledger.intake().appended == id + 1
        })
        .await;
    }
    collector.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_too_many_is_answered_and_closed() {
    let writer = memory("a");
    let collector = Builder::new()
        .set("HTTP__MAX_CONNECTIONS", "2")
        .to(&writer)
        .start()
        .await;
    let idle = async || {
        tokio::net::TcpStream::connect(collector.address)
            .await
            .unwrap()
    };
    let held = [idle().await, idle().await];
    let refused = post(collector.address, &event("1")).await;
    assert_eq!(
        (refused.status, refused.json()["code"].as_str()),
        (503, Some("unavailable"))
    );
    assert_eq!(refused.header("Retry-After"), Some("5"));
    drop(held);
    // Both are noticed in their own time, and so is the end of each that comes after them.
    let begun = std::time::Instant::now();
    while post(collector.address, &event("2")).await.status != 200 {
        assert!(begun.elapsed().as_secs() < 10, "no room again");
    }
    let metrics = loop {
        let answer = admin(collector.address, "/metrics").await;
        if answer.status == 200 {
            break answer.body;
        }
        assert!(begun.elapsed().as_secs() < 20, "no room for metrics");
    };
    let counted = metrics
        .lines()
        .find_map(|line| line.strip_prefix(r#"requests_refused_total{reason="connections"} "#))
        .map(|count| count.parse::<u64>().unwrap());
    assert!(counted.is_some_and(|count| count >= 1), "{counted:?}");
    collector.stop().await;
    assert_eq!(ids(&writer), ["2"]);
}
