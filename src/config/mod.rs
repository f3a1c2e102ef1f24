//! Configuration: the environment → each floor's own checked `Config`. The only reader of the environment.
//!
//! `APP_CONFIG__SECTION__KEY` from the process environment, `src/.env` or `.env`, in that order of
//! precedence; names are case-insensitive. All faults are found at once, each naming its variable; values
//! are never shown in a fault.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use crate::http::{
    AdminConfig, BodyLimits, ClientHintsPolicy, CookieConfig, CorsConfig, SendersConfig,
    ServerConfig,
};
use crate::pipeline::{Acknowledge, DedupeConfig, DeliveryConfig};
use crate::{enrich, log};

mod dead_letter;
mod enrichment;
mod file;
mod http;
#[cfg(feature = "pubsub")]
mod pubsub;
mod read;
mod reader;
pub mod variables;
mod visitors;
mod writers;

pub use dead_letter::DeadLetterConfig;
pub use enrichment::ReferenceConfig;
pub use reader::Fault;
use variables::{PREFIX, VARIABLES};

/// The configuration is wrong; these are all the faults.
#[derive(Debug, thiserror::Error)]
#[error("the configuration has {} fault(s):\n{}", .0.len(), list(.0))]
pub struct Invalid(pub Vec<Fault>);

fn list(faults: &[Fault]) -> String {
    faults
        .iter()
        .map(|fault| format!("  {fault}"))
        .collect::<Vec<_>>()
        .join("\n")
}

/// How logs are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json {
        /// The project on Google Cloud to which traces belong.
        project: Option<String>,
    },
}

/// Which log.
#[derive(Clone, Debug)]
pub enum LogConfig {
    /// Segments on disk.
    Disk(log::disk::Config),
    /// A ring of at most this many bytes.
    Memory {
        /// Most bytes held.
        max_bytes: u64,
    },
}

impl LogConfig {
    /// Most bytes held.
    pub fn max_bytes(&self) -> u64 {
        match self {
            Self::Disk(disk) => disk.max_bytes,
            Self::Memory { max_bytes } => *max_bytes,
        }
    }
}

/// One destination.
#[derive(Clone, Debug)]
pub enum WriterConfig {
    /// Delta Lake.
    #[cfg(feature = "delta")]
    Delta(crate::writer::delta::Config),
    /// Pub/Sub.
    #[cfg(feature = "pubsub")]
    PubSub(crate::writer::pubsub::Config),
    /// BigQuery.
    #[cfg(feature = "bigquery")]
    BigQuery(crate::writer::bigquery::Config),
    /// Memory.
    Memory {
        /// Rows kept.
        rows: usize,
    },
}

/// A destination and what it means for the others.
#[derive(Clone, Debug)]
pub struct DestinationConfig {
    /// Where to.
    pub writer: WriterConfig,
    /// How failures are dealt with, and whether it may fall behind.
    pub delivery: DeliveryConfig,
}

/// Where a destination that is new to the log begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// With what comes from now on.
    Newest,
    /// With all that the log still holds.
    Oldest,
}

/// The whole configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// How logs are written.
    pub log_format: LogFormat,
    /// Whether the collector is tried out.
    pub is_trial: bool,
    /// Address to listen on.
    pub host: IpAddr,
    /// Port to listen on; 0 for a free one.
    pub port: u16,
    /// Time to deliver what is left after a stop signal.
    pub drain: Duration,
    /// Limits of connections and requests.
    pub server: ServerConfig,
    /// Limits of request bodies.
    pub body: BodyLimits,
    /// Who may send.
    pub senders: SendersConfig,
    /// Who may see what the collector knows.
    pub admin: AdminConfig,
    /// Which sites' scripts may read answers.
    pub cors: CorsConfig,
    /// Which client hints browsers are asked for.
    pub client_hints: ClientHintsPolicy,
    /// How the cookie of browsers is set.
    pub cookie: CookieConfig,
    /// The log.
    pub log: LogConfig,
    /// What a 2xx says.
    pub acknowledge: Acknowledge,
    /// The dedupe window.
    pub dedupe: DedupeConfig,
    /// The destinations, at least one.
    pub destinations: Vec<DestinationConfig>,
    /// The table behind the topic, to be made if it is missing; `None` where BigQuery is a destination itself or not named.
    #[cfg(feature = "bigquery")]
    pub subscribed_table: Option<crate::writer::bigquery::Config>,
    /// The subscription whose messages are the events; `None` where they come over HTTP.
    #[cfg(feature = "pubsub")]
    pub consume: Option<crate::consume::Config>,
    /// Where new destinations begin.
    pub from: From,
    /// How often rows of the ledger are written; `None` for never.
    pub ledger_interval: Option<Duration>,
    /// Where rows go that a destination will never take.
    pub dead_letter: DeadLetterConfig,
    /// The patterns by which devices are told.
    pub device_data: DeviceData,
    /// The list of networks of data centres.
    pub data_centres: Option<std::path::PathBuf>,
    /// Enrichment.
    pub enrich: enrich::Config,
    /// The files that it looks things up in.
    pub reference: ReferenceConfig,
}

/// Where the patterns are by which devices are told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeviceData {
    /// Beside the program, or in the folder of data; it may be missing.
    Usual,
    /// Nowhere.
    None,
    /// In this file.
    File(std::path::PathBuf),
}

/// The variables in the process environment and in the files `.env` and `src/.env` below `folder`.
///
/// # Errors
/// A file that is there cannot be read or understood.
#[expect(
    clippy::disallowed_methods,
    reason = "config is the only reader of the environment"
)]
pub fn environment(folder: &Path) -> Result<BTreeMap<String, String>, Invalid> {
    let mut values = BTreeMap::new();
    let mut faults = Vec::new();
    for file in [".env", "src/.env"] {
        let path = folder.join(file);
        if !path.exists() {
            continue;
        }
        let fault = |message: String| Fault {
            variable: file.to_owned(),
            message,
        };
        match file::lines(&path) {
            Ok(lines) => {
                for line in lines {
                    match line {
                        Ok((name, value)) => drop(values.insert(name.to_uppercase(), value)),
                        Err(dotenvy::Error::LineParse(_, column)) => {
                            faults
                                .push(fault(format!("a line is not NAME=value (column {column})")));
                        }
                        Err(error) => faults.push(fault(error.to_string())),
                    }
                }
            }
            Err(error) => faults.push(fault(error.to_string())),
        }
    }
    if !faults.is_empty() {
        return Err(Invalid(faults));
    }
    for (name, value) in std::env::vars_os() {
        if let (Some(name), Some(value)) = (name.to_str(), value.to_str()) {
            values.insert(name.to_uppercase(), value.to_owned());
        }
    }
    Ok(values)
}

/// The variables as they are in force, one `NAME=value` a line. Secrets that are set are shown as `***`.
pub fn effective(values: &BTreeMap<String, String>) -> String {
    let mut text = String::new();
    for variable in VARIABLES {
        let name = format!("{PREFIX}{}", variable.name);
        let value =
            values
                .get(&name)
                .filter(|value| !value.is_empty())
                .map_or(variable.default, |value| {
                    if variable.is_secret { "***" } else { value }
                });
        text.push_str(&format!("{name}={value}\n"));
    }
    text
}

#[cfg(test)]
mod tests;
