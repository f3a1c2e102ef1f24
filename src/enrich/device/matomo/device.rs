//! The device: its brand and model, by the lists of devices and by what the system tells of its maker.

use super::super::hints::Hints;
use super::frozen::frozen;
use super::lists::List;
use super::marks::Mark;
use super::scan::{Match, Scan};
use super::{Detected, Detector};

/// A list of devices, and which User-Agents it is for.
struct Turn {
    list: List,
    asked: Asked,
}

/// When a list is asked.
enum Asked {
    /// A word says that it is a television. Then it is one, whether the list knows it or not.
    Television(Mark),
    /// The list knows its brand. Then it is a television, and no other list is asked.
    KnownTelevision,
    /// A word says that it may.
    Said(Mark),
    /// The list knows its brand.
    Known,
    /// None before had an answer.
    Otherwise,
}

/// The order of the lists.
const TURNS: [Turn; 8] = [
    Turn {
        list: List::Televisions,
        asked: Asked::Television(Mark::Broadcast),
    },
    Turn {
        list: List::ShellTelevisions,
        asked: Asked::KnownTelevision,
    },
    Turn {
        list: List::Notebooks,
        asked: Asked::Said(Mark::Notebook),
    },
    Turn {
        list: List::Consoles,
        asked: Asked::Known,
    },
    Turn {
        list: List::Cars,
        asked: Asked::Known,
    },
    Turn {
        list: List::Cameras,
        asked: Asked::Known,
    },
    Turn {
        list: List::Players2,
        asked: Asked::Known,
    },
    Turn {
        list: List::Mobiles,
        asked: Asked::Otherwise,
    },
];

/// Kinds of the hint (<https://wicg.github.io/ua-client-hints/#sec-ch-ua-form-factors>). A device may be several; the first one here counts.
const FORM_FACTORS: [(&str, &str); 7] = [
    ("automotive", "car browser"),
    ("xr", "wearable"),
    ("watch", "wearable"),
    ("mobile", "smartphone"),
    ("tablet", "tablet"),
    ("desktop", "desktop"),
    ("eink", "tablet"),
];

const APPLE: &str = "Apple";

/// Systems that one maker builds devices for, and whether that maker is known better by the system than by the lists.
const MAKERS: [(&str, &str, bool); 7] = [
    ("iOS", APPLE, false),
    ("iPadOS", APPLE, false),
    ("Mac", APPLE, false),
    ("tvOS", APPLE, false),
    ("watchOS", APPLE, false),
    ("ThinOS", "Dell", false),
    ("Coolita OS", "coocaa", true),
];

/// What a list tells of a device.
#[derive(Default)]
struct Answer {
    kind: Option<String>,
    brand: String,
    model: String,
}

impl Detector {
    /// Fills in the device. System and client are known already.
    pub(super) fn fill_device(
        &self,
        found: &mut Detected,
        sent: &Scan<'_>,
        whole: &Scan<'_>,
        hints: Option<&Hints>,
    ) {
        let mut answer = self.answer(sent, whole, hints).unwrap_or_default();
        if let Some(hints) = hints.filter(|_| answer.model.is_empty()) {
            answer.model.clone_from(&hints.model);
        }
        if answer.brand.is_empty() {
            // Codes of makers, such as Internet Explorer has them.
            let vendor = self.first(sent, List::Vendors);
            answer.brand = vendor
                .map_or("", |vendor| self.text(vendor.pattern.texts[0]))
                .to_owned();
        }
        let system = found.system.as_ref().map_or("", |system| &system.name);
        let maker = MAKERS.iter().find(|(known, ..)| *known == system);
        if answer.brand == APPLE && maker.is_none_or(|(_, brand, _)| *brand != APPLE) {
            // Browsers that call themselves Apple's on other systems: nothing is known of the device.
            answer = Answer::default();
        }
        if let Some((_, brand, is_certain)) = maker
            && (*is_certain || answer.brand.is_empty())
        {
            (*brand).clone_into(&mut answer.brand);
        }
        (found.kind, found.brand, found.model) = (answer.kind, answer.brand, answer.model);
        found.kind = self.kind(found, sent).map(str::to_owned);
    }

    /// The answer of the first list that is for this User-Agent and has one.
    fn answer(&self, sent: &Scan<'_>, whole: &Scan<'_>, hints: Option<&Hints>) -> Option<Answer> {
        TURNS.iter().find_map(|turn| {
            let is_known = || self.first(sent, turn.list).is_some();
            let (is_asked, is_television) = match turn.asked {
                Asked::Television(mark) => (self.says(sent, mark), true),
                Asked::KnownTelevision => (is_known(), true),
                Asked::Said(mark) => (self.says(sent, mark), false),
                Asked::Known => (is_known(), false),
                Asked::Otherwise => (true, false),
            };
            let answer = is_asked.then(|| self.asked(turn.list, whole, hints))?;
            match is_television {
                true => {
                    let answer = answer.unwrap_or_default();
                    let kind = answer.kind.or_else(|| Some("tv".to_owned()));
                    Some(Answer { kind, ..answer })
                }
                false => answer,
            }
        })
    }

    /// What a list answers: the first brand that matches, and the first of its models; if none does, what the hints say.
    fn asked(&self, list: List, whole: &Scan<'_>, hints: Option<&Hints>) -> Option<Answer> {
        let hints = hints.filter(|hints| !hints.model.is_empty());
        if hints.is_none() && frozen(&whole.lower).is_some() {
            return Some(Answer::default());
        }
        let Some(brand) = self.first(whole, list) else {
            let factors = &hints?.form_factors;
            let kind = FORM_FACTORS
                .iter()
                .find(|(factor, _)| factors.iter().any(|said| said == factor));
            return Some(Answer {
                kind: kind.map(|(_, kind)| (*kind).to_owned()),
                ..Answer::default()
            });
        };
        let mut answer = Answer::default();
        self.take(&brand, whole, &mut answer);
        let [from, to] = brand.pattern.children;
        if let Some(model) = whole.first(from, to) {
            answer.model.clear();
            self.take(&model, whole, &mut answer);
        }
        if answer.brand == "Unknown" {
            answer.brand.clear();
        }
        Some(answer)
    }

    /// Reads what a brand or a model tells; what it does not tell stays.
    fn take(&self, found: &Match<'_>, whole: &Scan<'_>, answer: &mut Answer) {
        let [brand, kind, model, _] = found.pattern.texts;
        if let Some(brand) = self.given(brand) {
            brand.clone_into(&mut answer.brand);
        }
        if let Some(kind) = self.given(kind) {
            answer.kind = Some(kind.to_owned());
        }
        if let Some(model) = self.given(model) {
            answer.model = tidy(&whole.filled(model, &found.groups));
        }
    }
}

/// A model without what models are written with in User-Agents: `_` for spaces, ` TD` of phones for China's TD-SCDMA, an empty one's `Build`.
fn tidy(model: &str) -> String {
    let model = model.replace('_', " ");
    let name = model
        .len()
        .checked_sub(3)
        .and_then(|at| model.split_at_checked(at));
    let name = name
        .filter(|(_, end)| end.eq_ignore_ascii_case(" td"))
        .map_or(model.as_str(), |(name, _)| name);
    match name.trim() {
        "Build" => String::new(),
        name => name.to_owned(),
    }
}
