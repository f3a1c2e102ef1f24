//! GA4's default channel group of a source: the same for an event, a session and a user's first source.
//!
//! The rules and their order are those of <https://support.google.com/analytics/answer/9756891>, with AI Assistant as of
//! May 2026. Case does not count. What only an ad account knows (the network of an ad) cannot be seen here, so a Google
//! ad is Paid Search unless its campaign says otherwise.

use super::lists::{Kind, Lists, lower};
use crate::schema::CollectedTrafficSource;

/// A source as channel groups see it. An empty text is as if absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Source<'s> {
    /// `google`, `l.facebook.com`, `(direct)`.
    pub source: Option<&'s str>,
    /// `cpc`, `organic`, `referral`, `(none)`.
    pub medium: Option<&'s str>,
    /// Name of the campaign.
    pub campaign: Option<&'s str>,
}

impl<'s> From<&'s CollectedTrafficSource> for Source<'s> {
    fn from(collected: &'s CollectedTrafficSource) -> Self {
        Self {
            source: collected.manual_source.as_deref(),
            medium: collected.manual_medium.as_deref(),
            campaign: collected.manual_campaign_name.as_deref(),
        }
    }
}

/// The default channel groups, in the order of their rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are Google's")]
pub enum ChannelGroup {
    Direct,
    CrossNetwork,
    PaidShopping,
    PaidSearch,
    PaidSocial,
    PaidVideo,
    Display,
    PaidOther,
    AiAssistant,
    OrganicShopping,
    OrganicSocial,
    OrganicVideo,
    OrganicSearch,
    Referral,
    Email,
    Affiliates,
    Audio,
    Sms,
    MobilePushNotifications,
    Unassigned,
}

impl ChannelGroup {
    /// As GA4 writes it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Direct => "Direct",
            Self::CrossNetwork => "Cross-network",
            Self::PaidShopping => "Paid Shopping",
            Self::PaidSearch => "Paid Search",
            Self::PaidSocial => "Paid Social",
            Self::PaidVideo => "Paid Video",
            Self::Display => "Display",
            Self::PaidOther => "Paid Other",
            Self::AiAssistant => "AI Assistant",
            Self::OrganicShopping => "Organic Shopping",
            Self::OrganicSocial => "Organic Social",
            Self::OrganicVideo => "Organic Video",
            Self::OrganicSearch => "Organic Search",
            Self::Referral => "Referral",
            Self::Email => "Email",
            Self::Affiliates => "Affiliates",
            Self::Audio => "Audio",
            Self::Sms => "SMS",
            Self::MobilePushNotifications => "Mobile Push Notifications",
            Self::Unassigned => "Unassigned",
        }
    }
}

/// The channel group of a source. One without source and medium is Direct.
pub fn channel_group(source: Source<'_>, lists: &Lists) -> ChannelGroup {
    use ChannelGroup as Group;
    let texts = [source.source, source.medium, source.campaign];
    let [name, medium, campaign] = texts.map(|text| lower(text.unwrap_or_default().trim()));
    let (name, medium, campaign) = (name.as_ref(), medium.as_ref(), campaign.as_ref());

    let is_direct = match name {
        "(direct)" => matches!(medium, "(not set)" | "(none)" | ""),
        "" => medium.is_empty(),
        _ => false,
    };
    if is_direct {
        return Group::Direct;
    }
    if campaign.contains("cross-network") {
        return Group::CrossNetwork;
    }
    let category = lists.category(name);
    let is_shopping = category == Some(Kind::Shopping) || is_shopping_campaign(campaign);
    if is_paid(medium) {
        return match category {
            _ if is_shopping => Group::PaidShopping,
            Some(Kind::Search) => Group::PaidSearch,
            Some(Kind::Social) => Group::PaidSocial,
            Some(Kind::Video) => Group::PaidVideo,
            _ if medium == "cpm" => Group::Display,
            _ => Group::PaidOther,
        };
    }
    if matches!(medium, "display" | "banner" | "expandable" | "interstitial") {
        return Group::Display;
    }
    if medium == "ai-assistant" {
        return Group::AiAssistant;
    }
    match category {
        _ if is_shopping => return Group::OrganicShopping,
        Some(Kind::Social) => return Group::OrganicSocial,
        _ if is_social(medium) => return Group::OrganicSocial,
        Some(Kind::Video) => return Group::OrganicVideo,
        _ if medium.contains("video") => return Group::OrganicVideo,
        Some(Kind::Search) => return Group::OrganicSearch,
        _ => {}
    }
    match medium {
        "organic" => Group::OrganicSearch,
        "referral" | "app" | "link" => Group::Referral,
        _ if is_email(name) || is_email(medium) => Group::Email,
        "affiliate" => Group::Affiliates,
        "audio" => Group::Audio,
        _ if name == "sms" || medium == "sms" => Group::Sms,
        _ if is_push(medium) || name == "firebase" => Group::MobilePushNotifications,
        _ => Group::Unassigned,
    }
}

/// `^(.*cp.*|ppc|retargeting|paid.*)$`
fn is_paid(medium: &str) -> bool {
    medium.contains("cp") || matches!(medium, "ppc" | "retargeting") || medium.starts_with("paid")
}

/// `^(.*(([^a-df-z]|^)shop|shopping).*)$`: shop after no letter, or after an e as in e-shop and eshop.
fn is_shopping_campaign(campaign: &str) -> bool {
    let begins_word = |(place, _): (usize, &str)| {
        let before = campaign[..place].chars().next_back();
        before.is_none_or(|before| before == 'e' || !before.is_ascii_lowercase())
    };
    let mut shops = campaign.match_indices("shop");
    shops.any(|shop| begins_word(shop) || campaign[shop.0..].starts_with("shopping"))
}

fn is_social(medium: &str) -> bool {
    matches!(
        medium,
        "social" | "social-network" | "social-media" | "sm" | "social network" | "social media"
    )
}

fn is_email(text: &str) -> bool {
    // Most texts have none of them, and one look tells.
    text.contains("mail")
        && ["email", "e-mail", "e_mail", "e mail"]
            .iter()
            .any(|name| text.contains(name))
}

fn is_push(medium: &str) -> bool {
    medium.ends_with("push") || medium.contains("mobile") || medium.contains("notification")
}

#[cfg(test)]
mod tests;
