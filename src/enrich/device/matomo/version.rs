//! Versions as texts: compared part by part as PHP's `version_compare` does
//! (<https://www.php.net/manual/en/function.version-compare.php>), because the patterns are written with it in mind.

use std::cmp::Ordering;

/// The number with which a text begins; 0 without one.
pub(crate) fn leading_number(text: &str) -> u64 {
    let text = text.trim_start();
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    text[..digits].parse().unwrap_or(0)
}

/// Compares two versions.
pub(crate) fn compare(left: &str, right: &str) -> Ordering {
    if left.is_empty() || right.is_empty() {
        return left.len().min(1).cmp(&right.len().min(1));
    }
    let (left, right) = (parts(left), parts(right));
    for (left, right) in left.iter().zip(&right) {
        let order = compare_parts(left, right);
        if order != Ordering::Equal {
            return order;
        }
    }
    // What is left over decides: a number makes it later, a word such as "beta" earlier.
    let rest = |parts: &[String], from: usize| match parts.get(from) {
        None => Ordering::Equal,
        Some(part) if is_number(part) => Ordering::Greater,
        Some(part) => compare_parts(part, "#"),
    };
    match left.len().cmp(&right.len()) {
        Ordering::Less => rest(&right, left.len()).reverse(),
        _ => rest(&left, right.len()),
    }
}

fn is_number(part: &str) -> bool {
    part.bytes().all(|byte| byte.is_ascii_digit())
}

/// Runs of digits and runs of everything else; `-`, `_`, `+` and `.` end a run.
fn parts(version: &str) -> Vec<String> {
    let mut parts: Vec<String> = Vec::new();
    let mut last = None;
    for c in version.chars() {
        let kind = match c {
            '-' | '_' | '+' | '.' => None,
            c => Some(c.is_ascii_digit()),
        };
        match (kind, last) {
            (None, _) => {}
            (kind, before) if kind == before => {
                if let Some(part) = parts.last_mut() {
                    part.push(c);
                }
            }
            _ => parts.push(c.to_string()),
        }
        last = kind;
    }
    parts
}

fn compare_parts(left: &str, right: &str) -> Ordering {
    let number = |part: &str| part.parse::<u64>().unwrap_or(u64::MAX);
    match (is_number(left), is_number(right)) {
        (true, true) => number(left).cmp(&number(right)),
        (false, false) => rank(left).cmp(&rank(right)),
        (true, false) => rank("#").cmp(&rank(right)),
        (false, true) => rank(left).cmp(&rank("#")),
    }
}

/// The order of words in versions.
fn rank(word: &str) -> i32 {
    const WORDS: [(&str, i32); 9] = [
        ("dev", 0),
        ("alpha", 1),
        ("a", 1),
        ("beta", 2),
        ("b", 2),
        ("RC", 3),
        ("rc", 3),
        ("#", 4),
        ("pl", 5),
    ];
    let known = WORDS.iter().find(|(known, _)| word.starts_with(known));
    known.map_or(if word.starts_with('p') { 5 } else { -1 }, |(_, rank)| {
        *rank
    })
}

/// A version without what surrounds it, its parts divided by points.
pub(crate) fn tidy(version: &str) -> String {
    version
        .trim()
        .replace('_', ".")
        .trim_matches([' ', '.'])
        .to_owned()
}
