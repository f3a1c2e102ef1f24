//! The tracker in real browsers: what it promises of delivery, of names, and of pages that make it hard. The scripts in `tests/browser` act and tell;
//! here is judged.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::browser::play;
use crate::support::process::{Process, rows};

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its address").port()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}"))
}

fn list(value: &Value) -> &[Value] {
    value
        .as_array()
        .unwrap_or_else(|| panic!("no list: {value}"))
}

/// A parameter of a row; null if there is none.
fn param<'r>(row: &'r Value, key: &str) -> &'r Value {
    let mut params = list(&row["event_params"]).iter();
    let found = params.find(|param| param["key"] == key);
    let slots = found.and_then(|param| param["value"].as_object());
    let value = slots.and_then(|slots| slots.values().find(|value| !value.is_null()));
    value.unwrap_or(&Value::Null)
}

/// Journeys of visitors with this browser, and the rows that came of them. The collector is killed and started again when the script asks for it.
async fn walk(browser: &str, journeys: usize, seed: u32) -> (Value, Vec<Value>) {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let site = free_port();
    let origins = json!([format!("http://localhost:{site}")]).to_string();
    let values = [("CORS__ALLOWED_ORIGINS", origins.as_str())];
    let mut process = Process::start(folder.path(), &values).await;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser/journeys.mjs");
    let mut node = Command::new("node")
        .arg(script)
        .arg(browser)
        .args([site, process.address.port()].map(|port| port.to_string()))
        .args([journeys.to_string(), seed.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("node runs; `make node` installs it");
    let mut asked = node.stdin.take().expect("its input");
    let mut told = Value::Null;
    for line in BufReader::new(node.stdout.take().expect("its output")).lines() {
        let line: Value = serde_json::from_str(&line.expect("text")).expect("JSON");
        if line["ask"] == "restart" {
            process.kill();
            process = Process::start(folder.path(), &values).await;
            writeln!(asked, "{}", process.address.port()).expect("it listens");
        } else {
            told = line;
        }
    }
    let ended = node.wait().expect("it ends");
    assert!(ended.success(), "journeys.mjs with seed {seed}: {ended}");
    process.drained().await;
    assert_eq!(process.terminate().code(), Some(0));
    (told, rows(folder.path()))
}

/// What the table must say of journeys: each event once, each visit one user and one session.
fn check_journeys(told: &Value, rows: &[Value], seed: u32) {
    let mut ids = BTreeSet::new();
    let mut stored: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
    for row in rows {
        let id = (text(&row["event_name"]), text(&row["event_id"]));
        assert!(ids.insert(id), "seed {seed}: twice: {row}");
        let name = match text(&row["event_name"]) {
            "page_view" => {
                let location = text(param(row, "page_location"));
                &location[location.find('?').expect("a query")..]
            }
            name => name,
        };
        stored.entry(name).or_default().push(row);
    }
    let (mut unsure, mut missing) = (0, 0);
    for journey in list(&told["journeys"]) {
        let mut expected: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
        for event in list(&journey["events"]) {
            let (sure, all) = expected.entry(text(&event["name"])).or_default();
            *all += 1;
            *sure += usize::from(event["sure"] == true);
        }
        let (mut users, mut sessions) = (BTreeSet::new(), BTreeSet::new());
        for (name, (sure, all)) in expected {
            let found = stored.remove(name).unwrap_or_default();
            assert!(
                (sure..=all).contains(&found.len()),
                "seed {seed}: {name} is there {} times, not {sure} to {all}: {}",
                found.len(),
                journey["steps"]
            );
            unsure += all - sure;
            missing += all - found.len();
            for row in found {
                users.insert(text(&row["user_pseudo_id"]));
                sessions.insert(param(row, "ga_session_id").as_i64().expect("a session"));
            }
        }
        assert_eq!(
            (users.len(), sessions.len()),
            (1, 1),
            "seed {seed}: {users:?} {sessions:?} {}",
            journey["steps"]
        );
    }
    let visits = list(&told["journeys"]).len();
    for name in ["session_start", "first_visit"] {
        let found = stored.remove(name).unwrap_or_default();
        assert_eq!(found.len(), visits, "seed {seed}: one {name} a visit");
    }
    assert!(
        missing * 20 <= unsure,
        "seed {seed}: {missing} of {unsure} events are missing whose tab closed at once"
    );
    let largest = told["largest"].as_u64().expect("a number");
    assert!(largest < 65_536, "a request of {largest} bytes");
    println!(
        "seed {seed}: {visits} journeys, {} rows, {unsure} events whose tab closed at once, {missing} of them missing, largest request {largest} bytes",
        rows.len()
    );
}

/// How many journeys, and which: `JOURNEYS` and `SEED` say otherwise.
fn journeys(usual: usize) -> (usize, u32) {
    let variable = |name: &str| std::env::var(name).ok();
    let count = variable("JOURNEYS").and_then(|text| text.parse().ok());
    let seed = variable("SEED").and_then(|text| text.parse().ok());
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed();
    let random = now.expect("a clock").subsec_nanos() | 1;
    (count.unwrap_or(usual), seed.unwrap_or(random))
}

#[tokio::test(flavor = "multi_thread")]
async fn visitors_with_chromium_lose_nothing_and_are_counted_once() {
    let (count, seed) = journeys(10);
    let (told, rows) = walk("chromium", count, seed).await;
    check_journeys(&told, &rows, seed);
}

#[tokio::test(flavor = "multi_thread")]
async fn visitors_with_firefox_lose_nothing_and_are_counted_once() {
    let (count, seed) = journeys(5);
    let (told, rows) = walk("firefox", count, seed).await;
    check_journeys(&told, &rows, seed);
}

/// What the table of documentation says: parameters by event.
fn documented() -> BTreeMap<String, BTreeSet<String>> {
    let page = include_str!("../../docs/tracker.md");
    let table = page.split("<!-- events: begin -->").nth(1);
    let table = table.and_then(|rest| rest.split("<!-- events: end -->").next());
    let quoted = |cell: &str| -> Vec<String> {
        let parts = cell.split('`').skip(1).step_by(2);
        parts.map(str::to_owned).collect()
    };
    let rows = table.expect("a table").lines().skip(3);
    rows.filter(|line| !line.is_empty())
        .map(|line| {
            let cells: Vec<&str> = line.split('|').collect();
            assert!(cells[5].contains("](https://"), "{line} names its source");
            let name = quoted(cells[1]).remove(0);
            (name, quoted(cells[2]).into_iter().collect())
        })
        .collect()
}

const COMMON: [&str; 8] = [
    "page_location",
    "page_referrer",
    "page_title",
    "screen_resolution",
    "language",
    "ga_session_id",
    "ga_session_number",
    "session_engaged",
];

fn keys(row: &Value) -> BTreeSet<String> {
    let params = list(&row["event_params"]).iter();
    params.map(|param| text(&param["key"]).to_owned()).collect()
}

/// Rows of a stream.
fn of<'r>(rows: &'r [Value], stream: &str) -> Vec<&'r Value> {
    let rows = rows.iter().filter(|row| row["stream_id"] == stream);
    rows.collect()
}

fn named<'r>(rows: &[&'r Value], name: &str) -> Vec<&'r Value> {
    let rows = rows.iter().filter(|row| row["event_name"] == name);
    rows.copied().collect()
}

/// A visit that did everything: names and parameters are the documented ones, once each, of one user in one session.
fn check_visit(visit: &Value, rows: &[Value]) {
    let stream = text(&visit["stream"]);
    assert_eq!(visit["complaints"], json!([]), "{stream}");
    let rows = of(rows, stream);
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for row in &rows {
        let mut keys = keys(row);
        for common in COMMON {
            assert!(keys.remove(common), "{stream}: no {common}: {row}");
        }
        keys.remove("engagement_time_msec");
        let name = text(&row["event_name"]);
        if name == "own" || !list(&row["items"]).is_empty() {
            continue;
        }
        keys.remove("page_group");
        let known = found.entry(name.to_owned()).or_insert_with(|| keys.clone());
        assert_eq!(*known, keys, "{stream}: {name} has always the same");
    }
    assert_eq!(found, documented(), "{stream}");
    for (name, times) in [
        ("first_visit", 1),
        ("session_start", 1),
        // The page, where its history led, and the page behind it.
        ("page_view", 3),
        ("scroll", 1),
        ("click", 1),
        ("file_download", 1),
        ("view_search_results", 1),
        ("form_start", 1),
        ("form_submit", 1),
        ("video_start", 1),
        ("video_progress", 4),
        ("video_complete", 1),
        ("exception", 1),
        ("INP", 1),
        ("purchase", 1),
    ] {
        assert_eq!(named(&rows, name).len(), times, "{stream}: {name}");
    }
    let all =
        |of: &dyn Fn(&Value) -> String| rows.iter().map(|row| of(row)).collect::<BTreeSet<_>>();
    let users = all(&|row| text(&row["user_pseudo_id"]).to_owned());
    let sessions = all(&|row| param(row, "ga_session_id").to_string());
    assert_eq!((users.len(), sessions.len()), (1, 1), "{stream}: {users:?}");
    let user = users.first().expect("one");
    assert!(
        text(&visit["storage"]["cookie"]).contains(&format!("_rs={user}~")),
        "{visit}"
    );
    assert_eq!(visit["storage"]["disk"], json!([]), "{stream}");

    let purchase = named(&rows, "purchase")[0];
    assert_eq!(purchase["ecommerce"]["purchase_revenue"], 19.0);
    assert_eq!(purchase["ecommerce"]["tax_value"], 1.5);
    let item = &purchase["items"][0];
    assert_eq!(
        [
            &item["item_id"],
            &item["quantity"],
            &item["item_list_index"]
        ],
        [&json!("m1"), &json!(2), &json!("3")]
    );
    let shopping = rows.iter().filter(|row| !list(&row["items"]).is_empty());
    assert_eq!(shopping.count(), 14, "{stream}");
    let own = named(&rows, "own")[0];
    assert_eq!(own["user_id"], "u-7");
    assert_eq!(list(&own["user_properties"]).len(), 2);
    let values = ["text", "whole", "part", "flag", "page_group"].map(|key| param(own, key));
    assert_eq!(
        values,
        [
            &json!("t"),
            &json!(5),
            &json!(1.5),
            &json!("true"),
            &json!("shop")
        ]
    );
    let view = named(&rows, "page_view")[0];
    assert_eq!(view["collected_traffic_source"]["manual_source"], "news");
    assert!(view["batch_page_id"].is_i64() && view["batch_ordering_id"].is_i64());
    assert!(
        view["event_server_timestamp_offset"].is_i64(),
        "the client's time"
    );
    let moved = named(&rows, "page_view")[1];
    assert!(text(param(moved, "page_location")).ends_with("/next"));
    assert!(text(param(moved, "page_referrer")).contains("/?q=mug+red"));
    assert_eq!(
        param(named(&rows, "view_search_results")[0], "search_term"),
        "mug red"
    );
    let percents: Vec<_> = named(&rows, "video_progress")
        .iter()
        .map(|row| param(row, "video_percent").as_i64())
        .collect();
    assert_eq!(percents, [10, 25, 50, 75].map(Some));
    let engaged: i64 = rows
        .iter()
        .filter_map(|row| param(row, "engagement_time_msec").as_i64())
        .sum();
    assert!(
        (2_500..240_000).contains(&engaged),
        "{stream}: {engaged} ms"
    );
}

/// What a body of the predecessor's becomes, without what differs from request to request.
fn comparable(row: &Value) -> Value {
    let mut row = row.clone();
    let columns = row.as_object_mut().expect("a row");
    for name in [
        "event_id",
        "event_timestamp",
        "synced_at_micros_",
        "synced_at_utc_",
        "event_server_timestamp_offset",
    ] {
        columns.remove(name);
    }
    row
}

fn check_predecessor(told: &Value, rows: &[Value]) {
    assert_eq!(told["complaints"], json!([]));
    let rows = of(rows, "tag");
    for name in ["page_view", "sign_up", "video_done"] {
        let same: Vec<Value> = named(&rows, name).into_iter().map(comparable).collect();
        assert_eq!(same.len(), 3, "{name}");
        assert_eq!(same[0], same[2], "{name}: by fetch as by a plain request");
        assert_eq!(same[1], same[2], "{name}: by the other way");
    }
    for pushed in list(&told["pushed"]) {
        assert_eq!(*pushed, json!([{"status": 200, "event": "answered"}]));
    }
    let functions = &told["functions"];
    assert_eq!(
        functions["stream"],
        json!({"got": 1, "status": 201, "event": "named"})
    );
    assert_eq!(
        functions["text"],
        json!({"body": "fine", "status": 200, "event": "named"})
    );
    assert_eq!(functions["data"]["dataModel"], json!({"a": 1}));
    assert_eq!(functions["is_kept"], 1);
    assert_eq!(functions["data"]["document"]["characterSet"], "UTF-8");
    let size = [
        &functions["data"]["innerWidth"],
        &functions["data"]["innerHeight"],
        &functions["data"]["screen"]["width"],
        &functions["data"]["screen"]["height"],
    ];
    assert_eq!(json!(size), functions["size"]);
    assert_eq!(functions["md5"], "9e107d9d372bb6826bd81d3542a419d6");
    assert_eq!(
        functions["sha256"],
        json!([
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
            "IGtA4O3ToACVXKVgg8smxpjx+JvwzFRFqMnrpGyr4UI="
        ])
    );
    assert_eq!(
        functions["hmac"],
        "f7bc83f430538424b13298e6aa6fb143ef4d59a14946175997479dbc2d1a3cd8"
    );
    assert_eq!(functions["parsed"], json!([{"a": 1}, {"body": "no"}]));
    let asked: BTreeSet<&str> = list(&told["asked"]).iter().map(text).collect();
    for wanted in [
        "GET https://collect.shop.example/_set_cookie?a",
        "GET https://pixel.shop.example/p",
        "POST https://pixel.shop.example/b",
    ] {
        assert!(asked.contains(wanted), "{asked:?}");
    }
}

fn check_layer(told: &Value, rows: &[Value]) {
    assert_eq!(told["complaints"], json!([]));
    // As many entries as were pushed: the page's own readers see them all.
    assert_eq!(told["length"], 7);
    let rows = of(rows, "layer");
    let names: Vec<&str> = rows.iter().map(|row| text(&row["event_name"])).collect();
    let own: BTreeSet<&str> = names.iter().copied().collect();
    let expected = [
        "add_to_cart",
        "before",
        "behind",
        "first_visit",
        "session_start",
    ];
    let vitals = ["CLS", "LCP", "INP", "user_engagement"];
    assert_eq!(
        own.difference(&BTreeSet::from(vitals))
            .copied()
            .collect::<Vec<_>>(),
        expected,
        "{names:?}"
    );
    let cart = named(&rows, "add_to_cart")[0];
    assert_eq!(cart["items"][0]["item_id"], "m1");
    assert_eq!(
        [param(cart, "currency"), param(cart, "group")],
        [&json!("EUR"), &json!("g")]
    );
    let behind = named(&rows, "behind")[0];
    assert_eq!(behind["user_properties"][0]["key"], "tier");
}

fn check_consent(told: &Value, rows: &[Value]) {
    let rows = of(rows, "consent");
    let found = |name: String| named(&rows, &name).first().copied().cloned();
    for way in ["send", "hold", "drop"] {
        let page = &told[way];
        assert_eq!(page["complaints"], json!([]), "{way}");
        let nothing = json!({"cookie": "", "disk": []});
        assert_eq!(page["stored"], nothing, "{way}: before the choice");
        assert_eq!(page["withdrawn"], nothing, "{way}: after it was taken back");
        assert!(text(&page["granted"]).starts_with("_rs="), "{way}");
        let granted = found(format!("{way}_granted")).expect("it is stored");
        assert_eq!(granted["privacy_info"]["analytics_storage"], "Yes");
        assert!(granted["user_pseudo_id"].is_string());
        let before = found(format!("{way}_before"));
        let withdrawn = found(format!("{way}_withdrawn"));
        match way {
            "send" => {
                for row in [before, withdrawn] {
                    let row = row.expect("it is stored");
                    assert_eq!(row["privacy_info"]["analytics_storage"], "No");
                    assert!(row["user_pseudo_id"].is_null());
                    assert!(param(&row, "ga_session_id").is_null());
                }
            }
            "hold" => {
                let row = before.expect("it was sent when the choice came");
                assert_eq!(row["user_pseudo_id"], granted["user_pseudo_id"]);
                assert_eq!(withdrawn, None);
            }
            _ => assert_eq!((before, withdrawn), (None, None)),
        }
    }
}

fn check_links(told: &Value, rows: &[Value]) {
    assert_eq!(told["complaints"], json!([]));
    assert!(
        text(&told["url"]).starts_with("https://www.partner.example/to?a=1&_rl="),
        "{told}"
    );
    assert!(text(&told["url"]).ends_with("#top"), "{told}");
    let rows = of(rows, "links");
    let views = named(&rows, "page_view");
    let location = |row: &Value| text(param(row, "page_location")).to_owned();
    assert_eq!(location(views[0]), "https://layer.shop.example/from");
    assert_eq!(location(views[1]), "https://www.partner.example/to?a=1#top");
    for key in ["ga_session_id", "ga_session_number"] {
        assert_eq!(param(views[0], key), param(views[1], key), "{key}");
    }
    assert_eq!(param(views[1], "session_engaged"), "1");
    assert!(
        named(&rows, "click").is_empty(),
        "it does not leave the site"
    );
    let client = |cookie: &Value| text(cookie).split('~').next().expect("one").to_owned();
    let cookies = list(&told["cookies"]);
    assert_eq!(client(&cookies[0]), client(&cookies[1]));
    assert_ne!(
        client(&cookies[0]),
        client(&cookies[2]),
        "its hash is not of these ids"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_get_what_the_documentation_says_wherever_they_are() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let origins = json!([
        "http://localhost:3000",
        "https://www.shop.example",
        "https://www.partner.example",
        "https://layer.shop.example",
        "https://tag.shop.example",
        "https://small.shop.example",
    ]);
    let origins = origins.to_string();
    let values = [
        ("CORS__ALLOWED_ORIGINS", origins.as_str()),
        ("ENRICH__TRUSTED_HOPS", "1"),
    ];
    let process = Process::start(folder.path(), &values).await;
    let told = play("tracker.py", &process, folder.path());
    process.drained().await;
    assert_eq!(process.terminate().code(), Some(0));
    let mut rows = rows(folder.path());
    rows.sort_by_key(|row| row["event_timestamp"].as_i64());
    for visit in list(&told["visits"]) {
        check_visit(visit, &rows);
    }
    assert_eq!(told["visits"][0]["server_cookies"], json!(["__uid__"]));
    assert_eq!(told["visits"][1]["server_cookies"], json!(["__uid__"]));
    assert_eq!(
        told["visits"][2]["server_cookies"],
        json!([]),
        "cookies of others are blocked"
    );
    check_predecessor(&told["predecessor"], &rows);
    check_layer(&told["layer"], &rows);
    check_consent(&told["consent"], &rows);
    check_links(&told["links"], &rows);
    assert_eq!(told["small"]["complaints"], json!([]));
    let small = of(&rows, "small");
    let names: Vec<&str> = small.iter().map(|row| text(&row["event_name"])).collect();
    assert_eq!(names.len(), 4, "{names:?}");
}
