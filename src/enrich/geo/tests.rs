use http::{HeaderMap, HeaderName, HeaderValue};
use proptest::prelude::*;

use super::countries::COUNTRIES;
use super::*;

/// Platform, headers and the columns that are expected, a line each.
const CASES: &str = include_str!("../../../tests/fixtures/enrich/places.tsv");

const DATABASE: &[u8] = include_bytes!("../../../tests/fixtures/enrich/places.mmdb");

fn headers(text: &str) -> HeaderMap {
    let lines = text.split(" | ").filter_map(|line| line.split_once(": "));
    lines
        .map(|(name, value)| {
            let name: HeaderName = name.parse().unwrap();
            (name, HeaderValue::from_bytes(value.as_bytes()).unwrap())
        })
        .collect()
}

fn located(platform: Option<Platform>, sent: &str, ip: &str, places: Option<&Places>) -> Event {
    let headers = headers(sent);
    let visit = Visit {
        headers: &headers,
        client_ip: ip.parse().ok(),
        ..Visit::default()
    };
    let mut event = Event::default();
    let mut explanation = Explanation::asked();
    fill(&mut event, &visit, platform, places, &mut explanation);
    assert_eq!(explanation.into_steps().len(), 1);
    event
}

/// Country, region, city, continent, part of it, and the codes; `-` where there is none.
fn columns(event: &Event) -> [String; 8] {
    let geo = event.geo.clone().unwrap_or_default();
    let codes = event.collector.as_ref().and_then(|c| c.geo.clone());
    let codes = codes.unwrap_or_default();
    [
        geo.country,
        geo.region,
        geo.city,
        geo.continent,
        geo.sub_continent,
        codes.country_code,
        codes.region_code,
        codes.metro_code,
    ]
    .map(|text| text.unwrap_or_else(|| "-".to_owned()))
}

fn places() -> Places {
    Places::read(DATABASE.to_vec()).unwrap()
}

#[test]
fn every_case_of_the_table_has_its_place() {
    let places = places();
    let mut cases = 0;
    for line in CASES.lines().filter(|line| !line.starts_with('#')) {
        let cells: Vec<&str> = line.split('\t').collect();
        let [platform, ip, sent, expected @ ..] = &cells[..] else {
            panic!("{line}");
        };
        let platform = match *platform {
            "untrusted" => None,
            "none" => Some(Platform::None),
            "google" => Some(Platform::Google),
            "appengine" => Some(Platform::AppEngine),
            "cloudflare" => Some(Platform::Cloudflare),
            "cloudfront" => Some(Platform::CloudFront),
            "fastly" => Some(Platform::Fastly),
            "vercel" => Some(Platform::Vercel),
            other => panic!("{other}"),
        };
        let places = (*ip != "-").then_some(&places);
        let found = columns(&located(platform, sent, ip, places));
        assert_eq!(&found.each_ref()[..], expected, "{line}");
        cases += 1;
    }
    assert!(cases >= 40, "{cases}");
}

#[test]
fn unknown_and_junk_are_null() {
    let long = format!("X-Client-Geo-City: {}", "x".repeat(201));
    for sent in [
        "X-Client-Geo-Country: ZZ | X-Client-Geo-City: -",
        "X-Client-Geo-Country: ZZ\tDROP",
        "X-Client-Geo-City: %00",
        &long,
    ] {
        let event = located(Some(Platform::None), sent, "", None);
        assert!(event.geo.is_none() && event.collector.is_none(), "{sent}");
    }
}

#[test]
fn the_table_is_sorted_and_each_country_has_its_continent() {
    assert!(COUNTRIES.is_sorted_by(|a, b| a.code < b.code));
    let continents = [
        "Africa",
        "Americas",
        "Asia",
        "Europe",
        "Oceania",
        "Antarctica",
    ];
    for country in COUNTRIES {
        assert_eq!(Country::by_code(country.code), Some(country));
        assert!(
            continents.contains(&country.continent()),
            "{}",
            country.code
        );
        let is_antarctica = country.code == "AQ";
        assert_eq!(
            country.sub_continent.is_empty(),
            is_antarctica,
            "{}",
            country.code
        );
        assert_eq!(
            country.continent() == "Antarctica",
            is_antarctica,
            "{}",
            country.code
        );
    }
    // All of ISO 3166-1, and Kosovo, which is not in it.
    assert_eq!(COUNTRIES.len(), 249 + 1);
}

#[test]
fn what_is_no_database_of_places_is_refused() {
    assert!(Places::read(Vec::new()).is_err());
    assert!(Places::read(b"junk".to_vec()).is_err());
    assert!(Places::read(DATABASE[..DATABASE.len() / 2].to_vec()).is_err());
    let other = String::from_utf8_lossy(DATABASE).into_owned();
    assert!(other.contains("Test-City"));
    let mut bytes = DATABASE.to_vec();
    let name = bytes
        .windows(9)
        .position(|part| part == b"Test-City")
        .unwrap();
    bytes[name..name + 9].copy_from_slice(b"Test-Isps");
    assert!(matches!(Places::read(bytes), Err(BadDatabase::Type(kind)) if kind == "Test-Isps"));
    places().verify().unwrap();
}

#[test]
fn damage_is_found_or_costs_nothing() {
    for place in 0..DATABASE.len() {
        let mut bytes = DATABASE.to_vec();
        bytes[place] ^= 0xff;
        if let Ok(places) = Places::read(bytes) {
            drop(places.verify());
            for ip in ["203.0.113.9", "2001:db8::1"] {
                located(None, "", ip, Some(&places));
            }
        }
    }
}

proptest! {
    #[test]
    fn no_header_makes_it_panic(country in "[ -~é%]{0,12}", region in "\\PC{0,12}", city in "\\PC{0,12}") {
        let mut sent = HeaderMap::new();
        for (name, value) in [("cf-ipcountry", &country), ("cf-region-code", &region), ("cf-region", &region), ("cf-ipcity", &city)] {
            sent.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        let visit = Visit { headers: &sent, ..Visit::default() };
        fill(&mut Event::default(), &visit, Some(Platform::Cloudflare), None, &mut Explanation::unasked());
        drop(super::headers::capitals(&city));
    }
}
