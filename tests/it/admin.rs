//! What the operator sees: behind a token, at its own address if wanted.

use serde_json::{Value, json};

use real_streaming::schema::SequenceNumber;

use crate::support::client::{Answer, TOKEN};
use crate::support::collector::{Collector, ids, memory};
use crate::support::{Builder, admin, event, eventually, metrics, post, request};

const BEARER: (&str, &str) = ("Authorization", "Bearer token-of-collectors-in-tests");

#[tokio::test(flavor = "multi_thread")]
async fn admin_routes_ask_for_the_token_and_a_known_host() {
    assert_eq!(BEARER.1, format!("Bearer {TOKEN}"));
    let writer = memory("a");
    let collector = Builder::new()
        .set("ADMIN__HOSTS", r#"["collect.shop.test"]"#)
        .to(&writer)
        .start()
        .await;
    for path in ["/metrics", "/api/v1/events/x"] {
        for (headers, status, code) in [
            (&[][..], 401, "unauthorized"),
            (&[("Authorization", "Bearer wrong")], 401, "unauthorized"),
            (
                &[BEARER, ("Host", "rebound.evil.test")],
                403,
                "unknown_host",
            ),
        ] {
            let answer = request(collector.address, "GET", path, headers, b"").await;
            assert_eq!(
                (answer.status, answer.json()["code"].as_str()),
                (status, Some(code)),
                "{path} {headers:?}"
            );
            // A line for each scheme: Chromium understands no list.
            let head = answer.head.to_lowercase();
            let schemes: Vec<_> = head
                .lines()
                .filter_map(|line| line.strip_prefix("www-authenticate: "))
                .collect();
            let asked = [
                "basic realm=\"real streaming\", charset=\"utf-8\"",
                "bearer",
            ];
            assert_eq!(schemes, if status == 401 { &asked[..] } else { &[] });
        }
        let known = [BEARER, ("Host", "collect.shop.test")];
        let answer = request(collector.address, "GET", path, &known, b"").await;
        assert!([200, 404].contains(&answer.status), "{path}");
        let wrong_method = request(collector.address, "POST", path, &[BEARER], b"").await;
        assert_eq!(wrong_method.status, 405, "{path}");
    }
    collector.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn admin_routes_may_have_an_address_of_their_own() {
    let writer = memory("a");
    let collector = Builder::new()
        .set("ADMIN__LISTEN", "127.0.0.1:0")
        .to(&writer)
        .start()
        .await;
    collector.takes(&event("1")).await;
    assert_ne!(collector.address, collector.admin_address);
    assert_eq!(admin(collector.address, "/metrics").await.status, 404);
    assert_eq!(
        admin(collector.address, "/api/v1/events/1").await.status,
        404
    );
    assert!(
        metrics(collector.admin_address)
            .await
            .contains("events_received_total 1")
    );
    assert_eq!(post(collector.admin_address, &event("2")).await.status, 404);
    for address in [collector.address, collector.admin_address] {
        assert_eq!(
            request(address, "GET", "/liveness", &[], b"").await.status,
            200
        );
    }
    collector.stop().await;
    assert_eq!(ids(&writer), ["1"]);
}

/// The destinations' states of the only event with this id.
async fn states(collector: &Collector, id: &str) -> Value {
    let answer = admin(collector.address, &format!("/api/v1/events/{id}")).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let events = answer.json()["events"].clone();
    assert_eq!(events.as_array().unwrap().len(), 1, "{events}");
    assert_eq!(events[0]["stream_id"], "1");
    assert_eq!(events[0]["event_name"], "page_view");
    assert!(events[0]["received_at_micros"].as_i64().unwrap() > 1_700_000_000_000_000);
    events[0]["destinations"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_became_of_an_event_is_told_by_destination() {
    let (stored, away) = (memory("stored"), memory("away"));
    stored.reject([SequenceNumber(2)]);
    away.away(true);
    let collector = Builder::new().to(&stored).to(&away).start().await;
    collector.takes(&event("one")).await;
    collector.takes(&event("t\\\"wo")).await;
    collector.takes(&event("one-more")).await;
    eventually("one destination has all", || {
        collector.ledger.destinations()[0].pending() == 0
    })
    .await;
    let pending = json!({"state": "pending"});
    assert_eq!(
        states(&collector, "one").await,
        json!({"memory:stored": {"state": "stored"}, "memory:away": pending})
    );
    assert_eq!(
        states(&collector, "t%22wo").await,
        json!({"memory:stored": {"state": "dead_lettered", "reason": "not wanted"}, "memory:away": pending})
    );
    away.away(false);
    eventually("the other has all", || {
        collector.ledger.destinations()[1].pending() == 0
    })
    .await;
    assert_eq!(
        states(&collector, "one").await["memory:away"],
        json!({"state": "stored"})
    );
    let unknown = admin(collector.address, "/api/v1/events/on").await;
    assert_eq!(
        (unknown.status, unknown.json()["code"].as_str()),
        (404, Some("event_not_found"))
    );
    collector.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_found_when_the_log_has_forgotten() {
    let writer = memory("a");
    writer.reject([SequenceNumber(1)]);
    let collector = Builder::new()
        .set("LOG__KIND", "memory")
        .to(&writer)
        .start()
        .await;
    collector.takes(&event("gone")).await;
    let found = states(&collector, "gone").await;
    assert_eq!(found["memory:a"]["state"], "dead_lettered");
    collector.takes(&event("delivered")).await;
    let answer = async || {
        admin(collector.address, "/api/v1/events/delivered")
            .await
            .status
    };
    let begun = std::time::Instant::now();
    while answer().await != 404 {
        assert!(begun.elapsed().as_secs() < 10, "the log keeps it");
    }
    collector.stop().await;
}

async fn validated(collector: &Collector, body: &str) -> Answer {
    request(
        collector.address,
        "POST",
        "/api/v1/streaming/1?validate=1",
        &[BEARER],
        body.as_bytes(),
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_tried_out_and_not_stored() {
    let writer = memory("a");
    let collector = Builder::new().to(&writer).start().await;
    let body = json!([
        {"event_name": "page_view", "event_id": "v", "nonsense": 1,
         "event_params": [{"key": "page_location", "value": {"string_value": "https://shop.test/?utm_source=n1"}}]},
        {"event_name": "a", "items": "none"},
    ]);
    let answer = validated(&collector, &body.to_string()).await;
    assert_eq!(answer.status, 422, "{}", answer.body);
    assert_eq!(answer.header("Set-Cookie"), None);
    let answer = answer.json();
    let row = &answer["events"][0]["row"];
    assert_eq!(row["collected_traffic_source"]["manual_source"], "n1");
    assert_eq!(
        (&row["stream_id"], &row["event_id"]),
        (&json!("1"), &json!("v"))
    );
    let warnings = answer["events"][0]["warnings"].to_string();
    assert!(warnings.contains("nonsense"), "{warnings}");
    assert_eq!(answer["events"][1], Value::Null);
    let detail = json!({"index": 1, "path": "items", "message": answer["details"][0]["message"]});
    assert_eq!(answer["details"], json!([detail]));

    let one = validated(&collector, &event("w")).await.json();
    assert_eq!(
        (&one["status"], one["events"].as_array().unwrap().len()),
        (&json!("valid"), 1)
    );
    let path = "/api/v1/streaming/1?validate=true&event_name=a&plan=pro";
    let pixel = request(collector.address, "GET", path, &[BEARER], b"")
        .await
        .json();
    let params = pixel["events"][0]["row"]["event_params"].to_string();
    assert!(
        params.contains("plan") && !params.contains("validate"),
        "{params}"
    );
    assert_eq!(validated(&collector, "{").await.status, 400);
    let typo = "/api/v1/streaming/1?validate=yes";
    let typo = request(collector.address, "POST", typo, &[BEARER], b"{}").await;
    assert_eq!(typo.status, 400);
    let stranger = request(collector.address, "GET", path, &[], b"").await;
    assert_eq!(stranger.status, 401);
    assert_eq!(collector.ledger.intake().received, 0);
    collector.stop().await;
    assert!(writer.rows().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_has_the_id_of_its_request() {
    let writer = memory("a");
    let collector = Builder::new().to(&writer).start().await;
    let path = "/api/v1/streaming/1";
    let mut ids = std::collections::HashSet::new();
    for body in [event("1"), "{".to_owned(), event("2")] {
        let answer = post(collector.address, &body).await;
        assert!(ids.insert(answer.header("X-Request-Id").unwrap().to_owned()));
    }
    let own = [("X-Request-Id", "shop-42")];
    let answer = request(collector.address, "PUT", path, &own, b"").await;
    assert_eq!(answer.header("X-Request-Id"), Some("shop-42"));
    collector.stop().await;
}
