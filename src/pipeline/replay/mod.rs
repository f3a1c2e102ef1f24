//! Replay: rows of the dead letters are appended to the log once more, each for the destination that rejected it.
//!
//! From there they take the way of every record: in order, with retries, exactly once where the destination can that, into
//! the dead letter again if need be. Each row is replayed once, also over a crash: see [`journal`]. Where the dead letter is outside
//! of this machine, the rows are marked there besides, so that others leave them out. Without journals (a log in memory) a row is
//! marked once its destination has it, and a crash before that may replay it again.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError};

use tokio::sync::{Mutex, watch};
use tokio::time::Instant;

use crate::durable::address_of;
use crate::ledger::{Ledger, Origin};
use crate::log::{CommitError, Log, NewRecord};
use crate::schema::{Kind, SequenceNumber};
use crate::writer::WriteError;

use super::dead_letter::{Archive, Key, Letter};
use super::origins::Origins;
use super::receipt::Refused;
use super::replayed::Replayed;

pub(super) mod journal;
mod selection;

pub use journal::Journals;
use journal::{Journal, Mark};
use selection::count;
pub use selection::{Selection, Waiting};

/// Rows that are appended and marked together: below what may wait for the disk.
const BATCH_ROWS: usize = 1_000;
const BATCH_BYTES: usize = 4 << 20;

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
    /// They are where they cannot be read from.
    #[error(
        "the dead letter is {0}, which the collector cannot read; `real-streaming consume` takes what a subscription of it gets"
    )]
    Unreadable(String),
    /// Another process replays them.
    #[error("another collector replays these dead letters now; it is asked again in a while")]
    Busy,
    /// The disk failed.
    #[error(transparent)]
    Disk(#[from] io::Error),
    /// The place in which they are does not answer as it should.
    #[error(transparent)]
    Place(#[from] WriteError),
}

/// Where rows to be replayed are.
#[derive(Debug)]
pub enum Source {
    /// There.
    Archive(Arc<dyn Archive>),
    /// In a place of this name that cannot be read.
    Unreadable(String),
    /// Nowhere: nothing is kept.
    Nowhere,
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
    pub source: Source,
    /// Where it is noted what is replayed; `None` where that would not outlive the process.
    pub journals: Option<Journals>,
    /// The destinations by name, and how far each is.
    pub destinations: Vec<(String, watch::Receiver<SequenceNumber>)>,
    /// Whether the log outlives the process. If not, a row is marked when its destination has it.
    pub is_durable: bool,
    /// What this process has replayed.
    pub sent: Sent,
    /// One at a time; what the last one could not make durable.
    pub turn: Mutex<Unfinished>,
}

/// Rows that this process has replayed, by destination: marks may be seen late.
#[derive(Debug, Default)]
pub struct Sent(std::sync::Mutex<HashMap<String, HashSet<Key>>>);

impl Sent {
    fn of(&self, destination: &str) -> HashSet<Key> {
        let sent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sent.get(destination).cloned().unwrap_or_default()
    }

    fn add(&self, destination: &str, rows: &[Key]) {
        let mut sent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sent.entry(destination.to_owned()).or_default().extend(rows);
    }
}

/// What is still to be noted or marked.
#[derive(Debug, Default)]
pub struct Unfinished {
    /// A file of marks that is still to be made durable.
    journal: Option<(PathBuf, Journal)>,
    /// Rows that are still to be marked where they are, by destination.
    unmarked: Vec<(String, Vec<Key>)>,
    /// The destinations whose journals were held against the marks.
    compared: HashSet<String>,
}

impl Replays {
    /// What waits in the dead letters, by destination and reason.
    ///
    /// # Errors
    /// See [`ReplayError`].
    pub async fn waiting(&self, selection: &Selection) -> Result<Vec<Waiting>, ReplayError> {
        let mut all = Vec::new();
        let destinations = self.selected(selection)?;
        let Some(archive) = self.archive()? else {
            return Ok(all);
        };
        for (destination, _) in destinations {
            let mut replayed = self.replayed(archive, destination).await?;
            let mut by_reason: BTreeMap<String, Waiting> = BTreeMap::new();
            let mut behind = None;
            loop {
                let page = archive.excerpt(destination, behind.as_deref()).await?;
                for letter in page.letters {
                    if selection.takes(&letter) && replayed.insert(letter.key()) {
                        count(&mut by_reason, destination, &letter);
                    }
                }
                behind = page.next;
                if behind.is_none() {
                    break;
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
        let Ok(mut turn) = self.turn.try_lock() else {
            return Err(ReplayError::Busy);
        };
        let Some(archive) = self.archive()? else {
            return Ok(Replay::default());
        };
        if !archive.claim().await? {
            return Err(ReplayError::Busy);
        }
        let done = self.replay_claimed(archive, &destinations, selection, until, &mut turn);
        let done = done.await;
        archive.release().await;
        done
    }

    async fn replay_claimed(
        &self,
        archive: &dyn Archive,
        destinations: &[&(String, watch::Receiver<SequenceNumber>)],
        selection: &Selection,
        until: Instant,
        turn: &mut Unfinished,
    ) -> Result<Replay, ReplayError> {
        let mut done = Replay::default();
        self.finish(archive, turn).await?;
        for (destination, settled) in destinations {
            self.compare(archive, destination, turn).await?;
            let mut replayed = self.replayed(archive, destination).await?;
            let mut behind = None;
            loop {
                let page = archive.excerpt(destination, behind.as_deref()).await?;
                // Known at once: a row that is there twice is one.
                let letters = page.letters.into_iter();
                let mut letters = letters
                    .filter(|letter| selection.takes(letter) && replayed.insert(letter.key()));
                loop {
                    let batch = batch(&mut letters, address_of(destination), &mut done);
                    if batch.is_empty() {
                        break;
                    }
                    if done.refused.is_some() || Instant::now() >= until {
                        done.is_cut = true;
                        return Ok(done);
                    }
                    if !archive.claim().await? {
                        return Err(ReplayError::Busy);
                    }
                    self.replay_batch(destination, settled, batch, until, turn, &mut done)
                        .await?;
                    self.finish(archive, turn).await?;
                }
                behind = page.next;
                if behind.is_none() {
                    break;
                }
            }
        }
        Ok(done)
    }

    /// Appends some rows and notes them.
    async fn replay_batch(
        &self,
        destination: &str,
        settled: &watch::Receiver<SequenceNumber>,
        batch: Vec<Replayed>,
        until: Instant,
        turn: &mut Unfinished,
        done: &mut Replay,
    ) -> io::Result<()> {
        let path = self.journals.as_ref().map(Journals::new_path);
        let mut journal = Journal {
            destination: destination.to_owned(),
            log_id: self.log.id(),
            after: self.log.durable().borrow().0,
            is_done: false,
            rows: batch.iter().map(mark).collect(),
        };
        if let (Some(journals), Some(path)) = (&self.journals, &path)
            && let Err(error) = tokio::task::block_in_place(|| journals.store(path, &journal))
        {
            // It may be there all the same, and would keep its rows from being replayed.
            journal.rows.clear();
            turn.journal = Some((path.clone(), journal));
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
        let keys: Vec<Key> = journal.rows.iter().map(Mark::key).collect();
        if let Some(last) = journal.rows.last().and_then(|row| row.replayed_as)
            && !self.is_durable
        {
            let mut settled = settled.clone();
            let delivered = settled.wait_for(|position| position.0 >= last);
            match tokio::time::timeout_at(until, delivered).await {
                Ok(Ok(_)) => {}
                // The process stops. What was not delivered is gone with it; what the dead letter holds is not.
                Ok(Err(_closed)) => {
                    done.refused = Some(Refused::Stopping);
                    return Ok(());
                }
                // The destination is away. Unmarked, they are replayed once more should this process end before it is back.
                Err(_elapsed) => {
                    self.sent.add(destination, &keys);
                    done.is_cut = true;
                    return Ok(());
                }
            }
        }
        done.replayed += journal.rows.len() as u64;
        journal.is_done = true;
        self.sent.add(destination, &keys);
        turn.unmarked.push((destination.to_owned(), keys));
        turn.journal = path.map(|path| (path, journal));
        Ok(())
    }

    fn archive(&self) -> Result<Option<&dyn Archive>, ReplayError> {
        match &self.source {
            Source::Archive(archive) => Ok(Some(archive.as_ref())),
            Source::Unreadable(name) => Err(ReplayError::Unreadable(name.clone())),
            Source::Nowhere => Ok(None),
        }
    }

    /// The rows of a destination that were replayed, as far as anybody tells.
    async fn replayed(
        &self,
        archive: &dyn Archive,
        destination: &str,
    ) -> Result<HashSet<Key>, ReplayError> {
        let mut replayed = self.sent.of(destination);
        replayed.extend(archive.marks(destination).await?);
        if let Some(journals) = &self.journals {
            let marks = tokio::task::block_in_place(|| journals.marks(destination))?;
            replayed.extend(marks.into_keys());
        }
        Ok(replayed)
    }

    /// Marks what the journals know to be replayed and an earlier process did not come to mark.
    async fn compare(
        &self,
        archive: &dyn Archive,
        destination: &str,
        turn: &mut Unfinished,
    ) -> Result<(), ReplayError> {
        let Some(journals) = &self.journals else {
            return Ok(());
        };
        if turn.compared.contains(destination) {
            return Ok(());
        }
        let noted = tokio::task::block_in_place(|| journals.marks(destination))?;
        let marked: HashSet<Key> = archive.marks(destination).await?.into_iter().collect();
        let is_missing = |key: &Key| !marked.contains(key);
        let missing: Vec<Key> = noted.into_keys().filter(is_missing).collect();
        if !missing.is_empty() {
            archive.mark(destination, &missing).await?;
        }
        turn.compared.insert(destination.to_owned());
        Ok(())
    }

    /// Notes and marks what is not yet. Without that the same rows would be replayed again.
    async fn finish(
        &self,
        archive: &dyn Archive,
        turn: &mut Unfinished,
    ) -> Result<(), ReplayError> {
        if let (Some((path, journal)), Some(journals)) = (&turn.journal, &self.journals) {
            tokio::task::block_in_place(|| journals.store(path, journal))?;
            turn.journal = None;
        }
        while let Some((destination, rows)) = turn.unmarked.last() {
            if !rows.is_empty() {
                archive.mark(destination, rows).await?;
            }
            turn.unmarked.pop();
        }
        Ok(())
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

fn mark(replayed: &Replayed) -> Mark {
    Mark {
        log_id: replayed.log_id,
        sequence: replayed.sequence,
        replayed_as: None,
    }
}

/// The next rows to be replayed together.
fn batch(
    letters: &mut impl Iterator<Item = Letter>,
    address: u64,
    done: &mut Replay,
) -> Vec<Replayed> {
    let (mut rows, mut bytes) = (Vec::new(), 0);
    while rows.len() < BATCH_ROWS && bytes < BATCH_BYTES {
        let Some(letter) = letters.next() else {
            break;
        };
        let Some((kind, payload)) = letter.record else {
            done.damaged += 1;
            continue;
        };
        bytes += payload.len();
        rows.push(Replayed {
            address,
            log_id: letter.log_id,
            sequence: letter.sequence,
            kind,
            payload,
        });
    }
    rows
}
