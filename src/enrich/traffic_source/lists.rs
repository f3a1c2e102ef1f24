//! Which sources and referrers are search engines, networks, shops, assistants: one list, editable.
//!
//! The list is `sources.tsv` beside this file, where the format and the origin of its rows are told, or one that the
//! operator gives in its place. It says what a site is; what follows from that is decided in [`super::channel`] and
//! [`super::referrer`].

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

/// The list that is built in.
const BUILT_IN: &str = include_str!("sources.tsv");

/// What a site is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A search engine, or a portal that GA4 counts as one.
    Search,
    /// A social network, forum, blog host or messenger.
    Social,
    /// Video.
    Video,
    /// A shop, marketplace or price comparison.
    Shopping,
    /// Mail in the browser.
    Mail,
    /// An assistant that answers and links.
    Ai,
}

impl Kind {
    fn of(text: &str) -> Option<Self> {
        Some(match text {
            "search" => Self::Search,
            "social" => Self::Social,
            "video" => Self::Video,
            "shopping" => Self::Shopping,
            "mail" => Self::Mail,
            "ai" => Self::Ai,
            _ => return None,
        })
    }

    /// As it stands in the list and in `collector.traffic_source.referrer_class`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Search => "search",
            Self::Social => "social",
            Self::Video => "video",
            Self::Shopping => "shopping",
            Self::Mail => "mail",
            Self::Ai => "ai",
        }
    }

    /// Whether GA4's channel groups know it.
    const fn is_category(self) -> bool {
        !matches!(self, Self::Mail | Self::Ai)
    }
}

/// A site of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// What it is.
    pub kind: Kind,
    /// What it is called, if the list says so.
    pub name: Option<Box<str>>,
}

/// The list is not one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct BadList {
    /// Number of the line, from 1; 0 for the whole.
    pub line: usize,
    /// What is wrong with it.
    pub what: &'static str,
}

/// Sources by name, domain or app id.
#[derive(Debug, Default)]
pub struct Lists {
    /// The first row of each source.
    sites: HashMap<Box<str>, Site>,
    /// The first row of each source whose kind is a category of GA4.
    categories: HashMap<Box<str>, Kind>,
    /// Referrers that bring nobody, and their names.
    ignored: HashMap<Box<str>, Option<Box<str>>>,
}

impl Lists {
    /// The list that is built in.
    pub fn built_in() -> Arc<Self> {
        static LISTS: LazyLock<Arc<Lists>> =
            LazyLock::new(|| Arc::new(Lists::read(BUILT_IN).unwrap_or_default()));
        Arc::clone(&LISTS)
    }

    /// Reads a list in the format of `sources.tsv`.
    ///
    /// # Errors
    /// The first line that is none of a list.
    pub fn read(text: &str) -> Result<Self, BadList> {
        let mut lists = Self::default();
        for (index, line) in text.lines().enumerate() {
            let bad = |what| BadList {
                line: index + 1,
                what,
            };
            if line.trim().is_empty() || line.starts_with('#') {
                continue;
            }
            let mut cells = line.split('\t').map(str::trim);
            let class = cells.next().unwrap_or_default();
            let source = cells.next().unwrap_or_default().to_lowercase();
            let name = cells.next().filter(|name| !name.is_empty());
            if source.is_empty() || cells.next().is_some() {
                return Err(bad(
                    "must be class, source and, if any, name, parted by tabs",
                ));
            }
            if class == "ignore" {
                let name = name.map(Box::from);
                lists.ignored.entry(source.into()).or_insert(name);
                continue;
            }
            let kind = Kind::of(class).ok_or_else(|| {
                bad("the class must be search, social, video, shopping, mail, ai or ignore")
            })?;
            lists.add(kind, source.into(), name);
        }
        match lists.sites.is_empty() {
            true => Err(BadList {
                line: 0,
                what: "there is no source in it",
            }),
            false => Ok(lists),
        }
    }

    fn add(&mut self, kind: Kind, source: Box<str>, name: Option<&str>) {
        if kind.is_category() {
            self.categories.entry(source.clone()).or_insert(kind);
        }
        if let (Kind::Search, Some(name)) = (kind, name) {
            // An engine's name is a source as well: brave / cpc is paid search.
            let name = name.to_lowercase().into();
            self.categories.entry(name).or_insert(kind);
        }
        // What an earlier row covers, with all below it, says nothing new and may lack the name.
        let covering = find(&self.sites, &source);
        if covering.is_none_or(|site| site.kind != kind) {
            self.sites.entry(source).or_insert_with(|| Site {
                kind,
                name: name.map(Box::from),
            });
        }
    }

    /// The category that GA4 gives this source, in whatever case.
    pub fn category(&self, source: &str) -> Option<Kind> {
        let source = lower(source.trim());
        find(&self.categories, &source).copied()
    }

    /// The site of a referrer, by its host or app id in lower case.
    pub fn site(&self, host: &str) -> Option<&Site> {
        find(&self.sites, host)
    }

    /// Whether this referrer brings nobody; its name, if the list says so.
    pub fn ignored(&self, host: &str) -> Option<Option<&str>> {
        find(&self.ignored, host).map(Option::as_deref)
    }
}

/// What the list says of a source: of itself, else of a domain above it, else of its name under any public suffix.
fn find<'l, T>(map: &'l HashMap<Box<str>, T>, source: &str) -> Option<&'l T> {
    let bare = source.strip_prefix("www.").unwrap_or(source);
    if let Some(found) = map.get(bare) {
        return Some(found);
    }
    if !bare.contains('.') {
        return None;
    }
    let mut key = String::with_capacity(bare.len() + 2);
    let mut rest = bare;
    loop {
        key.clear();
        key.push_str("*.");
        key.push_str(rest);
        if let Some(found) = map.get(key.as_str()) {
            return Some(found);
        }
        match rest.split_once('.') {
            Some((_, above)) if above.contains('.') => rest = above,
            _ => break,
        }
    }
    let (label, _) = bare.split_once('.')?;
    if super::registrable(bare) != bare {
        return None;
    }
    key.clear();
    key.push_str(label);
    key.push_str(".*");
    map.get(key.as_str())
}

/// A text in lower case, without a copy where it is so already.
pub(super) fn lower(text: &str) -> Cow<'_, str> {
    if text.chars().any(char::is_uppercase) {
        Cow::Owned(text.to_lowercase())
    } else {
        Cow::Borrowed(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_list_is_one() {
        let lists = Lists::read(BUILT_IN).unwrap();
        assert!(lists.categories.len() > 800, "{}", lists.categories.len());
        assert!(lists.sites.len() > 800, "{}", lists.sites.len());
    }

    #[test]
    fn the_nearest_row_decides() {
        let lists = Lists::read(
            "# a comment\n\nsocial\t*.big.test\tBig\nmail\tmail.big.test\tBig Mail\nsearch\tfind.*\tFind\nshopping\tmail.big.test\nignore\t*.pay.test\n",
        )
        .unwrap();
        let kind = |host| lists.site(host).map(|site| site.kind);
        assert_eq!(kind("big.test"), Some(Kind::Social));
        assert_eq!(kind("www.a.big.test"), Some(Kind::Social));
        assert_eq!(kind("mail.big.test"), Some(Kind::Mail));
        assert_eq!(lists.category("Mail.Big.Test"), Some(Kind::Shopping));
        assert_eq!(kind("find.co.uk"), Some(Kind::Search));
        assert_eq!(lists.category("find"), Some(Kind::Search));
        for other in [
            "x.find.com",
            "notbig.test",
            "test",
            "",
            ".",
            "big.test.evil.com",
        ] {
            assert_eq!(kind(other), None, "{other}");
        }
        assert_eq!(lists.ignored("www.pay.test"), Some(None));
        assert_eq!(lists.site("pay.test"), None);
    }

    #[test]
    fn what_is_no_list_is_told_by_line() {
        for (text, line) in [
            ("", 0),
            ("# nothing\n", 0),
            ("social\tx\nfoo\ty\n", 2),
            ("social\n", 1),
            ("social\t\n", 1),
            ("social\ta\tb\tc\n", 1),
        ] {
            assert_eq!(Lists::read(text).unwrap_err().line, line, "{text:?}");
        }
    }
}
