//! What became of an event: looked up in the log, the destinations' positions and the dead letters.
//!
//! Nothing is kept for it while events come: the log is searched when somebody asks. So it knows what the log
//! still holds (all that waits, and on disk what was delivered within the dedupe window) and the dead letters;
//! older events are in the destinations only, which it does not ask. Nor does it ask dead letters outside of this machine: it says
//! where they are.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use memchr::memmem::Finder;
use prost::Message as _;
use serde::Serialize;
use serde_json::Value;

use crate::durable::Disk;
use crate::ledger::Ledger;
use crate::log::Log;
use crate::schema::{Event, Kind};

use super::dead_letter::{self, Key, Line};
use super::replay::Journals;
use super::replay::journal::Marks;

/// Read at once from the log.
const CHUNK_RECORDS: usize = 10_000;
const CHUNK_BYTES: usize = 4 << 20;

/// What became of one event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fate {
    /// Its number in the log.
    pub sequence: u64,
    /// Its stream, as far as it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream_id: Option<String>,
    /// Its name, as far as it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event_name: Option<String>,
    /// When it came, microseconds since 1970 in UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub received_at_micros: Option<i64>,
    /// What became of it, by destination.
    pub destinations: BTreeMap<String, State>,
}

/// What became of an event at a destination.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum State {
    /// It waits in the log, for the first time or replayed.
    Pending,
    /// The destination is past it: it is stored there, expired while the destination was detached, or was rejected in the open.
    Stored,
    /// The destination is past it: it is stored there, or was rejected and is kept where nobody looked now.
    Settled {
        /// Where it is if it was rejected.
        dead_letter: String,
    },
    /// The destination will never take it, and it was not replayed since.
    DeadLettered {
        /// Why.
        reason: String,
    },
}

/// Why there is nothing to tell.
#[derive(Debug, thiserror::Error)]
pub enum NotFound {
    /// Neither the log nor a dead letter holds it.
    #[error("no event with this id is in the log or a dead letter")]
    Nowhere,
    /// The search took too long.
    #[error("the search took too long")]
    TimeIsUp,
    /// The disk failed.
    #[error(transparent)]
    Disk(#[from] io::Error),
}

/// The dead letters that are searched.
#[derive(Debug)]
pub enum Searched {
    /// Those below this folder, with their marks.
    Folder(PathBuf, Journals),
    /// None: they are in this place, which is only named.
    Elsewhere(String),
    /// There are none.
    Nowhere,
}

/// Looks events up.
#[derive(Debug)]
pub struct Fates {
    log: Arc<dyn Log>,
    ledger: Arc<Ledger>,
    disk: Arc<dyn Disk>,
    dead_letters: Searched,
    /// One search at a time.
    turn: Mutex<()>,
}

impl Fates {
    /// Looks in this log and these dead letters.
    pub fn new(
        log: Arc<dyn Log>,
        ledger: Arc<Ledger>,
        disk: Arc<dyn Disk>,
        dead_letters: Searched,
    ) -> Self {
        Self {
            log,
            ledger,
            disk,
            dead_letters,
            turn: Mutex::default(),
        }
    }

    /// All events with this id, oldest first. Blocks, until `until` at the most.
    ///
    /// # Errors
    /// See [`NotFound`].
    pub fn find(&self, event_id: &str, until: Instant) -> Result<Vec<Fate>, NotFound> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let mut found = self.in_log(event_id, until)?;
        // In this order: an event is in the dead letter before the position passes it.
        let positions: Vec<_> = self
            .ledger
            .destinations()
            .iter()
            .map(|destination| (destination.name().to_owned(), destination.position().0))
            .collect();
        for fate in found.values_mut() {
            let states = positions.iter().map(|(name, position)| {
                let state = match &self.dead_letters {
                    _ if *position < fate.sequence => State::Pending,
                    Searched::Elsewhere(place) => State::Settled {
                        dead_letter: place.clone(),
                    },
                    _ => State::Stored,
                };
                (name.clone(), state)
            });
            fate.destinations = states.collect();
        }
        for (name, position) in positions {
            self.in_dead_letter(&name, position, event_id, until, &mut found)?;
        }
        if found.is_empty() {
            return Err(NotFound::Nowhere);
        }
        Ok(found.into_values().collect())
    }

    fn in_log(&self, event_id: &str, until: Instant) -> Result<BTreeMap<u64, Fate>, NotFound> {
        let finder = Finder::new(event_id);
        let mut reader = self.log.observer();
        let mut found = BTreeMap::new();
        loop {
            if Instant::now() >= until {
                return Err(NotFound::TimeIsUp);
            }
            let chunk = reader.read(CHUNK_RECORDS, CHUNK_BYTES)?;
            let records = chunk.records;
            if records.is_empty() && chunk.damaged == 0 {
                return Ok(found);
            }
            for record in records {
                // Few hold the text at all: only these are decoded.
                if record.kind != Kind::Event || finder.find(&record.payload).is_none() {
                    continue;
                }
                let Ok(event) = Event::decode(record.payload) else {
                    continue;
                };
                if event.event_id.as_deref() == Some(event_id) {
                    let sequence = record.sequence.0;
                    found.insert(sequence, fate(sequence, event));
                }
            }
        }
    }

    fn in_dead_letter(
        &self,
        destination: &str,
        position: u64,
        event_id: &str,
        until: Instant,
        found: &mut BTreeMap<u64, Fate>,
    ) -> Result<(), NotFound> {
        let Searched::Folder(folder, journals) = &self.dead_letters else {
            return Ok(());
        };
        // As it is written there.
        let escaped = Value::from(event_id).to_string();
        let finder = Finder::new(escaped.trim_matches('"'));
        let mut rejected = Rejected::default();
        for path in dead_letter::files(self.disk.as_ref(), folder, destination)? {
            if Instant::now() >= until {
                return Err(NotFound::TimeIsUp);
            }
            let bytes = self.disk.read(&path)?;
            let lines = bytes
                .split_inclusive(|byte| *byte == b'\n')
                .filter(|line| finder.find(line).is_some());
            for letter in lines.filter_map(Line::read) {
                let Some(row) = letter.row else {
                    continue;
                };
                if row.event_id.as_deref() != Some(event_id) {
                    continue;
                }
                let fate = Fate {
                    sequence: letter.sequence,
                    stream_id: row.stream_id.map(Cow::into_owned),
                    event_name: row.event_name.map(Cow::into_owned),
                    received_at_micros: row.synced_at_micros_,
                    destinations: BTreeMap::new(),
                };
                let key = (letter.log_id, letter.sequence);
                rejected.insert(key, (letter.reason.into_owned(), fate));
            }
        }
        if rejected.is_empty() {
            return Ok(());
        }
        let marks = journals.marks(destination)?;
        let again: HashSet<Key> = rejected.keys().filter_map(|key| *marks.get(key)?).collect();
        for (key, (_, fate)) in rejected.iter().filter(|(key, _)| !again.contains(key)) {
            let state = after_rejection(*key, &rejected, &marks, position);
            let fate = found.entry(fate.sequence).or_insert_with(|| fate.clone());
            fate.destinations.insert(destination.to_owned(), state);
        }
        Ok(())
    }
}

/// Lines of a dead letter about one event: each reason, and what the line tells of the event.
type Rejected = BTreeMap<Key, (String, Fate)>;

/// What became of a row that was rejected: it may have been replayed, and rejected again.
fn after_rejection(mut key: Key, rejected: &Rejected, marks: &Marks, position: u64) -> State {
    while let Some((reason, _)) = rejected.get(&key) {
        key = match marks.get(&key) {
            Some(Some(replayed_as)) => *replayed_as,
            Some(None) => return State::Pending,
            None => {
                let reason = reason.clone();
                return State::DeadLettered { reason };
            }
        };
    }
    if position >= key.1 {
        State::Stored
    } else {
        State::Pending
    }
}

fn fate(sequence: u64, event: Event) -> Fate {
    Fate {
        sequence,
        stream_id: event.stream_id,
        event_name: event.event_name,
        received_at_micros: event.synced_at_micros,
        destinations: BTreeMap::new(),
    }
}
