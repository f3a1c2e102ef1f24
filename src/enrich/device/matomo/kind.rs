//! What kind of device it is, where no list told it, and where they are wrong: by words of the User-Agent, system and client.

use std::cmp::Ordering;

use super::lists::Table;
use super::marks::Mark;
use super::scan::Scan;
use super::version::compare;
use super::{Detected, Detector};

/// Which kinds a rule may change.
enum Over {
    /// None is known.
    Unknown,
    /// It is one of these.
    These(&'static [&'static str]),
    /// All but these.
    AllBut(&'static [&'static str]),
}

/// A rule: the kinds that it may change, what must be the case, and the kind that it makes of them.
type Rule = (Over, fn(&Clues<'_>) -> bool, &'static str);

/// All of them, one after the other; each sees what those before it have made.
const RULES: &[Rule] = &[
    (Over::Unknown, |clues| clues.says(Mark::Headset), "wearable"),
    // Chrome for Android: phones have a word that tablets have not.
    (
        Over::Unknown,
        |clues| clues.is_chrome_on_android() && clues.says(Mark::Mobile),
        "smartphone",
    ),
    (
        Over::Unknown,
        |clues| clues.is_chrome_on_android(),
        "tablet",
    ),
    (
        Over::These(&["smartphone"]),
        |clues| clues.says(Mark::Pad),
        "tablet",
    ),
    (Over::Unknown, |clues| clues.says(Mark::Tablet), "tablet"),
    (Over::Unknown, |clues| clues.says(Mark::Phone), "smartphone"),
    // Android 1 was for phones, 3 for tablets.
    (
        Over::Unknown,
        |clues| clues.is_android_from("0", "2"),
        "smartphone",
    ),
    (
        Over::Unknown,
        |clues| clues.is_android_from("3", "4"),
        "tablet",
    ),
    (
        Over::These(&["feature phone"]),
        |clues| clues.family == "Android",
        "smartphone",
    ),
    (
        Over::Unknown,
        |clues| clues.system == "Java ME",
        "feature phone",
    ),
    (
        Over::AllBut(&[]),
        |clues| clues.system == "KaiOS",
        "feature phone",
    ),
    (
        Over::Unknown,
        |clues| clues.is_windows_for_touch() && clues.says(Mark::Touch),
        "tablet",
    ),
    // Puffin ends its version with its edition.
    (
        Over::Unknown,
        |clues| clues.puffin() == Some('d'),
        "desktop",
    ),
    (
        Over::Unknown,
        |clues| clues.puffin() == Some('p'),
        "smartphone",
    ),
    (Over::Unknown, |clues| clues.puffin() == Some('t'), "tablet"),
    (
        Over::AllBut(&[]),
        |clues| clues.says(Mark::OperaTelevision) || clues.is_system_of_televisions(),
        "tv",
    ),
    (
        Over::AllBut(&["wearable", "peripheral"]),
        |clues| clues.says(Mark::Television),
        "tv",
    ),
    (
        Over::Unknown,
        |clues| clues.says(Mark::SmartTelevision) || clues.is_tizen_on_television(),
        "tv",
    ),
    (
        Over::AllBut(&[]),
        |clues| clues.is_client_of_televisions,
        "tv",
    ),
    (
        Over::Unknown,
        |clues| clues.says(Mark::TelevisionForm),
        "tv",
    ),
    (
        Over::AllBut(&[]),
        |clues| clues.says(Mark::Desktop),
        "desktop",
    ),
    (
        Over::Unknown,
        |clues| clues.is_system_of_desktops && !clues.is_client_of_mobiles,
        "desktop",
    ),
];

/// What rules know.
struct Clues<'c> {
    detector: &'c Detector,
    scan: &'c Scan<'c>,
    system: &'c str,
    family: &'c str,
    version: &'c str,
    is_client_of_televisions: bool,
    is_client_of_mobiles: bool,
    is_system_of_desktops: bool,
}

impl Clues<'_> {
    fn says(&self, mark: Mark) -> bool {
        self.detector.says(self.scan, mark)
    }

    fn is_chrome_on_android(&self) -> bool {
        self.family == "Android" && self.says(Mark::Chrome)
    }

    fn is_from(&self, version: &str) -> bool {
        compare(self.version, version) != Ordering::Less
    }

    fn is_android_from(&self, first: &str, end: &str) -> bool {
        self.system == "Android"
            && !self.version.is_empty()
            && self.is_from(first)
            && !self.is_from(end)
    }

    fn is_windows_for_touch(&self) -> bool {
        self.system == "Windows RT" || (self.system == "Windows" && self.is_from("8"))
    }

    fn is_system_of_televisions(&self) -> bool {
        matches!(self.system, "Coolita OS" | "VIDAA")
    }

    fn is_tizen_on_television(&self) -> bool {
        let rest = self
            .scan
            .lower
            .split_once("tizen")
            .map_or("", |(_, rest)| rest);
        rest.contains(" tv ")
    }

    fn puffin(&self) -> Option<char> {
        let version = self.scan.lower.split_once("puffin/")?.1;
        version.split(' ').next()?.chars().last()
    }
}

impl Detector {
    /// The kind, by what is known of all the rest.
    pub(super) fn kind<'f>(&self, found: &'f Detected, scan: &Scan<'_>) -> Option<&'f str> {
        let system = found.system.as_ref();
        let client = found.client.as_ref();
        let clues = Clues {
            detector: self,
            scan,
            system: system.map_or("", |system| &system.name),
            family: system.map_or("", |system| &system.family),
            version: system.map_or("", |system| &system.version),
            is_client_of_televisions: client
                .is_some_and(|client| self.is_in(Table::TelevisionClients, &client.name)),
            is_client_of_mobiles: client.is_some_and(|client| {
                client.kind == "browser" && self.is_mobile_only(&client.name)
            }),
            is_system_of_desktops: system
                .and_then(|system| self.system_family(&system.name))
                .is_some_and(|family| self.is_in(Table::DesktopFamilies, family)),
        };
        RULES
            .iter()
            .fold(found.kind.as_deref(), |kind, (over, is_so, new)| {
                let may = match (over, kind) {
                    (Over::Unknown, kind) => kind.is_none(),
                    (Over::These(kinds), Some(kind)) => kinds.contains(&kind),
                    (Over::These(_), None) => false,
                    (Over::AllBut(kinds), kind) => kind.is_none_or(|kind| !kinds.contains(&kind)),
                };
                if may && is_so(&clues) {
                    Some(*new)
                } else {
                    kind
                }
            })
    }
}
