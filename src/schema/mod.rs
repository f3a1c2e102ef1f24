//! The row and all that is derived from it.
//!
//! `proto/collector/v1/event.proto` is the only place where a column is declared. The Rust types and
//! `descriptor.bin` under `gen/` are generated from it and checked in; `tests/it/schema.rs` makes
//! them anew and fails on a difference. What other systems need to know of the row (BigQuery, Arrow,
//! JSON) is derived from the descriptor by pure functions.

#[cfg(feature = "delta")]
pub mod arrow;
pub mod bigquery;
mod descriptor;
pub mod json;
#[cfg(test)]
mod random;
mod record;
mod summary;
mod wire;

#[rustfmt::skip]
#[allow(clippy::all, reason = "generated")]
#[path = "gen/collector.v1.rs"]
mod generated;

pub use descriptor::{Column, ColumnKind, Table, events, ledger, pool};
pub use generated::*;
pub use record::{Kind, LogId, Record, SequenceNumber};
pub use summary::{Summary, origin};
pub use wire::RowError;
