//! The assembler: reads the log and cuts batches as large as the writer likes.
//!
//! It runs beside the deliverer and is ahead of it by one batch. Where the log has damage, or an optional
//! destination is too far behind, it says how many records are missing before the batch's end.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::ledger::DestinationTotals;
use crate::log::{Log, Reader};
use crate::schema::{LogId, SequenceNumber};
use crate::writer::{Batch, Limits, Writer};

use super::delivery::Stop;

/// A batch that waits for more rows is looked at this often.
const SHORTEST_LOOK: Duration = Duration::from_millis(5);
const LONGEST_LOOK: Duration = Duration::from_millis(100);

/// What the assembler hands over.
#[derive(Clone, Debug)]
pub(super) struct Assembled {
    pub(super) batch: Batch,
    /// Records before the batch's end that cannot be read any more.
    damaged: u64,
    /// Records before the batch that were given up.
    skipped: u64,
}

impl Assembled {
    /// What is counted once `stored` rows of it are stored and `dead_lettered` are in the dead letter.
    pub(super) fn counted(&self, stored: usize, dead_lettered: usize) -> DestinationTotals {
        DestinationTotals {
            stored: stored as u64,
            dead_lettered: dead_lettered as u64,
            expired: self.skipped,
            lost: self.damaged,
        }
    }
}

/// Cuts batches from the log.
pub(super) struct Assembler {
    reader: Option<Box<dyn Reader>>,
    last: SequenceNumber,
    log: Arc<dyn Log>,
    writer: Arc<dyn Writer>,
    log_id: LogId,
    durable: watch::Receiver<SequenceNumber>,
    max_lag: Option<NonZeroU64>,
    stop: watch::Receiver<Stop>,
    name: String,
}

impl Assembler {
    /// Begins after `last`.
    pub(super) fn new(
        log: Arc<dyn Log>,
        writer: Arc<dyn Writer>,
        last: SequenceNumber,
        max_lag: Option<NonZeroU64>,
        stop: watch::Receiver<Stop>,
    ) -> Self {
        Self {
            reader: Some(log.reader(last)),
            last,
            log_id: log.id(),
            durable: log.durable(),
            name: writer.name().to_owned(),
            max_lag,
            stop,
            log,
            writer,
        }
    }

    /// Hands over batches until the end of a closed log.
    pub(super) async fn run(mut self, hand_over: mpsc::Sender<Assembled>) {
        loop {
            // No batch is begun before there is room for it: memory holds one in waiting, not two.
            let Ok(room) = hand_over.reserve().await else {
                return;
            };
            let Some(assembled) = self.assemble().await else {
                return;
            };
            room.send(assembled);
        }
    }

    /// The next batch; `None` at the end of a closed log.
    async fn assemble(&mut self) -> Option<Assembled> {
        self.more_than_read().await?;
        let skipped = self.skip_lag();
        let limits = self.writer.limits();
        let batch = Batch {
            log_id: self.log_id,
            records: Vec::new(),
            last: self.last,
        };
        let mut assembled = Assembled {
            batch,
            damaged: 0,
            skipped,
        };
        let mut bytes = 0;
        let begun = Instant::now();
        loop {
            bytes += self.read_into(&mut assembled, &limits, bytes).await;
            let is_full = assembled.batch.records.len() >= limits.rows || bytes >= limits.bytes;
            let waited = begun.elapsed();
            if is_full || waited >= limits.age || *self.stop.borrow() != Stop::No {
                return Some(assembled);
            }
            let look = (limits.age / 8)
                .clamp(SHORTEST_LOOK, LONGEST_LOOK)
                .min(limits.age - waited);
            tokio::select! {
                () = tokio::time::sleep(look) => {}
                _ = self.stop.changed() => {}
            }
        }
    }

    /// Waits until the log holds more than was read; `None` if it never will.
    async fn more_than_read(&mut self) -> Option<()> {
        loop {
            let durable = *self.durable.borrow_and_update();
            if durable > self.last {
                return Some(());
            }
            if *self.stop.borrow_and_update() == Stop::AtEnd {
                return None;
            }
            tokio::select! {
                changed = self.durable.changed() => if changed.is_err() {
                    return None;
                },
                changed = self.stop.changed() => if changed.is_err() {
                    return None;
                },
            }
        }
    }

    /// Skips to the end if an optional destination is too far behind. How many records were skipped.
    fn skip_lag(&mut self) -> u64 {
        let Some(max_lag) = self.max_lag else {
            return 0;
        };
        let durable = *self.durable.borrow();
        let lag = durable.0 - self.last.0;
        if lag <= max_lag.get() {
            return 0;
        }
        tracing::error!(
            alarm = "destination_detached",
            destination = self.name,
            records = lag,
            "optional destination is too far behind: records expired for it"
        );
        self.last = durable;
        self.reader = Some(self.log.reader(durable));
        lag
    }

    /// Reads what there is, up to the limits. Returns the payload bytes read.
    async fn read_into(
        &mut self,
        assembled: &mut Assembled,
        limits: &Limits,
        bytes: usize,
    ) -> usize {
        let mut read_bytes = 0;
        loop {
            let rows_left = limits.rows.saturating_sub(assembled.batch.records.len());
            let bytes_left = limits.bytes.saturating_sub(bytes + read_bytes);
            let durable = *self.durable.borrow_and_update();
            let Some(mut reader) = self.reader.take() else {
                return read_bytes;
            };
            if rows_left == 0 || bytes_left == 0 || durable <= self.last {
                self.reader = Some(reader);
                return read_bytes;
            }
            let read = tokio::task::spawn_blocking(move || {
                let chunk = reader.read(rows_left, bytes_left);
                (reader, chunk)
            });
            let Ok((reader, chunk)) = read.await else {
                self.reader = Some(self.log.reader(self.last));
                return read_bytes;
            };
            self.reader = Some(reader);
            match chunk {
                Ok(chunk) => {
                    self.last = self.last.max(chunk.last);
                    read_bytes += chunk
                        .records
                        .iter()
                        .map(|record| record.payload.len())
                        .sum::<usize>();
                    assembled.damaged += chunk.damaged;
                    assembled.batch.last = self.last;
                    assembled.batch.records.extend(chunk.records);
                }
                Err(error) => {
                    tracing::error!(alarm = "log_unreadable", destination = self.name, %error, "log cannot be read");
                    tokio::time::sleep(LONGEST_LOOK).await;
                    return read_bytes;
                }
            }
        }
    }
}
