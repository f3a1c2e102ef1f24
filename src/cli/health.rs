//! `real-streaming health`: does the collector answer that runs here with this configuration?
//!
//! For the health checks of containers, whose images hold no HTTP client. It asks `GET /liveness`, which
//! depends on no destination: whoever restarts what is unhealthy must not restart because a destination is down.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::process::ExitCode;
use std::time::Duration;

use crate::config::Config;

/// How long the connection, and each read or write, may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// A status line is shorter.
const MAX_LINE: u64 = 256;

pub(super) fn run(config: &Config) -> ExitCode {
    let address = SocketAddr::new(reachable(config.host), config.port);
    match ask(address) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => super::failed(&format!("{address} is not healthy: {error}")),
    }
}

/// Whoever listens everywhere is asked over loopback.
fn reachable(host: IpAddr) -> IpAddr {
    match host {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
        host => host,
    }
}

fn ask(address: SocketAddr) -> io::Result<()> {
    let mut connection = TcpStream::connect_timeout(&address, PATIENCE)?;
    connection.set_read_timeout(Some(PATIENCE))?;
    connection.set_write_timeout(Some(PATIENCE))?;
    write!(
        connection,
        "GET /liveness HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    )?;
    let mut status = String::new();
    BufReader::new(connection.take(MAX_LINE)).read_line(&mut status)?;
    if status.starts_with("HTTP/1.1 200 ") {
        return Ok(());
    }
    Err(io::Error::other(format!("it answers {:?}", status.trim())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_listens_everywhere_is_asked_over_loopback() {
        for (host, expected) in [
            ("0.0.0.0", "127.0.0.1"),
            ("::", "::1"),
            ("127.0.0.1", "127.0.0.1"),
            ("10.1.2.3", "10.1.2.3"),
        ] {
            let host = host.parse().unwrap();
            assert_eq!(reachable(host).to_string(), expected);
        }
    }
}
