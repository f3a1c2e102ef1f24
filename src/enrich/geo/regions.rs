//! The parts of countries: ISO 3166-2 codes and their English names, from `subdivisions.tsv`, where its origin is told.

use std::sync::LazyLock;

const TABLE: &str = include_str!("subdivisions.tsv");

/// Code (`UA-77`) and name, ascending by code.
static REGIONS: LazyLock<Vec<(&str, &str)>> = LazyLock::new(|| {
    let rows = TABLE.lines().filter(|line| !line.starts_with('#'));
    rows.filter_map(|row| row.split_once('\t')).collect()
});

/// The English name of a region, by its code in capitals.
pub(super) fn name(code: &str) -> Option<&'static str> {
    let place = REGIONS
        .binary_search_by(|(known, _)| known.cmp(&code))
        .ok()?;
    REGIONS.get(place).map(|(_, name)| *name)
}

/// The code of a country's region, by its English name in any case.
pub(super) fn code(country: &str, region: &str) -> Option<&'static str> {
    let begin = REGIONS.partition_point(|(code, _)| *code < country);
    let of_country = REGIONS[begin..]
        .iter()
        .take_while(|(code, _)| code.starts_with(country));
    of_country
        .filter(|(_, name)| name.eq_ignore_ascii_case(region))
        .map(|(code, _)| *code)
        .next()
}

/// An ISO 3166-2 code: `UA-77` from `UA77`, `UA-77`, or `77` with the country known.
pub(super) fn code_in(text: &str, country: Option<&str>) -> Option<String> {
    let text = text.to_ascii_uppercase();
    let is_part = |part: &str| {
        (1..=3).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphanumeric())
    };
    let with_country = country.and_then(|country| text.strip_prefix(country));
    if let (Some(rest), Some(country)) = (with_country, country) {
        let part = rest.strip_prefix('-').unwrap_or(rest);
        if is_part(part) {
            return Some([country, "-", part].concat());
        }
    }
    if let Some((prefix, part)) = text.split_once('-') {
        let is_code = country.is_none() && super::country_code(prefix).is_some() && is_part(part);
        return is_code.then(|| text.clone());
    }
    let country = country?;
    is_part(&text).then(|| [country, "-", &text].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_of_known_countries() {
        assert!(REGIONS.len() > 5_000, "{}", REGIONS.len());
        assert!(REGIONS.is_sorted_by(|a, b| a.0 < b.0));
        for (code, name) in REGIONS.iter() {
            let (country, part) = code.split_once('-').unwrap();
            assert!(
                super::super::countries::Country::by_code(country).is_some(),
                "{code}"
            );
            assert!((1..=3).contains(&part.len()) && !name.is_empty(), "{code}");
        }
    }

    #[test]
    fn regions_are_found_by_code_and_by_name() {
        for (code_, name_) in [
            ("US-CA", "California"),
            ("UA-77", "Chernivtsi Oblast"),
            ("GB-ENG", "England"),
            ("FR-IDF", "Île-de-France"),
            ("JP-13", "Tokyo"),
            ("DE-BE", "Berlin"),
        ] {
            assert_eq!(name(code_), Some(name_));
            assert_eq!(code(&code_[..2], &name_.to_ascii_uppercase()), Some(code_));
        }
        assert_eq!((name("US-QQ"), name(""), name("US")), (None, None, None));
        assert_eq!(
            (code("US", "Bavaria"), code("", ""), code("ZZ", "x")),
            (None, None, None)
        );
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
            ("", Some("US"), None),
        ] {
            let found = code_in(region, country);
            assert_eq!(found.as_deref(), expected, "{region} in {country:?}");
        }
    }
}
