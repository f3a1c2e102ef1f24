//! What a destination says against a row for which there is no dead letter, told to whoever waits for its answer.
//!
//! Only where a 2xx says that the destinations have the event: then nothing was promised, and the receipt resolves
//! as rejected. A verdict is there before the destination's position passes the row, and is held by whoever may ask
//! for it: the receipt, and the dedupe window, for which a rejected event counts as never seen.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use crate::log::{CommitError, Refused, Ticket};
use crate::schema::SequenceNumber;

/// Why a destination will never take a row, if one has said so.
#[derive(Clone, Debug, Default)]
pub struct Verdict(Arc<OnceLock<String>>);

impl Verdict {
    /// The reason of the first destination that rejected the row.
    pub(super) fn reason(&self) -> Option<&str> {
        self.0.get().map(String::as_str)
    }
}

/// An appended record, and what may still be said against it.
#[derive(Clone, Debug)]
pub struct Appended {
    /// Its number and commit.
    pub ticket: Ticket,
    /// `None` where a rejected row has a dead letter, or nobody waits for the destinations.
    pub verdict: Option<Verdict>,
}

impl Appended {
    /// Whether it is known to be nowhere.
    pub(super) fn is_void(&self) -> bool {
        let is_rejected = self.verdict.as_ref().is_some_and(|v| v.reason().is_some());
        is_rejected || self.ticket.commit.result() == Some(Err(CommitError))
    }
}

impl From<Ticket> for Appended {
    fn from(ticket: Ticket) -> Self {
        Self {
            ticket,
            verdict: None,
        }
    }
}

/// The rows whose senders wait.
#[derive(Debug, Default)]
pub struct Verdicts {
    waiting: Mutex<HashMap<u64, Verdict>>,
}

fn known(waiting: &mut HashMap<u64, Verdict>, ticket: Ticket) -> Appended {
    let verdict = Verdict::default();
    waiting.insert(ticket.sequence.0, verdict.clone());
    Appended {
        ticket,
        verdict: Some(verdict),
    }
}

impl Verdicts {
    /// Appends, so that no destination can be asked before the record is known here.
    pub(super) fn appending(
        &self,
        append: impl FnOnce() -> Result<Ticket, Refused>,
    ) -> Result<Appended, Refused> {
        let mut waiting = self.waiting();
        let ticket = append()?;
        Ok(known(&mut waiting, ticket))
    }

    /// The same of so many records, of which `append` gives the first one's ticket.
    pub(super) fn appending_together(
        &self,
        count: usize,
        append: impl FnOnce() -> Result<Ticket, Refused>,
    ) -> Result<Vec<Appended>, Refused> {
        let mut waiting = self.waiting();
        let first = append()?;
        Ok(first
            .together(count)
            .map(|ticket| known(&mut waiting, ticket))
            .collect())
    }

    /// A destination will never take this row.
    pub(super) fn reject(&self, sequence: SequenceNumber, reason: &str) {
        if let Some(verdict) = self.waiting().get(&sequence.0) {
            verdict.0.get_or_init(|| reason.to_owned());
        }
    }

    /// Nobody waits for this row any more.
    pub(super) fn forget(&self, sequence: SequenceNumber) {
        self.waiting().remove(&sequence.0);
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<u64, Verdict>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
