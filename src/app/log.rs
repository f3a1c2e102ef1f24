//! Opens the log: on a disk that keeps what is synced, under an identity that is its alone.

use std::path::Path;
use std::sync::Arc;

use crate::clock::Clock;
use crate::config::{Config, LogConfig};
use crate::durable::{Disk, FileSystem, RealDisk};
use crate::ledger;
use crate::log::{DiskLog, Log, MemoryLog};
use crate::pipeline::{Acknowledge, Cursors};
use crate::schema::{LogId, SequenceNumber};

use super::destinations::{Asked, ask};
use super::{StartError, Target};

/// A sync proves something only where it reaches a disk.
pub(super) fn check_file_system(dir: &Path, acknowledge: Acknowledge) -> Result<(), StartError> {
    RealDisk.create_dir_all(dir)?;
    match FileSystem::of(dir)? {
        FileSystem::Disk => {}
        FileSystem::Memory if acknowledge == Acknowledge::Spooled => {
            return Err(StartError::InMemory(dir.to_owned()));
        }
        other => tracing::warn!(
            file_system = ?other,
            dir = %dir.display(),
            "the log lies on a file system that may forget what was synced"
        ),
    }
    Ok(())
}

/// What is open once the destinations were asked.
pub(super) type OpenLog = (Arc<dyn Log>, Vec<LogId>, Option<Cursors>, Vec<Asked>);

/// Opens the log and asks the destinations how far they are in it. A destination or a cursor ahead of the
/// log means that the log was rewound or cloned: it goes on under a new identity, behind all numbers in use. So does a
/// copy, beside which the first may give the same numbers.
pub(super) async fn open_log(
    config: &Config,
    targets: &[Target],
    disk: &Arc<dyn Disk>,
    clock: &Arc<dyn Clock>,
) -> Result<OpenLog, StartError> {
    let disk_config = match &config.log {
        LogConfig::Disk(disk_config) => disk_config,
        LogConfig::Memory { max_bytes } => {
            let log: Arc<dyn Log> = Arc::new(MemoryLog::new(*max_bytes));
            let identities = vec![log.id()];
            let asked = ask(targets, &identities, SequenceNumber::ZERO, None).await?;
            return Ok((log, identities, None, asked));
        }
    };
    let (log, report) = DiskLog::open(disk_config.clone(), Arc::clone(disk), Arc::clone(clock))?;
    tracing::info!(?report, "log opened");
    let cursors = Cursors::open(Arc::clone(disk), &disk_config.dir.join("cursors"))?;
    let end = *log.durable().borrow();
    let mut asked = ask(targets, &log.identities(), end, Some(&cursors)).await?;
    let told = asked.iter().filter_map(|asked| asked.told?.beyond);
    let settled = cursors.all()?;
    let settled = settled.iter().map(|cursor| SequenceNumber(cursor.position));
    let ahead = told.chain(settled.filter(|position| *position > end)).max();
    let is_copied = log.is_copied()?;
    if let Some(used) = ahead.or(is_copied.then_some(end)) {
        log.renew(used)?;
        asked.iter_mut().for_each(|asked| asked.renewed(end));
    }
    log.settle_here()?;
    let identities = log.identities();
    Ok((Arc::new(log), identities, Some(cursors), asked))
}

/// What the ledger asks the log.
pub(super) struct LogCounts {
    pub(super) log: Arc<dyn Log>,
    pub(super) max_bytes: u64,
}

impl ledger::LogCounts for LogCounts {
    fn appended(&self) -> u64 {
        self.log.appended()
    }

    fn failed(&self) -> u64 {
        self.log.failed()
    }

    fn size_bytes(&self) -> u64 {
        self.log.size_bytes()
    }

    fn max_bytes(&self) -> u64 {
        self.max_bytes
    }
}
