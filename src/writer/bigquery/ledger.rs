//! The table of the ledger's rows beside that of the events, under its name with `_ledger` behind.
//!
//! Appended to by the default stream, so after an error that leaves it open whether rows were written they may be there
//! twice, under one `row_id`.

use async_trait::async_trait;
use bytes::Bytes;
use prost::Message as _;

use crate::schema::bigquery::{ledger_descriptor, ledger_table};
use crate::writer::{LedgerBatch, LedgerTable, WriteError};

use super::{Definition, Place, SideTable};

/// What stands behind the name of the events' table.
pub(super) const SUFFIX: &str = "ledger";

/// See the module.
#[derive(Debug)]
pub(super) struct BigQueryLedger(SideTable);

impl BigQueryLedger {
    /// The table at this place. Touches nothing yet.
    ///
    /// # Errors
    /// There are no credentials.
    pub(super) fn at(place: &Place) -> Result<Self, WriteError> {
        let mut table = ledger_table();
        table["description"] =
            "Ledger of Real Streaming: how many events of which minute and stream had which outcome"
                .into();
        let definition = Definition {
            table,
            named_by: "WRITERS__BQ__TABLE_ID",
        };
        SideTable::new(place, definition, ledger_descriptor()).map(Self)
    }
}

#[async_trait]
impl LedgerTable for BigQueryLedger {
    async fn write(&self, batch: &LedgerBatch) -> Result<(), WriteError> {
        let rows = batch.rows.iter();
        let rows: Vec<Bytes> = rows.map(|row| row.encode_to_vec().into()).collect();
        let refused = self.0.append(&rows).await?;
        if let Some(first) = refused.first() {
            // The others are there, and would be there again and again if they came with these.
            tracing::error!(
                alarm = "ledger_row_refused",
                rows = refused.len(),
                reason = first.reason,
                "rows of the ledger will never be taken: the sums in its table are short of them"
            );
        }
        Ok(())
    }

    async fn close(&self) {}
}
