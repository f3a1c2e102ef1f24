//! From what was recognised to columns: GA4's `device.*` in GA4's words, and `collector.device.*` in Matomo's.
//!
//! The tables here are those of `docs/devices.md`. A name that they do not have is kept as it is: it is better than none.

use super::matomo::{Detected, System};
use crate::schema::{CollectorDevice, Device, WebInfo};

/// Matomo's kinds of device, and GA4's category for each; those that GA4 has no category for have none.
pub const CATEGORIES: &[(&str, Option<&str>)] = &[
    ("desktop", Some("desktop")),
    ("smartphone", Some("mobile")),
    ("phablet", Some("mobile")),
    ("feature phone", Some("mobile")),
    ("wearable", Some("mobile")),
    ("portable media player", Some("mobile")),
    ("tablet", Some("tablet")),
    ("smart display", Some("tablet")),
    ("tv", Some("smart tv")),
    ("console", None),
    ("car browser", None),
    ("camera", None),
    ("smart speaker", None),
    ("peripheral", None),
];

/// Matomo's operating systems that GA4 calls otherwise.
pub const SYSTEMS: &[(&str, &str)] = &[
    ("Mac", "Macintosh"),
    ("iPadOS", "iOS"),
    ("Android TV", "Android"),
    ("Android Go", "Android"),
    ("Fire OS", "Android"),
    ("Lineage OS", "Android"),
    ("Chromium OS", "Chrome OS"),
    ("BlackBerry OS", "BlackBerry"),
    ("webOS", "Web0S"),
];

/// Matomo's browsers that GA4 calls otherwise.
pub const BROWSERS: &[(&str, &str)] = &[
    ("Chrome Mobile", "Chrome"),
    ("Chrome Mobile iOS", "Chrome"),
    ("Chrome Webview", "Android Webview"),
    ("Mobile Safari", "Safari"),
    ("Firefox Mobile", "Firefox"),
    ("Firefox Mobile iOS", "Firefox"),
    ("Microsoft Edge", "Edge"),
    ("Samsung Browser", "Samsung Internet"),
    ("Opera Mobile", "Opera"),
    ("Opera Touch", "Opera"),
    ("Yandex Browser", "YaBrowser"),
    ("Mi Browser", "MIUI Browser"),
    ("Mobile Silk", "Amazon Silk"),
    ("IE Mobile", "Internet Explorer"),
];

fn mapped<'n>(table: &[(&str, &'n str)], name: &'n str) -> &'n str {
    let row = table.iter().find(|(known, _)| *known == name);
    row.map_or(name, |(_, mapped)| mapped)
}

/// GA4's category of a kind of device.
pub(super) fn category(kind: &str) -> Option<&'static str> {
    CATEGORIES.iter().find(|(known, _)| *known == kind)?.1
}

/// A text, unless it is empty.
fn some(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

/// GA4's name of an operating system. Linux is what runs on a desktop; on other devices its kinds have names of their own.
fn system_name(system: &System, category: Option<&str>) -> Option<String> {
    let is_linux = system.family == "GNU/Linux" && matches!(category, Some("desktop") | None);
    some(match is_linux {
        true => "Linux",
        false => mapped(SYSTEMS, &system.name),
    })
}

/// GA4's columns; language and host name are not known here. `hardware` is the model as the device itself calls it.
pub(super) fn device(found: &Detected, hardware: Option<&str>) -> Device {
    if found.bot.is_some() {
        return Device {
            category: Some("desktop".to_owned()),
            ..Device::default()
        };
    }
    let category = found.kind.as_deref().and_then(category);
    let browser = found
        .client
        .as_ref()
        .filter(|client| client.kind == "browser");
    Device {
        category: category.map(str::to_owned),
        mobile_brand_name: some(&found.brand),
        mobile_model_name: some(&found.model),
        mobile_marketing_name: some(&found.model),
        mobile_os_hardware_model: hardware.and_then(some),
        operating_system: found
            .system
            .as_ref()
            .and_then(|system| system_name(system, category)),
        operating_system_version: found
            .system
            .as_ref()
            .and_then(|system| some(&system.version)),
        web_info: browser.map(|browser| WebInfo {
            browser: some(mapped(BROWSERS, &browser.name)),
            browser_version: some(&browser.version),
            hostname: None,
        }),
        ..Device::default()
    }
}

/// The finer class.
pub(super) fn collector_device(found: &Detected) -> Option<CollectorDevice> {
    let (system, client) = (found.system.as_ref(), found.client.as_ref());
    let device = CollectorDevice {
        kind: found.kind.clone(),
        client_kind: client.and_then(|client| some(client.kind)),
        client: client.and_then(|client| some(&client.name)),
        client_version: client.and_then(|client| some(&client.version)),
        browser_family: client.and_then(|client| some(&client.family)),
        engine: client.and_then(|client| some(&client.engine)),
        engine_version: client.and_then(|client| some(&client.engine_version)),
        operating_system: system.and_then(|system| some(&system.name)),
        operating_system_family: system.and_then(|system| some(&system.family)),
        architecture: system.and_then(|system| some(&system.platform)),
    };
    (device != CollectorDevice::default()).then_some(device)
}

/// The model as an Android device calls itself in the User-Agent: what stands before ` Build/`, or last in the brackets. Browsers of today write
/// `K` for all devices.
pub(super) fn hardware_model(user_agent: &str) -> Option<&str> {
    let (_, rest) = user_agent.split_once("Android ")?;
    let inside = rest.split_once(')').map_or(rest, |(inside, _)| inside);
    let before_build = inside
        .split_once(" Build/")
        .map_or(inside, |(before, _)| before);
    let (_, parts) = before_build.split_once(';')?;
    let model = parts
        .rsplit(';')
        .map(str::trim)
        .find(|part| !matches!(*part, "" | "wv" | "U" | "Mobile" | "Tablet"))?;
    let is_language = model.len() == 5
        && model.as_bytes()[2] == b'-'
        && model[..2].bytes().all(|byte| byte.is_ascii_lowercase());
    let is_release = model.starts_with("rv:");
    (model != "K" && !is_language && !is_release).then_some(model)
}
