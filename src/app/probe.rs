//! What is configured, tried without a collector: can each destination and the dead letter be reached and written to?
//!
//! A destination is opened as at the start of a collector, which makes its table or columns if they are missing; no row is
//! written, no journal or cursor is touched, so it does no harm beside a running collector. A Delta table is not opened, which
//! would begin its upkeep: a small file is put there and deleted. What it finds is told, and judged by whoever asked.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use crate::clock::{Clock, SystemClock};
use crate::config::{Config, DestinationConfig};
use crate::durable::{Disk, RealDisk};
use crate::ledger::one_line;

use super::dead_letters::{Place, place};
use super::destinations::{names, target};

/// How long one may take to answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// A place that was tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probed {
    /// What it is called.
    pub name: String,
    /// What was found, or why it cannot be written to; in one line.
    pub found: Result<String, String>,
}

/// Tries the destinations in their order, then the dead letter.
pub async fn probe(config: &Config) -> Vec<Probed> {
    let names = names(config).unwrap_or_default();
    let mut all = Vec::new();
    for (index, destination) in config.destinations.iter().enumerate() {
        let name = names.get(index).cloned();
        all.push(Probed {
            name: name.unwrap_or_else(|| "destination".to_owned()),
            found: in_time(open(destination)).await,
        });
    }
    all.push(dead_letter(config).await);
    all
}

async fn in_time(trying: impl Future<Output = Result<String, String>>) -> Result<String, String> {
    let tried = tokio::time::timeout(PATIENCE, trying).await;
    tried.unwrap_or_else(|_elapsed| Err(format!("no answer within {PATIENCE:?}")))
}

async fn open(destination: &DestinationConfig) -> Result<String, String> {
    let mut destination = destination.clone();
    match &mut destination.writer {
        #[cfg(feature = "delta")]
        crate::config::WriterConfig::Delta(config) => {
            return match crate::writer::delta::probe(&config.uri).await {
                Ok(true) => Ok("a file was put and deleted; the table is there".to_owned()),
                Ok(false) => Ok("a file was put and deleted; the table will be made".to_owned()),
                Err(error) => Err(one_line(&error)),
            };
        }
        // That of a running collector is its own.
        #[cfg(feature = "bigquery")]
        crate::config::WriterConfig::BigQuery(config) => config.journal = None,
        _ => {}
    }
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let target =
        target(&destination, &SystemClock::shared(), &disk).map_err(|error| one_line(&error))?;
    let opened = target.writer.open().await;
    target.writer.close().await;
    match opened {
        Ok(()) => Ok("it is there and can be opened".to_owned()),
        Err(error) => Err(one_line(&error)),
    }
}

async fn dead_letter(config: &Config) -> Probed {
    let clock: Arc<dyn Clock> = SystemClock::shared();
    match place(&config.dead_letter, None, &clock) {
        Ok(Place::Folder(folder)) => Probed {
            name: format!("dead letter {}", folder.display()),
            found: put_and_delete(&folder).map_err(|error| one_line(&error)),
        },
        Ok(Place::Elsewhere {
            letters, archive, ..
        }) => {
            let trying = async {
                letters.open().await.map_err(|error| one_line(&error))?;
                if let Some(archive) = archive {
                    // Its turn is put and taken away where the place keeps turns, however long it takes: who has it keeps
                    // others from replaying.
                    let claimed = tokio::spawn(async move {
                        let claimed = archive.claim().await;
                        archive.release().await;
                        claimed
                    });
                    let claimed = claimed.await.map_err(|error| one_line(&error))?;
                    claimed.map_err(|error| one_line(&error))?;
                }
                Ok("it is there and can be opened".to_owned())
            };
            Probed {
                name: format!("dead letter {}", letters.name()),
                found: in_time(trying).await,
            }
        }
        Ok(Place::Nowhere) => Probed {
            name: "dead letter".to_owned(),
            found: Ok("none: senders are told what is rejected".to_owned()),
        },
        Err(error) => Probed {
            name: "dead letter".to_owned(),
            found: Err(one_line(&error)),
        },
    }
}

fn put_and_delete(folder: &Path) -> std::io::Result<String> {
    let disk = RealDisk;
    disk.create_dir_all(folder)?;
    let path = folder.join(format!("probe-{}.tmp", Uuid::new_v4().simple()));
    let file = disk.create(&path)?;
    let written = file.write_at(b"probe", 0).and_then(|()| file.sync_data());
    disk.remove(&path)?;
    written.map(|()| "a file was put and deleted".to_owned())
}

/// What an HTTP answer of a destination says of the time, as its `Date` has it, and from where; `None` if no destination tells it.
///
/// # Errors
/// It does not answer.
#[cfg(feature = "bigquery")]
pub async fn time_at_destination(config: &Config) -> Option<Result<(String, String), String>> {
    let place = config
        .destinations
        .iter()
        .find_map(|destination| match &destination.writer {
            crate::config::WriterConfig::BigQuery(config) => Some(config.endpoint.clone()),
            #[cfg(feature = "pubsub")]
            crate::config::WriterConfig::PubSub(config) if config.emulator.is_none() => {
                Some("https://pubsub.googleapis.com".to_owned())
            }
            _ => None,
        })?;
    let asking = async {
        let client = reqwest::Client::builder().timeout(PATIENCE).build()?;
        client.head(&place).send().await
    };
    Some(match asking.await {
        Ok(answer) => match answer.headers().get("date").map(|date| date.to_str()) {
            Some(Ok(date)) => Ok((date.to_owned(), place)),
            _ => Err(format!("{place} does not tell the time")),
        },
        Err(error) => Err(one_line(&error)),
    })
}

/// What an HTTP answer of a destination says of the time: no destination of this build is asked.
#[cfg(not(feature = "bigquery"))]
pub async fn time_at_destination(_: &Config) -> Option<Result<(String, String), String>> {
    None
}
