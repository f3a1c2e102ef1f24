//! A visit as a shop sees it: landing from an ad, three pages, a purchase, a return the next day. Every column that `docs/columns.md` calls
//! filled is filled in one of its rows, and nothing else is.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use real_streaming::clock::{Clock, Micros};
use serde_json::{Value, json};

use crate::devices;
use crate::sessions::{jar, param};
use crate::support::collector::{Collector, memory, rows};
use crate::support::{Builder, request};

/// 2026-11-21 20:00:00 UTC.
const EVENING: i64 = 1_795_291_200_000_000;
const SECOND: i64 = 1_000_000;
const AD: &str = "https://shop.test/?utm_id=77&utm_campaign=autumn&utm_source=google&utm_medium=cpc&utm_term=mugs&utm_content=red\
    &utm_source_platform=Search&utm_creative_format=text&utm_marketing_tactic=prospecting&gclid=g-1&dclid=d-1&srsltid=s-1";
/// As Chrome on a phone sends it, which tells the rest in hints.
const USER_AGENT: &str = "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/148.0.0.0 Mobile Safari/537.36";

/// A clock that goes on when it is told.
#[derive(Debug)]
struct Told(AtomicI64);

impl Clock for Told {
    fn now(&self) -> Micros {
        Micros(self.0.load(Ordering::Relaxed))
    }
}

/// The visitor's browser.
struct Browser {
    collector: Collector,
    clock: Arc<Told>,
    cookies: String,
}

impl Browser {
    async fn sends(&mut self, after_seconds: i64, event: Value) {
        self.clock
            .0
            .fetch_add(after_seconds * SECOND, Ordering::Relaxed);
        let headers = [
            ("Host", "collect.shop.test"),
            ("Origin", "https://shop.test"),
            ("Cookie", &self.cookies),
            ("User-Agent", USER_AGENT),
            (
                "Sec-CH-UA-Full-Version-List",
                r#""Chromium";v="148.0.7778.96", "Google Chrome";v="148.0.7778.96""#,
            ),
            ("Sec-CH-UA-Platform", "\"Android\""),
            ("Sec-CH-UA-Platform-Version", "\"16.0.0\""),
            ("Sec-CH-UA-Model", "\"Pixel 9\""),
            ("Sec-CH-UA-Arch", "\"arm\""),
            ("Accept-Language", "de-AT,de;q=0.9"),
            ("X-Client-Geo-Country", "AT"),
            ("X-Client-Geo-State", "AT-9"),
            ("X-Client-Geo-City", "Vienna"),
            ("Sec-GPC", "0"),
            ("DNT", "0"),
        ];
        let body = event.to_string();
        let path = "/api/v1/streaming/1";
        let answer = request(
            self.collector.address,
            "POST",
            path,
            &headers,
            body.as_bytes(),
        )
        .await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        self.cookies = jar(&answer);
    }
}

fn page_view(location: &str, referrer: &str) -> Value {
    json!({
        "event_name": "page_view",
        "timestamp_micros": null,
        "event_params": {"page_location": location, "page_referrer": referrer, "page_title": "Mugs"},
        "privacy_info": {
            "ad_storage": true, "ad_user_data": true, "ad_personalization": false, "analytics_storage": true,
            "functionality_storage": true, "personalization_storage": true, "security_storage": true,
        },
        "gcs": "G111", "gcd": "11t1t1q1t5", "tcf": "CP.x", "gpp": "DBABLA~x", "gpp_sid": "7", "us_privacy": "1YNN",
    })
}

/// The rows of the visit.
async fn visit() -> Vec<Value> {
    let writer = memory("a");
    let clock = Arc::new(Told(AtomicI64::new(EVENING)));
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let patterns = devices::patterns(folder.path());
    let collector = Builder::new()
        .to(&writer)
        .set("ENRICH__DEVICE_DATA", patterns.to_str().expect("a path"))
        .by_clock(Arc::clone(&clock) as _)
        .set("SESSION__KEYS", r#"["a key for tests of visits"]"#)
        .start()
        .await;
    let mut browser = Browser {
        collector,
        clock,
        cookies: String::new(),
    };
    browser
        .sends(0, page_view(AD, "https://www.google.com/"))
        .await;
    browser
        .sends(20, page_view("https://shop.test/mugs", AD))
        .await;
    browser
        .sends(
            30,
            page_view("https://shop.test/mugs/red", "https://shop.test/mugs"),
        )
        .await;
    browser
        .sends(
            60,
            page_view("https://shop.test/cart", "https://shop.test/mugs/red"),
        )
        .await;
    browser.sends(60, purchase()).await;
    browser
        .sends(23 * 3600, page_view("https://shop.test/", ""))
        .await;
    browser.collector.stop().await;
    rows(&writer)
}

/// A purchase that says all that a client can say.
fn purchase() -> Value {
    let slots = json!({"string_value": "s", "int_value": 1, "float_value": 0.5, "double_value": 1.5, "set_timestamp_micros": EVENING});
    json!({
        "event_name": "purchase", "event_id": "p-1", "user_id": "u-1",
        "timestamp_micros": EVENING + 150 * SECOND,
        "event_previous_timestamp": EVENING, "batch_page_id": 3, "batch_ordering_id": 9,
        "event_params": [
            {"key": "page_location", "value": {"string_value": "https://shop.test/thanks"}},
            {"key": "currency", "value": {"string_value": "USD"}},
            {"key": "value", "value": {"double_value": 39.5}},
            {"key": "all", "value": slots},
        ],
        "user_properties": [{"key": "tier", "value": slots}],
        "user_ltv": {"revenue": 99.5, "currency": "USD"},
        "app_info": {"id": "a", "version": "1", "install_store": "b", "firebase_app_id": "c", "install_source": "d"},
        "ecommerce": {"transaction_id": "T-1", "value": 39.5, "currency": "USD", "shipping": 4.5, "tax": 2.5},
        "items": [{
            "item_id": "1", "item_name": "Mug", "item_brand": "b", "item_variant": "v", "item_category": "c", "item_category2": "c",
            "item_category3": "c", "item_category4": "c", "item_category5": "c", "price": 15.5, "quantity": 2, "coupon": "k",
            "affiliation": "a", "location_id": "l", "item_list_id": "i", "item_list_name": "n", "index": 4, "promotion_id": "p",
            "promotion_name": "p", "creative_name": "c", "creative_slot": "s", "size": slots,
        }],
    })
}

/// The paths that have a value somewhere.
fn filled(value: &Value, path: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Null => {}
        Value::Object(members) => {
            for (name, value) in members {
                let path = match path {
                    "" => name.clone(),
                    path => format!("{path}.{name}"),
                };
                filled(value, &path, found);
            }
        }
        Value::Array(elements) => elements.iter().for_each(|element| match element {
            Value::Object(_) => filled(element, path, found),
            _ => drop(found.insert(path.to_owned())),
        }),
        _ => drop(found.insert(path.to_owned())),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_visit_is_told_as_sessions_of_one_visitor() {
    let rows = visit().await;
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
        "page_view 1 \"1\"",
        "page_view 1 \"1\"",
        "purchase 1 \"1\"",
        "session_start 2 \"0\"",
        "page_view 2 \"0\"",
    ];
    assert_eq!(told, expected);
    let column = |pointer: &str| -> BTreeSet<String> {
        let values = rows.iter().filter_map(|row| row.pointer(pointer));
        values.map(ToString::to_string).collect()
    };
    for (pointer, value) in [
        ("/traffic_source/source", json!("google")),
        ("/traffic_source/medium", json!("cpc")),
        ("/traffic_source/name", json!("autumn")),
        (
            "/session_traffic_source_last_click/manual_campaign/campaign_name",
            json!("autumn"),
        ),
        (
            "/session_traffic_source_last_click/cross_channel_campaign/source",
            json!("google"),
        ),
    ] {
        assert_eq!(column(pointer), [value.to_string()].into(), "{pointer}");
    }
    assert_eq!(column("/user_pseudo_id").len(), 1);
    assert_eq!(column("/user_first_touch_timestamp").len(), 1);
    let ids: BTreeSet<String> = rows
        .iter()
        .map(|row| param(row, "ga_session_id").to_string())
        .collect();
    assert_eq!(ids.len(), 2, "{ids:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_column_that_the_docs_call_filled_is_filled() {
    let mut found = BTreeSet::new();
    for row in visit().await {
        filled(&row, "", &mut found);
    }
    let docs = include_str!("../../docs/columns.md");
    let mut wrong = Vec::new();
    for line in docs.lines() {
        let mut cells = line.split('|').map(str::trim).skip(1);
        let Some(path) = cells
            .next()
            .and_then(|cell| cell.strip_prefix('`')?.strip_suffix('`'))
        else {
            continue;
        };
        let text = cells.next().unwrap_or_default();
        let is_said = text.starts_with("filled from");
        if is_said != found.contains(path) && !ELSEWHERE.contains(&path) {
            wrong.push(format!("{path}: {text}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Filled for other visits than that of a customer with one device: each has a test of its own.
const ELSEWHERE: [&str; 8] = [
    // American places.
    "collector.geo.metro_code",
    // Refunds.
    "ecommerce.refund_value",
    "ecommerce.refund_value_in_usd",
    "items.item_refund",
    "items.item_refund_in_usd",
    // Crawlers.
    "collector.bot.name",
    "collector.bot.category",
    // What is not understood.
    "collector.warnings",
];
