use proptest::prelude::*;

use super::*;
use crate::schema::{EventParam, Value};

/// Address, referrer and what is expected of them, a line each.
const CASES: &str = include_str!("../../../tests/fixtures/enrich/sources.tsv");

fn param(key: &str, text: &str) -> EventParam {
    EventParam {
        key: Some(key.to_owned()),
        value: Some(Value {
            string_value: Some(text.to_owned()),
            ..Value::default()
        }),
    }
}

fn rules() -> Rules {
    Rules::new(
        &[
            "https://shop.mine.co.uk".to_owned(),
            "other.test".to_owned(),
        ],
        &["mybank.test".to_owned()],
    )
}

fn filled(location: &str, referrer: &str, more: &[EventParam]) -> Event {
    let mut event = Event {
        event_params: vec![
            param("page_location", location),
            param("page_referrer", referrer),
        ],
        ..Event::default()
    };
    event.event_params.extend_from_slice(more);
    let lists = Lists::built_in();
    let mut explanation = Explanation::asked();
    fill(&mut event, &rules(), &lists, &mut explanation);
    assert_eq!(explanation.into_steps().len(), 1);
    event
}

fn told(event: &Event) -> CollectorTrafficSource {
    let collector = event.collector.as_ref();
    collector
        .and_then(|collector| collector.traffic_source.clone())
        .unwrap_or_default()
}

#[test]
fn every_case_of_the_table_has_its_source() {
    let (mut cases, mut classes) = (0, 0);
    for line in CASES.lines().filter(|line| !line.starts_with('#')) {
        let cells: Vec<&str> = line.split('\t').collect();
        let [location, referrer, expected @ ..] = &cells[..] else {
            panic!("{line}");
        };
        let event = filled(location, referrer, &[]);
        let told = told(&event);
        let source = event.collected_traffic_source.unwrap_or_default();
        let found = [
            source.manual_source,
            source.manual_medium,
            source.manual_campaign_name,
            told.referrer_class,
            told.referrer_name,
            told.channel_group,
        ]
        .map(|text| text.unwrap_or_else(|| "-".to_owned()));
        assert_eq!(&found[..], expected, "{line}");
        cases += 1;
        classes += usize::from(found[3] != "-");
    }
    assert!(cases >= 120 && classes >= 60, "{cases}, {classes}");
}

#[test]
fn own_referrers_are_known_without_an_absolute_address() {
    let hostname = [param("page_hostname", "shop.a.test")];
    let event = filled("/path", "https://www.a.test/", &hostname);
    assert_eq!(event.collected_traffic_source, None);
    assert_eq!(told(&event).referrer_class.as_deref(), Some("own"));
    let page = Page::of(&event);
    assert_eq!(page.hostname().as_deref(), Some("shop.a.test"));
}

#[test]
fn a_referrer_that_the_page_ignores_brings_nobody() {
    for (ignores, expected) in [("true", None), ("1", None), ("false", Some("b.test"))] {
        let params = [param("ignore_referrer", ignores)];
        let event = filled("https://a.test/", "https://b.test/", &params);
        let source = event.collected_traffic_source.unwrap_or_default();
        assert_eq!(source.manual_source.as_deref(), expected, "{ignores}");
    }
}

#[test]
fn all_click_ids_are_kept_and_the_first_value_counts() {
    let event = filled(
        "https://a.test/?gclid=g%2B1&GCLID=g2&fbclid=f&dclid=d#srsltid=s",
        "",
        &[],
    );
    let source = event.collected_traffic_source.unwrap();
    assert_eq!(source.gclid.as_deref(), Some("g+1"));
    assert_eq!(source.dclid.as_deref(), Some("d"));
    assert_eq!(source.srsltid.as_deref(), Some("s"));
    let ids = event.collector.unwrap().click_ids;
    let ids: Vec<_> = ids
        .iter()
        .map(|id| (id.key.as_deref().unwrap(), id.value.as_deref().unwrap()))
        .collect();
    assert_eq!(
        ids,
        [
            ("gclid", "g+1"),
            ("dclid", "d"),
            ("srsltid", "s"),
            ("fbclid", "f")
        ]
    );
}

#[test]
fn free_listings_have_their_platform() {
    let event = filled("https://a.test/?srsltid=s", "", &[]);
    let source = event.collected_traffic_source.unwrap();
    let platform = source.manual_source_platform.as_deref();
    assert_eq!(platform, Some("Shopping Free Listings"));
}

#[test]
fn all_campaign_parameters_have_their_column() {
    let query: Vec<String> = campaign::UTM
        .iter()
        .map(|name| format!("{name}={}", &name[4..]))
        .collect();
    let event = filled(&format!("https://a.test/?{}", query.join("&")), "", &[]);
    let text = |text: &str| Some(text.to_owned());
    let expected = CollectedTrafficSource {
        manual_campaign_id: text("id"),
        manual_campaign_name: text("campaign"),
        manual_source: text("source"),
        manual_medium: text("medium"),
        manual_term: text("term"),
        manual_content: text("content"),
        manual_source_platform: text("source_platform"),
        manual_creative_format: text("creative_format"),
        manual_marketing_tactic: text("marketing_tactic"),
        ..CollectedTrafficSource::default()
    };
    assert_eq!(event.collected_traffic_source, Some(expected));
}

#[test]
fn of_parameters_sent_twice_the_last_counts() {
    let again = [param("page_location", "https://a.test/?utm_source=two")];
    let event = filled("https://a.test/?utm_source=one", "", &again);
    let source = event.collected_traffic_source.unwrap();
    assert_eq!(source.manual_source.as_deref(), Some("two"));
}

#[test]
fn a_list_of_the_operators_own_decides() {
    let lists = Lists::read("search\tfind.test\tFind\n").unwrap();
    let mut event = Event {
        event_params: vec![
            param("page_location", "https://a.test/"),
            param("page_referrer", "https://find.test/"),
        ],
        ..Event::default()
    };
    fill(&mut event, &rules(), &lists, &mut Explanation::unasked());
    assert_eq!(
        told(&event).channel_group.as_deref(),
        Some("Organic Search")
    );
    let source = event.collected_traffic_source.unwrap();
    assert_eq!(source.manual_source.as_deref(), Some("Find"));
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(location in "\\PC*", referrer in "\\PC*", host in "[a-z.\\[\\]:@-]{0,20}") {
        filled(&location, &referrer, &[]);
        filled(&format!("https://{host}/?{location}"), &format!("https://{host}{referrer}"), &[]);
    }
}
