//! Real Streaming: a web-event collector that lands events as rows of GA4's BigQuery export.
//!
//! The floors, top to bottom; imports go down only (`tests/it/floors.rs` holds them to it):
//!
//! ```text
//! cli        one file a subcommand
//! app        composition root: Config → App, run, drain
//! config     environment → each floor's own Config
//! http       router, limits, endpoints        consume  messages of a subscription     letters  kinds of dead letters
//! pipeline   intake, receipt, delivery, dead letter
//! writer     one attempt to write a batch       log  append-only sequence     enrich  pure steps
//! durable    small durable acts on files        ledger  outcomes, counters
//! schema     the row and all that is derived from it      clock
//! ```

pub mod app;
pub mod cli;
pub mod clock;
pub mod config;
#[cfg(feature = "pubsub")]
pub mod consume;
pub mod durable;
pub mod enrich;
pub mod http;
pub mod ledger;
pub mod letters;
pub mod live;
pub mod log;
pub mod pipeline;
pub mod schema;
pub mod writer;
