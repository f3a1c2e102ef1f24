//! What kind of referrer brought a page view.
//!
//! A referrer is the own site, one that is to be ignored, or another site, of which [`Lists`] may know what it is. It
//! decides nothing of source and medium; that is done one floor up.

use std::collections::HashSet;

use super::super::url;
use super::lists::{Kind, Lists, Site};
use super::registrable;

/// Registrable domains, from domains or origins such as `https://shop.example.com`.
#[derive(Debug, Default)]
pub(super) struct Domains(HashSet<String>);

impl Domains {
    pub(super) fn new(domains: &[String]) -> Self {
        let host = |text: &String| url::host(text).or_else(|| url::host_name(text));
        let domains = domains.iter().filter_map(host);
        Self(domains.map(|host| registrable(&host).to_owned()).collect())
    }

    fn has(&self, domain: &str) -> bool {
        self.0.contains(domain)
    }
}

/// A referrer and what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Referrer<'r> {
    /// A page of the site itself, or of another that belongs to its owner.
    Own,
    /// A site that visitors only come back from, and its name.
    Ignored(Option<&'r str>),
    /// A site of the list.
    Known(&'r Site),
    /// Any other site.
    Other,
}

impl<'r> Referrer<'r> {
    /// What the host (or app) of a referrer is to a page on `page`.
    pub(super) fn of(
        host: &str,
        page: Option<&str>,
        own: &Domains,
        ignored: &Domains,
        lists: &'r Lists,
    ) -> Self {
        let domain = registrable(host);
        if own.has(domain) || page.is_some_and(|page| registrable(page) == domain) {
            return Self::Own;
        }
        if ignored.has(domain) {
            return Self::Ignored(None);
        }
        if let Some(name) = lists.ignored(host) {
            return Self::Ignored(name);
        }
        lists.site(host).map_or(Self::Other, Self::Known)
    }

    /// As it stands in `collector.traffic_source.referrer_class`.
    pub(super) const fn class(self) -> &'static str {
        match self {
            Self::Own => "own",
            Self::Ignored(_) => "ignored",
            Self::Known(site) => site.kind.name(),
            Self::Other => "other",
        }
    }

    /// What it is called.
    pub(super) fn name(self) -> Option<&'r str> {
        match self {
            Self::Ignored(name) => name,
            Self::Known(site) => site.name.as_deref(),
            Self::Own | Self::Other => None,
        }
    }

    /// Source, medium and campaign of a visit that it brings; `None` if it brings nobody.
    pub(super) fn brings<'h: 's, 's>(self, host: &'h str) -> Option<[&'s str; 3]>
    where
        'r: 's,
    {
        match self {
            Self::Own | Self::Ignored(_) => None,
            Self::Known(Site {
                kind: Kind::Search,
                name: Some(engine),
            }) => Some([engine, "organic", "(organic)"]),
            Self::Known(Site { kind: Kind::Ai, .. }) => {
                Some([host, "ai-assistant", "(ai-assistant)"])
            }
            Self::Known(_) | Self::Other => Some([host, "referral", "(referral)"]),
        }
    }
}
