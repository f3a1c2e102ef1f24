//! The assembler: reads the log and cuts batches as large as the writer likes.
//!
//! It runs beside the deliverer and is ahead of it by one batch. Where the log has damage, or an optional
//! destination is too far behind, it says how many records are missing before the batch's end.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::durable::address_of;
use crate::ledger::{DestinationTotals, Trouble};
use crate::log::{Log, Reader};
use crate::schema::{Kind, LogId, Record, SequenceNumber};
use crate::writer::{Batch, Limits, Writer};

use super::delivery::Stop;
use super::replayed::Replayed;

/// A batch that waits for more rows is looked at this often.
const SHORTEST_LOOK: Duration = Duration::from_millis(5);
const LONGEST_LOOK: Duration = Duration::from_millis(100);

/// What the assembler hands over.
#[derive(Clone, Debug)]
pub(super) struct Assembled {
    pub(super) batch: Batch,
    /// Records left out because the dead letter has them, by what an earlier process did.
    pub(super) dead_lettered: Vec<Record>,
    /// Records before the batch's end that cannot be read any more.
    damaged: u64,
    /// Records before the batch that were given up.
    skipped: u64,
    /// Replayed records before the batch's end that are another destination's.
    elsewhere: u64,
}

impl Assembled {
    /// What is counted once `stored` rows of it are stored, besides those that the dead letter took.
    pub(super) fn counted(&self, stored: usize) -> DestinationTotals {
        DestinationTotals {
            stored: stored as u64,
            expired: self.skipped,
            lost: self.damaged,
            elsewhere: self.elsewhere,
            ..DestinationTotals::default()
        }
    }

    /// Leaves out what the dead letter has.
    pub(super) fn leave_out(&mut self, is_dead_lettered: impl Fn(SequenceNumber) -> bool) {
        let records = &mut self.batch.records;
        self.dead_lettered
            .extend(records.extract_if(.., |record| is_dead_lettered(record.sequence)));
    }

    /// Adds what was read, for the destination at `address`: what was replayed for others is only counted.
    fn extend(&mut self, records: Vec<Record>, address: u64) {
        for record in records {
            if record.kind != Kind::Replayed {
                self.batch.records.push(record);
                continue;
            }
            match Replayed::decode(&record.payload) {
                Some(replayed) if replayed.address == address => self.batch.records.push(Record {
                    sequence: record.sequence,
                    kind: replayed.kind,
                    payload: replayed.payload,
                }),
                Some(_) => self.elsewhere += 1,
                None => self.damaged += 1,
            }
        }
    }
}

/// Cuts batches from the log.
pub(super) struct Assembler {
    reader: Option<Box<dyn Reader>>,
    last: SequenceNumber,
    /// Between `last` and this number there was nothing: numbers that were never given.
    barren: SequenceNumber,
    log: Arc<dyn Log>,
    writer: Arc<dyn Writer>,
    log_id: LogId,
    durable: watch::Receiver<SequenceNumber>,
    max_lag: Option<NonZeroU64>,
    stop: watch::Receiver<Stop>,
    name: String,
    /// Its own, by which it tells what was replayed for it.
    address: u64,
    unreadable: Trouble,
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
            barren: last,
            log_id: log.id(),
            durable: log.durable(),
            name: writer.name().to_owned(),
            address: address_of(writer.name()),
            unreadable: Trouble::default(),
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
            previous: None,
        };
        let mut assembled = Assembled {
            batch,
            dead_lettered: Vec::new(),
            damaged: 0,
            skipped,
            elsewhere: 0,
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
            // Asked first: a log that is closed grows no more.
            let is_closed = *self.stop.borrow_and_update() == Stop::AtEnd;
            let durable = *self.durable.borrow_and_update();
            if durable > self.last.max(self.barren) {
                return Some(());
            }
            if is_closed {
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
        report_detached(&self.name, lag);
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
                Ok(chunk) if chunk.last <= self.last => {
                    self.barren = durable;
                    return read_bytes;
                }
                Ok(chunk) => {
                    if self.unreadable.ends() {
                        tracing::info!(destination = self.name, "log can be read again");
                    }
                    self.last = self.last.max(chunk.last);
                    read_bytes += chunk
                        .records
                        .iter()
                        .map(|record| record.payload.len())
                        .sum::<usize>();
                    assembled.damaged += chunk.damaged;
                    assembled.batch.last = self.last;
                    assembled.extend(chunk.records, self.address);
                }
                Err(error) => {
                    if self.unreadable.begins() {
                        tracing::error!(alarm = "log_unreadable", destination = self.name, %error, "log cannot be read");
                    }
                    tokio::time::sleep(LONGEST_LOOK).await;
                    return read_bytes;
                }
            }
        }
    }
}

/// Raises the alarm for an optional destination that records were given up for.
pub(super) fn report_detached(destination: &str, records: u64) {
    tracing::error!(
        alarm = "destination_detached",
        destination,
        records,
        "optional destination is too far behind: records expired for it"
    );
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use uuid::Uuid;

    use crate::clock::Micros;
    use crate::log::{Chunk, NewRecord, Refused, Ticket};
    use crate::writer::memory::MemoryWriter;

    use super::*;

    /// A log whose last numbers were never given.
    #[derive(Debug)]
    struct Gap {
        durable: watch::Sender<SequenceNumber>,
        reads: Arc<AtomicUsize>,
    }

    #[derive(Debug)]
    struct Counting(SequenceNumber, Arc<AtomicUsize>);

    impl Reader for Counting {
        fn read(&mut self, _: usize, _: usize) -> io::Result<Chunk> {
            self.1.fetch_add(1, Ordering::Relaxed);
            Ok(Chunk {
                last: self.0,
                ..Chunk::default()
            })
        }
    }

    impl Log for Gap {
        fn id(&self) -> LogId {
            LogId(Uuid::nil())
        }

        fn admit(&self, _: usize) -> Result<(), Refused> {
            Err(Refused::Closed)
        }

        fn append(&self, _: &NewRecord<'_>) -> Result<Ticket, Refused> {
            Err(Refused::Closed)
        }

        fn append_together(&self, _: &[NewRecord<'_>]) -> Result<Ticket, Refused> {
            Err(Refused::Closed)
        }

        fn durable(&self) -> watch::Receiver<SequenceNumber> {
            self.durable.subscribe()
        }

        fn appended(&self) -> u64 {
            0
        }

        fn failed(&self) -> u64 {
            0
        }

        fn start(&self) -> SequenceNumber {
            SequenceNumber::ZERO
        }

        fn size_bytes(&self) -> u64 {
            0
        }

        fn recent_keys(&self, _: Micros, _: usize) -> io::Result<Vec<(SequenceNumber, u128)>> {
            Ok(Vec::new())
        }

        fn observer(&self) -> Box<dyn Reader> {
            self.reader(self.start())
        }

        fn reader(&self, after: SequenceNumber) -> Box<dyn Reader> {
            Box::new(Counting(after, Arc::clone(&self.reads)))
        }

        fn release(&self, _: SequenceNumber) {}

        fn close(&self) {}
    }

    #[tokio::test]
    async fn numbers_that_were_never_given_are_not_looked_for_again_and_again() {
        let reads = Arc::new(AtomicUsize::new(0));
        let log = Arc::new(Gap {
            durable: watch::Sender::new(SequenceNumber(50)),
            reads: Arc::clone(&reads),
        });
        let limits = Limits {
            rows: 10,
            bytes: 1 << 20,
            age: Duration::from_millis(10),
            in_flight: 1,
        };
        let writer = Arc::new(MemoryWriter::new("a", limits, 10, false));
        let (stop, stopped) = watch::channel(Stop::No);
        let assembler = Assembler::new(log, writer, SequenceNumber(40), None, stopped);
        let (hand_over, mut assembled) = mpsc::channel(1);
        let running = tokio::spawn(assembler.run(hand_over));
        tokio::time::sleep(Duration::from_millis(150)).await;
        stop.send_replace(Stop::AtEnd);
        let mut handed_over = 0;
        let to_the_end = async {
            while let Some(next) = assembled.recv().await {
                assert!(next.batch.records.is_empty());
                handed_over += 1;
            }
        };
        let ended = tokio::time::timeout(Duration::from_secs(10), to_the_end).await;
        running.abort();
        ended.expect("it ends with the log");
        let reads = reads.load(Ordering::Relaxed);
        assert!(
            reads <= 4 && handed_over <= 1,
            "{reads} reads, {handed_over} batches"
        );
    }
}
