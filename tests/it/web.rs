//! What browsers run, under `static/`, is what the sources under `web/` say. `make web` builds it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Runs node in `web/`; what it says where it fails is the message.
#[track_caller]
fn node(arguments: &[&str]) {
    let output = Command::new("node")
        .current_dir(root().join("web"))
        .args(arguments)
        .output()
        .expect("node runs; `make node` installs it");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        output.status.success(),
        "node {arguments:?} ended with {}; does `make node` say what is missing?\n{}{}",
        output.status,
        text(&output.stdout),
        text(&output.stderr)
    );
}

/// All files below a folder, as paths from there.
fn files(folder: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let name = PathBuf::from(path.file_name().expect("a name"));
        if path.is_dir() {
            found.extend(files(&path).into_iter().map(|below| name.join(below)));
        } else {
            found.insert(name);
        }
    }
    found
}

#[test]
fn what_is_checked_in_is_what_the_sources_say() {
    node(&["node_modules/typescript/bin/tsc", "--noEmit"]);
    let built = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("temporary folder");
    node(&["build.mjs", built.path().to_str().expect("a path in UTF-8")]);
    let names = files(built.path());
    assert!(names.contains(Path::new("v6.js")), "{names:?}");
    for name in names {
        let fresh = fs::read(built.path().join(&name)).expect("a built file");
        let committed = fs::read(root().join("static").join(&name)).unwrap_or_default();
        assert!(
            committed == fresh,
            "static/{} is not what web/ says: run `make web`",
            name.display()
        );
    }
}
