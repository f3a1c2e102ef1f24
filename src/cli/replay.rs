//! `real-streaming replay`: sends rows of the dead letters once more to the destinations that rejected them.
//!
//! The collector that runs here does it, and is asked over its admin routes: it owns the log. Rows that were
//! replayed before are not sent again, so the command may be given again at any time.

use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use form_urlencoded::Serializer;
use jiff::Timestamp;
use serde_json::Value;

use crate::clock::{Clock, SystemClock};
use crate::config::Config;

use super::ask::{ask, reachable};

/// How long an answer may take; a request replays for ten seconds at the most.
const PATIENCE: Duration = Duration::from_secs(60);

/// Arguments of `replay`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Only rows rejected since then: a time such as 2026-11-21T08:00:00Z, or how long ago, such as 30m, 2h or 7d.
    #[arg(long)]
    since: Option<String>,
    /// Only rows whose reason contains this text.
    #[arg(long)]
    reason: Option<String>,
    /// Only rows rejected by this destination.
    #[arg(long)]
    destination: Option<String>,
    /// Send nothing; print what waits, by destination and reason.
    #[arg(long)]
    dry_run: bool,
}

pub(super) fn run(arguments: &Arguments, config: &Config) -> ExitCode {
    let Some(token) = &config.admin.token else {
        return super::failed(
            &"the running collector is asked, which needs its token: set ADMIN__TOKEN for both (one that was made up is in the collector's log)",
        );
    };
    let address = config.admin.listen;
    let mut collector = Collector {
        address: reachable(
            address.map_or(config.host, |address| address.ip()),
            address.map_or(config.port, |address| address.port()),
        ),
        token: token.reveal(),
        query: query(arguments),
    };
    let done = if arguments.dry_run {
        collector.list()
    } else {
        collector.replay()
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => super::failed(&error),
    }
}

/// The running collector, and what it is asked about.
struct Collector<'a> {
    address: SocketAddr,
    token: &'a str,
    query: String,
}

impl Collector<'_> {
    fn list(&self) -> io::Result<()> {
        let listed = self.ask("GET", "/api/v1/dead_letters")?;
        println!("count\tfirst\tlast\tdestination\treason");
        for group in listed["dead_letters"].as_array().into_iter().flatten() {
            let text = |name: &str| group[name].as_str().unwrap_or("-");
            println!(
                "{}\t{}\t{}\t{}\t{}",
                group["count"],
                text("first"),
                text("last"),
                text("destination"),
                text("reason")
            );
        }
        Ok(())
    }

    /// Asks until nothing is left.
    fn replay(&mut self) -> io::Result<()> {
        // What is rejected again is not sent again by the same command.
        let now = Timestamp::from_microsecond(SystemClock.now().0).unwrap_or(Timestamp::MAX);
        let mut query = Serializer::new(self.query.clone());
        self.query = query.append_pair("until", &now.to_string()).finish();
        let mut replayed = 0;
        loop {
            let done = self.ask("POST", "/api/v1/dead_letters/replay");
            let done = done.inspect_err(|_| println!("rows replayed before that: {replayed}"))?;
            replayed += done["replayed"].as_u64().unwrap_or_default();
            if done["is_complete"] != false {
                println!("rows replayed: {replayed}");
                let damaged = done["damaged"].as_u64().unwrap_or_default();
                return match damaged {
                    0 => Ok(()),
                    _ => Err(io::Error::other(format!(
                        "{damaged} lines of the dead letters are damaged"
                    ))),
                };
            }
        }
    }

    fn ask(&self, method: &str, path: &str) -> io::Result<Value> {
        let target = format!("{path}?{}", self.query);
        let (status, body) = ask(self.address, method, &target, Some(self.token), PATIENCE)
            .map_err(|error| {
                io::Error::other(format!(
                    "no collector answers at {}, and only a running one can replay: {error}",
                    self.address
                ))
            })?;
        let answer: Value = serde_json::from_str(&body).unwrap_or_default();
        if status == 200 {
            return Ok(answer);
        }
        let message = answer["message"].as_str().unwrap_or_default();
        Err(io::Error::other(format!(
            "the collector answers {status}: {message}"
        )))
    }
}

fn query(arguments: &Arguments) -> String {
    let mut query = Serializer::new(String::new());
    for (name, value) in [
        ("since", &arguments.since),
        ("reason", &arguments.reason),
        ("destination", &arguments.destination),
    ] {
        if let Some(value) = value {
            query.append_pair(name, value);
        }
    }
    query.finish()
}
