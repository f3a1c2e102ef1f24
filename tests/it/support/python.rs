//! Python, in which independent readers and browsers are told what to do.

use std::path::PathBuf;
use std::process::Command;

/// Python with `bench/requirements.txt`, as `make test` installs it.
pub fn python() -> Command {
    let python = std::env::var_os("PYTHON").map_or_else(installed, PathBuf::from);
    assert!(
        python.is_file(),
        "{} is missing: run `make venv`",
        python.display()
    );
    Command::new(python)
}

fn installed() -> PathBuf {
    let home = std::env::var_os("HOME")
        .map(PathBuf::from)
        .unwrap_or_default();
    let cache = std::env::var_os("XDG_CACHE_HOME").map_or(home.join(".cache"), PathBuf::from);
    cache.join("real-streaming/venv/bin/python")
}
