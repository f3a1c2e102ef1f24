//! The collector's own counts, read from `/metrics` (Prometheus text). The only place here with metric
//! names.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::Failure;

/// The admin token of the collectors that are started here.
pub const TOKEN: &str = "token-of-collectors-in-benches";

/// Answer of one GET: status and body.
///
/// # Errors
/// No whole answer within 5 s.
pub fn get(address: SocketAddr, path: &str) -> Result<(u16, String), Failure> {
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let request = format!(
        "GET {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {TOKEN}\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let status = answer.get(9..12).ok_or("no status")?.parse()?;
    let (_, body) = answer.split_once("\r\n\r\n").ok_or("no body")?;
    Ok((status, body.to_owned()))
}

/// All counts at one moment.
#[derive(Debug)]
pub struct Metrics {
    /// The page as it came.
    pub text: String,
}

impl Metrics {
    /// The counts of the collector at this address.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn read(address: SocketAddr) -> Result<Self, Failure> {
        let (status, text) = get(address, "/metrics")?;
        if status != 200 {
            return Err(format!("/metrics answers {status}").into());
        }
        Ok(Self { text })
    }

    /// Events that are in the log but not yet settled at some destination; `None` if there is no such count.
    pub fn pending(&self) -> Option<f64> {
        self.sum("delivery_pending", "")
    }

    /// Events that are not yet settled at destinations whose name begins so.
    pub fn pending_at(&self, destination: &str) -> Option<f64> {
        self.sum("delivery_pending", &format!("destination=\"{destination}"))
    }

    /// Events appended to the log; `None` if there is no such count.
    pub fn appended(&self) -> Option<f64> {
        self.sum("events_outcome_total", "outcome=\"appended\"")
    }

    /// Bytes that the log holds; `None` if there is no such count.
    pub fn log_bytes(&self) -> Option<f64> {
        self.sum("log_size_bytes", "")
    }

    /// Sum of a family's samples whose labels hold `label`.
    fn sum(&self, family: &str, label: &str) -> Option<f64> {
        let samples = self.text.lines().filter_map(|line| {
            let (name, value) = line.rsplit_once(' ')?;
            let (base, labels) = name.split_once('{').unwrap_or((name, ""));
            let wanted = base == family && labels.contains(label);
            wanted.then(|| value.parse::<f64>().ok()).flatten()
        });
        samples.reduce(|sum, value| sum + value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_what_is_there() {
        let text = "# HELP x y\ndelivery_pending{destination=\"a b\"} 3\ndelivery_pending{destination=\"c\"} 4\n\
                    delivery_pending_total 9\nevents_outcome_total{outcome=\"appended\",reason=\"\"} 7\n";
        let metrics = Metrics {
            text: text.to_owned(),
        };
        assert_eq!(metrics.pending(), Some(7.0));
        assert_eq!(metrics.pending_at("a"), Some(3.0));
        assert_eq!(metrics.appended(), Some(7.0));
        assert_eq!(
            Metrics {
                text: String::new()
            }
            .pending(),
            None
        );
    }
}
