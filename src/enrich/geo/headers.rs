//! Which headers of which platform tell the client's place.
//!
//! Nothing here asks whether they can be trusted; a text is taken as it is, percent signs decoded.

use std::borrow::Cow;

use http::{HeaderMap, HeaderName};
use percent_encoding::percent_decode_str;

use super::Place;
use crate::enrich::client_ip::Platform;
use crate::enrich::visit::header_text;

/// Longest place name that is taken, in bytes.
const MAX_NAME: usize = 200;

/// The headers of a platform, as far as it has them.
#[derive(Debug)]
struct Headers {
    country_code: Option<HeaderName>,
    country_name: Option<HeaderName>,
    region_code: Option<HeaderName>,
    /// Where that is not there.
    region_code_else: Option<HeaderName>,
    region_name: Option<HeaderName>,
    city: Option<HeaderName>,
    metro_code: Option<HeaderName>,
}

/// What the owner of a load balancer configures, as the headers of Google Cloud's variables `{client_region}`,
/// `{client_region_subdivision}`, `{client_city}` (<https://cloud.google.com/load-balancing/docs/https/custom-headers>).
static CONFIGURED: Headers = Headers {
    country_code: Some(HeaderName::from_static("x-client-geo-country")),
    country_name: None,
    region_code: Some(HeaderName::from_static("x-client-geo-state")),
    region_code_else: Some(HeaderName::from_static("x-client-geo-region")),
    region_name: None,
    city: Some(HeaderName::from_static("x-client-geo-city")),
    metro_code: None,
};

/// <https://cloud.google.com/appengine/docs/standard/reference/request-headers>
static APP_ENGINE: Headers = Headers {
    country_code: Some(HeaderName::from_static("x-appengine-country")),
    country_name: None,
    region_code: Some(HeaderName::from_static("x-appengine-region")),
    region_code_else: None,
    region_name: None,
    city: Some(HeaderName::from_static("x-appengine-city")),
    metro_code: None,
};

/// <https://developers.cloudflare.com/rules/transform/managed-transforms/reference/>, "Add visitor location headers".
static CLOUDFLARE: Headers = Headers {
    country_code: Some(HeaderName::from_static("cf-ipcountry")),
    country_name: None,
    region_code: Some(HeaderName::from_static("cf-region-code")),
    region_code_else: None,
    region_name: Some(HeaderName::from_static("cf-region")),
    city: Some(HeaderName::from_static("cf-ipcity")),
    metro_code: Some(HeaderName::from_static("cf-metro-code")),
};

/// <https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/adding-cloudfront-headers.html>
static CLOUD_FRONT: Headers = Headers {
    country_code: Some(HeaderName::from_static("cloudfront-viewer-country")),
    country_name: Some(HeaderName::from_static("cloudfront-viewer-country-name")),
    region_code: Some(HeaderName::from_static("cloudfront-viewer-country-region")),
    region_code_else: None,
    region_name: Some(HeaderName::from_static(
        "cloudfront-viewer-country-region-name",
    )),
    city: Some(HeaderName::from_static("cloudfront-viewer-city")),
    metro_code: Some(HeaderName::from_static("cloudfront-viewer-metro-code")),
};

/// Fastly sends none by itself; these are those that its VCL is to set from `client.geo.*`.
static FASTLY: Headers = Headers {
    country_code: Some(HeaderName::from_static("client-geo-country")),
    country_name: None,
    region_code: Some(HeaderName::from_static("client-geo-region")),
    region_code_else: None,
    region_name: None,
    city: Some(HeaderName::from_static("client-geo-city")),
    metro_code: Some(HeaderName::from_static("client-geo-metro-code")),
};

/// <https://vercel.com/docs/headers/request-headers>
static VERCEL: Headers = Headers {
    country_code: Some(HeaderName::from_static("x-vercel-ip-country")),
    country_name: None,
    region_code: Some(HeaderName::from_static("x-vercel-ip-country-region")),
    region_code_else: None,
    region_name: None,
    city: Some(HeaderName::from_static("x-vercel-ip-city")),
    metro_code: None,
};

impl Headers {
    fn of(platform: Platform) -> &'static Self {
        match platform {
            Platform::None | Platform::Google | Platform::Akamai => &CONFIGURED,
            Platform::AppEngine => &APP_ENGINE,
            Platform::Cloudflare => &CLOUDFLARE,
            Platform::CloudFront => &CLOUD_FRONT,
            Platform::Fastly => &FASTLY,
            Platform::Vercel => &VERCEL,
        }
    }

    fn names(&'static self) -> impl Iterator<Item = &'static HeaderName> {
        let all = [
            &self.country_code,
            &self.country_name,
            &self.region_code,
            &self.region_code_else,
            &self.region_name,
            &self.city,
            &self.metro_code,
        ];
        all.into_iter().flatten()
    }
}

/// The place that the platform's headers tell.
pub(super) fn place(platform: Platform, headers: &HeaderMap) -> Place<'_> {
    let names = Headers::of(platform);
    let told = |name: &Option<HeaderName>| text(headers, name.as_ref()?);
    let city = told(&names.city);
    Place {
        country_code: told(&names.country_code),
        country_name: told(&names.country_name),
        region_code: told(&names.region_code).or_else(|| told(&names.region_code_else)),
        region_name: told(&names.region_name),
        city: match platform {
            // It comes in small letters.
            Platform::AppEngine => city.map(|city| Cow::Owned(capitals(&city))),
            _ => city,
        },
        metro_code: told(&names.metro_code),
    }
}

/// The headers that were looked at and are there.
pub(super) fn seen(
    platform: Platform,
    headers: &HeaderMap,
) -> impl Iterator<Item = (&'static str, Cow<'_, str>)> {
    let names = Headers::of(platform).names();
    names.filter_map(|name| {
        let value = header_text(headers.get(name)?.as_bytes());
        Some((name.as_str(), value))
    })
}

/// A name that can be stored.
fn text<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<Cow<'h, str>> {
    let value = header_text(headers.get(name)?.as_bytes());
    let is_plain = |byte: u8| byte.is_ascii() && !byte.is_ascii_control() && byte != b'%';
    let value = match value {
        Cow::Borrowed(text) if text.bytes().all(is_plain) => Cow::Borrowed(text.trim()),
        text => {
            let text = percent_decode_str(text.trim()).decode_utf8_lossy();
            if text.chars().any(char::is_control) {
                return None;
            }
            Cow::Owned(text.into_owned())
        }
    };
    (!is_unknown(&value) && value.len() <= MAX_NAME).then_some(value)
}

/// What platforms say of a place that they do not know; T1 is Cloudflare's word for Tor.
fn is_unknown(name: &str) -> bool {
    matches!(name, "" | "ZZ" | "XX" | "T1" | "?" | "-" | "(not set)")
}

/// Each word with a capital.
pub(super) fn capitals(text: &str) -> String {
    let mut before = ' ';
    let letter = |letter: char| {
        let is_first = matches!(before, ' ' | '-' | '\'');
        before = letter;
        let capital = is_first.then(|| letter.to_uppercase());
        let same = (!is_first).then_some(letter);
        capital.into_iter().flatten().chain(same)
    };
    text.chars().flat_map(letter).collect()
}
