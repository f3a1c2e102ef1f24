//! Devices: what it costs to tell one, by all fixtures of the package of patterns, and by User-Agents that are made to cost much; and what all of
//! enrichment costs for an event of a browser that is remembered.
//!
//! `cargo bench --bench devices`, with `-- enrichment` for that alone. Figures are printed; the goals stand beside them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderName, HeaderValue, header};
use real_streaming::clock::Micros;
use real_streaming::enrich::device::Devices;
use real_streaming::enrich::device::compile::compile;
use real_streaming::enrich::explain::Explanation;
use real_streaming::enrich::{Config, Enricher, Visit, identity};
use real_streaming::http::streaming::payload::{Payloads, parse};

/// That of the collector.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const HOSTILE: usize = 200_000;

fn package() -> PathBuf {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/devices/install.sh");
    let output = Command::new(script)
        .output()
        .expect("devices/install.sh runs");
    PathBuf::from(String::from_utf8(output.stdout).expect("a path").trim())
}

/// Lines of the fixtures that are User-Agents.
fn user_agents(package: &Path) -> Vec<String> {
    let folder = package.join("tests/fixtures/upstream");
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .expect("fixtures")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    files.sort();
    let mut found = Vec::new();
    for file in files
        .iter()
        .filter(|file| file.extension().is_some_and(|end| end == "yml"))
    {
        let text = fs::read_to_string(file).expect("a file");
        let lines = text.lines().filter_map(|line| {
            line.trim_start_matches([' ', '-'])
                .strip_prefix("user_agent: ")
        });
        found.extend(lines.map(|line| line.trim_matches(['"', '\'']).to_owned()));
    }
    found
}

/// Resident memory, MiB.
fn memory() -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().split(' ').next()?.parse::<f64>().ok());
    kib.unwrap_or_default() / 1024.0
}

/// Processor time of this thread: on a machine that others use, too, the wall clock tells of them.
fn processor() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(
        time.tv_sec.unsigned_abs(),
        u32::try_from(time.tv_nsec).unwrap_or_default(),
    )
}

fn headers(text: &str) -> HeaderMap {
    let value = HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static("x"));
    HeaderMap::from_iter([(header::USER_AGENT, value)])
}

fn look_up(devices: &Devices, headers: &HeaderMap) {
    devices.look_up(&Visit {
        headers,
        ..Visit::default()
    });
}

/// Looks all of them up; the mean.
fn mean(devices: &Devices, all: &[HeaderMap]) -> Duration {
    let before = processor();
    all.iter().for_each(|headers| look_up(devices, headers));
    (processor() - before) / u32::try_from(all.len()).expect("not that many")
}

/// The same; the longest.
fn longest(devices: &Devices, all: &[HeaderMap]) -> Duration {
    let took = |headers: &HeaderMap| {
        let before = processor();
        look_up(devices, headers);
        processor() - before
    };
    all.iter().map(took).max().unwrap_or_default()
}

/// An event of 1.1 kB with 9 parameters and 2 items.
const BODY: &str = include_str!("../tests/fixtures/typical.json");

const EVENTS: usize = 16;
const REQUESTS: usize = 500;
const ROUNDS: usize = 5;

/// What Chrome sends to a collector behind a load balancer.
fn browser() -> HeaderMap {
    let headers = [
        ("host", "collect.shop.test"),
        (
            "user-agent",
            "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/148.0.0.0 Safari/537.36",
        ),
        ("accept", "*/*"),
        ("accept-language", "en-US,en;q=0.9"),
        ("accept-encoding", "gzip, deflate, br, zstd"),
        ("content-type", "application/json"),
        ("content-length", "1126"),
        ("origin", "https://shop.test"),
        ("referer", "https://shop.test/"),
        (
            "sec-ch-ua",
            r#""Chromium";v="148", "Google Chrome";v="148", "Not/A)Brand";v="99""#,
        ),
        ("sec-ch-ua-mobile", "?0"),
        ("sec-ch-ua-platform", "\"macOS\""),
        ("sec-fetch-mode", "cors"),
        ("sec-fetch-site", "same-site"),
        ("sec-fetch-dest", "empty"),
        ("x-forwarded-for", "203.0.113.9"),
        ("x-forwarded-proto", "https"),
        ("x-client-geo-country", "UA"),
        ("x-client-geo-region", "UA77"),
        ("x-client-geo-city", "Chernivtsi"),
    ];
    let headers = headers.map(|(name, text)| {
        (
            HeaderName::from_static(name),
            HeaderValue::from_static(text),
        )
    });
    headers.into_iter().collect()
}

/// Enriches events of one browser; the least mean of some rounds.
fn enrichment(devices: Devices) -> Duration {
    let enricher = Enricher::new(Config::default()).with_devices(devices);
    let headers = browser();
    let visit = Visit {
        received_at: Micros(1_795_221_000_000_000),
        stream_id: "4711".into(),
        user_pseudo_id: "1795200000000.111111111.222222222.333333333".into(),
        user_source: identity::Source::Cookie,
        client_ip: "203.0.113.9".parse().ok(),
        headers: &headers,
        ..Visit::default()
    };
    let Ok(Payloads::One(Ok(parsed))) = parse(BODY.as_bytes()) else {
        panic!("the body is not accepted");
    };
    // Few at a time, as a request brings them: they are in the processor's cache when they are enriched, and so are those freed before.
    let mut mean = Duration::MAX;
    for _ in 0..ROUNDS {
        let mut took = Duration::ZERO;
        for _ in 0..REQUESTS {
            let mut events = vec![parsed.event.clone(); EVENTS];
            let before = processor();
            for event in &mut events {
                enricher.event(
                    event,
                    &visit,
                    parsed.client_timestamp,
                    &mut Explanation::unasked(),
                );
            }
            took += processor() - before;
        }
        mean = mean.min(took / u32::try_from(REQUESTS * EVENTS).expect("not that many"));
    }
    mean
}

fn main() {
    // Cargo asks benches for their tests, too.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    let package = package();
    let read =
        |path: &str| fs::read_to_string(package.join(path)).map_err(|error| error.to_string());
    let file = compile("bench", &read).expect("the package compiles").file;
    let known = Devices::read(&file).expect("a file");
    println!("enrichment: mean {:?} (goal 4 µs)", enrichment(known));
    if std::env::args().any(|argument| argument == "enrichment") {
        return;
    }
    let texts = user_agents(&package);
    let fixtures: Vec<HeaderMap> = texts.iter().map(|text| headers(text)).collect();
    println!("{} bytes, {} User-Agents", file.len(), fixtures.len());

    let start = Instant::now();
    let devices = Devices::read(&file).expect("a file");
    println!("load {:?}", start.elapsed());
    let uncached = Devices::read(&file).expect("a file").remembering(0);
    for pass in 1..=3 {
        let mean = mean(&uncached, &fixtures);
        println!("uncached, pass {pass}: mean {mean:?} (goal 20 µs)");
    }
    println!("uncached: longest {:?}", longest(&uncached, &fixtures));
    let few = &fixtures[..2000];
    mean(&devices, few);
    let many: Vec<HeaderMap> = (0..50).flat_map(|_| few.to_vec()).collect();
    println!("cached: mean {:?} (goal 200 ns)", mean(&devices, &many));

    let mut random = fastrand::Rng::with_seed(1);
    let hostile: Vec<HeaderMap> = (0..HOSTILE)
        .map(|number| {
            let mut headers = headers(&hostile(&texts, &mut random));
            if number % 2 == 0 {
                add_hints(&mut headers, &mut random);
            }
            headers
        })
        .collect();
    let before = memory();
    let mean = mean(&devices, &hostile);
    println!(
        "{HOSTILE} hostile ones: mean {mean:?} (goal 150 µs), memory +{:.0} MiB (goal 300)",
        memory() - before
    );
    println!(
        "longest of them: {:?} (goal 50 ms)",
        longest(&uncached, &hostile)
    );
    for text in made() {
        let took = longest(&uncached, &[headers(&text)]);
        println!("made to take long: {took:?}, {:.30}", text);
    }
}

/// Client hints that are as long as they may be.
fn add_hints(headers: &mut HeaderMap, random: &mut fastrand::Rng) {
    for name in [
        "model",
        "platform",
        "platform-version",
        "arch",
        "full-version",
    ] {
        let name = HeaderName::try_from(format!("sec-ch-ua-{name}")).expect("a name");
        let value: String = (0..250).map(|_| random.alphanumeric()).collect();
        headers.insert(name, HeaderValue::try_from(value).expect("a value"));
    }
}

/// Look-aheads over all the rest, choices within loops, many patterns at each word.
fn made() -> Vec<String> {
    let pieces = [
        "Android 9; ",
        "NAVER(inapp; search; 1;",
        "lge; sn",
        "x86_64-apple-dar ",
        "_TV_ ",
    ];
    let looked_ahead = format!("CFNetwork/1 Darwin/{} x86_64", "1".repeat(990));
    let repeated = pieces.map(|piece| piece.repeat(1024 / piece.len()));
    repeated.into_iter().chain([looked_ahead]).collect()
}

/// Different each time: pieces of many User-Agents, long ones, the same piece again and again, names of many devices, noise.
fn hostile(texts: &[String], random: &mut fastrand::Rng) -> String {
    let piece = |random: &mut fastrand::Rng| -> String {
        let text = &texts[random.usize(..texts.len())];
        let words: Vec<&str> = text.split(' ').collect();
        let first = random.usize(..words.len());
        words[first..(first + 1 + random.usize(..4)).min(words.len())].join(" ")
    };
    let mut text = String::new();
    match random.u8(..4) {
        0 => (0..5).for_each(|_| text.push_str(&format!("{} ", piece(random)))),
        1 => {
            while text.len() < 2000 {
                text.push_str(&format!("{}; ", piece(random)));
            }
        }
        2 => text = format!("{} ", piece(random)).repeat(200),
        _ => {
            text = (0..random.usize(..1500))
                .map(|_| char::from(random.u8(b' '..=b'~')))
                .collect()
        }
    }
    text.truncate(text.floor_char_boundary(2040));
    format!("{text}{}", random.u32(..))
}
