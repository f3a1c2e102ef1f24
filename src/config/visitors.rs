//! The variables of visitors: consent, who they are, their sessions.

use crate::enrich::consent::{self, Heed};
use crate::enrich::{self, Key, session};

use super::reader::Reader;
use super::variables::PREFIX;

/// Shorter keys can be guessed.
const MIN_KEY_CHARACTERS: usize = 16;

/// Each costs time where a cookie is forged.
const MAX_KEYS: usize = 8;

/// This part of the configuration of enrichment.
pub(super) fn read(reader: &mut Reader) -> enrich::Config {
    let keys = read_keys(reader);
    let has_cookieless_ids = reader.boolean("CONSENT__COOKIELESS_ID");
    if has_cookieless_ids && keys.is_empty() {
        reader.fault(
            &format!("{PREFIX}CONSENT__COOKIELESS_ID"),
            format!("needs a key in {PREFIX}SESSION__KEYS"),
        );
    }
    enrich::Config {
        consent: consent::Config {
            gpc: read_heed(reader, "CONSENT__GPC"),
            dnt: read_heed(reader, "CONSENT__DNT"),
        },
        session: session::Config {
            is_on: reader.boolean("SESSION__ENABLED"),
            pause: reader.seconds("SESSION__TIMEOUT"),
            adds_rows: reader.boolean("SESSION__EVENTS"),
        },
        has_cookieless_ids,
        takes_ga_cookie: reader.boolean("COOKIE__TAKE_GA"),
        keys: keys.iter().map(|key| Key::new(key)).collect(),
        ..enrich::Config::default()
    }
}

fn read_keys(reader: &mut Reader) -> Vec<String> {
    let keys = reader.list("SESSION__KEYS");
    let is_short = |key: &String| key.chars().count() < MIN_KEY_CHARACTERS;
    if keys.iter().any(is_short) {
        reader.fault(
            &format!("{PREFIX}SESSION__KEYS"),
            format!("must hold keys of {MIN_KEY_CHARACTERS} characters or more"),
        );
    }
    if keys.len() > MAX_KEYS {
        reader.fault(
            &format!("{PREFIX}SESSION__KEYS"),
            format!("must hold at most {MAX_KEYS} keys"),
        );
    }
    keys
}

fn read_heed(reader: &mut Reader, name: &str) -> Heed {
    reader.parse(name, "ignore, ads or all", |text| {
        Some(match text {
            "ignore" => Heed::Ignore,
            "ads" => Heed::Ads,
            "all" => Heed::All,
            _ => return None,
        })
    })
}
