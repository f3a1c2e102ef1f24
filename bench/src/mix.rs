//! The requests: bodies as a shop's pages send them (`bodies.jsonl`) with the headers of real browsers
//! (`browsers.jsonl`).
//!
//! An event is known by its number: the number picks body and browser, and is written into the event's
//! id and into two parameters. So whoever reads the rows can tell from an id alone all that the row must
//! hold (`check.py` does). Requests are built once; sending one changes a few digits in place.

use std::io::Write as _;

use serde_json::{Map, Value};

use crate::Failure;

const BODIES: &str = include_str!("../bodies.jsonl");
const BROWSERS: &str = include_str!("../browsers.jsonl");

const RUN: &[u8] = b"RRRRRRRRRRRRR";
const NUMBER: &[u8] = b"NNNNNNNNNNNN";
const CHECK_NUMBER: &[u8] = b"1999999999999";
const CHECK_TEXT: &[u8] = b"cTTTTTTTTTTTTTTT";
const USER: &[u8] = b"UUUUUUUUU";
/// Visitors that the events come from.
const USERS: u64 = 200_000;

/// Where a request's changing digits are.
#[derive(Debug)]
struct Template {
    bytes: Vec<u8>,
    number_at: usize,
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
        let run = 1_000_000_000_000 + seed % 9_000_000_000_000;
        let mut templates = Vec::new();
        for browser in BROWSERS.lines() {
            let headers: Map<String, Value> = serde_json::from_str(browser)?;
            for body in BODIES.lines() {
                templates.push(Template::new(&headers, body, run)?);
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
        write_digits(&mut bytes[template.number_at..][..NUMBER.len()], number);
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

impl Template {
    fn new(headers: &Map<String, Value>, body: &str, run: u64) -> Result<Self, Failure> {
        let mut bytes = Vec::with_capacity(2048);
        write!(
            bytes,
            "POST /api/v1/streaming/1 HTTP/1.1\r\nhost: collect.example.com\r\n"
        )?;
        write!(
            bytes,
            "content-length: {}\r\ncontent-type: text/plain;charset=UTF-8\r\n",
            body.len()
        )?;
        for (name, value) in headers {
            write!(
                bytes,
                "{name}: {}\r\n",
                value.as_str().ok_or("a header is not text")?
            )?;
        }
        write!(
            bytes,
            "accept: */*\r\norigin: https://shop.example.com\r\nreferer: https://shop.example.com/\r\n"
        )?;
        write!(
            bytes,
            "sec-fetch-site: same-site\r\nsec-fetch-mode: cors\r\nsec-fetch-dest: empty\r\n"
        )?;
        write!(
            bytes,
            "cookie: __uid__=00000000-0000-4000-8000-000UUUUUUUUU\r\n"
        )?;
        write!(bytes, "x-forwarded-for: 203.0.113.77\r\n\r\n{body}")?;
        let run_at = find(&bytes, RUN).ok_or("a body has no run")?;
        write_digits(&mut bytes[run_at..][..RUN.len()], run);
        let users_at = std::iter::successors(find(&bytes, USER), |at| {
            find(&bytes[at + 1..], USER).map(|next| at + 1 + next)
        });
        Ok(Self {
            number_at: find(&bytes, NUMBER).ok_or("a body has no event number")?,
            check_number_at: find(&bytes, CHECK_NUMBER).ok_or("a body has no check_number")?,
            check_text_at: find(&bytes, CHECK_TEXT).ok_or("a body has no check_text")?,
            users_at: users_at.collect(),
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
    fn every_request_is_whole() {
        let mut mix = Mix::new(0).unwrap();
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
            for marker in [RUN, NUMBER, CHECK_TEXT, USER] {
                assert!(find(&request, marker).is_none(), "{number}");
            }
        }
    }
}
