//! Which headers of which platform tell the client's place.
//!
//! Nothing here asks whether they can be trusted; a text is taken as it is, percent signs decoded.

use std::borrow::Cow;

use http::HeaderMap;
use percent_encoding::percent_decode_str;

use super::Place;
use crate::enrich::client_ip::Platform;
use crate::enrich::visit::header_text;

/// Longest place name that is taken, in bytes.
const MAX_NAME: usize = 200;

/// The headers of a platform, each with those that stand in for it.
#[derive(Debug)]
struct Headers {
    country_code: &'static [&'static str],
    country_name: &'static [&'static str],
    region_code: &'static [&'static str],
    region_name: &'static [&'static str],
    city: &'static [&'static str],
    metro_code: &'static [&'static str],
}

/// What the owner of a load balancer configures, as the headers of Google Cloud's variables `{client_region}`,
/// `{client_region_subdivision}`, `{client_city}` (<https://cloud.google.com/load-balancing/docs/https/custom-headers>).
const CONFIGURED: Headers = Headers {
    country_code: &["x-client-geo-country"],
    country_name: &[],
    region_code: &["x-client-geo-state", "x-client-geo-region"],
    region_name: &[],
    city: &["x-client-geo-city"],
    metro_code: &[],
};

/// <https://cloud.google.com/appengine/docs/standard/reference/request-headers>
const APP_ENGINE: Headers = Headers {
    country_code: &["x-appengine-country"],
    country_name: &[],
    region_code: &["x-appengine-region"],
    region_name: &[],
    city: &["x-appengine-city"],
    metro_code: &[],
};

/// <https://developers.cloudflare.com/rules/transform/managed-transforms/reference/>, "Add visitor location headers".
const CLOUDFLARE: Headers = Headers {
    country_code: &["cf-ipcountry"],
    country_name: &[],
    region_code: &["cf-region-code"],
    region_name: &["cf-region"],
    city: &["cf-ipcity"],
    metro_code: &["cf-metro-code"],
};

/// <https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/adding-cloudfront-headers.html>
const CLOUD_FRONT: Headers = Headers {
    country_code: &["cloudfront-viewer-country"],
    country_name: &["cloudfront-viewer-country-name"],
    region_code: &["cloudfront-viewer-country-region"],
    region_name: &["cloudfront-viewer-country-region-name"],
    city: &["cloudfront-viewer-city"],
    metro_code: &["cloudfront-viewer-metro-code"],
};

/// Fastly sends none by itself; these are those that its VCL is to set from `client.geo.*`.
const FASTLY: Headers = Headers {
    country_code: &["client-geo-country"],
    country_name: &[],
    region_code: &["client-geo-region"],
    region_name: &[],
    city: &["client-geo-city"],
    metro_code: &["client-geo-metro-code"],
};

/// <https://vercel.com/docs/headers/request-headers>
const VERCEL: Headers = Headers {
    country_code: &["x-vercel-ip-country"],
    country_name: &[],
    region_code: &["x-vercel-ip-country-region"],
    region_name: &[],
    city: &["x-vercel-ip-city"],
    metro_code: &[],
};

impl Headers {
    const fn of(platform: Platform) -> &'static Self {
        match platform {
            Platform::None | Platform::Google | Platform::Akamai => &CONFIGURED,
            Platform::AppEngine => &APP_ENGINE,
            Platform::Cloudflare => &CLOUDFLARE,
            Platform::CloudFront => &CLOUD_FRONT,
            Platform::Fastly => &FASTLY,
            Platform::Vercel => &VERCEL,
        }
    }

    fn names(&self) -> impl Iterator<Item = &'static str> {
        let all = [
            self.country_code,
            self.country_name,
            self.region_code,
            self.region_name,
            self.city,
            self.metro_code,
        ];
        all.into_iter().flatten().copied()
    }
}

/// The place that the platform's headers tell.
pub(super) fn place(platform: Platform, headers: &HeaderMap) -> Place<'_> {
    let names = Headers::of(platform);
    let first = |names: &[&str]| names.iter().find_map(|name| text(headers, name));
    let city = first(names.city);
    Place {
        country_code: first(names.country_code),
        country_name: first(names.country_name),
        region_code: first(names.region_code),
        region_name: first(names.region_name),
        city: match platform {
            // It comes in small letters.
            Platform::AppEngine => city.map(|city| Cow::Owned(capitals(&city))),
            _ => city,
        },
        metro_code: first(names.metro_code),
    }
}

/// The headers that were looked at and are there.
pub(super) fn seen(
    platform: Platform,
    headers: &HeaderMap,
) -> impl Iterator<Item = (&'static str, Cow<'_, str>)> {
    let names = Headers::of(platform).names();
    names.filter_map(|name| Some((name, header_text(headers.get(name)?.as_bytes()))))
}

/// A name that can be stored.
fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<Cow<'h, str>> {
    let value = header_text(headers.get(name)?.as_bytes());
    let value = match value {
        Cow::Borrowed(text) if !text.contains('%') => Cow::Borrowed(text.trim()),
        text => Cow::Owned(
            percent_decode_str(text.trim())
                .decode_utf8_lossy()
                .into_owned(),
        ),
    };
    let is_junk = value.len() > MAX_NAME || value.chars().any(char::is_control);
    (!is_unknown(&value) && !is_junk).then_some(value)
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
