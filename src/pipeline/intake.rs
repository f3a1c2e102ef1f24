//! The intake: where an encoded record becomes a promise.

use std::sync::Arc;

use tokio::sync::watch;

use crate::clock::Micros;
use crate::ledger::{Ledger, Outcome, Rejection};
use crate::log::{self, Log, NewRecord};
use crate::schema::{Kind, SequenceNumber};

use super::dedupe::Dedupe;
use super::receipt::{Receipt, Refused, Until};

/// What a 2xx says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acknowledge {
    /// It is in the log: fsynced, if the log is on disk.
    Spooled,
    /// Every required destination has it, or its dead letter.
    Written,
    /// It is in memory.
    Queued,
}

/// Appends records and gives out receipts.
#[derive(Debug)]
pub struct Intake {
    log: Arc<dyn Log>,
    dedupe: Dedupe,
    ledger: Arc<Ledger>,
    until: Until,
    max_record_bytes: usize,
}

impl Intake {
    /// An intake. `required` are the positions of the destinations that `Acknowledge::Written` waits for;
    /// `max_record_bytes` is the largest row that every destination takes.
    pub fn new(
        log: Arc<dyn Log>,
        dedupe: Dedupe,
        ledger: Arc<Ledger>,
        acknowledge: Acknowledge,
        required: Vec<watch::Receiver<SequenceNumber>>,
        max_record_bytes: usize,
    ) -> Self {
        let until = match acknowledge {
            Acknowledge::Spooled => Until::Durable,
            Acknowledge::Written => Until::Written(required.into()),
            Acknowledge::Queued => Until::Appended,
        };
        Self {
            log,
            dedupe,
            ledger,
            until,
            max_record_bytes,
        }
    }

    /// Whether a request of this size would be taken now. Asked before it is parsed.
    ///
    /// # Errors
    /// Why not.
    pub fn admit(&self, bytes: usize) -> Result<(), Refused> {
        self.log.admit(bytes).map_err(refused)
    }

    /// The largest record taken, bytes.
    pub fn max_record_bytes(&self) -> usize {
        self.max_record_bytes
    }

    /// The ledger in which this intake's events are counted.
    pub fn ledger(&self) -> &Arc<Ledger> {
        &self.ledger
    }

    /// Appends an encoded event. One with a key that was appended before is not appended again, and
    /// its receipt shares the fate of the first one.
    ///
    /// # Errors
    /// Why it is not kept; that is counted.
    pub fn append(
        &self,
        payload: &[u8],
        key: Option<u128>,
        now: Micros,
    ) -> Result<Receipt, NotAppended> {
        if payload.len() > self.max_record_bytes {
            self.ledger.ended(Outcome::Rejected(Rejection::TooLarge), 1);
            return Err(NotAppended::TooLarge);
        }
        let record = NewRecord {
            kind: Kind::Event,
            key,
            payload,
        };
        let appended = match key {
            Some(key) => self.dedupe.once(key, now, || self.log.append(&record)),
            None => self.log.append(&record).map(|ticket| (ticket, false)),
        };
        match appended {
            Ok((ticket, is_duplicate)) => Ok(Receipt::new(
                ticket,
                self.until.clone(),
                is_duplicate,
                Arc::clone(&self.ledger),
            )),
            Err(reason) => {
                let reason = refused(reason);
                self.ledger.ended(Outcome::Refused(reason.refusal()), 1);
                Err(NotAppended::Refused(reason))
            }
        }
    }
}

/// Why an event was not appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAppended {
    /// It can be sent again later.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// It is larger than a row may be.
    #[error("the event is larger than a row may be")]
    TooLarge,
}

fn refused(reason: log::Refused) -> Refused {
    match reason {
        log::Refused::Full => Refused::Full,
        log::Refused::Busy => Refused::Busy,
        log::Refused::Broken => Refused::Broken,
        log::Refused::Closed => Refused::Stopping,
    }
}
