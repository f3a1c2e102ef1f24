//! A delivery: takes records from the log to one writer, in order, until they are settled there.
//!
//! Two halves. The assembler reads the log and cuts batches as large as the writer likes; the deliverer
//! keeps up to `limits().in_flight` of them going. The cursor follows the longest finished prefix; a
//! failure drains what is in flight and goes back to the first batch that is not settled. Rows that the
//! destination will never take go to the dead letter first, durably, then the cursor moves.
//! It gives nothing up by itself, except what an optional destination has fallen too far behind of:
//! the assembler skips it where batches still go through, [`Delivery::run`] where none does.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::FuturesOrdered;
use futures_util::{FutureExt, StreamExt};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::durable::address_of;
use crate::ledger::{Destination, DestinationTotals};
use crate::log::Log;
use crate::schema::{LogId, SequenceNumber};
use crate::writer::{Batch, RowFault, WriteError, Writer};

use super::assembler::{Assembled, Assembler, report_detached};
use super::attribute::{attribute, without};
use super::backoff::DeliveryConfig;
use super::cursor::{Cursor, Cursors};
use super::dead_letter::DeadLetter;
use super::replayed::replayed_after;
use super::told::Told;

/// Tells deliveries to come to an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stop {
    /// Go on.
    No,
    /// Send what there is without waiting for more.
    Flush,
    /// The log is closed: end when its end is reached.
    AtEnd,
}

/// Takes records from the log to one writer.
#[derive(Debug)]
pub struct Delivery {
    /// The destination.
    pub writer: Arc<dyn Writer>,
    /// The log.
    pub log: Arc<dyn Log>,
    /// Where the cursor is kept; `None` with a memory log.
    pub cursors: Option<Cursors>,
    /// The identities that the log has had, newest first.
    pub identities: Vec<LogId>,
    /// The cursor as it was found or begun.
    pub cursor: Cursor,
    /// Where rows go that the destination will never take.
    pub dead_letter: DeadLetter,
    /// The counts of this destination.
    pub counts: Arc<Destination>,
    /// How it deals with failure.
    pub config: DeliveryConfig,
    /// Whether the writer was opened already.
    pub is_open: bool,
    /// Told after each settled batch.
    pub settled: watch::Sender<SequenceNumber>,
    /// When to come to an end.
    pub stop: watch::Receiver<Stop>,
}

/// Resolves when an optional destination is too far behind and has settled nothing for the longest backoff.
async fn stuck(
    mut durable: watch::Receiver<SequenceNumber>,
    mut settled: watch::Receiver<SequenceNumber>,
    config: DeliveryConfig,
) {
    let Some(max_lag) = config.max_lag else {
        return std::future::pending().await;
    };
    loop {
        let position = *settled.borrow_and_update();
        let is_behind = |end: &SequenceNumber| end.0 > position.0 + max_lag.get();
        let is_closed = async { durable.wait_for(is_behind).await.is_err() };
        tokio::select! {
            is_closed = is_closed => if is_closed {
                return std::future::pending().await;
            },
            _ = settled.changed() => continue,
        }
        if tokio::time::timeout(config.backoff_max, settled.changed())
            .await
            .is_err()
        {
            return;
        }
    }
}

/// What a stored row counts.
const STORED: DestinationTotals = DestinationTotals {
    stored: 1,
    dead_lettered: 0,
    rejected: 0,
    expired: 0,
    lost: 0,
    elsewhere: 0,
};

type Ended = (Arc<Assembled>, Result<(), WriteError>);
type Attempt = BoxFuture<'static, Ended>;

impl Delivery {
    /// Delivers until it is told to stop and the end of the log is reached. Cancel it to stop at once:
    /// what is not settled is delivered at the next start.
    pub async fn run(mut self) {
        loop {
            let stuck = stuck(self.log.durable(), self.settled.subscribe(), self.config);
            tokio::select! {
                () = self.attend() => break,
                () = stuck => self.detach(),
            }
        }
        self.writer.close().await;
    }

    async fn attend(&mut self) {
        if !self.open().await {
            return;
        }
        let assembler = Assembler::new(
            Arc::clone(&self.log),
            Arc::clone(&self.writer),
            SequenceNumber(self.cursor.position),
            self.config.max_lag,
            self.stop.clone(),
        );
        let (hand_over, assembled) = mpsc::channel(1);
        let assembler = tokio::spawn(assembler.run(hand_over));
        self.deliver(assembled).await;
        assembler.abort();
    }

    /// Gives up what an optional destination has not taken, so that the log need not hold it. An attempt
    /// that is under way is let go of: its rows may be there all the same.
    fn detach(&mut self) {
        let (position, end) = (
            SequenceNumber(self.cursor.position),
            *self.log.durable().borrow(),
        );
        let dead_lettered = self.dead_letter.known_between(position, end);
        let expired = end.0 - position.0 - dead_lettered;
        report_detached(self.writer.name(), expired);
        self.settle_to(
            end,
            DestinationTotals {
                expired,
                dead_lettered,
                ..DestinationTotals::default()
            },
        );
    }

    /// Opens the writer, as often as it takes. False if it was told to stop before that.
    async fn open(&mut self) -> bool {
        let mut failures = 0;
        while !self.is_open {
            let error = match self.open_once().await {
                Ok(()) => {
                    self.is_open = true;
                    self.worked();
                    return true;
                }
                Err(error) => error,
            };
            self.counts.failed(&error);
            let wait = self.config.wait_after(&error, failures);
            self.report(&error, 0, wait);
            failures += 1;
            if !self.pause(wait).await {
                return false;
            }
        }
        true
    }

    async fn open_once(&mut self) -> Result<(), WriteError> {
        self.writer.open().await?;
        let told = Told::by(self.writer.as_ref(), &self.identities, &self.cursor).await?;
        if let Some(beyond) = told.beyond {
            // Until then nothing is lost: the log keeps the records, and the cursor since when it is unheard.
            return Err(WriteError::fatal(format!(
                "alarm log_rewound: the destination holds number {beyond} of this log from a life that the log does not remember; restart the collector, it then goes on under a new log id"
            )));
        }
        self.heard(told.position);
        Ok(())
    }

    /// The destination has told its position, if it has one; it counts where it is ahead of the cursor:
    /// rows that were written in an act that the cursor did not live to see.
    pub fn heard(&mut self, position: Option<SequenceNumber>) {
        self.cursor.log_id = self.log.id();
        self.cursor.unheard_since = None;
        let cursor = SequenceNumber(self.cursor.position);
        let position = position.unwrap_or(cursor).max(cursor);
        let dead_lettered = self.dead_letter.known_between(cursor, position);
        let elsewhere = self.elsewhere_between(cursor, position);
        self.settle_to(
            position,
            DestinationTotals {
                stored: position.0 - cursor.0 - dead_lettered - elsewhere,
                dead_lettered,
                elsewhere,
                ..DestinationTotals::default()
            },
        );
    }

    /// How many records in `(after, through]` were replayed for another destination, as far as the log still holds them.
    fn elsewhere_between(&self, after: SequenceNumber, through: SequenceNumber) -> u64 {
        if after == through {
            return 0;
        }
        let own = address_of(self.writer.name());
        let mut elsewhere = 0;
        let read = tokio::task::block_in_place(|| {
            replayed_after(self.log.as_ref(), after, |sequence, replayed| {
                elsewhere += u64::from(replayed.address != own && sequence <= through);
            })
        });
        if let Err(error) = read {
            tracing::error!(alarm = "log_unreadable", destination = self.writer.name(), %error, "log cannot be read");
        }
        elsewhere
    }

    async fn deliver(&mut self, mut assembled: mpsc::Receiver<Assembled>) {
        let mut running: FuturesOrdered<Attempt> = FuturesOrdered::new();
        let mut is_assembling = true;
        let mut newest = None;
        while is_assembling || !running.is_empty() {
            let has_room = running.len() < self.writer.limits().in_flight.max(1);
            tokio::select! {
                next = assembled.recv(), if is_assembling && has_room => match next {
                    Some(mut next) => {
                        // A crash came between the dead letter and the cursor: the destination may take now what it refused.
                        next.leave_out(|sequence| self.dead_letter.knows(sequence));
                        next.batch.previous = newest.filter(|_| !running.is_empty());
                        let row = next.batch.records.last().map(|record| record.sequence);
                        newest = row.or(newest);
                        running.push_back(self.attempt(Arc::new(next)));
                    }
                    None => is_assembling = false,
                },
                Some(ended) = running.next(), if !running.is_empty() => {
                    if !self.finish(ended, &mut running).await {
                        return;
                    }
                }
            }
        }
    }

    fn attempt(&self, assembled: Arc<Assembled>) -> Attempt {
        let writer = Arc::clone(&self.writer);
        Box::pin(async move {
            let result = if assembled.batch.records.is_empty() {
                Ok(())
            } else {
                writer.write(&assembled.batch).await
            };
            (assembled, result)
        })
    }

    /// Settles the first batch in flight, and with it those behind it that are stored too. After a failure: drains the
    /// rest, then settles one after the other. False if it was told to stop before that.
    async fn finish(&mut self, ended: Ended, running: &mut FuturesOrdered<Attempt>) -> bool {
        let (mut last, mut counted) = (None, DestinationTotals::default());
        let mut next = Some(ended);
        while let Some((assembled, Ok(()))) = &next {
            last = Some(assembled.batch.last);
            counted += self.stored(assembled);
            next = running.next().now_or_never().flatten();
        }
        if let Some(last) = last {
            self.settle_to(last, counted);
        }
        let Some((first, Err(error))) = next else {
            return true;
        };
        let mut rest = Vec::new();
        while let Some(ended) = running.next().await {
            rest.push(ended);
        }
        if !self.settle(&first, Some(error)).await {
            return false;
        }
        for (assembled, result) in rest {
            let is_settled = match result {
                Ok(()) => {
                    let counted = self.stored(&assembled);
                    self.settle_to(assembled.batch.last, counted);
                    true
                }
                // It may only have failed because the one before it did.
                Err(_) => self.settle(&assembled, None).await,
            };
            if !is_settled {
                return false;
            }
        }
        true
    }

    /// Writes one batch until it is settled, beginning with how the last attempt failed.
    /// False if it was told to stop before that.
    async fn settle(&mut self, assembled: &Assembled, mut error: Option<WriteError>) -> bool {
        let mut batch = assembled.batch.clone();
        batch.previous = None;
        let mut failures = 0;
        loop {
            let Some(failed) = error.take() else {
                if !batch.records.is_empty()
                    && let Err(failed) = self.writer.write(&batch).await
                {
                    error = Some(failed);
                    continue;
                }
                self.worked();
                attribute(&self.counts, batch.records.iter(), STORED);
                let refused = without(&assembled.batch.records, &batch.records);
                let refused = refused.chain(&assembled.dead_lettered);
                attribute(&self.counts, refused, self.dead_letter.counted(1));
                let counted = self.counted(assembled, batch.records.len());
                self.settle_to(batch.last, counted);
                return true;
            };
            self.counts.failed(&failed);
            if let WriteError::Rejected(faults) = &failed
                && self.divert(&mut batch, faults).await
            {
                failures = 0;
                continue;
            }
            let wait = self.config.wait_after(&failed, failures);
            self.report(&failed, batch.records.len(), wait);
            failures += 1;
            if !self.pause(wait).await {
                return false;
            }
        }
    }

    /// Moves rejected rows to the dead letter. False if the dead letter cannot take them now.
    async fn divert(&mut self, batch: &mut Batch, faults: &[RowFault]) -> bool {
        let trouble = &self.counts.troubles().dead_letter;
        if let Err(error) = self.dead_letter.take(batch, faults).await {
            self.counts.explain(&format_args!("dead letter: {error}"));
            if trouble.begins() {
                tracing::error!(alarm = "dead_letter_unwritable", destination = self.writer.name(), %error, "dead letter cannot be written");
            }
            return false;
        }
        if trouble.ends() {
            tracing::info!(
                destination = self.writer.name(),
                "dead letter can be written again"
            );
        }
        for fault in faults {
            tracing::warn!(
                destination = self.writer.name(),
                sequence = fault.sequence.0,
                reason = fault.reason,
                "{}",
                self.dead_letter.says()
            );
        }
        let before = batch.records.len();
        batch
            .records
            .retain(|record| !faults.iter().any(|fault| fault.sequence == record.sequence));
        before - batch.records.len() == faults.len()
    }

    /// As what a batch counts that is stored whole.
    fn stored(&self, assembled: &Assembled) -> DestinationTotals {
        self.worked();
        attribute(&self.counts, assembled.batch.records.iter(), STORED);
        let dead_lettered = assembled.dead_lettered.iter();
        attribute(&self.counts, dead_lettered, self.dead_letter.counted(1));
        self.counted(assembled, assembled.batch.records.len())
    }

    /// As what a batch counts of which so many rows were handed to the writer in the end.
    fn counted(&self, assembled: &Assembled, remaining: usize) -> DestinationTotals {
        let refused = assembled.batch.records.len() - remaining;
        let mut counted = assembled.counted(remaining);
        counted += self
            .dead_letter
            .counted(refused + assembled.dead_lettered.len());
        counted
    }

    fn settle_to(&mut self, last: SequenceNumber, counted: DestinationTotals) {
        self.advance(last, counted);
        self.dead_letter.settled(last);
        if let Some(cursors) = &self.cursors
            && let Err(error) = tokio::task::block_in_place(|| cursors.store(&self.cursor))
        {
            // The destination or its duplicates tell the position at the next start; the log keeps the records.
            if self.counts.troubles().cursor.begins() {
                tracing::error!(alarm = "cursor_unwritable", destination = self.writer.name(), %error, "cursor cannot be written");
            }
            return;
        }
        if self.counts.troubles().cursor.ends() {
            tracing::info!(
                destination = self.writer.name(),
                "cursor can be written again"
            );
        }
        self.counts.stored_durably();
        self.settled.send_replace(last);
    }

    fn advance(&mut self, position: SequenceNumber, counted: DestinationTotals) {
        self.cursor.position = position.0;
        self.cursor.totals += counted;
        self.counts.settled(counted, position);
    }

    /// The destination took what it was given.
    fn worked(&self) {
        self.counts.succeeded();
        if self.counts.troubles().refused.ends() {
            tracing::info!(
                destination = self.writer.name(),
                "destination takes rows again"
            );
        }
    }

    /// An attempt failed: tells why, with an alarm when that begins to be what only the operator can mend.
    fn report(&self, error: &WriteError, rows: usize, wait: Duration) {
        let (destination, retry_in_ms) = (self.writer.name(), wait.as_millis() as u64);
        let is_fatal = matches!(error, WriteError::Fatal(_));
        if is_fatal && self.counts.troubles().refused.begins() {
            tracing::error!(
                alarm = "destination_refuses", destination, %error, rows, retry_in_ms,
                "destination takes nothing until the operator has mended that; events wait in the log"
            );
            return;
        }
        tracing::warn!(destination, %error, rows, retry_in_ms, "destination did not take what it was given");
    }

    /// Waits. False if there is no sense in waiting because the process stops.
    async fn pause(&mut self, wait: Duration) -> bool {
        let until = Instant::now() + wait;
        loop {
            // While the process drains, another attempt is worth making as long as it comes soon.
            let is_stopping = *self.stop.borrow_and_update() != Stop::No;
            if is_stopping && wait > Duration::from_secs(2) {
                return false;
            }
            tokio::select! {
                () = tokio::time::sleep_until(until) => return true,
                changed = self.stop.changed() => if changed.is_err() {
                    return false;
                },
            }
        }
    }
}
