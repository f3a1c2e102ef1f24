//! User-Agents that tell no device by design: browsers have frozen them (<https://www.chromium.org/updates/ua-reduction/>) and say the
//! model in a hint, if at all. In them, patterns of devices would only find what is not there.

use std::ops::Range;

use super::super::hints::Hints;

/// Where a User-Agent leaves the model out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Frozen {
    /// `Android 10; K`, all of it.
    Android(Range<usize>),
    /// The end of what tells a desktop's system.
    Desktop(usize),
}

/// Words behind a desktop's system that tell another device: a car, a television, a console, a notebook by its model.
const TELLING: [&str; 4] = ["tesla/", "ce-html", "steamdeck", "lenovo"];

/// Whether and where the model was left out of a User-Agent, which is given in lower case.
pub(super) fn frozen(lower: &str) -> Option<Frozen> {
    // Apps that say device and system in a comment of their own leave nothing out.
    let mut androids = comments(lower)
        .filter(|comment| parts(lower, comment.clone()).any(|part| is_android(&lower[part])));
    if let Some(comment) = androids.next() {
        let android = androids
            .next()
            .is_none()
            .then(|| without_model(lower, comment))?;
        return android.map(Frozen::Android);
    }
    let comment = comments(lower).next()?;
    let (system, rest) = (&lower[comment.clone()], &lower[comment.end..]);
    let is_desktop = system.contains("windows nt ") || system.contains("linux x86_64");
    let is_plain = system.split(';').map(str::trim).all(is_of_desktop);
    let tells_device = TELLING.iter().any(|word| rest.contains(word));
    (is_desktop && is_plain && !tells_device).then_some(Frozen::Desktop(comment.end))
}

/// Whether this is part of what browsers on desktops say of the system.
fn is_of_desktop(part: &str) -> bool {
    const PARTS: [&str; 6] = ["x11", "ubuntu", "linux x86_64", "win64", "wow64", "x64"];
    PARTS.contains(&part) || part.starts_with("windows nt ") || part.starts_with("rv:")
}

/// The User-Agent with the model of the hint, where it was left out.
pub(super) fn with_model(text: &str, hints: &Hints) -> Option<String> {
    if hints.model.is_empty() {
        return None;
    }
    Some(match frozen(&text.to_ascii_lowercase())? {
        Frozen::Android(part) => {
            // The frozen version is all there is without a hint of the true one.
            let version = match hints.platform_version.as_str() {
                "" => "10",
                version => version,
            };
            let (before, behind) = (&text[..part.start], &text[part.end..]);
            format!("{before}Android {version}; {}{behind}", hints.model)
        }
        Frozen::Desktop(end) => format!("{}; {}{}", &text[..end], hints.model, &text[end..]),
    })
}

/// What stands in parentheses (RFC 9110 calls it comments), one after the other.
fn comments(text: &str) -> impl Iterator<Item = Range<usize>> {
    let mut from = 0;
    std::iter::from_fn(move || {
        let start = from + text[from..].find('(')? + 1;
        let end = start + text[start..].find(')')?;
        from = end;
        Some(start..end)
    })
}

/// The parts of a comment, without the white space around them.
fn parts(text: &str, comment: Range<usize>) -> impl Iterator<Item = Range<usize>> {
    let mut from = comment.start;
    text[comment].split(';').map(move |part| {
        let start = from + part.len() - part.trim_start().len();
        from += part.len() + 1;
        start..start + part.trim().len()
    })
}

fn is_android(part: &str) -> bool {
    part.starts_with("android ")
}

/// Android 10 or later, and no model behind it, or `K`.
fn without_model(text: &str, comment: Range<usize>) -> Option<Range<usize>> {
    let end = comment.end;
    let mut parts = parts(text, comment);
    let system = parts.find(|part| is_android(&text[part.clone()]))?;
    let version = text[system.clone()].split_once(' ')?.1;
    let major = version.split('.').next()?;
    let is_version = version
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'.');
    if !is_version
        || !major
            .parse()
            .is_ok_and(|major: u32| (10..100).contains(&major))
    {
        return None;
    }
    match parts.next() {
        // Browsers of Chromium go on with the engine; others may tell the device elsewhere.
        None => text[end..].starts_with(") applewebkit").then_some(system),
        Some(model) => (&text[model.clone()] == "k").then_some(system.start..model.end),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_model_is_put_where_it_was_left_out() {
        let hints = Hints {
            model: "Pixel 9".to_owned(),
            platform_version: "16.0.0".to_owned(),
            ..Hints::default()
        };
        for (text, whole) in [
            (
                "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit",
                Some("Mozilla/5.0 (Linux; Android 16.0.0; Pixel 9) AppleWebKit"),
            ),
            (
                "Mozilla/5.0 (Linux; Android 10; K; wv) x",
                Some("Mozilla/5.0 (Linux; Android 16.0.0; Pixel 9; wv) x"),
            ),
            (
                "Mozilla/5.0 (Linux; Android 13) AppleWebKit",
                Some("Mozilla/5.0 (Linux; Android 16.0.0; Pixel 9) AppleWebKit"),
            ),
            (
                "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit",
                Some("Mozilla/5.0 (X11; Linux x86_64; Pixel 9) AppleWebKit"),
            ),
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko",
                Some("Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0; Pixel 9) Gecko"),
            ),
            ("Mozilla/5.0 (Linux; Android 9; K) x", None),
            ("Mozilla/5.0 (Linux; Android 14; SM-S911B) x", None),
            (
                "Mozilla/5.0 (Linux; Android 14; K) App/1 (Xiaomi; Android 14; SDK 34)",
                None,
            ),
            ("Mozilla/5.0 (Windows NT 10.0; ARM; Lumia 950) x", None),
            ("Mozilla/5.0 (X11; Linux x86_64) x Tesla/2022.1", None),
            ("(", None),
            ("(é;Android ", None),
        ] {
            assert_eq!(with_model(text, &hints).as_deref(), whole, "{text}");
        }
        assert_eq!(
            with_model("Mozilla/5.0 (Linux; Android 10; K) x", &Hints::default()),
            None
        );
    }
}
