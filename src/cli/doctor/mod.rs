//! `real-streaming doctor`: is the machine, and what the configuration names, as the collector needs it?
//!
//! One line a check: ok, warning or failure, and what to do. It may run beside a collector: it takes no lock, writes no row,
//! and tries only what the configuration names. It mends nothing. It ends with 1 if anything failed.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use crate::app;
use crate::config::{Config, LogConfig, ReferenceConfig};

mod clock;
mod disk;
mod machine;
mod proxies;

/// Arguments of `doctor`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// A file with the headers of a request as it came through your proxies, one `Name: value` a line: tells whose address would
    /// be taken for the client's.
    #[arg(long, value_name = "FILE", conflicts_with = "listen")]
    headers: Option<PathBuf>,
    /// Waits a minute for one request at this address and tells whose address would be taken for the client's. Point the proxy
    /// here for as long.
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Verdict {
    Ok,
    Warning,
    Failure,
}

/// What was looked at, and what was found.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Check {
    verdict: Verdict,
    what: String,
    found: String,
}

impl Check {
    fn new(verdict: Verdict, what: &str, found: impl Into<String>) -> Self {
        Self {
            verdict,
            what: what.to_owned(),
            found: found.into(),
        }
    }

    fn ok(what: &str, found: impl Into<String>) -> Self {
        Self::new(Verdict::Ok, what, found)
    }

    fn warning(what: &str, found: impl Into<String>) -> Self {
        Self::new(Verdict::Warning, what, found)
    }

    fn failure(what: &str, found: impl Into<String>) -> Self {
        Self::new(Verdict::Failure, what, found)
    }
}

pub(super) fn run(arguments: &Arguments, config: &Config) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return super::failed(&error),
    };
    let mut worst = Verdict::Ok;
    let mut tell = |checks: Vec<Check>| {
        for check in checks {
            worst = worst.max(check.verdict);
            let verdict = match check.verdict {
                Verdict::Ok => "ok",
                Verdict::Warning => "warning",
                Verdict::Failure => "failure",
            };
            println!("{verdict:8} {}: {}", check.what, check.found);
        }
    };
    let hands = clock::Hands::now();
    if let LogConfig::Disk(log) = &config.log {
        tell(disk::check(log, config.acknowledge));
    }
    tell(machine::check(config));
    tell(proxies::check(arguments, config.enrich.trust()));
    tell(reference(config));
    let probed = runtime.block_on(app::probe(config));
    tell(probed.into_iter().map(destination).collect());
    let told = runtime.block_on(app::time_at_destination(config));
    tell(clock::check(hands, told));
    runtime.shutdown_background();
    ExitCode::from(u8::from(worst == Verdict::Failure))
}

/// The files that enrichment looks things up in.
fn reference(config: &Config) -> Vec<Check> {
    const WHAT: &str = "enrichment";
    match app::enricher(config) {
        Err(unusable) => vec![Check::failure(WHAT, unusable.to_string())],
        Ok(_) if config.reference == ReferenceConfig::default() => Vec::new(),
        Ok(_) => vec![Check::ok(WHAT, "its files can be read")],
    }
}

fn destination(probed: app::Probed) -> Check {
    match probed.found {
        Ok(found) => Check::ok(&probed.name, found),
        Err(error) => Check::failure(&probed.name, error),
    }
}
