//! B37–B44: fields of an event that are absent, absurd, or meant for the table behind.

use serde_json::json;

use super::{Case, event, param, refused, request, taken};

const KEY: &str = "/event_params/0/key";

pub(super) fn cases() -> Vec<Case> {
    let long = "n".repeat(10 << 10);
    let named = |id: &str, name: &str| {
        let name = serde_json::to_string(name).unwrap();
        request(format!(r#"{{"event_name":{name},"user_id":"{id}"}}"#))
    };
    let keyed = |id: &str, key: &str| {
        let key = serde_json::to_string(key).unwrap();
        request(event(
            id,
            &format!(r#","event_params":[{{"key":{key},"value":{{"int_value":1}}}}]"#),
        ))
    };
    let params: String = (0..10_001).map(|n| format!(r#","p{n}":{n}"#)).collect();
    let same = |id: &str, title: &str| {
        event(
            id,
            &format!(r#","event_id":"same-{id}","page_title":"{title}""#),
        )
    };
    let mut cases = vec![
        taken("B37", "no event_id", request(event("B37", ""))),
        taken("B37b", "event_id null", request(event("B37b", r#","event_id":null"#))),
        refused("B37c", "an event_id of 1 MB", &[422], {
            request(event("B37c", &format!(r#","event_id":"{}""#, "i".repeat(1 << 20))))
        }),
        taken("B38", "the same event_id twice, with other content", {
            request(format!("[{},{}]", same("B38", "first"), same("B38", "second")))
        })
        .with("/event_params/0/value/string_value", json!("first")),
        refused("B39", "event_name empty", &[422], named("B39", "")),
        refused("B39b", "event_name blank", &[422], named("B39b", " \t")),
        refused("B39c", "event_name an object", &[422], request(r#"{"event_name":{},"user_id":"B39c"}"#)),
        taken("B40", "a name of 10 KiB", named("B40", &long)).with("/event_name", json!(long)),
        taken("B41", "10,001 parameters", {
            request(event("B41", &format!(r#","event_params":{{{}}}"#, &params[1..])))
        })
        .with("/event_params/10000/value/int_value", json!(10_000)),
        refused("B42", "event_params a text", &[422], request(event("B42", r#","event_params":"x""#))),
        refused("B42b", "items a number", &[422], request(event("B42b", r#","items":7"#))),
        refused("B42c", "a text in int_value", &[422], request(param("B42c", r#"{"int_value":"x"}"#))),
        taken("B43", "an entry of event_params that is null", {
            request(event("B43", r#","event_params":[null,{"key":"a","value":{"int_value":1}}]"#))
        })
        .with(KEY, json!("a")),
        taken("B44", "A and a", request(event("B44", r#","event_params":{"A":1,"a":2}"#)))
            .with("/event_params/1/value/int_value", json!(2)),
        taken("B44b", "a.b, and b in a", request(event("B44b", r#","event_params":{"a.b":1,"a":{"b":2}}"#)))
            .with("/event_params/1/value/string_value", json!(r#"{"b":2}"#)),
        taken("B44c", "unknown members named like columns of the destination", {
            request(event("B44c", r#","_CHANGE_TYPE":"DELETE","_PARTITIONTIME":1,"date":"2001-01-01","ip":"6.6.6.6""#))
        })
        .with("/ip", json!("127.0.0.1")),
    ];
    for (id, what, name) in [
        (
            "B40b",
            "a name from right to left, with marks",
            "\u{202e}שלום\u{2066}",
        ),
        ("B40c", "a name of emoji and joiners", "👩‍👩‍👧"),
        ("B40d", "a name like a path", "../../etc/passwd"),
        ("B40e", "a name with a zero byte and percents", "a\0%00"),
        ("B40f", "a name like markup", "\"><svg onload=alert(1)>"),
        (
            "B40g",
            "a name like a formula",
            "=HYPERLINK(\"http://e?\"&A1)",
        ),
        (
            "B40h",
            "a name with escapes of a terminal",
            "\u{1b}[2J\u{1b}]0;x\u{7}",
        ),
    ] {
        cases.push(taken(id, what, named(id, name)).with("/event_name", json!(name)));
    }
    for (id, what, key) in [
        ("B44d", "a key named like a pseudo column", "_CHANGE_TYPE"),
        ("B44e", "a key of 301 characters", &"x".repeat(301)),
        ("B44f", "an empty key", ""),
        ("B44g", "a key with a mark of direction", "col\u{202e}"),
        ("B44h", "a key of emoji", "🧀"),
        ("B44i", "a key like SQL", "'; DROP TABLE events; --"),
    ] {
        cases.push(taken(id, what, keyed(id, key)).with(KEY, json!(key)));
    }
    for (id, value, expected) in [
        ("B43b", "1", json!({"int_value": 1})),
        ("B43c", "\"s\"", json!({"string_value": "s"})),
        ("B43d", "{\"x\":1}", json!({"string_value": "{\"x\":1}"})),
        ("B43e", "[1]", json!({"string_value": "[1]"})),
    ] {
        let request = request(param(id, value));
        cases.push(
            taken(id, "a parameter that changes its type", request)
                .with("/event_params/0/value", expected),
        );
    }
    // A wrong clock never costs the event, and never makes a partition of its own.
    for (id, what, time) in [
        ("B39d", "the year 1, in µs", "-62135596800000000"),
        ("B39e", "the year 9999, in ms", "253402300800000"),
        ("B39f", "1969", "-1"),
        ("B39g", "seconds", "1795219200"),
        ("B39h", "milliseconds", "1795219200000"),
        ("B39i", "2^63 - 1", "9223372036854775807"),
        ("B39j", "now", "\"now\""),
        ("B39k", "30 February", "\"2026-02-30\""),
        ("B39l", "a leap second", "\"2026-06-30T23:59:60Z\""),
        (
            "B39m",
            "the last instant of 9999",
            "\"9999-12-31T23:59:59.999999999Z\"",
        ),
        ("B39n", "an object", "{\"a\":[1]}"),
        ("B39o", "1e400", "1e400"),
    ] {
        let request = request(event(id, &format!(r#","timestamp_micros":{time}"#)));
        cases.push(taken(id, what, request).at_receipt());
    }
    cases
}
