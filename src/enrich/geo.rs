//! Where the client is: from headers of the platform in front where they are trusted, else from a database by address.
//!
//! A country code becomes an English name with its continent, a region code its name, as GA4 has them; the codes
//! themselves go to `collector.geo`. What the headers leave open the database fills, if it agrees on the rest. Names
//! that no table knows are kept as they come.

use std::borrow::Cow;

use super::client_ip::Platform;
use super::explain::{Explanation, Step};
use super::{Visit, collector};
use crate::schema::{CollectorGeo, Event, Geo};

mod countries;
mod database;
mod headers;
mod regions;

use countries::Country;
pub use database::{BadDatabase, Places};

/// A place, as a platform or a database tells it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Place<'p> {
    /// ISO 3166-1 alpha-2, or a name from those who send one in its place.
    country_code: Option<Cow<'p, str>>,
    /// In English.
    country_name: Option<Cow<'p, str>>,
    /// ISO 3166-2 with or without the country, or a name from those who send one in its place.
    region_code: Option<Cow<'p, str>>,
    /// In English.
    region_name: Option<Cow<'p, str>>,
    /// In English.
    city: Option<Cow<'p, str>>,
    /// Code of the metro area in the United States.
    metro_code: Option<Cow<'p, str>>,
}

/// Fills in the place. `platform`: whose headers are trusted, if any.
pub(super) fn fill(
    event: &mut Event,
    visit: &Visit<'_>,
    platform: Option<Platform>,
    places: Option<&Places>,
    explanation: &mut Explanation,
) {
    let told = platform.map(|platform| headers::place(platform, visit.headers));
    let told = told.unwrap_or_default();
    let is_whole = told.country_code.is_some() && told.region_code.is_some() && told.city.is_some();
    let found = places.filter(|_| !is_whole).zip(visit.client_ip);
    let found = found.and_then(|(places, address)| places.place(address));
    let (place, rule) = joined(told, found);
    let (geo, codes) = named(&place);
    explanation.step(|| {
        let mut step = Step::new("geo", rule);
        for (name, value) in platform
            .into_iter()
            .flat_map(|platform| headers::seen(platform, visit.headers))
        {
            step = step.saw(name, Some(value));
        }
        step.saw("database", places.map(|_| "configured"))
            .filled("geo.country", geo.country.as_ref())
            .filled("geo.region", geo.region.as_ref())
            .filled("geo.city", geo.city.as_ref())
            .filled("geo.continent", geo.continent.as_ref())
            .filled("geo.sub_continent", geo.sub_continent.as_ref())
            .filled("collector.geo.country_code", codes.country_code.as_ref())
            .filled("collector.geo.region_code", codes.region_code.as_ref())
            .filled("collector.geo.metro_code", codes.metro_code.as_ref())
    });
    if geo != Geo::default() {
        event.geo = Some(geo);
    }
    if codes != CollectorGeo::default() {
        collector(event).geo = Some(codes);
    }
}

/// What the headers tell, with what the database knows besides.
fn joined<'p>(told: Place<'p>, found: Option<Place<'p>>) -> (Place<'p>, &'static str) {
    let is_told = told != Place::default();
    let Some(found) = found else {
        let rule = if is_told {
            "headers of the platform"
        } else {
            "nothing tells a place"
        };
        return (told, rule);
    };
    if !is_told {
        return (found, "database, by the client's address");
    }
    if !agree(&told, &found) {
        return (told, "headers of the platform; the database disagrees");
    }
    let place = Place {
        country_code: told.country_code,
        country_name: told.country_name,
        region_code: told.region_code.or(found.region_code),
        region_name: told.region_name.or(found.region_name),
        city: told.city.or(found.city),
        metro_code: told.metro_code.or(found.metro_code),
    };
    (place, "headers of the platform, then the database")
}

/// Whether both name the same country, and nothing below it that differs.
fn agree(told: &Place<'_>, found: &Place<'_>) -> bool {
    let is_same = |told: &Option<String>, found: &Option<String>| match (told, found) {
        (Some(told), Some(found)) => told.eq_ignore_ascii_case(found),
        _ => true,
    };
    let ((told, told_codes), (found, found_codes)) = (named(told), named(found));
    told_codes.country_code.is_some()
        && told_codes.country_code == found_codes.country_code
        && is_same(&told.region, &found.region)
        && is_same(&told.city, &found.city)
}

/// The country of the table.
fn known(place: &Place<'_>) -> Option<Country> {
    let by_code = |code: &str| match *code.as_bytes() {
        [first, second] => {
            let code = [first, second].map(|byte| byte.to_ascii_uppercase());
            Country::by_code(std::str::from_utf8(&code).ok()?)
        }
        _ => None,
    };
    let texts = [&place.country_code, &place.country_name];
    texts
        .into_iter()
        .flatten()
        .find_map(|text| by_code(text).or_else(|| Country::by_name(text)))
}

/// The columns of a place.
fn named(place: &Place<'_>) -> (Geo, CollectorGeo) {
    let country = known(place);
    let code = match country {
        Some(country) => Some(country.code.to_owned()),
        None => place.country_code.as_deref().and_then(country_code),
    };
    let region = place.region_code.as_deref();
    let region_code = region
        .and_then(|region| regions::code_in(region, code.as_deref()))
        .or_else(|| {
            let names = [region, place.region_name.as_deref()];
            let country = code.as_deref()?;
            let code = |name| regions::code(country, name).map(str::to_owned);
            names.into_iter().flatten().find_map(code)
        });
    let region_name = region_code
        .as_deref()
        .and_then(regions::name)
        .or(place.region_name.as_deref())
        .or(region);
    let text = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    let country_name = country
        .map(|country| country.name)
        .or(place.country_name.as_deref())
        .or(place.country_code.as_deref());
    let geo = Geo {
        city: place.city.as_deref().and_then(text),
        country: country_name.and_then(text),
        continent: country.map(Country::continent).and_then(text),
        region: region_name.and_then(text),
        sub_continent: country.and_then(|country| text(country.sub_continent)),
        metro: None,
    };
    // CloudFront says 0 outside of the United States.
    let metro_code = place.metro_code.as_deref().filter(|code| *code != "0");
    let codes = CollectorGeo {
        country_code: code,
        region_code,
        metro_code: metro_code.and_then(text),
    };
    (geo, codes)
}

/// An ISO 3166-1 alpha-2 code, in capitals.
fn country_code(name: &str) -> Option<String> {
    let is_code = name.len() == 2 && name.bytes().all(|byte| byte.is_ascii_alphabetic());
    is_code.then(|| name.to_ascii_uppercase())
}

#[cfg(test)]
mod tests;
