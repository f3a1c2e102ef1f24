//! The tools of `bench/requirements.txt`, as `make test` installs them.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

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

/// What a query of DuckDB over the tables `events` and `ledger` in `data` below a folder gives, one object a row. Times come
/// as microseconds.
pub fn query(folder: &Path, sql: &str) -> Result<Vec<Value>, String> {
    let script = r#"
import json, os, sys
import deltalake, duckdb
events = deltalake.DeltaTable(sys.argv[1]).to_pyarrow_dataset()
if deltalake.DeltaTable.is_deltatable(sys.argv[2]):
    ledger = deltalake.DeltaTable(sys.argv[2]).to_pyarrow_dataset()
cursor = duckdb.execute(sys.argv[3])
names = [column[0] for column in cursor.description]
for row in cursor.fetchall():
    print(json.dumps(dict(zip(names, row)), default=str))
# Its threads may end in an abort when the interpreter is torn down; the answer is whole by then.
sys.stdout.flush()
os._exit(0)
"#;
    let table = folder.join("data/events");
    let output = Command::new(tool("python"))
        .args(["-c", script])
        .arg(&table)
        .arg(folder.join("data/events_ledger"))
        .arg(sql)
        .output()
        .expect("python runs");
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let text = String::from_utf8(output.stdout).expect("text");
    Ok(text
        .lines()
        .map(|line| serde_json::from_str(line).expect("a row"))
        .collect())
}
