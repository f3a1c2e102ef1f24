//! Where the client is, from the headers that a load balancer adds.
//!
//! A country code becomes an English name with its continent, as GA4 has it; the codes themselves go
//! to `collector.geo`. Names of regions are kept as they come. Nothing is looked up by address.

use http::HeaderName;

use super::{Visit, collector};
use crate::schema::{CollectorGeo, Event, Geo};

mod countries;

use countries::Country;

/// Headers of the load balancer.
pub(super) const COUNTRY: HeaderName = HeaderName::from_static("x-client-geo-country");
const STATE: HeaderName = HeaderName::from_static("x-client-geo-state");
const REGION: HeaderName = HeaderName::from_static("x-client-geo-region");
const CITY: HeaderName = HeaderName::from_static("x-client-geo-city");

/// Longest place name that is stored, in bytes.
const MAX_NAME: usize = 200;

/// Fills in the place.
pub(super) fn fill(event: &mut Event, visit: &Visit<'_>) {
    let country = visit.header(&COUNTRY);
    let region = visit.header(&STATE).or_else(|| visit.header(&REGION));
    let city = visit.header(&CITY);
    let country = place(country.as_deref());
    let region = place(region.as_deref());
    let city = place(city.as_deref());
    if country.is_none() && region.is_none() && city.is_none() {
        return;
    }
    let country_code = country.and_then(country_code);
    let known = match &country_code {
        Some(code) => Country::by_code(code),
        None => country.and_then(Country::by_name),
    };
    let sub_continent = known
        .map(|country| country.sub_continent)
        .filter(|part| !part.is_empty());
    event.geo = Some(Geo {
        city: city.map(str::to_owned),
        country: known
            .map(|country| country.name)
            .or(country)
            .map(str::to_owned),
        continent: known.and_then(Country::continent).map(str::to_owned),
        region: region.map(str::to_owned),
        sub_continent: sub_continent.map(str::to_owned),
        metro: None,
    });
    let country_code = country_code.or(known.map(|country| country.code.to_owned()));
    let region_code = region.and_then(|region| region_code(region, country_code.as_deref()));
    if country_code.is_some() || region_code.is_some() {
        collector(event).geo = Some(CollectorGeo {
            country_code,
            region_code,
        });
    }
}

/// A name that can be stored. `ZZ` and `?` are what load balancers say of an unknown place.
fn place(header: Option<&str>) -> Option<&str> {
    let name = header?.trim();
    let unknown = matches!(name, "" | "ZZ" | "XX" | "?" | "-");
    let junk = name.len() > MAX_NAME || name.chars().any(char::is_control);
    (!unknown && !junk).then_some(name)
}

/// An ISO 3166-1 alpha-2 code, in capitals.
fn country_code(name: &str) -> Option<String> {
    let is_code = name.len() == 2 && name.bytes().all(|byte| byte.is_ascii_alphabetic());
    is_code.then(|| name.to_ascii_uppercase())
}

/// An ISO 3166-2 code: `UA-77` from `UA77`, `UA-77`, or `77` with the country known.
fn region_code(name: &str, country: Option<&str>) -> Option<String> {
    let name = name.to_ascii_uppercase();
    let is_part = |part: &str| {
        (1..=3).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphanumeric())
    };
    let with_country = country.and_then(|country| name.strip_prefix(country));
    if let Some(rest) = with_country {
        let part = rest.strip_prefix('-').unwrap_or(rest);
        if is_part(part) {
            return Some(format!("{}-{part}", country?));
        }
    }
    if let Some((prefix, part)) = name.split_once('-') {
        return (country.is_none() && country_code(prefix).is_some() && is_part(part))
            .then(|| name.clone());
    }
    let country = country?;
    is_part(&name).then(|| format!("{country}-{name}"))
}

#[cfg(test)]
mod tests {
    use super::super::visit::headers;
    use super::countries::COUNTRIES;
    use super::*;

    fn located(country: &str, region: &str, city: &str) -> Event {
        let headers = headers([(COUNTRY, country), (REGION, region), (CITY, city)]);
        let visit = Visit {
            headers: &headers,
            ..Visit::default()
        };
        let mut event = Event::default();
        fill(&mut event, &visit);
        event
    }

    #[test]
    fn codes_become_names_and_are_kept_besides() {
        let event = located("UA", "UA77", "Chernivtsi");
        let geo = event.geo.unwrap();
        assert_eq!(geo.country.as_deref(), Some("Ukraine"));
        assert_eq!(geo.continent.as_deref(), Some("Europe"));
        assert_eq!(geo.sub_continent.as_deref(), Some("Eastern Europe"));
        assert_eq!(geo.region.as_deref(), Some("UA77"));
        assert_eq!(geo.city.as_deref(), Some("Chernivtsi"));
        let codes = event.collector.unwrap().geo.unwrap();
        assert_eq!(codes.country_code.as_deref(), Some("UA"));
        assert_eq!(codes.region_code.as_deref(), Some("UA-77"));
    }

    #[test]
    fn names_stay_and_find_their_code() {
        let event = located("Poland", "Łódzkie", "Łódź");
        let geo = event.geo.unwrap();
        assert_eq!(geo.country.as_deref(), Some("Poland"));
        assert_eq!(geo.city.as_deref(), Some("Łódź"));
        let codes = event.collector.unwrap().geo.unwrap();
        assert_eq!(codes.country_code.as_deref(), Some("PL"));
        assert_eq!(codes.region_code, None);

        let event = located("Atlantis", "", "");
        assert_eq!(event.geo.unwrap().country.as_deref(), Some("Atlantis"));
        assert!(event.collector.is_none());
    }

    #[test]
    fn unknown_and_junk_are_null() {
        assert!(located("ZZ", "", " ").geo.is_none());
        assert!(located("ZZ\tDROP", "\t", &"x".repeat(201)).geo.is_none());
        assert!(located("", "?", "-").collector.is_none());
    }

    #[test]
    fn region_codes_are_told_from_names() {
        for (region, country, expected) in [
            ("UA77", Some("UA"), Some("UA-77")),
            ("UA-77", Some("UA"), Some("UA-77")),
            ("77", Some("UA"), Some("UA-77")),
            ("usca", Some("US"), Some("US-CA")),
            ("CA", Some("US"), Some("US-CA")),
            ("US-CA", None, Some("US-CA")),
            ("CA", None, None),
            ("Bavaria", Some("DE"), None),
            ("DE-BY", Some("US"), None),
            ("Île-de-France", Some("FR"), None),
        ] {
            assert_eq!(
                region_code(region, country).as_deref(),
                expected,
                "{region} in {country:?}"
            );
        }
    }

    #[test]
    fn the_table_is_sorted_and_each_country_has_its_continent() {
        assert!(COUNTRIES.is_sorted_by(|a, b| a.code < b.code));
        for country in COUNTRIES {
            assert_eq!(Country::by_code(country.code), Some(country));
            assert_eq!(
                country.continent().is_none(),
                country.code == "AQ",
                "{}",
                country.code
            );
        }
    }
}
