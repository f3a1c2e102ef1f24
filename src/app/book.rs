//! The book at start: which destinations keep rows of the ledger, and what earlier processes have left of their pages.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::clock::Clock;
use crate::config::{Config, LogConfig};
use crate::durable::Disk;
use crate::ledger::{IntakeTotals, Ledger, Outcomes as _};
use crate::log::Log;
use crate::pipeline::{Book, Booked, Delivery, Found, Origins, PageFolder};
use crate::schema::SequenceNumber;
use crate::writer::LedgerTable;

use super::{StartError, Target};

/// What the book is made of.
#[derive(Debug)]
pub(super) struct Shelf {
    /// `None` with a memory log.
    folder: Option<PageFolder>,
    pages: BTreeMap<String, Found>,
    /// Of each destination, in their order.
    tables: Vec<Option<Arc<dyn LedgerTable>>>,
}

impl Shelf {
    pub(super) fn open(
        config: &Config,
        targets: &[Target],
        disk: &Arc<dyn Disk>,
    ) -> Result<Self, StartError> {
        if config.ledger_interval.is_none() {
            return Ok(Self {
                folder: None,
                pages: BTreeMap::new(),
                tables: targets.iter().map(|_| None).collect(),
            });
        }
        let tables = targets.iter().map(|target| target.writer.ledger());
        let folder = match &config.log {
            LogConfig::Disk(log) => {
                Some(PageFolder::open(Arc::clone(disk), &log.dir.join("ledger"))?)
            }
            LogConfig::Memory { .. } => None,
        };
        let names = targets.iter().map(|target| target.writer.name());
        let pages = folder.as_ref().map(|folder| folder.load(names));
        Ok(Self {
            pages: pages.transpose()?.unwrap_or_default(),
            folder,
            tables: tables.collect::<Result<_, _>>()?,
        })
    }

    /// What earlier processes have counted: what was booked, they have.
    pub(super) fn counted(&self, earlier: IntakeTotals) -> IntakeTotals {
        self.pages
            .values()
            .fold(earlier, |earlier, found| match found {
                Found::Page(page) => earlier.at_least(page.intake()),
                Found::Nothing | Found::Damaged => earlier,
            })
    }

    /// Whether the destination at this place in their order keeps rows.
    pub(super) fn keeps_rows(&self, index: usize) -> bool {
        self.tables.get(index).is_some_and(Option::is_some)
    }

    /// Where the intake counts where events come from; `None` if no destination keeps rows.
    pub(super) fn origins(&self) -> Option<Arc<Origins>> {
        self.tables.iter().any(Option::is_some).then(Arc::default)
    }

    /// The book of these destinations; `None` if none keeps rows.
    pub(super) fn book(
        mut self,
        deliveries: &[Delivery],
        origins: Option<Arc<Origins>>,
        ledger: &Arc<Ledger>,
        log: &Arc<dyn Log>,
        clock: &Arc<dyn Clock>,
    ) -> Option<Arc<Book>> {
        let kept = self.tables.into_iter().zip(deliveries);
        let booked = kept.filter_map(|(table, delivery)| {
            Some(Booked {
                table: table?,
                counts: Arc::clone(&delivery.counts),
                start: SequenceNumber(delivery.cursor.start),
                page: self
                    .pages
                    .remove(delivery.writer.name())
                    .unwrap_or_default(),
            })
        });
        let booked = booked.collect();
        Some(Arc::new(Book::new(
            Arc::clone(ledger),
            origins?,
            Arc::clone(log),
            Arc::clone(clock),
            booked,
            self.folder.as_ref(),
        )))
    }
}
