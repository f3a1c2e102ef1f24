//! Events that come as names and values: the query of a GET, and bodies of HTML forms.
//!
//! They are written as the JSON object that a tag would have posted, so that there is one way of reading
//! events. All values are texts, except that members which are objects or lists may come as their JSON.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use serde::{Serialize, Serializer};
use serde_json::value::{RawValue, to_raw_value};

use crate::http::Error;
use crate::http::senders::WRITE_KEY_MEMBER;

/// Members that may come as JSON.
const NESTED: [&str; 8] = [
    "event_params",
    "user_properties",
    "privacy_info",
    "consent",
    "consent_state",
    "app_info",
    "ecommerce",
    "items",
];

/// Whether these are names and values rather than JSON, whatever their content type says: clients put
/// forms' content type on JSON too.
pub(super) fn is_form(content_type: &str, body: &[u8]) -> bool {
    let first = body.iter().find(|byte| !byte.is_ascii_whitespace());
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    media_type.eq_ignore_ascii_case("application/x-www-form-urlencoded")
        && !matches!(first, None | Some(b'{' | b'[' | 0xEF))
}

/// The JSON of what a query or form says. The tag's GET mode puts all of it into `dtdc` (base64 of JSON)
/// or `dtcd` (JSON), all but the event's name.
///
/// # Errors
/// `dtdc` or `dtcd` hold something else.
pub(super) fn json(encoded: &[u8]) -> Result<String, Error> {
    let mut members = Members::default();
    let mut event = None;
    let mut whole = None;
    for (name, value) in form_urlencoded::parse(encoded) {
        match name.as_ref() {
            "dtdc" => whole = Some(text(&decode(&value)?)?),
            "dtcd" => whole = Some(value.into_owned()),
            "event" => event = Some(value),
            // For the collector, not of the event.
            WRITE_KEY_MEMBER | "validate" | "explain" => {}
            // Templates that do not support it write "[object Object]".
            nested if NESTED.contains(&nested) => {
                if let Ok(value) = RawValue::from_string(value.into_owned()) {
                    members.0.push((name, value));
                }
            }
            _ => members.text(name, &value),
        }
    }
    let has = |wanted: &str| members.0.iter().any(|(name, _)| name == wanted);
    let (has_name, has_version) = (has("event_name"), has("v"));
    if let Some(event) = event.filter(|_| !has_name) {
        members.text("event_name".into(), &event);
    }
    // By this member the tag's flat form is told.
    if !has_version {
        members.text("v".into(), "2");
    }
    match whole {
        Some(whole) => {
            let is_beside = |name: &str| matches!(name, "event_name" | "v");
            members.0.retain(|(name, _)| is_beside(name));
            Ok(joined(&members.json(), whole))
        }
        None => Ok(members.json()),
    }
}

/// The members of both objects; of those in both, the reader takes the latter's. What is no object stays.
fn joined(beside: &str, whole: String) -> String {
    let Some(members) = whole.trim_start().strip_prefix('{') else {
        return whole;
    };
    let is_empty = members.trim_start().starts_with('}');
    let comma = if is_empty { "" } else { "," };
    let beside = beside.strip_suffix('}').unwrap_or(beside);
    format!("{beside}{comma}{members}")
}

/// Members of an object, in order.
#[derive(Default)]
struct Members<'a>(Vec<(Cow<'a, str>, Box<RawValue>)>);

impl<'a> Members<'a> {
    fn text(&mut self, name: Cow<'a, str>, value: &str) {
        self.0
            .extend(to_raw_value(value).ok().map(|value| (name, value)));
    }

    /// Texts and checked JSON always serialise.
    fn json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

impl Serialize for Members<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

/// Base64 in either alphabet; a plus sign that a browser left as it was has become a space.
fn decode(value: &str) -> Result<Vec<u8>, Error> {
    let value: Cow<'_, str> = match value.contains(' ') {
        true => value.replace(' ', "+").into(),
        false => value.into(),
    };
    let value = value.trim_end_matches('=');
    STANDARD_NO_PAD
        .decode(value)
        .or_else(|_| URL_SAFE_NO_PAD.decode(value))
        .map_err(|_| Error::BadRequest("dtdc must be base64 of JSON".to_owned()))
}

fn text(bytes: &[u8]) -> Result<String, Error> {
    std::str::from_utf8(bytes)
        .map(str::to_owned)
        .map_err(|_| Error::BadRequest("dtdc must be base64 of JSON in UTF-8".to_owned()))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn parsed(encoded: &str) -> Value {
        serde_json::from_str(&json(encoded.as_bytes()).unwrap()).unwrap()
    }

    #[test]
    fn a_query_becomes_the_object_that_a_tag_posts() {
        assert_eq!(
            parsed(
                "event=page_view&page_title=A%20%26%20B&c=%E6%97%A5&c=x+y&consent_state=%5Bobject%20Object%5D&flag"
            ),
            json!({"event_name":"page_view","page_title":"A & B","c":"x y","flag":"","v":"2"})
        );
        assert_eq!(
            parsed("event_name=a&event=b&v=3&privacy_info=%7B%22analytics_storage%22%3Afalse%7D"),
            json!({"event_name":"a","v":"3","privacy_info":{"analytics_storage":false}})
        );
        assert_eq!(parsed("%zz=%c0%ae")["%zz"], "\u{fffd}\u{fffd}");
    }

    #[test]
    fn the_whole_event_may_come_in_one_value() {
        // {"event_name":"ä"} in base64, in its alphabet for URLs, with pluses that became spaces.
        let encoded = base64::engine::general_purpose::STANDARD.encode(r#"{"event_name":"ä>>>?"}"#);
        let expected = json!({"event_name":"ä>>>?","v":"2"});
        let url_safe = encoded.replace('+', "-").replace('/', "_");
        for dtdc in [&encoded, encoded.trim_end_matches('='), &url_safe] {
            assert_eq!(
                parsed(&format!("v=2&event=x&dtdc={dtdc}")),
                expected,
                "{dtdc}"
            );
        }
        assert_eq!(
            parsed("dtcd=%7B%22event_name%22%3A%22a%22%7D"),
            json!({"event_name":"a","v":"2"})
        );
        // The tag leaves its name to the query. What is no object is left to the reader.
        for (whole, expected) in [
            (r#"{"x":1}"#, json!({"event_name":"e","v":"3","x":1})),
            (" { } ", json!({"event_name":"e","v":"3"})),
            ("[1]", json!([1])),
        ] {
            let query = form_urlencoded::Serializer::new(String::new())
                .extend_pairs([
                    ("v", "3"),
                    ("event", "e"),
                    ("page_title", "t"),
                    ("dtcd", whole),
                ])
                .finish();
            assert_eq!(parsed(&query), expected, "{whole}");
        }
        for bad in ["dtdc=%", "dtdc=/w=="] {
            assert!(
                matches!(json(bad.as_bytes()), Err(Error::BadRequest(_))),
                "{bad}"
            );
        }
    }

    #[test]
    fn json_is_told_from_forms_by_what_it_is() {
        let form = "application/x-www-form-urlencoded; charset=UTF-8";
        assert!(is_form(form, b"a=1"));
        assert!(is_form("Application/X-WWW-form-urlencoded", b" a=1"));
        assert!(!is_form(form, b" {\"a\":1}"));
        assert!(!is_form(form, b"[]"));
        assert!(!is_form(form, b""));
        assert!(!is_form("text/plain", b"a=1"));
    }
}
