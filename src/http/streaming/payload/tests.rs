use proptest::prelude::*;
use serde_json::Value as Json;

use super::json::{Reader, Scalar};
use super::*;
use crate::enrich::MAX_WARNINGS;
use crate::schema::{Consent, Ecommerce, EventParam, Item, PrivacyInfo, Value};

fn one(body: &str) -> Result<Parsed, FieldFault> {
    match parse(body.as_bytes()) {
        Ok(Payloads::One(one)) => one,
        other => panic!("{body}: {other:?}"),
    }
}

/// The event of a body that begins with a name; `rest` follows it.
#[track_caller]
fn with(rest: &str) -> Event {
    let body = format!(r#"{{"event_name":"e",{rest}}}"#);
    match one(&body) {
        Ok(parsed) => *parsed.event,
        Err(fault) => panic!("{body}: {fault}"),
    }
}

#[track_caller]
fn check_fault(rest: &str, path: &str) {
    let fault = one(&format!(r#"{{"event_name":"e",{rest}}}"#)).expect_err(rest);
    assert_eq!(fault.path, path, "{rest}: {fault}");
}

#[track_caller]
fn check_malformed(body: &[u8]) {
    let result = parse(body);
    assert!(
        result.is_err(),
        "{:?}: {result:?}",
        String::from_utf8_lossy(body)
    );
}

fn warnings(event: &Event) -> &[String] {
    event
        .collector
        .as_ref()
        .map_or(&[], |collector| &collector.warnings)
}

fn string(text: &str) -> Value {
    Value {
        string_value: Some(text.to_owned()),
        ..Value::default()
    }
}

fn int(value: i64) -> Value {
    Value {
        int_value: Some(value),
        ..Value::default()
    }
}

fn double(value: f64) -> Value {
    Value {
        double_value: Some(value),
        ..Value::default()
    }
}

fn param(key: &str, value: Value) -> EventParam {
    EventParam {
        key: Some(key.to_owned()),
        value: Some(value),
    }
}

/// What a parameter's value becomes, and how many warnings it brings.
#[track_caller]
fn check_value(json: &str, expected: Value, warned: usize) {
    let event = with(&format!(r#""event_params":[{{"key":"k","value":{json}}}]"#));
    assert_eq!(event.event_params, [param("k", expected)], "{json}");
    assert_eq!(
        warnings(&event).len(),
        warned,
        "{json}: {:?}",
        warnings(&event)
    );
}

#[test]
fn a_bare_event_is_enough() {
    let parsed = one(r#"{"event_name":"page_view"}"#).unwrap();
    assert_eq!(parsed.event.event_name.as_deref(), Some("page_view"));
    assert_eq!(parsed.event.batch_event_index, Some(1));
    assert_eq!(parsed.event.privacy_info, None);
    assert!(!parsed.event_id_given);
    assert_eq!(parsed.client_timestamp, None);
    assert!(warnings(&parsed.event).is_empty());
}

#[test]
fn null_members_are_absent() {
    let event = with(
        r#""event_params":null,"user_id":null,"privacy_info":null,"user_properties":null,"app_info":null,
        "ecommerce":null,"items":null,"event_id":null,"timestamp_micros":null,"batch_page_id":null,"user_ltv":null"#,
    );
    let mut expected = with(r#""v":2"#);
    expected.batch_event_index = Some(1);
    assert_eq!(event, expected);
}

#[test]
fn members_of_objects_may_be_missing_or_null() {
    let event = with(
        r#""privacy_info":{"ad_storage":null},"app_info":{"id":"x"},"ecommerce":{"value":null},
        "items":[{"item_id":"a","price":null},{}],"event_params":[{"key":"k"},{"value":{}},{"key":null,"value":null}]"#,
    );
    assert_eq!(event.app_info.unwrap().version, None);
    assert_eq!(event.ecommerce, Some(Ecommerce::default()));
    assert_eq!(event.items.len(), 2);
    let empty = EventParam {
        key: None,
        value: Some(Value::default()),
    };
    let key_only = EventParam {
        key: Some("k".to_owned()),
        value: None,
    };
    assert_eq!(event.event_params, [key_only, empty, EventParam::default()]);
}

#[test]
fn values_go_to_the_slot_of_their_type() {
    check_value(r#"{"string_value":"x"}"#, string("x"), 0);
    check_value(r#"{"string_value":5}"#, string("5"), 0);
    check_value(r#"{"string_value":1.50}"#, string("1.50"), 0);
    check_value(r#"{"string_value":true}"#, string("true"), 0);
    check_value(r#"{"string_value":""}"#, string(""), 0);
    check_value(r#"{"int_value":5}"#, int(5), 0);
    check_value(r#"{"int_value":"5"}"#, int(5), 0);
    check_value(r#"{"int_value":" 5 "}"#, int(5), 0);
    check_value(r#"{"int_value":5.0}"#, int(5), 0);
    check_value(r#"{"int_value":true}"#, int(1), 0);
    check_value(r#"{"int_value":false}"#, int(0), 0);
    check_value(r#"{"int_value":-9223372036854775808}"#, int(i64::MIN), 0);
    check_value(r#"{"int_value":5.5}"#, double(5.5), 1);
    check_value(r#"{"int_value":null}"#, Value::default(), 0);
    check_value(r#"{"int_value":""}"#, Value::default(), 0);
    check_value(r#"{"float_value":19.99}"#, double(19.99), 0);
    check_value(r#"{"float_value":"19.99"}"#, double(19.99), 0);
    check_value(r#"{"float_value":3}"#, double(3.0), 0);
    check_value(r#"{"double_value":0.1}"#, double(0.1), 0);
    check_value(r#"{"double_value":-0.0}"#, double(-0.0), 0);
    check_value(r#"{"double_value":1e3}"#, double(1000.0), 0);
}

#[test]
fn numbers_are_never_changed_silently() {
    check_value("9007199254740993", int(9_007_199_254_740_993), 0);
    check_value(
        r#"{"float_value":9007199254740993}"#,
        int(9_007_199_254_740_993),
        1,
    );
    for beyond in ["18446744073709551616", "1e999", "-1e999", "1e-999"] {
        check_value(beyond, string(beyond), 1);
        check_value(&format!(r#"{{"int_value":{beyond}}}"#), string(beyond), 1);
        check_value(&format!(r#"{{"float_value":{beyond}}}"#), string(beyond), 1);
        check_value(
            &format!(r#"{{"double_value":"{beyond}"}}"#),
            string(beyond),
            1,
        );
    }
    check_value("9223372036854775808", string("9223372036854775808"), 1);
    check_value("-0.0", double(-0.0), 0);
    let negative_zero = with(r#""event_params":{"z":-0.0}"#).event_params[0]
        .value
        .clone()
        .unwrap();
    assert!(negative_zero.double_value.unwrap().is_sign_negative());
}

#[test]
fn the_order_of_members_means_nothing() {
    check_value(r#"{"other":[{}],"int_value":3}"#, int(3), 1);
    check_value(r#"{"int_value":3,"other":[{}]}"#, int(3), 1);
    let nested = r#"{"currency":"EUR","value":5}"#;
    check_value(nested, string(nested), 1);
    check_fault(
        r#""event_params":{"p":{"other":{},"string_value":{}}}"#,
        "event_params.p.string_value",
    );
}

#[test]
fn a_number_is_the_same_however_it_is_written() {
    for price in [
        "1e20",
        "100000000000000000000",
        r#""100000000000000000000""#,
    ] {
        let items = with(&format!(r#""items":[{{"price":{price}}}]"#)).items;
        assert_eq!(items[0].price, Some(1e20), "{price}");
    }
}

#[test]
fn bare_values_go_where_ga4_puts_them() {
    check_value("5", int(5), 0);
    check_value("5.0", int(5), 0);
    check_value("1e3", int(1000), 0);
    check_value("5.5", double(5.5), 0);
    check_value(r#""x""#, string("x"), 0);
    check_value(r#""5""#, string("5"), 0);
    check_value("true", string("true"), 0);
    check_value("[1, 2]", string("[1, 2]"), 1);
    check_value(r#"{"a": {"b": 1}}"#, string(r#"{"a": {"b": 1}}"#), 1);
    check_value("{}", Value::default(), 0);
}

#[test]
fn several_slots_at_once_are_kept() {
    let all = Value {
        string_value: Some("x".to_owned()),
        int_value: Some(1),
        float_value: Some(1.5),
        double_value: Some(2.5),
    };
    check_value(
        r#"{"string_value":"x","int_value":1,"float_value":1.5,"double_value":2.5}"#,
        all,
        0,
    );
    let three = Value {
        string_value: Some("x".to_owned()),
        int_value: Some(1),
        ..double(1.5)
    };
    check_value(
        r#"{"float_value":1.5,"string_value":"x","int_value":1}"#,
        three,
        0,
    );
}

#[test]
fn params_may_be_an_object_of_names_and_values() {
    let event = with(
        r#""event_params":{"page_location":"https://a.test","n":5,"d":{"double_value":1.5},"n":6},
        "user_properties":{"tier":{"value":"gold","timestamp_micros":7},"age":{"int_value":3,"set_timestamp_micros":8}}"#,
    );
    let expected = [
        param("page_location", string("https://a.test")),
        param("d", double(1.5)),
        param("n", int(6)),
    ];
    assert_eq!(event.event_params, expected);
    let [tier, age] = event.user_properties.try_into().unwrap();
    let (tier, age) = (tier.value.unwrap(), age.value.unwrap());
    assert_eq!(
        (tier.string_value.as_deref(), tier.set_timestamp_micros),
        (Some("gold"), Some(7))
    );
    assert_eq!(
        (age.int_value, age.set_timestamp_micros),
        (Some(3), Some(8))
    );
}

#[test]
fn texts_take_numbers_and_booleans() {
    let event = with(r#""user_id":5,"event_id":17,"app_info":{"version":1.10,"id":true}"#);
    assert_eq!(event.user_id.as_deref(), Some("5"));
    assert_eq!(event.event_id.as_deref(), Some("17"));
    let app_info = event.app_info.unwrap();
    assert_eq!(app_info.version.as_deref(), Some("1.10"));
    assert_eq!(app_info.id.as_deref(), Some("true"));
}

#[test]
fn unknown_fields_are_listed_and_known_ones_of_no_use_are_not() {
    let event = with(
        r#""foo":{"a":[1,{"b":"]}"}]},"privacy_info":{"foo":1},"app_info":{"bar":2},"ecommerce":{"baz":3},
        "event_params":[{"key":"k","value":{"int_value":1,"slot":1},"extra":2}],"__proto__":{"admin":true}"#,
    );
    let expected = [
        "privacy_info.foo",
        "app_info.bar",
        "ecommerce.baz",
        "event_params[0].value.slot",
        "event_params[0].extra",
        "foo",
        "__proto__",
    ]
    .map(|path| format!("unknown field {path} was ignored"));
    assert_eq!(warnings(&event), expected);

    let event = with(
        r#""v":2,"_dcid_temp":"x","common_cookie":{"_fbp":"1"},"x-ga-page_id":1,"protocol_version":2"#,
    );
    assert!(warnings(&event).is_empty());
}

#[test]
fn warnings_are_bounded_and_never_hold_a_value() {
    let fields: Vec<String> = (0..100)
        .map(|n| format!(r#""f{n}{}":"secret""#, "x".repeat(300)))
        .collect();
    let event = with(&fields.join(","));
    assert_eq!(warnings(&event).len(), MAX_WARNINGS);
    for warning in warnings(&event) {
        assert!(
            warning.len() < 140 && !warning.contains("secret"),
            "{warning}"
        );
    }
    let event = with(r#""a\u0000\u001bb":1"#);
    assert_eq!(warnings(&event), ["unknown field ab was ignored"]);
}

#[test]
fn consent_is_read_in_all_its_spellings() {
    for (spelling, expected) in [
        ("true", Some(true)),
        ("false", Some(false)),
        ("1", Some(true)),
        ("0", Some(false)),
        (r#""granted""#, Some(true)),
        (r#""DENIED""#, Some(false)),
        (r#""Yes""#, Some(true)),
        (r#""No""#, Some(false)),
        (r#""true""#, Some(true)),
        (r#""0""#, Some(false)),
        ("null", None),
        (r#""Unset""#, None),
        (r#""""#, None),
    ] {
        let event = with(&format!(
            r#""privacy_info":{{"ad_storage":{spelling},"security_storage":{spelling}}}"#
        ));
        let consent = event.collector.clone().unwrap().consent.unwrap();
        assert_eq!(
            (consent.ad_storage, consent.security_storage),
            (expected, expected),
            "{spelling}"
        );
        let text = expected.map_or("Unset", |state| if state { "Yes" } else { "No" });
        let privacy_info = event.privacy_info.clone().unwrap();
        assert_eq!(
            privacy_info.ads_storage.as_deref(),
            Some(text),
            "{spelling}"
        );
        assert_eq!(
            privacy_info.analytics_storage.as_deref(),
            Some("Unset"),
            "{spelling}"
        );
        assert_eq!(
            privacy_info.uses_transient_token.as_deref(),
            Some("No"),
            "{spelling}"
        );
        assert!(warnings(&event).is_empty(), "{spelling}");
    }
    let event =
        with(r#""privacy_info":{"ad_storage":"maybe","analytics_storage":2,"ad_user_data":[]}"#);
    assert_eq!(
        event.collector.as_ref().unwrap().consent,
        Some(Consent::default())
    );
    assert_eq!(warnings(&event).len(), 3);
}

#[test]
fn privacy_info_is_null_only_if_nothing_was_sent() {
    assert_eq!(with(r#""privacy_info":null"#).privacy_info, None);
    let unset = PrivacyInfo {
        analytics_storage: Some("Unset".to_owned()),
        ads_storage: Some("Unset".to_owned()),
        uses_transient_token: Some("No".to_owned()),
    };
    assert_eq!(with(r#""privacy_info":{}"#).privacy_info, Some(unset));
    assert_eq!(
        with(r#""consent_state":{"ad_storage":true}"#)
            .privacy_info
            .unwrap()
            .ads_storage
            .as_deref(),
        Some("Yes")
    );
}

#[test]
fn flat_ecommerce_becomes_columns_and_params() {
    let event = with(
        r#""event_params":{"currency":"EUR"},"ecommerce":{"transaction_id":12,"value":99.99,"currency":"USD","coupon":"C",
        "payment_type":"card","shipping_tier":"fast","item_list_id":"l","item_list_name":"L","promotion_id":"p",
        "promotion_name":"P","creative_name":"n","creative_slot":"s","tax":5,"shipping":"4.5","total_item_quantity":7}"#,
    );
    let expected = Ecommerce {
        transaction_id: Some("12".to_owned()),
        total_item_quantity: Some(7),
        tax_value: Some(5.0),
        shipping_value: Some(4.5),
        ..Ecommerce::default()
    };
    assert_eq!(event.ecommerce, Some(expected));
    let params = [
        ("currency", string("EUR")),
        ("value", double(99.99)),
        ("coupon", string("C")),
        ("payment_type", string("card")),
        ("shipping_tier", string("fast")),
        ("item_list_id", string("l")),
        ("item_list_name", string("L")),
        ("promotion_id", string("p")),
        ("promotion_name", string("P")),
        ("creative_name", string("n")),
        ("creative_slot", string("s")),
        ("tax", double(5.0)),
        ("shipping", double(4.5)),
    ];
    assert_eq!(
        event.event_params,
        params.map(|(key, value)| param(key, value))
    );
}

#[test]
fn ga4s_own_names_of_totals_are_taken() {
    let event = with(
        r#""ecommerce":{"purchase_revenue":1.5,"refund_value":"2.5","tax_value":3,"shipping_value":4,"unique_items":5,
        "purchase_revenue_in_usd":6,"items":[{"item_id":"a"}]}"#,
    );
    let expected = Ecommerce {
        purchase_revenue: Some(1.5),
        refund_value: Some(2.5),
        tax_value: Some(3.0),
        shipping_value: Some(4.0),
        unique_items: Some(5),
        purchase_revenue_in_usd: Some(6.0),
        ..Ecommerce::default()
    };
    assert_eq!(event.ecommerce, Some(expected));
    assert_eq!(event.items.len(), 1);
}

#[test]
fn items_keep_what_ga4_has_no_column_for() {
    let event = with(
        r#""items":[{"item_id":5,"item_name":"N","price":"19.99","quantity":"2","index":3,"discount":1.5,"size":"XL",
        "stock":7,"size":"L","nested":{"a":1},"gone":null,"item_params":[{"key":"own","value":1}]}]"#,
    );
    let expected = Item {
        item_id: Some("5".to_owned()),
        item_name: Some("N".to_owned()),
        price: Some(19.99),
        quantity: Some(2),
        item_list_index: Some("3".to_owned()),
        item_params: vec![
            param("own", int(1)),
            param("discount", double(1.5)),
            param("stock", int(7)),
            param("size", string("L")),
            param("nested", string(r#"{"a":1}"#)),
        ],
        ..Item::default()
    };
    assert_eq!(event.items, [expected]);
}

#[test]
fn wrong_values_are_faults_that_name_their_path() {
    check_fault(r#""event_params":"x""#, "event_params");
    check_fault(
        r#""event_params":[{"key":"a","value":1},5]"#,
        "event_params[1]",
    );
    check_fault(
        r#""event_params":[{"key":{},"value":1}]"#,
        "event_params[0].key",
    );
    check_fault(r#""event_params":[0]"#, "event_params[0]");
    check_fault(
        r#""event_params":[{"key":"a","value":{"int_value":"abc"}}]"#,
        "event_params[0].value.int_value",
    );
    check_fault(
        r#""event_params":{"a":{"float_value":[]}}"#,
        "event_params.a.float_value",
    );
    check_fault(
        r#""event_params":[{"value":{"double_value":"NaN"}}]"#,
        "event_params[0].value.double_value",
    );
    check_fault(
        r#""event_params":[{"value":{"string_value":{}}}]"#,
        "event_params[0].value.string_value",
    );
    check_fault(r#""items":{}"#, "items");
    check_fault(
        r#""items":[{"quantity":1},{"quantity":1.5}]"#,
        "items[1].quantity",
    );
    check_fault(r#""items":[{"price":"abc"}]"#, "items[0].price");
    check_fault(r#""items":[{"price":"31,99"}]"#, "items[0].price");
    check_fault(r#""items":[{"price":"inf"}]"#, "items[0].price");
    check_fault(r#""items":[{"price":1e999}]"#, "items[0].price");
    check_fault(r#""items":[{"price":1e-999}]"#, "items[0].price");
    check_fault(r#""items":["x"]"#, "items[0]");
    check_fault(r#""privacy_info":[]"#, "privacy_info");
    check_fault(r#""ecommerce":5"#, "ecommerce");
    check_fault(
        r#""ecommerce":{"total_item_quantity":9223372036854775808}"#,
        "ecommerce.total_item_quantity",
    );
    check_fault(r#""user_id":{"a":1}"#, "user_id");
    check_fault(r#""app_info":true"#, "app_info");
    check_fault(r#""batch_page_id":"x""#, "batch_page_id");
    check_fault(&format!(r#""event_id":"{}""#, "x".repeat(513)), "event_id");
    for body in [
        r"{}",
        r#"{"event_name":null}"#,
        r#"{"event_name":""}"#,
        r#"{"event_name":"  "}"#,
        r#"{"event_name":{}}"#,
    ] {
        assert_eq!(one(body).unwrap_err().path, "event_name", "{body}");
    }
    let fault = one(r#"{"event_name":"e","items":[{"price":"my secret"}]}"#).unwrap_err();
    assert!(!fault.to_string().contains("secret"));
}

#[test]
fn event_ids_are_told_from_absent_ones() {
    let given = |rest: &str| {
        one(&format!(r#"{{"event_name":"e",{rest}}}"#))
            .unwrap()
            .event_id_given
    };
    assert!(given(r#""event_id":"a""#));
    assert!(given(r#""event_id":0"#));
    assert!(given(&format!(r#""event_id":"{}""#, "x".repeat(512))));
    assert!(!given(r#""event_id":"""#));
    assert!(!given(r#""event_id":null"#));
}

#[test]
fn the_clients_times_are_taken_as_microseconds_or_not_at_all() {
    let parsed = one(r#"{"event_name":"e","event_timestamp":1,"timestamp_micros":"2","event_previous_timestamp":3}"#).unwrap();
    assert_eq!(parsed.client_timestamp, Some(Micros(2)));
    assert_eq!(parsed.event.event_previous_timestamp, Some(3));
    assert_eq!(parsed.event.event_timestamp, None);
    let parsed = one(r#"{"event_name":"e","event_timestamp":1}"#).unwrap();
    assert_eq!(parsed.client_timestamp, Some(Micros(1)));
    for wrong in [
        r#""now""#,
        r#""2026-02-30""#,
        "1.5",
        "18446744073709551616",
        "{}",
        "[1]",
    ] {
        let parsed = one(&format!(
            r#"{{"event_name":"e","timestamp_micros":{wrong}}}"#
        ))
        .unwrap();
        assert_eq!(parsed.client_timestamp, None, "{wrong}");
        assert_eq!(warnings(&parsed.event).len(), 1, "{wrong}");
    }
}

#[test]
fn batch_ids_and_what_else_the_client_knows_are_taken() {
    let event = with(
        r#""batch_page_id":1,"batch_ordering_id":"2","batch_event_index":3,"is_active_user":true,
        "user_first_touch_timestamp":4,"user_ltv":{"revenue":5.5,"currency":"EUR"},"page_title":"T""#,
    );
    assert_eq!(
        (
            event.batch_page_id,
            event.batch_ordering_id,
            event.batch_event_index
        ),
        (Some(1), Some(2), Some(3))
    );
    assert_eq!(
        (event.is_active_user, event.user_first_touch_timestamp),
        (Some(true), Some(4))
    );
    assert_eq!(event.user_ltv.unwrap().revenue, Some(5.5));
    assert_eq!(event.event_params, [param("page_title", string("T"))]);
}

#[test]
fn a_bad_element_of_an_array_costs_only_itself() {
    let body = br#"[{"event_name":"a"},5,null,{"event_name":"b","y":1,"items":{"x":[1]},"z":1},"{\"event_name\":\"s\"}",{"event_name":"c","foo":1}]"#;
    let Ok(Payloads::Many(elements)) = parse(body) else {
        panic!("an array")
    };
    let names: Vec<_> = elements
        .iter()
        .map(|element| element.as_ref().ok()?.event.event_name.as_deref())
        .collect();
    assert_eq!(names, [Some("a"), None, None, None, None, Some("c")]);
    let last = elements.last().unwrap().as_ref().unwrap();
    assert_eq!(last.event.batch_event_index, Some(6));
    assert_eq!(warnings(&last.event), ["unknown field foo was ignored"]);
    assert_eq!(elements[3].as_ref().unwrap_err().path, "items");
}

#[test]
fn a_request_holds_a_bounded_number_of_events() {
    let body = |events: usize| format!("[{}]", vec!["0"; events].join(","));
    assert!(
        matches!(parse(body(MAX_EVENTS).as_bytes()), Ok(Payloads::Many(all)) if all.len() == MAX_EVENTS)
    );
    check_malformed(body(MAX_EVENTS + 1).as_bytes());
    assert!(matches!(parse(b"[]"), Ok(Payloads::Many(none)) if none.is_empty()));
}

#[test]
fn broken_json_is_malformed() {
    for body in [
        "",
        " ",
        "null",
        "5",
        "true",
        "\"x\"",
        r#""{\"event_name\":\"e\"}""#,
        "{",
        "[",
        "[{}",
        "{}}",
        r#"{"a":1,}"#,
        "[1,]",
        r#"{"event_name":"e"}{}"#,
        r#"{"event_name":"e"} x"#,
        r#"{"a" 1}"#,
        "{a:1}",
        "{'a':1}",
        r#"{"a":NaN}"#,
        r#"{"a":Infinity}"#,
        r#"{"a":01}"#,
        r#"{"a":+1}"#,
        r#"{"a":1.}"#,
        r#"{"a":.5}"#,
        r#"{"a":1e}"#,
        r#"{"a":"\x"}"#,
        r#"{"a":"\u12"}"#,
        r#"{"a":"\u12g4"}"#,
        "{\"a\":\"\n\"}",
        "{\"a\":\"",
        "{\"a\":\"\\",
        "{\"a\":tru}",
        "[,1]",
        "[1 2]",
        "{\"event_name\":\"e\"}\n{\"event_name\":\"f\"}",
        "{,}",
        r#"{"a":1 "b":2}"#,
        "//x\n{}",
    ] {
        check_malformed(body.as_bytes());
    }
    check_malformed(b"{\"name\":\"\xc3\x28\"}");
    check_malformed(b"\xff\xfe{\0}\0");
    check_malformed(&b"[".repeat(100_000));
    check_malformed(format!("{}1{}", r#"{"a":"#.repeat(5000), "}".repeat(5000)).as_bytes());
    assert!(
        parse(br#"{"event_name":"e","items":5,"x":}"#).is_err(),
        "broken behind a wrong field"
    );
}

#[test]
fn a_byte_order_mark_and_white_space_are_skipped() {
    let body = b"\xEF\xBB\xBF \t\r\n{ \"event_name\" : \"e\" , \"event_params\" : [ ] } \n";
    assert!(matches!(parse(body), Ok(Payloads::One(Ok(_)))));
}

#[test]
fn of_duplicate_keys_the_last_counts() {
    let event = with(
        r#""event_id":"a","event_id":"b","event_params":{"a":1},"event_params":{"b":2},"user_id":"x","user_id":null"#,
    );
    assert_eq!(event.event_id.as_deref(), Some("b"));
    assert_eq!(event.event_params, [param("b", int(2))]);
    assert_eq!(event.user_id, None);
}

#[test]
fn escapes_are_resolved_and_half_pairs_replaced() {
    check_value(
        r#""\"\\\/\b\f\n\r\t\u0041\u00e9\ud83e\uddc0\u0000""#,
        string("\"\\/\u{8}\u{c}\n\r\tAé🧀\0"),
        0,
    );
    check_value(r#""a\ud800b""#, string("a\u{fffd}b"), 1);
    check_value(
        r#""\udc00\ud800\u0041\ud800\ud800\udc00""#,
        string("\u{fffd}\u{fffd}A\u{fffd}\u{10000}"),
        1,
    );
    let event = with(r#""event\u005fparams":{"\u006b":1}"#);
    assert_eq!(event.event_params, [param("k", int(1))]);
}

/// Whether the reader takes a text, as `serde_json` would be asked.
fn accepts(text: &str) -> bool {
    let mut reader = Reader::new(text);
    reader.skip().is_ok() && reader.finish().is_ok()
}

fn read(text: &str) -> Option<Scalar<'_>> {
    Reader::new(text).scalar().ok()
}

proptest! {
    #[test]
    fn it_accepts_what_serde_json_accepts(text in r#"[\[\]{},:"\\ tfn0-9eE.+u\-atruefalsnul]{0,24}"#) {
        let expected = serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok();
        prop_assert_eq!(accepts(&text), expected, "{}", text);
    }

    #[test]
    fn it_reads_texts_as_serde_json_does(text in "\\PC*", raw in r#"([a-z\\"/ ]|\\n|\\u[0-9a-fA-F]{4})*"#) {
        let json = Json::String(text.clone()).to_string();
        prop_assert_eq!(read(&json), Some(Scalar::Text(text.into())));
        let json = format!("\"{raw}\"");
        if let Ok(text) = serde_json::from_str::<String>(&json) {
            prop_assert_eq!(read(&json), Some(Scalar::Text(text.into())));
        }
    }

    #[test]
    fn no_body_makes_it_panic(body in proptest::collection::vec(any::<u8>(), 0..200)) {
        let text = std::str::from_utf8(&body);
        prop_assert!(text.is_ok() || parse(&body).is_err());
    }

    #[test]
    fn no_damage_to_an_event_makes_it_panic(at in 0..TYPICAL.len(), byte in any::<u8>(), cut in 0..TYPICAL.len()) {
        let mut body = TYPICAL.as_bytes().to_vec();
        body[at] = byte;
        let damaged = parse(&body);
        if damaged.is_ok() {
            prop_assert!(serde_json::from_slice::<serde::de::IgnoredAny>(&body).is_ok());
        }
        prop_assert!(parse(&TYPICAL.as_bytes()[..cut]).is_err());
    }
}

const TYPICAL: &str = include_str!("../../../../tests/fixtures/typical.json");

#[test]
fn in_the_flat_form_of_the_tag_what_nobody_knows_is_a_parameter() {
    let flat = one(
        r#"{"page_location":"https://a.test/","event_name":"x","v":2,"item_id":"SKU1","price":19.99,
            "quantity":3,"flag":true,"user_data":{"city":"Köln"},"none":null,"common_cookie":{"_fbp":"f"}}"#,
    )
    .unwrap();
    let params: Vec<_> = flat
        .event
        .event_params
        .iter()
        .map(|param| {
            let value = param.value.clone().unwrap();
            let number = value
                .int_value
                .map(|whole| whole as f64)
                .or(value.double_value);
            let text = value
                .string_value
                .or(number.map(|number| number.to_string()));
            (param.key.clone().unwrap(), text.unwrap())
        })
        .collect();
    let expected = [
        ("page_location", "https://a.test/"),
        ("item_id", "SKU1"),
        ("price", "19.99"),
        ("quantity", "3"),
        ("flag", "true"),
        ("user_data", r#"{"city":"Köln"}"#),
    ];
    assert_eq!(
        params,
        expected.map(|(key, text)| (key.to_owned(), text.to_owned()))
    );

    for not_flat in [
        r#"{"event_name":"x","foo":1}"#,
        r#"{"event_name":"x","foo":1,"v":2,"event_params":null}"#,
        r#"{"event_name":"x","event_params":[],"foo":1,"page_title":"t"}"#,
    ] {
        let event = one(not_flat).unwrap().event;
        let keys: Vec<_> = event
            .event_params
            .iter()
            .map(|param| param.key.as_deref())
            .collect();
        assert!(!keys.contains(&Some("foo")), "{not_flat}");
        assert_eq!(
            event.collector.unwrap().warnings,
            ["unknown field foo was ignored"],
            "{not_flat}"
        );
    }
}

#[test]
fn the_first_client_id_of_a_request_counts() {
    let of = |body: &str| parse(body.as_bytes()).unwrap().client_id();
    assert_eq!(
        of(r#"{"event_name":"e","client_id":7}"#).as_deref(),
        Some("7")
    );
    let body = r#"[{"client_id":"unread"},{"event_name":"e"},{"event_name":"e","client_id":"a"},{"event_name":"e","client_id":"b"}]"#;
    assert_eq!(of(body).as_deref(), Some("a"));
    assert_eq!(of(r#"{"event_name":"e","client_id":null}"#), None);
    let parsed = one(r#"{"event_name":"e","v":2,"client_id":"a"}"#).unwrap();
    assert_eq!(parsed.event.event_params, []);
}
