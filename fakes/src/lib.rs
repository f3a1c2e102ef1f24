//! Google's services as far as the collector uses them, in process: for tests, and as processes for soak runs.

pub mod bigquery;
