//! The book: what the ledger counts, as rows in a table at each destination that keeps one.
//!
//! Every interval, and at the end, what was counted since is booked on the destination's page, and what waits there is
//! sent. A page holds its rows until the table has them, however long that takes, and is durable before they are
//! sent where the log is; so the rows of a table add up to the totals over any crash. Nothing here holds up an event: a
//! table that fails is told once and tried again at the next interval.
//!
//! Which events are counted how is the ledger's to say, and what the rows are in a table its writer's.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::Notify;

use crate::clock::Clock;
use crate::ledger::{Destination, Ledger, Trouble};
use crate::log::Log;
use crate::schema::SequenceNumber;
use crate::writer::{LedgerBatch, LedgerTable};

use super::origins::Origins;

mod folder;
mod outbox;
mod page;

pub use folder::{Found, PageFolder};
pub use page::Page;
use page::Standing;

/// A commit is counted a moment before it is told.
const TOLD: Duration = Duration::from_millis(10);

/// How long a table may take for a batch.
const WRITE_TIMEOUT: Duration = Duration::from_secs(120);

/// A destination whose rows are kept.
#[derive(Debug)]
pub struct Booked {
    /// Its table.
    pub table: Arc<dyn LedgerTable>,
    /// Its counts.
    pub counts: Arc<Destination>,
    /// Where its cursor began.
    pub start: SequenceNumber,
    /// Its page, if an earlier process has left one.
    pub page: Found,
}

/// See the module.
#[derive(Debug)]
pub struct Book {
    ledger: Arc<Ledger>,
    origins: Arc<Origins>,
    log: Arc<dyn Log>,
    clock: Arc<dyn Clock>,
    accounts: Vec<Account>,
    /// Held while counts are booked.
    booking: tokio::sync::Mutex<()>,
}

/// One destination.
#[derive(Debug)]
struct Account {
    table: Arc<dyn LedgerTable>,
    counts: Arc<Destination>,
    page: Mutex<Page>,
    /// Where the page is kept; `None` with a memory log.
    folder: Option<PageFolder>,
    /// Whether the page is as it was stored: what is not must not be sent, or a crash would book it again.
    is_stored: AtomicBool,
    /// The page cannot be stored.
    unwritable: Trouble,
    /// The table takes nothing.
    failing: Trouble,
    /// Held while rows are sent.
    turn: tokio::sync::Mutex<()>,
    nudge: Notify,
}

impl Book {
    /// The book of these destinations, with its pages in `folder`.
    pub fn new(
        ledger: Arc<Ledger>,
        origins: Arc<Origins>,
        log: Arc<dyn Log>,
        clock: Arc<dyn Clock>,
        destinations: Vec<Booked>,
        folder: Option<&PageFolder>,
    ) -> Self {
        let (now, end) = (clock.now(), log.durable().borrow().0);
        let intake = ledger.intake();
        let account = |booked: Booked| {
            let standing = Standing {
                destination: booked.counts.name(),
                start: booked.start.0,
                end,
                intake,
            };
            let page = match booked.page {
                Found::Page(page) => page.going_on(standing, now),
                Found::Nothing => Page::beginning(standing, now),
                Found::Damaged => {
                    let settled = booked.counts.durable();
                    Page::beginning(standing, now).through(intake, settled)
                }
            };
            Account {
                page: Mutex::new(page),
                table: booked.table,
                counts: booked.counts,
                folder: folder.cloned(),
                is_stored: AtomicBool::new(false),
                unwritable: Trouble::default(),
                failing: Trouble::default(),
                turn: tokio::sync::Mutex::new(()),
                nudge: Notify::new(),
            }
        };
        let accounts = destinations.into_iter().map(account).collect();
        Self {
            ledger,
            origins,
            log,
            clock,
            accounts,
            booking: tokio::sync::Mutex::new(()),
        }
    }

    /// Books and sends every `interval`, for ever, beginning with what a crash left.
    pub async fn keep(self: Arc<Self>, interval: Duration) {
        let booking = async {
            loop {
                self.book().await;
                self.accounts
                    .iter()
                    .for_each(|account| account.nudge.notify_one());
                tokio::time::sleep(interval).await;
            }
        };
        // Each for itself: one that hangs holds up none of the others.
        let sending = self.accounts.iter().map(|account| async {
            loop {
                account.nudge.notified().await;
                self.send(account).await;
            }
        });
        tokio::join!(booking, join_all(sending));
    }

    /// Books and sends what is left. To be called when nothing is counted any more.
    pub async fn finish(&self) {
        self.book().await;
        let finishing = self.accounts.iter().map(|account| async {
            self.send(account).await;
            account.table.close().await;
        });
        join_all(finishing).await;
    }

    /// Books what was counted.
    async fn book(&self) {
        let _booking = self.booking.lock().await;
        // In this order: what was counted has its origin by then.
        let intake = self.ledger.intake();
        let delivered: Vec<_> = self
            .accounts
            .iter()
            .map(|account| account.counts.durable())
            .collect();
        tokio::time::sleep(TOLD).await;
        let origins = self.origins.take();
        let now = self.clock.now();
        for (account, delivered) in self.accounts.iter().zip(delivered) {
            let settled = account.counts.take_tally();
            let id = self.log.id();
            account.change(|page| page.book((intake, &origins), (delivered, &settled), id, now));
        }
    }

    /// Sends all that is booked, until the table fails.
    async fn send(&self, account: &Account) {
        let _turn = account.turn.lock().await;
        while let Some(batch) = account.next() {
            let written = tokio::time::timeout(WRITE_TIMEOUT, account.table.write(&batch)).await;
            let failure = match written {
                Ok(Ok(())) => None,
                Ok(Err(error)) => Some(error.to_string()),
                Err(elapsed) => Some(elapsed.to_string()),
            };
            account.report(failure.as_deref());
            if failure.is_some() {
                return;
            }
            let (id, now) = (self.log.id(), self.clock.now());
            account.change(|page| {
                page.sent(batch.number, id, now);
                true
            });
        }
    }
}

impl Account {
    /// Changes the page, and stores it if `change` says that it did.
    fn change(&self, change: impl FnOnce(&mut Page) -> bool) {
        let stored = tokio::task::block_in_place(|| {
            let mut page = self.page();
            let is_as_stored = !change(&mut page) && self.is_stored.load(Ordering::Acquire);
            let stored = match &self.folder {
                Some(folder) if !is_as_stored => folder.store(&page),
                _ => Ok(()),
            };
            self.is_stored.store(stored.is_ok(), Ordering::Release);
            stored
        });
        let is_stored = stored.is_ok();
        if let Err(error) = stored
            && self.unwritable.begins()
        {
            tracing::error!(alarm = "ledger_unwritable", destination = self.counts.name(), %error, "rows of the ledger cannot be written down; they wait in memory");
        }
        if is_stored && self.unwritable.ends() {
            let destination = self.counts.name();
            tracing::info!(destination, "rows of the ledger can be written down again");
        }
    }

    /// The batch to be sent next, if there is one that may be sent.
    fn next(&self) -> Option<LedgerBatch> {
        let page = self.page();
        let is_stored = self.is_stored.load(Ordering::Acquire);
        page.batch().filter(|_| is_stored)
    }

    /// Tells once that the table fails, and once that it does not any more.
    fn report(&self, failure: Option<&str>) {
        let destination = self.counts.name();
        match failure {
            Some(error) if self.failing.begins() => tracing::error!(
                alarm = "ledger_unwritable",
                destination,
                error,
                "rows of the ledger cannot be written into its table; they wait, events are not held up"
            ),
            None if self.failing.ends() => {
                tracing::info!(destination, "rows of the ledger are written again");
            }
            _ => {}
        }
    }

    fn page(&self) -> MutexGuard<'_, Page> {
        self.page.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
