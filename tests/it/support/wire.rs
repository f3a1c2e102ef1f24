//! Bytes as they are on a connection, and all that comes back: for requests that no client would send.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::client::Answer;

/// A connection must end within this time, also on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// What came back.
#[derive(Debug)]
pub struct Exchange {
    /// Final answers, in order.
    pub answers: Vec<Answer>,
    /// What came behind them and is none.
    pub rest: Vec<u8>,
    /// Whether the collector ended the connection.
    pub ended: bool,
    /// Until then.
    pub took: Duration,
}

impl Exchange {
    /// The statuses of the answers.
    pub fn statuses(&self) -> Vec<u16> {
        self.answers.iter().map(|answer| answer.status).collect()
    }
}

/// Writes bytes on a connection of their own and reads until the collector ends it. With `cut`, this half
/// is closed behind them.
pub async fn exchange(address: SocketAddr, bytes: &[u8], cut: bool) -> Exchange {
    let begun = Instant::now();
    let stream = TcpStream::connect(address).await.expect("it listens");
    let (mut reader, mut writer) = stream.into_split();
    let mut come = Vec::new();
    let write = async {
        // It may answer and close before it has read everything.
        let _sent = writer.write_all(bytes).await;
        if cut {
            let _closed = writer.shutdown().await;
        }
        // Kept until the other half has ended.
        writer
    };
    let both = async { tokio::join!(write, reader.read_to_end(&mut come)) };
    let ended = tokio::time::timeout(PATIENCE, both).await.is_ok();
    let (answers, rest) = answers(come, bytes.starts_with(b"HEAD "));
    Exchange {
        answers,
        rest,
        ended,
        took: begun.elapsed(),
    }
}

/// Takes the answers off the front. Interim ones (1xx) are left out.
fn answers(mut come: Vec<u8>, first_has_no_body: bool) -> (Vec<Answer>, Vec<u8>) {
    let mut answers = Vec::new();
    while let Some(end) = come.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
        let head = String::from_utf8_lossy(&come[..end]).into_owned();
        let Some(status) = head
            .strip_prefix("HTTP/1.")
            .and_then(|rest| rest.split(' ').nth(1))
            .and_then(|status| status.parse().ok())
        else {
            break;
        };
        let mut answer = Answer {
            status,
            head,
            body: String::new(),
            bytes: Vec::new(),
        };
        let length = match answer.header("Content-Length") {
            Some(length) if !(first_has_no_body && answers.is_empty()) => {
                length.parse().expect("a length")
            }
            _ => 0,
        };
        if come.len() < end + 4 + length {
            break;
        }
        come.drain(..end + 4);
        answer.bytes = come.drain(..length).collect();
        answer.body = String::from_utf8_lossy(&answer.bytes).into_owned();
        if status >= 200 {
            answers.push(answer);
        }
    }
    (answers, come)
}
