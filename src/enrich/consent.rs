//! What a visitor allows: consent in all its forms → the states of the consent mode, and what is stored of who denies analytics.
//!
//! The forms are the seven states as sent, Google's `gcs` and `gcd`, and the browser's `Sec-GPC` and `DNT` where the
//! configuration heeds them. What any of them denies is denied. The strings of IAB are kept as they came and decide nothing: a
//! site's consent tool translates them into states. Reading the payload's consent is the intake's business.

use http::HeaderName;

use super::explain::{Explanation, Step};
use super::{Visit, collector, warn};
use crate::schema::{Collector, CollectorDevice, Consent, Device, Event, PrivacyInfo, WebInfo};

const GPC: HeaderName = HeaderName::from_static("sec-gpc");
const DNT: HeaderName = HeaderName::from_static("dnt");

/// What a browser's signal denies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Heed {
    /// Nothing.
    #[default]
    Ignore,
    /// All that serves advertising.
    Ads,
    /// Analytics too.
    All,
}

/// How consent is found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// What `Sec-GPC: 1` denies (<https://www.w3.org/TR/gpc/>).
    pub gpc: Heed,
    /// What `DNT: 1` denies (<https://www.w3.org/TR/tracking-dnt/>).
    pub dnt: Heed,
}

/// The states that Google's tags tell of: granted, denied or unset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct States {
    ad_storage: Option<bool>,
    analytics_storage: Option<bool>,
    ad_user_data: Option<bool>,
    ad_personalization: Option<bool>,
}

impl Config {
    /// Whether something may be stored at the visitor and about who they are: unless they denied `analytics_storage`.
    pub fn allows_storage(&self, event: &Event, visit: &Visit<'_>) -> bool {
        let heeded = self.heeded(visit);
        match consent(event) {
            Some(consent) => States::all(consent, heeded).analytics_storage != Some(false),
            None => heeded != Heed::All,
        }
    }

    /// Brings all forms together in the row. Whether something may be stored, as [`allows_storage`](Self::allows_storage).
    pub(super) fn fill(
        &self,
        event: &mut Event,
        visit: &Visit<'_>,
        explanation: &mut Explanation,
    ) -> bool {
        let (gpc, dnt) = (asks(visit, &GPC), asks(visit, &DNT));
        let has_signal = gpc.is_some() || dnt.is_some();
        if has_signal {
            let consent = collector(event).consent.get_or_insert_default();
            consent.global_privacy_control = gpc;
            consent.do_not_track = dnt;
        }
        let heeded = self.heeded(visit);
        let Some(sent) = consent(event).cloned() else {
            explanation.step(|| Step::new("consent", "nothing was said of it: storage is allowed"));
            return true;
        };
        let states = States::all(&sent, heeded);
        if states != States::default() || event.privacy_info.is_some() {
            let token = event
                .privacy_info
                .take()
                .and_then(|info| info.uses_transient_token);
            event.privacy_info = Some(PrivacyInfo {
                analytics_storage: Some(ga4_text(states.analytics_storage).to_owned()),
                ads_storage: Some(ga4_text(states.ad_storage).to_owned()),
                uses_transient_token: token.or_else(|| Some("No".to_owned())),
            });
        }
        for (name, text, is_understood) in [
            (
                "gcs",
                &sent.gcs,
                sent.gcs
                    .as_deref()
                    .is_none_or(|gcs| read_gcs(gcs).is_some()),
            ),
            (
                "gcd",
                &sent.gcd,
                sent.gcd
                    .as_deref()
                    .is_none_or(|gcd| read_gcd(gcd).is_some()),
            ),
        ] {
            if text.is_some() && !is_understood {
                warn(
                    event,
                    &format!("{name} was not understood: it decides nothing"),
                );
            }
        }
        if States::contradict(&sent) {
            warn(
                event,
                "forms of consent contradict each other: what one denies is denied",
            );
        }
        let consent = collector(event).consent.get_or_insert_default();
        consent.ad_storage = states.ad_storage;
        consent.analytics_storage = states.analytics_storage;
        consent.ad_user_data = states.ad_user_data;
        consent.ad_personalization = states.ad_personalization;
        let is_allowed = states.analytics_storage != Some(false);
        explanation.step(|| explained(&sent, states, heeded));
        is_allowed
    }

    fn heeded(&self, visit: &Visit<'_>) -> Heed {
        let of = |heed: Heed, name| match heed {
            Heed::Ignore => Heed::Ignore,
            heed if asks(visit, name) == Some(true) => heed,
            _ => Heed::Ignore,
        };
        of(self.gpc, &GPC).max(of(self.dnt, &DNT))
    }
}

fn explained(sent: &Consent, states: States, heeded: Heed) -> Step {
    let rule = match (states.analytics_storage, heeded) {
        (Some(false), Heed::All) => {
            "the browser's signal denies analytics: no id, no address, no cookie"
        }
        (Some(false), _) => "analytics_storage is denied: no id, no address, no cookie",
        (Some(true), _) => "analytics_storage is granted",
        (None, _) => "analytics_storage is unset: storage is allowed",
    };
    let state = |state: Option<bool>| state.map(|state| if state { "granted" } else { "denied" });
    Step::new("consent", rule)
        .saw("analytics_storage", state(sent.analytics_storage))
        .saw("ad_storage", state(sent.ad_storage))
        .saw("ad_user_data", state(sent.ad_user_data))
        .saw("ad_personalization", state(sent.ad_personalization))
        .saw("gcs", sent.gcs.as_ref())
        .saw("gcd", sent.gcd.as_ref())
        .saw("Sec-GPC", sent.global_privacy_control)
        .saw("DNT", sent.do_not_track)
        .filled(
            "privacy_info.analytics_storage",
            Some(ga4_text(states.analytics_storage)),
        )
        .filled(
            "privacy_info.ads_storage",
            Some(ga4_text(states.ad_storage)),
        )
}

fn consent(event: &Event) -> Option<&Consent> {
    event.collector.as_ref()?.consent.as_ref()
}

/// What a signal says; `None` if it is not there or says neither.
fn asks(visit: &Visit<'_>, name: &HeaderName) -> Option<bool> {
    match visit.headers.get(name)?.as_bytes() {
        b"1" => Some(true),
        b"0" => Some(false),
        _ => None,
    }
}

fn ga4_text(state: Option<bool>) -> &'static str {
    match state {
        Some(true) => "Yes",
        Some(false) => "No",
        None => "Unset",
    }
}

impl States {
    fn of(consent: &Consent) -> Self {
        Self {
            ad_storage: consent.ad_storage,
            analytics_storage: consent.analytics_storage,
            ad_user_data: consent.ad_user_data,
            ad_personalization: consent.ad_personalization,
        }
    }

    fn of_strings(consent: &Consent) -> [Self; 2] {
        let gcs = consent.gcs.as_deref().and_then(read_gcs);
        let gcd = consent.gcd.as_deref().and_then(read_gcd);
        [gcs.unwrap_or_default(), gcd.unwrap_or_default()]
    }

    /// All forms together.
    fn all(consent: &Consent, heeded: Heed) -> Self {
        let [gcs, gcd] = Self::of_strings(consent);
        let mut states = Self::of(consent).and(gcs).and(gcd);
        if heeded != Heed::Ignore {
            states.ad_storage = Some(false);
            states.ad_user_data = Some(false);
            states.ad_personalization = Some(false);
        }
        if heeded == Heed::All {
            states.analytics_storage = Some(false);
        }
        states
    }

    /// What either denies is denied, what either grants else is granted.
    fn and(self, other: Self) -> Self {
        let and = |a: Option<bool>, b: Option<bool>| match (a, b) {
            (Some(a), Some(b)) => Some(a && b),
            (a, b) => a.or(b),
        };
        self.with(other, and)
    }

    fn with(self, other: Self, both: impl Fn(Option<bool>, Option<bool>) -> Option<bool>) -> Self {
        Self {
            ad_storage: both(self.ad_storage, other.ad_storage),
            analytics_storage: both(self.analytics_storage, other.analytics_storage),
            ad_user_data: both(self.ad_user_data, other.ad_user_data),
            ad_personalization: both(self.ad_personalization, other.ad_personalization),
        }
    }

    /// Whether one form grants what another one denies.
    fn contradict(consent: &Consent) -> bool {
        let [gcs, gcd] = Self::of_strings(consent);
        let sent = Self::of(consent);
        let differ = |a: Option<bool>, b: Option<bool>| Some(a.is_some() && b.is_some() && a != b);
        [(sent, gcs), (sent, gcd), (gcs, gcd)]
            .into_iter()
            .any(|(a, b)| {
                let both = a.with(b, differ);
                [
                    both.ad_storage,
                    both.analytics_storage,
                    both.ad_user_data,
                    both.ad_personalization,
                ]
                .contains(&Some(true))
            })
    }
}

/// `gcs`: `G1`, then a sign for advertising and one for analytics, 1 granted, 0 denied, - unset
/// (<https://developers.google.com/tag-platform/security/concepts/consent-mode>).
fn read_gcs(gcs: &str) -> Option<States> {
    let signs = gcs.trim().as_bytes();
    let [b'G' | b'g', b'1', ad, analytics] = *signs else {
        return None;
    };
    let state = |sign: u8| match sign {
        b'1' => Some(Some(true)),
        b'0' => Some(Some(false)),
        b'-' => Some(None),
        _ => None,
    };
    Some(States {
        ad_storage: state(ad)?,
        analytics_storage: state(analytics)?,
        ..States::default()
    })
}

/// `gcd`: a letter for each of `ad_storage`, `analytics_storage`, `ad_user_data` and `ad_personalization`, in this order, each between digits. The letter
/// says what the default was and what an update made of it; here counts how it ended.
fn read_gcd(gcd: &str) -> Option<States> {
    let gcd = gcd.trim();
    if !gcd.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return None;
    }
    let state = |letter: u8| match letter {
        b'l' => Some(None),
        b'p' | b'q' | b'm' | b'u' => Some(Some(false)),
        b't' | b'r' | b'n' | b'v' => Some(Some(true)),
        _ => None,
    };
    let mut letters = gcd.bytes().filter(u8::is_ascii_alphabetic);
    let mut next = || letters.next().and_then(state);
    Some(States {
        ad_storage: next()?,
        analytics_storage: next()?,
        ad_user_data: next()?,
        ad_personalization: next()?,
    })
}

/// Takes out of the row what may not be stored of a visitor who denied it: the address, and of the User-Agent all but the class.
/// Who they are was not filled in.
pub(super) fn redact(event: &mut Event) {
    event.ip = None;
    // Named is what may stay, so that a column which is new stays out until somebody has thought of it.
    if let Some(collector) = event.collector.take() {
        event.collector = Some(Box::new(Collector {
            consent: collector.consent,
            bot: collector.bot,
            geo: collector.geo,
            click_ids: collector.click_ids,
            warnings: collector.warnings,
            traffic_source: collector.traffic_source,
            device: collector.device.map(|device| CollectorDevice {
                kind: device.kind,
                client_kind: device.client_kind,
                browser_family: device.browser_family,
                operating_system_family: device.operating_system_family,
                ..CollectorDevice::default()
            }),
            ..Collector::default()
        }));
    }
    if let Some(device) = event.device.take() {
        let web_info = device.web_info.map(|web_info| WebInfo {
            browser: web_info.browser,
            hostname: web_info.hostname,
            browser_version: None,
        });
        event.device = Some(Box::new(Device {
            category: device.category,
            operating_system: device.operating_system,
            language: device.language,
            web_info,
            ..Device::default()
        }));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn gcs_says_two_states() {
        let states =
            |gcs| read_gcs(gcs).map(|states| (states.ad_storage, states.analytics_storage));
        let (yes, no) = (Some(true), Some(false));
        assert_eq!(states("G111"), Some((yes, yes)));
        assert_eq!(states("G100"), Some((no, no)));
        assert_eq!(states("G110"), Some((yes, no)));
        assert_eq!(states(" g101 "), Some((no, yes)));
        assert_eq!(states("G1--"), Some((None, None)));
        for other in ["", "G1", "G11", "G1111", "G211", "G1x1", "111", "é"] {
            assert_eq!(states(other), None, "{other}");
        }
    }

    #[test]
    fn gcd_says_how_four_states_ended() {
        let denied = read_gcd("13p3p3p2p5l1").unwrap();
        assert_eq!(denied.analytics_storage, Some(false));
        assert_eq!(denied.ad_personalization, Some(false));
        let updated = read_gcd("13r3r3r2r5l1").unwrap();
        assert_eq!(updated.analytics_storage, Some(true));
        let mixed = read_gcd("11t1q1n1l5").unwrap();
        assert_eq!(
            (
                mixed.ad_storage,
                mixed.analytics_storage,
                mixed.ad_user_data,
                mixed.ad_personalization
            ),
            (Some(true), Some(false), Some(true), None)
        );
        for other in ["", "11", "11t1t1t", "11x1t1t1t5", "11t1t1t1-5", "é"] {
            assert_eq!(read_gcd(other), None, "{other}");
        }
    }

    #[test]
    fn of_the_device_only_its_class_stays() {
        let text = || Some("x".to_owned());
        let finer = CollectorDevice {
            kind: text(),
            client_kind: text(),
            client: text(),
            client_version: text(),
            browser_family: text(),
            engine: text(),
            engine_version: text(),
            operating_system: text(),
            operating_system_family: text(),
            architecture: text(),
        };
        let class = CollectorDevice {
            kind: text(),
            client_kind: text(),
            browser_family: text(),
            operating_system_family: text(),
            ..CollectorDevice::default()
        };
        let mut event = Event::default();
        collector(&mut event).device = Some(finer);
        redact(&mut event);
        assert_eq!(
            event.collector.and_then(|collector| collector.device),
            Some(class)
        );
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,12}|[Gg]1[01-]{0,3}|[0-9a-z]{0,14}") {
            let _ = (read_gcs(&text), read_gcd(&text));
        }
    }
}
