//! Programs and prefilter, against an engine that is neither: what they find must be the same, and nothing may be found that slowly.

use std::time::Instant;

use proptest::prelude::*;
use regex_automata::meta::Regex;
use regex_automata::util::syntax;

use super::super::compile::pattern_sources;
use super::super::fixture_tests::{FILE, FIXTURES};
use super::data::{Pattern, to_u32};
use super::program::{Boundary, Matcher};
use super::scan::Scan;
use super::*;

/// User-Agents of fixtures, some of them changed.
fn texts(count: usize, seed: u64) -> Vec<String> {
    let mut random = fastrand::Rng::with_seed(seed);
    let one =
        |random: &mut fastrand::Rng| FIXTURES[random.usize(..FIXTURES.len())].user_agent.clone();
    let mut texts = Vec::new();
    while texts.len() < count {
        let mut text: Vec<char> = one(&mut random).chars().collect();
        for _ in 0..random.usize(..4) {
            let at = random.usize(..text.len().max(1)).min(text.len());
            match random.u8(..4) {
                0 => text.truncate(at),
                1 => text.extend(one(&mut random).chars().skip(at)),
                2 => text.insert(
                    at,
                    random
                        .choice([';', '_', '-', '/', ' ', 'K', ')', '(', 'é', '0'])
                        .unwrap_or(' '),
                ),
                _ if at < text.len() => drop(text.remove(at)),
                _ => {}
            }
        }
        texts.push(text.into_iter().collect());
    }
    texts
}

#[test]
fn programs_match_as_a_known_engine_does() {
    let data = Data::read(&FILE).unwrap();
    let sources = pattern_sources(&super::super::fixture_tests::read).unwrap();
    assert_eq!(sources.len(), data.patterns.len());
    let mut random = fastrand::Rng::with_seed(7);
    let texts = texts(60, 1);
    let (mut compared, mut matched) = (0, 0);
    while compared < 800 {
        let number = random.usize(..sources.len());
        let (source, pattern) = (&sources[number], &data.patterns[number]);
        // Look-around is what that engine does not know.
        if source.contains("(?!") || source.contains("(?<!") {
            continue;
        }
        let boundary = match Matcher::boundary(pattern) {
            Boundary::Anything => "",
            Boundary::Word => "(?:^|[^A-Z0-9_-]|[^A-Z0-9-]_|sprd-|MZ-)",
        };
        let config = syntax::Config::new()
            .unicode(false)
            .utf8(false)
            .case_insensitive(true);
        let regex = Regex::builder()
            .syntax(config)
            .build(&format!("{boundary}(?:{source})"))
            .unwrap();
        compared += 1;
        // Texts in which it may be found, and any.
        let own = FIXTURES
            .iter()
            .map(|fixture| &fixture.user_agent)
            .filter(|text| regex.is_match(text.as_bytes()));
        for text in own.take(3).chain(&texts) {
            let mut captures = regex.create_captures();
            regex.captures(text.as_bytes(), &mut captures);
            let lower = text.to_ascii_lowercase();
            let mut matcher = Matcher::new(&data, pattern, lower.as_bytes());
            let mut starts = (0..=lower.len())
                .filter(|at| Matcher::boundary(pattern).allows(lower.as_bytes(), *at));
            let found = starts.find_map(|at| matcher.at(at));
            assert_eq!(found.is_some(), captures.is_match(), "{source}\n{text}");
            let Some(found) = found else { continue };
            matched += 1;
            for group in 1..captures.group_len().min(8) {
                let expected = captures
                    .get_group(group)
                    .map(|span| &text.as_bytes()[span.start..span.end]);
                assert_eq!(
                    found.of(group, text.as_bytes()),
                    expected,
                    "group {group} of {source}\n{text}"
                );
            }
        }
    }
    assert!(matched > 500, "{matched}");
}

#[test]
fn the_prefilter_hides_no_match() {
    let data = Data::read(&FILE).unwrap();
    let mut matched = 0;
    for text in texts(12, 2) {
        let scan = Scan::new(&data, &text);
        let lower = text.to_ascii_lowercase();
        for (number, pattern) in (0..).zip(&data.patterns) {
            let boundary = Matcher::boundary(pattern);
            let mut matcher = Matcher::new(&data, pattern, lower.as_bytes());
            let mut starts = (0..=lower.len()).filter(|at| boundary.allows(lower.as_bytes(), *at));
            let groups = starts.find_map(|at| matcher.at(at));
            matched += usize::from(groups.is_some());
            let found = scan.first(number, number + 1).map(|found| found.groups);
            assert_eq!(found, groups, "pattern {number}\n{text}");
        }
    }
    assert!(matched > 100, "{matched}");
}

#[test]
fn folding_is_that_of_ascii() {
    let detector = Detector::read(&FILE).unwrap();
    // Kelvin sign and long s are no k and s; digits of other scripts are none.
    for (text, name) in [
        ("Firefox/121.0", "Firefox"),
        ("FireFoX/121.0", "Firefox"),
        ("Mozilla/5.0 Konqueror/4.1", "Konqueror"),
    ] {
        assert_eq!(
            detector.detect(text, None).client.unwrap().name,
            name,
            "{text}"
        );
    }
    for text in ["Mozilla/5.0 \u{212A}onqueror/4.1", "Wget/\u{661}"] {
        let client = detector.detect(text, None).client.unwrap_or_default();
        assert!(
            client.name != "Konqueror" && client.version.is_empty(),
            "{text}"
        );
    }
}

#[test]
fn what_is_written_to_take_long_does_not() {
    let detector = Detector::read(&FILE).unwrap();
    let pieces = [
        "gecko ",
        "rv:1 ",
        "Android 9; ",
        "_AKAI ",
        "a",
        "(",
        "; ",
        "SM-G9 LG-X Build/ ",
        "x_TV_y ",
        "NAVER(inapp; search; 1;",
    ];
    let repeated = pieces.map(|piece| piece.repeat(1024 / piece.len()));
    // A look-ahead over all the rest, asked at each of many ends of a number.
    let looked_ahead = [
        format!("CFNetwork/1 Darwin/{} x86_64", "1".repeat(990)),
        format!(
            "{}CFNetwork/1 Darwin/1 x86_64",
            "CFNetwork/1 Darwin/1 ".repeat(45)
        ),
        format!(
            "Opera%20Coast/1 CFNetwork/1{}x86_64",
            " Darwin/1".repeat(105)
        ),
    ];
    for text in repeated.iter().chain(&looked_ahead) {
        let start = Instant::now();
        detector.detect(text, None);
        println!("{:?} {}", start.elapsed(), &text[..40]);
        // A thousand times of what it takes: this tells exponential from linear, and never fails for a slow machine.
        assert!(start.elapsed().as_secs() < 5, "{text}");
    }
}

#[test]
fn a_file_that_is_changed_is_refused() {
    assert_eq!(Detector::read(b"").unwrap_err(), Unreadable::Magic);
    assert_eq!(
        Detector::read(b"PK\x03\x04").unwrap_err(),
        Unreadable::Magic
    );
    let mut newer = FILE.clone();
    newer[8] = 9;
    assert_eq!(Detector::read(&newer).unwrap_err(), Unreadable::Format(9));
    let mut cut = FILE.clone();
    cut.truncate(FILE.len() / 2);
    assert_eq!(Detector::read(&cut).unwrap_err(), Unreadable::Checksum);
    let mut changed = FILE.clone();
    changed[FILE.len() / 2] ^= 1;
    assert_eq!(Detector::read(&changed).unwrap_err(), Unreadable::Checksum);
}

/// A file with the right checksum whose numbers are wrong.
fn lying(seed: u64) -> Data {
    let mut data = Data::read(&FILE).unwrap();
    let mut random = fastrand::Rng::with_seed(seed);
    let mut spoil = |numbers: &mut Vec<u32>| {
        for _ in 0..numbers.len() / 20 {
            let at = random.usize(..numbers.len());
            numbers[at] = if random.bool() {
                random.u32(..)
            } else {
                random.u32(..200_000)
            };
        }
    };
    for numbers in [
        &mut data.code,
        &mut data.classes,
        &mut data.text_ends,
        &mut data.engines,
        &mut data.leading.children,
        &mut data.leading.postings,
        &mut data.leading.patterns,
        &mut data.inner.children,
        &mut data.inner.postings,
    ] {
        spoil(numbers);
    }
    for table in &mut data.tables {
        spoil(table);
    }
    data
}

#[test]
fn a_file_that_lies_makes_no_panic() {
    let texts = texts(20, 3);
    for seed in 0..4 {
        let detector = Detector::read(&lying(seed).write()).unwrap();
        for text in &texts {
            detector.detect(text, None);
        }
    }
}

#[test]
fn programs_that_lead_to_themselves_come_to_an_end() {
    use super::program::op;
    for code in [
        vec![op::JUMP],
        vec![op::SPLIT, op::JUMP],
        vec![op::NOT_AHEAD, op::MATCH],
        vec![op::NOT_BEHIND, 0, op::MATCH],
        vec![1 << 4 | op::SWITCH, u32::from(b'a')],
    ] {
        let pattern = Pattern {
            program: 0,
            length: to_u32(code.len()),
            boundary: 0,
            texts: [NONE; 4],
            children: [0; 2],
        };
        let data = Data {
            code,
            ..Data::default()
        };
        Matcher::new(&data, &pattern, b"aaaa").at(0);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn anything_is_read(text in "\\PC{0,200}", model in "\\PC{0,20}", version in "[0-9.]{0,9}") {
        thread_local! {
            static DETECTOR: Detector = Detector::read(&FILE).unwrap();
        }
        let hints = Hints { model, platform_version: version, platform: "Android".to_owned(), ..Hints::default() };
        DETECTOR.with(|detector| {
            detector.detect(&text, None);
            detector.detect(&format!("Mozilla/5.0 (Linux; Android 10; K) AppleWebKit {text}"), Some(&hints));
        });
    }
}
