//! The destinations at start: made of the configuration, asked how far they are, given a delivery.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use uuid::Uuid;

use crate::clock::Clock;
use crate::config::{Config, DestinationConfig, From, WriterConfig};
use crate::durable::Disk;
use crate::ledger::{Destination, Ledger};
use crate::log::Log;
use crate::pipeline::{Cursor, Cursors, Delivery, Stop, Told, Verdicts};
use crate::schema::{LogId, SequenceNumber};
#[cfg(feature = "bigquery")]
use crate::writer::bigquery::BigQueryWriter;
#[cfg(feature = "delta")]
use crate::writer::delta::DeltaWriter;
use crate::writer::memory::MemoryWriter;
#[cfg(feature = "pubsub")]
use crate::writer::pubsub::PubSubWriter;
use crate::writer::{Limits, Writer};

use super::dead_letters::DeadLetters;
use super::{StartError, Target};

/// How long the start waits for a destination before it goes on without.
const OPEN_TIMEOUT: Duration = Duration::from_secs(5);

/// A destination after it was asked at start.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    /// Its cursor, begun if it had none.
    cursor: Cursor,
    is_new: bool,
    /// What it said; `None` if it cannot be opened now.
    pub(super) told: Option<Told>,
}

impl Asked {
    /// The log, which ended at `end`, was renewed: what the destination holds beyond is of another life.
    pub(super) fn renewed(&mut self, end: SequenceNumber) {
        if let Some(told) = &mut self.told
            && told.position == Some(end)
            && told.beyond.is_some()
        {
            // Between the two there are no numbers in this life.
            told.position = told.beyond;
        }
    }
}

/// Opens the destinations and asks how far they are in the log, which ends at `end`. The identities of the log, newest first.
pub(super) async fn ask(
    targets: &[Target],
    identities: &[LogId],
    end: SequenceNumber,
    cursors: Option<&Cursors>,
) -> Result<Vec<Asked>, StartError> {
    let oldest = identities.last().copied().unwrap_or(LogId(Uuid::nil()));
    let mut all = Vec::new();
    for target in targets {
        let name = target.writer.name();
        let found = cursors.map(|cursors| cursors.load(name)).transpose()?;
        let found = found.flatten();
        let is_new = found.is_none();
        let mut cursor = found.unwrap_or_else(|| Cursor::beginning(name, oldest, end));
        // Until it has answered: what was appended since then it cannot have.
        cursor.unheard_since = Some(cursor.unheard_since.map_or(end.0, |since| since.min(end.0)));
        let asking = async {
            target.writer.open().await?;
            Told::by(target.writer.as_ref(), identities, &cursor).await
        };
        let told = match tokio::time::timeout(OPEN_TIMEOUT, asking).await {
            Ok(Ok(told)) => Some(told),
            Ok(Err(error)) => {
                tracing::error!(destination = name, %error, "destination cannot be opened; events wait in the log");
                None
            }
            Err(_elapsed) => {
                tracing::error!(
                    destination = name,
                    "destination does not answer; events wait in the log"
                );
                None
            }
        };
        all.push(Asked {
            cursor,
            is_new,
            told,
        });
    }
    Ok(all)
}

pub(super) struct Parts<'a> {
    pub(super) dead_letters: &'a DeadLetters,
    pub(super) verdicts: &'a Arc<Verdicts>,
    pub(super) config: &'a Config,
    pub(super) log: &'a Arc<dyn Log>,
    pub(super) identities: &'a [LogId],
    pub(super) cursors: Option<&'a Cursors>,
    pub(super) ledger: &'a Ledger,
    /// Whether it keeps rows of the ledger.
    pub(super) keeps_rows: bool,
}

pub(super) fn delivery(
    parts: &Parts<'_>,
    target: Target,
    asked: Asked,
    stop: watch::Receiver<Stop>,
) -> Result<Delivery, StartError> {
    let name = target.writer.name().to_owned();
    let Asked {
        mut cursor,
        is_new,
        told,
    } = asked;
    if is_new {
        let start = match parts.config.from {
            From::Newest => *parts.log.durable().borrow(),
            From::Oldest => parts.log.start(),
        };
        let start = told.and_then(|told| told.position).unwrap_or(start);
        // What the log has forgotten was never for this cursor.
        let start = start.max(parts.log.start());
        (cursor.start, cursor.position) = (start.0, start.0);
        let before = start.0.saturating_sub(parts.log.start().0);
        if before > 0 {
            // It may also be an old one whose cursor somebody has removed.
            tracing::warn!(
                destination = name,
                records = before,
                "the destination has no cursor and begins behind records that the log holds; they are not delivered to it"
            );
        }
    }
    // What the log forgot (another log's cursor, a restored copy) can only be counted.
    let forgotten = parts.log.start().0.saturating_sub(cursor.position);
    if forgotten > 0 && !is_new {
        tracing::error!(
            alarm = "log_gap",
            destination = name,
            records = forgotten,
            "the log does not reach back to the cursor"
        );
        cursor.position += forgotten;
        cursor.totals.lost += forgotten;
    }
    let position = SequenceNumber(cursor.position);
    let counts = Destination::new(&name, position, cursor.totals, parts.log.durable());
    let counts = Arc::new(match parts.keeps_rows {
        true => counts.with_tally(),
        false => counts,
    });
    parts.ledger.add_destination(Arc::clone(&counts));
    let verdicts = if target.delivery.max_lag.is_some() {
        // Nobody waits for an optional destination.
        Arc::default()
    } else {
        Arc::clone(parts.verdicts)
    };
    let log = parts.log.as_ref();
    let dead_letter = parts.dead_letters.of(&name, log, position, verdicts)?;
    let mut delivery = Delivery {
        writer: target.writer,
        log: Arc::clone(parts.log),
        identities: parts.identities.to_vec(),
        cursors: parts.cursors.cloned(),
        cursor,
        dead_letter,
        counts,
        config: target.delivery,
        is_open: told.is_some(),
        settled: watch::Sender::new(position),
        stop,
    };
    if let Some(told) = told {
        delivery.heard(told.position);
    }
    // A cursor that a crash could forget would make the destination a new one, which begins at the end.
    if let Some(cursors) = parts.cursors {
        cursors.store(&delivery.cursor)?;
    }
    Ok(delivery)
}

pub(super) fn report_orphans(
    cursors: Option<&Cursors>,
    deliveries: &[Delivery],
) -> Result<(), StartError> {
    let Some(cursors) = cursors else {
        return Ok(());
    };
    for cursor in cursors.all()? {
        if !deliveries
            .iter()
            .any(|delivery| delivery.writer.name() == cursor.destination)
        {
            tracing::warn!(
                destination = cursor.destination,
                position = cursor.position,
                "a cursor has no destination any more; `real-streaming log forget` drops it"
            );
        }
    }
    Ok(())
}

/// What the destination in memory is called.
const IN_MEMORY: &str = "rows";

/// The names of the configured destinations, by which their cursors are known. Asks none of them.
///
/// # Errors
/// One cannot be what the configuration says.
pub fn names(config: &Config) -> Result<Vec<String>, StartError> {
    let name = |destination: &DestinationConfig| {
        Ok(match &destination.writer {
            #[cfg(feature = "delta")]
            WriterConfig::Delta(config) => config.name()?,
            #[cfg(feature = "bigquery")]
            WriterConfig::BigQuery(config) => config.name(),
            #[cfg(feature = "pubsub")]
            WriterConfig::PubSub(config) => config.name(),
            WriterConfig::Memory { .. } => format!("memory:{IN_MEMORY}"),
        })
    };
    config.destinations.iter().map(name).collect()
}

#[cfg_attr(
    not(all(feature = "bigquery", feature = "delta")),
    expect(
        unused_variables,
        reason = "only tables tell the time, only journals need the disk"
    )
)]
pub(super) fn target(
    destination: &DestinationConfig,
    clock: &Arc<dyn Clock>,
    disk: &Arc<dyn Disk>,
) -> Result<Target, StartError> {
    let writer: Arc<dyn Writer> = match &destination.writer {
        #[cfg(feature = "delta")]
        WriterConfig::Delta(config) => {
            Arc::new(DeltaWriter::new(config.clone(), Arc::clone(clock))?)
        }
        #[cfg(feature = "bigquery")]
        WriterConfig::BigQuery(config) => Arc::new(BigQueryWriter::new(config, disk, clock)?),
        #[cfg(feature = "pubsub")]
        WriterConfig::PubSub(config) => Arc::new(PubSubWriter::new(config.clone())?),
        WriterConfig::Memory { rows } => {
            let limits = Limits {
                rows: 10_000,
                bytes: 8 << 20,
                age: Duration::from_millis(500),
                in_flight: 1,
            };
            Arc::new(MemoryWriter::new(IN_MEMORY, limits, *rows, false))
        }
    };
    Ok(Target {
        writer,
        delivery: destination.delivery,
    })
}
