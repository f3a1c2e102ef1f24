//! The requests: bodies as a shop's pages send them (`bodies.jsonl`) with the headers of real browsers
//! (`browsers.jsonl`).
//!
//! An event is known by its number: the number picks body and browser, and is written into the event's
//! id and into two parameters. So whoever reads the rows can tell from an id alone all that the row must
//! hold (`check.py` does). Requests are built once; sending one changes a few digits in place. In a *distinct* mix, no two
//! requests have the same stream, event name, browser, origin or address.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use crate::Failure;

const BODIES: &str = include_str!("../bodies.jsonl");
const BROWSERS: &str = include_str!("../browsers.jsonl");

const RUN: &[u8] = b"RRRRRRRRRRRRR";
const NUMBER: &[u8] = b"NNNNNNNNNNNN";
/// The end of an address of version 6, as two groups.
const ADDRESS: &[u8] = b"AAAA:AAAA";
const CHECK_NUMBER: &[u8] = b"1999999999999";
const CHECK_TEXT: &[u8] = b"cTTTTTTTTTTTTTTT";
const USER: &[u8] = b"UUUUUUUUU";
/// Visitors that the events come from.
const USERS: u64 = 200_000;

/// Where a request's changing digits are.
#[derive(Debug)]
struct Template {
    bytes: Vec<u8>,
    numbers_at: Vec<usize>,
    address_at: Option<usize>,
    check_number_at: usize,
    check_text_at: usize,
    users_at: Vec<usize>,
}

/// All requests of one run.
#[derive(Debug)]
pub struct Mix {
    templates: Vec<Template>,
    run: u64,
}

impl Mix {
    /// The requests of the run with this seed. Runs with different seeds have different event ids.
    ///
    /// # Errors
    /// A body or header file is not what it should be.
    pub fn new(seed: u64) -> Result<Self, Failure> {
        Self::of(seed, |text| text)
    }

    /// Requests of which no two have the same stream, event name, browser, origin or address. `check.py` does not know them.
    ///
    /// # Errors
    /// A body or header file is not what it should be.
    pub fn distinct(seed: u64) -> Result<Self, Failure> {
        const CHANGES: [(&str, &str); 5] = [
            ("/streaming/1 ", "/streaming/1NNNNNNNNNNNN "),
            ("origin: https://shop.", "origin: https://sNNNNNNNNNNNN."),
            (
                "x-forwarded-for: 203.0.113.77",
                "x-forwarded-for: 2001:db8::AAAA:AAAA",
            ),
            (
                "user-agent: Mozilla/5.0 (",
                "user-agent: Mozilla/5.0 (NNNNNNNNNNNN; ",
            ),
            ("\"event_name\":\"", "\"event_name\":\"eNNNNNNNNNNNN_"),
        ];
        Self::of(seed, |text| {
            CHANGES
                .iter()
                .fold(text, |text, (from, to)| text.replace(from, to))
        })
    }

    fn of(seed: u64, change: impl Fn(String) -> String) -> Result<Self, Failure> {
        let run = 1_000_000_000_000 + seed % 9_000_000_000_000;
        let mut templates = Vec::new();
        for browser in BROWSERS.lines() {
            let headers: Map<String, Value> = serde_json::from_str(browser)?;
            for body in BODIES.lines() {
                let body = change(body.to_owned());
                let head = change(head(&headers, body.len())?);
                templates.push(Template::new(head + &body, run)?);
            }
        }
        Ok(Self { templates, run })
    }

    /// The digits that begin every event id of this run.
    pub fn run(&self) -> u64 {
        self.run
    }

    /// Mean size of a request's body, bytes.
    pub fn mean_body_bytes() -> usize {
        BODIES.lines().map(str::len).sum::<usize>() / BODIES.lines().count()
    }

    /// The request of event `number`, headers and body.
    pub fn request(&mut self, number: u64) -> &[u8] {
        let count = self.templates.len() as u64;
        let template = &mut self.templates[(number % count) as usize];
        let bytes = &mut template.bytes;
        for at in &template.numbers_at {
            write_digits(&mut bytes[*at..][..NUMBER.len()], number);
        }
        if let Some(at) = template.address_at {
            let (left, right) = bytes[at..][..ADDRESS.len()].split_at_mut(ADDRESS.len() / 2);
            write_digits(&mut left[..4], number / 10_000);
            write_digits(&mut right[1..], number);
        }
        write_digits(
            &mut bytes[template.check_number_at + 1..][..CHECK_NUMBER.len() - 1],
            number,
        );
        write_digits(
            &mut bytes[template.check_text_at + 1..][..CHECK_TEXT.len() - 1],
            scramble(number),
        );
        for at in &template.users_at {
            write_digits(&mut bytes[*at..][..USER.len()], scramble(number) % USERS);
        }
        bytes
    }
}

/// The head of a request, with the blank line.
fn head(headers: &Map<String, Value>, body_bytes: usize) -> Result<String, Failure> {
    let mut head = "POST /api/v1/streaming/1 HTTP/1.1\r\nhost: collect.example.com\r\n".to_owned();
    write!(
        head,
        "content-length: {body_bytes}\r\ncontent-type: text/plain;charset=UTF-8\r\n"
    )?;
    for (name, value) in headers {
        let value = value.as_str().ok_or("a header is not text")?;
        write!(head, "{name}: {value}\r\n")?;
    }
    head.push_str(
        "accept: */*\r\norigin: https://shop.example.com\r\nreferer: https://shop.example.com/\r\n\
         sec-fetch-site: same-site\r\nsec-fetch-mode: cors\r\nsec-fetch-dest: empty\r\n\
         cookie: __uid__=00000000-0000-4000-8000-000UUUUUUUUU\r\n\
         x-forwarded-for: 203.0.113.77\r\n\r\n",
    );
    Ok(head)
}

impl Template {
    fn new(request: String, run: u64) -> Result<Self, Failure> {
        let mut bytes = request.into_bytes();
        let run_at = find(&bytes, RUN).ok_or("a body has no run")?;
        write_digits(&mut bytes[run_at..][..RUN.len()], run);
        let numbers_at = all(&bytes, NUMBER);
        if numbers_at.is_empty() {
            return Err("a body has no event number".into());
        }
        Ok(Self {
            numbers_at,
            address_at: find(&bytes, ADDRESS),
            check_number_at: find(&bytes, CHECK_NUMBER).ok_or("a body has no check_number")?,
            check_text_at: find(&bytes, CHECK_TEXT).ok_or("a body has no check_text")?,
            users_at: all(&bytes, USER),
            bytes,
        })
    }
}

/// Fifteen digits that follow from an event's number.
fn scramble(number: u64) -> u64 {
    (number * 7919 + 104_729) % 1_000_000_000_000_000
}

fn write_digits(place: &mut [u8], mut value: u64) {
    for digit in place.iter_mut().rev() {
        *digit = b'0' + (value % 10) as u8;
        value /= 10;
    }
}

/// Where a text begins, each time.
fn all(bytes: &[u8], wanted: &[u8]) -> Vec<usize> {
    let next = |from: usize| find(&bytes[from..], wanted).map(|at| from + at);
    std::iter::successors(next(0), |at| next(at + 1)).collect()
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes
        .windows(wanted.len())
        .position(|window| window == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(request: &[u8]) -> Value {
        let start = find(request, b"\r\n\r\n").unwrap() + 4;
        serde_json::from_slice(&request[start..]).unwrap()
    }

    #[test]
    fn a_request_follows_from_its_number() {
        let mut mix = Mix::new(5).unwrap();
        let event = body(mix.request(1234));
        assert_eq!(event["event_id"], "1000000000005_000000001234");
        let param = |key: &str| {
            let params = event["event_params"].as_array().unwrap();
            params.iter().find(|param| param["key"] == key).unwrap()["value"].clone()
        };
        assert_eq!(param("check_number")["int_value"], 1_000_000_001_234_u64);
        assert_eq!(
            param("check_text")["string_value"],
            format!("c{:015}", 1234 * 7919 + 104_729)
        );
    }

    #[test]
    fn no_two_requests_of_a_distinct_mix_agree() {
        let mut mix = Mix::distinct(0).unwrap();
        let count = mix.templates.len() as u64;
        let mut seen = std::collections::HashSet::new();
        let numbers = [3, 3 + count, 3 + 12_340_000 * count];
        for number in numbers {
            let text = String::from_utf8(mix.request(number).to_vec()).unwrap();
            for start in ["POST", "origin", "user-agent", "x-forwarded-for"] {
                let line = text.lines().find(|line| line.starts_with(start));
                seen.insert(line.unwrap().to_owned());
            }
            seen.insert(body(text.as_bytes())["event_name"].to_string());
            let address = text.split("x-forwarded-for: ").nth(1).unwrap();
            let address: Result<std::net::Ipv6Addr, _> = address.lines().next().unwrap().parse();
            assert!(address.is_ok(), "{text}");
        }
        assert_eq!(seen.len(), 5 * numbers.len(), "{seen:#?}");
    }

    #[test]
    fn every_request_is_whole() {
        for mix in [Mix::new(0), Mix::distinct(0)] {
            each_is_whole(mix.unwrap());
        }
    }

    fn each_is_whole(mut mix: Mix) {
        for number in 0..mix.templates.len() as u64 {
            let request = mix.request(number).to_vec();
            let text = String::from_utf8(request.clone()).unwrap();
            let length: usize = text
                .split("content-length: ")
                .nth(1)
                .unwrap()
                .split("\r\n")
                .next()
                .unwrap()
                .parse()
                .unwrap();
            assert_eq!(text.split_once("\r\n\r\n").unwrap().1.len(), length);
            assert!(body(&request)["event_name"].is_string());
            for marker in [RUN, NUMBER, CHECK_TEXT, USER, ADDRESS] {
                assert!(find(&request, marker).is_none(), "{number}");
            }
        }
    }
}
