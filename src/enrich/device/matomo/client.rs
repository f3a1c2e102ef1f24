//! What sends: feed reader, app, player, mail program, browser, library; the first of them that is recognised.

use std::cmp::Ordering;

use super::super::hints::Hints;
use super::lists::{Fragment, List, Table};
use super::scan::Scan;
use super::system::is_empty;
use super::version::{compare, leading_number, tidy};
use super::{Detector, letters};

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

/// A browser while it is looked for.
#[derive(Clone, Debug, Default)]
struct Browser {
    name: String,
    version: String,
    engine: String,
    engine_version: String,
}

impl Detector {
    pub(super) fn client(&self, scan: &Scan<'_>, hints: Option<&Hints>) -> Option<Client> {
        let of = |kind: &'static str, list: List| self.listed_client(scan, kind, list);
        of("feed reader", List::FeedReaders)
            .or_else(|| self.app(scan, hints))
            .or_else(|| of("mediaplayer", List::Players))
            .or_else(|| of("pim", List::Pims))
            .or_else(|| self.browser(scan, hints))
            .or_else(|| of("library", List::Libraries))
    }

    fn listed_client(&self, scan: &Scan<'_>, kind: &'static str, list: List) -> Option<Client> {
        let found = self.first(scan, list)?;
        let [name, version, ..] = found.pattern.texts;
        Some(Client {
            kind,
            name: scan.filled(self.text(name), &found.groups),
            version: tidy(&scan.filled(self.text(version), &found.groups)),
            ..Client::default()
        })
    }

    fn app(&self, scan: &Scan<'_>, hints: Option<&Hints>) -> Option<Client> {
        const KIND: &str = "mobile app";
        let listed = self.listed_client(scan, KIND, List::Apps);
        let hinted = hints.and_then(|hints| self.value(Table::AppIds, &hints.app));
        match (listed, hinted) {
            (Some(listed), Some(name)) if listed.name == name => Some(listed),
            (_, Some(name)) if !name.is_empty() => Some(Client {
                kind: KIND,
                name: name.to_owned(),
                ..Client::default()
            }),
            (listed, _) => listed.filter(|client| !is_empty(&client.name)),
        }
    }

    fn browser(&self, scan: &Scan<'_>, hints: Option<&Hints>) -> Option<Client> {
        let written = self.written_browser(scan);
        let hinted = hints
            .map(|hints| self.hinted_browser(hints))
            .unwrap_or_default();
        let mut browser = match is_empty(&hinted.name) || is_empty(&hinted.version) {
            true => written,
            false => self.joined_browser(&hinted, &written),
        };
        let mut family = self.browser_family(&browser.name);
        let embedding = hints.and_then(|hints| self.value(Table::BrowserIds, &hints.app));
        if let Some(name) = embedding.filter(|name| !name.is_empty() && **name != browser.name) {
            browser.name = name.to_owned();
            browser.version.clear();
            if self.has(scan, Fragment::ChromeSafari) {
                browser.engine = "Blink".to_owned();
                browser.engine_version = self.engine_version(scan, &browser.engine);
                family = self.browser_family(name).or(Some("Chrome"));
            }
        }
        let is_program = ["Cypress", "PhantomJS"]
            .iter()
            .any(|name| scan.original.contains(name));
        if is_empty(&browser.name) || is_program {
            return None;
        }
        let is_blink = browser.engine == "Blink";
        match browser.name.as_str() {
            "Flow Browser" if is_blink => browser.engine_version.clear(),
            "Every Browser" => {
                (browser.engine, browser.engine_version, family) =
                    ("Blink".to_owned(), String::new(), Some("Chrome"))
            }
            "TV-Browser Internet" if browser.engine == "Gecko" => {
                (browser.engine, browser.engine_version, family) =
                    ("Blink".to_owned(), String::new(), Some("Chrome"));
            }
            "Yaani Browser" | "Wolvic" if is_blink => family = Some("Chrome"),
            "Yaani Browser" | "Wolvic" if browser.engine == "Gecko" => family = Some("Firefox"),
            _ => {}
        }
        Some(Client {
            kind: "browser",
            family: family.unwrap_or_default().to_owned(),
            name: browser.name,
            version: browser.version,
            engine: browser.engine,
            engine_version: browser.engine_version,
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

    fn short_name(&self, name: &str) -> &str {
        let row = self.browsers.by_name.get(name);
        row.and_then(|row| self.cell(Table::Browsers, *row, 0))
            .unwrap_or_default()
    }

    /// What hints and User-Agent make together.
    fn joined_browser(&self, hinted: &Browser, written: &Browser) -> Browser {
        let mut found = hinted.clone();
        let years = ["2020", "2021", "2022", "2023", "2024"];
        if years.iter().any(|year| found.version.starts_with(year)) {
            found.name = "Iridium".to_owned();
        }
        let take_engine = |found: &mut Browser| {
            found.engine.clone_from(&written.engine);
            found.engine_version.clone_from(&written.engine_version);
        };
        if found.version.starts_with("15") && written.version.starts_with("114") {
            found.name = "360 Secure Browser".to_owned();
            take_engine(&mut found);
        }
        // Their hints tell the version of the engine.
        let by_written = ["A0", "AL", "HP", "JR", "MU", "OM", "OP", "VR"];
        if !is_empty(&written.version) && by_written.contains(&self.short_name(&found.name)) {
            found.version.clone_from(&written.version);
        }
        if found.name == "Vewd Browser" {
            take_engine(&mut found);
        }
        let is_blink = |found: &Browser| found.engine == "Blink" && found.name != "Iridium";
        if is_blink(&found)
            && written.engine == found.engine
            && compare(&written.engine_version, &found.engine_version) == Ordering::Greater
        {
            found.engine_version.clone_from(&written.engine_version);
        }
        let is_general = matches!(found.name.as_str(), "Chromium" | "Chrome Webview");
        let is_written_general = ["CR", "CV", "AN", "CM"].contains(&self.short_name(&written.name));
        if is_general && !is_empty(&written.name) && !is_written_general {
            found.name.clone_from(&written.name);
            let is_other = leading_number(&written.version) != leading_number(&found.version);
            if is_other || compare(&found.version, &written.version) != Ordering::Greater {
                found.version.clone_from(&written.version);
            }
        }
        if written.name.strip_suffix(" Mobile") == Some(&found.name) {
            found.name.clone_from(&written.name);
        }
        if found.name == written.name
            || self.browser_family(&found.name) == self.browser_family(&written.name)
        {
            take_engine(&mut found);
        }
        if !is_empty(&written.version)
            && written.version.starts_with(&found.version)
            && compare(&found.version, &written.version) == Ordering::Less
        {
            found.version.clone_from(&written.version);
        }
        if found.name == "DuckDuckGo Privacy Browser" {
            found.version.clear();
        }
        if is_blink(&found) && compare(&found.engine_version, &hinted.version) == Ordering::Less {
            found.engine_version.clone_from(&hinted.version);
        }
        if is_blink(&found)
            && compare(&written.engine_version, &hinted.engine_version) == Ordering::Less
        {
            found.engine_version.clone_from(&hinted.engine_version);
        }
        found
    }

    fn hinted_browser(&self, hints: &Hints) -> Browser {
        let mut found = Browser::default();
        let engine = ["Android WebView", "Chromium"].iter().find_map(|wanted| {
            let brand = hints.brands.iter().rev().find(|(brand, _)| brand == wanted);
            brand.map(|(_, version)| version)
        });
        if let Some(version) = engine {
            found.engine = "Blink".to_owned();
            found.engine_version.clone_from(version);
        }
        for (brand, version) in &hints.brands {
            let mapped = self.value(Table::BrowserHints, &brand.to_ascii_lowercase());
            let name = self.browser_named(mapped.unwrap_or(brand));
            let is_less = |name: &&str| found.name == "Chrome" && *name == "Chromium";
            if let Some(name) = name.filter(|name| !is_less(name)) {
                found.name = name.to_owned();
                found.version.clone_from(version);
            }
            if !matches!(
                found.name.as_str(),
                "" | "Chrome" | "Chromium" | "Microsoft Edge"
            ) {
                break;
            }
        }
        if !hints.brands.is_empty() && !is_empty(&hints.full_version) {
            found.version.clone_from(&hints.full_version);
        }
        found.version = tidy(&found.version);
        found
    }

    /// The browser of this name, or of this name with or without "Browser".
    fn browser_named(&self, brand: &str) -> Option<&str> {
        let wanted = letters(brand);
        let longer = format!("{wanted}browser");
        let shorter = wanted.strip_suffix("browser").unwrap_or(&wanted);
        let rows = [wanted.as_str(), &longer, shorter].into_iter();
        let row = rows
            .filter_map(|name| self.browsers.by_letters.get(name))
            .min()?;
        self.cell(Table::Browsers, *row, 1)
    }

    fn written_browser(&self, scan: &Scan<'_>) -> Browser {
        let Some(found) = self.first(scan, List::Browsers) else {
            return Browser::default();
        };
        let [name, version, engine, _] = found.pattern.texts;
        let name = scan.filled(self.text(name), &found.groups);
        let version = tidy(&scan.filled(self.text(version), &found.groups));
        let mut engine = self.text(engine);
        let [from, to] = found.pattern.children;
        let rows = self
            .data
            .engines
            .get(from as usize..to as usize)
            .unwrap_or_default();
        for row in rows.chunks_exact(2) {
            if compare(&version, self.text(row[0])) != Ordering::Less {
                engine = self.text(row[1]);
            }
        }
        let engine = match engine {
            "" => self.written_engine(scan),
            engine => engine.to_owned(),
        };
        Browser {
            engine_version: self.engine_version(scan, &engine),
            name,
            version,
            engine,
        }
    }

    fn written_engine(&self, scan: &Scan<'_>) -> String {
        let Some(found) = self.first(scan, List::Engines) else {
            return String::new();
        };
        scan.filled(self.text(found.pattern.texts[0]), &found.groups)
    }

    fn engine_version(&self, scan: &Scan<'_>, engine: &str) -> String {
        if engine.is_empty() {
            return String::new();
        }
        if matches!(engine, "Gecko" | "Clecko")
            && let Some(found) = self.fragment(scan, Fragment::GeckoVersion)
        {
            return scan.filled("$1", &found.groups);
        }
        let tokens: &[&str] = match engine {
            "Blink" => &["chrome", "chr0me", "chromium", "cronet"],
            "Arachne" => &["arachne/5."],
            "LibWeb" => &["libweb+libjs"],
            _ => &[&engine.to_ascii_lowercase()],
        };
        version_behind(scan.original, tokens)
            .unwrap_or_default()
            .to_owned()
    }
}

/// The version that follows the first of these tokens that one follows.
fn version_behind<'t>(text: &'t str, tokens: &[&str]) -> Option<&'t str> {
    let lower = text.to_ascii_lowercase();
    (0..lower.len()).find_map(|at| {
        let rest = lower.as_bytes().get(at..)?;
        tokens.iter().find_map(|token| {
            rest.starts_with(token.as_bytes()).then_some(())?;
            version_at(text, at + token.len())
        })
    })
}

/// The version at a position, behind white space and one `/` or `_`: digits and points, or at most seven digits.
fn version_at(text: &str, at: usize) -> Option<&str> {
    let rest = text.get(at..)?.trim_ascii_start();
    let rest = rest
        .strip_prefix(['/', '_'])
        .unwrap_or(rest)
        .trim_ascii_start();
    let count = |text: &str, is: fn(u8) -> bool| text.bytes().take_while(|byte| is(*byte)).count();
    let digits = count(rest, |byte| byte.is_ascii_digit());
    let has_minor = digits > 0
        && rest[digits..]
            .strip_prefix('.')
            .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    if has_minor {
        return Some(&rest[..count(rest, |byte| byte.is_ascii_digit() || byte == b'.')]);
    }
    (1..=7).contains(&digits).then(|| &rest[..digits])
}
