//! The device: what a User-Agent and client hints tell of it.
//!
//! With a file of compiled patterns it is Matomo's Device Detector ([`matomo`]), without one `woothee` ([`fallback`]), which knows much less.
//! What was recognised once is remembered, in bounded memory. What is in the columns is said by [`columns`]; whether it is a bot
//! is for [`super::bots`] to say.

use std::cell::RefCell;
use std::sync::Arc;

use http::header;
use quick_cache::Weighter;
use quick_cache::sync::{Cache, DefaultLifecycle};

use super::bots::{Category, Claim};
use super::explain::{Explanation, Step};
use super::{Visit, collector, prefix};
use crate::schema::{CollectorDevice, Device, Event};

pub mod columns;
pub mod compile;
mod fallback;
#[cfg(test)]
pub(super) mod fixture_tests;
pub(super) mod hash;
pub mod hints;
pub(crate) mod matomo;

use hints::{Hints, Sent};
pub use matomo::data::Unreadable;

/// Bytes in which devices are remembered: about 30,000 of usual ones.
const MEMORY: u64 = 64 << 20;

/// Bytes that one of them takes, about: what was recognised, its key, and columns that are copies of parts of that.
#[derive(Clone, Debug)]
struct Bytes;

impl Weighter<Box<str>, Arc<Recognised>> for Bytes {
    fn weight(&self, key: &Box<str>, _: &Arc<Recognised>) -> u64 {
        (size_of::<Recognised>() + 4 * key.len()) as u64
    }
}

/// How much of a User-Agent is looked at, in bytes. The longest that are of a device have about 600.
const MAX_LOOKED_AT: usize = 1024;

/// A bot by its own account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) name: String,
    pub(super) category: Category,
}

/// What is known of a device, as rows have it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Recognised {
    device: Device,
    finer: Option<CollectorDevice>,
    /// The bot, if it says that it is one.
    pub(super) known: Option<Known>,
    /// What it claims to be, for those who doubt it.
    pub(super) claim: Claim,
}

/// What was recognised, by User-Agent and hints.
type Remembered = Cache<Box<str>, Arc<Recognised>, Bytes, hash::Seeded>;

fn cache(bytes: u64) -> Remembered {
    const USUAL: u64 = 2048;
    Cache::with(
        usize::try_from(bytes / USUAL).unwrap_or_default(),
        bytes,
        Bytes,
        hash::Seeded::new(),
        DefaultLifecycle::default(),
    )
}

/// Recognises devices.
#[derive(Debug)]
pub struct Devices {
    detector: Option<matomo::Detector>,
    cache: Remembered,
}

impl Default for Devices {
    fn default() -> Self {
        Self::with(None)
    }
}

impl Devices {
    /// Devices as a file of compiled patterns tells them.
    ///
    /// # Errors
    /// The file is something else, of another version, or damaged.
    pub fn read(file: &[u8]) -> Result<Self, Unreadable> {
        matomo::Detector::read(file).map(|detector| Self::with(Some(detector)))
    }

    fn with(detector: Option<matomo::Detector>) -> Self {
        Self {
            detector,
            cache: cache(MEMORY),
        }
    }

    /// The same, which remember what goes into so many bytes; with 0, nothing.
    #[must_use]
    pub fn remembering(mut self, bytes: u64) -> Self {
        self.cache = cache(bytes);
        self
    }

    /// Package and version of the patterns, and how many there are; none without a file.
    pub fn patterns(&self) -> Option<(&str, usize)> {
        let detector = self.detector.as_ref()?;
        Some((detector.source(), detector.patterns()))
    }

    /// Looks a device up, so that the next event of it finds it remembered.
    pub fn look_up(&self, visit: &Visit<'_>) {
        let user_agent = visit.header(&header::USER_AGENT);
        let user_agent = user_agent.as_deref().map(str::trim).unwrap_or_default();
        self.recognised(prefix(user_agent, MAX_LOOKED_AT), &Sent::by(visit));
    }

    /// Fills in the device of an event. What was recognised, for further steps.
    pub(super) fn fill(
        &self,
        event: &mut Event,
        device: &mut Device,
        visit: &Visit<'_>,
        explanation: &mut Explanation,
    ) -> Arc<Recognised> {
        let user_agent = visit.header(&header::USER_AGENT);
        let user_agent = user_agent.as_deref().map(str::trim).unwrap_or_default();
        let sent = Sent::by(visit);
        let found = self.recognised(prefix(user_agent, MAX_LOOKED_AT), &sent);
        let language = device.language.take();
        device.clone_from(&found.device);
        device.language = language;
        if found.finer.is_some() {
            collector(event).device.clone_from(&found.finer);
        }
        explanation.step(|| self.step(user_agent, &sent, &found));
        found
    }

    fn step(&self, user_agent: &str, sent: &Sent<'_>, found: &Recognised) -> Step {
        let rule = match self.patterns() {
            Some((source, patterns)) => format!(
                "{patterns} patterns of {source}, asked in Matomo's order; client hints win over the User-Agent"
            ),
            None => "woothee, because there is no file of patterns".to_owned(),
        };
        let mut step = Step::new("device", rule).saw(
            "User-Agent",
            Some(user_agent).filter(|text| !text.is_empty()),
        );
        for (name, value) in sent.each() {
            step = step.saw(name, Some(value));
        }
        let device = &found.device;
        let web = device.web_info.as_ref();
        let finer = found.finer.as_ref();
        step.filled("device.category", device.category.as_ref())
            .filled(
                "device.mobile_brand_name",
                device.mobile_brand_name.as_ref(),
            )
            .filled(
                "device.mobile_model_name",
                device.mobile_model_name.as_ref(),
            )
            .filled(
                "device.mobile_os_hardware_model",
                device.mobile_os_hardware_model.as_ref(),
            )
            .filled("device.operating_system", device.operating_system.as_ref())
            .filled(
                "device.operating_system_version",
                device.operating_system_version.as_ref(),
            )
            .filled(
                "device.web_info.browser",
                web.and_then(|web| web.browser.as_ref()),
            )
            .filled(
                "device.web_info.browser_version",
                web.and_then(|web| web.browser_version.as_ref()),
            )
            .filled(
                "collector.device.kind",
                finer.and_then(|finer| finer.kind.as_ref()),
            )
            .filled(
                "collector.device.client",
                finer.and_then(|finer| finer.client.as_ref()),
            )
    }

    fn recognised(&self, user_agent: &str, sent: &Sent<'_>) -> Arc<Recognised> {
        thread_local! {
            static KEY: RefCell<String> = const { RefCell::new(String::new()) };
        }
        KEY.with_borrow_mut(|key| {
            key.clear();
            key.push_str(user_agent);
            sent.key(key);
            if let Some(found) = self.cache.get(key.as_str()) {
                return found;
            }
            let found = Arc::new(self.recognise(user_agent, sent.read().as_ref()));
            self.cache.insert(key.as_str().into(), Arc::clone(&found));
            found
        })
    }

    fn recognise(&self, user_agent: &str, hints: Option<&Hints>) -> Recognised {
        if user_agent.is_empty() && hints.is_none() {
            return Recognised::default();
        }
        let Some(detector) = &self.detector else {
            return fallback::recognise(user_agent, hints);
        };
        let found = detector.detect(user_agent, hints);
        let hinted = hints
            .map(|hints| hints.model.as_str())
            .filter(|model| !model.is_empty());
        Recognised {
            device: columns::device(
                &found,
                hinted.or_else(|| columns::hardware_model(user_agent)),
            ),
            finer: columns::collector_device(&found),
            known: known(&found),
            claim: Claim::of(
                user_agent,
                hints,
                found.client.as_ref().map(|client| client.kind),
            ),
        }
    }
}

fn known(found: &matomo::Detected) -> Option<Known> {
    let bot = found.bot.as_ref()?;
    Some(Known {
        name: bot.name.clone(),
        category: Category::of_matomo(&bot.category),
    })
}

#[cfg(test)]
mod tests;
