//! The one integration binary: it runs the real application.

#![allow(unreachable_pub, reason = "a binary has no outside")]
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test may panic, wait and read its environment"
)]

mod binary;
mod browser;
mod delivery;
mod docs;
mod door;
mod durability;
mod endpoint;
mod floors;
mod generated;
mod golden;
mod independent;
mod restart;
mod schema;
mod support;
mod writer_contract;
