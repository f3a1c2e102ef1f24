//! The source that brought a page view: campaign parameters, click ids, referrer.
//!
//! Read from the parameters `page_location` and `page_referrer` only. A source is named by
//! `utm_source`, else by the click id of a search ad (`google / cpc`, an approximation: the network
//! of an ad cannot be seen), else by a referrer that is not the site itself. There is no
//! `(direct)`: what is not known is null.

use std::borrow::Cow;
use std::collections::HashSet;

use super::{text_param, url};
use crate::schema::{ClickId, CollectedTrafficSource, Event};

/// Campaign parameters, in the order of [`Campaign`].
const UTM: [&str; 9] = [
    "utm_id",
    "utm_campaign",
    "utm_source",
    "utm_medium",
    "utm_term",
    "utm_content",
    "utm_source_platform",
    "utm_creative_format",
    "utm_marketing_tactic",
];

/// Parameters by which ad systems find a click again.
const CLICK_IDS: [&str; 14] = [
    "gclid",
    "dclid",
    "srsltid",
    "gbraid",
    "wbraid",
    "fbclid",
    "msclkid",
    "ttclid",
    "twclid",
    "li_fat_id",
    "sccid",
    "epik",
    "rdt_cid",
    "yclid",
];

/// Search engines: what a host is or ends with, and the name of the source.
const ENGINES: [(&str, &str); 20] = [
    ("bing.com", "bing"),
    ("duckduckgo.com", "duckduckgo"),
    ("search.yahoo.com", "yahoo"),
    ("search.yahoo.co.jp", "yahoo"),
    ("yandex.ru", "yandex"),
    ("yandex.com", "yandex"),
    ("yandex.kz", "yandex"),
    ("ya.ru", "yandex"),
    ("baidu.com", "baidu"),
    ("ecosia.org", "ecosia"),
    ("qwant.com", "qwant"),
    ("search.brave.com", "brave"),
    ("startpage.com", "startpage"),
    ("search.seznam.cz", "seznam"),
    ("search.naver.com", "naver"),
    ("sogou.com", "sogou"),
    ("so.com", "360"),
    ("ask.com", "ask"),
    ("search.aol.com", "aol"),
    ("com.google.android.googlequicksearchbox", "google"),
];

/// Registrable domains of the owner.
#[derive(Debug)]
pub(super) struct OwnDomains(HashSet<String>);

impl OwnDomains {
    /// From domains or origins such as `https://shop.example.com`.
    pub(super) fn new(domains: &[String]) -> Self {
        let host = |text: &String| url::host(text).or_else(|| url::host_name(text));
        let domains = domains.iter().filter_map(host);
        Self(domains.map(|host| registrable(&host).to_owned()).collect())
    }
}

/// What an event says of its page.
#[derive(Debug)]
pub(super) struct Page<'e> {
    location: &'e str,
    host: Option<String>,
    referrer: Option<String>,
}

impl<'e> Page<'e> {
    /// The page of an event. Where its address has no host, the parameter `page_hostname` counts.
    pub(super) fn of(event: &'e Event) -> Self {
        let location = text_param(event, "page_location").unwrap_or_default();
        let named = || text_param(event, "page_hostname").and_then(url::host_name);
        Self {
            location,
            host: url::host(location).or_else(named),
            referrer: text_param(event, "page_referrer").and_then(url::host),
        }
    }

    /// The host of the page.
    pub(super) fn hostname(&self) -> Option<String> {
        self.host.clone()
    }

    /// The host that linked to the page, if it is another site.
    fn external_referrer(&self, own: &OwnDomains) -> Option<&str> {
        let referrer = self.referrer.as_deref()?;
        let domain = registrable(referrer);
        let same_site = self
            .host
            .as_deref()
            .is_some_and(|host| registrable(host) == domain);
        (!same_site && !own.0.contains(domain)).then_some(referrer)
    }
}

/// The domain below a public suffix, private suffixes included; the host itself where there is none (addresses, localhost).
fn registrable(host: &str) -> &str {
    if host.parse::<std::net::IpAddr>().is_ok() {
        return host;
    }
    psl::domain_str(host).unwrap_or(host)
}

/// The values of the known parameters of an address. Of parameters that come twice the last counts.
#[derive(Debug, Default)]
struct Campaign<'u> {
    utm: [Option<Cow<'u, str>>; UTM.len()],
    click_ids: [Option<Cow<'u, str>>; CLICK_IDS.len()],
}

impl<'u> Campaign<'u> {
    fn of(location: &'u str) -> Self {
        let mut campaign = Self::default();
        for (key, value) in url::query(location) {
            let key = url::decode(key);
            let place = |names: &[&str]| {
                names
                    .iter()
                    .position(|name| name.eq_ignore_ascii_case(&key))
            };
            let slot = if let Some(place) = place(&UTM) {
                &mut campaign.utm[place]
            } else if let Some(place) = place(&CLICK_IDS) {
                &mut campaign.click_ids[place]
            } else {
                continue;
            };
            let value = url::decode(value);
            if !value.trim().is_empty() {
                *slot = Some(value);
            }
        }
        campaign
    }

    fn click_id(&self, name: &str) -> Option<String> {
        let place = CLICK_IDS.iter().position(|known| *known == name)?;
        self.click_ids[place].as_deref().map(str::to_owned)
    }

    /// The advertiser whose click id stands for a paid click on its search pages.
    fn search_ad(&self) -> Option<&'static str> {
        let has = |name| {
            CLICK_IDS
                .iter()
                .zip(&self.click_ids)
                .any(|(known, id)| *known == name && id.is_some())
        };
        if ["gclid", "gbraid", "wbraid"].into_iter().any(has) {
            return Some("google");
        }
        has("msclkid").then_some("bing")
    }
}

/// The source that brought the page view (null if nothing is known), and all click ids of its address.
pub(super) fn collected(
    page: &Page<'_>,
    own: &OwnDomains,
) -> (Option<CollectedTrafficSource>, Vec<ClickId>) {
    let campaign = Campaign::of(page.location);
    let (found_source, found_medium) = source_and_medium(&campaign, page, own);
    let [id, name, _, _, term, content, platform, format, tactic] = campaign
        .utm
        .each_ref()
        .map(|value| value.as_deref().map(str::to_owned));
    let source = CollectedTrafficSource {
        manual_campaign_id: id,
        manual_campaign_name: name,
        manual_source: found_source,
        manual_medium: found_medium,
        manual_term: term,
        manual_content: content,
        manual_source_platform: platform,
        manual_creative_format: format,
        manual_marketing_tactic: tactic,
        gclid: campaign.click_id("gclid"),
        dclid: campaign.click_id("dclid"),
        srsltid: campaign.click_id("srsltid"),
    };
    let found = CLICK_IDS
        .iter()
        .zip(campaign.click_ids)
        .filter_map(|(name, id)| Some((*name, id?)));
    let click_ids = found.map(|(name, id)| ClickId {
        key: Some(name.to_owned()),
        value: Some(id.into_owned()),
    });
    let known = source != CollectedTrafficSource::default();
    (known.then_some(source), click_ids.collect())
}

/// Source and medium. A medium is assumed only for a source that was not named by `utm_source`.
fn source_and_medium(
    campaign: &Campaign<'_>,
    page: &Page<'_>,
    own: &OwnDomains,
) -> (Option<String>, Option<String>) {
    let [_, _, source, medium, ..] = &campaign.utm;
    let medium = medium.as_deref();
    let (source, medium) = if let Some(source) = source.as_deref() {
        (Some(source), medium)
    } else if let Some(source) = campaign.search_ad() {
        (Some(source), medium.or(Some("cpc")))
    } else if let Some(referrer) = page.external_referrer(own) {
        match engine(referrer) {
            Some(engine) => (Some(engine), medium.or(Some("organic"))),
            None => (Some(referrer), medium.or(Some("referral"))),
        }
    } else {
        (None, medium)
    };
    (source.map(str::to_owned), medium.map(str::to_owned))
}

/// The name of the search engine whose results pages are on this host.
fn engine(host: &str) -> Option<&'static str> {
    let bare = host.strip_prefix("www.").unwrap_or(host);
    if bare.starts_with("google.") && registrable(bare) == bare {
        return Some("google");
    }
    let is_on = |domain: &str| {
        let subdomain = bare
            .strip_suffix(domain)
            .and_then(|rest| rest.strip_suffix('.'));
        bare == domain
            || subdomain.is_some_and(|subdomain| {
                matches!(subdomain, "m" | "cn" | "html" | "lite") || domain.starts_with("search.")
            })
    };
    ENGINES
        .iter()
        .find(|(domain, _)| is_on(domain))
        .map(|(_, name)| *name)
}

#[cfg(test)]
mod tests;
