//! The proxies in front: what one request says of them, and whose address would be taken for the client's.

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::enrich::client_ip::Trust;

use super::{Arguments, Check};

/// How long a request is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// The largest head that is read.
const MAX_HEAD: usize = 64 << 10;

const WHAT: &str = "proxies";

pub(super) fn check(arguments: &Arguments, trust: Trust) -> Vec<Check> {
    let head = match (&arguments.headers, arguments.listen) {
        (Some(file), _) => std::fs::read_to_string(file).map(|head| (head, None)),
        (None, Some(address)) => one_request(address).map(|(head, peer)| (head, Some(peer))),
        (None, None) => {
            return vec![Check::ok(
                WHAT,
                format!(
                    "ENRICH__TRUSTED_HOPS is {}; --listen or --headers tells whether that is right",
                    trust.hops
                ),
            )];
        }
    };
    match head {
        Ok((head, peer)) => judge(&head, peer, trust),
        Err(error) => vec![Check::failure(
            WHAT,
            format!("no request was seen: {error}"),
        )],
    }
}

/// The head of the next request at this address, and who is connected.
fn one_request(address: SocketAddr) -> io::Result<(String, IpAddr)> {
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    println!("         {WHAT}: send one request through them to {address}");
    let begun = Instant::now();
    loop {
        match listener.accept() {
            Ok((connection, peer)) => return Ok((head(connection)?, peer.ip())),
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
            Err(_) if begun.elapsed() > PATIENCE => {
                return Err(io::Error::other("none came within a minute"));
            }
            Err(_) => std::thread::sleep(Duration::from_millis(50)),
        }
    }
}

fn head(mut connection: TcpStream) -> io::Result<String> {
    connection.set_nonblocking(false)?;
    connection.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut head = Vec::new();
    let mut buffer = [0; 4096];
    while !head.windows(4).any(|end| end == b"\r\n\r\n") && head.len() < MAX_HEAD {
        match connection.read(&mut buffer)? {
            0 => break,
            read => head.extend_from_slice(&buffer[..read]),
        }
    }
    connection.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")?;
    Ok(String::from_utf8_lossy(&head).into_owned())
}

/// The headers of a head, as far as they are some.
fn headers(head: &str) -> HeaderMap {
    let lines = head.lines().filter_map(|line| line.split_once(':'));
    let headers = lines.filter_map(|(name, value)| {
        let name: HeaderName = name.trim().parse().ok()?;
        let value = HeaderValue::from_bytes(value.trim().as_bytes()).ok()?;
        Some((name, value))
    });
    headers.collect()
}

fn judge(head: &str, peer: Option<IpAddr>, trust: Trust) -> Vec<Check> {
    let headers = headers(head);
    let shown = |name: &HeaderName| {
        let values = headers.get_all(name).iter();
        let values: Vec<_> = values
            .map(|value| String::from_utf8_lossy(value.as_bytes()))
            .collect();
        values.join(", ")
    };
    let client = |trust: Trust| {
        let found = trust.client_ip(&headers, peer);
        found.map_or_else(
            || "that of the connection".to_owned(),
            |found| found.to_string(),
        )
    };
    if let Some(name) = trust.platform.header() {
        let told = format!(
            "{name} is {:?}; the client is {}",
            shown(&name),
            client(trust)
        );
        return vec![match headers.get_all(&name).iter().count() {
            1 => Check::ok(WHAT, told),
            _ => Check::failure(
                WHAT,
                format!("{told}: the platform of ENRICH__PLATFORM writes that header once"),
            ),
        }];
    }
    let (trusted_hops, entries) = (trust.hops, trust.entries(&headers));
    let address = |hops: usize| client(Trust { hops, ..trust });
    let name = trust.header.name();
    let told = format!(
        "{name} is {:?}; with ENRICH__TRUSTED_HOPS={trusted_hops} the client is {}",
        shown(&name),
        address(trusted_hops)
    );
    let check = match entries.cmp(&trusted_hops) {
        std::cmp::Ordering::Less => Check::failure(
            WHAT,
            format!(
                "{told}: fewer proxies wrote into it than are trusted; lower ENRICH__TRUSTED_HOPS, or anybody may say who he is"
            ),
        ),
        _ if trusted_hops == 0 && entries > 0 => Check::warning(
            WHAT,
            format!("{told}: if your own proxies wrote that, trust as many"),
        ),
        _ => Check::ok(WHAT, told),
    };
    let others = (0..=entries).filter(|hops| *hops != trusted_hops);
    let others =
        others.map(|hops| Check::ok(WHAT, format!("with {hops} it would be {}", address(hops))));
    std::iter::once(check).chain(others).collect()
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;
    use crate::enrich::client_ip::Platform;

    const HEAD: &str = "POST / HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 6.6.6.6, 203.0.113.9\r\nx-forwarded-for: 35.1.2.3\r\n\r\n";

    #[test]
    fn it_is_told_whose_address_counts() {
        let peer = "10.0.0.7".parse().ok();
        for (hops, verdict, client) in [
            (0, Verdict::Warning, "10.0.0.7"),
            (1, Verdict::Ok, "35.1.2.3"),
            (2, Verdict::Ok, "203.0.113.9"),
            (4, Verdict::Failure, "10.0.0.7"),
        ] {
            let trust = Trust {
                hops,
                ..Trust::default()
            };
            let told = judge(HEAD, peer, trust);
            assert_eq!(told[0].verdict, verdict, "{hops}");
            assert!(
                told[0].found.contains(&format!("the client is {client}")),
                "{told:?}"
            );
        }
        let none = judge("Host: x", peer, Trust::default());
        assert_eq!((none.len(), none[0].verdict), (1, Verdict::Ok));
    }

    #[test]
    fn a_platform_must_write_its_header() {
        let trust = Trust {
            platform: Platform::Cloudflare,
            ..Trust::default()
        };
        for (head, verdict, client) in [
            ("CF-Connecting-IP: 203.0.113.9", Verdict::Ok, "203.0.113.9"),
            (HEAD, Verdict::Failure, "10.0.0.7"),
        ] {
            let told = judge(head, "10.0.0.7".parse().ok(), trust);
            assert_eq!((told.len(), told[0].verdict), (1, verdict), "{head}");
            let client = format!("the client is {client}");
            assert!(told[0].found.contains(&client), "{told:?}");
        }
    }

    #[test]
    fn one_request_is_listened_for() {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let seen = std::thread::spawn(move || one_request(address));
        let mut sent = loop {
            if let Ok(connection) = TcpStream::connect(address) {
                break connection;
            }
        };
        sent.write_all(HEAD.as_bytes()).unwrap();
        let mut answer = String::new();
        sent.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        let (head, peer) = seen.join().unwrap().unwrap();
        assert_eq!(
            (head.as_str(), peer.to_string().as_str()),
            (HEAD, "127.0.0.1")
        );
    }
}
