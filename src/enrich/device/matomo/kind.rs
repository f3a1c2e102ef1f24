//! The device: brand and model by lists, and what kind of device it is, by them or else by all that is known of system and client.

use std::cmp::Ordering;

use super::super::hints::Hints;
use super::lists::{Fragment, List, Table};
use super::scan::Scan;
use super::system::is_empty;
use super::version::compare;
use super::{Detected, Detector};

/// What kinds of hints mean, the first that is there.
const FORM_FACTORS: [(&str, &str); 7] = [
    ("automotive", "car browser"),
    ("xr", "wearable"),
    ("watch", "wearable"),
    ("mobile", "smartphone"),
    ("tablet", "tablet"),
    ("desktop", "desktop"),
    ("eink", "tablet"),
];

const APPLE_SYSTEMS: [&str; 5] = ["iPadOS", "tvOS", "watchOS", "iOS", "Mac"];

/// What a list of devices tells.
#[derive(Default)]
struct Listed {
    kind: Option<String>,
    brand: String,
    model: String,
}

impl Detector {
    pub(super) fn device(
        &self,
        found: &mut Detected,
        scan: &Scan<'_>,
        restored: &Scan<'_>,
        hints: Option<&Hints>,
    ) {
        let listed = self
            .listed_device(scan, restored, hints)
            .unwrap_or_default();
        (found.kind, found.brand, found.model) = (listed.kind, listed.brand, listed.model);
        if let Some(hints) = hints.filter(|_| is_empty(&found.model)) {
            found.model.clone_from(&hints.model);
        }
        if is_empty(&found.brand) {
            let vendor = self.first(scan, List::Vendors);
            found.brand = vendor
                .map(|vendor| self.text(vendor.pattern.texts[0]).to_owned())
                .unwrap_or_default();
        }
        let system = found
            .system
            .as_ref()
            .map(|system| system.name.as_str())
            .unwrap_or_default();
        let is_apple_system = APPLE_SYSTEMS.contains(&system);
        if found.brand == "Apple" && !is_apple_system {
            found.kind = None;
            found.brand.clear();
            found.model.clear();
        }
        if is_empty(&found.brand) {
            found.brand = match system {
                _ if is_apple_system => "Apple",
                "ThinOS" => "Dell",
                _ => "",
            }
            .to_owned();
        }
        if system == "Coolita OS" {
            found.brand = "coocaa".to_owned();
        }
        found.kind = self.kind(found, scan).map(str::to_owned);
    }

    /// The first list that is in charge of this User-Agent; it answers even if it does not know the device.
    fn listed_device(
        &self,
        scan: &Scan<'_>,
        restored: &Scan<'_>,
        hints: Option<&Hints>,
    ) -> Option<Listed> {
        let television = |listed: Option<Listed>| {
            let mut listed = listed.unwrap_or_default();
            listed.kind.get_or_insert_with(|| "tv".to_owned());
            Some(listed)
        };
        if self.has(scan, Fragment::Hbbtv) {
            return television(self.asked(List::Televisions, restored, hints));
        }
        if self.has(scan, Fragment::ShellTelevision) {
            let mut listed = self
                .asked(List::ShellTelevisions, restored, hints)
                .unwrap_or_default();
            listed.kind = None;
            return television(Some(listed));
        }
        if self.has(scan, Fragment::Notebook) {
            let listed = self.asked(List::Notebooks, restored, hints);
            if listed.is_some() {
                return listed;
            }
        }
        for list in [List::Consoles, List::Cars, List::Cameras, List::Players2] {
            if self.first(scan, list).is_some() {
                let listed = self.asked(list, restored, hints);
                if listed.is_some() {
                    return listed;
                }
            }
        }
        self.asked(List::Mobiles, restored, hints)
    }

    /// What a list says; `None` if it knows nothing and is not to be the last.
    fn asked(&self, list: List, scan: &Scan<'_>, hints: Option<&Hints>) -> Option<Listed> {
        let hints = hints.filter(|hints| !is_empty(&hints.model));
        if hints.is_none() && (self.is_frozen_android(scan) || self.is_desktop_platform(scan)) {
            return Some(Listed::default());
        }
        let Some(brand) = self.first(scan, list) else {
            let hints = hints?;
            let is_said = |factor: &str| hints.form_factors.iter().any(|said| said == factor);
            let kind = FORM_FACTORS.iter().find(|(factor, _)| is_said(factor));
            return Some(Listed {
                kind: kind.map(|(_, kind)| (*kind).to_owned()),
                ..Listed::default()
            });
        };
        let [name, kind, model, _] = brand.pattern.texts;
        let mut listed = Listed {
            kind: self.given(kind).map(str::to_owned),
            brand: Some(self.text(name))
                .filter(|name| *name != "Unknown")
                .unwrap_or_default()
                .to_owned(),
            model: self
                .given(model)
                .map(|model| tidy_model(&scan.filled(model, &brand.groups)))
                .unwrap_or_default(),
        };
        let [from, to] = brand.pattern.children;
        if from == to {
            return Some(listed);
        }
        let Some(found) = scan.first(from, to) else {
            return Some(listed);
        };
        let [name, kind, model, _] = found.pattern.texts;
        listed.model = tidy_model(&scan.filled(self.text(model), &found.groups));
        if let Some(brand) = self.given(name) {
            listed.brand = brand.to_owned();
        }
        if let Some(kind) = self.given(kind) {
            listed.kind = Some(kind.to_owned());
        }
        Some(listed)
    }

    /// What kind of device it is. Later rules decide where earlier ones did not; some overrule them.
    fn kind<'f>(&self, found: &'f Detected, scan: &Scan<'_>) -> Option<&'f str> {
        let has = |fragment: Fragment| self.has(scan, fragment);
        let system = found.system.as_ref();
        let (name, family, version) = match system {
            Some(system) => (
                system.name.as_str(),
                system.family.as_str(),
                system.version.as_str(),
            ),
            None => ("", "", ""),
        };
        let client = found.client.as_ref();
        let is_older = |than: &str| compare(version, than) == Ordering::Less;
        let mut kind = found.kind.as_deref();
        if kind.is_none() && has(Fragment::Vr) {
            kind = Some("wearable");
        }
        if kind.is_none() && family == "Android" && has(Fragment::Chrome) {
            kind = Some(if has(Fragment::Mobile) {
                "smartphone"
            } else {
                "tablet"
            });
        }
        if kind == Some("smartphone") && has(Fragment::Pad) {
            kind = Some("tablet");
        }
        if kind.is_none() && has(Fragment::Tablet) {
            kind = Some("tablet");
        }
        if kind.is_none() && has(Fragment::MobileForm) {
            kind = Some("smartphone");
        }
        if kind.is_none() && name == "Android" && !version.is_empty() {
            if is_older("2.0") {
                kind = Some("smartphone");
            } else if !is_older("3.0") && is_older("4.0") {
                kind = Some("tablet");
            }
        }
        if kind == Some("feature phone") && family == "Android" {
            kind = Some("smartphone");
        }
        if (kind.is_none() && name == "Java ME") || name == "KaiOS" {
            kind = Some("feature phone");
        }
        let may_be_tablet = name == "Windows RT" || (name == "Windows" && !is_older("8"));
        if kind.is_none() && may_be_tablet && has(Fragment::Touch) {
            kind = Some("tablet");
        }
        for (fragment, puffin) in [
            (Fragment::PuffinDesktop, "desktop"),
            (Fragment::PuffinPhone, "smartphone"),
            (Fragment::PuffinTablet, "tablet"),
        ] {
            if kind.is_none() && has(fragment) {
                kind = Some(puffin);
            }
        }
        if has(Fragment::OperaTelevision) || matches!(name, "Coolita OS" | "VIDAA") {
            kind = Some("tv");
        }
        if !matches!(kind, Some("tv" | "wearable" | "peripheral")) && has(Fragment::Television) {
            kind = Some("tv");
        }
        if kind.is_none() && has(Fragment::SmartTelevision) {
            kind = Some("tv");
        }
        if client.is_some_and(|client| self.is_in(Table::TelevisionClients, &client.name)) {
            kind = Some("tv");
        }
        if kind.is_none() && has(Fragment::TelevisionForm) {
            kind = Some("tv");
        }
        if kind != Some("desktop") && has(Fragment::Desktop) {
            kind = Some("desktop");
        }
        let is_mobile_only = client
            .is_some_and(|client| client.kind == "browser" && self.is_mobile_only(&client.name));
        let is_desktop = !is_mobile_only
            && self
                .system_family(name)
                .is_some_and(|family| self.is_in(Table::DesktopFamilies, family));
        kind.or(is_desktop.then_some("desktop"))
    }
}

fn tidy_model(model: &str) -> String {
    let model = model.replace('_', " ");
    let cut = model.len().saturating_sub(3);
    let is_td = model
        .get(cut..)
        .is_some_and(|end| end.eq_ignore_ascii_case(" td"));
    let model = if is_td { &model[..cut] } else { &model };
    match model {
        "Build" | "0" => String::new(),
        model => model.trim().to_owned(),
    }
}
