//! What an endpoint awaits before it answers.
//!
//! A receipt that is dropped before it was settled (its request broke off, or took too long) is watched
//! to its end in the background and counted: nothing leaves the ledger because nobody waited.

use std::sync::Arc;

use tokio::sync::watch;

use crate::ledger::{Ledger, Outcome, Refusal};
use crate::log::{self, CommitError, Ticket};
use crate::schema::SequenceNumber;

use super::verdict::{Appended, Verdicts};

/// Why an event is not kept now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The log holds as much as it may.
    #[error("the log is full")]
    Full,
    /// More waits for the disk than may.
    #[error("the log cannot keep up")]
    Busy,
    /// The disk failed.
    #[error("the log cannot be written")]
    Broken,
    /// The process is stopping.
    #[error("the collector is stopping")]
    Stopping,
}

impl From<log::Refused> for Refused {
    fn from(reason: log::Refused) -> Self {
        match reason {
            log::Refused::Full => Self::Full,
            log::Refused::Busy => Self::Busy,
            log::Refused::Broken => Self::Broken,
            log::Refused::Closed => Self::Stopping,
        }
    }
}

impl Refused {
    pub(super) fn refusal(self) -> Refusal {
        match self {
            Self::Full => Refusal::Full,
            Self::Busy => Refusal::Busy,
            Self::Broken => Refusal::Broken,
            Self::Stopping => Refusal::Stopping,
        }
    }
}

/// Why an event that was appended is not kept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotKept {
    /// It can be sent again later.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// A destination will never take it.
    #[error("a destination will never take the event: {0}")]
    Rejected(String),
}

/// What a settled receipt waits for besides the commit.
#[derive(Clone, Debug)]
pub(super) enum Until {
    /// Nothing, not even the commit.
    Appended,
    /// The commit.
    Durable,
    /// Every required destination.
    Written(Arc<[watch::Receiver<SequenceNumber>]>),
}

/// Promise of an answer to one event.
#[derive(Debug)]
#[must_use = "an event without an answer"]
pub struct Receipt {
    appended: Appended,
    /// Where it is waited for; `None` for a duplicate, whose first is.
    verdicts: Option<Arc<Verdicts>>,
    until: Until,
    is_duplicate: bool,
    ledger: Arc<Ledger>,
    is_settled: bool,
}

impl Receipt {
    pub(super) fn new(
        appended: Appended,
        verdicts: Option<Arc<Verdicts>>,
        until: Until,
        is_duplicate: bool,
        ledger: Arc<Ledger>,
    ) -> Self {
        Self {
            appended,
            verdicts: verdicts.filter(|_| !is_duplicate),
            until,
            is_duplicate,
            ledger,
            is_settled: false,
        }
    }

    /// Waits until the event is as safe as `acknowledge` asks.
    ///
    /// # Errors
    /// The event is not kept.
    pub async fn settled(mut self) -> Result<(), NotKept> {
        let result = wait(&self.appended.ticket, &self.until).await;
        self.is_settled = true;
        self.ended(result);
        result.map_err(|CommitError| Refused::Broken)?;
        let verdict = self.appended.verdict.as_ref();
        match verdict.and_then(|verdict| verdict.reason()) {
            Some(reason) => Err(NotKept::Rejected(reason.to_owned())),
            None => Ok(()),
        }
    }

    /// Its number in the log, or that of its first if it is a duplicate; final once the commit is durable.
    pub fn sequence(&self) -> SequenceNumber {
        self.appended.ticket.sequence
    }

    /// Whether the same event was there already.
    pub fn is_duplicate(&self) -> bool {
        self.is_duplicate
    }

    /// Nobody waits any more. Counts a duplicate; what was appended or failed is counted by the log.
    fn ended(&self, result: Result<(), CommitError>) {
        if let Some(verdicts) = &self.verdicts {
            verdicts.forget(self.appended.ticket.sequence);
        }
        if !self.is_duplicate {
            return;
        }
        let outcome = match result {
            Ok(()) => Outcome::Duplicate,
            Err(CommitError) => Outcome::Refused(Refusal::Broken),
        };
        self.ledger.ended(outcome, 1);
    }
}

impl Drop for Receipt {
    fn drop(&mut self) {
        if self.is_settled {
            return;
        }
        self.is_settled = true;
        // A duplicate is one as soon as its first is durable; what becomes of that one is not its business.
        let until = match &self.until {
            Until::Written(_) if self.is_duplicate => Until::Durable,
            until => until.clone(),
        };
        let watched = Self {
            appended: self.appended.clone(),
            verdicts: self.verdicts.clone(),
            until,
            is_duplicate: self.is_duplicate,
            ledger: Arc::clone(&self.ledger),
            is_settled: true,
        };
        let watch_to_the_end = async move {
            let result = wait(&watched.appended.ticket, &watched.until).await;
            watched.ended(result);
            if result.is_ok() && !watched.is_duplicate {
                watched.ledger.late();
            }
        };
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn(watch_to_the_end)),
            Err(_) => self.ended(self.appended.ticket.commit.result().unwrap_or(Ok(()))),
        }
    }
}

async fn wait(ticket: &Ticket, until: &Until) -> Result<(), CommitError> {
    if let Until::Appended = until {
        return Ok(());
    }
    ticket.commit.wait().await?;
    if let Until::Written(destinations) = until {
        for destination in destinations.iter() {
            let mut position = destination.clone();
            // A delivery that has ended settles nothing more: wait for the deadline of the request.
            if position
                .wait_for(|position| *position >= ticket.sequence)
                .await
                .is_err()
            {
                std::future::pending::<()>().await;
            }
        }
    }
    Ok(())
}
