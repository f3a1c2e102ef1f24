//! The source that brought a page view: campaign parameters, click ids, referrer; and its channel group.
//!
//! Read from the parameters `page_location`, `page_referrer` and `ignore_referrer` only. A source is named by
//! `utm_source`, else by the click id of an ad (an approximation: the network of an ad cannot be seen), else by a
//! referrer that is not the site itself, else by a click id that other links have too. There is no `(direct)`: what is
//! not known of an event is null. Sessions and users keep a [`Source`] and ask [`channel_group`] themselves.

use super::explain::{Explanation, Step};
use super::{collector, text_param, url};
use crate::schema::{CollectedTrafficSource, CollectorTrafficSource, Event};

mod campaign;
mod channel;
mod lists;
mod referrer;

pub use channel::{ChannelGroup, Source, channel_group};
pub use lists::{BadList, Kind, Lists, Site};

pub(super) use campaign::Campaign;
use referrer::{Domains, Referrer};

/// What an event says of its page.
#[derive(Debug)]
pub(super) struct Page<'e> {
    location: &'e str,
    host: Option<String>,
    /// The host (or app) that linked to it, if the page lets it count.
    referrer: Option<String>,
}

impl<'e> Page<'e> {
    /// The page of an event. Where its address has no host, the parameter `page_hostname` counts.
    pub(super) fn of(event: &'e Event) -> Self {
        let location = text_param(event, "page_location").unwrap_or_default();
        let named = || text_param(event, "page_hostname").and_then(url::host_name);
        let referrer = text_param(event, "page_referrer").and_then(url::host);
        Self {
            location,
            host: url::host(location).or_else(named),
            referrer: referrer.filter(|_| !ignores_referrer(event)),
        }
    }

    /// The host of the page.
    pub(super) fn hostname(&self) -> Option<String> {
        self.host.clone()
    }
}

/// Whether the page says that its referrer does not count, as gtag.js does by the parameter `ignore_referrer`.
fn ignores_referrer(event: &Event) -> bool {
    let mut params = event.event_params.iter().rev();
    let param = params.find(|param| param.key.as_deref() == Some("ignore_referrer"));
    let Some(value) = param.and_then(|param| param.value.as_ref()) else {
        return false;
    };
    let text = value.string_value.as_deref();
    value.int_value == Some(1) || matches!(text, Some("true" | "1"))
}

/// What sources are told by.
#[derive(Debug, Default)]
pub(super) struct Rules {
    own: Domains,
    ignored: Domains,
}

impl Rules {
    /// `own`: domains or origins of the owner. `ignored`: those whose referrers bring nobody, besides those of the list.
    pub(super) fn new(own: &[String], ignored: &[String]) -> Self {
        Self {
            own: Domains::new(own),
            ignored: Domains::new(ignored),
        }
    }
}

/// Fills in the source of a page view, its click ids, its channel group and what the referrer is. The host of the page is the answer.
pub(super) fn fill(
    event: &mut Event,
    rules: &Rules,
    lists: &Lists,
    explanation: &mut Explanation,
) -> Option<String> {
    let page = Page::of(event);
    let hostname = page.hostname();
    let campaign = Campaign::of(page.location);
    let host = page.referrer.as_deref();
    let referrer = host.map(|host| {
        Referrer::of(
            host,
            page.host.as_deref(),
            &rules.own,
            &rules.ignored,
            lists,
        )
    });
    let named = Named::of(&campaign, host.zip(referrer), lists);
    let source = named.source(&campaign);
    let group = (source.manual_source.is_some() || source.manual_medium.is_some())
        .then(|| channel_group(Source::from(&source), lists).name());
    explanation.step(|| {
        let seen = |step: Step, (name, value): (&'static str, &str)| step.saw(name, Some(value));
        let step = Step::new("traffic_source", named.rule)
            .saw("page_referrer", host)
            .saw("class of the referrer", referrer.map(Referrer::class));
        campaign
            .found()
            .fold(step, seen)
            .filled(
                "collected_traffic_source.manual_source",
                source.manual_source.as_ref(),
            )
            .filled(
                "collected_traffic_source.manual_medium",
                source.manual_medium.as_ref(),
            )
            .filled(
                "collected_traffic_source.manual_campaign_name",
                source.manual_campaign_name.as_ref(),
            )
            .filled("collector.traffic_source.channel_group", group)
    });

    let told = CollectorTrafficSource {
        channel_group: group.map(str::to_owned),
        referrer_class: referrer.map(|referrer| referrer.class().to_owned()),
        referrer_name: referrer.and_then(Referrer::name).map(str::to_owned),
    };
    let click_ids = campaign.into_click_ids();
    event.collected_traffic_source =
        (source != CollectedTrafficSource::default()).then_some(source);
    if !click_ids.is_empty() {
        collector(event).click_ids = click_ids;
    }
    if told != CollectorTrafficSource::default() {
        collector(event).traffic_source = Some(told);
    }
    hostname
}

/// What names a source, and the rule by which.
#[derive(Debug, Default)]
struct Named<'n> {
    source: Option<&'n str>,
    medium: Option<&'n str>,
    campaign: Option<&'n str>,
    platform: Option<&'n str>,
    rule: &'static str,
}

impl<'n> Named<'n> {
    fn of(
        campaign: &'n Campaign<'_>,
        referrer: Option<(&'n str, Referrer<'n>)>,
        lists: &Lists,
    ) -> Self {
        let [_, _, source, medium, ..] = campaign.utm();
        if let Some(source) = source {
            // Assistants tag their links by that alone.
            let site = lists.site(&lists::lower(source.trim()));
            let is_ai = site.is_some_and(|site| site.kind == Kind::Ai);
            return Self {
                source: Some(source),
                medium: is_ai.then_some("ai-assistant"),
                rule: if is_ai {
                    "utm_source, an assistant"
                } else {
                    "utm_source"
                },
                ..Self::default()
            };
        }
        if let Some((_, source, implied)) = campaign.paid_click() {
            return Self {
                source: Some(source),
                medium: Some(implied),
                rule: "click id of an ad",
                ..Self::default()
            };
        }
        let brought = referrer.and_then(|(host, referrer)| referrer.brings(host));
        if let Some([source, implied, name]) = brought {
            // With a medium of its own the campaign is not the one that the referrer stands for.
            let name = medium.is_none().then_some(name);
            return Self {
                source: Some(source),
                medium: Some(implied),
                campaign: name,
                rule: "referrer",
                ..Self::default()
            };
        }
        if let Some((name, source, implied)) = campaign.tagged_click() {
            return Self {
                source: Some(source),
                medium: Some(implied),
                platform: (name == "srsltid").then_some("Shopping Free Listings"),
                rule: "click id of a link",
                ..Self::default()
            };
        }
        Self {
            rule: "nothing names a source",
            ..Self::default()
        }
    }

    /// The row's source: what the campaign says, else what was found here.
    fn source(&self, campaign: &Campaign<'_>) -> CollectedTrafficSource {
        let text = |text: Option<&str>| text.map(str::to_owned);
        let [id, name, _, medium, term, content, platform, format, tactic] = campaign.utm();
        CollectedTrafficSource {
            manual_campaign_id: text(id),
            manual_campaign_name: text(name.or(self.campaign)),
            manual_source: text(self.source),
            manual_medium: text(medium.or(self.medium)),
            manual_term: text(term),
            manual_content: text(content),
            manual_source_platform: text(platform.or(self.platform)),
            manual_creative_format: text(format),
            manual_marketing_tactic: text(tactic),
            gclid: text(campaign.click_id("gclid")),
            dclid: text(campaign.click_id("dclid")),
            srsltid: text(campaign.click_id("srsltid")),
        }
    }
}

/// The domain below a public suffix, private suffixes included; the host itself where there is none (addresses, localhost).
fn registrable(host: &str) -> &str {
    let may_be_address = host.ends_with(|last: char| last.is_ascii_digit()) || host.contains(':');
    if may_be_address && host.parse::<std::net::IpAddr>().is_ok() {
        return host;
    }
    psl::domain_str(host).unwrap_or(host)
}

#[cfg(test)]
mod tests;
