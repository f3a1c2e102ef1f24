//! `real-streaming health`: does the collector answer that runs here with this configuration?
//!
//! For the health checks of containers, whose images hold no HTTP client. It asks `GET /liveness`, which
//! depends on no destination: whoever restarts what is unhealthy must not restart because a destination is down.

use std::io;
use std::process::ExitCode;
use std::time::Duration;

use crate::config::Config;

use super::ask::{ask, reachable};

/// How long each read may take.
const PATIENCE: Duration = Duration::from_secs(2);

pub(super) fn run(config: &Config) -> ExitCode {
    let address = reachable(config.host, config.port);
    let answered = ask(address, "GET", "/liveness", None, PATIENCE);
    let healthy = answered.and_then(|(status, _)| match status {
        200 => Ok(()),
        status => Err(io::Error::other(format!("it answers {status}"))),
    });
    match healthy {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => super::failed(&format!("{address} is not healthy: {error}")),
    }
}
