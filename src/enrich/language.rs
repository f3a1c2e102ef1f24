//! The preferred language, from Accept-Language (RFC 9110, section 12.5.4).

/// Most entries that are looked at.
const MAX_ENTRIES: usize = 20;

/// Longest language tag (RFC 5646 sets none; longer ones are junk), in bytes.
const MAX_TAG: usize = 35;

/// The tag with the highest weight, as written; of equals the first. `*` and what is no tag do not count.
pub(super) fn preferred(header: &str) -> Option<String> {
    let mut best: Option<(&str, f32)> = None;
    for entry in header.split(',').take(MAX_ENTRIES) {
        let mut parts = entry.split(';').map(str::trim);
        let tag = parts.next().unwrap_or_default();
        let weight = parts.find_map(weight).unwrap_or(1.0);
        let better = best.is_none_or(|(_, highest)| weight > highest);
        if is_tag(tag) && weight > 0.0 && better {
            best = Some((tag, weight));
        }
    }
    best.map(|(tag, _)| tag.to_owned())
}

fn is_tag(tag: &str) -> bool {
    let starts_with_letter = tag.as_bytes().first().is_some_and(u8::is_ascii_alphabetic);
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    starts_with_letter && tag.len() <= MAX_TAG && tag.bytes().all(is_part)
}

/// The weight of `q=…`; one that is no number from 0 to 1 counts as 1.
fn weight(parameter: &str) -> Option<f32> {
    let value = parameter
        .strip_prefix("q=")
        .or_else(|| parameter.strip_prefix("Q="))?;
    let weight = value
        .trim()
        .parse()
        .ok()
        .filter(|weight| (0.0..=1.0).contains(weight));
    Some(weight.unwrap_or(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_weight_wins() {
        let cases = [
            ("en-US,en;q=0.9", Some("en-US")),
            ("de-AT;q=0.8, en;q=0.9", Some("en")),
            ("*;q=0.1,uk-UA;q=0.9, en", Some("en")),
            ("fr;q=0.5, de;q=0.5", Some("fr")),
            ("fr;q=0.5, de;q=bad", Some("de")),
            ("fr;q=2, de", Some("fr")),
            ("zh-Hant-TW", Some("zh-Hant-TW")),
            ("en;q=0, de;q=0.1", Some("de")),
            ("*", None),
            ("", None),
            (",;q=,,", None),
            ("<script>, en", Some("en")),
            ("\u{1b}[2J", None),
            ("en;q=NaN", Some("en")),
        ];
        for (header, expected) in cases {
            assert_eq!(preferred(header).as_deref(), expected, "{header:?}");
        }
        assert_eq!(preferred(&"x".repeat(200)), None);
    }
}
