//! The intake: where an encoded record becomes a promise.

use std::sync::Arc;

use tokio::sync::watch;

use crate::clock::Micros;
use crate::ledger::{Ledger, Origin, Outcome, Rejection};
use crate::log::{self, Log, NewRecord};
use crate::schema::{Kind, SequenceNumber};

use super::dedupe::Dedupe;
use super::origins::Origins;
use super::receipt::{NotKept, Receipt, Refused, Until};
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
    /// Where it is counted where events come from, if anybody asks.
    origins: Option<Arc<Origins>>,
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
            origins: None,
            verdicts: verdicts.filter(|_| acknowledge == Acknowledge::Written),
            until,
            max_record_bytes,
        }
    }

    /// Tells where its events come from.
    #[must_use]
    pub fn telling(mut self, origins: Option<Arc<Origins>>) -> Self {
        self.origins = origins;
        self
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

    /// Counts an event that is wrong and was not encoded.
    pub fn rejected(&self, origin: &Origin<'_>) {
        self.ended(origin, Outcome::Rejected(Rejection::Field));
    }

    /// Counts an event that the configuration does not want.
    pub fn filtered(&self, origin: &Origin<'_>) {
        self.ended(origin, Outcome::Filtered);
    }

    /// Counts an event that is not appended: first where it came from.
    fn ended(&self, origin: &Origin<'_>, outcome: Outcome) {
        if let Some(origins) = &self.origins {
            origins.ended(origin, outcome);
        }
        self.ledger.ended(outcome, 1);
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
        origin: &Origin<'_>,
        now: Micros,
    ) -> Result<Receipt, NotAppended> {
        if payload.len() > self.max_record_bytes {
            self.ended(origin, Outcome::Rejected(Rejection::TooLarge));
            return Err(NotAppended::TooLarge);
        }
        let record = NewRecord {
            kind: Kind::Event,
            key,
            payload,
        };
        let append = || match key {
            Some(key) => self.dedupe.once(key, now, || self.append_record(&record)),
            None => self
                .append_record(&record)
                .map(|appended| (appended, false)),
        };
        let appended = match &self.origins {
            Some(origins) => origins.appending(origin, append),
            None => append(),
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
                self.ended(origin, Outcome::Refused(reason.refusal()));
                Err(NotAppended::Refused(reason))
            }
        }
    }

    /// Appends a client's event and, before it, what the collector adds to it of its own: all in one commit. What is added is counted as synthesised and
    /// decides nothing: what is too large is left out, and where the event is not kept, it was never made.
    ///
    /// # Errors
    /// Why the client's event is not kept; that is counted.
    pub fn append_with(
        &self,
        added: &[(Vec<u8>, u128)],
        payload: &[u8],
        key: Option<u128>,
        origin: &Origin<'_>,
        now: Micros,
    ) -> Result<With, NotAppended> {
        if payload.len() > self.max_record_bytes {
            self.ended(origin, Outcome::Rejected(Rejection::TooLarge));
            return Err(NotAppended::TooLarge);
        }
        let record = |key, payload| NewRecord {
            kind: Kind::Event,
            key,
            payload,
        };
        let added = added
            .iter()
            .filter(|(payload, _)| payload.len() <= self.max_record_bytes);
        let mut records: Vec<_> = added
            .map(|(payload, key)| record(Some(*key), payload))
            .collect();
        records.push(record(key, payload));
        let keys: Vec<_> = records.iter().map(|record| record.key).collect();
        let append = || {
            self.dedupe.each_once(&keys, now, |is_new| {
                // What was added to an event that is here already belongs to the visitor whom its first sending made.
                if is_new.last() == Some(&false) {
                    return Ok(Vec::new());
                }
                let mut is_new = is_new.iter();
                let mut new = records.clone();
                new.retain(|_| is_new.next() == Some(&true));
                self.append_records(&new)
            })
        };
        let appended = match &self.origins {
            Some(origins) => origins.appending_together(origin, append),
            None => append(),
        };
        let appended = appended.map_err(|reason| {
            let reason = Refused::from(reason);
            self.ended(origin, Outcome::Refused(reason.refusal()));
            NotAppended::Refused(reason)
        })?;
        let receipt = |(appended, is_duplicate)| {
            Receipt::new(
                appended,
                self.verdicts.clone(),
                self.until.clone(),
                is_duplicate,
                Arc::clone(&self.ledger),
            )
        };
        let mut added: Vec<_> = appended.into_iter().map(receipt).collect();
        // The log gives as many tickets as it takes records.
        let event = added.pop().ok_or(Refused::Broken)?;
        added.iter().for_each(|_| self.ledger.synthesised());
        Ok(With { event, added })
    }

    fn append_records(&self, records: &[NewRecord<'_>]) -> Result<Vec<Appended>, log::Refused> {
        if records.is_empty() {
            return Ok(Vec::new());
        }
        let append = || self.log.append_together(records);
        match &self.verdicts {
            Some(verdicts) => verdicts.appending_together(records.len(), append),
            None => Ok(append()?
                .together(records.len())
                .map(Appended::from)
                .collect()),
        }
    }

    fn append_record(&self, record: &NewRecord<'_>) -> Result<Appended, log::Refused> {
        match &self.verdicts {
            Some(verdicts) => verdicts.appending(|| self.log.append(record)),
            None => self.log.append(record).map(Appended::from),
        }
    }
}

/// The receipts of an event and of what was added to it.
#[derive(Debug)]
#[must_use = "an event without an answer"]
pub struct With {
    event: Receipt,
    added: Vec<Receipt>,
}

impl With {
    /// The receipt of the event itself.
    pub fn event(&self) -> &Receipt {
        &self.event
    }

    /// Waits until the event is as safe as `acknowledge` asks. What was added is settled with it, and says nothing.
    ///
    /// # Errors
    /// The event is not kept.
    pub async fn settled(self) -> Result<(), NotKept> {
        let result = self.event.settled().await;
        for receipt in self.added {
            // Only counted: the client did not send it.
            drop(receipt.settled().await);
        }
        result
    }
}

impl From<Receipt> for With {
    fn from(receipt: Receipt) -> Self {
        Self {
            event: receipt,
            added: Vec::new(),
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
