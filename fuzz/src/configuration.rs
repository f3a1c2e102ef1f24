//! The file `.env` and the values in it: a configuration or all that is wrong, and never a secret in what is shown.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::LazyLock;

use real_streaming::config::variables::VARIABLES;
use real_streaming::config::{Config, effective, environment};

/// In memory: it is written with every input.
static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = PathBuf::from(format!(
        "/dev/shm/real-streaming-fuzz-{}",
        std::process::id()
    ));
    std::fs::create_dir_all(&folder).expect("a folder");
    folder
});

const SECRET: &str = "a-secret-that-nobody-may-see-0123456789";

/// Panics where a promise is broken.
pub fn check(data: &[u8]) {
    std::fs::write(FOLDER.join(".env"), data).expect("a file");
    if let Ok(values) = environment(&FOLDER) {
        judge(values);
    }
    // The same bytes as values of variables that are there.
    let mut values = BTreeMap::new();
    for line in data.split(|byte| *byte == b'\n') {
        if let Some((which, value)) = line.split_first()
            && let Ok(value) = std::str::from_utf8(value)
        {
            let variable = &VARIABLES[usize::from(*which) % VARIABLES.len()];
            values.insert(format!("APP_CONFIG__{}", variable.name), value.to_owned());
        }
    }
    judge(values);
}

fn judge(mut values: BTreeMap<String, String>) {
    values.insert("APP_CONFIG__ADMIN__TOKEN".to_owned(), SECRET.to_owned());
    let shown = effective(&values);
    assert!(!shown.contains(SECRET));
    assert!(shown.lines().count() >= VARIABLES.len());
    match Config::from_values(values.clone()) {
        Ok(config) => {
            let debug = format!("{config:?}");
            assert!(!debug.contains(SECRET));
            let again = Config::from_values(values).expect("the same values");
            assert_eq!(format!("{again:?}"), debug, "read twice, it is another one");
        }
        Err(invalid) => {
            let text = invalid.to_string();
            assert!(!text.is_empty() && !text.contains(SECRET));
        }
    }
}
