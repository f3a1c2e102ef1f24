//! The intake's totals, written down beside the log so that they go on after a restart.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::durable::{self, Disk, NewerVersion};
use crate::ledger::{IntakeTotals, Ledger};

/// The version of the format that this program writes, and the newest that it reads.
const VERSION: u32 = 1;

/// The file of totals.
#[derive(Clone, Debug)]
pub(super) struct Totals {
    disk: Arc<dyn Disk>,
    path: PathBuf,
}

impl Totals {
    pub(super) fn new(disk: Arc<dyn Disk>, folder: &Path) -> Self {
        Self {
            disk,
            path: folder.join("totals.json"),
        }
    }

    /// The totals of earlier processes; none if there were none. A damaged file costs counts, not events.
    pub(super) fn load(&self) -> io::Result<IntakeTotals> {
        match self.disk.read(&self.path) {
            Ok(bytes) => match durable::unseal(&bytes, VERSION) {
                Err(error) if NewerVersion::is_in(&error) => Err(io::Error::new(
                    error.kind(),
                    format!("{}: {error}", self.path.display()),
                )),
                read => Ok(read.unwrap_or_else(|error| {
                    tracing::error!(alarm = "totals_damaged", %error, "totals of earlier processes cannot be read; they begin anew");
                    IntakeTotals::default()
                })),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(IntakeTotals::default()),
            Err(error) => Err(error),
        }
    }

    /// Writes the totals down. Blocks.
    pub(super) fn store(&self, ledger: &Ledger) {
        let stored = durable::seal(&ledger.intake(), VERSION)
            .and_then(|bytes| durable::replace(self.disk.as_ref(), &self.path, &bytes));
        if let Err(error) = stored {
            tracing::warn!(%error, "totals were not written down");
        }
    }

    /// Writes the totals down whenever they changed, for ever.
    pub(super) async fn keep(self, ledger: Arc<Ledger>, interval: Duration) {
        let mut stored = ledger.intake();
        loop {
            tokio::time::sleep(interval).await;
            let now = ledger.intake();
            if now == stored {
                continue;
            }
            stored = now;
            let (totals, ledger) = (self.clone(), Arc::clone(&ledger));
            if tokio::task::spawn_blocking(move || totals.store(&ledger))
                .await
                .is_err()
            {
                tracing::error!("totals were not written down");
            }
        }
    }
}
