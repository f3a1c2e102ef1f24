//! The tools of `bench/requirements.txt`, as `make test` installs them.

use std::path::PathBuf;

fn variable(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).map(PathBuf::from)
}

/// The folder in which the Makefile keeps what tests need.
pub fn cache() -> PathBuf {
    let cache = variable("XDG_CACHE_HOME");
    cache
        .unwrap_or_else(|| variable("HOME").unwrap_or_default().join(".cache"))
        .join("real-streaming")
}

/// A program beside the Python that `PYTHON` names, or in the folder where `make venv` puts it.
pub fn tool(name: &str) -> PathBuf {
    let tool = match variable("PYTHON") {
        Some(python) => python.with_file_name(name),
        None => cache().join("venv/bin").join(name),
    };
    assert!(
        tool.is_file(),
        "{} is missing: run `make venv`",
        tool.display()
    );
    tool
}
