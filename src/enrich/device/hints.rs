//! What a browser says of itself besides the User-Agent: user agent client hints
//! (<https://wicg.github.io/ua-client-hints/>), and the app that shows the page.
//!
//! They come as headers, as members of the payload (what `navigator.userAgentData.getHighEntropyValues()` gives, or the headers' names), or as
//! GA4's `ua…` parameters. What makes no sense is as if it were not there. What they mean for the device is not known here.

use std::borrow::Cow;

use http::HeaderName;
use percent_encoding::percent_decode_str;

use super::super::visit::Visit;

/// Longest value that is looked at, in bytes; of lists of brands and the like, twice as much.
const MAX_VALUE: usize = 256;

/// Most brands that are looked at.
const MAX_BRANDS: usize = 16;

/// Headers in which hints come, in the order of [`Hint`].
static HEADERS: [HeaderName; 11] = [
    HeaderName::from_static("sec-ch-ua"),
    HeaderName::from_static("sec-ch-ua-full-version-list"),
    HeaderName::from_static("sec-ch-ua-full-version"),
    HeaderName::from_static("sec-ch-ua-mobile"),
    HeaderName::from_static("sec-ch-ua-model"),
    HeaderName::from_static("sec-ch-ua-platform"),
    HeaderName::from_static("sec-ch-ua-platform-version"),
    HeaderName::from_static("sec-ch-ua-arch"),
    HeaderName::from_static("sec-ch-ua-bitness"),
    HeaderName::from_static("sec-ch-ua-form-factors"),
    HeaderName::from_static("x-requested-with"),
];

/// One hint, as it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hint {
    Brands,
    FullBrands,
    FullVersion,
    Mobile,
    Model,
    Platform,
    PlatformVersion,
    Architecture,
    Bitness,
    FormFactors,
    App,
}

const HINTS: [Hint; 11] = [
    Hint::Brands,
    Hint::FullBrands,
    Hint::FullVersion,
    Hint::Mobile,
    Hint::Model,
    Hint::Platform,
    Hint::PlatformVersion,
    Hint::Architecture,
    Hint::Bitness,
    Hint::FormFactors,
    Hint::App,
];

/// Their names, as they are written.
const NAMES: [&str; HINTS.len()] = [
    "Sec-CH-UA",
    "Sec-CH-UA-Full-Version-List",
    "Sec-CH-UA-Full-Version",
    "Sec-CH-UA-Mobile",
    "Sec-CH-UA-Model",
    "Sec-CH-UA-Platform",
    "Sec-CH-UA-Platform-Version",
    "Sec-CH-UA-Arch",
    "Sec-CH-UA-Bitness",
    "Sec-CH-UA-Form-Factors",
    "X-Requested-With",
];

/// Client hints that a payload brought, each as the header of that name would say it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientHints([Option<Box<str>>; HINTS.len()]);

impl ClientHints {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(Option::is_none)
    }

    /// Takes a member of a payload, by the name that the browser's own function, the header or GA4 gives it, and its value as text. Whether it is one.
    pub fn take(&mut self, name: &str, value: &str) -> bool {
        let Some((hint, form)) = named(name) else {
            return false;
        };
        let value = match form {
            Form::Header => value.to_owned(),
            Form::Flag if matches!(value, "1" | "true" | "?1") => "?1".to_owned(),
            Form::Flag => "?0".to_owned(),
            Form::Ga4Brands => ga4_brands(value),
        };
        self.set(hint, value);
        true
    }

    /// Takes the brands of a payload: pairs of brand and version; with `full`, versions are whole.
    pub fn take_brands<'a>(
        &mut self,
        full: bool,
        brands: impl Iterator<Item = (&'a str, &'a str)>,
    ) {
        let hint = if full { Hint::FullBrands } else { Hint::Brands };
        self.set(hint, brand_list(brands));
    }

    /// Takes the kinds of device of a payload.
    pub fn take_form_factors<'a>(&mut self, factors: impl Iterator<Item = &'a str>) {
        let factors: Vec<String> = factors
            .take(MAX_BRANDS)
            .map(|factor| format!("\"{factor}\""))
            .collect();
        self.set(Hint::FormFactors, factors.join(", "));
    }

    /// Keeps a value, unless no header could say it.
    fn set(&mut self, hint: Hint, value: String) {
        let is_sound = !value.is_empty() && !value.contains(|c: char| c.is_ascii_control());
        self.0[hint as usize] = is_sound.then(|| value.into());
    }
}

/// How a member of a payload is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Header,
    Flag,
    Ga4Brands,
}

fn named(name: &str) -> Option<(Hint, Form)> {
    let by_header = || {
        let name = name.to_ascii_lowercase().replace('_', "-");
        let at = HEADERS.iter().position(|header| header.as_str() == name)?;
        Some((HINTS[at], Form::Header))
    };
    Some(match name {
        "architecture" | "uaa" => (Hint::Architecture, Form::Header),
        "bitness" | "uab" => (Hint::Bitness, Form::Header),
        "model" | "uam" => (Hint::Model, Form::Header),
        "platform" | "uap" => (Hint::Platform, Form::Header),
        "platformVersion" | "uapv" => (Hint::PlatformVersion, Form::Header),
        "uaFullVersion" => (Hint::FullVersion, Form::Header),
        "mobile" | "uamb" => (Hint::Mobile, Form::Flag),
        "uafvl" => (Hint::FullBrands, Form::Ga4Brands),
        _ => return by_header(),
    })
}

/// GA4's `brand;version|brand;version`, each percent-encoded, as a header would say it.
fn ga4_brands(text: &str) -> String {
    let decoded = |text| percent_decode_str(text).decode_utf8_lossy();
    let pairs = text.split('|').filter_map(|pair| pair.split_once(';'));
    brand_list(pairs.map(|(brand, version)| (decoded(brand), decoded(version))))
}

fn brand_list<T: AsRef<str>>(brands: impl Iterator<Item = (T, T)>) -> String {
    let plain = |text: T| text.as_ref().replace(['"', '\\'], "");
    let brands = brands.take(MAX_BRANDS);
    let brands: Vec<String> = brands
        .map(|(brand, version)| format!("\"{}\";v=\"{}\"", plain(brand), plain(version)))
        .collect();
    brands.join(", ")
}

/// The hints of a visit: those of the payload first, then those of the headers. Nothing is copied.
#[derive(Debug)]
pub(crate) struct Sent<'v>([Option<Cow<'v, str>>; HINTS.len()]);

impl<'v> Sent<'v> {
    pub(crate) fn by(visit: &'v Visit<'_>) -> Self {
        let mut sent = [const { None }; HINTS.len()];
        // Most headers are no hints, and most hints are not there: one look at each header is less than to look for each hint.
        for name in visit.headers.keys() {
            let text = name.as_str();
            if (text.starts_with("sec-ch-ua") || text.starts_with("x-requested"))
                && let Some(at) = HEADERS.iter().position(|header| header == name)
            {
                sent[at] = visit.header(name);
            }
        }
        if let Some(hints) = visit.hints {
            for (value, told) in sent.iter_mut().zip(&hints.0) {
                *value = told.as_deref().map(Cow::Borrowed).or(value.take());
            }
        }
        Self(sent)
    }

    fn get(&self, hint: Hint) -> Option<&str> {
        let max = match hint {
            Hint::Brands | Hint::FullBrands => 2 * MAX_VALUE,
            _ => MAX_VALUE,
        };
        // The original takes values with tags in them for attacks.
        let is_sound = |value: &&str| value.len() <= max && !value.contains('<');
        self.0[hint as usize].as_deref().filter(is_sound)
    }

    /// All of them as one text, by which equal ones are told.
    pub(crate) fn key(&self, key: &mut String) {
        for hint in HINTS {
            key.push('\n');
            key.push_str(self.get(hint).unwrap_or_default());
        }
    }

    /// Each hint that came, by its header.
    pub(crate) fn each(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let sent = NAMES.into_iter().zip(&self.0);
        sent.filter_map(|(name, value)| Some((name, value.as_deref()?)))
    }

    /// What they say.
    pub(crate) fn read(&self) -> Option<Hints> {
        if HINTS.iter().all(|hint| self.get(*hint).is_none()) {
            return None;
        }
        let text = |hint: Hint| {
            self.get(hint)
                .unwrap_or_default()
                .trim_matches('"')
                .to_owned()
        };
        let brands = |hint: Hint| {
            self.get(hint)
                .map(brands)
                .filter(|brands| !brands.is_empty())
        };
        let app = self
            .get(Hint::App)
            .filter(|app| !app.eq_ignore_ascii_case("xmlhttprequest"));
        let quoted = |text: &str| -> Vec<String> {
            let parts = text.split('"').skip(1).step_by(2).map(str::to_owned);
            parts.collect()
        };
        Some(Hints {
            architecture: text(Hint::Architecture),
            bitness: text(Hint::Bitness),
            model: text(Hint::Model),
            platform: text(Hint::Platform),
            platform_version: text(Hint::PlatformVersion),
            full_version: text(Hint::FullVersion),
            brands: brands(Hint::FullBrands)
                .or_else(|| brands(Hint::Brands))
                .unwrap_or_default(),
            app: app.unwrap_or_default().to_owned(),
            form_factors: self
                .get(Hint::FormFactors)
                .map(|text| quoted(&text.to_ascii_lowercase()))
                .unwrap_or_default(),
        })
    }
}

/// `"brand";v="version"`, with commas between; up to where it is something else. A brand that is there twice counts with its last version.
fn brands(list: &str) -> Vec<(String, String)> {
    let mut brands: Vec<(String, String)> = Vec::new();
    let mut rest = list;
    while let Some((brand, version, after)) =
        first_brand(rest).filter(|_| brands.len() < MAX_BRANDS)
    {
        match brands.iter_mut().find(|(known, _)| known == brand) {
            Some((_, known)) => version.clone_into(known),
            None => brands.push((brand.to_owned(), version.to_owned())),
        }
        rest = after.strip_prefix(',').unwrap_or(after).trim_start();
    }
    brands
}

fn first_brand(list: &str) -> Option<(&str, &str, &str)> {
    let (brand, rest) = list.strip_prefix('"')?.split_once('"')?;
    let rest = rest.strip_prefix(';')?.trim_start().strip_prefix("v=\"")?;
    let (version, rest) = rest.split_once('"')?;
    let is_whole = !brand.is_empty() && !version.is_empty();
    is_whole.then_some((brand, version, rest))
}

/// Client hints, read. What was not sent is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Hints {
    /// Architecture of the processor: `x86`, `arm`.
    pub(crate) architecture: String,
    /// Its bits.
    pub(crate) bitness: String,
    /// Model of the device.
    pub(crate) model: String,
    /// Operating system.
    pub(crate) platform: String,
    /// Its version.
    pub(crate) platform_version: String,
    /// Version of the browser, all of it.
    pub(crate) full_version: String,
    /// Brands of the browser and their versions.
    pub(crate) brands: Vec<(String, String)>,
    /// Id of the app in which the page is shown: `X-Requested-With`.
    pub(crate) app: String,
    /// What kinds of device it is, in lower case.
    pub(crate) form_factors: Vec<String>,
}

/// What a server asks browsers for (`Accept-CH`), all but what they send anyway.
pub const ASKED_FOR: &str = "Sec-CH-UA-Full-Version-List, Sec-CH-UA-Model, Sec-CH-UA-Platform-Version, Sec-CH-UA-Arch, Sec-CH-UA-Bitness, Sec-CH-UA-Form-Factors";

/// What a page of the server lets other origins have of that (`Permissions-Policy`).
pub const DELEGATED: &str = "ch-ua-full-version-list=*, ch-ua-model=*, ch-ua-platform-version=*, ch-ua-arch=*, ch-ua-bitness=*, ch-ua-form-factors=*";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::super::visit::headers;
    use super::*;

    #[test]
    fn headers_are_read_as_browsers_send_them() {
        let headers = headers([
            (
                HEADERS[0].clone(),
                r#""Chromium";v="148", "Google Chrome";v="148", "Not/A)Brand";v="99""#,
            ),
            (
                HEADERS[1].clone(),
                r#""Chromium";v="148.0.7778.96", "Google Chrome";v="148.0.7778.96""#,
            ),
            (HEADERS[3].clone(), "?1"),
            (HEADERS[4].clone(), r#""Pixel 9""#),
            (HEADERS[9].clone(), r#""Mobile", "XR""#),
            (HEADERS[10].clone(), "XMLHttpRequest"),
        ]);
        let visit = Visit {
            headers: &headers,
            ..Visit::default()
        };
        let hints = Sent::by(&visit).read().unwrap();
        let version = "148.0.7778.96".to_owned();
        assert_eq!(
            hints,
            Hints {
                model: "Pixel 9".to_owned(),
                brands: vec![
                    ("Chromium".to_owned(), version.clone()),
                    ("Google Chrome".to_owned(), version)
                ],
                form_factors: vec!["mobile".to_owned(), "xr".to_owned()],
                ..Hints::default()
            }
        );
        assert_eq!(Sent::by(&Visit::default()).read(), None);
    }

    #[test]
    fn payloads_say_the_same_in_three_ways() {
        let mut by_function = ClientHints::default();
        for (name, value) in [
            ("architecture", "arm"),
            ("mobile", "true"),
            ("model", "Pixel 9"),
            ("platformVersion", "16.0.0"),
        ] {
            assert!(by_function.take(name, value));
        }
        by_function.take_brands(
            true,
            [("Not;A=Brand", "99"), ("Google \"Chrome\"", "148.0.1")].into_iter(),
        );
        let mut by_header = ClientHints::default();
        for (name, value) in [
            ("Sec-CH-UA-Arch", "arm"),
            ("sec_ch_ua_mobile", "?1"),
            ("sec-ch-ua-model", "Pixel 9"),
            ("sec-ch-ua-platform-version", "16.0.0"),
            (
                "sec-ch-ua-full-version-list",
                r#""Not;A=Brand";v="99", "Google Chrome";v="148.0.1""#,
            ),
        ] {
            assert!(by_header.take(name, value), "{name}");
        }
        let mut by_ga4 = ClientHints::default();
        for (name, value) in [
            ("uaa", "arm"),
            ("uamb", "1"),
            ("uam", "Pixel 9"),
            ("uapv", "16.0.0"),
            ("uafvl", "Not%3BA%3DBrand;99|Google%20Chrome;148.0.1"),
        ] {
            assert!(by_ga4.take(name, value), "{name}");
        }
        assert_eq!(by_function, by_header);
        assert_eq!(by_ga4, by_header);
        assert!(!by_ga4.take("ua", "x") && !by_ga4.take("sec-ch-width", "1"));
    }

    #[test]
    fn the_payload_wins_over_headers() {
        let headers = headers([
            (HEADERS[4].clone(), "\"A\""),
            (HEADERS[5].clone(), "\"Linux\""),
        ]);
        let mut hints = ClientHints::default();
        hints.take("model", "B");
        let visit = Visit {
            headers: &headers,
            hints: Some(&hints),
            ..Visit::default()
        };
        let read = Sent::by(&visit).read().unwrap();
        assert_eq!(
            (read.model.as_str(), read.platform.as_str()),
            ("B", "Linux")
        );
    }

    #[test]
    fn what_makes_no_sense_is_not_there() {
        let long = "x".repeat(MAX_VALUE + 1);
        for value in ["<b>Pixel</b>", &long] {
            let headers = headers([(HEADERS[4].clone(), value)]);
            let visit = Visit {
                headers: &headers,
                ..Visit::default()
            };
            assert_eq!(Sent::by(&visit).read(), None, "{value}");
        }
        let mut hints = ClientHints::default();
        // A line's end could make hints of one visit look like those of another.
        for value in ["Pixel\n9", "a\u{0}"] {
            assert!(hints.take("model", value));
            hints.take_brands(true, [(value, "1")].into_iter());
            hints.take_form_factors([value].into_iter());
            assert!(hints.is_empty(), "{value}");
        }
        assert_eq!(
            brands(r#""A";v="1", "A";v="2", B"#),
            [("A".to_owned(), "2".to_owned())]
        );
        assert_eq!(brands(r#""A";x"#), []);
    }

    proptest! {
        #[test]
        fn any_list_is_read(list in "[\"; ,v=a-z\\\\0-9é]{0,80}") {
            prop_assert!(brands(&list).len() <= MAX_BRANDS);
            let mut hints = ClientHints::default();
            hints.take("uafvl", &list);
            hints.take_brands(false, [(list.as_str(), list.as_str())].into_iter());
            hints.take_form_factors([list.as_str()].into_iter());
            let visit = Visit { hints: Some(&hints), ..Visit::default() };
            Sent::by(&visit).read();
        }
    }
}
