//! What speaks for an automated client. Nothing is decided for good here: the row gets a score and its reasons, and who reads rows
//! decides; what the collector itself does with bots is a setting.
//!
//! Reasons and their weights are one table, [`REASONS`], which `docs/bots.md` shows. The rate of an address is counted here, in bounded
//! memory and by the times of visits; each instance counts for itself.

use std::net::IpAddr;

use http::{HeaderName, header};

use super::Visit;
use super::device::hints::Hints;
use super::device::{Known, Recognised};
use super::explain::{Explanation, Step};
use crate::schema::{Bot, Event, EventParam, Value};

pub mod networks;
mod rates;

pub use networks::Networks;
use rates::Rates;

/// Something that speaks for an automated client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reason {
    /// Its name in `collector.bot.reasons`.
    pub name: &'static str,
    /// What it adds to the score.
    pub weight: i64,
    /// What was found, for the docs.
    pub what: &'static str,
}

/// The score from which on a client is taken for a bot; the most it can be is 100.
pub const THRESHOLD: i64 = 60;

/// Events of one address within a minute beyond which there are too many.
pub const RATE: u32 = 600;

macro_rules! reasons {
    ($($constant:ident = $name:literal, $weight:literal, $what:literal;)*) => {
        $(const $constant: Reason = Reason { name: $name, weight: $weight, what: $what };)*
        /// All reasons.
        pub const REASONS: &[Reason] = &[$($constant),*];
    };
}

reasons! {
    PATTERN = "pattern", 100, "the User-Agent is that of a known bot";
    HEADLESS = "headless", 100, "User-Agent or brands name a browser without a window, or what drives one";
    TOOL = "tool", 30, "the User-Agent is that of an HTTP library or a command-line tool";
    NO_USER_AGENT = "no_user_agent", 40, "there is no User-Agent";
    NO_ACCEPT_LANGUAGE = "no_accept_language", 15, "there is no Accept-Language, which every browser sends";
    NO_ACCEPT_ENCODING = "no_accept_encoding", 5, "there is no Accept-Encoding, which every browser sends";
    NO_ACCEPT = "no_accept", 5, "there is no Accept, which every browser sends";
    NO_SEC_FETCH = "no_sec_fetch", 25, "over https, a browser that sends Sec-Fetch headers (Chromium 80, Firefox 90, Safari 16.4 or newer) sent none";
    NO_CLIENT_HINTS = "no_client_hints", 20, "over https, a Chromium of version 90 or newer that is no view inside an app sent no Sec-CH-UA";
    CONTRADICTION = "contradiction", 40, "client hints and the User-Agent of a browser name different systems or versions of Chromium";
    RATE_OF_ADDRESS = "rate", 30, "a browser by its User-Agent; more than 600 events of browsers came from its address within this minute";
    DATA_CENTRE = "data_centre", 30, "a browser by its User-Agent; its address is in a network of the file of data centres";
}

/// What a bot does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Category {
    /// Fills the index of a search engine.
    Search,
    /// Looks things up for answers of an AI.
    AiSearch,
    /// Collects what an AI is trained with.
    AiTraining,
    /// Acts or reads for a person who talks with an AI.
    AiAssistant,
    /// Looks whether sites are up.
    Monitor,
    /// Fetches feeds.
    Feed,
    /// Makes previews for social networks.
    Social,
    /// Looks for weaknesses.
    Security,
    /// Checks whether pages are right.
    Validator,
    /// Works for a service.
    Service,
    /// A library or a tool.
    Tool,
    /// A browser without a window.
    Headless,
    /// Anything else.
    Other,
}

impl Category {
    /// Its name in `collector.bot.category`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Search => "search",
            Self::AiSearch => "ai_search",
            Self::AiTraining => "ai_training",
            Self::AiAssistant => "ai_assistant",
            Self::Monitor => "monitor",
            Self::Feed => "feed",
            Self::Social => "social",
            Self::Security => "security",
            Self::Validator => "validator",
            Self::Service => "service",
            Self::Tool => "tool",
            Self::Headless => "headless",
            Self::Other => "other",
        }
    }

    /// That of a category of Matomo.
    pub(super) fn of_matomo(category: &str) -> Self {
        let row = CATEGORIES.iter().find(|(name, _)| *name == category);
        row.map_or(Self::Other, |(_, category)| *category)
    }
}

/// Matomo's categories of bots.
pub const CATEGORIES: &[(&str, Category)] = &[
    ("Search bot", Category::Search),
    ("Search tools", Category::Search),
    ("Crawler", Category::Search),
    ("AI Search Crawler", Category::AiSearch),
    ("AI Data Scraper", Category::AiTraining),
    ("AI Assistant", Category::AiAssistant),
    ("AI Agent", Category::AiAssistant),
    ("Site Monitor", Category::Monitor),
    ("Network Monitor", Category::Monitor),
    ("Feed Fetcher", Category::Feed),
    ("Feed Parser", Category::Feed),
    ("Feed Reader", Category::Feed),
    ("Read-it-later Service", Category::Feed),
    ("Social Media Agent", Category::Social),
    ("Security Checker", Category::Security),
    ("Security search bot", Category::Security),
    ("Validator", Category::Validator),
    ("Benchmark", Category::Monitor),
    ("Service Agent", Category::Service),
    ("Service bot", Category::Service),
];

/// What drives browsers that nobody looks at, and how it is called; in lower case.
const HEADLESS_NAMES: [(&str, &str); 8] = [
    ("headlesschrome", "Headless Chrome"),
    ("headlessfirefox", "Headless Firefox"),
    ("phantomjs", "PhantomJS"),
    ("slimerjs", "SlimerJS"),
    ("cypress/", "Cypress"),
    ("puppeteer", "Puppeteer"),
    ("playwright/", "Playwright"),
    ("selenium", "Selenium"),
];

/// What a client claims to be by its User-Agent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Claim {
    is_browser: bool,
    is_library: bool,
    headless: Option<&'static str>,
    /// Whether it is of a version that sends Sec-Fetch headers.
    sends_fetch: bool,
    /// Whether it is of a version that sends client hints.
    sends_hints: bool,
    is_contradicted: bool,
}

/// The number behind a token.
fn version_of(user_agent: &str, token: &str) -> Option<f32> {
    let (_, rest) = user_agent.split_once(token)?;
    let mut points = 0;
    let mut is_other = |c: char| {
        points += u32::from(c == '.');
        !c.is_ascii_digit() && (c != '.' || points == 2)
    };
    let end = rest.find(&mut is_other).unwrap_or(rest.len());
    rest[..end].parse().ok()
}

impl Claim {
    /// `kind` is Matomo's kind of client.
    pub(super) fn of(user_agent: &str, hints: Option<&Hints>, kind: Option<&str>) -> Self {
        let lower = user_agent.to_ascii_lowercase();
        let brands = hints.map(|hints| &hints.brands[..]).unwrap_or_default();
        let is_headless_brand = brands.iter().any(|(brand, _)| brand == "HeadlessChrome");
        let named = HEADLESS_NAMES
            .iter()
            .find(|(token, _)| lower.contains(token));
        let headless = named
            .map(|(_, name)| *name)
            .or(is_headless_brand.then_some("Headless Chrome"));
        let is_browser = kind == Some("browser") && user_agent.starts_with("Mozilla/5.0");
        let chromium = version_of(user_agent, " Chrome/");
        let firefox = version_of(user_agent, " Firefox/");
        let safari = version_of(user_agent, " Version/")
            .filter(|_| chromium.is_none() && user_agent.contains(" Safari/"));
        let at_least =
            |version: Option<f32>, least: f32| version.is_some_and(|version| version >= least);
        let is_view =
            user_agent.contains("; wv)") || hints.is_some_and(|hints| !hints.app.is_empty());
        Self {
            is_browser,
            is_library: kind == Some("library"),
            headless,
            sends_fetch: is_browser
                && (at_least(chromium, 80.0) || at_least(firefox, 90.0) || at_least(safari, 16.4)),
            sends_hints: is_browser && at_least(chromium, 90.0) && !is_view,
            // Who relays what a browser said of itself, under a name of its own, claims nothing.
            is_contradicted: is_browser
                && hints.is_some_and(|hints| contradicts(user_agent, chromium, hints)),
        }
    }
}

/// Whether hints name another system than the User-Agent, or another version of Chromium. Phones that ask for the desktop's page claim to be Linux, so
/// that and Android go together.
fn contradicts(user_agent: &str, chromium: Option<f32>, hints: &Hints) -> bool {
    let systems = [("Windows", "Windows NT"), ("macOS", "Macintosh")];
    let is_other = |(hint, token): (&str, &str)| {
        let is_claimed = user_agent.contains(token);
        !hints.platform.is_empty() && is_claimed != (hints.platform == hint)
    };
    let major = hints.brands.iter().find(|(brand, _)| brand == "Chromium");
    let major = major.and_then(|(_, version)| version.split('.').next()?.parse::<u32>().ok());
    let claimed = chromium.map(|version| version as u32);
    let is_other_version = major
        .zip(claimed)
        .is_some_and(|(hinted, claimed)| hinted != claimed);
    is_other_version || systems.into_iter().any(is_other)
}

/// What is done with bots.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BotPolicy {
    /// Their rows are stored, with the evidence.
    #[default]
    Keep,
    /// Besides, they get the parameter `traffic_type` with the value `bot`.
    Mark,
    /// Their events are not stored.
    Drop,
}

/// Collects what speaks for bots.
#[derive(Debug, Default)]
pub(super) struct Bots {
    policy: BotPolicy,
    rates: Rates,
    data_centres: Networks,
}

const SEC_FETCH: [HeaderName; 3] = [
    HeaderName::from_static("sec-fetch-mode"),
    HeaderName::from_static("sec-fetch-site"),
    HeaderName::from_static("sec-fetch-dest"),
];

const SEC_CH_UA: HeaderName = HeaderName::from_static("sec-ch-ua");

const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Whether the page or the way from the client is known to be https; browsers send less over http.
fn is_https(visit: &Visit<'_>) -> bool {
    let begins = |name: &HeaderName, with: &[u8]| {
        visit
            .headers
            .get(name)
            .is_some_and(|value| value.as_bytes().starts_with(with))
    };
    begins(&FORWARDED_PROTO, b"https") || begins(&header::ORIGIN, b"https://")
}

impl Bots {
    pub(super) fn new(policy: BotPolicy) -> Self {
        Self {
            policy,
            ..Self::default()
        }
    }

    pub(super) fn set_data_centres(&mut self, data_centres: Networks) {
        self.data_centres = data_centres;
    }

    /// Whether an enriched event is not to be stored.
    pub(super) fn drops(&self, event: &Event) -> bool {
        let bot = event
            .collector
            .as_ref()
            .and_then(|collector| collector.bot.as_ref());
        self.policy == BotPolicy::Drop && bot.is_some_and(|bot| bot.is_bot == Some(true))
    }

    /// The evidence of an event. Nothing of a request without any header: that is no request.
    pub(super) fn fill(
        &self,
        event: &mut Event,
        visit: &Visit<'_>,
        found: &Recognised,
        explanation: &mut Explanation,
    ) {
        if visit.headers.is_empty() {
            return;
        }
        let reasons = self.reasons(visit, found);
        let score = reasons
            .iter()
            .map(|reason| reason.weight)
            .sum::<i64>()
            .min(100);
        let is_bot = score >= THRESHOLD;
        let (name, category) = match (&found.known, found.claim.headless) {
            (Some(Known { name, category }), _) => (Some(name.clone()), Some(*category)),
            (None, Some(name)) => (Some(name.to_owned()), Some(Category::Headless)),
            (None, None) if found.claim.is_library => (None, Some(Category::Tool)),
            (None, None) => (None, is_bot.then_some(Category::Other)),
        };
        explanation.step(|| {
            let names: Vec<&str> = reasons.iter().map(|reason| reason.name).collect();
            Step::new(
                "bots",
                format!(
                    "a score of {THRESHOLD} or more is taken for a bot; FILTER__BOTS is {:?}",
                    self.policy
                ),
            )
            .saw(
                "reasons",
                Some(names.join(", ")).filter(|names| !names.is_empty()),
            )
            .filled("collector.bot.is_bot", Some(is_bot))
            .filled("collector.bot.score", Some(score))
            .filled("collector.bot.name", name.as_ref())
            .filled("collector.bot.category", category.map(Category::name))
        });
        super::collector(event).bot = Some(Bot {
            is_bot: Some(is_bot),
            name,
            category: category.map(|category| category.name().to_owned()),
            score: Some(score),
            reasons: reasons
                .iter()
                .map(|reason| reason.name.to_owned())
                .collect(),
        });
        if is_bot && self.policy == BotPolicy::Mark {
            mark(event);
        }
    }

    fn reasons(&self, visit: &Visit<'_>, found: &Recognised) -> Vec<Reason> {
        let claim = &found.claim;
        let lacks = |name: &HeaderName| !visit.headers.contains_key(name);
        let is_https = is_https(visit);
        let user_agent = visit.headers.get(header::USER_AGENT);
        let has_user_agent =
            user_agent.is_some_and(|value| !value.as_bytes().trim_ascii().is_empty());
        // Senders on servers send much, and are in data centres; browsers are not.
        let address = visit.client_ip.filter(|_| claim.is_browser);
        let all = [
            (PATTERN, found.known.is_some()),
            (HEADLESS, claim.headless.is_some()),
            (TOOL, claim.is_library),
            (NO_USER_AGENT, !has_user_agent),
            (NO_ACCEPT_LANGUAGE, lacks(&header::ACCEPT_LANGUAGE)),
            (NO_ACCEPT_ENCODING, lacks(&header::ACCEPT_ENCODING)),
            (NO_ACCEPT, lacks(&header::ACCEPT)),
            (
                NO_SEC_FETCH,
                is_https && claim.sends_fetch && SEC_FETCH.iter().all(lacks),
            ),
            (
                NO_CLIENT_HINTS,
                is_https && claim.sends_hints && lacks(&SEC_CH_UA) && visit.hints.is_none(),
            ),
            (CONTRADICTION, claim.is_contradicted),
            (
                RATE_OF_ADDRESS,
                address.is_some_and(|ip| self.is_too_often(ip, visit)),
            ),
            (
                DATA_CENTRE,
                address.is_some_and(|ip| self.data_centres.contains(ip)),
            ),
        ];
        let found = all.into_iter().filter(|(_, is_found)| *is_found);
        found.map(|(reason, _)| reason).collect()
    }

    fn is_too_often(&self, ip: IpAddr, visit: &Visit<'_>) -> bool {
        self.rates.count(ip, visit.received_at) > RATE
    }
}

/// Gives the event GA4's parameter by which traffic is told apart, unless it has one.
fn mark(event: &mut Event) {
    const KEY: &str = "traffic_type";
    if event
        .event_params
        .iter()
        .any(|param| param.key.as_deref() == Some(KEY))
    {
        return;
    }
    event.event_params.push(EventParam {
        key: Some(KEY.to_owned()),
        value: Some(Value {
            string_value: Some("bot".to_owned()),
            ..Value::default()
        }),
    });
}

#[cfg(test)]
mod tests;
