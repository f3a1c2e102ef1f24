//! Client hints in the payload: an object `client_hints` as `navigator.userAgentData.getHighEntropyValues()` gives it, or members named as the
//! headers or as GA4's parameters (`uaa`, `uafvl` …). What makes no sense is as if it were not there.

use serde_json::Value;

use crate::enrich::ClientHints;

/// Members that hold all hints.
pub(super) const OBJECTS: [&str; 3] = ["client_hints", "user_agent_data", "userAgentData"];

/// Whether a member of the event is a hint.
pub(super) fn is_hint(name: &str) -> bool {
    let is_ga4 = matches!(
        name,
        "uaa" | "uab" | "uafvl" | "uamb" | "uam" | "uap" | "uapv"
    );
    let start = name.as_bytes().get(..9).unwrap_or_default();
    let is_header = is_prefix(start);
    is_ga4 || is_header
}

/// Whether this is how the headers begin; underscores are taken for hyphens.
fn is_prefix(start: &[u8]) -> bool {
    const PREFIX: &[u8] = b"sec-ch-ua";
    let is_same = |(byte, expected): (&u8, &u8)| {
        byte.eq_ignore_ascii_case(expected) || (*byte == b'_' && *expected == b'-')
    };
    start.len() == PREFIX.len() && start.iter().zip(PREFIX).all(is_same)
}

/// Takes an object of hints.
pub(super) fn take_all(hints: &mut ClientHints, json: &str) {
    if let Ok(Value::Object(members)) = serde_json::from_str(json) {
        for (name, value) in &members {
            take_value(hints, name, value);
        }
    }
}

/// Takes one hint.
pub(super) fn take(hints: &mut ClientHints, name: &str, json: &str) {
    if let Ok(value) = serde_json::from_str(json) {
        take_value(hints, name, &value);
    }
}

fn take_value(hints: &mut ClientHints, name: &str, value: &Value) {
    match value {
        Value::String(text) => drop(hints.take(name, text)),
        Value::Bool(flag) => drop(hints.take(name, if *flag { "1" } else { "0" })),
        Value::Number(number) => drop(hints.take(name, &number.to_string())),
        Value::Array(items) => {
            let brands = items.iter().filter_map(|item| {
                let text = |name: &str| item.get(name)?.as_str();
                Some((text("brand")?, text("version")?))
            });
            match name {
                "brands" => hints.take_brands(false, brands),
                "fullVersionList" => hints.take_brands(true, brands),
                "formFactors" | "formFactor" => {
                    hints.take_form_factors(items.iter().filter_map(Value::as_str))
                }
                _ => {}
            }
        }
        Value::Null | Value::Object(_) => {}
    }
}
