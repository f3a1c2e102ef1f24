//! What an event costs by how it comes: alone, hundreds in an array, compressed, as large as may be. A table, and no bound on
//! any connection's memory is passed.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use clap::Args;
use real_streaming_bench::Failure;
use real_streaming_bench::collector::{Collector, Settings};

use crate::{DRAIN_LIMIT, STOP_LIMIT, Soak};

#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    /// Seconds of each measurement.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Connections at once.
    #[arg(long, default_value_t = 8)]
    connections: usize,
    /// What a connection may add to the collector's memory, MiB.
    #[arg(long, default_value_t = 40)]
    memory: u64,
}

/// A way to send events.
struct Shape {
    name: &'static str,
    events: usize,
    /// Bytes of a parameter of each event.
    padding: usize,
    coding: Option<&'static str>,
}

const SHAPES: [Shape; 7] = [
    Shape {
        name: "one",
        events: 1,
        padding: 0,
        coding: None,
    },
    Shape {
        name: "one, gzip",
        events: 1,
        padding: 0,
        coding: Some("gzip"),
    },
    Shape {
        name: "500",
        events: 500,
        padding: 0,
        coding: None,
    },
    Shape {
        name: "500, gzip",
        events: 500,
        padding: 0,
        coding: Some("gzip"),
    },
    Shape {
        name: "500, br",
        events: 500,
        padding: 0,
        coding: Some("br"),
    },
    Shape {
        name: "500, zstd",
        events: 500,
        padding: 0,
        coding: Some("zstd"),
    },
    Shape {
        name: "one of 1.9 MB",
        events: 1,
        padding: 1_900_000,
        coding: None,
    },
];

impl Shape {
    /// A whole request. Its events have no ids, so each is another.
    fn request(&self) -> Result<Vec<u8>, Failure> {
        let padding = "x".repeat(self.padding);
        let event = serde_json::json!({
            "event_name": "page_view",
            "event_params": [
                {"key": "page_location", "value": {"string_value": "https://shop.example.com/collections/autumn?sort=price&page=2"}},
                {"key": "page_title", "value": {"string_value": "How to layer for cold days"}},
                {"key": "screen_resolution", "value": {"string_value": "2560x1440"}},
                {"key": "padding", "value": {"string_value": padding}},
                {"key": "engagement_time_msec", "value": {"int_value": 53085}},
            ],
        });
        let body = match self.events {
            1 => event,
            count => vec![event; count].into(),
        };
        let body = serde_json::to_vec(&body)?;
        let body = match self.coding {
            None => body,
            Some("gzip") => {
                let mut encoder =
                    flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
                encoder.write_all(&body)?;
                encoder.finish()?
            }
            Some("br") => {
                let mut compressed = Vec::new();
                brotli::CompressorReader::new(body.as_slice(), 4096, 5, 22)
                    .read_to_end(&mut compressed)?;
                compressed
            }
            Some(_) => zstd::encode_all(body.as_slice(), 3)?,
        };
        let coding = self
            .coding
            .map(|coding| format!("content-encoding: {coding}\r\n"));
        let head = format!(
            "POST /api/v1/streaming/1 HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n{}\r\n",
            body.len(),
            coding.unwrap_or_default()
        );
        Ok([head.into_bytes(), body].concat())
    }
}

/// Sends the request again and again on one connection; how often it was answered 200.
fn send(address: SocketAddr, request: &[u8], until: Instant) -> Result<u64, Failure> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(35)))?;
    let (mut answered, mut answer) = (0, vec![0; 16_384]);
    while Instant::now() < until {
        stream.write_all(request)?;
        let mut count = 0;
        // Answers are short: head and body.
        while !answer[..count].ends_with(b"}") {
            match stream.read(&mut answer[count..])? {
                0 => return Err("the connection was closed".into()),
                more => count += more,
            }
        }
        if !answer.starts_with(b"HTTP/1.1 200") {
            let text = String::from_utf8_lossy(&answer[..count]);
            return Err(format!("it was answered {text}").into());
        }
        answered += 1;
    }
    Ok(answered)
}

fn measure(collector: &Collector, shape: &Shape, options: &Options) -> Result<u64, Failure> {
    let request = shape.request()?;
    let cpu = collector.child.cpu()?;
    let until = Instant::now() + Duration::from_secs(options.seconds);
    let requests = std::thread::scope(|scope| {
        let send = || send(collector.address, &request, until).map_err(|error| error.to_string());
        let threads: Vec<_> = (0..options.connections)
            .map(|_| scope.spawn(send))
            .collect();
        let mut sum = 0;
        for thread in threads {
            sum += thread
                .join()
                .map_err(|_| "a sender panicked".to_owned())??;
        }
        Ok::<u64, String>(sum)
    })?;
    let cpu = collector.child.cpu()? - cpu;
    let events = requests * shape.events as u64;
    let memory = collector.child.memory()?.peak / 1024;
    println!(
        "{:<14} {:>9} {:>10.0} {:>12.0} {:>10.2} {:>6}",
        shape.name,
        request.len(),
        requests as f64 / options.seconds as f64,
        events as f64 / options.seconds as f64,
        cpu.as_secs_f64() * 1e6 / events as f64,
        memory
    );
    Ok(memory)
}

pub(crate) fn run(soak: &Soak, options: &Options) -> Result<(), Failure> {
    println!("shape              bytes requests/s     events/s   µs/event    MiB");
    let mut is_bounded = true;
    for shape in &SHAPES {
        let collector = soak.start(&Settings::default())?;
        let idle = collector.child.memory()?.resident / 1024;
        let most = measure(&collector, shape, options)?;
        is_bounded &= most <= idle + options.memory * options.connections as u64;
        collector.drained(DRAIN_LIMIT)?;
        collector.child.stop(STOP_LIMIT)?;
    }
    match is_bounded {
        true => Ok(()),
        false => Err(format!("a connection took more than {} MiB", options.memory).into()),
    }
}
