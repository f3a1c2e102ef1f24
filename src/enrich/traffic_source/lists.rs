//! Which sources and referrers are search engines, networks, shops, assistants: one list, editable.
//!
//! The list is `sources.tsv` beside this file, where the format and the origin of its rows are told, or one that the
//! operator gives in its place. It says what a site is; what follows from that is decided in [`super::channel`] and
//! [`super::referrer`].

use std::borrow::Cow;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::{Arc, LazyLock};

use xxhash_rust::xxh3::xxh3_64_with_seed;

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

/// What the list says of one source.
#[derive(Debug, Default)]
struct Entry {
    /// Its first row.
    site: Option<Site>,
    /// The first whose kind is a category of GA4.
    category: Option<Kind>,
    /// Its name as a referrer that brings nobody, if it is one.
    ignored: Option<Option<Box<str>>>,
}

/// Sources by name, domain or app id.
#[derive(Debug, Default)]
pub struct Lists(HashMap<Box<str>, Entry, BuildHasherDefault<Xxh3>>);

/// Quick for short texts. Those in the map are the operator's, so nobody can make them collide.
#[derive(Debug, Default)]
struct Xxh3(u64);

impl Hasher for Xxh3 {
    fn write(&mut self, bytes: &[u8]) {
        self.0 = xxh3_64_with_seed(bytes, self.0);
    }

    fn write_u8(&mut self, byte: u8) {
        self.0 ^= u64::from(byte);
    }

    fn finish(&self) -> u64 {
        self.0
    }
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
                let entry = lists.0.entry(source.into()).or_default();
                entry.ignored.get_or_insert_with(|| name.map(Box::from));
                continue;
            }
            let kind = Kind::of(class).ok_or_else(|| {
                bad("the class must be search, social, video, shopping, mail, ai or ignore")
            })?;
            lists.add(kind, source.into(), name);
        }
        if lists.0.values().all(|entry| entry.site.is_none()) {
            return Err(BadList {
                line: 0,
                what: "there is no source in it",
            });
        }
        Ok(lists)
    }

    fn add(&mut self, kind: Kind, source: Box<str>, name: Option<&str>) {
        if let (Kind::Search, Some(name)) = (kind, name) {
            // An engine's name is a source as well: brave / cpc is paid search.
            let entry = self.0.entry(name.to_lowercase().into()).or_default();
            entry.category.get_or_insert(kind);
        }
        // What an earlier row covers, with all below it, says nothing new and may lack the name.
        let covering = self.find(&source, |entry| entry.site.as_ref());
        let is_covered = covering.is_some_and(|site| site.kind == kind);
        let entry = self.0.entry(source).or_default();
        if kind.is_category() {
            entry.category.get_or_insert(kind);
        }
        if !is_covered {
            entry.site.get_or_insert_with(|| Site {
                kind,
                name: name.map(Box::from),
            });
        }
    }

    /// The category that GA4 gives this source, by its name in lower case.
    pub fn category(&self, source: &str) -> Option<Kind> {
        self.find(source, |entry| entry.category.as_ref()).copied()
    }

    /// The site of a referrer, by its host or app id in lower case.
    pub fn site(&self, host: &str) -> Option<&Site> {
        self.find(host, |entry| entry.site.as_ref())
    }

    /// Whether this referrer brings nobody; its name, if the list says so.
    pub fn ignored(&self, host: &str) -> Option<Option<&str>> {
        self.find(host, |entry| entry.ignored.as_ref())
            .map(Option::as_deref)
    }

    /// What the list says of a source: of itself, else of a domain above it, else of its name under any public suffix.
    fn find<'l, T>(
        &'l self,
        source: &str,
        of: impl Fn(&'l Entry) -> Option<&'l T>,
    ) -> Option<&'l T> {
        let get = |key: &str| self.0.get(key).and_then(&of);
        let bare = source.strip_prefix("www.").unwrap_or(source);
        if let Some(found) = get(bare) {
            return Some(found);
        }
        let (label, _) = bare.split_once('.')?;
        let mut key = String::with_capacity(bare.len() + 2);
        let mut rest = bare;
        loop {
            key.clear();
            key.push_str("*.");
            key.push_str(rest);
            if let Some(found) = get(&key) {
                return Some(found);
            }
            match rest.split_once('.') {
                Some((_, above)) if above.contains('.') => rest = above,
                _ => break,
            }
        }
        key.clear();
        key.push_str(label);
        key.push_str(".*");
        get(&key).filter(|_| super::registrable(bare) == bare)
    }
}

/// A text in lower case, without a copy where it is plainly so already.
pub(super) fn lower(text: &str) -> Cow<'_, str> {
    let is_lower = |byte: u8| byte.is_ascii() && !byte.is_ascii_uppercase();
    match text.bytes().all(is_lower) {
        true => Cow::Borrowed(text),
        false => Cow::Owned(text.to_lowercase()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_list_is_one() {
        let lists = Lists::read(BUILT_IN).unwrap();
        let count = |has: fn(&Entry) -> bool| lists.0.values().filter(|entry| has(entry)).count();
        assert!(count(|entry| entry.category.is_some()) > 800);
        assert!(count(|entry| entry.site.is_some()) > 800);
        assert!(count(|entry| entry.ignored.is_some()) > 40);
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
        assert_eq!(lists.category("mail.big.test"), Some(Kind::Shopping));
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
