//! The intake's totals, written down beside the log so that they go on after a restart.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::durable::{self, Disk};
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
        match durable::load(self.disk.as_ref(), &self.path, VERSION) {
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                tracing::error!(alarm = "totals_damaged", %error, "totals of earlier processes cannot be read; they begin anew");
                Ok(IntakeTotals::default())
            }
            loaded => Ok(loaded?.unwrap_or_default()),
        }
    }

    /// Writes the totals down. Blocks.
    pub(super) fn store(&self, ledger: &Ledger) {
        let totals = ledger.intake();
        if let Err(error) = durable::store(self.disk.as_ref(), &self.path, &totals, VERSION) {
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
