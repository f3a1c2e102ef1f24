//! What brought a visitor to the site, as a session remembers it: `collected_traffic_source`, small enough for a cookie.

use prost::Message;
use xxhash_rust::xxh3::Xxh3;

use super::super::traffic_source::Campaign;
use super::super::{prefix, text_param};
use crate::schema::Event;

/// Longest value that is remembered, in bytes.
const MAX_VALUE: usize = 100;

/// A click on a link somewhere else.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Click {
    #[prost(string, optional, tag = "1")]
    pub(super) campaign_id: Option<String>,
    #[prost(string, optional, tag = "2")]
    pub(super) campaign_name: Option<String>,
    #[prost(string, optional, tag = "3")]
    pub(super) source: Option<String>,
    #[prost(string, optional, tag = "4")]
    pub(super) medium: Option<String>,
    #[prost(string, optional, tag = "5")]
    pub(super) term: Option<String>,
    #[prost(string, optional, tag = "6")]
    pub(super) content: Option<String>,
    #[prost(string, optional, tag = "7")]
    pub(super) source_platform: Option<String>,
    #[prost(string, optional, tag = "8")]
    pub(super) creative_format: Option<String>,
    #[prost(string, optional, tag = "9")]
    pub(super) marketing_tactic: Option<String>,
    /// By which another campaign is told: a hash of all parameters of it in the page's address. None for a mere link.
    #[prost(fixed64, optional, tag = "10")]
    pub(super) campaign: Option<u64>,
    /// When it was, microseconds.
    #[prost(int64, tag = "11")]
    pub(super) clicked: i64,
}

impl Click {
    /// The click that brought an event's page, if it is known.
    pub(super) fn of(event: &Event, now: i64) -> Option<Self> {
        let collected = event.collected_traffic_source.as_ref()?;
        let campaign = campaign(event);
        let kept = |value: &Option<String>| {
            let value = value.as_deref().map(|value| prefix(value, MAX_VALUE));
            value.map(str::to_owned)
        };
        let click = Self {
            campaign_id: kept(&collected.manual_campaign_id),
            campaign_name: kept(&collected.manual_campaign_name),
            source: kept(&collected.manual_source),
            medium: kept(&collected.manual_medium),
            term: kept(&collected.manual_term),
            content: kept(&collected.manual_content),
            source_platform: kept(&collected.manual_source_platform),
            creative_format: kept(&collected.manual_creative_format),
            marketing_tactic: kept(&collected.manual_marketing_tactic),
            campaign,
            clicked: now,
        };
        if campaign.is_none() && click.source.is_none() {
            return None;
        }
        Some(click)
    }

    /// What is remembered of it as the very first.
    pub(super) fn first(&self) -> Self {
        Self {
            campaign_name: self.campaign_name.clone(),
            source: self.source.clone(),
            medium: self.medium.clone(),
            clicked: self.clicked,
            ..Self::default()
        }
    }
}

/// The campaign in the page's address: a hash of its parameters and click ids.
fn campaign(event: &Event) -> Option<u64> {
    let campaign = Campaign::of(text_param(event, "page_location")?);
    let mut found = campaign.found().peekable();
    found.peek()?;
    let mut hash = Xxh3::new();
    for (name, value) in found {
        for text in [name, "=", value, "\n"] {
            hash.update(text.as_bytes());
        }
    }
    Some(hash.digest())
}
