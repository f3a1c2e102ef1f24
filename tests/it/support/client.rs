//! A plain HTTP/1.1 client, so that tests see exactly what goes over the wire.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
    pub bytes: Vec<u8>,
}

impl Answer {
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .filter_map(|line| line.split_once(':'))
            .find(|(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim())
    }
}

/// Sends a request on a connection of its own.
pub async fn request(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Answer {
    try_request(address, method, path, headers, body)
        .await
        .expect("the collector answers")
}

/// Sends a request; an error if the connection breaks before the answer is whole.
pub async fn try_request(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> std::io::Result<Answer> {
    let mut head = format!(
        "{method} {path} HTTP/1.1\r\nConnection: close\r\nContent-Length: {}\r\n",
        body.len()
    );
    if !headers.iter().any(|(name, _)| *name == "Host") {
        head.push_str(&format!("Host: {address}\r\n"));
    }
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    let mut stream = TcpStream::connect(address).await?;
    let mut bytes = head.into_bytes();
    bytes.extend_from_slice(body);
    // The server may answer and close before it has read everything.
    let sent = stream.write_all(&bytes).await;
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer).await;
    let Some(end) = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n") else {
        sent?;
        read?;
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    };
    let body = answer.split_off(end + 4);
    let head = String::from_utf8_lossy(&answer[..end]).into_owned();
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok())
        .expect("a status line");
    let length = head.lines().find_map(|line| {
        line.to_ascii_lowercase()
            .strip_prefix("content-length:")
            .map(|value| value.trim().parse::<usize>().expect("a length"))
    });
    if length.is_some_and(|length| method != "HEAD" && length != body.len()) {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    Ok(Answer {
        status,
        head,
        body: String::from_utf8_lossy(&body).into_owned(),
        bytes: body,
    })
}

/// Sends an event body to stream 1.
pub async fn post(address: SocketAddr, body: &str) -> Answer {
    request(
        address,
        "POST",
        "/api/v1/streaming/1",
        &[("Content-Type", "application/json")],
        body.as_bytes(),
    )
    .await
}

/// The admin token of collectors in tests.
pub const TOKEN: &str = "token-of-collectors-in-tests";

/// Asks for something that needs the admin token.
pub async fn admin(address: SocketAddr, path: &str) -> Answer {
    let bearer = format!("Bearer {TOKEN}");
    request(address, "GET", path, &[("Authorization", &bearer)], b"").await
}

/// The page of metrics.
pub async fn metrics(address: SocketAddr) -> String {
    let answer = admin(address, "/metrics").await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.body
}
