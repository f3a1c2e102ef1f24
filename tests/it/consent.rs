//! Consent: each case of `tests/fixtures/consent.json` through the real collector, and that of who denies it nothing is left anywhere.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::support::collector::{memory, rows};
use crate::support::process::Process;
use crate::support::{Builder, request};

const PATH: &str = "/api/v1/streaming/1";
const ADDRESS: &str = "203.0.113.77";
const NETWORK: &str = "203.0.113.";
const USER: &str = "cookie-to-be-forgotten.42";
/// A version that nothing else has.
const USER_AGENT: &str = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/148.7.6543.21 Safari/537.36";
const VERSION: &str = "148.7.6543";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    case: String,
    settings: BTreeMap<String, String>,
    headers: BTreeMap<String, String>,
    event: serde_json::Map<String, Value>,
    expected: Expected,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    analytics_storage: Option<String>,
    ads_storage: Option<String>,
    is_allowed: bool,
    consent: serde_json::Map<String, Value>,
    warnings: usize,
}

fn cases() -> Vec<Case> {
    let text = include_str!("../fixtures/consent.json");
    serde_json::from_str(text).expect("cases")
}

impl Case {
    fn body(&self) -> String {
        let mut body = json!({"event_name": "page_view", "event_params": {"page_location": "https://shop.test/"}});
        let members = body.as_object_mut().expect("an object");
        members.extend(self.event.clone());
        body.to_string()
    }

    /// Headers by which a visitor could be known.
    fn headers(&self) -> Vec<(&str, &str)> {
        let own = self.headers.iter();
        let mut headers: Vec<_> = own.map(|(name, value)| (&**name, &**value)).collect();
        headers.extend([
            ("Cookie", "a=1; __uid__=cookie-to-be-forgotten.42; b=2"),
            ("X-Forwarded-For", ADDRESS),
            ("User-Agent", USER_AGENT),
        ]);
        headers
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_case_is_as_its_table_says() {
    let cases = cases();
    assert!(cases.len() >= 40, "{}", cases.len());
    let mut by_settings: BTreeMap<_, Vec<Case>> = BTreeMap::new();
    for case in cases {
        by_settings
            .entry(case.settings.clone())
            .or_default()
            .push(case);
    }
    for (settings, cases) in by_settings {
        let writer = memory("a");
        let mut builder = Builder::new()
            .to(&writer)
            .set("SESSION__KEYS", r#"["a key for tests of consent"]"#)
            .set("SESSION__EVENTS", "false")
            .set("ENRICH__TRUSTED_HOPS", "1")
            .set("ENRICH__IP", "full");
        for (name, value) in &settings {
            builder = builder.set(name, value);
        }
        let collector = builder.start().await;
        let mut heads = Vec::new();
        for case in &cases {
            let body = case.body();
            let answer = request(
                collector.address,
                "POST",
                PATH,
                &case.headers(),
                body.as_bytes(),
            )
            .await;
            assert_eq!(answer.status, 200, "{}: {}", case.case, answer.body);
            heads.push(answer.head);
        }
        collector.stop().await;
        let rows = rows(&writer);
        assert_eq!(rows.len(), cases.len());
        for ((case, row), head) in cases.iter().zip(rows).zip(heads) {
            check(case, &row, &head);
        }
    }
}

fn check(case: &Case, row: &Value, head: &str) {
    let (name, expected) = (&case.case, &case.expected);
    let text = |column: &str| row["privacy_info"][column].as_str();
    assert_eq!(
        text("analytics_storage"),
        expected.analytics_storage.as_deref(),
        "{name}"
    );
    assert_eq!(
        text("ads_storage"),
        expected.ads_storage.as_deref(),
        "{name}"
    );
    for (state, value) in &expected.consent {
        assert_eq!(
            &row["collector"]["consent"][state], value,
            "{name}: {state}"
        );
    }
    let warnings = row["collector"]["warnings"].as_array().map_or(0, Vec::len);
    assert_eq!(warnings, expected.warnings, "{name}: {row}");

    let whole = row.to_string();
    let is_known = |what: &str| whole.contains(what) || head.contains(what);
    for what in [ADDRESS, USER, VERSION, "ga_session_id"] {
        assert_eq!(
            is_known(what),
            expected.is_allowed,
            "{name}: {what} in {whole}\n{head}"
        );
    }
    let sets = head.to_ascii_lowercase().contains("set-cookie");
    assert_eq!(sets, expected.is_allowed, "{name}: {head}");
    let device = &row["device"];
    assert_eq!(
        device["web_info"]["browser"], "Chrome",
        "{name}: the class stays"
    );
    assert_eq!(device["category"], "desktop", "{name}: the class stays");
    if !expected.is_allowed {
        assert!(!is_known(NETWORK), "{name}");
        for column in [
            "user_pseudo_id",
            "ip",
            "user_first_touch_timestamp",
            "traffic_source",
        ] {
            assert!(row[column].is_null(), "{name}: {column}");
        }
        let version = &device["web_info"]["browser_version"];
        assert!(
            version.is_null() && device["operating_system_version"].is_null(),
            "{name}"
        );
    }
}

/// Whether a file below the folder holds this.
fn is_below(folder: &Path, what: &str) -> bool {
    std::fs::read_dir(folder).expect("a folder").any(|entry| {
        let path = entry.expect("an entry").path();
        match path.is_dir() {
            true => is_below(&path, what),
            false => {
                let bytes = std::fs::read(&path).unwrap_or_default();
                bytes
                    .windows(what.len())
                    .any(|window| window == what.as_bytes())
            }
        }
    })
}

/// Log lines, the collector's files and its answers, whatever is sent and whatever goes wrong with it.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_of_who_denies() {
    for (settings, environment) in [
        (("CONSENT__COOKIELESS_ID", "false"), "QA"),
        (("CONSENT__COOKIELESS_ID", "true"), "production"),
    ] {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
        let values = [
            ("ENVIRONMENT", environment),
            ("SESSION__KEYS", r#"["a key for tests of consent"]"#),
            ("ENRICH__TRUSTED_HOPS", "1"),
            ("ENRICH__IP", "full"),
            ("WRITERS__STRATEGY", "memory"),
            settings,
        ];
        let process = Process::start(folder.path(), &values).await;
        let identified = (
            "Cookie",
            "__uid__=cookie-to-be-forgotten.42; __sid_1__=abc.def; _ga=GA1.2.777888999.1700000000",
        );
        let headers = [
            identified,
            ("X-Forwarded-For", ADDRESS),
            ("User-Agent", USER_AGENT),
        ];
        let denied = r#"{"event_name":"a","privacy_info":{"analytics_storage":"denied"}}"#;
        let array = format!("[{denied},{denied}]");
        let faulty = r#"[{"event_name":"","consent":{"analytics_storage":false}}]"#;
        let pixel = format!("{PATH}?event_name=a&gcs=G100");
        let mut answers = Vec::new();
        for body in [denied, &array, faulty] {
            answers.push(request(process.address, "POST", PATH, &headers, body.as_bytes()).await);
        }
        answers.push(request(process.address, "GET", &pixel, &headers, b"").await);
        let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
        assert_eq!(statuses, [200, 200, 422, 200]);
        for answer in &answers {
            let all = format!("{}{}", answer.head, answer.body);
            for what in [ADDRESS, USER, "777888999", "__sid_"] {
                assert!(!all.contains(what), "{what} in {all}");
            }
        }
        // What was searched for would be found.
        assert!(is_below(folder.path(), "analytics_storage") || is_below(folder.path(), "WEB"));
        for what in [NETWORK, USER, "777888999", "abc.def", "__uid__"] {
            assert!(!is_below(folder.path(), what), "{what}, {environment}");
        }
        assert!(process.terminate().success());
        for what in [NETWORK, USER, "777888999", "abc.def", "__uid__"] {
            assert!(!is_below(folder.path(), what), "{what}, {environment}");
        }
        let allowed = r#"{"event_name":"a"}"#;
        let process = Process::start(folder.path(), &values).await;
        let answer = request(process.address, "POST", PATH, &headers, allowed.as_bytes()).await;
        assert_eq!(answer.status, 200);
        assert!(process.terminate().success());
        assert!(
            is_below(&folder.path().join("data/log"), USER),
            "of others it is kept"
        );
    }
}

/// An id for the day, without a cookie: the same for the same visitor, on each instance.
#[tokio::test(flavor = "multi_thread")]
async fn a_cookieless_id_takes_the_place_of_the_cookie_where_it_is_wanted() {
    let mut all = Vec::new();
    for instance in 0..2 {
        let writer = memory("a");
        let collector = Builder::new()
            .to(&writer)
            .set("SESSION__KEYS", r#"["a key for tests of consent"]"#)
            .set("CONSENT__COOKIELESS_ID", "true")
            .set("ENRICH__TRUSTED_HOPS", "1")
            .start()
            .await;
        let body = r#"{"event_name":"a","privacy_info":{"analytics_storage":"denied"}}"#;
        for (address, user_agent) in [
            (ADDRESS, USER_AGENT),
            (ADDRESS, USER_AGENT),
            (ADDRESS, "other"),
            ("198.51.100.1", USER_AGENT),
        ] {
            let headers = [
                (
                    "Cookie",
                    if instance == 0 {
                        "__uid__=a"
                    } else {
                        "__uid__=b"
                    },
                ),
                ("X-Forwarded-For", address),
                ("User-Agent", user_agent),
                ("Origin", "https://www.shop.test"),
            ];
            let answer = request(collector.address, "POST", PATH, &headers, body.as_bytes()).await;
            assert_eq!((answer.status, answer.header("Set-Cookie")), (200, None));
        }
        collector.stop().await;
        all.push(rows(&writer));
    }
    let id = |instance: usize, row: usize| {
        all[instance][row]["user_pseudo_id"]
            .as_str()
            .expect("an id")
    };
    assert_eq!(id(0, 0), id(0, 1));
    assert_eq!(id(0, 0), id(1, 0), "instances agree");
    assert_ne!(id(0, 0), id(0, 2), "another browser");
    assert_ne!(id(0, 0), id(0, 3), "another network");
    let row = &all[0][0];
    assert_eq!(row["privacy_info"]["uses_transient_token"], "Yes");
    assert!(row["ip"].is_null() && row["collector"]["user_agent"].is_null());
}
