//! Sessions over HTTP: rows that the collector adds, their place in the ledger and in the log, and cookies.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::Value;

use crate::support::client::Answer;
use crate::support::collector::{Collector, memory, rows};
use crate::support::{Builder, every_sync_fails, metrics, request};

const PATH: &str = "/api/v1/streaming/1";
const BROWSER: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";
const KEYS: &str = r#"["a key for tests of sessions"]"#;

async fn send(collector: &Collector, cookies: &str, body: &str) -> Answer {
    // A client that says nothing of itself is a bot, for which no rows are added.
    let headers = [
        ("Cookie", cookies),
        ("Host", "collect.shop.test"),
        ("User-Agent", BROWSER),
        ("Accept-Language", "en"),
    ];
    request(collector.address, "POST", PATH, &headers, body.as_bytes()).await
}

/// The cookies that an answer sets, as a browser sends them back.
pub fn jar(answer: &Answer) -> String {
    let lines = answer.head.lines().filter_map(|line| line.split_once(": "));
    let set = lines.filter(|(name, _)| name.eq_ignore_ascii_case("set-cookie"));
    let pairs: Vec<&str> = set
        .map(|(_, cookie)| cookie.split(';').next().unwrap_or_default())
        .collect();
    pairs.join("; ")
}

fn named<'r>(rows: &'r [Value], name: &str) -> Vec<&'r Value> {
    rows.iter()
        .filter(|row| row["event_name"] == name)
        .collect()
}

/// The values of an event parameter over rows.
pub fn param(row: &Value, key: &str) -> Value {
    let params = row["event_params"].as_array();
    let found = params
        .into_iter()
        .flatten()
        .find(|param| param["key"] == key);
    let value = found.map(|param| &param["value"]);
    let value = value.map(|value| match &value["int_value"] {
        Value::Null => value["string_value"].clone(),
        whole => whole.clone(),
    });
    value.unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn parallel_requests_of_who_returns_are_one_session() {
    let writer = memory("a");
    let collector = Builder::new()
        .to(&writer)
        .set("SESSION__KEYS", KEYS)
        .set("SESSION__TIMEOUT", "0.2")
        .start()
        .await;
    let first = send(&collector, "", r#"{"event_name":"page_view"}"#).await;
    let cookies = jar(&first);
    assert!(
        cookies.contains("__uid__=") && cookies.contains("; __sid_1__="),
        "{cookies}"
    );
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;

    let collector = Arc::new(collector);
    let requests = (0..8).map(|index| {
        let (collector, cookies) = (Arc::clone(&collector), cookies.clone());
        tokio::spawn(async move {
            let body = format!(r#"{{"event_name":"page_view","event_id":"{index}"}}"#);
            send(&collector, &cookies, &body).await
        })
    });
    for request in requests.collect::<Vec<_>>() {
        assert_eq!(request.await.expect("it ends").status, 200);
    }
    let page = metrics(collector.address).await;
    let sample = |name: &str| {
        let line = page.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|value| value.trim().parse::<u64>().ok())
    };
    assert_eq!(sample("events_synthesised_total "), Some(2 + 8), "{page}");
    let intake = collector.ledger.intake();
    assert_eq!(
        (intake.received, intake.synthesised, intake.duplicate),
        (9, 10, 7)
    );
    Arc::into_inner(collector)
        .expect("nobody else has it")
        .stop()
        .await;

    let rows = rows(&writer);
    assert_eq!(rows.len(), 9 + 3);
    let starts = named(&rows, "session_start");
    assert_eq!(starts.len(), 2, "that of the first visit, and one");
    assert_eq!(named(&rows, "first_visit").len(), 1);
    let second: BTreeSet<String> = rows[3..]
        .iter()
        .map(|row| {
            format!(
                "{} {}",
                param(row, "ga_session_id"),
                param(row, "ga_session_number")
            )
        })
        .collect();
    assert_eq!(second.len(), 1, "{second:?}");
    assert!(second.iter().all(|session| session.ends_with(" 2")));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_events_of_an_array_follow_each_other() {
    let writer = memory("a");
    let collector = Builder::new()
        .to(&writer)
        .set("SESSION__KEYS", KEYS)
        .start()
        .await;
    let event = |name: &str, query: &str| {
        format!(
            r#"{{"event_name":"{name}","event_params":{{"page_location":"https://shop.test/{query}"}}}}"#
        )
    };
    let denied = r#"{"event_name":"d","consent":{"analytics_storage":false}}"#;
    let body = [
        event("page_view", "?utm_source=a"),
        event("page_view", ""),
        event("c", "?utm_source=b"),
    ];
    let answer = send(&collector, "", &format!("[{}]", body.join(","))).await;
    assert_eq!(answer.status, 200);
    let goes_on = send(&collector, &jar(&answer), r#"{"event_name":"e"}"#).await;
    assert_eq!(goes_on.status, 200);
    let mixed = send(
        &collector,
        &jar(&goes_on),
        &format!(r#"[{{"event_name":"f"}},{denied}]"#),
    )
    .await;
    assert_eq!((mixed.status, mixed.header("Set-Cookie")), (200, None));
    collector.stop().await;
    let rows = rows(&writer);
    let told: Vec<String> = rows
        .iter()
        .map(|row| {
            let name = row["event_name"].as_str().expect("a name");
            format!(
                "{name} {} {}",
                param(row, "ga_session_number"),
                param(row, "session_engaged")
            )
        })
        .collect();
    let expected = [
        "first_visit 1 \"0\"",
        "session_start 1 \"0\"",
        "page_view 1 \"0\"",
        "page_view 1 \"1\"",
        "session_start 2 \"0\"",
        "c 2 \"0\"",
        "e 2 \"0\"",
        "f 2 \"0\"",
        "d null null",
    ];
    assert_eq!(told, expected);
}

/// Of who comes with events of which one is wrong, the others begin the session: the answer says who they are all the same.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_to_some_tells_who_it_was() {
    let writer = memory("a");
    let collector = Builder::new()
        .to(&writer)
        .set("SESSION__KEYS", KEYS)
        .set("HTTP__MAX_BODY_BYTES", "20MiB")
        .set("HTTP__MAX_INFLATED_BYTES", "20MiB")
        .start()
        .await;
    let wrong = r#"{"event_name":""}"#;
    let none = send(&collector, "", &format!("[{wrong},{wrong}]")).await;
    assert_eq!((none.status, none.header("Set-Cookie")), (422, None));
    let large = format!(
        r#"{{"event_name":"large","event_params":{{"a":"{}"}}}}"#,
        "x".repeat(9 << 20)
    );
    let body = format!(r#"[{wrong},{large},{{"event_name":"page_view"}}]"#);
    let some = send(&collector, "", &body).await;
    assert_eq!(some.status, 422);
    let next = send(&collector, &jar(&some), r#"{"event_name":"next"}"#).await;
    assert_eq!(next.status, 200);
    collector.stop().await;
    let rows = rows(&writer);
    let names: Vec<_> = rows.iter().map(|row| row["event_name"].as_str()).collect();
    let expected = ["first_visit", "session_start", "page_view", "next"].map(Some);
    assert_eq!(names, expected);
    let who: BTreeSet<_> = rows
        .iter()
        .map(|row| row["user_pseudo_id"].to_string() + &param(row, "ga_session_id").to_string())
        .collect();
    assert_eq!(who.len(), 1, "{who:?}");
}

/// What is added never makes the client's event fail, nor is it counted where nothing is kept.
#[tokio::test(flavor = "multi_thread")]
async fn added_rows_share_the_fate_of_their_event() {
    let disk = Arc::new(real_streaming::durable::SimulatedDisk::new());
    let writer = memory("a");
    let collector = Builder::new()
        .to(&writer)
        .set("SESSION__KEYS", KEYS)
        .on_disk(Arc::clone(&disk) as Arc<_>)
        .start()
        .await;
    disk.set_sync_fault(Some(every_sync_fails()), false);
    let answer = send(&collector, "", r#"{"event_name":"page_view"}"#).await;
    assert_eq!((answer.status, answer.header("Set-Cookie")), (503, None));
    let failed = collector.ledger.intake();
    assert_eq!(
        (failed.received, failed.synthesised, failed.refused_broken),
        (1, 2, 3)
    );
    disk.set_sync_fault(None, false);
    // The log tries again by itself.
    let begun = std::time::Instant::now();
    while send(&collector, "", r#"{"event_name":"page_view"}"#)
        .await
        .status
        != 200
    {
        assert!(begun.elapsed().as_secs() < 20, "it is not taken again");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    collector.stop().await;
    assert_eq!(rows(&writer).len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retried_event_begins_nothing_again() {
    // Who comes without a cookie is somebody new each time, but the event is not.
    for (cookie, counts, stored) in [
        ("__uid__=known.to.the.site", (3, 3, 4), 2),
        ("", (3, 2, 2), 3),
    ] {
        let writer = memory("a");
        let collector = Builder::new()
            .to(&writer)
            .set("SESSION__KEYS", KEYS)
            .start()
            .await;
        let body = r#"{"event_name":"page_view","event_id":"1"}"#;
        for _ in 0..3 {
            assert_eq!(send(&collector, cookie, body).await.status, 200);
        }
        let intake = collector.ledger.intake();
        assert_eq!(
            (intake.received, intake.synthesised, intake.duplicate),
            counts
        );
        collector.stop().await;
        assert_eq!(rows(&writer).len(), stored);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_with_many_cookies_gets_none_of_another_stream() {
    let writer = memory("a");
    let collector = Builder::new()
        .to(&writer)
        .set("SESSION__KEYS", KEYS)
        .start()
        .await;
    let body = r#"{"event_name":"page_view"}"#;
    let first = jar(&send(&collector, "", body).await);
    assert!(first.contains("__sid_"), "{first}");
    // What other parts of the site keep may be no text.
    let many = format!("__sid_other__={}; town=Z\u{fc}rich", "x".repeat(4096));
    let answer = send(&collector, &format!("__uid__=u; {many}"), body).await;
    assert!(!jar(&answer).contains("__sid_"), "{}", answer.head);
    // Its own goes on.
    let answer = send(&collector, &format!("{first}; {many}"), body).await;
    assert!(jar(&answer).contains("__sid_"), "{}", answer.head);
    collector.stop().await;
    let names: Vec<String> = rows(&writer)
        .iter()
        .map(|row| row["event_name"].as_str().unwrap_or_default().to_owned())
        .collect();
    assert_eq!(
        names,
        [
            "first_visit",
            "session_start",
            "page_view",
            "session_start",
            "page_view",
            "page_view"
        ],
        "the last one begins no session"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_readable_twin_and_the_id_of_google_analytics_are_by_setting() {
    let writer = memory("a");
    let collector = Builder::new()
        .to(&writer)
        .set("COOKIE__READABLE", "visitor")
        .set("COOKIE__TAKE_GA", "true")
        .start()
        .await;
    let ga = "_ga=GA1.1.1234567890.1700000000";
    let answer = send(&collector, ga, r#"{"event_name":"a"}"#).await;
    let cookies = jar(&answer);
    assert_eq!(
        cookies,
        "__uid__=1234567890.1700000000; visitor=1234567890.1700000000"
    );
    let twin = answer
        .head
        .lines()
        .find(|line| line.contains("visitor="))
        .expect("the twin");
    assert!(
        !twin.contains("HttpOnly") && twin.contains("Domain=shop.test"),
        "{twin}"
    );
    collector.stop().await;
    let row = &rows(&writer)[0];
    assert_eq!(row["user_pseudo_id"], "1234567890.1700000000");
    assert_eq!(row["user_first_touch_timestamp"], 1_700_000_000_000_000_i64);
    assert!(
        param(row, "ga_session_id").is_null(),
        "without a key there is no session"
    );
}
