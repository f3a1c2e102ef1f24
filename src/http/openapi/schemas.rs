//! The schemas of requests and errors. What a payload shares with the row is taken from the row's columns.
//!
//! They say what is taken, not only what is best sent: whatever they allow is stored, whatever they forbid is refused.

use serde_json::{Map, Value, json};

use super::reference;
use crate::http::streaming::payload::{FLAT_PARAMS, MAX_EVENT_ID};
use crate::schema::{Column, ColumnKind, events};

/// All schemas by name.
pub(super) fn all() -> Value {
    json!({
        "Event": event(),
        "Params": {
            "description": "A list of keys and values, or an object of them",
            "anyOf": [
                {"type": "array", "items": reference("schemas", "Param")},
                {"type": "object", "additionalProperties": reference("schemas", "Value")},
                {"type": "null"},
            ],
        },
        "Param": {
            "type": ["object", "null"],
            "properties": {"key": reference("schemas", "Text"), "value": reference("schemas", "Value")},
        },
        "Value": {
            "description": "A value in the slot of its type, or bare. Lists, and objects of other members, are kept as JSON text",
            "anyOf": [
                {
                    "type": "object",
                    "properties": {
                        "string_value": reference("schemas", "Text"),
                        "int_value": slot(),
                        "float_value": slot(),
                        "double_value": slot(),
                        "set_timestamp_micros": reference("schemas", "Time"),
                    },
                },
                {"type": ["string", "number", "boolean", "array", "null"]},
            ],
        },
        "Consent": {
            "type": ["object", "string", "null"],
            "description": "`true`, `granted`, `yes` or `false`, `denied`, `no`; anything else counts as unset. As a text: `gcs`",
            "properties": consent(),
        },
        "Item": {
            "type": ["object", "null"],
            "description": "Members beyond these become `item_params`",
            "properties": item(),
            "additionalProperties": reference("schemas", "Value"),
        },
        "Text": {
            "type": ["string", "number", "boolean", "null"],
            "description": "A text; numbers and booleans become their text",
        },
        "Integer": {
            "description": "A whole number, also as text",
            "anyOf": [
                {"type": "integer", "minimum": i64::MIN, "maximum": i64::MAX},
                {"type": "string", "pattern": "^[ \\t\\r\\n]*([+-]?[0-9]{1,18})?[ \\t\\r\\n]*$"},
                {"type": ["boolean", "null"]},
            ],
        },
        "Number": {
            "description": "A number, also as text",
            "anyOf": [
                {"type": "number"},
                {"type": "string", "pattern": NUMBER},
                {"type": ["boolean", "null"]},
            ],
        },
        "Time": {
            "description": "Microseconds since 1970-01-01 UTC; anything else is ignored",
            "examples": [1_790_000_000_000_000_i64],
        },
        "Error": {
            "type": "object",
            "required": ["status", "code", "message", "details"],
            "properties": {
                "status": {"const": "error"},
                "code": {"type": "string", "description": "By which programs tell it", "examples": ["wrong_field"]},
                "message": {"type": "string"},
                "details": {"type": "array", "items": {
                    "type": "object",
                    "required": ["message"],
                    "properties": {
                        "index": {"type": "integer", "description": "Of the event in the array"},
                        "path": {"type": "string", "examples": ["items[0].price"]},
                        "message": {"type": "string"},
                    },
                }},
            },
        },
    })
}

/// A number as text; nothing but blanks counts as none.
const NUMBER: &str = "^[ \\t\\r\\n]*([+-]?([0-9]{1,18}([.][0-9]{0,18})?|[.][0-9]{1,18})([eE][+-]?[0-9]{1,2})?)?[ \\t\\r\\n]*$";

/// What a slot for numbers takes: one that is too large for 64 bits keeps its digits elsewhere.
fn slot() -> Value {
    json!({"anyOf": [{"type": "number"}, {"type": "string", "pattern": NUMBER}, {"type": ["boolean", "null"]}]})
}

fn event() -> Value {
    let columns = &events().columns;
    let object = |properties: Map<String, Value>| json!({"type": ["object", "null"], "properties": properties});
    let described = |schema: &str, description: &str| {
        let mut described = reference("schemas", schema);
        described["description"] = json!(description);
        described
    };
    let mut properties = Map::new();
    let mut add = |name: &str, schema: Value| properties.insert(name.to_owned(), schema);
    let not_blank = json!({"type": ["string", "number", "boolean"], "pattern": "\\S"});
    add("event_name", not_blank);
    add(
        "event_id",
        json!({
            "type": ["string", "number", "boolean", "null"], "maxLength": MAX_EVENT_ID,
            "description": "Events with the same stream_id, event_name and event_id are stored once. Counted in bytes",
        }),
    );
    add("event_params", reference("schemas", "Params"));
    add("user_id", described("Text", "Your own id of the user"));
    add(
        "client_id",
        described(
            "Text",
            "Your own id of the browser: who the visitor is where no cookie tells. The first one in an array counts",
        ),
    );
    add("user_properties", reference("schemas", "Params"));
    for name in ["privacy_info", "consent", "consent_state"] {
        add(name, reference("schemas", "Consent"));
    }
    for (name, description) in [
        (
            "gcs",
            "State of the consent mode, as Google's tags send it: `G111`",
        ),
        ("gcd", "How it came about, as Google's tags send it"),
        (
            "tcf",
            "Consent string of IAB's Transparency and Consent Framework; kept as it is",
        ),
        (
            "gpp",
            "String of IAB's Global Privacy Platform; kept as it is",
        ),
        ("gpp_sid", "Sections of that string that apply"),
        ("us_privacy", "US privacy string of IAB; kept as it is"),
    ] {
        // Anything else is ignored, with a warning.
        add(name, json!({"description": description}));
    }
    add("app_info", object(record(below(columns, "app_info"))));
    add("ecommerce", object(ecommerce()));
    let items = json!({"type": ["array", "null"], "items": reference("schemas", "Item")});
    add("items", items);
    for name in ["timestamp_micros", "event_timestamp"] {
        add(
            name,
            described(
                "Time",
                "Client's time, microseconds since 1970-01-01 UTC; counts within the last 72 hours",
            ),
        );
    }
    for name in ["event_previous_timestamp", "user_first_touch_timestamp"] {
        add(name, reference("schemas", "Time"));
    }
    add("user_ltv", object(record(below(columns, "user_ltv"))));
    add(
        "is_active_user",
        json!({"description": "Yes or no; anything else counts as unset"}),
    );
    for name in ["batch_event_index", "batch_page_id", "batch_ordering_id"] {
        add(name, reference("schemas", "Integer"));
    }
    for name in FLAT_PARAMS {
        add(
            name,
            described("Value", "Becomes the event parameter of this name"),
        );
    }
    json!({"type": "object", "required": ["event_name"], "properties": properties})
}

fn ecommerce() -> Map<String, Value> {
    let mut properties = record(below(&events().columns, "ecommerce"));
    for name in ["value", "tax", "shipping"] {
        properties.insert(name.to_owned(), reference("schemas", "Number"));
    }
    for name in [
        "currency",
        "coupon",
        "payment_type",
        "shipping_tier",
        "affiliation",
        "item_list_id",
        "item_list_name",
        "promotion_id",
        "promotion_name",
        "creative_name",
        "creative_slot",
    ] {
        properties.insert(name.to_owned(), reference("schemas", "Text"));
    }
    let items = json!({"type": ["array", "null"], "items": reference("schemas", "Item")});
    properties.insert("items".to_owned(), items);
    properties
}

fn item() -> Map<String, Value> {
    let mut properties = record(below(&events().columns, "items"));
    properties.insert("index".to_owned(), reference("schemas", "Text"));
    properties.insert("item_params".to_owned(), reference("schemas", "Params"));
    properties
}

fn consent() -> Map<String, Value> {
    let states = below(below(&events().columns, "collector"), "consent");
    let names = states.iter().map(|column| column.name.as_str());
    // What the browser says is in its headers.
    let is_sent = |name: &&str| !matches!(*name, "global_privacy_control" | "do_not_track");
    names
        .filter(is_sent)
        .chain(["ads_storage", "uses_transient_token"])
        .map(|name| (name.to_owned(), json!({"examples": ["granted", false]})))
        .collect()
}

/// The columns of a record.
fn below<'c>(columns: &'c [Column], name: &str) -> &'c [Column] {
    let record = columns.iter().find(|column| column.name == name);
    record.map_or(&[], |record| &record.children)
}

/// Members that are called and typed as these columns.
fn record(columns: &[Column]) -> Map<String, Value> {
    let mut properties = Map::new();
    for column in columns {
        let kind = match column.kind {
            ColumnKind::String => "Text",
            ColumnKind::Int64 => "Integer",
            ColumnKind::Double => "Number",
            _ => continue,
        };
        let mut property = reference("schemas", kind);
        property["description"] = json!(column.description);
        properties.insert(column.name.clone(), property);
    }
    properties
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::streaming::payload::{Parsed, Payloads, parse};

    fn parsed(body: &Value) -> Parsed {
        match parse(body.to_string().as_bytes()) {
            Ok(Payloads::One(Ok(parsed))) => parsed,
            other => panic!("{body}: {other:?}"),
        }
    }

    /// Calls `check` with a body that holds each member which the schema names, and the member's path.
    fn each_member(
        schema: &Value,
        path: &str,
        body: &dyn Fn(Value) -> Value,
        check: &mut impl FnMut(&str, &Value),
    ) {
        let all = all();
        let schema = match schema["$ref"].as_str() {
            Some(reference) => &all[reference.rsplit('/').next().unwrap()],
            None => schema,
        };
        if let Some(properties) = schema["properties"].as_object() {
            for (name, member) in properties {
                let path = format!("{path}.{name}");
                check(&path, &body(json!({name: null})));
                each_member(member, &path, &|value| body(json!({name: value})), check);
            }
        } else if schema["items"].is_object() {
            each_member(
                &schema["items"],
                &format!("{path}[]"),
                &|value| body(json!([value])),
                check,
            );
        } else if let Some(variants) = schema["anyOf"].as_array() {
            for variant in variants {
                each_member(variant, path, body, check);
            }
        } else {
            let value = match schema["type"].as_str() {
                Some("object") => json!({}),
                Some("array") => json!([]),
                Some("null") => Value::Null,
                _ => json!(1),
            };
            check(path, &body(value));
        }
    }

    #[test]
    fn every_member_that_is_named_is_known() {
        let mut paths = Vec::new();
        let whole = |mut value: Value| {
            if value["event_name"].is_null() {
                value["event_name"] = json!("e");
            }
            value
        };
        each_member(&event(), "", &whole, &mut |path, body| {
            let event = parsed(body).event;
            let warnings = event.collector.unwrap_or_default().warnings;
            let is_unknown = warnings.iter().any(|warning| warning.contains("unknown"));
            assert!(!is_unknown, "{body}: {warnings:?}");
            let is_other = event.items.iter().any(|item| !item.item_params.is_empty());
            assert!(
                !is_other || path.contains("item_params"),
                "{body}: became a parameter"
            );
            paths.push(path.to_owned());
        });
        for path in [
            ".event_params[].value.int_value",
            ".user_properties[].key",
            ".consent.ad_storage",
            ".app_info.install_store",
            ".ecommerce.purchase_revenue",
            ".ecommerce.items[].item_list_index",
            ".items[].item_category5",
            ".items[].item_params[].key",
            ".user_ltv.revenue",
            ".page_location",
        ] {
            assert!(
                paths.iter().any(|found| found == path),
                "{path} is not named: {paths:#?}"
            );
        }
    }

    #[test]
    fn a_member_that_nobody_knows_would_be_noticed() {
        let event = parsed(&json!({"event_name": "e", "ecommerce": {"nonsense": 1}})).event;
        let warnings = event.collector.unwrap_or_default().warnings;
        assert!(warnings[0].contains("unknown"), "{warnings:?}");
    }
}
