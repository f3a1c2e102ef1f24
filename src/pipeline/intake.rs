//! The intake: where an encoded record becomes a promise.

use std::sync::Arc;

use tokio::sync::watch;

use crate::clock::Micros;
use crate::ledger::{Ledger, Outcome, Rejection};
use crate::log::{self, Log, NewRecord};
use crate::schema::{Kind, SequenceNumber};

use super::dedupe::Dedupe;
use super::receipt::{Receipt, Refused, Until};
use super::verdict::{Appended, Verdicts};

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
    /// Where destinations say what they will never take, if those who wait are to be told.
    verdicts: Option<Arc<Verdicts>>,
    max_record_bytes: usize,
}

impl Intake {
    /// An intake. `required` are the positions of the destinations that `Acknowledge::Written` waits for, `verdicts`
    /// what they say where there is no dead letter; `max_record_bytes` is the largest row that every destination takes.
    pub fn new(
        log: Arc<dyn Log>,
        dedupe: Dedupe,
        ledger: Arc<Ledger>,
        acknowledge: Acknowledge,
        required: Vec<watch::Receiver<SequenceNumber>>,
        verdicts: Option<Arc<Verdicts>>,
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
            verdicts: verdicts.filter(|_| acknowledge == Acknowledge::Written),
            until,
            max_record_bytes,
        }
    }

    /// Whether a request of this size would be taken now. Asked before it is parsed.
    ///
    /// # Errors
    /// Why not.
    pub fn admit(&self, bytes: usize) -> Result<(), Refused> {
        self.log.admit(bytes).map_err(Refused::from)
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
        let append = || self.append_record(&record);
        let appended = match key {
            Some(key) => self.dedupe.once(key, now, append),
            None => append().map(|appended| (appended, false)),
        };
        match appended {
            Ok((appended, is_duplicate)) => Ok(Receipt::new(
                appended,
                self.verdicts.clone(),
                self.until.clone(),
                is_duplicate,
                Arc::clone(&self.ledger),
            )),
            Err(reason) => {
                let reason = Refused::from(reason);
                self.ledger.ended(Outcome::Refused(reason.refusal()), 1);
                Err(NotAppended::Refused(reason))
            }
        }
    }

    fn append_record(&self, record: &NewRecord<'_>) -> Result<Appended, log::Refused> {
        match &self.verdicts {
            Some(verdicts) => verdicts.appending(|| self.log.append(record)),
            None => self.log.append(record).map(Appended::from),
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
