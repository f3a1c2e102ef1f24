//! What a browser says of itself besides the User-Agent: user agent client hints
//! (<https://wicg.github.io/ua-client-hints/>) and the app that embeds it.
//!
//! They come as headers, as members of the payload, or as GA4's parameters. It does not know what they mean for the device.

/// Client hints. What was not sent is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Hints {
    /// Architecture of the processor: `x86`, `arm`.
    pub(crate) architecture: String,
    /// Its bits.
    pub(crate) bitness: String,
    /// Model of the device.
    pub(crate) model: String,
    /// Operating system.
    pub(crate) platform: String,
    /// Its version.
    pub(crate) platform_version: String,
    /// Version of the browser, all of it.
    pub(crate) full_version: String,
    /// Brands of the browser and their versions.
    pub(crate) brands: Vec<(String, String)>,
    /// Whether it is a mobile device.
    pub(crate) mobile: Option<bool>,
    /// Id of the app in which the page is shown: `X-Requested-With`.
    pub(crate) app: String,
    /// What kinds of device it is, in lower case.
    pub(crate) form_factors: Vec<String>,
}
