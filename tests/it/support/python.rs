//! The tools of `bench/requirements.txt`, as `make test` installs them.

use std::path::PathBuf;

/// A program beside the Python that `PYTHON` names, or in the folder where `make venv` puts it.
pub fn tool(name: &str) -> PathBuf {
    let variable = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let tool = match variable("PYTHON") {
        Some(python) => python.with_file_name(name),
        None => {
            let cache = variable("XDG_CACHE_HOME")
                .unwrap_or_else(|| variable("HOME").unwrap_or_default().join(".cache"));
            cache.join("real-streaming/venv/bin").join(name)
        }
    };
    assert!(
        tool.is_file(),
        "{} is missing: run `make venv`",
        tool.display()
    );
    tool
}
