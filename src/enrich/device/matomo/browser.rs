//! The browser: what the hints say, completed by the User-Agent, or else what that says alone; and the engine that draws its pages.

use std::cmp::Ordering;

use super::super::hints::Hints;
use super::client::Client;
use super::lists::{List, Table};
use super::scan::Scan;
use super::version::{compare, leading_number, tidy};
use super::{Detector, letters};

/// A browser as one source tells it.
#[derive(Clone, Debug, Default)]
struct Told {
    name: String,
    version: String,
    engine: String,
    engine_version: String,
}

impl Told {
    /// Whether the browser's version is that of its engine.
    fn is_engine(&self) -> bool {
        self.name == CHROMIUM || self.name == "Chrome"
    }
}

const BLINK: &str = "Blink";
const CHROMIUM: &str = "Chromium";

/// Browsers that others are built upon and name besides themselves, the most basic first. Any other brand says more.
const BASES: [&str; 3] = [CHROMIUM, "Chrome", "Microsoft Edge"];

/// Brands of hints by which it is known that the engine is Blink; their version is its version. The first one counts.
const BLINK_BRANDS: [&str; 2] = ["Android WebView", CHROMIUM];

/// Names in hints that any app or browser has which uses what the system brings along.
const GENERAL: [&str; 2] = [CHROMIUM, "Chrome Webview"];

/// Names in User-Agents that say no more than those.
const GENERAL_WRITTEN: [&str; 4] = [
    CHROMIUM,
    "Chrome Mobile",
    "Chrome Webview",
    "Android Browser",
];

/// Browsers whose brand has the version of the system's WebView, and which nowhere tell their own.
const VERSIONLESS: [&str; 1] = ["DuckDuckGo Privacy Browser"];

/// Programs that steer a browser and say so: they are no browser.
const PROGRAMS: [&str; 2] = ["Cypress", "PhantomJS"];

/// Engines that User-Agents name otherwise.
const ENGINE_NAMES: [(&str, &[&str]); 2] = [
    (BLINK, &["chrome", "chromium", "cronet", "chr0me"]),
    ("LibWeb", &["libweb+libjs"]),
];

impl Detector {
    pub(super) fn browser(
        &self,
        kind: &'static str,
        sent: &Scan<'_>,
        hints: Option<&Hints>,
    ) -> Option<Client> {
        if PROGRAMS
            .iter()
            .any(|program| sent.original.contains(program))
        {
            return None;
        }
        let written = self.written_browser(sent);
        let hinted = hints.and_then(|hints| self.hinted_browser(hints));
        let mut told = match hinted {
            Some(hinted) => self.both_browsers(hinted, written),
            None => written,
        };
        let mut family = self.browser_family(&told.name);
        let app = hints.and_then(|hints| self.value(Table::BrowserIds, &hints.app));
        if let Some(name) = app.filter(|name| !name.is_empty() && **name != told.name) {
            // A browser that names itself in this hint only draws with what it told besides.
            family = self
                .browser_family(name)
                .or(family.filter(|_| told.engine == BLINK));
            (told.name, told.version) = (name.to_owned(), String::new());
        }
        let family = family.unwrap_or_default().to_owned();
        let Told {
            name,
            version,
            engine,
            engine_version,
        } = told;
        (!name.is_empty()).then_some(Client {
            kind,
            name,
            version,
            engine,
            engine_version,
            family,
        })
    }

    pub(super) fn browser_family(&self, name: &str) -> Option<&str> {
        self.cell(Table::Browsers, *self.browsers.by_name.get(name)?, 2)
    }

    /// Whether a browser runs on mobile devices only.
    pub(super) fn is_mobile_only(&self, name: &str) -> bool {
        let row = self.browsers.by_name.get(name);
        row.is_some_and(|row| self.cell(Table::Browsers, *row, 3).is_some())
    }

    /// What hints and User-Agent make together.
    fn both_browsers(&self, hinted: Told, written: Told) -> Told {
        let is_written_better = match hinted.name.as_str() {
            name if GENERAL.contains(&name) => {
                !written.name.is_empty() && !GENERAL_WRITTEN.contains(&written.name.as_str())
            }
            // Hints do not tell the edition for phones.
            name => written.name.strip_suffix(" Mobile") == Some(name),
        };
        let name = if is_written_better {
            written.name.clone()
        } else {
            hinted.name.clone()
        };
        let version = version_of_both(&name, &hinted, &written).to_owned();
        let is_same = name == written.name
            || self.browser_family(&name) == self.browser_family(&written.name);
        let engine = if is_same {
            written.engine.clone()
        } else {
            hinted.engine.clone()
        };
        // One of them has the major version only.
        let told = [&hinted, &written]
            .into_iter()
            .filter(|told| told.engine == engine);
        let mut versions: Vec<&str> = told.map(|told| told.engine_version.as_str()).collect();
        if engine == BLINK && hinted.is_engine() {
            versions.push(&hinted.version);
        }
        let engine_version = versions
            .into_iter()
            .max_by(|left, right| compare(left, right));
        let engine_version = engine_version.unwrap_or_default().to_owned();
        Told {
            name,
            version,
            engine,
            engine_version,
        }
    }

    /// The brand that says most, and the engine.
    fn hinted_browser(&self, hints: &Hints) -> Option<Told> {
        let known = hints.brands.iter().filter_map(|(brand, version)| {
            let mapped = self.value(Table::BrowserHints, &brand.to_ascii_lowercase());
            Some((self.browser_named(mapped.unwrap_or(brand))?, version))
        });
        let rank = |name: &str| {
            BASES
                .iter()
                .position(|base| *base == name)
                .unwrap_or(BASES.len())
        };
        // The first of those that say as much.
        let (name, version) = known.rev().max_by_key(|(name, _)| rank(name))?;
        let version = match hints.full_version.as_str() {
            "" => version,
            version => version,
        };
        let blink = BLINK_BRANDS
            .iter()
            .find_map(|wanted| hints.brands.iter().find(|(brand, _)| brand == wanted));
        let version = tidy(version);
        (!version.is_empty()).then(|| Told {
            name: name.to_owned(),
            version,
            engine: blink.map_or("", |_| BLINK).to_owned(),
            engine_version: blink.map_or(String::new(), |(_, version)| version.clone()),
        })
    }

    /// The browser of this name, or of this name with or without "Browser".
    fn browser_named(&self, brand: &str) -> Option<&str> {
        let wanted = letters(brand);
        let longer = format!("{wanted}browser");
        let shorter = wanted.strip_suffix("browser").unwrap_or(&wanted);
        let names = [wanted.as_str(), &longer, shorter].into_iter();
        let row = names
            .filter_map(|name| self.browsers.by_letters.get(name))
            .min()?;
        self.cell(Table::Browsers, *row, 1)
    }

    fn written_browser(&self, sent: &Scan<'_>) -> Told {
        let Some(found) = self.first(sent, List::Browsers) else {
            return Told::default();
        };
        let [name, version, engine, _] = found.pattern.texts;
        let version = tidy(&sent.filled(self.text(version), &found.groups));
        let [from, to] = found.pattern.children;
        let since = self
            .data
            .engines
            .get(from as usize..to as usize)
            .unwrap_or_default();
        // The last one that it has had since an earlier version.
        let mut since = since
            .chunks_exact(2)
            .rev()
            .filter(|row| compare(&version, self.text(row[0])) != Ordering::Less);
        let engine = since
            .next()
            .map_or(self.text(engine), |row| self.text(row[1]));
        let engine = match engine {
            "" => self.written_engine(sent),
            engine => engine.to_owned(),
        };
        Told {
            name: sent.filled(self.text(name), &found.groups),
            engine_version: engine_version(sent, &engine).to_owned(),
            version,
            engine,
        }
    }

    fn written_engine(&self, sent: &Scan<'_>) -> String {
        let found = self.first(sent, List::Engines);
        found.map_or(String::new(), |found| {
            sent.filled(self.text(found.pattern.texts[0]), &found.groups)
        })
    }
}

/// The version of the browser of this name.
fn version_of_both<'t>(name: &str, hinted: &'t Told, written: &'t Told) -> &'t str {
    let is_of_same_major = leading_number(&hinted.version) == leading_number(&written.version);
    let is_later = compare(&hinted.version, &written.version) == Ordering::Greater;
    let is_longer = !is_later && written.version.starts_with(&hinted.version);
    let is_of_other = GENERAL.contains(&hinted.name.as_str()) && name != hinted.name;
    // Brands that say the version of the engine for their own.
    let is_engines = written.name == name
        && !written.version.is_empty()
        && !BASES.contains(&hinted.name.as_str())
        && leading_number(&hinted.version) == leading_number(&hinted.engine_version);
    // Whatever brand is named, a later version of the same major is the browser's, and whole.
    let is_written = is_longer || ((is_of_other || is_engines) && !(is_of_same_major && is_later));
    match is_written {
        _ if VERSIONLESS.contains(&name) => "",
        true => &written.version,
        false => &hinted.version,
    }
}

/// The version of an engine: it stands behind its name, as that of any product does (RFC 9110, section 10.1.5).
fn engine_version<'s>(sent: &'s Scan<'_>, engine: &str) -> &'s str {
    if engine.is_empty() {
        return "";
    }
    // Gecko's product has a date; the version is in the comment before it (https://developer.mozilla.org/docs/Web/HTTP/Reference/Headers/User-Agent).
    let of_gecko = || {
        let (before, date) = sent.lower.split_once(if engine == "Gecko" {
            "gecko/"
        } else {
            "clecko/"
        })?;
        let at = before.find(" rv:").or_else(|| before.find(" rv "))? + " rv:".len();
        let is_date = date.bytes().take_while(u8::is_ascii_digit).count() >= 8;
        is_date.then(|| version_at(sent.original, at)).flatten()
    };
    if matches!(engine, "Gecko" | "Clecko")
        && let Some(version) = of_gecko()
    {
        return version;
    }
    let own = engine.to_ascii_lowercase();
    let own = [own.as_str()];
    let known = ENGINE_NAMES.iter().find(|(known, _)| *known == engine);
    let names = known.map_or(&own[..], |(_, names)| names);
    let found = names.iter().filter_map(|name| {
        let mut places = sent.lower.match_indices(name);
        places.find_map(|(at, _)| Some((at, version_at(sent.original, at + name.len())?)))
    });
    found
        .min_by_key(|(at, _)| *at)
        .map_or("", |(_, version)| version)
}

/// The version at a position, behind a divider. A date is none.
fn version_at(text: &str, at: usize) -> Option<&str> {
    let rest = text.get(at..)?.trim_start_matches(['/', '_', ' ']);
    let end = rest
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(rest.len());
    let version = rest[..end].trim_end_matches('.');
    let is_version = version.starts_with(|c: char| c.is_ascii_digit())
        && (version.contains('.') || version.len() < 8);
    is_version.then_some(version)
}
