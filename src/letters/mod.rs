//! Dead letters outside of this machine's disk: rows that a destination rejected, where its data lives.
//!
//! Each kind is a room of its own that does what `pipeline` asks of it. Here is what a place is like; when rows go there, and when they are
//! replayed from there, is the pipeline's.
//!
//! ```text
//! objects  files in an object store      table  rows beside the events in BigQuery      topic  messages of Pub/Sub
//! ```

#[cfg(feature = "delta")]
pub mod objects;
#[cfg(feature = "bigquery")]
pub mod table;
#[cfg(feature = "pubsub")]
pub mod topic;
