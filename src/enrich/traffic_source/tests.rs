use proptest::prelude::*;

use super::*;
use crate::schema::{EventParam, Value};

fn param(key: &str, text: &str) -> EventParam {
    EventParam {
        key: Some(key.to_owned()),
        value: Some(Value {
            string_value: Some(text.to_owned()),
            ..Value::default()
        }),
    }
}

fn event(location: &str, referrer: &str) -> Event {
    Event {
        event_params: vec![
            param("page_location", location),
            param("page_referrer", referrer),
        ],
        ..Event::default()
    }
}

fn source_of(location: &str, referrer: &str) -> CollectedTrafficSource {
    let own = OwnDomains::new(&[
        "https://shop.mine.co.uk".to_owned(),
        "other.test".to_owned(),
    ]);
    collected(&Page::of(&event(location, referrer)), &own)
        .0
        .unwrap_or_default()
}

#[track_caller]
fn check(location: &str, referrer: &str, source: &str, medium: &str) {
    let found = source_of(location, referrer);
    let found = (
        found.manual_source.unwrap_or_default(),
        found.manual_medium.unwrap_or_default(),
    );
    assert_eq!(
        found,
        (source.to_owned(), medium.to_owned()),
        "{location} from {referrer}"
    );
}

#[test]
fn campaign_parameters_name_the_source() {
    check(
        "https://a.test/?utm_source=news&utm_medium=email",
        "https://b.test/",
        "news",
        "email",
    );
    check(
        "https://a.test/?UTM_Source=news&Utm_Medium=email",
        "",
        "news",
        "email",
    );
    check(
        "https://a.test/?utm_source=one&utm_source=two",
        "",
        "two",
        "",
    );
    check("https://a.test/?utm_source=one&utm_source=", "", "one", "");
    check("https://a.test/?utm_source=new+s%20x", "", "new s x", "");
    check(
        "https://a.test/?utm_source=a;utm_medium=b",
        "",
        "a;utm_medium=b",
        "",
    );
    check("https://a.test/?utm%5Fsource=a", "", "a", "");
}

#[test]
fn a_named_source_without_a_medium_is_no_referral() {
    check(
        "https://a.test/?utm_source=news",
        "https://b.test/",
        "news",
        "",
    );
}

#[test]
fn a_medium_alone_leaves_the_source_to_the_referrer() {
    check("https://a.test/?utm_medium=email", "", "", "email");
    check(
        "https://a.test/?utm_medium=email",
        "https://b.test/",
        "b.test",
        "email",
    );
    check(
        "https://a.test/?utm_medium=",
        "https://b.test/",
        "b.test",
        "referral",
    );
}

#[test]
fn the_fragment_does_not_count() {
    check("https://a.test/#utm_source=x", "", "", "");
    check("https://a.test/?x=1#?utm_source=x", "", "", "");
}

#[test]
fn other_sites_are_referrers_and_the_own_are_not() {
    check(
        "https://a.test/",
        "https://www.Blog.test:8080/x",
        "www.blog.test",
        "referral",
    );
    check("https://shop.a.test/", "https://www.a.test/x", "", "");
    check(
        "https://alice.github.io/",
        "https://bob.github.io/",
        "bob.github.io",
        "referral",
    );
    check(
        "https://a.co.uk/",
        "https://b.co.uk/",
        "b.co.uk",
        "referral",
    );
    check("https://a.test/", "https://mine.co.uk/", "", "");
    check("https://a.test/", "https://www.other.test/", "", "");
    check("https://a.test/", "", "", "");
    check("http://localhost:3000/", "http://localhost/", "", "");
    check(
        "http://127.0.0.1/",
        "http://10.0.0.1/",
        "10.0.0.1",
        "referral",
    );
    check(
        "https://a.test/",
        "android-app://com.google.android.gm/",
        "com.google.android.gm",
        "referral",
    );
}

#[test]
fn own_referrers_are_known_without_an_absolute_address() {
    check("/path", "https://mine.co.uk/", "", "");
    let mut event = event("/path", "https://www.a.test/");
    event
        .event_params
        .push(param("page_hostname", "shop.a.test"));
    let page = Page::of(&event);
    assert_eq!(page.hostname().as_deref(), Some("shop.a.test"));
    assert_eq!(collected(&page, &OwnDomains::new(&[])).0, None);
}

#[test]
fn search_engines_are_organic_and_their_other_services_are_not() {
    for (referrer, source) in [
        ("https://www.google.com/", "google"),
        ("https://google.co.uk/search?q=x", "google"),
        ("https://www.bing.com/", "bing"),
        ("https://cn.bing.com/", "bing"),
        ("https://duckduckgo.com/", "duckduckgo"),
        ("https://html.duckduckgo.com/", "duckduckgo"),
        ("https://uk.search.yahoo.com/", "yahoo"),
        ("https://yandex.ru/", "yandex"),
        ("https://m.baidu.com/", "baidu"),
        (
            "android-app://com.google.android.googlequicksearchbox/",
            "google",
        ),
    ] {
        check("https://a.test/", referrer, source, "organic");
    }
    for referrer in [
        "mail.google.com",
        "docs.google.com",
        "google.evil.test",
        "notbing.com",
        "yahoo.com",
    ] {
        check(
            "https://a.test/",
            &format!("https://{referrer}/"),
            referrer,
            "referral",
        );
    }
}

#[test]
fn click_ids_are_kept_and_those_of_search_ads_name_the_source() {
    check(
        "https://a.test/?gclid=g1",
        "https://www.google.com/",
        "google",
        "cpc",
    );
    check("https://a.test/?wbraid=g1", "", "google", "cpc");
    check(
        "https://a.test/?msclkid=m1",
        "https://www.bing.com/",
        "bing",
        "cpc",
    );
    check(
        "https://a.test/?gclid=g1&utm_source=x&utm_medium=y",
        "",
        "x",
        "y",
    );
    check(
        "https://a.test/?fbclid=f1",
        "https://l.instagram.com/",
        "l.instagram.com",
        "referral",
    );

    let all: Vec<String> = CLICK_IDS
        .iter()
        .map(|name| format!("{name}={name}-value"))
        .collect();
    let event = event(
        &format!("https://a.test/?{}&GCLID=g%2B2", all.join("&")),
        "",
    );
    let (source, click_ids) = collected(&Page::of(&event), &OwnDomains::new(&[]));
    let source = source.unwrap();
    assert_eq!(source.gclid.as_deref(), Some("g+2"));
    assert_eq!(source.dclid.as_deref(), Some("dclid-value"));
    assert_eq!(source.srsltid.as_deref(), Some("srsltid-value"));
    let names: Vec<_> = click_ids
        .iter()
        .filter_map(|id| id.key.as_deref())
        .collect();
    assert_eq!(names, CLICK_IDS);
    assert_eq!(click_ids[5].value.as_deref(), Some("fbclid-value"));
}

#[test]
fn all_campaign_parameters_have_their_column() {
    let query: Vec<String> = UTM
        .iter()
        .map(|name| format!("{name}={}", &name[4..]))
        .collect();
    let found = source_of(&format!("https://a.test/?{}", query.join("&")), "");
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
    assert_eq!(found, expected);
}

#[test]
fn malformed_addresses_cost_nothing_but_themselves() {
    check("https://[bad", "https://b.test/", "b.test", "referral");
    check("https://[bad/?utm_source=x", "http://[::1", "x", "");
    check("https://a.test/", "javascript:alert(1)", "", "");
}

#[test]
fn of_parameters_sent_twice_the_last_counts() {
    let mut event = event("https://a.test/?utm_source=one", "");
    event
        .event_params
        .push(param("page_location", "https://a.test/?utm_source=two"));
    let (source, _) = collected(&Page::of(&event), &OwnDomains::new(&[]));
    assert_eq!(source.unwrap().manual_source.as_deref(), Some("two"));
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(location in "\\PC*", referrer in "\\PC*", host in "[a-z.\\[\\]:@-]{0,20}") {
        source_of(&location, &referrer);
        source_of(&format!("https://{host}/?{location}"), &format!("https://{host}{referrer}"));
    }
}
