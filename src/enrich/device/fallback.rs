//! The device where there is no file of patterns: what `woothee` tells of the User-Agent.
//!
//! Names are GA4's (Windows, Macintosh, iOS, Chrome OS). What is not recognised is null. Brands and
//! models are known of Apple's devices only: a User-Agent of today names no others. Of client hints, the model counts.

use woothee::parser::Parser;
use woothee::woothee::VALUE_UNKNOWN;

use super::hints::Hints;
use super::{Known, Recognised};
use crate::enrich::bots::{Category, Claim};
use crate::enrich::prefix;
use crate::schema::{Device, WebInfo};

/// How much of a User-Agent is looked at, in bytes. Longer ones are junk or hide nothing of interest behind it.
const MAX_LOOKED_AT: usize = 512;

/// What a User-Agent tells, and the model of the hints.
pub(super) fn recognise(user_agent: &str, hints: Option<&Hints>) -> Recognised {
    let found = find(prefix(user_agent, MAX_LOOKED_AT));
    let model = hints
        .map(|hints| &hints.model)
        .filter(|model| !model.is_empty());
    let model = model.cloned().or(found.model.map(str::to_owned));
    let kind = match (&found.bot, found.is_library, &found.browser) {
        (None, true, _) => Some("library"),
        (None, false, Some(_)) => Some("browser"),
        _ => None,
    };
    Recognised {
        device: Device {
            category: found.category.map(str::to_owned),
            mobile_brand_name: found.model.map(|_| "Apple".to_owned()),
            mobile_model_name: model.clone(),
            mobile_marketing_name: found.model.map(str::to_owned),
            mobile_os_hardware_model: hints.and_then(|_| model.filter(|_| found.model.is_none())),
            operating_system: found.system.map(str::to_owned),
            operating_system_version: found.system_version,
            web_info: found.browser.is_some().then_some(WebInfo {
                browser: found.browser,
                browser_version: found.browser_version,
                hostname: None,
            }),
            ..Device::default()
        },
        finer: None,
        known: found.bot.map(|name| Known {
            name,
            category: Category::Other,
        }),
        claim: Claim::of(user_agent, hints, kind),
    }
}

/// What a User-Agent tells.
#[derive(Clone, Debug, Default, PartialEq)]
struct Found {
    category: Option<&'static str>,
    model: Option<&'static str>,
    system: Option<&'static str>,
    system_version: Option<String>,
    browser: Option<String>,
    browser_version: Option<String>,
    bot: Option<String>,
    is_library: bool,
}

fn find(user_agent: &str) -> Found {
    let result = Parser::new().parse(user_agent).unwrap_or_default();
    let name = known(result.name);
    let is_crawler = result.category == "crawler";
    let is_program = result.category == "misc" || result.name == "HTTP Library";
    let (system, system_version) = system(result.os, &result.os_version);
    Found {
        category: category(user_agent, result.category),
        model: ["iPhone", "iPad", "iPod"]
            .into_iter()
            .find(|model| *model == result.os),
        system,
        system_version,
        browser: name
            .filter(|_| !is_program)
            .map(|name| browser(name).to_owned()),
        browser_version: known(result.version)
            .filter(|_| !is_program)
            .map(str::to_owned),
        bot: is_crawler.then(|| name.unwrap_or("bot").to_owned()),
        is_library: is_program,
    }
}

fn known(text: &str) -> Option<&str> {
    (!text.is_empty() && text != VALUE_UNKNOWN).then_some(text)
}

fn category(user_agent: &str, category: &str) -> Option<&'static str> {
    let has = |word: &str| user_agent.contains(word);
    const TELEVISIONS: [&str; 12] = [
        "SmartTV",
        "SMART-TV",
        "Smart-TV",
        "HbbTV",
        "NetCast",
        "Web0S",
        "webOS.TV",
        "Android TV",
        "GoogleTV",
        "BRAVIA",
        "AppleTV",
        "CrKey",
    ];
    if category == "crawler" {
        return Some("desktop");
    }
    if TELEVISIONS.iter().any(|word| has(word)) || (has("Tizen") && has("TV")) || has("; AFT") {
        return Some("smart tv");
    }
    let is_android_tablet = has("Android") && !has("Mobile");
    let is_named_tablet = has("Tablet") && !has("Tablet PC");
    if has("iPad") || is_android_tablet || is_named_tablet || has("Kindle") {
        return Some("tablet");
    }
    match category {
        "pc" => Some("desktop"),
        "smartphone" | "mobilephone" => Some("mobile"),
        _ => None,
    }
}

/// The operating system as GA4 names it, and its version.
fn system(name: &str, version: &str) -> (Option<&'static str>, Option<String>) {
    let named_version = name
        .strip_prefix("Windows ")
        .filter(|rest| !rest.starts_with(VALUE_UNKNOWN));
    let version = named_version.or(known(version)).map(str::to_owned);
    let system = match name {
        "Mac OSX" | "Mac OS Classic" => "Macintosh",
        "iPhone" | "iPad" | "iPod" | "iOS" => "iOS",
        "Android" => "Android",
        "ChromeOS" => "Chrome OS",
        "Linux" => "Linux",
        "BSD" => "BSD",
        "Firefox OS" => "Firefox OS",
        "BlackBerry" | "BlackBerry 10" => "BlackBerry",
        "Windows Phone OS" => {
            return (
                Some("Windows Phone"),
                version.filter(|version| version != "Phone OS"),
            );
        }
        windows if windows.starts_with("Windows") => "Windows",
        _ => return (None, None),
    };
    (Some(system), version)
}

/// The browser as GA4 names it.
fn browser(name: &str) -> &str {
    match name {
        "Samsung Browser" | "SamsungBrowser" => "Samsung Internet",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IPHONE: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1";
    const IPAD: &str = "Mozilla/5.0 (iPad; CPU OS 17_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.4 Mobile/15E148 Safari/604.1";
    const MAC: &str = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/148.0.0.0 Safari/537.36";
    const WINDOWS: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/148.0.0.0 Safari/537.36 Edg/148.0.0.0";
    const ANDROID: &str = "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/148.0.0.0 Mobile Safari/537.36";
    const ANDROID_TABLET: &str = "Mozilla/5.0 (Linux; Android 13; SM-X906C) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/148.0.0.0 Safari/537.36";
    const TELEVISION: &str = "Mozilla/5.0 (SMART-TV; Linux; Tizen 6.0) AppleWebKit/537.36 (KHTML, like Gecko) Version/6.0 TV Safari/537.36";
    const GOOGLEBOT: &str =
        "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)";
    const CHROMEBOOK: &str = "Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/148.0.0.0 Safari/537.36";
    const FIREFOX: &str =
        "Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";

    fn filled(user_agent: &str) -> (Device, Option<String>) {
        let found = recognise(user_agent, None);
        (found.device, found.known.map(|known| known.name))
    }

    #[test]
    fn common_devices_are_recognised() {
        for (user_agent, category, system, version, browser, browser_version) in [
            (IPHONE, "mobile", "iOS", "18.5", "Safari", "18.5"),
            (IPAD, "tablet", "iOS", "17.4", "Safari", "17.4"),
            (
                MAC,
                "desktop",
                "Macintosh",
                "10.15.7",
                "Chrome",
                "148.0.0.0",
            ),
            (WINDOWS, "desktop", "Windows", "10", "Edge", "148.0.0.0"),
            (ANDROID, "mobile", "Android", "10", "Chrome", "148.0.0.0"),
            (
                ANDROID_TABLET,
                "tablet",
                "Android",
                "13",
                "Chrome",
                "148.0.0.0",
            ),
            (
                CHROMEBOOK,
                "desktop",
                "Chrome OS",
                "x86_64 14541.0.0",
                "Chrome",
                "148.0.0.0",
            ),
            (FIREFOX, "desktop", "Linux", "", "Firefox", "140.0"),
        ] {
            let (device, bot) = filled(user_agent);
            let web_info = device.web_info.unwrap();
            let found = [
                device.category,
                device.operating_system,
                device.operating_system_version,
                web_info.browser,
                web_info.browser_version,
            ];
            let found = found.map(Option::unwrap_or_default);
            assert_eq!(
                found,
                [category, system, version, browser, browser_version],
                "{user_agent}"
            );
            assert_eq!(bot, None, "{user_agent}");
        }
        assert_eq!(filled(TELEVISION).0.category.as_deref(), Some("smart tv"));
        assert_eq!(filled(IPHONE).0.mobile_brand_name.as_deref(), Some("Apple"));
        assert_eq!(filled(IPAD).0.mobile_model_name.as_deref(), Some("iPad"));
    }

    #[test]
    fn bots_are_told() {
        let (device, bot) = filled(GOOGLEBOT);
        assert_eq!(device.category.as_deref(), Some("desktop"));
        assert_eq!(bot.as_deref(), Some("Googlebot"));
    }

    #[test]
    fn what_is_not_recognised_is_null() {
        for user_agent in [
            "curl/8.0",
            "x",
            "\u{1b}]0;pwn\u{7}",
            "Apache-HttpClient/4.5",
            &"é".repeat(5000),
        ] {
            let (device, bot) = filled(user_agent);
            assert_eq!(device, Device::default(), "{user_agent}");
            assert_eq!(bot, None, "{user_agent}");
        }
    }

    #[test]
    fn the_model_of_the_hints_counts() {
        let hints = Hints {
            model: "Pixel 9".to_owned(),
            ..Hints::default()
        };
        let device = recognise(ANDROID, Some(&hints)).device;
        assert_eq!(device.mobile_model_name.as_deref(), Some("Pixel 9"));
        assert_eq!(device.mobile_os_hardware_model.as_deref(), Some("Pixel 9"));
    }
}
