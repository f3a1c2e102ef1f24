//! The operating system: hints win, and the User-Agent tells what they leave out.

use super::super::hints::Hints;
use super::lists::{Fragment, List, Table};
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

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Named {
    name: String,
    version: String,
}

impl Detector {
    pub(super) fn system(&self, scan: &Scan<'_>, hints: Option<&Hints>) -> Option<System> {
        let hinted = hints
            .map(|hints| self.hinted_system(hints))
            .unwrap_or_default();
        let written = self.written_system(scan);
        // The family goes by the name that the hint gave, whatever the User-Agent makes of it.
        let (mut found, mut family_of) = if !hinted.name.is_empty() {
            self.joined(&hinted, &written)
        } else if !written.name.is_empty() {
            (written.clone(), written.name)
        } else {
            return None;
        };
        if let Some(hints) = hints {
            let set = |found: &mut Named, family_of: &mut String, name: &str, version: String| {
                (found.name, found.version) = (name.to_owned(), version);
                *family_of = "Android".to_owned();
            };
            if found.name != "Android" && self.is_in(Table::AndroidApps, &hints.app) {
                set(&mut found, &mut family_of, "Android", String::new());
            }
            if found.name != "Lineage OS" && hints.app == "org.lineageos.jelly" {
                let version = self.mapped_version(Table::LineageOs, &found.version);
                set(&mut found, &mut family_of, "Lineage OS", version);
            }
            if found.name != "Fire OS" && hints.app == "org.mozilla.tv.firefox" {
                let version = self.mapped_version(Table::FireOs, &found.version);
                set(&mut found, &mut family_of, "Fire OS", version);
            }
        }
        Some(System {
            platform: self.platform(scan, hints).to_owned(),
            family: self
                .system_family(&family_of)
                .unwrap_or_default()
                .to_owned(),
            name: found.name,
            version: found.version,
        })
    }

    /// What hint and User-Agent make together, and the name by which the family goes.
    fn joined(&self, hinted: &Named, written: &Named) -> (Named, String) {
        let Named {
            mut name,
            mut version,
        } = hinted.clone();
        let written_family = self.system_family(&written.name);
        if is_empty(&version) && self.system_family(&name) == written_family {
            version.clone_from(&written.version);
        }
        if name == "Windows" && version == "0.0.0" {
            version = match written.version.as_str() {
                "10" => String::new(),
                other => other.to_owned(),
            };
        }
        if name == "Puffin OS" {
            version.clone_from(&written.version);
        }
        let mut family_of = name.clone();
        // A system of that family which calls itself by its own name.
        if written.name != name && written_family == Some(&name) {
            name.clone_from(&written.name);
            match name.as_str() {
                "LeafOS" | "HarmonyOS" => version.clear(),
                "PICO OS" => version.clone_from(&written.version),
                "Fire OS" if !is_empty(&hinted.version) => {
                    version = self.mapped_version(Table::FireOs, &version)
                }
                _ => {}
            }
        }
        let is_chrome_os = written.name == "Chrome OS";
        let is_that_chrome_os =
            name == "GNU/Linux" && is_chrome_os && hinted.version == written.version;
        let is_horizon = name == "GNU/Linux" && written.name == "Meta Horizon";
        let is_android_on_it = name == "Android" && is_chrome_os;
        if is_that_chrome_os || is_android_on_it || is_horizon {
            name.clone_from(&written.name);
            family_of.clone_from(&written.name);
        }
        if is_android_on_it {
            version.clear();
        }
        (Named { name, version }, family_of)
    }

    /// The version that goes with this one of Android, or with its major version.
    fn mapped_version(&self, table: Table, version: &str) -> String {
        let mapped = self.value(table, version);
        let mapped = mapped.or_else(|| self.value(table, &leading_number(version).to_string()));
        mapped.unwrap_or_default().to_owned()
    }

    pub(super) fn system_family(&self, name: &str) -> Option<&str> {
        self.cell(Table::Systems, *self.systems.by_name.get(name)?, 2)
    }

    fn hinted_system(&self, hints: &Hints) -> Named {
        if is_empty(&hints.platform) {
            return Named::default();
        }
        let mapped = self.value(Table::SystemHints, &hints.platform.to_ascii_lowercase());
        let wanted = letters(mapped.unwrap_or(&hints.platform));
        let row = self.systems.by_letters.get(&wanted);
        let name = row
            .and_then(|row| self.cell(Table::Systems, *row, 1))
            .unwrap_or_default();
        let version = hints.platform_version.as_str();
        let version = match (name, leading_number(version)) {
            ("Windows", 0) => match version
                .split_once('.')
                .map(|(_, minor)| leading_number(minor))
            {
                Some(1) => "7",
                Some(2) => "8",
                Some(3) => "8.1",
                _ => version,
            },
            ("Windows", 1..=10) => "10",
            ("Windows", _) => "11",
            (_, 0) if version != "0.0.0" => "",
            _ => version,
        };
        Named {
            name: name.to_owned(),
            version: tidy(version),
        }
    }

    fn written_system(&self, scan: &Scan<'_>) -> Named {
        let Some(found) = self.first(scan, List::Systems) else {
            return Named::default();
        };
        let [name, version, ..] = found.pattern.texts;
        let mut named = Named {
            name: self.known_name(scan.filled(self.text(name), &found.groups)),
            version: tidy(&scan.filled(self.text(version), &found.groups)),
        };
        let [from, to] = found.pattern.children;
        if let Some(better) = scan.first(from, to) {
            let [name, version, ..] = better.pattern.texts;
            if let Some(name) = self.given(name) {
                named.name = self.known_name(scan.filled(name, &better.groups));
            }
            if let Some(version) = self.given(version) {
                named.version = tidy(&scan.filled(version, &better.groups));
            }
        }
        named
    }

    /// A name as it is usually written.
    fn known_name(&self, name: String) -> String {
        let row = self.systems.by_lower_case.get(&name.to_ascii_lowercase());
        let known = row.and_then(|row| self.cell(Table::Systems, *row, 1));
        known.map_or(name, str::to_owned)
    }

    fn platform(&self, scan: &Scan<'_>, hints: Option<&Hints>) -> &'static str {
        if let Some(hints) = hints.filter(|hints| !is_empty(&hints.architecture)) {
            let architecture = hints.architecture.to_ascii_lowercase();
            let has = |part: &str| architecture.contains(part);
            let is_64 = has("x64") || (has("x86") && hints.bitness == "64");
            let known = [
                ("ARM", has("arm")),
                ("LoongArch64", has("loongarch64")),
                ("MIPS", has("mips")),
                ("SuperH", has("sh4")),
                ("SPARC64", has("sparc64")),
                ("x64", is_64),
                ("x86", has("x86")),
            ];
            if let Some((name, _)) = known.into_iter().find(|(_, is_it)| *is_it) {
                return name;
            }
        }
        let known = [
            ("ARM", Fragment::Arm),
            ("LoongArch64", Fragment::LoongArch),
            ("MIPS", Fragment::Mips),
            ("SuperH", Fragment::SuperH),
            ("SPARC64", Fragment::Sparc),
            ("x64", Fragment::X64),
            ("x86", Fragment::X86),
        ];
        let found = known
            .into_iter()
            .find(|(_, fragment)| self.has(scan, *fragment));
        found.map(|(name, _)| name).unwrap_or_default()
    }
}

/// What the original takes for nothing.
pub(super) fn is_empty(text: &str) -> bool {
    matches!(text, "" | "0")
}
