//! What sends: the first list of clients that knows it. Browsers are for [`super::browser`].

use super::super::hints::Hints;
use super::Detector;
use super::lists::{List, Table};
use super::scan::Scan;
use super::version::tidy;

/// What sends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Client {
    /// Matomo's name of the kind: `browser`, `mobile app`, `library`.
    pub(crate) kind: &'static str,
    pub(crate) name: String,
    pub(crate) version: String,
    /// Of browsers: what draws the page.
    pub(crate) engine: String,
    pub(crate) engine_version: String,
    /// Of browsers: the family, empty if it has none.
    pub(crate) family: String,
}

/// Kinds of clients in the order in which they are looked for: much that shows pages has the name of a browser as well.
const KINDS: [(&str, List); 6] = [
    ("feed reader", List::FeedReaders),
    ("mobile app", List::Apps),
    ("mediaplayer", List::Players),
    ("pim", List::Pims),
    ("browser", List::Browsers),
    ("library", List::Libraries),
];

impl Detector {
    pub(super) fn client(&self, sent: &Scan<'_>, hints: Option<&Hints>) -> Option<Client> {
        KINDS.iter().find_map(|(kind, list)| match list {
            List::Apps => self.app(kind, sent, hints),
            List::Browsers => self.browser(kind, sent, hints),
            _ => self.listed_client(kind, *list, sent),
        })
    }

    fn listed_client(&self, kind: &'static str, list: List, sent: &Scan<'_>) -> Option<Client> {
        let found = self.first(sent, list)?;
        let [name, version, ..] = found.pattern.texts;
        let name = sent.filled(self.text(name), &found.groups);
        let version = tidy(&sent.filled(self.text(version), &found.groups));
        (!name.is_empty()).then(|| Client {
            kind,
            name,
            version,
            ..Client::default()
        })
    }

    /// The app of the hint, with the version of the User-Agent if that names the same.
    fn app(&self, kind: &'static str, sent: &Scan<'_>, hints: Option<&Hints>) -> Option<Client> {
        let written = self.listed_client(kind, List::Apps, sent);
        let hinted = hints.and_then(|hints| self.value(Table::AppIds, &hints.app));
        let Some(name) = hinted.filter(|name| !name.is_empty()) else {
            return written;
        };
        written.filter(|written| written.name == name).or_else(|| {
            Some(Client {
                kind,
                name: name.to_owned(),
                ..Client::default()
            })
        })
    }
}
