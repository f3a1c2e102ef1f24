//! A real Chromium: what its pages send is stored, what they may read they can, the cookie holds, and the pages of
//! documentation work with no network. The scripts in `tests/browser` act and tell; here is judged.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::process::{Process, rows};
use crate::support::python::tool;

const LOCAL: &str = "http://localhost:3000";
const SHOP: &str = "https://www.shop.example";
const PARTNER: &str = "https://www.partner.example";
const CLOUD: &str = "https://www.cloud.example";
/// Not listed.
const STRANGER: &str = "https://www.stranger.example";

/// What a page sends that may send everything, each once a visit.
const SENT: [&str; 11] = [
    "beacon",
    "blob",
    "closed_beacon",
    "closed_fetch",
    "closed_hidden",
    "json",
    "left_beacon",
    "left_fetch",
    "left_hidden",
    "page_view",
    "pixel",
];

/// What a script prints that plays with the collector of this process.
pub fn play(script: &str, process: &Process, folder: &Path) -> Value {
    let browser = folder.join("browser");
    std::fs::create_dir(&browser).expect("a folder for the browser");
    let output = Command::new(tool("python"))
        .arg("-B")
        .arg(
            Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("tests/browser")
                .join(script),
        )
        .arg(process.address.port().to_string())
        .arg(browser)
        .output()
        .expect("python runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        output.status.success(),
        "{script} ended with {}; does `make browser` say what is missing?\n{}",
        output.status,
        text(&output.stderr)
    );
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", text(&output.stdout)))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}"))
}

fn list(value: &Value) -> &[Value] {
    value
        .as_array()
        .unwrap_or_else(|| panic!("no list: {value}"))
}

fn location(row: &Value) -> &str {
    let param = list(&row["event_params"])
        .iter()
        .find(|param| param["key"] == "page_location");
    text(&param.expect("a page_location")["value"]["string_value"])
}

#[tokio::test(flavor = "multi_thread")]
async fn what_pages_send_is_stored_and_the_cookie_comes_back() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let listed = json!([LOCAL, SHOP, PARTNER, CLOUD]).to_string();
    let values = [
        ("CORS__ALLOWED_ORIGINS", listed.as_str()),
        ("ENRICH__TRUSTED_HOPS", "1"),
    ];
    let process = Process::start(folder.path(), &values).await;
    let told = play("door.py", &process, folder.path());
    assert_eq!(process.terminate().code(), Some(0));
    let rows = rows(folder.path());

    let visits = list(&told);
    let pages: Vec<&str> = visits.iter().map(|visit| text(&visit["page"])).collect();
    assert_eq!(pages, [LOCAL, SHOP, PARTNER, STRANGER, CLOUD, SHOP]);
    for visit in visits {
        if visit["page"] == STRANGER {
            check_stranger(visit);
        } else {
            check_listed(visit);
        }
        check_cookie(visit);
    }
    let value = |visit: usize| text(&visits[visit]["cookies"][0]["value"]);
    let (local, shop, cloud) = (value(0), value(1), value(4));
    assert_eq!(
        [value(2), value(3), value(5)],
        [shop; 3],
        "one visitor, also after the browser's end"
    );
    assert!(local != shop && shop != cloud && cloud != local);

    // Which browser sent what: the id, the page, the names.
    let mut stored: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
    for row in &rows {
        let key = (text(&row["user_pseudo_id"]), location(row));
        stored
            .entry(key)
            .or_default()
            .push(text(&row["event_name"]));
    }
    let mut expected: BTreeMap<(&str, String), Vec<&str>> = BTreeMap::new();
    for (id, page, visits) in [
        (local, LOCAL, 1),
        (shop, SHOP, 2),
        (shop, PARTNER, 1),
        (shop, STRANGER, 1),
        (cloud, CLOUD, 1),
    ] {
        for name in SENT {
            let asks_beforehand = ["blob", "json"].contains(&name);
            if asks_beforehand && page == STRANGER {
                continue;
            }
            let path = if name.starts_with("closed") {
                "next"
            } else {
                ""
            };
            let names = expected.entry((id, format!("{page}/{path}"))).or_default();
            names.extend(std::iter::repeat_n(name, visits));
        }
    }
    for names in stored.values_mut() {
        names.sort_unstable();
    }
    let stored: Vec<_> = stored
        .into_iter()
        .map(|((id, page), names)| ((id, page.to_owned()), names))
        .collect();
    assert_eq!(stored, expected.into_iter().collect::<Vec<_>>());

    for row in &rows {
        let (page, is_local) = (location(row), location(row).starts_with(LOCAL));
        assert_eq!(
            row["ip"],
            if is_local { "127.0.0.0" } else { "203.0.113.0" },
            "{page}"
        );
        assert_eq!(row["device"]["web_info"]["browser"], "Chrome", "{page}");
        assert_eq!(row["stream_id"], "1");
        if row["event_name"] == "page_view" {
            let expected = json!([
                {"key": "page_location", "value": {"string_value": page}},
                {"key": "page_referrer", "value": {"string_value": ""}},
                {"key": "page_title", "value": {"string_value": "Mugs"}},
            ]);
            assert_eq!(row["event_params"], expected);
        }
    }
}

/// A page whose origin is listed reads every answer, and asks beforehand only where it must.
#[track_caller]
fn check_listed(visit: &Value) {
    let ok = json!({"status": 200, "body": {"status": "ok"}});
    let wrong = json!({"status": 422, "body": {
        "status": "error", "code": "wrong_field", "message": "the event has a field that is wrong",
        "details": [{"path": "event_name", "message": "must be a text that is not empty"}],
    }});
    let malformed = json!({"status": 400, "body": {
        "status": "error", "code": "malformed", "details": [],
        "message": "the body is not valid JSON: ',' or the end of an object or array is expected, at byte 1",
    }});
    let answers = json!({
        "text": ok, "json": ok, "wrong": wrong, "malformed": malformed, "pixel": "1x1", "beacon": true, "blob": true,
    });
    assert_eq!(visit["answers"], answers);
    let loading = "Failed to load resource: the server responded with a status of";
    let complaints = json!([
        format!("{loading} 422 (Unprocessable Entity)"),
        format!("{loading} 400 (Bad Request)")
    ]);
    assert_eq!(visit["complaints"], complaints);

    let requests = list(&visit["requests"]);
    let asked: Vec<usize> = (0..requests.len())
        .filter(|&index| requests[index]["method"] == "OPTIONS")
        .collect();
    assert_eq!(
        asked.len(),
        1,
        "one question, its answer is remembered: {requests:?}"
    );
    assert_eq!(requests[asked[0] + 1]["event"], "json", "{requests:?}");
    for request in requests {
        let expected = match &request["event"] {
            name if name == "json" || name == "blob" => "application/json",
            _ if request["method"] == "POST" => "text/plain;charset=UTF-8",
            _ => continue,
        };
        assert_eq!(request["content_type"], expected, "{request}");
    }
}

/// A page whose origin is not listed reads nothing and can send no JSON as such.
#[track_caller]
fn check_stranger(visit: &Value) {
    let blocked = json!({"error": "TypeError: Failed to fetch"});
    let answers = json!({
        "text": blocked, "json": blocked, "wrong": blocked, "malformed": blocked, "pixel": "1x1", "beacon": true, "blob": true,
    });
    assert_eq!(visit["answers"], answers);
    let complaints = list(&visit["complaints"]).iter().map(text);
    let by_cors = complaints.filter(|complaint| complaint.contains("blocked by CORS policy"));
    assert!(by_cors.count() >= 4, "{visit}");
    for request in list(&visit["requests"]) {
        assert_ne!(request["content_type"], "application/json", "{request}");
    }
}

/// The cookie is what a browser accepts for that host, is out of reach of scripts, and goes with every request after the
/// answer that set it.
#[track_caller]
fn check_cookie(visit: &Value) {
    let (domain, secure, same_site) = match text(&visit["page"]) {
        LOCAL => ("localhost", false, "Lax"),
        CLOUD => (".collect-abc-uc.a.run.app", true, "None"),
        _ => (".shop.example", true, "None"),
    };
    let cookie = &visit["cookies"][0];
    let expected = json!([{
        "name": "__uid__", "value": cookie["value"], "domain": domain, "path": "/", "expires": cookie["expires"],
        "httpOnly": true, "secure": secure, "sameSite": same_site,
    }]);
    assert_eq!(visit["cookies"], expected);
    assert_eq!(visit["readable_cookie"], "");

    let requests = list(&visit["requests"]);
    let cookie = format!("__uid__={}", text(&cookie["value"]));
    let events = requests.iter().filter(|request| {
        text(&request["path"]).starts_with("/api/") && request["method"] != "OPTIONS"
    });
    let mut sent: Vec<&Value> = events.map(|request| &request["cookie"]).collect();
    let first = sent.remove(0);
    assert!(first.is_null() || *first == cookie, "{first}");
    assert!(
        sent.len() >= 10 && sent.iter().all(|&sent| *sent == cookie),
        "{sent:?}"
    );
    // It is the whole site's: the next page's host is sent it too, if it is of that site.
    let next = requests.iter().find(|request| request["path"] == "/next");
    let is_same_site = [LOCAL, SHOP].contains(&text(&visit["page"]));
    let expected = if is_same_site {
        json!(cookie)
    } else {
        Value::Null
    };
    assert_eq!(next.expect("the next page")["cookie"], expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_documentation_works_with_no_network_and_its_example_succeeds() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let process = Process::start(folder.path(), &[]).await;
    let told = play("docs.py", &process, folder.path());
    assert_eq!(process.terminate().code(), Some(0));

    let (docs, redoc) = (&told["docs"], &told["redoc"]);
    assert_eq!(
        (&docs["status"], &docs["body"]),
        (&json!("200"), &json!({"status": "ok"}))
    );
    let rows = rows(folder.path());
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0]["event_name"], docs["example"]["event_name"]);
    assert_eq!(rows[0]["event_params"], docs["example"]["event_params"]);
    assert_eq!(rows[0]["user_pseudo_id"], told["cookies"][0]["value"]);

    assert!(text(&redoc["title"]).contains("Real Streaming"), "{redoc}");
    let headings: Vec<&str> = list(&redoc["headings"]).iter().map(text).collect();
    assert!(headings[0].starts_with("Real Streaming"), "{headings:?}");
    assert!(
        headings.contains(&"Collect one event, or an array of them"),
        "{headings:?}"
    );
    for page in [docs, redoc] {
        assert_eq!(page["complaints"], json!([]));
        let asked: Vec<&str> = list(&page["asked"]).iter().map(text).collect();
        let is_own = |address: &&str| {
            address.starts_with("http://localhost:8080/")
                || address.starts_with("blob:http://localhost:8080/")
        };
        assert!(asked.len() >= 5 && asked.iter().all(is_own), "{asked:?}");
    }
}
