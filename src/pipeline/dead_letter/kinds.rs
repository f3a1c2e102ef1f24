//! What a kind of dead letter outside of this machine's disk must do.
//!
//! Each takes rows ([`Letters`]); those that can be read again are an [`Archive`] too, from which rows are replayed. Nothing
//! is known here of a concrete one: the composition root makes them. None of them retries.

use std::fmt;

use async_trait::async_trait;

use crate::schema::{LogId, SequenceNumber};
use crate::writer::WriteError;

use super::letter::{Key, Letter};

/// Takes rows that destinations rejected.
#[async_trait]
pub trait Letters: Send + Sync + fmt::Debug {
    /// Kind and place, such as `bigquery:shop.analytics.events_dead_letter`.
    fn name(&self) -> &str;

    /// Makes the place ready.
    ///
    /// # Errors
    /// Transient and fatal ones; never `Rejected`.
    async fn open(&self) -> Result<(), WriteError>;

    /// Takes rows durably. Those that are there already under the same key may be there twice then, where it cannot tell.
    ///
    /// # Errors
    /// Transient and fatal ones; never `Rejected`. Any of the rows may be there.
    async fn take(&self, letters: &[Letter]) -> Result<(), WriteError>;

    /// The numbers beyond `after` of this log that are there, rejected by this destination; none where it cannot tell.
    ///
    /// # Errors
    /// Transient and fatal ones; never `Rejected`.
    async fn taken(
        &self,
        destination: &str,
        log_id: LogId,
        after: SequenceNumber,
    ) -> Result<Vec<u64>, WriteError>;
}

/// Some rows of a dead letter.
#[derive(Debug, Default)]
pub struct Excerpt {
    /// The rows.
    pub letters: Vec<Letter>,
    /// Behind what the next ones stand; `None` if there are no more.
    pub next: Option<String>,
}

/// A dead letter that can be read, and that remembers what was replayed.
#[async_trait]
pub trait Archive: Send + Sync + fmt::Debug {
    /// The rows of a destination behind a place that an earlier excerpt told, as many as are well held at once.
    ///
    /// # Errors
    /// Transient and fatal ones; never `Rejected`.
    async fn excerpt(&self, destination: &str, behind: Option<&str>)
    -> Result<Excerpt, WriteError>;

    /// The rows of a destination that are marked as replayed.
    ///
    /// # Errors
    /// Transient and fatal ones; never `Rejected`.
    async fn marks(&self, destination: &str) -> Result<Vec<Key>, WriteError>;

    /// Marks rows as replayed, durably. What is marked already may be marked again.
    ///
    /// # Errors
    /// Transient and fatal ones; never `Rejected`.
    async fn mark(&self, destination: &str, rows: &[Key]) -> Result<(), WriteError>;

    /// Keeps other processes from replaying for some minutes from now on, as far as it can. False if another one does so.
    ///
    /// # Errors
    /// Transient and fatal ones; never `Rejected`.
    async fn claim(&self) -> Result<bool, WriteError>;

    /// Others may replay again.
    async fn release(&self);
}
