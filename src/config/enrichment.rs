//! The variables of what is in front of the collector, and of the files that enrichment looks things up in.

use std::path::PathBuf;

use crate::enrich::client_ip::{HopsHeader, Platform};

use super::read::Choice;
use super::reader::Reader;

/// Files that are read at start and again when they change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReferenceConfig {
    /// Places by address, in MaxMind's format.
    pub places: Option<PathBuf>,
    /// US dollars per unit of a currency, as JSON.
    pub rates: Option<PathBuf>,
    /// What sources and referrers are.
    pub lists: Option<PathBuf>,
}

pub(super) fn read_reference(reader: &Reader) -> ReferenceConfig {
    let path =
        |name: &str| Some(PathBuf::from(reader.text(name))).filter(|path| path.as_os_str() != "");
    ReferenceConfig {
        places: path("ENRICH__GEO_DATABASE"),
        rates: path("ENRICH__RATES"),
        lists: path("ENRICH__SOURCES"),
    }
}

pub(super) fn read_platform(reader: &mut Reader) -> Platform {
    reader.parse(
        "ENRICH__PLATFORM",
        "none, google, appengine, cloudflare, cloudfront, fastly, vercel or akamai",
        |text| {
            Some(match text {
                "none" => Platform::None,
                "google" => Platform::Google,
                "appengine" => Platform::AppEngine,
                "cloudflare" => Platform::Cloudflare,
                "cloudfront" => Platform::CloudFront,
                "fastly" => Platform::Fastly,
                "vercel" => Platform::Vercel,
                "akamai" => Platform::Akamai,
                _ => return None,
            })
        },
    )
}

pub(super) fn read_hops_header(reader: &mut Reader) -> HopsHeader {
    reader.parse(
        "ENRICH__HOPS_HEADER",
        "x-forwarded-for or forwarded",
        |text| {
            Some(match text.to_ascii_lowercase().as_str() {
                "x-forwarded-for" => HopsHeader::ForwardedFor,
                "forwarded" => HopsHeader::Forwarded,
                _ => return None,
            })
        },
    )
}

/// Google's load balancer appends the client's address and its own; nobody else does unless it is said.
pub(super) fn read_trusted_hops(reader: &mut Reader) -> usize {
    let unset = match read_platform(reader) {
        Platform::Google => 2,
        _ => 0,
    };
    let hops = reader.parse(
        "ENRICH__TRUSTED_HOPS",
        "a whole number of at least 0",
        |text| match text {
            "" => Some(Choice(None)),
            _ => text.parse().ok().map(|hops| Choice(Some(hops))),
        },
    );
    hops.0.unwrap_or(unset)
}
