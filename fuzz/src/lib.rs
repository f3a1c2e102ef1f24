//! What must hold whatever the input is, one module a target. A target is a call of `check`; a finding becomes a test beside
//! the code that it is about.

pub mod configuration;
pub mod files;
pub mod letters;
pub mod log;
pub mod payload;
pub mod request;
pub mod row_bytes;
pub mod row_text;
mod tiny;
