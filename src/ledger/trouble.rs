//! What is wrong with a destination: states that begin, are met again and again, and end.
//!
//! An alarm is raised when a state begins, not each time that it is met. The texts of errors are shown to operators, so what in
//! them may be a secret is left out here, once. Nothing here decides what is an alarm.

use std::fmt::Display;
use std::sync::atomic::{AtomicBool, Ordering};

/// More of an error is not kept.
const MOST_CHARACTERS: usize = 300;

/// Something that goes wrong for a while.
#[derive(Debug, Default)]
pub struct Trouble(AtomicBool);

impl Trouble {
    /// It is met. Whether it begins with that.
    pub fn begins(&self) -> bool {
        !self.0.swap(true, Ordering::Relaxed)
    }

    /// It is not met any more. Whether it ends with that.
    pub fn ends(&self) -> bool {
        self.0.swap(false, Ordering::Relaxed)
    }
}

/// What may go wrong at a destination.
#[derive(Debug, Default)]
pub struct Troubles {
    /// It refuses what only the operator can mend.
    pub refused: Trouble,
    /// Its dead letter takes nothing.
    pub dead_letter: Trouble,
    /// Its cursor cannot be written.
    pub cursor: Trouble,
}

/// An error in one line, without what may be a secret in it: queries and passwords of addresses, tokens.
pub fn one_line(error: &dyn Display) -> String {
    let text = error.to_string();
    let words = text.split(|character: char| character.is_whitespace() || character.is_control());
    let mut line = String::new();
    let mut is_token = false;
    for word in words.filter(|word| !word.is_empty()) {
        if !line.is_empty() {
            line.push(' ');
        }
        let shown = if is_token {
            "***".to_owned()
        } else {
            bare(word)
        };
        line.push_str(&shown);
        is_token = word.eq_ignore_ascii_case("bearer") || word.eq_ignore_ascii_case("basic");
    }
    match line.char_indices().nth(MOST_CHARACTERS) {
        None => line,
        Some((end, _)) => format!("{}…", &line[..end]),
    }
}

/// A word without the query and the password of an address.
fn bare(word: &str) -> String {
    let Some((scheme, rest)) = word.split_once("://") else {
        return word.to_owned();
    };
    let (place, query) = match rest.split_once('?') {
        Some((place, _)) => (place, "?***"),
        None => (rest, ""),
    };
    let (host, path) = match place.find('/') {
        Some(slash) => place.split_at(slash),
        None => (place, ""),
    };
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    format!("{scheme}://{host}{path}{query}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_news_when_it_begins_and_when_it_ends() {
        let trouble = Trouble::default();
        let told = [
            trouble.ends(),
            trouble.begins(),
            trouble.begins(),
            trouble.ends(),
            trouble.ends(),
            trouble.begins(),
        ];
        assert_eq!(told, [false, true, false, true, false, true]);
    }

    #[test]
    fn errors_come_in_one_line_without_secrets() {
        for (error, line) in [
            ("no such\n\ttable\u{7}", "no such table"),
            (
                "PUT https://a.example/x?sig=s3cret&se=1: 403",
                "PUT https://a.example/x?***",
            ),
            (
                "at s3://me:s3cret@bucket/a it fails",
                "at s3://bucket/a it fails",
            ),
            (
                "header Bearer s3cret is wrong",
                "header Bearer *** is wrong",
            ),
        ] {
            let shown = one_line(&error);
            assert!(shown.starts_with(line), "{shown}");
            assert!(!shown.contains("s3cret"), "{shown}");
        }
        let long = one_line(&"é".repeat(1_000));
        assert_eq!(long.chars().count(), MOST_CHARACTERS + 1);
    }
}
