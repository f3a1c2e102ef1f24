//! What the predecessor got wrong, and what it took: each is a test of the right behaviour.
//!
//! Where another test says it already, it is named here:
//!
//! | of the predecessor | here |
//! |---|---|
//! | no batches: one append for nearly each row | `durability`, `make bench` |
//! | televisions and tablets lost all of their device | `enrich::device::common_devices_are_recognised` |
//! | events were lost behind a 200 | `durability`, `binary::killed_at_any_moment_…` |
//! | no Host: a fault | `hostile::methods` B58b, B58c |
//! | any value of the cookie was taken and sent back; not HttpOnly; set without consent | `door::a_browser_is_told_again_…`, `door::no_cookie_…` |
//! | SameSite=None on http, Domain of public suffixes | `http::cookie` |
//! | no GET mode, no compressed bodies, no arrays, no probes | `door::pixels_…`, `door::compressed_…`, `endpoint::a_whole_array_…`, `endpoint::probes_…` |
//! | no limits of size; every origin may write | `hostile`, `door::other_origins_are_stored_and_counted_or_refused` |
//! | the example in its description was refused | `golden` (`readme_example`) |
//! | no language without a user agent | `enrich::the_language_needs_no_user_agent` |
//! | a user agent that was not seen before stalls all | `enrich::device::the_cache_is_bounded_…`, `make bench` |

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::client::Answer;
use crate::support::collector::{Collector, memory, rows};
use crate::support::process::Process;
use crate::support::{Builder, request};

const PATH: &str = "/api/v1/streaming/1";

async fn send(collector: &Collector, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    request(collector.address, "POST", PATH, headers, body).await
}

/// Sends each body with its headers; all are taken. The rows, in order.
async fn stored(requests: &[(&[(&str, &str)], Value)]) -> Vec<Value> {
    stored_with(Builder::new(), requests).await
}

async fn stored_with(builder: Builder, requests: &[(&[(&str, &str)], Value)]) -> Vec<Value> {
    let writer = memory("a");
    let collector = builder.to(&writer).start().await;
    for (headers, body) in requests {
        let answer = send(&collector, headers, body.to_string().as_bytes()).await;
        assert_eq!(answer.status, 200, "{body}: {}", answer.body);
        assert_eq!(answer.body, r#"{"status":"ok"}"#);
    }
    collector.stop().await;
    let rows = rows(&writer);
    assert_eq!(rows.len(), requests.len());
    rows
}

/// The row of an event with these members beside its name.
async fn row_of(members: Value) -> Value {
    let mut body = json!({"event_name": "page_view"});
    let members = members.as_object().expect("an object").clone();
    body.as_object_mut().expect("an object").extend(members);
    stored(&[(&[], body)]).await.remove(0)
}

#[track_caller]
fn check(row: &Value, expected: &[(&str, Value)]) {
    for (pointer, expected) in expected {
        let found = row.pointer(pointer).unwrap_or(&Value::Null);
        assert_eq!(found, expected, "{pointer} of {row:#}");
    }
}

fn page(location: &str, referrer: &str) -> Value {
    json!({"event_params": {"page_location": location, "page_referrer": referrer}})
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_without_an_id_or_with_null_is_stored_under_one_of_its_own() {
    for members in [
        json!({}),
        json!({"event_id": null}),
        json!({"event_id": ""}),
    ] {
        let row = row_of(members).await;
        assert_eq!(row["event_id"].as_str().map(str::len), Some(36), "{row}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_has_nothing_to_do_does_nothing() {
    const WATCHED: Duration = Duration::from_secs(4);
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let process = Process::start(folder.path(), &[]).await;
    let answer = crate::support::post(process.address, r#"{"event_name":"a"}"#).await;
    assert_eq!(answer.status, 200);
    // Until that event is in the table, and what follows is done.
    let begun = Instant::now();
    loop {
        let before = process.cpu();
        tokio::time::sleep(WATCHED).await;
        let used = process.cpu() - before;
        if used < WATCHED / 40 {
            break;
        }
        assert!(
            begun.elapsed() < Duration::from_secs(40),
            "busy for {used:?} of {WATCHED:?}"
        );
    }
    assert_eq!(process.terminate().code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_that_fit_nowhere_keep_their_digits() {
    let row = row_of(json!({
        "event_params": [
            {"key": "a", "value": {"int_value": 9_223_372_036_854_775_807_u64}},
            {"key": "b", "value": {"int_value": 9_223_372_036_854_775_808_u64}},
            {"key": "c", "value": {"int_value": -9_223_372_036_854_775_808_i64}},
        ],
        "items": [{"item_id": "i", "quantity": 5_000_000_000_i64, "index": 5_000_000_000_i64}],
    }))
    .await;
    check(
        &row,
        &[
            ("/event_params/0/value/int_value", json!(i64::MAX)),
            (
                "/event_params/1/value/string_value",
                json!("9223372036854775808"),
            ),
            ("/event_params/2/value/int_value", json!(i64::MIN)),
            ("/items/0/quantity", json!(5_000_000_000_i64)),
            ("/items/0/item_list_index", json!("5000000000")),
        ],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_beyond_64_bits_is_a_stream() {
    let writer = memory("a");
    let collector = Builder::new().to(&writer).start().await;
    let streams = ["99999999999999999999", "-5", "007", "web"];
    for stream in streams {
        let path = format!("/api/v1/streaming/{stream}");
        let body = br#"{"event_name":"a"}"#;
        let answer = request(collector.address, "POST", &path, &[], body).await;
        assert_eq!(answer.status, 200, "{stream}");
    }
    collector.stop().await;
    let rows = rows(&writer);
    let found: Vec<_> = rows
        .iter()
        .filter_map(|row| row["stream_id"].as_str())
        .collect();
    assert_eq!(found, streams);
}

#[tokio::test(flavor = "multi_thread")]
async fn money_is_exact() {
    for amount in [
        "19.99",
        "123456.78",
        "1234567.89",
        "0.1",
        "0.30000000000000004",
    ] {
        let number: Value = serde_json::from_str(amount).unwrap();
        let row = row_of(json!({
            "event_params": [{"key": "p", "value": {"float_value": number}}],
            "user_properties": [{"key": "u", "value": {"float_value": number}}],
            "ecommerce": {"value": number},
            "items": [{"item_id": "i", "price": number, "discount": number}],
        }))
        .await;
        let text = |pointer: &str| row.pointer(pointer).map(Value::to_string);
        for pointer in [
            "/event_params/0/value/double_value",
            "/user_properties/0/value/double_value",
            "/event_params/1/value/double_value",
            "/items/0/price",
            "/items/0/item_params/0/value/double_value",
        ] {
            assert_eq!(
                text(pointer).as_deref(),
                Some(amount),
                "{pointer} of {row:#}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_address_costs_nothing_but_itself() {
    for (location, referrer, source) in [
        ("https://[bad", "https://b.test/", json!("b.test")),
        ("https://[bad/", "", Value::Null),
        ("https://a.test/?utm_source=x", "http://[::1", json!("x")),
        ("https://a.test/", "javascript:alert(1)", Value::Null),
        ("/relative?utm_source=x", "//", json!("x")),
        ("%zz\u{0}\u{202e}", "http://", Value::Null),
    ] {
        let row = row_of(page(location, referrer)).await;
        check(
            &row,
            &[
                ("/event_params/0/value/string_value", json!(location)),
                ("/collected_traffic_source/manual_source", source),
            ],
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_utf8_is_refused_whatever_its_content_type() {
    let writer = memory("a");
    let collector = Builder::new().to(&writer).start().await;
    for content_type in [
        "application/json",
        "text/plain",
        "",
        "text/plain;charset=latin1",
    ] {
        let headers = [("Content-Type", content_type), ("Origin", "https://a.test")];
        let answer = send(&collector, &headers, b"{\"event_name\":\"\xe9\"}").await;
        assert_eq!(
            (answer.status, &answer.json()["code"]),
            (400, &json!("malformed"))
        );
    }
    collector.stop().await;
    assert!(rows(&writer).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_may_be_partial() {
    let row = row_of(json!({
        "privacy_info": {"ad_storage": "granted", "analytics_storage": "denied", "ad_user_data": true},
        "ecommerce": {"transaction_id": "T-1"},
        "items": [{"item_id": "SKU-1", "item_name": "Mug", "price": 9.5}, {}],
        "app_info": {"version": "2"},
        "event_params": [{"key": "alone"}, {"value": {"int_value": 1}}, {"key": null, "value": {}}],
        "user_properties": [{"key": "alone"}],
    }))
    .await;
    check(
        &row,
        &[
            ("/privacy_info/ads_storage", json!("Yes")),
            ("/privacy_info/analytics_storage", json!("No")),
            ("/collector/consent/ad_user_data", json!(true)),
            ("/collector/consent/security_storage", Value::Null),
            ("/ecommerce/transaction_id", json!("T-1")),
            ("/items/0/item_name", json!("Mug")),
            ("/items/0/price", json!(9.5)),
            ("/app_info/version", json!("2")),
            ("/event_params/0/key", json!("alone")),
            ("/event_params/1/value/int_value", json!(1)),
            ("/user_properties/0/key", json!("alone")),
        ],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_region_has_two_headers_and_places_are_utf8() {
    let body = json!({"event_name": "a"});
    let country = ("X-Client-Geo-Country", "PL");
    let rows = stored(&[
        (
            &[
                country,
                ("X-Client-Geo-Region", "Łódzkie"),
                ("X-Client-Geo-City", "Łódź"),
            ],
            body.clone(),
        ),
        (
            &[
                country,
                ("X-Client-Geo-State", "PL10"),
                ("X-Client-Geo-City", "São Paulo"),
            ],
            body.clone(),
        ),
        (
            &[
                ("X-Client-Geo-State", "State"),
                ("X-Client-Geo-Region", "Region"),
            ],
            body.clone(),
        ),
        (
            &[
                ("X-Client-Geo-State", ""),
                ("X-Client-Geo-Region", "Region"),
            ],
            body,
        ),
    ])
    .await;
    for (row, region, city) in [
        (&rows[0], "Łódzkie", json!("Łódź")),
        (&rows[1], "Łódź", json!("São Paulo")),
        (&rows[2], "State", Value::Null),
        (&rows[3], "Region", Value::Null),
    ] {
        check(row, &[("/geo/region", json!(region)), ("/geo/city", city)]);
    }
    check(&rows[0], &[("/geo/country", json!("Poland"))]);
    check(&rows[1], &[("/collector/geo/region_code", json!("PL-10"))]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_address_is_one_address_and_never_what_a_client_claims() {
    let body = json!({"event_name": "a"});
    let chain = ("X-Forwarded-For", "203.0.113.9, 34.120.0.1");
    for (hops, policy, headers, expected) in [
        ("0", "full", vec![chain], "127.0.0.1"),
        ("1", "full", vec![chain], "34.120.0.1"),
        ("2", "full", vec![chain], "203.0.113.9"),
        ("2", "truncated", vec![chain], "203.0.113.0"),
        (
            "1",
            "full",
            vec![("X-Forwarded-For", "<script>")],
            "127.0.0.1",
        ),
        ("0", "full", vec![], "127.0.0.1"),
    ] {
        let builder = Builder::new()
            .set("ENRICH__TRUSTED_HOPS", hops)
            .set("ENRICH__IP", policy);
        let rows = stored_with(builder, &[(&headers, body.clone())]).await;
        check(&rows[0], &[("/ip", json!(expected))]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slash_at_the_end_is_no_redirect() {
    let writer = memory("a");
    let collector = Builder::new().to(&writer).start().await;
    for method in ["POST", "GET"] {
        let path = "/api/v1/streaming/1/?event_name=a";
        let body = br#"{"event_name":"a"}"#;
        let headers = [("X-Forwarded-Proto", "https")];
        let answer = request(collector.address, method, path, &headers, body).await;
        assert_eq!(
            (answer.status, answer.header("Location")),
            (200, None),
            "{method}"
        );
    }
    collector.stop().await;
    assert_eq!(rows(&writer).len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_traffic_source_is_told_in_the_cases_that_were_wrong() {
    for (location, referrer, source, medium) in [
        ("https://a.test/?gclid=g", "", json!("google"), json!("cpc")),
        (
            "https://a.test/?gclid=g",
            "https://www.google.com/",
            json!("google"),
            json!("cpc"),
        ),
        (
            "https://a.test/?fbclid=f",
            "https://l.instagram.com/",
            json!("l.instagram.com"),
            json!("referral"),
        ),
        (
            "https://a.test/?UTM_SOURCE=n&Utm_Medium=m",
            "",
            json!("n"),
            json!("m"),
        ),
        (
            "https://a.test/?utm_source=n",
            "https://b.test/",
            json!("n"),
            Value::Null,
        ),
        ("https://a.test/#utm_source=n", "", json!("n"), Value::Null),
        (
            "https://shop.a.co.uk/",
            "https://www.a.co.uk/",
            Value::Null,
            Value::Null,
        ),
        (
            "https://alice.github.io/",
            "https://bob.github.io/",
            json!("bob.github.io"),
            json!("referral"),
        ),
        ("", "https://b.test/", json!("b.test"), json!("referral")),
        (
            "/relative",
            "https://b.test/",
            json!("b.test"),
            json!("referral"),
        ),
    ] {
        let row = row_of(page(location, referrer)).await;
        println!("{location} from {referrer}");
        check(
            &row,
            &[
                ("/collected_traffic_source/manual_source", source),
                ("/collected_traffic_source/manual_medium", medium),
            ],
        );
    }
    let row = row_of(page("https://a.test/?fbclid=f&gclid=g", "")).await;
    check(
        &row,
        &[
            ("/collected_traffic_source/gclid", json!("g")),
            ("/collector/click_ids/0/value", json!("g")),
        ],
    );
    assert!(
        row["collector"]["click_ids"].to_string().contains("fbclid"),
        "{row}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_language_of_everything_is_none() {
    let body = json!({"event_name": "a"});
    for (header, expected) in [
        ("*", Value::Null),
        ("*;q=0.1,uk-UA;q=0.9, en", json!("en")),
        ("*, de;q=0.5", json!("de")),
    ] {
        let rows = stored(&[(&[("Accept-Language", header)], body.clone())]).await;
        check(&rows[0], &[("/device/language", expected)]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_without_a_name_is_refused() {
    let writer = memory("a");
    let collector = Builder::new().to(&writer).start().await;
    for body in [r#"{"event_name":""}"#, r#"{"event_name":null}"#, "{}"] {
        let answer = send(&collector, &[], body.as_bytes()).await;
        assert_eq!(answer.status, 422, "{body}");
        assert_eq!(answer.json()["details"][0]["path"], "event_name");
    }
    collector.stop().await;
    assert!(rows(&writer).is_empty());
}

/// All that its schema took, in the types that it took.
#[tokio::test(flavor = "multi_thread")]
async fn what_it_took_is_taken_and_lands_in_its_columns() {
    let param = |slot: Value| json!({"event_params": [{"key": "p", "value": slot}]});
    let value = "/event_params/0/value";
    for (slot, expected) in [
        (json!({"int_value": 5}), json!({"int_value": 5})),
        (json!({"int_value": "5"}), json!({"int_value": 5})),
        (json!({"int_value": 5.0}), json!({"int_value": 5})),
        (json!({"int_value": true}), json!({"int_value": 1})),
        (json!({"float_value": 3}), json!({"double_value": 3.0})),
        (json!({"float_value": "1.5"}), json!({"double_value": 1.5})),
        (json!({"float_value": true}), json!({"double_value": 1.0})),
        (json!({"double_value": 1.5}), json!({"double_value": 1.5})),
        (
            json!({"string_value": "x", "int_value": null, "float_value": null}),
            json!({"string_value": "x"}),
        ),
        (
            json!({"string_value": "x", "int_value": 1}),
            json!({"string_value": "x", "int_value": 1}),
        ),
        (json!({}), json!({})),
    ] {
        check(&row_of(param(slot)).await, &[(value, expected)]);
    }
    for (word, expected) in [
        (json!(true), json!("Yes")),
        (json!(1), json!("Yes")),
        (json!("on"), json!("Yes")),
        (json!("y"), json!("Yes")),
        (json!("F"), json!("No")),
        (json!("no"), json!("No")),
        (Value::Null, json!("Unset")),
    ] {
        let row = row_of(json!({"privacy_info": {"analytics_storage": word}})).await;
        check(&row, &[("/privacy_info/analytics_storage", expected)]);
    }
    let item = json!({
        "item_id": "i", "item_name": "n", "affiliation": "a", "coupon": "c", "item_brand": "b",
        "item_category": "1", "item_category2": "2", "item_category3": "3", "item_category4": "4",
        "item_category5": "5", "item_list_id": "li", "item_list_name": "ln", "item_variant": "v",
        "location_id": "lo", "promotion_id": "pi", "promotion_name": "pn", "creative_name": "cn",
        "creative_slot": "cs", "discount": 1.25, "price": 9.75, "index": 3, "quantity": 2,
    });
    let row = row_of(json!({
        "event_name": "purchase",
        "event_params": null, "user_properties": null, "user_id": null, "v": 2, "_dcid_temp": "d",
        "common_cookie": {"_fbp": "x"}, "x-ga-page_id": 1, "timestamp": 1, "nobody": {"knows": 1},
        "app_info": {"id": "i", "firebase_app_id": "f", "install_source": "s", "version": "v"},
        "ecommerce": {
            "transaction_id": "T", "currency": "EUR", "coupon": "c", "payment_type": "p",
            "shipping_tier": "s", "item_list_id": "li", "item_list_name": "ln", "promotion_id": "pi",
            "promotion_name": "pn", "creative_name": "cn", "creative_slot": "cs", "value": 19.5,
            "total_item_quantity": 2,
        },
        "items": [item],
    }))
    .await;
    check(
        &row,
        &[
            ("/app_info/firebase_app_id", json!("f")),
            ("/app_info/install_source", json!("s")),
            ("/ecommerce/transaction_id", json!("T")),
            ("/ecommerce/total_item_quantity", json!(2)),
            ("/ecommerce/purchase_revenue", json!(19.5)),
            ("/items/0/item_category5", json!("5")),
            ("/items/0/location_id", json!("lo")),
            ("/items/0/creative_slot", json!("cs")),
            ("/items/0/item_list_index", json!("3")),
            ("/items/0/quantity", json!(2)),
            ("/items/0/price", json!(9.75)),
            ("/items/0/item_params/0/key", json!("discount")),
            ("/items/0/item_params/0/value/double_value", json!(1.25)),
        ],
    );
    let keys: Vec<&str> = row["event_params"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|param| param["key"].as_str())
        .collect();
    for key in [
        "currency",
        "value",
        "coupon",
        "payment_type",
        "shipping_tier",
        "item_list_id",
        "item_list_name",
        "promotion_id",
        "promotion_name",
        "creative_name",
        "creative_slot",
    ] {
        assert!(keys.contains(&key), "{key} is not in {keys:?}");
    }
    let warnings = row["collector"]["warnings"].to_string();
    assert!(
        warnings.contains("nobody") && warnings.contains("timestamp"),
        "{warnings}"
    );
}
