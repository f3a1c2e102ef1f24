//! Where the intake's events come from, counted by minute, stream and outcome for the ledger's rows.
//!
//! Told apart is only what the ledger counts too, and always before the ledger counts it: whoever reads the totals first
//! and takes the tally after finds no count without its origin. What was appended is what its commit makes of it, so it
//! waits here for the commit. Threads do not wait for each other: each counts in a shard of its own.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::ledger::{IntakeTotals, Minute, Origin, Outcome, Tally};
use crate::log::{Commit, CommitError, Refused};

use super::verdict::Appended;

const SHARDS: usize = 8;

/// See the module.
#[derive(Debug, Default)]
pub struct Origins {
    shards: [Mutex<Shard>; SHARDS],
}

#[derive(Debug, Default)]
struct Shard {
    tally: Tally<IntakeTotals>,
    /// In the order of their commits.
    uncommitted: VecDeque<Uncommitted>,
}

/// Events of one origin in one commit.
#[derive(Debug)]
struct Uncommitted {
    commit: Arc<Commit>,
    minute: Minute,
    stream_id: Option<Box<str>>,
    kind: Kind,
    events: u64,
}

/// What an event is if its commit is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Appended,
    Duplicate,
    Replayed,
    Synthesised,
    SynthesisedDuplicate,
}

impl Origins {
    /// Appends an event, or finds its duplicate, and counts what becomes of it.
    pub(super) fn appending(
        &self,
        origin: &Origin<'_>,
        append: impl FnOnce() -> Result<(Appended, bool), Refused>,
    ) -> Result<(Appended, bool), Refused> {
        // Held over the append: who takes the tally finds what was committed meanwhile.
        let mut shard = self.own();
        let (appended, is_duplicate) = append()?;
        let kind = match is_duplicate {
            true => Kind::Duplicate,
            false => Kind::Appended,
        };
        shard.add(&appended.ticket.commit, origin, kind);
        Ok((appended, is_duplicate))
    }

    /// The same of events that are appended together: the collector's own, and last the client's.
    pub(super) fn appending_together(
        &self,
        origin: &Origin<'_>,
        append: impl FnOnce() -> Result<Vec<(Appended, bool)>, Refused>,
    ) -> Result<Vec<(Appended, bool)>, Refused> {
        let mut shard = self.own();
        let all = append()?;
        for (index, (appended, is_duplicate)) in all.iter().enumerate() {
            let kind = match (index + 1 == all.len(), is_duplicate) {
                (true, false) => Kind::Appended,
                (true, true) => Kind::Duplicate,
                (false, false) => Kind::Synthesised,
                (false, true) => Kind::SynthesisedDuplicate,
            };
            shard.add(&appended.ticket.commit, origin, kind);
        }
        Ok(all)
    }

    /// Counts a replayed event that was appended.
    pub(super) fn replayed(&self, origin: &Origin<'_>, commit: &Arc<Commit>) {
        self.own().add(commit, origin, Kind::Replayed);
    }

    /// Counts an event that was not appended.
    pub(super) fn ended(&self, origin: &Origin<'_>, outcome: Outcome) {
        if let Some(counts) = self.own().tally.at(origin) {
            counts.received += 1;
            *counts.of_mut(outcome) += 1;
        }
    }

    /// All that is known, which is then no longer here.
    pub(super) fn take(&self) -> Tally<IntakeTotals> {
        let mut all = Tally::default();
        for shard in &self.shards {
            let mut shard = locked(shard);
            shard.settle();
            all.merge(&shard.tally);
            shard.tally = Tally::default();
        }
        all
    }

    /// The shard of this thread.
    fn own(&self) -> MutexGuard<'_, Shard> {
        static THREADS: AtomicUsize = AtomicUsize::new(0);
        thread_local! {
            static OWN: usize = THREADS.fetch_add(1, Ordering::Relaxed) % SHARDS;
        }
        locked(&self.shards[OWN.with(|own| *own)])
    }
}

fn locked(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shard {
    fn add(&mut self, commit: &Arc<Commit>, origin: &Origin<'_>, kind: Kind) {
        if let Some(last) = self.uncommitted.back_mut()
            && last.kind == kind
            && Arc::ptr_eq(&last.commit, commit)
            && last.minute == origin.minute
            && last.stream_id.as_deref() == origin.stream_id
        {
            last.events += 1;
            return;
        }
        self.settle();
        if let Some(result) = commit.result() {
            return self.settled(result, origin, kind, 1);
        }
        self.uncommitted.push_back(Uncommitted {
            commit: Arc::clone(commit),
            minute: origin.minute,
            stream_id: origin.stream_id.map(Into::into),
            kind,
            events: 1,
        });
    }

    /// Counts what was committed, or was not.
    fn settle(&mut self) {
        let is_known = |first: &mut Uncommitted| first.commit.result().is_some();
        while let Some(first) = self.uncommitted.pop_front_if(is_known) {
            let origin = Origin {
                stream_id: first.stream_id.as_deref(),
                minute: first.minute,
            };
            let result = first.commit.result().unwrap_or(Ok(()));
            self.settled(result, &origin, first.kind, first.events);
        }
    }

    fn settled(
        &mut self,
        result: Result<(), CommitError>,
        origin: &Origin<'_>,
        kind: Kind,
        events: u64,
    ) {
        let Some(counts) = self.tally.at(origin) else {
            return;
        };
        match kind {
            Kind::Replayed => counts.replayed += events,
            Kind::Synthesised | Kind::SynthesisedDuplicate => counts.synthesised += events,
            Kind::Appended | Kind::Duplicate => counts.received += events,
        }
        match (result, kind) {
            (Err(CommitError), _) => counts.refused_broken += events,
            (Ok(()), Kind::Duplicate | Kind::SynthesisedDuplicate) => counts.duplicate += events,
            (Ok(()), Kind::Appended | Kind::Replayed | Kind::Synthesised) => {
                counts.appended += events;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::clock::Micros;
    use crate::ledger::Rejection;
    use crate::log::Ticket;
    use crate::schema::SequenceNumber;

    use super::*;

    fn append(origins: &Origins, commit: &Arc<Commit>, stream_id: &str, is_duplicate: bool) {
        let ticket = Ticket {
            sequence: SequenceNumber(1),
            commit: Arc::clone(commit),
        };
        let origin = Origin::new(stream_id, Micros(0));
        let appended = origins.appending(&origin, || Ok((ticket.into(), is_duplicate)));
        assert_eq!(appended.unwrap().1, is_duplicate);
    }

    fn counts(tally: &mut Tally<IntakeTotals>, stream_id: &str) -> IntakeTotals {
        *tally.at(&Origin::new(stream_id, Micros(0))).unwrap()
    }

    #[test]
    fn an_event_is_what_its_commit_makes_of_it() {
        let origins = Origins::default();
        let (first, second) = (Arc::<Commit>::default(), Arc::<Commit>::default());
        append(&origins, &first, "a", false);
        append(&origins, &first, "a", false);
        append(&origins, &first, "b", true);
        append(&origins, &second, "a", false);
        origins.ended(
            &Origin::new("b", Micros(1)),
            Outcome::Rejected(Rejection::Field),
        );
        let mut taken = origins.take();
        assert_eq!(counts(&mut taken, "a"), IntakeTotals::default());
        let b = counts(&mut taken, "b");
        assert_eq!((b.received, b.rejected_field, b.duplicate), (1, 1, 0));

        first.settle(Ok(()));
        second.settle(Err(CommitError));
        append(&origins, &Commit::durable(), "a", false);
        let mut taken = origins.take();
        let a = counts(&mut taken, "a");
        assert_eq!((a.received, a.appended, a.refused_broken), (4, 3, 1));
        let b = counts(&mut taken, "b");
        assert_eq!((b.received, b.duplicate), (1, 1));
        assert_eq!(
            counts(&mut origins.take(), "a"),
            IntakeTotals::default(),
            "each is taken once"
        );
    }
}
