//! The operating system: what the hint says, made finer by the User-Agent, or else what that says alone.

use super::super::hints::Hints;
use super::lists::{List, Table};
use super::scan::Scan;
use super::version::{leading_number, tidy};
use super::{Detector, letters};

/// An operating system.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct System {
    pub(crate) name: String,
    pub(crate) version: String,
    /// Architecture of the processor, in Matomo's words.
    pub(crate) platform: String,
    /// The family; empty if it has none.
    pub(crate) family: String,
}

/// A system as one source tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Told {
    name: String,
    version: String,
}

/// Systems that call themselves by the name of another one in hints, because their browsers are built for that.
const BENEATH: [(&str, &str); 3] = [
    ("Chrome OS", "Android"),
    ("Chrome OS", "GNU/Linux"),
    ("Meta Horizon", "GNU/Linux"),
];

/// Apps that come with one system only.
const APPS: [(&str, &str); 2] = [
    ("org.lineageos.jelly", "Lineage OS"),
    ("org.mozilla.tv.firefox", "Fire OS"),
];

const ANDROID: &str = "Android";

impl Detector {
    pub(super) fn system(&self, whole: &Scan<'_>, hints: Option<&Hints>) -> Option<System> {
        let written = self.written_system(whole);
        let hinted = hints.and_then(|hints| self.hinted_system(hints));
        let mut told = match (hinted, written) {
            (Some(hinted), Some(written)) => self.both(hinted, written),
            (Some(told), None) | (None, Some(told)) => told,
            (None, None) => return None,
        };
        if let Some(hints) = hints {
            self.by_app(&mut told, &hints.app);
        }
        Some(System {
            platform: self.processor(whole, hints).to_owned(),
            family: self
                .system_family(&told.name)
                .unwrap_or_default()
                .to_owned(),
            name: told.name,
            version: told.version,
        })
    }

    /// The hint wins; but of its family, the User-Agent may know the system itself.
    fn both(&self, hinted: Told, written: Told) -> Told {
        if BENEATH.contains(&(&written.name, &hinted.name)) {
            let is_of_other = hinted.name == ANDROID;
            return Told {
                version: if is_of_other {
                    String::new()
                } else {
                    hinted.version
                },
                name: written.name,
            };
        }
        if written.name == hinted.name {
            let version = self.version_of_same(&hinted, written.version);
            return Told {
                version,
                name: hinted.name,
            };
        }
        let family = self.system_family(&written.name);
        if family == Some(&hinted.name) {
            // The version of the hint is that of the system which it names.
            let own = self.own_version(&written.name, &hinted.version);
            let version = own.unwrap_or(if hinted.version.is_empty() {
                written.version
            } else {
                hinted.version
            });
            return Told {
                version,
                name: written.name,
            };
        }
        if hinted.version.is_empty() && family == self.system_family(&hinted.name) {
            return Told {
                version: written.version,
                name: hinted.name,
            };
        }
        hinted
    }

    fn version_of_same(&self, hinted: &Told, written: String) -> String {
        match (hinted.name.as_str(), hinted.version.as_str()) {
            (_, "") => written,
            // A Windows that does not say its version; all Windows say 10 in User-Agents.
            ("Windows", "0.0.0") if written == "10" => String::new(),
            ("Windows", "0.0.0") => written,
            (_, version) => version.to_owned(),
        }
    }

    /// The version of a system that is made of Android, by the version of that.
    fn own_version(&self, name: &str, android: &str) -> Option<String> {
        let table = match name {
            "Fire OS" => Table::FireOs,
            "Lineage OS" => Table::LineageOs,
            _ => return None,
        };
        let major = || self.value(table, &leading_number(android).to_string());
        self.value(table, android).or_else(major).map(str::to_owned)
    }

    /// The app in which a page is shown tells the system, whatever page and User-Agent pretend to.
    fn by_app(&self, told: &mut Told, app: &str) {
        if let Some((_, system)) = APPS.iter().find(|(known, _)| *known == app) {
            if told.name != *system {
                told.version = self.own_version(system, &told.version).unwrap_or_default();
                (*system).clone_into(&mut told.name);
            }
        } else if self.is_in(Table::AndroidApps, app) && told.name != ANDROID {
            *told = Told {
                name: ANDROID.to_owned(),
                version: String::new(),
            };
        }
    }

    pub(super) fn system_family(&self, name: &str) -> Option<&str> {
        self.cell(Table::Systems, *self.systems.by_name.get(name)?, 2)
    }

    fn hinted_system(&self, hints: &Hints) -> Option<Told> {
        let mapped = self.value(Table::SystemHints, &hints.platform.to_ascii_lowercase());
        let wanted = letters(mapped.unwrap_or(&hints.platform));
        let row = *self.systems.by_letters.get(&wanted)?;
        let name = self.cell(Table::Systems, row, 1)?;
        let version = match name {
            "Windows" => windows_version(&hints.platform_version),
            _ if leading_number(&hints.platform_version) == 0 => "",
            _ => &hints.platform_version,
        };
        Some(Told {
            name: name.to_owned(),
            version: tidy(version),
        })
    }

    fn written_system(&self, whole: &Scan<'_>) -> Option<Told> {
        let found = self.first(whole, List::Systems)?;
        let [from, to] = found.pattern.children;
        let finer = whole.first(from, to);
        // Each text by the finer pattern, if that has it.
        let text = |at: usize| {
            let finer = finer
                .as_ref()
                .and_then(|finer| Some((self.given(finer.pattern.texts[at])?, finer.groups)));
            let (template, groups) =
                finer.unwrap_or_else(|| (self.text(found.pattern.texts[at]), found.groups));
            whole.filled(template, &groups)
        };
        let name = text(0);
        let row = self.systems.by_lower_case.get(&name.to_ascii_lowercase());
        let known = row.and_then(|row| self.cell(Table::Systems, *row, 1));
        let name = known.map_or(name, str::to_owned);
        (!name.is_empty()).then(|| Told {
            name,
            version: tidy(&text(1)),
        })
    }
}

/// The Windows of a hint (<https://learn.microsoft.com/microsoft-edge/web-platform/how-to-detect-win11>).
fn windows_version(hint: &str) -> &str {
    let minor = || hint.split('.').nth(1).unwrap_or_default();
    match (leading_number(hint), hint) {
        (_, "") => "",
        (0, _) => match minor() {
            "1" => "7",
            "2" => "8",
            "3" => "8.1",
            _ => hint,
        },
        (1..=10, _) => "10",
        _ => "11",
    }
}
