//! Replay: rows of the dead letters are appended to the log once more, each for the destination that rejected it.
//!
//! From there they take the way of every record: in order, with retries, exactly once where the destination can that, into
//! the dead letter again if need be. Each row is replayed once, also over a crash: see [`journal`].

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;
use tokio::sync::{Mutex, watch};
use tokio::time::Instant;

use crate::clock::Micros;
use crate::durable::Disk;
use crate::ledger::{Ledger, Origin};
use crate::log::{CommitError, Log, NewRecord};
use crate::schema::{Kind, SequenceNumber};

use super::dead_letter::{self, Letter, address_of};
use super::origins::Origins;
use super::receipt::Refused;
use super::replayed::Replayed;

pub(super) mod journal;

pub use journal::Journals;
use journal::{Journal, Mark, Marks};

/// Rows that are appended and marked together: below what may wait for the disk.
const BATCH_ROWS: usize = 1_000;
const BATCH_BYTES: usize = 4 << 20;

/// Reasons told apart for each destination; rarer ones are told together.
const MAX_REASONS: usize = 1_000;
const OTHER_REASONS: &str = "(other reasons)";

/// Which rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Rejected since then; those of which that is not known are left out.
    pub since: Option<Micros>,
    /// Rejected until then, or nobody knows when: what is rejected again does not come round and round.
    pub until: Option<Micros>,
    /// Whose reason contains this text.
    pub reason: Option<String>,
    /// Rejected by this destination.
    pub destination: Option<String>,
}

impl Selection {
    fn takes(&self, letter: &Letter<'_>) -> bool {
        let time = letter.time();
        self.since.is_none_or(|since| time >= Some(since))
            && self.until.is_none_or(|until| time <= Some(until))
            && self
                .reason
                .as_ref()
                .is_none_or(|reason| letter.reason.contains(reason))
    }
}

/// Rows of a dead letter that wait to be replayed, with the same destination and reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Waiting {
    /// Who rejected them.
    pub destination: String,
    /// Why.
    pub reason: String,
    /// How many.
    pub count: u64,
    /// When the first was rejected, microseconds since 1970 in UTC, as far as it is known.
    pub first_micros: Option<i64>,
    /// When the last was rejected.
    pub last_micros: Option<i64>,
}

/// What a replay did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Replay {
    /// Rows that were appended, and are durable there.
    pub replayed: u64,
    /// Rows whose line is damaged.
    pub damaged: u64,
    /// Why it ended before its time; all is done if there is neither this nor `is_cut`.
    pub refused: Option<Refused>,
    /// The time was up.
    pub is_cut: bool,
}

/// Why nothing was replayed or listed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// There is no destination of that name.
    #[error("there is no destination of this name")]
    UnknownDestination,
    /// The disk failed.
    #[error(transparent)]
    Disk(#[from] io::Error),
}

/// Replays rows of the dead letters.
#[derive(Debug)]
pub struct Replays {
    /// The log.
    pub log: Arc<dyn Log>,
    /// Where replayed events are counted.
    pub ledger: Arc<Ledger>,
    /// Where it is counted where they came from, if anybody asks.
    pub origins: Option<Arc<Origins>>,
    /// Where the dead letters are.
    pub disk: Arc<dyn Disk>,
    /// Their folder, with the marks in it; `None` if there are none.
    pub folder: Option<(PathBuf, Journals)>,
    /// The destinations by name, and how far each is.
    pub destinations: Vec<(String, watch::Receiver<SequenceNumber>)>,
    /// Whether the log outlives the process. If not, a row is marked when its destination has it.
    pub is_durable: bool,
    /// One at a time; what the last one could not make durable.
    pub turn: Mutex<Unfinished>,
}

/// A file of marks that is still to be made durable.
#[derive(Debug, Default)]
pub struct Unfinished(Option<(PathBuf, Journal)>);

impl Replays {
    /// What waits in the dead letters, by destination and reason. Blocks on the disk.
    ///
    /// # Errors
    /// See [`ReplayError`].
    pub fn waiting(&self, selection: &Selection) -> Result<Vec<Waiting>, ReplayError> {
        let mut all = Vec::new();
        for (destination, _) in self.selected(selection)? {
            let Some((folder, journals)) = &self.folder else {
                break;
            };
            let marks = journals.marks(destination)?;
            let mut by_reason: BTreeMap<String, Waiting> = BTreeMap::new();
            for path in dead_letter::files(self.disk.as_ref(), folder, destination)? {
                let bytes = self.disk.read(&path)?;
                for letter in Letter::all(&bytes).filter(|letter| is_waiting(letter, &marks)) {
                    if selection.takes(&letter) {
                        count(&mut by_reason, destination, &letter);
                    }
                }
            }
            all.extend(by_reason.into_values());
        }
        Ok(all)
    }

    /// Replays what was selected, until this time at the most. To be run to its end, whoever asked for it.
    ///
    /// # Errors
    /// See [`ReplayError`]. What was replayed until then is.
    pub async fn replay(
        &self,
        selection: &Selection,
        until: Instant,
    ) -> Result<Replay, ReplayError> {
        let destinations = self.selected(selection)?;
        let mut turn = self.turn.lock().await;
        let mut done = Replay::default();
        let Some((folder, journals)) = &self.folder else {
            return Ok(done);
        };
        tokio::task::block_in_place(|| finish(journals, &mut turn))?;
        for (destination, settled) in destinations {
            let mut marks = tokio::task::block_in_place(|| journals.marks(destination))?;
            for path in dead_letter::files(self.disk.as_ref(), folder, destination)? {
                let bytes = tokio::task::block_in_place(|| self.disk.read(&path))?;
                // Marked at once: a line that stands there twice is one row.
                let mut letters = Letter::all(&bytes)
                    .filter(|letter| selection.takes(letter))
                    .filter(|letter| {
                        marks
                            .insert((letter.log_id, letter.sequence), None)
                            .is_none()
                    });
                loop {
                    let batch = batch(&mut letters, address_of(destination), &mut done);
                    if batch.is_empty() {
                        break;
                    }
                    if done.refused.is_some() || Instant::now() >= until {
                        done.is_cut = true;
                        return Ok(done);
                    }
                    self.replay_batch(journals, destination, settled, batch, &mut turn, &mut done)
                        .await?;
                }
            }
        }
        Ok(done)
    }

    /// Appends some rows and marks them.
    async fn replay_batch(
        &self,
        journals: &Journals,
        destination: &str,
        settled: &watch::Receiver<SequenceNumber>,
        batch: Vec<Replayed>,
        turn: &mut Unfinished,
        done: &mut Replay,
    ) -> io::Result<()> {
        let path = journals.new_path();
        let mut journal = Journal {
            destination: destination.to_owned(),
            log_id: self.log.id(),
            after: self.log.durable().borrow().0,
            is_done: false,
            rows: batch.iter().map(mark).collect(),
        };
        if let Err(error) = tokio::task::block_in_place(|| journals.store(&path, &journal)) {
            // It may be there all the same, and would keep its rows from being replayed.
            journal.rows.clear();
            turn.0 = Some((path, journal));
            return Err(error);
        }
        let mut appended = Vec::new();
        for replayed in &batch {
            let record = NewRecord {
                kind: Kind::Replayed,
                // Its own stood in the log with the event itself.
                key: None,
                payload: &replayed.encode(),
            };
            match self.log.append(&record) {
                Ok(ticket) => {
                    if let (Some(origins), Some(origin)) =
                        (&self.origins, Origin::of(&replayed.payload))
                    {
                        origins.replayed(&origin, &ticket.commit);
                    }
                    appended.push((mark(replayed), ticket));
                }
                Err(refused) => {
                    done.refused = Some(refused.into());
                    break;
                }
            }
        }
        self.ledger.replayed(appended.len() as u64);
        journal.rows.clear();
        for (mut row, ticket) in appended {
            match ticket.commit.wait().await {
                Ok(()) => {
                    row.replayed_as = Some(ticket.sequence.0);
                    journal.rows.push(row);
                }
                Err(CommitError) => done.refused = Some(Refused::Broken),
            }
        }
        if let Some(last) = journal.rows.last().and_then(|row| row.replayed_as)
            && !self.is_durable
        {
            let mut settled = settled.clone();
            if settled
                .wait_for(|position| position.0 >= last)
                .await
                .is_err()
            {
                // The process stops. What was not delivered is gone with it; what the dead letter holds is not.
                done.refused = Some(Refused::Stopping);
                return Ok(());
            }
        }
        done.replayed += journal.rows.len() as u64;
        journal.is_done = true;
        turn.0 = Some((path, journal));
        tokio::task::block_in_place(|| finish(journals, turn))
    }

    /// The destinations that a selection is about.
    fn selected(
        &self,
        selection: &Selection,
    ) -> Result<Vec<&(String, watch::Receiver<SequenceNumber>)>, ReplayError> {
        let is_meant = |name: &String| {
            let wanted = selection.destination.as_ref();
            wanted.is_none_or(|wanted| wanted == name)
        };
        let all = self.destinations.iter();
        let selected: Vec<_> = all.filter(|(name, _)| is_meant(name)).collect();
        if selected.is_empty() {
            return Err(ReplayError::UnknownDestination);
        }
        Ok(selected)
    }
}

/// Makes the marks durable that are not yet. Without them the same rows would be replayed again.
fn finish(journals: &Journals, turn: &mut Unfinished) -> io::Result<()> {
    if let Some((path, journal)) = &turn.0 {
        journals.store(path, journal)?;
        turn.0 = None;
    }
    Ok(())
}

fn is_waiting(letter: &Letter<'_>, marks: &Marks) -> bool {
    !marks.contains_key(&(letter.log_id, letter.sequence))
}

fn mark(replayed: &Replayed) -> Mark {
    Mark {
        log_id: replayed.log_id,
        sequence: replayed.sequence,
        replayed_as: None,
    }
}

/// The next rows to be replayed together.
fn batch<'a>(
    letters: &mut impl Iterator<Item = Letter<'a>>,
    address: u64,
    done: &mut Replay,
) -> Vec<Replayed> {
    let (mut rows, mut bytes) = (Vec::new(), 0);
    while rows.len() < BATCH_ROWS && bytes < BATCH_BYTES {
        let Some(letter) = letters.next() else {
            break;
        };
        let Some((kind, payload)) = letter.record() else {
            done.damaged += 1;
            continue;
        };
        bytes += payload.len();
        rows.push(Replayed {
            address,
            log_id: letter.log_id,
            sequence: letter.sequence,
            kind,
            payload: Bytes::from(payload),
        });
    }
    rows
}

fn count(by_reason: &mut BTreeMap<String, Waiting>, destination: &str, letter: &Letter<'_>) {
    let has_room = by_reason.len() < MAX_REASONS;
    let reason = match &*letter.reason {
        reason if has_room || by_reason.contains_key(reason) => reason,
        _ => OTHER_REASONS,
    };
    let time = letter.time().map(|time| time.0);
    let waiting = by_reason
        .entry(reason.to_owned())
        .or_insert_with(|| Waiting {
            destination: destination.to_owned(),
            reason: reason.to_owned(),
            count: 0,
            first_micros: time,
            last_micros: time,
        });
    waiting.count += 1;
    waiting.first_micros = [waiting.first_micros, time].into_iter().flatten().min();
    waiting.last_micros = waiting.last_micros.max(time);
}
