//! A destination in memory that plays the failures it is told: for tests and for trying things out.
//!
//! It behaves like a real one: a batch is taken whole or not at all, and where it remembers positions,
//! rows and position change in one act. It keeps the newest rows only; all are gone with the process.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use crate::schema::{LogId, Record, SequenceNumber};

use super::{Batch, Limits, RowFault, WriteError, Writer};

/// What the next attempt to write does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// It succeeds.
    Succeed,
    /// It fails before anything is written.
    Fail,
    /// The rows are written, but the answer is lost.
    WriteAndFail,
    /// It takes this long, then succeeds.
    Slow(Duration),
    /// It never answers.
    Hang,
    /// It fails for good.
    Fatal,
}

#[derive(Debug, Default)]
struct State {
    rows: VecDeque<Record>,
    positions: HashMap<LogId, SequenceNumber>,
    script: VecDeque<Step>,
    attempts: usize,
    rejected: Vec<SequenceNumber>,
    is_away: bool,
}

/// The destination.
#[derive(Debug)]
pub struct MemoryWriter {
    name: String,
    limits: Limits,
    capacity: usize,
    remembers: bool,
    state: Mutex<State>,
}

impl MemoryWriter {
    /// An empty destination that keeps the newest `capacity` rows. With `remembers` it knows the
    /// position it has come to and takes no batch twice.
    pub fn new(name: &str, limits: Limits, capacity: usize, remembers: bool) -> Self {
        Self {
            name: format!("memory:{name}"),
            limits,
            capacity,
            remembers,
            state: Mutex::default(),
        }
    }

    /// Adds to what the next attempts do; after that they succeed.
    pub fn play(&self, steps: impl IntoIterator<Item = Step>) {
        self.state().script.extend(steps);
    }

    /// Never takes the rows with these numbers.
    pub fn reject(&self, sequences: impl IntoIterator<Item = SequenceNumber>) {
        self.state().rejected.extend(sequences);
    }

    /// Goes out of reach, or comes back.
    pub fn away(&self, is_away: bool) {
        self.state().is_away = is_away;
    }

    /// The rows it holds, in the order written.
    pub fn rows(&self) -> Vec<Record> {
        self.state().rows.iter().cloned().collect()
    }

    /// How many attempts were made.
    pub fn attempts(&self) -> usize {
        self.state().attempts
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reach(&self) -> Result<(), WriteError> {
        if self.state().is_away {
            return Err(WriteError::transient("told to be out of reach"));
        }
        Ok(())
    }

    fn take(&self, batch: &Batch) -> Result<(), WriteError> {
        let mut state = self.state();
        if self.remembers {
            let known = state.positions.get(&batch.log_id);
            if known.is_some_and(|known| *known >= batch.last) {
                return Ok(());
            }
        }
        let faults: Vec<RowFault> = batch
            .records
            .iter()
            .filter(|record| state.rejected.contains(&record.sequence))
            .map(|record| RowFault {
                sequence: record.sequence,
                reason: "not wanted".to_owned(),
            })
            .collect();
        if !faults.is_empty() {
            return Err(WriteError::Rejected(faults));
        }
        state.rows.extend(batch.records.iter().cloned());
        let surplus = state.rows.len().saturating_sub(self.capacity);
        state.rows.drain(..surplus);
        state.positions.insert(batch.log_id, batch.last);
        Ok(())
    }
}

#[async_trait]
impl Writer for MemoryWriter {
    fn name(&self) -> &str {
        &self.name
    }

    fn limits(&self) -> Limits {
        self.limits
    }

    async fn open(&self) -> Result<(), WriteError> {
        self.reach()
    }

    async fn position(&self, log_id: LogId) -> Result<Option<SequenceNumber>, WriteError> {
        let position = self.state().positions.get(&log_id).copied();
        Ok(position.filter(|_| self.remembers))
    }

    async fn write(&self, batch: &Batch) -> Result<(), WriteError> {
        self.reach()?;
        let step = {
            let mut state = self.state();
            state.attempts += 1;
            state.script.pop_front().unwrap_or(Step::Succeed)
        };
        match step {
            Step::Succeed => self.take(batch),
            Step::Fail => Err(WriteError::transient("told to fail")),
            Step::WriteAndFail => {
                self.take(batch)?;
                Err(WriteError::transient("told to lose the answer"))
            }
            Step::Slow(time) => {
                tokio::time::sleep(time).await;
                self.take(batch)
            }
            Step::Hang => std::future::pending().await,
            Step::Fatal => Err(WriteError::fatal("told to fail for good")),
        }
    }

    async fn close(&self) {}
}
