//! `real-streaming check`: is the configuration right, and what is in force?

use std::collections::BTreeMap;
use std::process::ExitCode;

use crate::config::{self, Config};

pub(super) fn run(values: &BTreeMap<String, String>, _valid: &Config) -> ExitCode {
    print!("{}", config::effective(values));
    ExitCode::SUCCESS
}
