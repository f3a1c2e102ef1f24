//! The one integration binary: it runs the real application.

#![allow(unreachable_pub, reason = "a binary has no outside")]
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test may panic, wait and read its environment"
)]

mod admin;
#[cfg(feature = "bigquery")]
mod bigquery;
#[cfg(feature = "bigquery")]
mod bigquery_fake;
mod binary;
mod browser;
mod consent;
mod consume;
#[cfg(feature = "bigquery")]
mod credentials;
mod damaged;
mod dead_letters;
mod delivery;
mod deployment;
mod devices;
#[cfg(feature = "bigquery")]
mod distance;
mod docs;
mod door;
mod durability;
mod endpoint;
mod explain;
mod fault;
mod floors;
mod formats;
mod generated;
mod golden;
mod hostile;
mod independent;
#[cfg(feature = "bigquery")]
mod injected;
mod jumps;
mod ledger_rows;
#[cfg(all(feature = "bigquery", feature = "pubsub"))]
mod letters;
mod operations;
mod originals;
#[cfg(feature = "bigquery")]
mod paused;
#[cfg(all(feature = "bigquery", feature = "pubsub"))]
mod predecessor;
mod pubsub;
mod reference;
mod replay;
mod restart;
mod schema;
mod senders;
mod sessions;
#[cfg(all(feature = "bigquery", feature = "delta"))]
mod several;
#[cfg(feature = "bigquery")]
mod side_table;
#[cfg(feature = "bigquery")]
mod signals;
mod support;
mod syscalls;
mod tracker;
mod visit;
mod web;
mod writer_contract;
