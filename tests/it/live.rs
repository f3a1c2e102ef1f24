//! The live view: what arrives is shown to those who look, and costs nothing where nobody does.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use real_streaming::durable::{Disk, SimulatedDisk};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use crate::support::client::TOKEN;
use crate::support::collector::memory;
use crate::support::{Builder, Collector, admin, event, every_sync_fails, request};

const PATIENCE: Duration = Duration::from_secs(30);

/// A small buffer, so that a viewer who reads nothing is soon found out.
const SMALL: u32 = 4 << 10;

/// Somebody who looks.
struct Viewer {
    stream: TcpStream,
    come: String,
}

impl Viewer {
    async fn join(address: SocketAddr, query: &str) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(SMALL).unwrap();
        let mut stream = socket.connect(address).await.unwrap();
        // HTTP/1.0 knows no chunks.
        let head = format!(
            "GET /live/events?{query} HTTP/1.0\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut viewer = Self {
            stream,
            come: String::new(),
        };
        let head = viewer.until("\r\n\r\n").await.expect("a head");
        assert!(head.starts_with("HTTP/1.0 200"), "{head}");
        let lower = head.to_lowercase();
        assert!(lower.contains("content-type: text/event-stream"), "{head}");
        assert!(lower.contains("cache-control: no-store"), "{head}");
        assert_eq!(viewer.until("\n\n").await.as_deref(), Some("retry: 2000"));
        viewer
    }

    /// All until this text; `None` if the answer has ended.
    async fn until(&mut self, end: &str) -> Option<String> {
        loop {
            if let Some(at) = self.come.find(end) {
                let rest = self.come.split_off(at + end.len());
                let mut found = std::mem::replace(&mut self.come, rest);
                found.truncate(at);
                return Some(found);
            }
            let mut bytes = vec![0; 64 << 10];
            let read = timeout(PATIENCE, self.stream.read(&mut bytes)).await;
            let read = read.expect("something comes in time").ok()?;
            if read == 0 {
                return None;
            }
            // What is told is ASCII in these tests, so no character is cut.
            self.come
                .push_str(std::str::from_utf8(&bytes[..read]).unwrap());
        }
    }

    /// The next frame, by name and data.
    async fn frame(&mut self) -> Option<(String, Value)> {
        let frame = self.until("\n\n").await?;
        let (name, data) = frame.split_once("\ndata: ").expect("a frame has data");
        let name = name.strip_prefix("event: ").expect("a frame has a name");
        Some((name.to_owned(), serde_json::from_str(data).expect("JSON")))
    }

    async fn state(&mut self) -> Value {
        loop {
            let (name, data) = self.frame().await.expect("it goes on");
            if name == "state" {
                return data;
            }
        }
    }

    /// The next state that is so.
    async fn state_where(&mut self, is: impl Fn(&Value) -> bool) -> Value {
        let begun = std::time::Instant::now();
        loop {
            let state = self.state().await;
            if is(&state) {
                return state;
            }
            assert!(begun.elapsed() < PATIENCE, "it is still {state}");
        }
    }

    /// So many events.
    async fn seen(&mut self, count: usize) -> Vec<Value> {
        let mut seen = Vec::new();
        while seen.len() < count {
            let (name, data) = self.frame().await.expect("it goes on");
            if name == "seen" {
                seen.extend(data["events"].as_array().unwrap().iter().cloned());
            }
        }
        seen
    }
}

async fn post(collector: &Collector, stream: &str, headers: &[(&str, &str)], body: &str) -> u16 {
    let path = format!("/api/v1/streaming/{stream}");
    let body = body.as_bytes();
    request(collector.address, "POST", &path, headers, body)
        .await
        .status
}

const USER: &str = "8d5c0e6e-6c3f-4a7b-9f2a-0123456789ab";

/// A request with much of a person in it.
async fn personal(collector: &Collector) {
    let cookie = format!("__uid__={USER}");
    let headers = [
        ("Cookie", cookie.as_str()),
        ("X-Forwarded-For", "203.0.113.77"),
        (
            "User-Agent",
            "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
        ),
        ("X-Client-Geo-Country", "UA"),
    ];
    let body = json!({
        "event_name": "purchase", "event_id": "order-1", "user_id": "joe-17",
        "user_properties": [{"key": "plan", "value": {"string_value": "platinum"}}],
        "event_params": [
            {"key": "page_location", "value": {"string_value": "https://shop.test/cart?utm_source=n1&token=t0p"}},
            {"key": "note", "value": {"string_value": "write to ann@shop.test"}},
        ],
    });
    assert_eq!(
        post(collector, "shop", &headers, &body.to_string()).await,
        200
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_shown_from_the_request_to_the_row_with_personal_fields_masked() {
    let collector = Builder::new()
        .set("ENRICH__TRUSTED_HOPS", "1")
        .set("ENRICH__IP", "full")
        .to(&memory("a"))
        .start()
        .await;
    let mut masked = Viewer::join(collector.address, "").await;
    let mut open = Viewer::join(collector.address, "personal=1").await;
    masked.state().await;
    open.state().await;
    personal(&collector).await;
    let (masked, open) = (masked.seen(1).await.remove(0), open.seen(1).await.remove(0));

    for told in [&masked, &open] {
        let expected = json!([
            "shop",
            "purchase",
            "appended",
            "shop.test/cart",
            1,
            "order-1"
        ]);
        let shown =
            ["stream", "event", "outcome", "page", "sequence", "id"].map(|name| &told[name]);
        assert_eq!(json!(shown), expected);
        let request = &told["request"];
        assert_eq!(request["method"], "POST");
        assert_eq!(request["target"], "/api/v1/streaming/shop");
        assert_eq!(request["payload"]["event_name"], "purchase");
        assert_eq!(told["row"]["geo"]["country"], "Ukraine");
        let times: Vec<_> = told["times"].as_array().unwrap().iter().collect();
        let names: Vec<_> = times.iter().map(|time| time[0].as_str().unwrap()).collect();
        assert_eq!(names, ["read", "enriched", "appended", "settled"]);
        assert!(times.is_sorted_by_key(|time| time[1].as_u64()), "{times:?}");
        let steps = told["steps"].as_array().unwrap();
        let geo = steps
            .iter()
            .find(|step| step["step"] == "geo")
            .expect("a step");
        assert!(!geo["rule"].as_str().unwrap().is_empty());
        assert!(
            geo.to_string().contains("X-Client-Geo-Country")
                || geo.to_string().contains("x-client-geo-country")
        );
    }
    let row = &open["row"];
    assert_eq!(
        (
            &row["user_id"],
            &row["user_pseudo_id"],
            &row["ip"],
            &open["user"]
        ),
        (
            &json!("joe-17"),
            &json!(USER),
            &json!("203.0.113.77"),
            &json!("joe-17")
        )
    );
    let text = masked.to_string();
    for personal in ["joe-17", USER, "203.0.113", "platinum", "t0p", "ann@"] {
        assert!(open.to_string().contains(personal), "{personal}");
        assert!(!text.contains(personal), "{personal} is shown in {text}");
    }
    let alias = masked["user"].as_str().unwrap();
    assert!(alias.starts_with('#') && alias.len() == 7, "{alias}");
    assert_eq!(masked["row"]["user_id"], alias);

    // Of the user who is masked more can be seen.
    let query = format!("user={}", alias.replace('#', "%23"));
    let mut follower = Viewer::join(collector.address, &query).await;
    follower.state().await;
    collector.takes(&event("somebody-else")).await;
    personal(&collector).await;
    let seen = follower.seen(1).await;
    assert_eq!(
        (&seen[0]["event"], &seen[0]["outcome"]),
        (&json!("purchase"), &json!("duplicate"))
    );
    collector.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_filtered_by_stream_name_user_and_outcome() {
    let writer = memory("a");
    let collector = Builder::new()
        .set("FILTER__BOTS", "drop")
        .to(&writer)
        .start()
        .await;
    let queries = [
        "stream=blog",
        "event=purchase",
        "user=joe",
        "outcome=rejected",
        "outcome=duplicate",
        "outcome=filtered",
        "",
    ];
    let mut viewers = Vec::new();
    for query in queries {
        let mut viewer = Viewer::join(collector.address, query).await;
        viewer.state().await;
        viewers.push(viewer);
    }
    let of = |name: &str, id: &str| json!({"event_name": name, "event_id": id}).to_string();
    let person = [
        (
            "User-Agent",
            "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
        ),
        ("Accept-Language", "en"),
        ("Accept", "*/*"),
        ("Accept-Encoding", "gzip"),
    ];
    let bot = [(
        "User-Agent",
        "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
    )];
    assert_eq!(
        post(&collector, "blog", &person, &of("page_view", "b1")).await,
        200
    );
    assert_eq!(
        post(&collector, "1", &person, &of("purchase", "p1")).await,
        200
    );
    assert_eq!(
        post(&collector, "1", &person, &of("purchase", "p1")).await,
        200
    );
    let joe = r#"[{"event_name":"login","user_id":"joe"},{"event_name":"","items":1}]"#;
    assert_eq!(post(&collector, "1", &person, joe).await, 422);
    assert_eq!(
        post(&collector, "1", &bot, &of("page_view", "g1")).await,
        200
    );

    let expected = [
        json!([["blog", "page_view", "appended"]]),
        json!([
            ["1", "purchase", "appended"],
            ["1", "purchase", "duplicate"]
        ]),
        json!([["1", "login", "appended"]]),
        json!([["1", null, "rejected"]]),
        json!([["1", "purchase", "duplicate"]]),
        json!([["1", "page_view", "filtered"]]),
        json!([
            ["blog", "page_view", "appended"],
            ["1", "purchase", "appended"],
            ["1", "purchase", "duplicate"],
            ["1", "login", "appended"],
            ["1", null, "rejected"],
            ["1", "page_view", "filtered"],
        ]),
    ];
    for ((viewer, expected), query) in viewers.iter_mut().zip(&expected).zip(queries) {
        let seen = viewer.seen(expected.as_array().unwrap().len()).await;
        let shown: Vec<_> = seen
            .iter()
            .map(|told| json!([told["stream"], told["event"], told["outcome"]]))
            .collect();
        assert_eq!(json!(shown), *expected, "{query}");
        for told in &seen {
            let has_row = told["outcome"] != "rejected" && told["outcome"] != "filtered";
            assert_eq!(told["row"].is_object(), has_row, "{told}");
            assert_eq!(
                told["steps"].is_array(),
                told["outcome"] != "rejected",
                "{told}"
            );
            assert_eq!(
                told["reason"].is_string(),
                told["outcome"] == "rejected",
                "{told}"
            );
        }
    }
    let state = viewers[6].state_where(|state| state["counted"] == 6).await;
    assert_eq!(
        state["tables"]["streams"],
        json!([["1", 5, 0], ["blog", 1, 0]])
    );
    assert_eq!(
        state["tables"]["bots"].as_array().unwrap().len(),
        1,
        "{state}"
    );
    let outcomes =
        json!({"appended": 3, "duplicate": 1, "rejected": 1, "filtered": 1, "refused": 0});
    let minutes = state["minutes"].as_array().unwrap();
    let sum = |name: &str| {
        minutes
            .iter()
            .map(|minute| minute["outcomes"][name].as_u64().unwrap())
            .sum::<u64>()
    };
    for (name, count) in outcomes.as_object().unwrap() {
        assert_eq!(sum(name), count.as_u64().unwrap(), "{name} in {minutes:?}");
    }
    assert_eq!(state["intake"]["received"], 6);
    assert_eq!(state["destinations"][0]["name"], "memory:a");
    let is_stored = |state: &Value| state["destinations"][0]["totals"]["stored"] == 3;
    let state = viewers[6].state_where(is_stored).await;
    assert_eq!(state["destinations"][0]["pending"], 0);
    assert!(
        state["log"]["max_bytes"].as_u64().unwrap() > state["log"]["size_bytes"].as_u64().unwrap()
    );
    collector.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_is_refused_is_shown_with_the_reason() {
    let disk = SimulatedDisk::new();
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let collector = Builder::new()
        .on_disk(shared)
        .to(&memory("a"))
        .start()
        .await;
    let mut viewer = Viewer::join(collector.address, "outcome=refused").await;
    viewer.state().await;
    collector.takes(&event("1")).await;
    disk.set_sync_fault(Some(every_sync_fails()), false);
    assert_eq!(post(&collector, "1", &[], &event("2")).await, 503);
    let seen = viewer.seen(1).await;
    assert_eq!(seen[0]["outcome"], "refused");
    assert!(!seen[0]["reason"].as_str().unwrap().is_empty());
    collector.stop_unchecked().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_nobody_looks_nothing_is_counted_but_by_the_ledger() {
    let collector = Builder::new().to(&memory("a")).start().await;
    for id in 0..3 {
        collector.takes(&event(&id.to_string())).await;
    }
    let mut viewer = Viewer::join(collector.address, "").await;
    let state = viewer.state().await;
    assert_eq!((&state["counted"], &state["of"]), (&json!(0), &json!(3)));
    collector.takes(&event("seen")).await;
    viewer.state_where(|state| state["counted"] == 1).await;
    drop(viewer);
    // That they are gone is found out soon.
    let begun = std::time::Instant::now();
    for id in 10.. {
        assert!(begun.elapsed() < PATIENCE, "all is counted still");
        tokio::time::sleep(Duration::from_secs(4)).await;
        collector.takes(&event(&id.to_string())).await;
        let mut viewer = Viewer::join(collector.address, "").await;
        let state = viewer.state().await;
        let (counted, of) = (
            state["counted"].as_u64().unwrap(),
            state["of"].as_u64().unwrap(),
        );
        if of - counted > 3 {
            break;
        }
    }
    collector.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_who_reads_nothing_is_let_go() {
    let collector = Builder::new()
        // Their connection is not what ends it.
        .set("HTTP__REQUEST_TIMEOUT", "300")
        .to(&memory("a"))
        .start()
        .await;
    let mut viewer = Viewer::join(collector.address, "outcome=rejected").await;
    viewer.state().await;
    let idle = Viewer::join(collector.address, "event=large&personal=1").await;
    viewer.state_where(|state| state["viewers"] == 2).await;
    let large = json!({"event_name": "large", "event_params": [{"key": "text", "value": {"string_value": "x".repeat(50_000)}}]});
    let large = large.to_string();
    let begun = std::time::Instant::now();
    while viewer.state().await["viewers"] != 1 {
        for _ in 0..20 {
            collector.takes(&large).await;
        }
        assert!(begun.elapsed() < PATIENCE * 3, "they still look");
    }
    drop(idle);
    collector.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_outlasts_what_ends_idle_connections_and_makes_room_for_none() {
    let collector = Builder::new()
        .set("HTTP__IDLE_TIMEOUT", "1")
        .set("HTTP__REQUEST_TIMEOUT", "2")
        .set("HTTP__MAX_CONNECTIONS", "2")
        .set("HTTP__MAX_CONNECTIONS_PER_IP", "8")
        .to(&memory("a"))
        .start()
        .await;
    let mut viewer = Viewer::join(collector.address, "").await;
    let first = viewer.state().await["at"].as_u64().unwrap();
    viewer
        .state_where(|state| state["at"].as_u64().unwrap() > first + 5000)
        .await;
    for id in ["1", "2", "3"] {
        let idle = TcpStream::connect(collector.address).await.unwrap();
        tokio::time::sleep(Duration::from_millis(300)).await;
        // It is the idle one that makes room.
        collector.takes(&event(id)).await;
        drop(idle);
    }
    viewer.state_where(|state| state["counted"] == 3).await;
    collector.stop().await;
    assert_eq!(
        viewer.until("never\n").await,
        None,
        "the answer ends with the collector"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_operator_looks_and_no_more_at_once_than_may() {
    let collector = Builder::new().to(&memory("a")).start().await;
    let address = collector.address;
    for path in ["/live", "/live/", "/live/events"] {
        let stranger = request(address, "GET", path, &[], b"").await;
        assert_eq!(stranger.status, 401, "{path}");
        assert!(
            stranger
                .header("WWW-Authenticate")
                .unwrap()
                .contains("Basic"),
            "{path}"
        );
    }
    let bearer = format!("Bearer {TOKEN}");
    let from_elsewhere = [
        ("Authorization", bearer.as_str()),
        ("Sec-Fetch-Site", "cross-site"),
    ];
    let refused = request(address, "GET", "/live/events", &from_elsewhere, b"").await;
    assert_eq!(
        (refused.status, &refused.json()["code"]),
        (403, &json!("cross_site"))
    );
    for wrong in ["outcome=stored", "personal=perhaps"] {
        let answer = admin(address, &format!("/live/events?{wrong}")).await;
        assert_eq!(
            (answer.status, &answer.json()["code"]),
            (400, &json!("bad_request"))
        );
    }
    let mut all = Vec::new();
    for _ in 0..8 {
        all.push(Viewer::join(address, "").await);
    }
    let crowded = admin(address, "/live/events").await;
    assert_eq!(
        (crowded.status, &crowded.json()["code"]),
        (503, &json!("not_live"))
    );
    assert!(crowded.header("Retry-After").is_some());
    collector.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_runs_only_what_the_collector_holds() {
    let collector = Builder::new().to(&memory("a")).start().await;
    let page = admin(collector.address, "/live").await;
    assert_eq!(
        (page.status, page.header("content-type")),
        (200, Some("text/html; charset=utf-8"))
    );
    let policy = page.header("content-security-policy").unwrap();
    assert!(
        policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self';"),
        "{policy}"
    );
    assert!(
        !policy.contains("unsafe") && policy.contains("frame-ancestors 'none'"),
        "{policy}"
    );
    assert!(
        !page.body.contains("style=") && !page.body.contains("<script>"),
        "inline"
    );
    for name in ["live.js", "live.css"] {
        let link = format!("\"/static/{name}?v=");
        let found = page
            .body
            .split(&link)
            .nth(1)
            .and_then(|rest| rest.split('"').next());
        let hash = found.unwrap_or_else(|| panic!("{name} is not linked"));
        let file = request(
            collector.address,
            "GET",
            &format!("/static/{name}?v={hash}"),
            &[],
            b"",
        )
        .await;
        assert_eq!(file.status, 200, "{name}");
        assert!(
            file.header("cache-control").unwrap().contains("immutable"),
            "{name}"
        );
        assert!(
            file.body.contains("Leon Sorokin"),
            "{name} says whose chart library it holds"
        );
    }
    collector.stop().await;
}
