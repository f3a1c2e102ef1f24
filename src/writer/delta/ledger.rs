//! The table of the ledger's rows beside that of the events, at the same place under its name with `_ledger` behind.
//!
//! A table like the other: the number of the batch is its position, so each batch is in it once, and the same upkeep
//! merges its small files.

use std::sync::Arc;

use async_trait::async_trait;
use prost::Message as _;

use super::error::Error;
use super::parts::Parts;
use super::{DeltaWriter, app_id, table, tail};
use crate::schema::arrow::{self, RowsBuilder};
use crate::writer::{LedgerBatch, LedgerTable, WriteError, Writer as _};

/// What stands behind the name of the events' table.
const SUFFIX: &str = "_ledger";

/// See the module.
#[derive(Debug)]
pub(super) struct DeltaLedger(DeltaWriter);

impl DeltaLedger {
    /// The table beside that of these events. Touches nothing yet.
    pub(super) fn beside(events: &DeltaWriter) -> Self {
        Self(DeltaWriter::at(
            events.location.beside(SUFFIX),
            events.config.clone(),
            Arc::clone(&events.clock),
            Arc::clone(&events.disk),
            arrow::ledger_schema(),
            table::LEDGER,
        ))
    }

    async fn try_write(&self, batch: &LedgerBatch) -> Result<(), Error> {
        self.0.try_open().await?;
        let app_id = app_id(batch.log_id);
        let number = i64::try_from(batch.number).unwrap_or(i64::MAX);
        let known = self.0.position_of(batch.log_id).await?;
        if known >= Some(number) {
            // The commit may be one that was told to have failed, because it was not durable yet.
            return tail::probe(&self.0.table().await?.store).await;
        }
        let mut rows = RowsBuilder::of_ledger();
        for row in &batch.rows {
            rows.push(&row.encode_to_vec())
                .map_err(|error| Error::Schema(error.to_string()))?;
        }
        let mut parts = Parts::default();
        parts.write(&rows.finish()?)?;
        let parts = parts.finish(self.0.clock.now().0 / 1_000)?;
        self.0.land(parts, &app_id, known, number).await
    }
}

#[async_trait]
impl LedgerTable for DeltaLedger {
    async fn write(&self, batch: &LedgerBatch) -> Result<(), WriteError> {
        Ok(self.try_write(batch).await?)
    }

    async fn close(&self) {
        self.0.close().await;
    }
}
