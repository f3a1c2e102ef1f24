//! Devices as rows have them: GA4's words, and what is remembered of them.

use std::sync::Arc;

use http::HeaderMap;

use super::fixture_tests::{FILE, FIXTURES};
use super::hints::ClientHints;
use super::*;
use crate::enrich::{Config, Enricher};

const DOCS: &str = include_str!("../../../docs/devices.md");

#[test]
fn the_docs_say_what_becomes_of_names() {
    for (kind, category) in columns::CATEGORIES {
        let row = format!("| {kind} | {} |", category.unwrap_or("null"));
        assert!(DOCS.contains(&row), "{row}");
    }
    for (name, mapped) in columns::SYSTEMS.iter().chain(columns::BROWSERS) {
        let row = format!("| {name} | {mapped} |");
        assert!(DOCS.contains(&row), "{row}");
    }
}

/// A row of `visits.tsv`: the User-Agent, the hints, and what is expected.
fn visits() -> impl Iterator<Item = (String, ClientHints, Vec<String>)> {
    let file = include_str!("../../../tests/fixtures/devices/visits.tsv");
    let rows = file.lines().filter(|line| !line.starts_with('#'));
    rows.map(|row| {
        let mut cells = row.split('\t').map(str::to_owned);
        let user_agent = cells.next().unwrap();
        let mut hints = ClientHints::default();
        for hint in cells
            .next()
            .unwrap()
            .split(" | ")
            .filter(|hint| !hint.is_empty())
        {
            let (name, value) = hint.split_once('=').unwrap();
            assert!(hints.take(name, value), "{name}");
        }
        (user_agent, hints, cells.collect())
    })
}

fn enriched(
    enricher: &Enricher,
    user_agent: &str,
    hints: Option<&ClientHints>,
    explanation: &mut Explanation,
) -> Event {
    let mut headers = HeaderMap::new();
    headers.insert(header::USER_AGENT, user_agent.parse().unwrap());
    let visit = Visit {
        headers: &headers,
        hints,
        ..Visit::default()
    };
    let mut event = Event::default();
    enricher.event(&mut event, &visit, None, explanation);
    event
}

#[test]
fn columns_are_in_the_words_of_ga4() {
    let enricher = Enricher::new(Config::default()).with_devices(Devices::read(&FILE).unwrap());
    let (mut seen, mut wrong) = (0, Vec::new());
    for (user_agent, hints, expected) in visits() {
        let event = enriched(
            &enricher,
            &user_agent,
            Some(&hints),
            &mut Explanation::unasked(),
        );
        let device = event.device.unwrap_or_default();
        let web = device.web_info.unwrap_or_default();
        let finer = event
            .collector
            .and_then(|collector| collector.device)
            .unwrap_or_default();
        let found = [
            device.category,
            device.mobile_brand_name,
            device.mobile_model_name,
            device.mobile_os_hardware_model,
            device.operating_system,
            device.operating_system_version,
            web.browser,
            web.browser_version,
            finer.kind,
        ];
        let found = found.map(Option::unwrap_or_default);
        if found != expected[..] || device.mobile_marketing_name.unwrap_or_default() != expected[2]
        {
            wrong.push(format!("{user_agent}\n  {found:?}\n  {expected:?}"));
        }
        seen += 1;
    }
    assert!(seen > 10, "{seen}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_kind_of_device_has_its_row() {
    let detector = matomo::Detector::read(&FILE).unwrap();
    for fixture in FIXTURES.iter().step_by(11) {
        let kind = detector.detect(&fixture.user_agent, None).kind;
        if let Some(kind) = kind {
            assert!(
                columns::CATEGORIES.iter().any(|(known, _)| *known == kind),
                "{kind}"
            );
        }
    }
}

#[test]
fn steps_say_what_was_seen_and_by_what_it_was_told() {
    let enricher = Enricher::new(Config::default()).with_devices(Devices::read(&FILE).unwrap());
    let (user_agent, hints, _) = visits().find(|(_, hints, _)| !hints.is_empty()).unwrap();
    let mut explanation = Explanation::asked();
    enriched(&enricher, &user_agent, Some(&hints), &mut explanation);
    let steps = explanation.into_steps();
    let step = steps.iter().find(|step| step.step == "device").unwrap();
    assert!(
        step.rule.contains("device_detector of a test"),
        "{}",
        step.rule
    );
    assert_eq!(step.saw[0], ("User-Agent".into(), user_agent));
    assert!(
        step.saw
            .iter()
            .any(|(name, value)| name == "Sec-CH-UA-Platform" && value == "\"macOS\"")
    );
    assert!(step.filled.contains(&(
        "device.operating_system_version".into(),
        "15.5.0".to_owned()
    )));
    let mut explanation = Explanation::asked();
    enriched(
        &Enricher::new(Config::default()),
        "x",
        None,
        &mut explanation,
    );
    assert!(
        explanation
            .into_steps()
            .iter()
            .any(|step| step.rule.contains("woothee"))
    );
}

#[test]
fn a_model_is_what_the_device_calls_itself() {
    for (user_agent, model) in [
        (
            "Mozilla/5.0 (Linux; Android 13; SM-X906C) AppleWebKit/537.36",
            Some("SM-X906C"),
        ),
        (
            "Mozilla/5.0 (Linux; U; Android 4.0.3; ro_RO; GOCLEVER R103 Build/IML74K) x",
            Some("GOCLEVER R103"),
        ),
        (
            "Mozilla/5.0 (Linux; Android 14; Pixel 8 Build/UD1A; wv) x",
            Some("Pixel 8"),
        ),
        ("Mozilla/5.0 (Linux; Android 10; K) x", None),
        (
            "Mozilla/5.0 (Android 14; Mobile; rv:140.0) Gecko/140.0",
            None,
        ),
        ("Mozilla/5.0 (Linux; U; Android 2.2; en-us) x", None),
        ("Mozilla/5.0 (Windows NT 10.0)", None),
        ("Android ", None),
        ("Android 9;é", Some("é")),
    ] {
        assert_eq!(columns::hardware_model(user_agent), model, "{user_agent}");
    }
}

#[test]
fn what_is_remembered_is_bounded_and_gives_the_same() {
    const BYTES: u64 = 500_000;
    for devices in [
        Devices::read(&FILE).unwrap().remembering(BYTES),
        Devices::default().remembering(BYTES),
    ] {
        let recognised = |text: &str| devices.recognised(text, &Sent::by(&Visit::default()));
        let text = &FIXTURES[0].user_agent;
        let first = recognised(text);
        assert!(Arc::ptr_eq(&first, &recognised(text)), "remembered");
        for number in 0..2000 {
            recognised(&format!("agent {number}"));
        }
        let few = devices.cache.len();
        assert!(devices.cache.weight() <= BYTES && few > 100, "{few}");
        // Of long ones, fewer.
        for number in 0..2000 {
            recognised(&format!("agent {number} {}", "x".repeat(900)));
        }
        assert!(devices.cache.weight() <= BYTES && devices.cache.len() < few);
        assert_eq!(recognised(text), first);
    }
}

#[test]
fn hints_are_part_of_what_is_remembered() {
    let devices = Devices::read(&FILE).unwrap();
    let text = "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/148.0.0.0 Mobile Safari/537.36";
    let model = |model: &str| {
        let mut hints = ClientHints::default();
        hints.take("model", model);
        let visit = Visit {
            hints: Some(&hints),
            ..Visit::default()
        };
        devices
            .recognised(text, &Sent::by(&visit))
            .device
            .mobile_os_hardware_model
            .clone()
    };
    for name in ["Pixel 9", "SM-S911B", "Pixel 9"] {
        assert_eq!(model(name).as_deref(), Some(name));
    }
}
