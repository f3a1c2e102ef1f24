//! The destinations at start: made of the configuration, asked how far they are, given a delivery.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::clock::Clock;
use crate::config::{Config, DestinationConfig, From, WriterConfig};
use crate::durable::Disk;
use crate::ledger::{Destination, Ledger};
use crate::log::Log;
use crate::pipeline::{Cursor, Cursors, DeadLetter, Delivery, Stop};
use crate::schema::{LogId, SequenceNumber};
#[cfg(feature = "delta")]
use crate::writer::delta::DeltaWriter;
use crate::writer::memory::MemoryWriter;
use crate::writer::{Limits, Writer};

use super::{StartError, Target};

/// How long the start waits for a destination before it goes on without.
const OPEN_TIMEOUT: Duration = Duration::from_secs(5);

/// What a destination said when it was asked at start.
#[derive(Clone, Copy, Debug)]
pub(super) struct Opened {
    is_open: bool,
    pub(super) position: Option<SequenceNumber>,
}

pub(super) async fn positions(targets: &[Target], log_id: LogId) -> Vec<Opened> {
    let mut positions = Vec::new();
    for target in targets {
        let ask = async {
            target.writer.open().await?;
            target.writer.position(log_id).await
        };
        let opened = match tokio::time::timeout(OPEN_TIMEOUT, ask).await {
            Ok(Ok(position)) => Opened {
                is_open: true,
                position,
            },
            Ok(Err(error)) => {
                tracing::error!(destination = target.writer.name(), %error, "destination cannot be opened; events wait in the log");
                Opened {
                    is_open: false,
                    position: None,
                }
            }
            Err(_elapsed) => {
                tracing::error!(
                    destination = target.writer.name(),
                    "destination does not answer; events wait in the log"
                );
                Opened {
                    is_open: false,
                    position: None,
                }
            }
        };
        positions.push(opened);
    }
    positions
}

pub(super) struct Parts<'a> {
    pub(super) config: &'a Config,
    pub(super) disk: &'a Arc<dyn Disk>,
    pub(super) log: &'a Arc<dyn Log>,
    pub(super) cursors: Option<&'a Cursors>,
    pub(super) ledger: &'a Ledger,
}

pub(super) fn delivery(
    parts: &Parts<'_>,
    target: Target,
    opened: Opened,
    stop: watch::Receiver<Stop>,
) -> Result<Delivery, StartError> {
    let name = target.writer.name().to_owned();
    let end = *parts.log.durable().borrow();
    let found = parts
        .cursors
        .map(|cursors| cursors.load(&name))
        .transpose()?
        .flatten();
    let is_new = found.is_none();
    let mut cursor = found.unwrap_or_else(|| {
        let start = match parts.config.from {
            From::Newest => opened.position.unwrap_or(end),
            From::Oldest => opened.position.unwrap_or(parts.log.start()),
        };
        Cursor::beginning(&name, start)
    });
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
    let counts = Arc::new(Destination::new(
        &name,
        position,
        cursor.totals,
        parts.log.durable(),
    ));
    parts.ledger.add_destination(Arc::clone(&counts));
    let dead_letter = DeadLetter::open(
        Arc::clone(parts.disk),
        &parts.config.dead_letter,
        &name,
        parts.log.id(),
        position,
    )?;
    let mut delivery = Delivery {
        writer: target.writer,
        log: Arc::clone(parts.log),
        cursors: parts.cursors.cloned(),
        cursor,
        dead_letter,
        counts,
        config: target.delivery,
        is_open: opened.is_open,
        settled: watch::Sender::new(position),
        stop,
    };
    if let Some(position) = opened.position {
        delivery.begin_at(position);
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

#[cfg_attr(
    not(feature = "delta"),
    expect(unused_variables, reason = "only tables tell the time")
)]
pub(super) fn target(
    destination: &DestinationConfig,
    clock: &Arc<dyn Clock>,
) -> Result<Target, StartError> {
    let writer: Arc<dyn Writer> = match &destination.writer {
        #[cfg(feature = "delta")]
        WriterConfig::Delta(config) => {
            Arc::new(DeltaWriter::new(config.clone(), Arc::clone(clock))?)
        }
        WriterConfig::Memory { rows } => {
            let limits = Limits {
                rows: 10_000,
                bytes: 8 << 20,
                age: Duration::from_millis(500),
                in_flight: 1,
            };
            Arc::new(MemoryWriter::new("rows", limits, *rows, false))
        }
    };
    Ok(Target {
        writer,
        delivery: destination.delivery,
    })
}
