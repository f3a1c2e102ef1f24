//! B15–B18: HTTP/2 without TLS, frame by frame (<https://www.rfc-editor.org/rfc/rfc9113>).
//!
//! Whatever floods a connection, the connection ends, memory stays, and others are served meanwhile.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{check_memory, event, finish, good, rows, start};
use crate::support::process::Process;

const SETTINGS: [(&str, &str); 5] = [
    ("WRITERS__STRATEGY", "memory"),
    ("HTTP__HEADER_TIMEOUT", "1.5"),
    ("HTTP__BODY_TIMEOUT", "2"),
    ("HTTP__IDLE_TIMEOUT", "6"),
    ("HTTP__REQUEST_TIMEOUT", "3"),
];

/// A flood must be over within this time.
const PATIENCE: Duration = Duration::from_secs(40);

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS_FRAME: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let head = [&length[1..], &[kind, flags], &stream.to_be_bytes()].concat();
    [&head, payload].concat()
}

/// A length as HPACK writes it (RFC 7541, section 5.1), seven bits in the first byte.
fn length(value: usize) -> Vec<u8> {
    if value < 127 {
        return vec![value as u8];
    }
    let mut bytes = vec![127];
    let mut rest = value - 127;
    while rest >= 128 {
        bytes.push(rest as u8 | 128);
        rest >>= 7;
    }
    bytes.push(rest as u8);
    bytes
}

/// A header that enters no table.
fn literal(name: &str, value: &str) -> Vec<u8> {
    let mut bytes = vec![0];
    for text in [name, value] {
        bytes.extend(length(text.len()));
        bytes.extend_from_slice(text.as_bytes());
    }
    bytes
}

/// The header block of a request.
fn block(more: &[u8]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/api/v1/streaming/1"),
        (":authority", "x"),
    ] {
        block.extend(literal(name, value));
    }
    block.extend_from_slice(more);
    block
}

/// A whole request with this body.
fn request(stream: u32, body: &str) -> Vec<u8> {
    [
        frame(HEADERS, END_HEADERS, stream, &block(&[])),
        frame(DATA, END_STREAM, stream, body.as_bytes()),
    ]
    .concat()
}

/// What the collector said on a connection.
#[derive(Debug, Default)]
struct Heard {
    /// First bytes of header blocks, by stream: 0x88 is `:status: 200`.
    answers: Vec<(u32, u8)>,
    resets: usize,
    goaway: Option<u32>,
    pending: Vec<u8>,
}

impl Heard {
    /// Takes in what has come; answers to pings and settings are passed over.
    fn take(&mut self, bytes: &[u8]) {
        self.pending.extend_from_slice(bytes);
        while let Some(head) = self.pending.get(..9) {
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
            let kind = head[3];
            let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
            let Some(payload) = self.pending.get(9..9 + length) else {
                return;
            };
            match kind {
                HEADERS => self.answers.push((stream, payload[0])),
                RST_STREAM => self.resets += 1,
                GOAWAY => {
                    let code = payload[4..8].try_into().unwrap();
                    self.goaway = Some(u32::from_be_bytes(code));
                }
                _ => {}
            }
            self.pending.drain(..9 + length);
        }
    }
}

/// Sends `first`, then `again(n)` for n = 0, 1, … until the connection ends.
async fn flood(
    address: SocketAddr,
    first: &[u8],
    mut again: impl FnMut(u32) -> Vec<u8>,
    listens: bool,
) -> (Heard, u64, Duration) {
    let begun = Instant::now();
    let stream = TcpStream::connect(address).await.expect("it listens");
    let (mut reader, mut writer) = stream.into_split();
    let mut sent = 0;
    let write = async {
        let mut result = writer.write_all(first).await;
        let mut number = 0;
        while result.is_ok() {
            let bytes = again(number);
            number += 1;
            if bytes.is_empty() {
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
            sent += bytes.len() as u64;
            result = writer.write_all(&bytes).await;
        }
    };
    let mut heard = Heard::default();
    let read = async {
        let mut buffer = [0; 16_384];
        if !listens {
            std::future::pending::<()>().await;
        }
        while let Ok(count @ 1..) = reader.read(&mut buffer).await {
            heard.take(&buffer[..count]);
        }
    };
    let ended = tokio::time::timeout(PATIENCE, async {
        tokio::select! {
            () = write => {}
            () = read => {}
        }
    });
    assert!(ended.await.is_ok(), "the connection does not end");
    // What was said before the end and not yet read.
    let mut buffer = [0; 16_384];
    while let Ok(Ok(count @ 1..)) =
        tokio::time::timeout(Duration::from_secs(2), reader.read(&mut buffer)).await
    {
        heard.take(&buffer[..count]);
    }
    (heard, sent, begun.elapsed())
}

/// A connection that has begun.
fn begin() -> Vec<u8> {
    [PREFACE, &frame(SETTINGS_FRAME, 0, 0, &[])].concat()
}

/// So many frames at a time: what a flood writes at once.
const AT_ONCE: u32 = 500;

fn many(of: impl Fn(u32) -> Vec<u8>) -> impl FnMut(u32) -> Vec<u8> {
    move |number| {
        let numbers = number * AT_ONCE..(number + 1) * AT_ONCE;
        numbers.flat_map(&of).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn floods_of_frames_end_their_connection() {
    let (folder, process) = start(&SETTINGS).await;
    let (before, _) = process.memory();
    let odd = |number: u32| (number * 2 + 1) & 0x7fff_ffff;
    let headers = |stream| frame(HEADERS, END_HEADERS, stream, &block(&[]));
    let one = request(1, &event("h2", ""));
    // A header of 4,000 bytes enters the table; each byte behind it stands for all of it.
    let bomb = [literal("x", &"y".repeat(4_000)), vec![0xbe; 16_000 - 4_100]].concat();
    let bomb = [&[0x40][..], &bomb[1..]].concat();
    let silent = |_: u32| Vec::new();
    type Again = Box<dyn FnMut(u32) -> Vec<u8> + Send>;
    let floods: Vec<(&str, Vec<u8>, Again, bool)> = vec![
        (
            "B15 rapid reset",
            begin(),
            Box::new(many(move |n| {
                [
                    headers(odd(n)),
                    frame(RST_STREAM, 0, odd(n), &8_u32.to_be_bytes()),
                ]
                .concat()
            })),
            true,
        ),
        (
            "B16 endless CONTINUATION",
            [begin(), frame(HEADERS, 0, 1, &block(&[]))].concat(),
            Box::new(many(|_| {
                frame(CONTINUATION, 0, 1, &literal("x", &"y".repeat(100)))
            })),
            true,
        ),
        (
            "B16b empty CONTINUATION",
            [begin(), frame(HEADERS, 0, 1, &block(&[]))].concat(),
            Box::new(many(|_| frame(CONTINUATION, 0, 1, &[]))),
            true,
        ),
        (
            "B17 streams without end",
            begin(),
            Box::new(many(move |n| headers(odd(n)))),
            true,
        ),
        (
            "B17b 10,000 streams, then silence",
            [begin(), (0..10_000).flat_map(|n| headers(odd(n))).collect()].concat(),
            Box::new(silent),
            true,
        ),
        (
            "B18 PING, answers taken",
            begin(),
            Box::new(many(|_| frame(PING, 0, 0, &[0; 8]))),
            true,
        ),
        (
            "B18b PING, answers not taken",
            begin(),
            Box::new(many(|_| frame(PING, 0, 0, &[0; 8]))),
            false,
        ),
        (
            "B18c SETTINGS, answers taken",
            begin(),
            Box::new(many(|_| frame(SETTINGS_FRAME, 0, 0, &[]))),
            true,
        ),
        (
            "B18d SETTINGS, answers not taken",
            begin(),
            Box::new(many(|_| frame(SETTINGS_FRAME, 0, 0, &[]))),
            false,
        ),
        (
            "B18e PING behind a request",
            [begin(), one.clone()].concat(),
            Box::new(many(|_| frame(PING, 0, 0, &[0; 8]))),
            true,
        ),
        (
            "B18f PRIORITY",
            begin(),
            Box::new(many(|_| frame(PRIORITY, 0, 1, &[0, 0, 0, 3, 0]))),
            true,
        ),
        (
            "B18g WINDOW_UPDATE",
            begin(),
            Box::new(many(|_| frame(WINDOW_UPDATE, 0, 0, &1_u32.to_be_bytes()))),
            true,
        ),
        (
            "B18h empty DATA",
            [begin(), headers(1)].concat(),
            Box::new(many(|_| frame(DATA, 0, 1, &[]))),
            true,
        ),
        (
            "B18i HPACK bomb, again and again",
            begin(),
            Box::new(move |n| frame(HEADERS, END_HEADERS | END_STREAM, odd(n), &block(&bomb))),
            true,
        ),
        (
            "B18j a frame of 16 MiB",
            [begin(), vec![0xff, 0xff, 0xff, DATA, 0, 0, 0, 0, 1]].concat(),
            Box::new(|_| vec![0; 65_536]),
            true,
        ),
        (
            "B18k more DATA than the window",
            [begin(), headers(1)].concat(),
            Box::new(|_| frame(DATA, 0, 1, &[b' '; 16_384])),
            true,
        ),
        (
            "B18l HTTP/1 behind the preface",
            PREFACE.to_vec(),
            Box::new(|_| b"POST /api/v1/streaming/1 HTTP/1.1\r\n\r\n".to_vec()),
            true,
        ),
        (
            "B18m no answer taken: a window of 0",
            [
                PREFACE.to_vec(),
                frame(SETTINGS_FRAME, 0, 0, &[0, 4, 0, 0, 0, 0]),
                (0..100)
                    .flat_map(|n| request(odd(n), &event("h2-window", "")))
                    .collect(),
            ]
            .concat(),
            Box::new(silent),
            true,
        ),
    ];
    for (what, first, again, listens) in floods {
        let (resident, _) = process.memory();
        let flooded = flood(process.address, &first, again, listens);
        let ((heard, sent, took), ()) = tokio::join!(flooded, others(&process));
        let (after, peak) = process.memory();
        println!(
            "| {what} | GOAWAY {:?}, {} resets, {} answers | ended after {:.1} s | {} kB sent | {} -> {} MiB, at most {} |",
            heard.goaway,
            heard.resets,
            heard.answers.len(),
            took.as_secs_f64(),
            sent / 1000,
            resident >> 10,
            after >> 10,
            peak >> 10,
        );
        good(&process).await;
    }
    check_memory(&process, before);
    finish(folder.path(), process);
}

/// Others are served meanwhile.
async fn others(process: &Process) {
    for _ in 0..5 {
        good(process).await;
    }
}

/// A connection that is read frame by frame.
struct Client {
    stream: TcpStream,
    heard: Heard,
}

impl Client {
    async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.expect("it reads");
    }

    /// Waits for the answer on a stream.
    async fn answer(&mut self, stream: u32) -> u8 {
        let mut buffer = [0; 4096];
        loop {
            let answer = self.heard.answers.iter().find(|(of, _)| *of == stream);
            if let Some((_, status)) = answer {
                return *status;
            }
            let count = tokio::time::timeout(PATIENCE, self.stream.read(&mut buffer));
            let count = count.await.expect("it answers").expect("it goes on");
            assert!(count > 0, "it ended: {:?}", self.heard);
            self.heard.take(&buffer[..count]);
        }
    }
}

/// `:status: 200` in HPACK's static table.
const OK: u8 = 0x88;

#[tokio::test(flavor = "multi_thread")]
async fn http2_is_known_however_its_preface_is_cut() {
    let (folder, process) = start(&SETTINGS).await;
    for pieces in [1, 5, 11, 12, 13, 24] {
        let stream = TcpStream::connect(process.address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let mut client = Client {
            stream,
            heard: Heard::default(),
        };
        for piece in PREFACE.chunks(pieces) {
            client.send(piece).await;
            tokio::time::sleep(Duration::from_millis(15)).await;
        }
        client.send(&frame(SETTINGS_FRAME, 0, 0, &[])).await;
        client.send(&request(1, &event("h2", ""))).await;
        assert_eq!(client.answer(1).await, OK, "in pieces of {pieces}");
        // Frames without a request are no head of a request that comes slowly: for longer than that may take.
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_millis(2_300) {
            client.send(&frame(PING, 0, 0, &[1; 8])).await;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        client.send(&request(3, &event("h2", ""))).await;
        assert_eq!(client.answer(3).await, OK, "in pieces of {pieces}");
    }
    finish(folder.path(), process);
    let rows = rows(folder.path());
    let stored = rows.iter().filter(|row| row["user_id"] == "h2").count();
    assert_eq!(stored, 12);
}
