//! Rejected rows in a table of BigQuery, under the columns of the events and with the reason.
//!
//! Appended at least once: a row may be there twice, under the same key. One that BigQuery refuses even here has its event
//! columns left out and is whole in `dead_letter.record`. What was replayed is marked by a row of the same key. It is read by REST,
//! which may show rows and marks of the last minutes late, so a mark alone does not keep another process from replaying a row.

use std::sync::Arc;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::Value;
use uuid::Uuid;

use crate::clock::{Clock, Micros};
use crate::pipeline::{Archive, Excerpt, Key, Letter, Letters};
use crate::schema::bigquery::dead_letter::{DeadLetter, table, writer_descriptor};
use crate::schema::{Kind, LogId, SequenceNumber};
use crate::writer::WriteError;
use crate::writer::bigquery::{Definition, Place, SideTable};

/// Of the kind of a row that marks another as replayed.
const REPLAYED: &str = "replayed";

/// A row holds its event twice; one that would be larger than a request has it once.
const MAX_ROW_BYTES: usize = 9 << 20;

/// See the module.
#[derive(Debug)]
pub struct TableLetters {
    name: String,
    table: SideTable,
    clock: Arc<dyn Clock>,
}

impl TableLetters {
    /// A table that was not asked for yet.
    ///
    /// # Errors
    /// There are no credentials.
    pub fn new(place: &Place, clock: Arc<dyn Clock>) -> Result<Self, WriteError> {
        let definition = Definition {
            table: table(),
            named_by: "DEAD_LETTER__URI",
        };
        Ok(Self {
            name: format!(
                "bigquery:{}.{}.{}",
                place.project, place.dataset, place.table
            ),
            table: SideTable::new(place, definition, writer_descriptor())?,
            clock,
        })
    }

    /// All rows of a destination, of these columns of the record, until there are no more.
    async fn marks_of(&self, destination: &str) -> Result<Vec<Key>, WriteError> {
        let columns = ["kind", "destination", "log_id", "sequence"];
        let columns = columns.map(|name| format!("dead_letter.{name}"));
        let columns = columns.each_ref().map(String::as_str);
        let (mut marks, mut from) = (Vec::new(), None);
        loop {
            let listing = self.table.list(&columns, from.as_deref()).await?;
            let rows = listing.rows.iter().map(|row| &row["dead_letter"]);
            let rows = rows.filter(|row| row["kind"] == REPLAYED);
            let own = rows.filter(|row| row["destination"] == destination);
            marks.extend(own.filter_map(key));
            from = listing.next;
            if from.is_none() {
                return Ok(marks);
            }
        }
    }
}

#[async_trait]
impl Letters for TableLetters {
    fn name(&self) -> &str {
        &self.name
    }

    async fn open(&self) -> Result<(), WriteError> {
        self.table.open().await
    }

    async fn take(&self, letters: &[Letter]) -> Result<(), WriteError> {
        let rows: Vec<Bytes> = letters.iter().map(whole).collect();
        let refused = self.table.append(&rows).await?;
        if refused.is_empty() {
            return Ok(());
        }
        let bare: Vec<Bytes> = refused
            .iter()
            .map(|row| of(&letters[row.index]).encode_behind(None).into())
            .collect();
        match self.table.append(&bare).await?.first() {
            None => Ok(()),
            Some(row) => Err(WriteError::fatal(format!(
                "{} refuses a row without its event columns too: {}",
                self.name, row.reason
            ))),
        }
    }

    async fn taken(&self, _: &str, _: LogId, _: SequenceNumber) -> Result<Vec<u64>, WriteError> {
        // What came in the last minutes may not be shown, and that is what is asked for.
        Ok(Vec::new())
    }
}

#[async_trait]
impl Archive for TableLetters {
    async fn excerpt(
        &self,
        destination: &str,
        behind: Option<&str>,
    ) -> Result<Excerpt, WriteError> {
        let listing = self.table.list(&["dead_letter"], behind).await?;
        let rows = listing.rows.iter().map(|row| &row["dead_letter"]);
        let own = rows.filter(|row| row["kind"] != REPLAYED && row["destination"] == destination);
        Ok(Excerpt {
            letters: own.filter_map(letter).collect(),
            next: listing.next,
        })
    }

    async fn marks(&self, destination: &str) -> Result<Vec<Key>, WriteError> {
        self.marks_of(destination).await
    }

    async fn mark(&self, destination: &str, rows: &[Key]) -> Result<(), WriteError> {
        let now = self.clock.now();
        let marks = rows.iter().map(|(log_id, sequence)| DeadLetter {
            kind: Some(REPLAYED.to_owned()),
            destination: Some(destination.to_owned()),
            log_id: Some(log_id.to_string()),
            sequence: Some(sequence.cast_signed()),
            rejected_at: Some(now.0),
            ..DeadLetter::default()
        });
        let marks: Vec<Bytes> = marks.map(|mark| mark.encode_behind(None).into()).collect();
        match self.table.append(&marks).await?.first() {
            None => Ok(()),
            Some(row) => Err(WriteError::fatal(format!(
                "{} refuses a mark: {}",
                self.name, row.reason
            ))),
        }
    }

    async fn claim(&self) -> Result<bool, WriteError> {
        // A table has nothing that only one can have.
        Ok(true)
    }

    async fn release(&self) {}
}

/// The record of a letter.
fn of(letter: &Letter) -> DeadLetter {
    let (kind, record) = match &letter.record {
        Some((Kind::Event, payload)) => ("event", Some(payload.clone())),
        Some((Kind::Document, payload)) => ("document", Some(payload.clone())),
        // Deliveries have unpacked replayed ones.
        Some((Kind::Replayed, _)) | None => ("none", None),
    };
    DeadLetter {
        kind: Some(kind.to_owned()),
        destination: Some(letter.destination.clone()),
        log_id: Some(letter.log_id.to_string()),
        sequence: Some(letter.sequence.cast_signed()),
        rejected_at: letter.rejected_at.map(|time| time.0),
        reason: Some(letter.reason.clone()),
        record,
    }
}

/// The row with the columns of the event, as far as it is one and there is room.
fn whole(letter: &Letter) -> Bytes {
    let record = of(letter);
    let event = match &letter.record {
        Some((Kind::Event, payload)) if payload.len() * 2 < MAX_ROW_BYTES => Some(payload),
        _ => None,
    };
    record.encode_behind(event.map(|event| &**event)).into()
}

fn key(row: &Value) -> Option<Key> {
    let log_id = Uuid::try_parse(row["log_id"].as_str()?).ok()?;
    Some((LogId(log_id), row["sequence"].as_str()?.parse().ok()?))
}

/// The letter that a listed row is; `None` if it has no key.
fn letter(row: &Value) -> Option<Letter> {
    let (log_id, sequence) = key(row)?;
    let text = |name: &str| row[name].as_str().unwrap_or_default();
    let kind = match text("kind") {
        "event" => Some(Kind::Event),
        "document" => Some(Kind::Document),
        _ => None,
    };
    let record = row["record"].as_str();
    let record = record.and_then(|record| STANDARD.decode(record).ok());
    Some(Letter {
        log_id,
        sequence,
        destination: text("destination").to_owned(),
        reason: text("reason").to_owned(),
        rejected_at: text("rejected_at").parse().ok().map(Micros),
        record: kind.zip(record.map(Bytes::from)),
    })
}
