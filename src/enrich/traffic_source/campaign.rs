//! What the address of a page says of the campaign: utm parameters and click ids.
//!
//! Names count in any case, in the query and in the fragment; of parameters that come twice the first with a value
//! counts. What a click id implies of its source is one table here.

use std::borrow::Cow;

use super::super::url;
use crate::schema::ClickId;

/// Campaign parameters, in the order of their columns.
pub(super) const UTM: [&str; 9] = [
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

/// When the source that a click id implies is taken, where no `utm_source` names one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Proof {
    /// The system adds it to paid clicks only: it beats the referrer.
    Ad,
    /// The system adds it to other links as well: it counts where there is no referrer from another site.
    Link,
}

/// A parameter by which an ad system finds a click again, and the source that it implies.
#[derive(Debug)]
struct Known {
    name: &'static str,
    source: &'static str,
    medium: &'static str,
    proof: Proof,
}

const fn ad(name: &'static str, source: &'static str, medium: &'static str) -> Known {
    Known {
        name,
        source,
        medium,
        proof: Proof::Ad,
    }
}

const fn link(name: &'static str, source: &'static str, medium: &'static str) -> Known {
    Known {
        name,
        source,
        medium,
        proof: Proof::Link,
    }
}

/// The known click ids. Where an address has several, the first of this order names the source.
/// Which network of its system an ad was on cannot be seen, so the medium is an approximation.
const KNOWN: [Known; 26] = [
    ad("gclid", "google", "cpc"),
    ad("gbraid", "google", "cpc"),
    ad("wbraid", "google", "cpc"),
    ad("dclid", "google", "cpm"),
    ad("msclkid", "bing", "cpc"),
    ad("yclid", "yandex", "cpc"),
    ad("ttclid", "tiktok", "cpc"),
    ad("twclid", "twitter", "cpc"),
    ad("li_fat_id", "linkedin", "cpc"),
    ad("sccid", "snapchat", "cpc"),
    ad("epik", "pinterest", "cpc"),
    ad("rdt_cid", "reddit", "cpc"),
    ad("qclid", "quora", "cpc"),
    ad("ndclid", "nextdoor", "cpc"),
    ad("vmcid", "yahoo", "cpc"),
    ad("tblci", "taboola", "cpc"),
    ad("dicbo", "outbrain", "cpc"),
    ad("cjevent", "cj", "affiliate"),
    ad("irclickid", "impact", "affiliate"),
    ad("awc", "awin", "affiliate"),
    link("srsltid", "google", "organic"),
    link("ysclid", "yandex", "organic"),
    link("fbclid", "facebook", "referral"),
    link("igshid", "instagram", "referral"),
    link("igsh", "instagram", "referral"),
    link("mibextid", "facebook", "referral"),
];

/// The values of the known parameters of an address.
#[derive(Debug, Default)]
pub(in crate::enrich) struct Campaign<'u> {
    utm: [Option<Cow<'u, str>>; UTM.len()],
    click_ids: [Option<Cow<'u, str>>; KNOWN.len()],
}

impl<'u> Campaign<'u> {
    pub(in crate::enrich) fn of(location: &'u str) -> Self {
        let mut campaign = Self::default();
        for (key, value) in url::parameters(location) {
            let key = url::decode(key);
            let is_key = |name: &str| name.eq_ignore_ascii_case(&key);
            let slot = if let Some(place) = UTM.iter().position(|name| is_key(name)) {
                &mut campaign.utm[place]
            } else if let Some(place) = KNOWN.iter().position(|known| is_key(known.name)) {
                &mut campaign.click_ids[place]
            } else {
                continue;
            };
            if slot.is_some() {
                continue;
            }
            let value = url::decode(value);
            if !value.trim().is_empty() {
                *slot = Some(value);
            }
        }
        campaign
    }

    /// The values of the campaign parameters, in the order of [`UTM`].
    pub(super) fn utm(&self) -> [Option<&str>; UTM.len()] {
        self.utm.each_ref().map(Option::as_deref)
    }

    /// The value of a click id, by its name.
    pub(super) fn click_id(&self, name: &str) -> Option<&str> {
        let place = KNOWN.iter().position(|known| known.name == name)?;
        self.click_ids[place].as_deref()
    }

    /// Name of the click id, source and medium of a paid click.
    pub(super) fn paid_click(&self) -> Option<(&'static str, &'static str, &'static str)> {
        self.implied(Proof::Ad)
    }

    /// The same of a click that need not be paid.
    pub(super) fn tagged_click(&self) -> Option<(&'static str, &'static str, &'static str)> {
        self.implied(Proof::Link)
    }

    fn implied(&self, proof: Proof) -> Option<(&'static str, &'static str, &'static str)> {
        let sent = KNOWN.iter().zip(&self.click_ids);
        let known = sent.filter_map(|(known, id)| id.as_ref().map(|_| known));
        let first = known.into_iter().find(|known| known.proof == proof)?;
        Some((first.name, first.source, first.medium))
    }

    /// All parameters that were found, by name.
    pub(in crate::enrich) fn found(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let utm = UTM.iter().copied().zip(&self.utm);
        let click_ids = KNOWN.iter().map(|known| known.name).zip(&self.click_ids);
        utm.chain(click_ids)
            .filter_map(|(name, value)| Some((name, value.as_deref()?)))
    }

    /// All click ids, as the row has them.
    pub(super) fn into_click_ids(self) -> Vec<ClickId> {
        let sent = KNOWN.iter().zip(self.click_ids);
        let found = sent.filter_map(|(known, id)| {
            let id = id?.into_owned();
            Some(ClickId {
                key: Some(known.name.to_owned()),
                value: Some(id),
            })
        });
        found.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_click_id_implies_a_source_that_has_a_channel() {
        use super::super::{ChannelGroup, Lists, Source, channel_group};
        let lists = Lists::built_in();
        for known in KNOWN {
            let address = format!("https://a.test/?{}=1", known.name.to_uppercase());
            let campaign = Campaign::of(&address);
            let implied = match known.proof {
                Proof::Ad => campaign.paid_click(),
                Proof::Link => campaign.tagged_click(),
            };
            assert_eq!(implied, Some((known.name, known.source, known.medium)));
            let source = Source {
                source: Some(known.source),
                medium: Some(known.medium),
                campaign: None,
            };
            let group = channel_group(source, &lists);
            let wrong = [ChannelGroup::Unassigned, ChannelGroup::Direct];
            assert!(!wrong.contains(&group), "{}", known.name);
        }
    }
}
