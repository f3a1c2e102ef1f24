//! Composition root: configuration → a running collector, and the order in which it comes to an end.
//!
//! The only place that names concrete writers and logs. Start: log, destinations and their positions,
//! dedupe window, listener. End: stop accepting, answer what is in flight, close the log, let the
//! deliveries reach its end, write the totals down; what time does not suffice for is in the log.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::clock::{Clock, SystemClock};
use crate::config::{Config, LogConfig};
#[cfg(feature = "pubsub")]
use crate::consume::Consumer;
use crate::durable::{Disk, RealDisk};
use crate::http::{Admin, Cookie, Routes, Senders, Server, Shared};
use crate::ledger::Ledger;
use crate::live::Live;
use crate::log::Log;
use crate::pipeline::{
    Acknowledge, Book, Dedupe, Delivery, DeliveryConfig, Fates, Intake, Replays, Sent, Stop,
    Unfinished, Verdicts, release_settled,
};
use crate::writer::Writer;
#[cfg(feature = "bigquery")]
use crate::writer::bigquery;

mod book;
mod dead_letters;
mod destinations;
mod devices;
mod log;
mod probe;
mod reference;
mod totals;

pub use destinations::names;
pub use probe::{Probed, probe, time_at_destination};
pub use reference::{Keeper, enricher};

use book::Shelf;
use dead_letters::DeadLetters;
use destinations::{Parts, delivery, report_orphans, target};
use log::{LogCounts, check_file_system, open_log};
use totals::Totals;

/// The largest row that every destination takes; BigQuery's request limit decides.
const MAX_RECORD_BYTES: usize = 9 << 20;

/// How long the totals may take to be written down at the end.
const LAST_WRITE: Duration = Duration::from_millis(500);

/// How long the last rows of the ledger may take at least, when the deliveries have taken all the time there was.
const LAST_ROWS: Duration = Duration::from_secs(1);

/// How often the totals are written down while events come.
const TOTALS_INTERVAL: Duration = Duration::from_secs(5);

/// How finely it is told for how long events have waited.
const LAG_INTERVAL: Duration = Duration::from_secs(1);

/// Why the collector does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The log cannot be opened.
    #[error("log: {0}")]
    Log(#[from] crate::log::disk::OpenError),
    /// The log's folder is in memory, and events are answered once they are in the log.
    #[error(
        "{} is in memory (tmpfs), so nothing there is durable: put LOG__DIR on a disk, or set DELIVERY__ACKNOWLEDGE to written", .0.display()
    )]
    InMemory(std::path::PathBuf),
    /// A cursor cannot be read.
    #[error(transparent)]
    Cursor(#[from] crate::pipeline::CursorFault),
    /// A dead letter cannot be opened.
    #[error(transparent)]
    DeadLetter(#[from] crate::pipeline::DeadLetterFault),
    /// A destination cannot be what the configuration says.
    #[cfg(feature = "delta")]
    #[error("destination: {0}")]
    Delta(#[from] crate::writer::delta::Error),
    /// A destination cannot be written to with what is configured.
    #[error("destination: {0}")]
    Destination(#[from] crate::writer::WriteError),
    /// The totals or keys cannot be read.
    #[error("log folder: {0}")]
    Io(#[from] io::Error),
    /// A file that enrichment looks things up in cannot be used.
    #[error(transparent)]
    Reference(#[from] reference::Unusable),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
}

/// A destination to deliver to.
#[derive(Debug)]
pub struct Target {
    /// Where to.
    pub writer: Arc<dyn Writer>,
    /// How failures are dealt with.
    pub delivery: DeliveryConfig,
}

/// A collector that is ready to run.
#[derive(Debug)]
pub struct App {
    address: SocketAddr,
    /// The page by which to try it, where it is tried.
    first_use: Option<String>,
    server: Server,
    /// The listener of the admin routes, if they have one of their own.
    admin: Option<(SocketAddr, Server)>,
    /// Where the events come from, if not over HTTP.
    #[cfg(feature = "pubsub")]
    consumer: Option<Arc<Consumer>>,
    log: Arc<dyn Log>,
    ledger: Arc<Ledger>,
    live: Arc<Live>,
    deliveries: Vec<Delivery>,
    totals: Option<Totals>,
    /// The rows of the ledger and how often they are written, if any destination keeps them.
    book: Option<(Arc<Book>, Duration)>,
    /// Reads the files again that enrichment looks things up in.
    reference: Keeper,
    stop: watch::Sender<Stop>,
    drain: Duration,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Whether every destination has everything.
    pub is_drained: bool,
}

impl App {
    /// Builds the collector that the configuration says.
    ///
    /// # Errors
    /// Why it cannot start.
    pub async fn build(config: &Config) -> Result<Self, StartError> {
        if let LogConfig::Disk(log) = &config.log {
            check_file_system(&log.dir, config.acknowledge)?;
        }
        let clock = SystemClock::shared();
        let disk: Arc<dyn Disk> = Arc::new(RealDisk);
        let targets = config
            .destinations
            .iter()
            .map(|destination| target(destination, &clock, &disk));
        let targets = targets.collect::<Result<_, _>>()?;
        #[cfg(feature = "bigquery")]
        if let Some(table) = config.subscribed_table.clone() {
            let clock = Arc::clone(&clock);
            // Events need not wait for it: Pub/Sub keeps them.
            tokio::spawn(async move { bigquery::prepare_table(&table, &clock).await });
        }
        Self::build_with(config, targets, disk, clock).await
    }

    /// Builds a collector with these destinations, on this disk, by this clock.
    ///
    /// # Errors
    /// Why it cannot start.
    pub async fn build_with(
        config: &Config,
        targets: Vec<Target>,
        disk: Arc<dyn Disk>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, StartError> {
        let dir = match &config.log {
            LogConfig::Disk(log) => Some(log.dir.clone()),
            LogConfig::Memory { .. } => None,
        };
        let (log, identities, cursors, asked) = open_log(config, &targets, &disk, &clock).await?;
        // Before anything is delivered: the log has forgotten nothing yet.
        let dead_letters =
            DeadLetters::open(config, dir.as_deref(), &disk, &clock, log.as_ref()).await?;
        let totals = dir.as_ref().map(|dir| Totals::new(Arc::clone(&disk), dir));
        let earlier = totals
            .as_ref()
            .map(Totals::load)
            .transpose()?
            .unwrap_or_default();
        let shelf = Shelf::open(config, &targets, &disk)?;
        let ledger = Arc::new(Ledger::new(
            shelf.counted(earlier),
            log.durable().borrow().0,
            dead_letters.replayed()?,
            Arc::new(LogCounts {
                log: Arc::clone(&log),
                max_bytes: config.log.max_bytes(),
            }),
        ));

        let (stop, stopped) = watch::channel(Stop::No);
        let verdicts = Arc::new(Verdicts::default());
        let mut deliveries = Vec::new();
        for (index, (target, asked)) in targets.into_iter().zip(asked).enumerate() {
            let parts = Parts {
                dead_letters: &dead_letters,
                verdicts: &verdicts,
                config,
                log: &log,
                identities: &identities,
                cursors: cursors.as_ref(),
                ledger: &ledger,
                keeps_rows: shelf.keeps_rows(index),
            };
            deliveries.push(delivery(&parts, target, asked, stopped.clone())?);
        }
        report_orphans(cursors.as_ref(), &deliveries)?;

        let required = deliveries
            .iter()
            .filter(|delivery| delivery.config.max_lag.is_none());
        let required = required
            .map(|delivery| delivery.settled.subscribe())
            .collect();
        let dedupe = Dedupe::new(config.dedupe);
        let now = clock.now();
        dedupe.remember(
            log.recent_keys(now.before(config.dedupe.window), config.dedupe.max_entries)?,
            now,
        );
        let origins = shelf.origins();
        let intake = Intake::new(
            Arc::clone(&log),
            dedupe,
            Arc::clone(&ledger),
            config.acknowledge,
            required,
            (!dead_letters.are_kept()).then_some(verdicts),
            MAX_RECORD_BYTES,
        );
        let intake = Arc::new(intake.telling(origins.clone()));
        if config.acknowledge == Acknowledge::Queued {
            tracing::warn!(
                "acknowledge is queued: an event that was answered 2xx is lost if the process dies"
            );
        }

        if config.enrich.keys.is_empty() && config.enrich.session.is_on {
            tracing::info!(
                "no sessions are kept, for there is no key to sign their cookie with: set SESSION__KEYS, the same on all instances"
            );
        }

        #[cfg(feature = "pubsub")]
        let source = config.consume.as_ref().zip(config.dead_letter.folder());
        #[cfg(feature = "pubsub")]
        let consumer = source.map(|(source, folder)| {
            let (intake, clock, disk) =
                (Arc::clone(&intake), Arc::clone(&clock), Arc::clone(&disk));
            Consumer::new(source, intake, clock, disk, folder)
        });
        let searched = dead_letters.searched();
        let (source, journals) = dead_letters.source();
        let replays = Replays {
            log: Arc::clone(&log),
            ledger: Arc::clone(&ledger),
            origins: origins.clone(),
            source,
            journals,
            destinations: deliveries
                .iter()
                .map(|delivery| {
                    (
                        delivery.writer.name().to_owned(),
                        delivery.settled.subscribe(),
                    )
                })
                .collect(),
            is_durable: dir.is_some(),
            sent: Sent::default(),
            turn: tokio::sync::Mutex::new(Unfinished::default()),
        };
        let book = shelf.book(&deliveries, origins, &ledger, &log, &clock);
        let live = Arc::new(Live::new(Arc::clone(&ledger), Arc::clone(&clock)));
        let (enricher, reference) = enricher(config)?;
        let shared = Arc::new(Shared {
            intake,
            enricher,
            ledger: Arc::clone(&ledger),
            clock,
            body: config.body,
            client_hints: config.client_hints,
            cookie: Cookie::new(&config.cookie),
            senders: Senders::new(&config.senders),
            admin: Admin::new(&config.admin),
            fates: Fates::new(
                Arc::clone(&log),
                Arc::clone(&ledger),
                Arc::clone(&disk),
                searched,
            ),
            replays: Arc::new(replays),
            is_trial: config.is_trial,
            live: Arc::clone(&live),
        });
        let address = SocketAddr::new(config.host, config.port);
        let (routes, admin) = match config.admin.listen {
            None => (Routes::All, None),
            Some(address) => {
                let admin = listen(config, address, &shared, Routes::Admin).await?;
                (Routes::Public, Some(admin))
            }
        };
        #[cfg(feature = "pubsub")]
        let routes = match (config.consume.is_some(), &admin) {
            (false, _) => routes,
            (true, None) => Routes::Admin,
            (true, Some(_)) => Routes::Probes,
        };
        let (address, server) = listen(config, address, &shared, routes).await?;
        let first_use = config.is_trial.then(|| {
            // Browsers send no server what is behind the #.
            let token = shared.admin.made_up().map(|token| format!("#{token}"));
            format!(
                "http://localhost:{}/{}",
                address.port(),
                token.unwrap_or_default()
            )
        });
        Ok(Self {
            address,
            first_use,
            server,
            admin,
            #[cfg(feature = "pubsub")]
            consumer: consumer.transpose()?.map(Arc::new),
            log,
            ledger,
            live,
            deliveries,
            totals,
            book: book.zip(config.ledger_interval),
            reference,
            stop,
            drain: config.drain,
        })
    }

    /// The address that it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The address of the admin routes.
    pub fn admin_address(&self) -> SocketAddr {
        self.admin
            .as_ref()
            .map_or(self.address, |(address, _)| *address)
    }

    /// The counts.
    pub fn ledger(&self) -> Arc<Ledger> {
        Arc::clone(&self.ledger)
    }

    /// Runs until `shutdown` resolves, then comes to an end within the time to drain.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> Ended {
        let admin_address = self.admin_address();
        let settled = self
            .deliveries
            .iter()
            .map(|delivery| delivery.settled.subscribe())
            .collect();
        let release = tokio::spawn(release_settled(Arc::clone(&self.log), settled));
        let mut deliveries = JoinSet::new();
        for delivery in self.deliveries {
            deliveries.spawn(delivery.run());
        }
        let keeper = self
            .totals
            .clone()
            .map(|totals| tokio::spawn(totals.keep(Arc::clone(&self.ledger), TOTALS_INTERVAL)));

        // Gone with the run, however that ends.
        let mut booking = JoinSet::new();
        if let Some((book, interval)) = &self.book {
            booking.spawn(Arc::clone(book).keep(*interval));
        }

        booking.spawn(watch_lag(Arc::clone(&self.ledger)));
        booking.spawn(Arc::clone(&self.live).keep_minutes());
        booking.spawn(self.reference.keep());

        // Until the very end, so that the end can be watched.
        let admin = self
            .admin
            .map(|(_, server)| tokio::spawn(server.run(std::future::pending(), Duration::ZERO)));

        tracing::info!(address = %self.address, admin_address = %admin_address, log_id = %self.log.id(), "collector started");
        if let Some(page) = &self.first_use {
            tracing::info!(%page, "to try it, open this page");
        }
        let stop = self.stop;
        #[cfg(feature = "pubsub")]
        let consuming = self
            .consumer
            .map(|consumer| tokio::spawn(consumer.run(stop.subscribe())));
        let deadline = std::sync::OnceLock::new();
        let shutdown = async {
            shutdown.await;
            tracing::info!("stopping");
            // Answers to those who look never end by themselves.
            self.live.close();
            deadline.get_or_init(|| Instant::now() + self.drain);
            stop.send_replace(Stop::Flush);
        };
        self.server.run(shutdown, self.drain.mul_f64(0.4)).await;

        let deadline = deadline
            .get()
            .copied()
            .unwrap_or_else(|| Instant::now() + self.drain);
        #[cfg(feature = "pubsub")]
        if let Some(mut consuming) = consuming {
            let half = deadline.checked_sub(self.drain / 2).unwrap_or(deadline);
            if tokio::time::timeout_at(half, &mut consuming).await.is_err() {
                // What is not acknowledged comes again.
                consuming.abort();
            }
        }
        let log = Arc::clone(&self.log);
        let closing = tokio::task::spawn_blocking(move || log.close());
        match tokio::time::timeout_at(deadline, closing).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "log was not closed"),
            Err(_elapsed) => {
                tracing::error!(
                    alarm = "log_failed",
                    "log could not be closed in time: the disk does not answer"
                );
            }
        }
        stop.send_replace(Stop::AtEnd);
        let reached_end = async { while deliveries.join_next().await.is_some() {} };
        let in_time = tokio::time::timeout_at(deadline, reached_end).await.is_ok();
        release.abort();
        if let Some((book, _)) = &self.book {
            let until = deadline.max(Instant::now() + LAST_ROWS);
            if tokio::time::timeout_at(until, book.finish()).await.is_err() {
                tracing::warn!("the last rows of the ledger were not written in time");
            }
        }
        booking.abort_all();
        if let Some(admin) = admin {
            admin.abort();
        }
        if let Some(keeper) = keeper {
            keeper.abort();
        }
        if let Some(totals) = self.totals {
            let ledger = Arc::clone(&self.ledger);
            let storing = tokio::task::spawn_blocking(move || totals.store(&ledger));
            if tokio::time::timeout(LAST_WRITE, storing).await.is_err() {
                tracing::error!("totals were not written down: the disk does not answer");
            }
        }
        let is_drained = in_time
            && self
                .ledger
                .destinations()
                .iter()
                .all(|destination| destination.pending() == 0);
        let intake = self.ledger.intake();
        tracing::info!(
            is_drained,
            received = intake.received,
            appended = intake.appended,
            balances = intake.balances(),
            "collector stopped"
        );
        Ended { is_drained }
    }
}

/// Listens on an address; the one that it came to, and the server.
async fn listen(
    config: &Config,
    address: SocketAddr,
    shared: &Arc<Shared>,
    routes: Routes,
) -> Result<(SocketAddr, Server), StartError> {
    let fault = |source| StartError::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(fault)?;
    let address = listener.local_addr().map_err(fault)?;
    let server = Server::new(
        listener,
        crate::http::router(Arc::clone(shared), routes),
        Arc::clone(&shared.ledger),
        &config.cors,
        config.server,
    );
    Ok((address, server))
}

/// Takes note of how far behind the destinations are, for ever.
async fn watch_lag(ledger: Arc<Ledger>) {
    loop {
        for destination in ledger.destinations() {
            destination.note_lag(Instant::now());
        }
        tokio::time::sleep(LAG_INTERVAL).await;
    }
}

/// The folder that the process works in.
pub fn working_folder() -> &'static Path {
    Path::new(".")
}
