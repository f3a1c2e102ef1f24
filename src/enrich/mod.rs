//! Enrichment: what the server knows of an event besides what its client says.
//!
//! [`Enricher::event`] is the ordered list of steps, one file each. Steps are pure: no clock, no I/O,
//! nothing of HTTP but the values of headers, which the intake puts into a [`Visit`]. A bad header or
//! address never costs an event: what cannot be understood stays null or becomes a warning.

use std::net::IpAddr;
use std::sync::Arc;

use http::{HeaderMap, header};

use crate::clock::Micros;
use crate::schema::{Collector, Device, Event, EventDimensions, WebInfo};

use self::client_ip::{HopsHeader, Platform, Trust};
use self::cookieless::Cookieless;
use self::explain::{Explanation, Step};
use self::reference::Reference;
use self::traffic_source::Lists;

pub mod bots;
pub mod client_ip;
pub mod commerce;
pub mod consent;
mod cookieless;
pub mod device;
pub mod explain;
pub mod geo;
pub mod identity;
mod key;
mod language;
pub mod reference;
pub mod session;
mod time;
pub mod traffic_source;
mod url;
mod visit;
mod visitor;

pub use device::hints::ClientHints;
pub use key::Key;
pub use visit::Visit;

/// Most warnings that a row holds.
pub const MAX_WARNINGS: usize = 20;

/// Longest User-Agent that is stored, in bytes.
const MAX_USER_AGENT: usize = 2048;

/// How events are enriched.
#[derive(Clone, Debug)]
pub struct Config {
    /// Proxies in front of the collector that append to the header; with 0 the connection's address counts.
    pub trusted_hops: usize,
    /// The header to which they append.
    pub hops_header: HopsHeader,
    /// What is in front and writes headers of its own.
    pub platform: Platform,
    /// Whether the headers that tell a place come from it.
    pub trust_geo_headers: bool,
    /// What of the client's address is stored.
    pub ip: IpPolicy,
    /// The time zone whose days `event_date` and `date` are.
    pub time_zone: jiff::tz::TimeZone,
    /// Domains or origins whose referrers are internal.
    pub own_domains: Vec<String>,
    /// What is done with bots.
    pub bots: bots::BotPolicy,
    /// Domains whose referrers bring nobody, besides those of the list of sources.
    pub ignored_referrers: Vec<String>,
    /// How consent is found.
    pub consent: consent::Config,
    /// By which session cookies are signed and cookieless ids hashed; the first is used, further ones are still understood.
    pub keys: Vec<Key>,
    /// How sessions are kept.
    pub session: session::Config,
    /// Whether who denies storage gets an id for the day.
    pub has_cookieless_ids: bool,
    /// Whether the cookie of Google Analytics tells a browser that has none of ours.
    pub takes_ga_cookie: bool,
}

impl Config {
    /// Whose word on the client's address counts.
    pub fn trust(&self) -> Trust {
        Trust {
            platform: self.platform,
            hops: self.trusted_hops,
            header: self.hops_header,
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            trusted_hops: 0,
            hops_header: HopsHeader::default(),
            platform: Platform::default(),
            trust_geo_headers: true,
            ip: IpPolicy::default(),
            time_zone: jiff::tz::TimeZone::UTC,
            own_domains: Vec::new(),
            bots: bots::BotPolicy::default(),
            ignored_referrers: Vec::new(),
            consent: consent::Config::default(),
            keys: Vec::new(),
            session: session::Config::default(),
            has_cookieless_ids: false,
            takes_ga_cookie: false,
        }
    }
}

/// What of the client's address is stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IpPolicy {
    /// All of it.
    Full,
    /// Its network: /24 of IPv4, /48 of IPv6.
    #[default]
    Truncated,
    /// Nothing.
    None,
}

impl IpPolicy {
    const fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Truncated => "truncated",
            Self::None => "none",
        }
    }
}

/// Enriches events. One is made at start and shared.
#[derive(Debug)]
pub struct Enricher {
    trust: Trust,
    trust_geo_headers: bool,
    ip: IpPolicy,
    time_zone: jiff::tz::TimeZone,
    sources: traffic_source::Rules,
    lists: Arc<Lists>,
    reference: Arc<Reference>,
    devices: device::Devices,
    bots: bots::Bots,
    consent: consent::Config,
    cookieless: Option<Cookieless>,
    sessions: Option<session::Sessions>,
    takes_ga_cookie: bool,
}

impl Enricher {
    /// An enricher that knows devices by `woothee`, no data centres, and nothing to look things up in but what is built in.
    pub fn new(config: Config) -> Self {
        Self {
            trust: config.trust(),
            trust_geo_headers: config.trust_geo_headers,
            ip: config.ip,
            time_zone: config.time_zone,
            sources: traffic_source::Rules::new(&config.own_domains, &config.ignored_referrers),
            lists: Lists::built_in(),
            reference: Arc::default(),
            devices: device::Devices::default(),
            bots: bots::Bots::new(config.bots),
            consent: config.consent,
            cookieless: config
                .keys
                .first()
                .filter(|_| config.has_cookieless_ids)
                .map(|key| Cookieless::new(key.clone(), config.session.pause)),
            sessions: session::Sessions::new(&config.keys, config.session),
            takes_ga_cookie: config.takes_ga_cookie,
        }
    }

    /// The same, which knows devices by these.
    #[must_use]
    pub fn with_devices(mut self, devices: device::Devices) -> Self {
        self.devices = devices;
        self
    }

    /// The same, which knows these networks of data centres.
    #[must_use]
    pub fn with_data_centres(mut self, data_centres: bots::Networks) -> Self {
        self.bots.set_data_centres(data_centres);
        self
    }

    /// Whether the configuration says that an enriched event is not to be stored.
    pub fn is_filtered(&self, event: &Event) -> bool {
        self.bots.drops(event)
    }

    /// What it looks things up in, to be replaced.
    pub fn reference(&self) -> Arc<Reference> {
        Arc::clone(&self.reference)
    }

    /// The address of the client, by the headers that are trusted and the connection.
    pub fn client_ip(&self, headers: &HeaderMap, peer: Option<IpAddr>) -> Option<IpAddr> {
        self.trust.client_ip(headers, peer)
    }

    /// The list of sources that counts now.
    fn lists(&self) -> Arc<Lists> {
        let replaced = self.reference.lists.get();
        replaced.unwrap_or_else(|| Arc::clone(&self.lists))
    }

    /// Fills in all that can be known of an event. `client_timestamp` is when it happened by the client's clock, if it said so.
    pub fn event(
        &self,
        event: &mut Event,
        visit: &Visit<'_>,
        client_timestamp: Option<Micros>,
        explanation: &mut Explanation,
    ) {
        event.platform = Some("WEB".to_owned());
        event.stream_id = Some(visit.stream_id.clone().into_owned());
        let is_allowed = self.consent.fill(event, visit, explanation);
        event.ip = client_ip::stored(visit.client_ip, self.ip);
        explanation.step(|| {
            let step = self.trust.explained(visit.headers);
            step.saw("client's address", visit.client_ip)
                .saw("ENRICH__IP", Some(self.ip.name()))
                .filled("ip", event.ip.as_ref())
        });

        time::stamp(event, visit.received_at, client_timestamp, &self.time_zone);
        explanation.step(|| time::explained(event, visit.received_at, client_timestamp));
        let cookieless = match is_allowed {
            true => None,
            false => self.cookieless_id(event, visit),
        };
        identity::fill(event, visit, is_allowed, cookieless, explanation);

        self.fill_device(event, visit, explanation);
        explanation.step(|| {
            let device = event.device.as_ref();
            Step::new("language", "the language of the highest weight")
                .saw(
                    "Accept-Language",
                    visit.header(&header::ACCEPT_LANGUAGE).as_deref(),
                )
                .filled(
                    "device.language",
                    device.and_then(|device| device.language.as_ref()),
                )
        });
        let platform = self.trust_geo_headers.then_some(self.trust.platform);
        let places = self.reference.places.get();
        geo::fill(event, visit, platform, places.as_deref(), explanation);
        self.fill_page(event, explanation);
        let rates = self.reference.rates.get();
        commerce::fill(event, rates.as_deref(), explanation);
        if !is_allowed {
            consent::redact(event);
        }
    }

    fn fill_device(&self, event: &mut Event, visit: &Visit<'_>, explanation: &mut Explanation) {
        let mut device = Device {
            language: visit
                .header(&header::ACCEPT_LANGUAGE)
                .as_deref()
                .and_then(language::preferred),
            ..Device::default()
        };
        let found = self.devices.fill(event, &mut device, visit, explanation);
        self.bots.fill(event, visit, &found, explanation);
        let user_agent = visit.header(&header::USER_AGENT);
        let user_agent = user_agent.as_deref().filter(|text| !text.trim().is_empty());
        if let Some(user_agent) = user_agent {
            let user_agent = prefix(user_agent, MAX_USER_AGENT);
            collector(event).user_agent = Some(user_agent.to_owned());
        }
        if device != Device::default() {
            event.device = Some(Box::new(device));
        }
    }

    /// All that the address of the page tells: host, campaign, click ids.
    fn fill_page(&self, event: &mut Event, explanation: &mut Explanation) {
        let hostname = traffic_source::fill(event, &self.sources, &self.lists(), explanation);
        let Some(hostname) = hostname else { return };
        let web_info = event
            .device
            .get_or_insert_default()
            .web_info
            .get_or_insert_with(WebInfo::default);
        web_info.hostname = Some(hostname.clone());
        event.event_dimensions = Some(EventDimensions {
            hostname: Some(hostname),
        });
    }
}

/// The record of what GA4 has no column for.
fn collector(event: &mut Event) -> &mut Collector {
    event.collector.get_or_insert_default()
}

/// Notes what was changed in the row.
fn warn(event: &mut Event, warning: &str) {
    let warnings = &mut collector(event).warnings;
    if warnings.len() < MAX_WARNINGS {
        warnings.push(warning.to_owned());
    }
}

/// The text value of the last parameter of this name that has one.
fn text_param<'e>(event: &'e Event, key: &str) -> Option<&'e str> {
    let of_key = |param: &&crate::schema::EventParam| param.key.as_deref() == Some(key);
    let params = event.event_params.iter().rev().filter(of_key);
    params
        .filter_map(|param| param.value.as_ref()?.string_value.as_deref())
        .next()
}

/// The beginning of a text, at most so many bytes.
fn prefix(text: &str, max_bytes: usize) -> &str {
    &text[..text.floor_char_boundary(max_bytes)]
}

#[cfg(test)]
mod tests {
    use super::visit::headers;
    use super::*;
    use crate::schema::{EventParam, Value};

    fn enriched(config: Config, visit: &Visit<'_>) -> Event {
        let page = Value {
            string_value: Some("https://Shop.test/a?utm_source=n1&gbraid=g".to_owned()),
            ..Value::default()
        };
        let mut event = Event {
            event_params: vec![EventParam {
                key: Some("page_location".to_owned()),
                value: Some(page),
            }],
            ..Event::default()
        };
        Enricher::new(config).event(&mut event, visit, None, &mut Explanation::unasked());
        event
    }

    #[test]
    fn a_visit_without_headers_leaves_their_columns_null() {
        let event = enriched(Config::default(), &Visit::default());
        let device = event.device.unwrap();
        let web_info = device.web_info.clone().unwrap();
        assert_eq!(web_info.hostname.as_deref(), Some("shop.test"));
        assert_eq!(
            (device.category, device.language, web_info.browser),
            (None, None, None)
        );
        assert_eq!((event.geo, event.ip), (None, None));
        let collector = event.collector.unwrap();
        assert_eq!((collector.bot, collector.user_agent), (None, None));
        assert_eq!(collector.click_ids.len(), 1);

        let mut bare = Event::default();
        Enricher::new(Config::default()).event(
            &mut bare,
            &Visit::default(),
            None,
            &mut Explanation::unasked(),
        );
        assert_eq!(
            (bare.device, bare.event_dimensions, bare.collector),
            (None, None, None)
        );
    }

    #[test]
    fn the_language_needs_no_user_agent() {
        let visit = Visit {
            headers: &headers([
                (header::ACCEPT_LANGUAGE, "uk-UA"),
                (header::USER_AGENT, " "),
            ]),
            ..Visit::default()
        };
        let event = enriched(Config::default(), &visit);
        assert_eq!(event.device.unwrap().language.as_deref(), Some("uk-UA"));
        let bot = event.collector.unwrap().bot.unwrap();
        assert_eq!(
            bot.reasons,
            ["no_user_agent", "no_accept_encoding", "no_accept"]
        );
        assert_eq!((bot.is_bot, bot.score), (Some(false), Some(50)));
    }

    #[test]
    fn geo_headers_count_only_where_they_are_trusted() {
        let visit = Visit {
            headers: &headers([(http::HeaderName::from_static("x-client-geo-country"), "UA")]),
            ..Visit::default()
        };
        assert!(enriched(Config::default(), &visit).geo.is_some());
        let config = Config {
            trust_geo_headers: false,
            ..Config::default()
        };
        assert_eq!(enriched(config, &visit).geo, None);
    }

    #[test]
    fn a_long_user_agent_is_cut_between_characters() {
        let visit = Visit {
            headers: &headers([(header::USER_AGENT, &"é".repeat(5000))]),
            ..Visit::default()
        };
        let stored = enriched(Config::default(), &visit)
            .collector
            .unwrap()
            .user_agent
            .unwrap();
        assert_eq!(stored.len(), MAX_USER_AGENT);
    }

    #[test]
    fn warnings_are_bounded() {
        let mut event = Event::default();
        for _ in 0..2 * MAX_WARNINGS {
            warn(&mut event, "x");
        }
        assert_eq!(event.collector.unwrap().warnings.len(), MAX_WARNINGS);
    }
}
