//! B27–B36: bodies that are no JSON, too much of it, or numbers that do not fit.

use serde_json::{Value, json};

use super::{Case, event, param, refused, request, taken};

const VALUE: &str = "/event_params/0/value";
const TEXT: &str = "/event_params/0/value/string_value";
const INT: &str = "/event_params/0/value/int_value";
const DOUBLE: &str = "/event_params/0/value/double_value";

fn nested(depth: usize) -> String {
    format!("{}1{}", r#"{"a":"#.repeat(depth), "}".repeat(depth))
}

pub(super) fn cases() -> Vec<Case> {
    let utf16: Vec<u8> = event("B31", "")
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    let mut invalid = event("B32", r#","page_title":"??""#).into_bytes();
    let at = invalid.windows(2).position(|bytes| bytes == b"??").unwrap();
    invalid[at..at + 2].copy_from_slice(b"\xc3\x28");
    let lines = |id: &str| format!("{}\n{{\"event_name\":\n{}", event(id, ""), event(id, ""));
    let keys = |count: usize| -> String { (0..count).map(|n| format!(r#","k{n}":1"#)).collect() };
    let events = |id: &str, count: usize| format!("[{}]", vec![event(id, ""); count].join(","));
    let long_key = format!(r#","{}":1"#, "k".repeat(1 << 20));
    let mut cases = vec![
        refused(
            "B27",
            "100,000 opening brackets",
            &[400],
            request("[".repeat(100_000)),
        ),
        refused("B27b", "objects 5,000 deep", &[400], request(nested(5_000))),
        refused(
            "B27c",
            "a parameter 129 deep",
            &[400],
            request(param("B27c", &nested(129))),
        ),
        taken(
            "B27d",
            "a parameter 128 deep",
            request(param("B27d", &nested(128))),
        )
        .with(TEXT, json!(nested(128))),
        refused(
            "B27e",
            "a parameter 600 deep",
            &[400],
            request(param("B27e", &nested(600))),
        ),
        refused("B28", "nothing", &[400], request("")),
        refused("B28b", "null", &[400], request("null")),
        refused("B28c", "{}", &[422], request("{}")),
        refused("B28d", "a text", &[400], request(r#""\ud800""#)),
        refused("B28e", "a number", &[400], request("1")),
        refused(
            "B28f",
            "[null, 1, [], \"a\"]",
            &[422],
            request(r#"[null,1,[],"a"]"#),
        ),
        taken(
            "B29",
            "a byte order mark before it",
            request([b"\xef\xbb\xbf", event("B29", "").as_bytes()].concat()),
        ),
        refused(
            "B29b",
            "a byte order mark and {}",
            &[422],
            request(b"\xef\xbb\xbf{}"),
        ),
        refused("B31", "UTF-16", &[400], request(utf16)),
        refused("B32", "invalid UTF-8", &[400], request(invalid)),
        taken(
            "B32b",
            "half a surrogate pair",
            request(param("B32b", r#""a\ud800b""#)),
        )
        .with(TEXT, json!("a\u{fffd}b"))
        .with(
            "/collector/warnings/0",
            json!("half of a surrogate pair was replaced by U+FFFD"),
        ),
        taken(
            "B32c",
            "U+0000 in a text",
            request(param("B32c", r#""a\u0000b""#)),
        )
        .with(TEXT, json!("a\0b")),
        refused(
            "B32d",
            "a bare control character in a text",
            &[400],
            request(param("B32d", "\"a\0b\"")),
        ),
        taken("B33", "a key twice: the last counts", {
            request(event("B33", r#","event_id":"a","event_id":"b""#))
        })
        .with("/event_id", json!("b")),
        taken(
            "B33b",
            "an unknown key of 1 MB",
            request(event("B33b", &long_key)),
        )
        .with(
            "/collector/warnings/0",
            json!(format!("unknown field {} was ignored", "k".repeat(100))),
        ),
        taken(
            "B33c",
            "100,000 unknown keys",
            request(event("B33c", &keys(100_000))),
        ),
        taken("B33d", "a parameter whose key has 1 MB", {
            request(event(
                "B33d",
                &format!(r#","event_params":{{{}}}"#, &long_key[1..]),
            ))
        }),
        refused(
            "B34",
            "a comma too many",
            &[400],
            request(event("B34", ",")),
        ),
        refused("B34b", "two objects", &[400], request(r#"{"a":1}{"b":2}"#)),
        refused(
            "B34c",
            "something behind it",
            &[400],
            request(format!("{} x", event("B34c", ""))),
        ),
        refused(
            "B34d",
            "lines of JSON, one of them broken",
            &[400],
            request(lines("B34d")),
        ),
        refused("B34e", "NaN", &[400], request(param("B34e", "NaN"))),
        refused(
            "B34f",
            "a number with a leading zero",
            &[400],
            request(param("B34f", "01")),
        ),
        refused(
            "B35",
            "an array of 100,000 events",
            &[400],
            request(format!(
                "[{}]",
                vec![r#"{"event_name":"a"}"#; 100_000].join(",")
            )),
        ),
        taken(
            "B35b",
            "an array of 2,000 events",
            request(events("B35b", 2_000)),
        )
        .rows(2_000),
        refused("B35c", "broken JSON between two good events", &[400], {
            request(format!(
                r#"[{0},{{"event_name":1e}},{0}]"#,
                event("B35c", "")
            ))
        }),
        taken("B36", "names of JavaScript's own", {
            request(event(
                "B36",
                r#","event_params":{"__proto__":1,"constructor":2,"toString":3}"#,
            ))
        })
        .with("/event_params/0/key", json!("__proto__"))
        .with("/event_params/2/value/int_value", json!(3)),
        taken(
            "B36b",
            "an unknown field __proto__",
            request(event("B36b", r#","__proto__":{"admin":true}"#)),
        )
        .with(
            "/collector/warnings/0",
            json!("unknown field __proto__ was ignored"),
        ),
    ];
    // The good neighbours of a bad event are stored, if the whole is JSON.
    cases.push(Case {
        rows: 2,
        ..refused("B35d", "a wrong event between two good ones", &[422], {
            request(format!(
                r#"[{0},{{"event_name":""}},{0}]"#,
                event("B35d", "")
            ))
        })
    });
    for (id, what, number, pointer, expected) in [
        (
            "B35e",
            "2^53 + 1",
            "9007199254740993",
            INT,
            json!(9_007_199_254_740_993_i64),
        ),
        (
            "B35f",
            "2^63 - 1",
            "9223372036854775807",
            INT,
            json!(i64::MAX),
        ),
        (
            "B35g",
            "2^63",
            "9223372036854775808",
            TEXT,
            json!("9223372036854775808"),
        ),
        (
            "B35h",
            "2^64",
            "18446744073709551616",
            TEXT,
            json!("18446744073709551616"),
        ),
        ("B35i", "1e999", "1e999", TEXT, json!("1e999")),
        ("B35j", "-1e999", "-1e999", TEXT, json!("-1e999")),
        ("B35k", "1e-999", "1e-999", TEXT, json!("1e-999")),
        ("B35l", "-0.0", "-0.0", DOUBLE, json!(-0.0)),
        (
            "B35m",
            "0.1 + 0.2",
            "0.30000000000000004",
            DOUBLE,
            json!(0.300_000_000_000_000_04),
        ),
        ("B35n", "19.99", "19.99", DOUBLE, json!(19.99)),
        ("B35o", "-0", "-0", INT, json!(0)),
    ] {
        let in_slot = format!(r#"{{"float_value":{number}}}"#);
        let value = if id == "B35n" {
            in_slot.as_str()
        } else {
            number
        };
        cases.push(taken(id, what, request(param(id, value))).with(pointer, expected));
    }
    for (id, what, value, expected) in [
        (
            "B36c",
            "an array as value",
            "[1,[2]]",
            json!({"string_value": "[1,[2]]"}),
        ),
        (
            "B36d",
            "an object as value",
            r#"{"a":{"b":1}}"#,
            json!({"string_value": r#"{"a":{"b":1}}"#}),
        ),
        ("B36e", "null as value", "null", Value::Null),
        ("B36f", "an empty object as value", "{}", json!({})),
    ] {
        cases.push(taken(id, what, request(param(id, value))).with(VALUE, expected));
    }
    cases
}
