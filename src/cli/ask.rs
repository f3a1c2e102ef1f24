//! Asks the collector that runs here with this configuration, over HTTP.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

/// How long the connection may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// No answer that is asked for is larger.
const MAX_ANSWER: u64 = 16 << 20;

/// Where a collector that listens there is reached.
pub(super) fn reachable(host: IpAddr, port: u16) -> SocketAddr {
    let host = match host {
        // Whoever listens everywhere is asked over loopback.
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
        host => host,
    };
    SocketAddr::new(host, port)
}

/// Sends a request without a body; status and body of the answer. `patience` is for each read.
///
/// # Errors
/// Nobody answers there, or not in HTTP.
pub(super) fn ask(
    address: SocketAddr,
    method: &str,
    target: &str,
    token: Option<&str>,
    patience: Duration,
) -> io::Result<(u16, String)> {
    let mut connection = TcpStream::connect_timeout(&address, PATIENCE)?;
    connection.set_read_timeout(Some(patience))?;
    connection.set_write_timeout(Some(PATIENCE))?;
    let token = token.map(|token| format!("Authorization: Bearer {token}\r\n"));
    let token = token.unwrap_or_default();
    write!(
        connection,
        "{method} {target} HTTP/1.1\r\nHost: {address}\r\n{token}Content-Length: 0\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = Vec::new();
    connection.take(MAX_ANSWER).read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer);
    let no_http = || io::Error::other("what answers there is no collector");
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(no_http)?;
    let status = head
        .strip_prefix("HTTP/1.1 ")
        .and_then(|rest| rest.get(..3));
    let status = status.and_then(|status| status.parse().ok());
    Ok((status.ok_or_else(no_http)?, body.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_listens_everywhere_is_asked_over_loopback() {
        for (host, expected) in [
            ("0.0.0.0", "127.0.0.1:80"),
            ("::", "[::1]:80"),
            ("127.0.0.1", "127.0.0.1:80"),
            ("10.1.2.3", "10.1.2.3:80"),
        ] {
            let host = host.parse().unwrap();
            assert_eq!(reachable(host, 80).to_string(), expected);
        }
    }
}
