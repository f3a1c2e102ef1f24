//! What an endpoint awaits before it answers.
//!
//! A receipt that is dropped before it was settled (its request broke off, or took too long) is watched
//! to its end in the background and counted: nothing leaves the ledger because nobody waited.

use std::sync::Arc;

use tokio::sync::watch;

use crate::ledger::{Ledger, Outcome, Refusal};
use crate::log::{CommitError, Ticket};
use crate::schema::SequenceNumber;

/// Why an event is not kept.
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
    ticket: Ticket,
    until: Until,
    is_duplicate: bool,
    ledger: Arc<Ledger>,
    is_settled: bool,
}

impl Receipt {
    pub(super) fn new(
        ticket: Ticket,
        until: Until,
        is_duplicate: bool,
        ledger: Arc<Ledger>,
    ) -> Self {
        Self {
            ticket,
            until,
            is_duplicate,
            ledger,
            is_settled: false,
        }
    }

    /// Waits until the event is as safe as `acknowledge` asks.
    ///
    /// # Errors
    /// The event is not kept and may be sent again.
    pub async fn settled(mut self) -> Result<(), Refused> {
        let result = wait(&self.ticket, &self.until).await;
        self.is_settled = true;
        self.count(result);
        result.map_err(|CommitError| Refused::Broken)
    }

    /// Counts a duplicate; what was appended or failed is counted by the log.
    fn count(&self, result: Result<(), CommitError>) {
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
            ticket: self.ticket.clone(),
            until,
            is_duplicate: self.is_duplicate,
            ledger: Arc::clone(&self.ledger),
            is_settled: true,
        };
        let watch_to_the_end = async move {
            let result = wait(&watched.ticket, &watched.until).await;
            watched.count(result);
            if result.is_ok() && !watched.is_duplicate {
                watched.ledger.late();
            }
        };
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn(watch_to_the_end)),
            Err(_) => self.count(self.ticket.commit.result().unwrap_or(Ok(()))),
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
