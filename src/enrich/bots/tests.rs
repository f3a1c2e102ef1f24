//! Evidence: the table of the docs, and what clients get by it.

use http::HeaderMap;
use proptest::prelude::*;

use super::*;
use crate::clock::Micros;
use crate::enrich::device::Devices;
use crate::enrich::device::fixture_tests::FILE;
use crate::enrich::{ClientHints, Config, Enricher};

const DOCS: &str = include_str!("../../../docs/bots.md");

const CHROME: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/148.0.0.0 Safari/537.36";

#[test]
fn the_docs_have_the_table() {
    let rows: Vec<String> = REASONS
        .iter()
        .map(|reason| {
            format!(
                "| `{}` | {} | {} |",
                reason.name, reason.weight, reason.what
            )
        })
        .collect();
    let table = rows.join("\n");
    assert!(DOCS.contains(&table), "docs/bots.md must have:\n{table}");
    assert!(
        DOCS.contains(&format!("{THRESHOLD} or more")) && DOCS.contains(&format!("{RATE} events"))
    );
    for (matomo, category) in CATEGORIES {
        let row = format!("| {matomo} | `{}` |", category.name());
        assert!(DOCS.contains(&row), "{row}");
    }
}

/// What a browser sends over https, and changes to it: an empty value takes a header away.
fn headers(changes: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let usual = [
        ("user-agent", CHROME),
        ("accept", "*/*"),
        ("accept-language", "de"),
        ("accept-encoding", "gzip, br"),
        ("origin", "https://shop.test"),
        ("sec-fetch-mode", "cors"),
        (
            "sec-ch-ua",
            r#""Chromium";v="148", "Google Chrome";v="148""#,
        ),
        ("sec-ch-ua-platform", "\"Windows\""),
    ];
    for (name, value) in usual.iter().chain(changes) {
        match *value {
            "" => drop(headers.remove(*name)),
            value => drop(headers.insert(*name, value.parse().unwrap())),
        }
    }
    headers
}

fn told(enricher: &Enricher, headers: &HeaderMap, ip: Option<&str>) -> (Event, Bot) {
    let visit = Visit {
        headers,
        client_ip: ip.map(|ip| ip.parse().unwrap()),
        received_at: Micros(1_800_000_000_000_000),
        ..Visit::default()
    };
    let mut event = Event::default();
    enricher.event(&mut event, &visit, None, &mut Explanation::unasked());
    let bot = event.collector.as_ref().unwrap().bot.clone().unwrap();
    (event, bot)
}

#[track_caller]
fn check(changes: &[(&'static str, &str)], reasons: &[&str], is_bot: bool) {
    let enricher = Enricher::new(Config::default());
    let (_, bot) = told(&enricher, &headers(changes), None);
    assert_eq!(bot.reasons, reasons);
    let sum: i64 = REASONS
        .iter()
        .filter(|reason| reasons.contains(&reason.name))
        .map(|reason| reason.weight)
        .sum();
    assert_eq!(bot.score, Some(sum.min(100)));
    assert_eq!(bot.is_bot, Some(is_bot));
}

#[test]
fn reasons_are_found_one_by_one() {
    check(&[], &[], false);
    let headless = CHROME.replace("Chrome/", "HeadlessChrome/");
    check(
        &[
            (
                "user-agent",
                "Googlebot/2.1 (+http://www.google.com/bot.html)",
            ),
            ("sec-ch-ua", ""),
            ("sec-ch-ua-platform", ""),
        ],
        &["pattern"],
        true,
    );
    check(&[("user-agent", &headless)], &["headless"], true);
    check(
        &[("sec-ch-ua", r#""HeadlessChrome";v="148""#)],
        &["headless"],
        true,
    );
    check(
        &[
            ("user-agent", ""),
            ("sec-ch-ua", ""),
            ("sec-ch-ua-platform", ""),
        ],
        &["no_user_agent"],
        false,
    );
    check(&[("accept-language", "")], &["no_accept_language"], false);
    check(&[("accept-encoding", "")], &["no_accept_encoding"], false);
    check(&[("accept", "")], &["no_accept"], false);
    check(&[("sec-fetch-mode", "")], &["no_sec_fetch"], false);
    check(
        &[("sec-fetch-mode", ""), ("sec-fetch-site", "same-origin")],
        &[],
        false,
    );
    check(
        &[("sec-ch-ua", ""), ("sec-ch-ua-platform", "")],
        &["no_client_hints"],
        false,
    );
    check(
        &[("sec-ch-ua-platform", "\"Linux\"")],
        &["contradiction"],
        false,
    );
    check(
        &[("sec-ch-ua", r#""Chromium";v="120""#)],
        &["contradiction"],
        false,
    );
    // Over http, browsers send neither.
    check(
        &[
            ("origin", "http://shop.test"),
            ("sec-fetch-mode", ""),
            ("sec-ch-ua", ""),
            ("sec-ch-ua-platform", ""),
        ],
        &[],
        false,
    );
    // A script that says it is a browser.
    check(
        &[
            ("accept-language", ""),
            ("sec-fetch-mode", ""),
            ("sec-ch-ua", ""),
            ("sec-ch-ua-platform", ""),
        ],
        &["no_accept_language", "no_sec_fetch", "no_client_hints"],
        true,
    );
    // Browsers that send no hints.
    let safari = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Safari/605.1.15";
    check(
        &[
            ("user-agent", safari),
            ("sec-ch-ua", ""),
            ("sec-ch-ua-platform", ""),
        ],
        &[],
        false,
    );
    let old = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/15.6 Safari/605.1.15";
    check(
        &[
            ("user-agent", old),
            ("sec-ch-ua", ""),
            ("sec-ch-ua-platform", ""),
            ("sec-fetch-mode", ""),
        ],
        &[],
        false,
    );
}

#[test]
fn addresses_count_by_rate_and_by_network() {
    let networks = Networks::parse("203.0.113.0/24").unwrap();
    let enricher = Enricher::new(Config::default()).with_data_centres(networks);
    let (_, bot) = told(&enricher, &headers(&[]), Some("203.0.113.9"));
    assert_eq!(bot.reasons, ["data_centre"]);
    for _ in 0..RATE {
        told(&enricher, &headers(&[]), Some("198.51.100.7"));
    }
    let (_, bot) = told(&enricher, &headers(&[]), Some("198.51.100.7"));
    assert_eq!(
        (bot.reasons, bot.is_bot),
        (vec!["rate".to_owned()], Some(false))
    );
}

/// The table of senders in the docs.
#[test]
fn senders_on_servers_have_the_scores_of_the_docs() {
    let enricher = Enricher::new(Config::default())
        .with_devices(Devices::read(&FILE).unwrap())
        .with_data_centres(Networks::parse("203.0.113.0/24").unwrap());
    let senders = [
        (
            "Python's `requests`",
            &[
                ("user-agent", "python-requests/2.32"),
                ("accept", "*/*"),
                ("accept-encoding", "gzip"),
            ][..],
        ),
        (
            "Go's `net/http`",
            &[
                ("user-agent", "Go-http-client/1.1"),
                ("accept-encoding", "gzip"),
            ],
        ),
        ("`curl`", &[("user-agent", "curl/8.0.1"), ("accept", "*/*")]),
        (
            "a User-Agent of its own, such as `shop-backend/1.0`, and nothing else",
            &[("user-agent", "shop-backend/1.0")],
        ),
        (
            "no User-Agent, `Accept` (Rust's `reqwest` if nothing is set)",
            &[("accept", "*/*")],
        ),
        (
            "no header but `Host` (.NET's `HttpClient` if nothing is set)",
            &[("host", "collect.test")],
        ),
    ];
    for (sender, sent) in senders {
        let sent = sent
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
        let headers = HeaderMap::from_iter(sent);
        // As much as a busy server sends, from a data centre, with hints that it relays.
        let mut hints = ClientHints::default();
        hints.take("platform", "Windows");
        let visit = Visit {
            headers: &headers,
            hints: Some(&hints),
            client_ip: Some("203.0.113.9".parse().unwrap()),
            ..Visit::default()
        };
        let mut bot = None;
        for _ in 0..=RATE {
            let mut event = Event::default();
            enricher.event(&mut event, &visit, None, &mut Explanation::unasked());
            bot = event.collector.unwrap().bot;
        }
        let bot = bot.unwrap();
        let reasons: Vec<String> = bot
            .reasons
            .iter()
            .map(|reason| format!("`{reason}`"))
            .collect();
        let row = format!(
            "| {sender} | {} | {} |",
            bot.score.unwrap(),
            reasons.join(", ")
        );
        assert!(DOCS.contains(&row), "{row}");
        assert_eq!(bot.is_bot, Some(sender.starts_with("no ")), "{row}");
    }
}

#[test]
fn policies_keep_mark_or_drop() {
    let bot = headers(&[
        ("user-agent", "Googlebot/2.1"),
        ("sec-ch-ua", ""),
        ("sec-ch-ua-platform", ""),
    ]);
    for (policy, is_marked, is_dropped) in [
        (BotPolicy::Keep, false, false),
        (BotPolicy::Mark, true, false),
        (BotPolicy::Drop, false, true),
    ] {
        let enricher = Enricher::new(Config {
            bots: policy,
            ..Config::default()
        });
        let marked = |event: &Event| {
            event
                .event_params
                .iter()
                .any(|param| param.key.as_deref() == Some("traffic_type"))
        };
        let (event, _) = told(&enricher, &bot, None);
        assert_eq!(
            (marked(&event), enricher.is_filtered(&event)),
            (is_marked, is_dropped),
            "{policy:?}"
        );
        let (event, _) = told(&enricher, &headers(&[]), None);
        assert!(
            !marked(&event) && !enricher.is_filtered(&event),
            "{policy:?}"
        );
    }
}

#[test]
fn what_is_marked_already_stays() {
    let mut event = Event::default();
    mark(&mut event);
    let param = event.event_params[0].clone();
    event.event_params[0].value = None;
    mark(&mut event);
    assert_eq!(event.event_params.len(), 1);
    assert_eq!(param.value.unwrap().string_value.as_deref(), Some("bot"));
}

#[test]
fn a_category_is_told() {
    let enricher = Enricher::new(Config::default());
    let (_, bot) = told(
        &enricher,
        &headers(&[
            ("user-agent", "curl/8.0.1"),
            ("sec-ch-ua", ""),
            ("sec-ch-ua-platform", ""),
        ]),
        None,
    );
    assert_eq!(
        (bot.category.as_deref(), bot.is_bot),
        (Some("tool"), Some(false))
    );
    let headless = CHROME.replace("Chrome/", "HeadlessChrome/");
    let (_, bot) = told(&enricher, &headers(&[("user-agent", &headless)]), None);
    assert_eq!(
        (bot.category.as_deref(), bot.name.as_deref()),
        (Some("headless"), Some("Headless Chrome"))
    );
}

proptest! {
    #[test]
    fn any_claim_is_read(text in "\\PC{0,60}", version in "[0-9.]{0,12}", platform in "[A-Za-z ]{0,10}") {
        let hints = Hints { platform, brands: vec![("Chromium".to_owned(), version.clone())], ..Hints::default() };
        Claim::of(&format!("Mozilla/5.0 {text} Chrome/{version} {text} Safari/"), Some(&hints), Some("browser"));
    }
}
