//! What the benchmark and the soak runs are made of.
//!
//! - [`mix`]: the requests, and how each follows from its number
//! - [`load`]: the generator, closed or open loop
//! - [`oracle`], [`verdict`]: what was answered to each event, and whether that is where it must be
//! - [`child`], [`collector`], [`fake`]: processes under test, stopped by their id whatever happens
//! - [`scrape`]: the collector's own counts; the only place here with metric names
//! - [`machine`]: processor time, memory, disk
//!
//! It knows the collector only from outside: environment, HTTP, files, signals.

pub mod child;
pub mod collector;
pub mod fake;
pub mod load;
pub mod machine;
pub mod mix;
pub mod oracle;
pub mod scrape;
pub mod verdict;

/// Whatever ends a run early.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;
