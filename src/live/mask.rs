//! What of a story is personal, and what stands in its place.
//!
//! Personal is what the columns of the row are marked as (`event.proto`), what members of payloads are called that hold such
//! things, all headers that are not known to be harmless, click ids, user properties, what follows a `?` in an address,
//! and whatever looks like an e-mail address. Wherever one of these values stands again, such as in the steps of enrichment, it
//! is replaced there too. Keys and passwords are never shown, masked or not.

use std::sync::LazyLock;

use serde_json::{Map, Value};

use crate::schema::{Column, events};

use super::viewer::Aliases;

/// Headers that say nothing of a person. Places are as coarse as the columns of the row.
const HARMLESS_HEADERS: [&str; 33] = [
    "accept",
    "accept-encoding",
    "accept-language",
    "cache-control",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "dnt",
    "host",
    "origin",
    "pragma",
    "priority",
    "sec-ch-ua",
    "sec-ch-ua-arch",
    "sec-ch-ua-bitness",
    "sec-ch-ua-form-factors",
    "sec-ch-ua-full-version-list",
    "sec-ch-ua-mobile",
    "sec-ch-ua-model",
    "sec-ch-ua-platform",
    "sec-ch-ua-platform-version",
    "sec-fetch-dest",
    "sec-fetch-mode",
    "sec-fetch-site",
    "sec-gpc",
    "transfer-encoding",
    "user-agent",
    "via",
    "x-client-geo-city",
    "x-client-geo-country",
    "x-client-geo-region",
    "x-forwarded-proto",
];

/// Headers that let somebody in.
const SECRET_HEADERS: [&str; 3] = ["authorization", "proxy-authorization", "x-write-key"];

/// Members of payloads and rows that are personal besides those of the columns.
const PERSONAL_MEMBERS: [&str; 28] = [
    "__uid__",
    "_fbc",
    "_fbp",
    "_ga",
    "address",
    "cid",
    "client_id",
    "client's address",
    "dclid",
    "fbc",
    "fbclid",
    "fbp",
    "first_name",
    "gbraid",
    "gclid",
    "ip_override",
    "last_name",
    "msclkid",
    "phone",
    "phone_number",
    "postal_code",
    "srsltid",
    "street",
    "ttclid",
    "twclid",
    "uid",
    "user_agent_id",
    "wbraid",
];

/// Members of which all that is below is personal.
const PERSONAL_TREES: [&str; 3] = ["click_ids", "user_data", "user_properties"];

/// Shorter values are not looked for elsewhere: they stand everywhere.
const SHORTEST: usize = 4;

/// In place of what lets somebody in.
const SECRET: &str = "(secret)";

/// In place of what follows a `?`.
const QUERY: &str = "?…";

static PERSONAL_COLUMNS: LazyLock<Vec<&'static str>> = LazyLock::new(|| {
    fn collect(columns: &'static [Column], found: &mut Vec<&'static str>) {
        for column in columns {
            if column.is_personal {
                found.push(&column.name);
            }
            collect(&column.children, found);
        }
    }
    let mut found = Vec::new();
    collect(&events().columns, &mut found);
    found
});

fn is_personal(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    // Steps name columns by their path.
    let last = name.rsplit('.').next().unwrap_or(&name);
    PERSONAL_COLUMNS.contains(&last)
        || PERSONAL_MEMBERS.contains(&last)
        || last.contains("email")
        || last.starts_with("__sid_")
}

/// Takes out of a story what lets somebody in: out of its headers, and of the query of its address.
pub(super) fn without_secrets(headers: &mut [(String, String)], target: &mut String) {
    for (name, value) in headers {
        if SECRET_HEADERS.contains(&name.as_str()) {
            SECRET.clone_into(value);
        }
    }
    let Some((path, query)) = target.split_once('?') else {
        return;
    };
    if !query.contains("write_key") && !query.contains('%') {
        return;
    }
    let pairs = form_urlencoded::parse(query.as_bytes());
    let shown = pairs.map(|(name, value)| match &*name {
        "write_key" => (name, SECRET.into()),
        _ => (name, value),
    });
    let mut written = form_urlencoded::Serializer::new(String::new());
    written.extend_pairs(shown);
    *target = format!("{path}?{}", written.finish());
}

/// Masks one story. What was masked in one part of it is looked for in the others.
#[derive(Debug)]
pub(super) struct Mask<'a> {
    aliases: &'a Aliases,
    known: Vec<(String, String)>,
}

impl<'a> Mask<'a> {
    pub(super) fn new(aliases: &'a Aliases) -> Self {
        Self {
            aliases,
            known: Vec::new(),
        }
    }

    /// A personal value: what stands in its place.
    pub(super) fn value(&mut self, value: &str) -> String {
        if value.is_empty() {
            return String::new();
        }
        let alias = self.aliases.of(value);
        if value.len() >= SHORTEST && !self.known.iter().any(|(known, _)| known == value) {
            self.known.push((value.to_owned(), alias.clone()));
        }
        alias
    }

    /// Whether a text holds something that was masked.
    pub(super) fn holds(&self, text: &str) -> bool {
        self.known
            .iter()
            .any(|(known, _)| text.contains(known.as_str()))
            || text.contains('@')
    }

    /// Headers of a request, by name and value.
    pub(super) fn headers(&mut self, headers: &mut [(String, String)]) {
        for (name, value) in headers {
            if HARMLESS_HEADERS.contains(&name.as_str()) || SECRET_HEADERS.contains(&name.as_str())
            {
                continue;
            }
            // The parts stand alone elsewhere: addresses, values of cookies.
            for part in value.split([',', ';']) {
                let part = part.split_once('=').map_or(part, |(_, value)| value);
                self.value(part.trim().trim_matches('"'));
            }
            *value = self.value(value);
        }
    }

    /// What a step looked at or filled.
    pub(super) fn named(&mut self, name: &str, value: &mut String) {
        let is_header = name.contains('-') || name.eq_ignore_ascii_case("forwarded");
        let lower = name.to_ascii_lowercase();
        let is_harmless = HARMLESS_HEADERS.contains(&lower.as_str())
            || lower.starts_with("x-client-geo-")
            || lower.starts_with("sec-ch-");
        if is_personal(name) || is_header && !is_harmless {
            *value = self.value(value);
        }
    }

    /// A payload or a row.
    pub(super) fn members(&mut self, value: &mut Value) {
        match value {
            Value::Object(members) => self.object(members),
            Value::Array(elements) => elements
                .iter_mut()
                .for_each(|element| self.members(element)),
            _ => {}
        }
    }

    fn object(&mut self, members: &mut Map<String, Value>) {
        // Parameters are lists of keys and values.
        let key = members.get("key").and_then(Value::as_str);
        let is_personal_key = key.is_some_and(is_personal);
        for (name, value) in members {
            if PERSONAL_TREES.contains(&name.as_str())
                || is_personal(name)
                || is_personal_key && name == "value"
            {
                self.tree(value);
            } else {
                self.members(value);
            }
        }
    }

    /// All that is below, but the names.
    fn tree(&mut self, value: &mut Value) {
        match value {
            Value::Object(members) => {
                let members = members.iter_mut();
                let below =
                    members.filter(|(name, _)| *name != "key" && *name != "set_timestamp_micros");
                below.for_each(|(_, value)| self.tree(value));
            }
            Value::Array(elements) => elements.iter_mut().for_each(|element| self.tree(element)),
            Value::String(text) => *text = self.value(text),
            Value::Number(number) => *value = Value::String(self.value(&number.to_string())),
            Value::Bool(_) | Value::Null => {}
        }
    }

    /// The last pass, over everything: what is known by now, and what looks personal by itself.
    pub(super) fn rest(&mut self, value: &mut Value) {
        // What holds another one goes first.
        self.known
            .sort_by_key(|(known, _)| std::cmp::Reverse(known.len()));
        self.texts(value);
    }

    fn texts(&self, value: &mut Value) {
        match value {
            Value::String(text) => self.text(text),
            Value::Array(elements) => elements.iter_mut().for_each(|element| self.texts(element)),
            Value::Object(members) => members.values_mut().for_each(|value| self.texts(value)),
            _ => {}
        }
    }

    fn text(&self, text: &mut String) {
        for (known, alias) in &self.known {
            if text.contains(known.as_str()) {
                *text = text.replace(known.as_str(), alias);
            }
        }
        if text.contains("://") {
            *text = without_query(text);
        }
        if text.contains('@') || text.contains("%40") {
            *text = self.without_addresses(text);
        }
    }

    fn without_addresses(&self, text: &str) -> String {
        let is_end = |c: char| c.is_whitespace() || "<>\"'(),;:/?&=".contains(c);
        let mut words = Vec::new();
        let mut begin = 0;
        for (at, c) in text.char_indices().chain([(text.len(), ' ')]) {
            if is_end(c) {
                words.push(&text[begin..at]);
                words.push(&text[at..(at + c.len_utf8()).min(text.len())]);
                begin = (at + c.len_utf8()).min(text.len());
            }
        }
        let is_address = |word: &str| {
            let parts = word.split_once('@').or_else(|| word.split_once("%40"));
            parts.is_some_and(|(name, host)| !name.is_empty() && host.contains('.'))
        };
        let masked = words.into_iter().map(|word| match is_address(word) {
            true => self.aliases.of(word),
            false => word.to_owned(),
        });
        masked.collect()
    }
}

/// An address as far as nothing of a person stands there: campaigns stay.
fn without_query(address: &str) -> String {
    let end = address.find(['?', '#']).unwrap_or(address.len());
    let (path, rest) = address.split_at(end);
    let query = rest.strip_prefix('?').unwrap_or_default();
    let query = query.split('#').next().unwrap_or_default();
    let campaign: Vec<&str> = query
        .split('&')
        .filter(|pair| pair.starts_with("utm_"))
        .collect();
    if rest.is_empty() {
        path.to_owned()
    } else if campaign.is_empty() {
        format!("{path}{QUERY}")
    } else {
        format!("{path}?{}&…", campaign.join("&"))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn columns_that_are_marked_are_personal() {
        for name in [
            "ip",
            "user_id",
            "user_pseudo_id",
            "device.advertising_id",
            "Email_Address",
        ] {
            assert!(is_personal(name), "{name}");
        }
        for name in ["event_name", "stream_id", "geo.country", "session_id"] {
            assert!(!is_personal(name), "{name}");
        }
    }

    #[test]
    fn what_is_personal_is_replaced_wherever_it_stands() {
        let aliases = Aliases::new();
        let mut mask = Mask::new(&aliases);
        let mut headers = [
            (
                "cookie".to_owned(),
                "__uid__=visitor-17; theme=darkest".to_owned(),
            ),
            (
                "x-forwarded-for".to_owned(),
                "203.0.113.9, 10.0.0.1".to_owned(),
            ),
            ("user-agent".to_owned(), "Firefox/1".to_owned()),
        ];
        mask.headers(&mut headers);
        assert_eq!(headers[2].1, "Firefox/1");
        let mut story = json!({
            "row": {
                "user_id": "joe", "ip": "203.0.113.0", "device": {"advertising_id": "ad-1"},
                "user_properties": [{"key": "plan", "value": {"string_value": "gold", "int_value": 17}}],
                "event_params": [
                    {"key": "page_location", "value": {"string_value": "https://shop.test/a?utm_source=n1&who=ann@shop.test#top"}},
                    {"key": "customer_email", "value": {"string_value": "ann at shop"}},
                    {"key": "note", "value": {"string_value": "mail <ann@shop.test>, or not"}},
                ],
                "geo": {"country": "Ukraine"},
            },
            "steps": [["__uid__", "visitor-17"], ["hop", "seen 203.0.113.9 there"]],
        });
        mask.members(&mut story["row"]);
        mask.rest(&mut story);
        let text = format!("{headers:?} {story}");
        for personal in [
            "visitor-17",
            "darkest",
            "203.0.113",
            "joe",
            "ad-1",
            "gold",
            "ann@",
            "ann at",
            ":17",
        ] {
            assert!(!text.contains(personal), "{personal} is in {text}");
        }
        let alias = aliases.of("visitor-17");
        assert_eq!(story["steps"][0], json!(["__uid__", alias]));
        let params = &story["row"]["event_params"];
        assert_eq!(
            params[0]["value"]["string_value"],
            "https://shop.test/a?utm_source=n1&…"
        );
        let note = format!("mail <{}>, or not", aliases.of("ann@shop.test"));
        assert_eq!(params[2]["value"]["string_value"], note);
        assert_eq!(story["row"]["geo"]["country"], "Ukraine");
        assert_eq!(story["row"]["user_properties"][0]["key"], "plan");
    }

    #[test]
    fn what_lets_somebody_in_is_never_shown() {
        let mut headers = [("authorization".to_owned(), "Bearer key-1".to_owned())];
        let mut target = "/api/v1/streaming/1?a=%20b&%77rite_key=key-1".to_owned();
        without_secrets(&mut headers, &mut target);
        assert_eq!(headers[0].1, SECRET);
        assert_eq!(target, "/api/v1/streaming/1?a=+b&write_key=%28secret%29");
    }

    #[test]
    fn any_text_can_be_masked() {
        let aliases = Aliases::new();
        let mask = Mask::new(&aliases);
        for text in [
            "",
            "@",
            "ä@ö.ü",
            "a@b",
            "://?#",
            "x://y?utm_a=b#c",
            "a%40b.c",
        ] {
            let mut text = text.to_owned();
            mask.text(&mut text);
        }
    }
}
