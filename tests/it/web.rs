//! What browsers run, under `static/`, is what the sources under `web/` say. `make web` builds it.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

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

/// The least that gzip makes of a file.
fn zipped(name: &str) -> usize {
    let plain = fs::read(root().join("static").join(name)).expect("a built file");
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(&plain).expect("memory takes it");
    encoder.finish().expect("memory takes it").len()
}

#[test]
fn the_tracker_stays_small() {
    for (name, most) in [("rs-core.js", 2_000), ("rs.js", 4_500), ("v6.js", 7_000)] {
        let bytes = zipped(name);
        assert!(
            bytes <= most,
            "{name} has {bytes} bytes as gzip, not {most}"
        );
    }
}

#[test]
fn the_package_holds_what_it_names() {
    let output = Command::new("npm")
        .current_dir(root().join("web/tracker"))
        .args(["pack", "--dry-run", "--json"])
        .output()
        .expect("npm runs; `make node` installs it");
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).expect("text");
    // What is built before says its sizes first.
    let json = &text[text.find("[\n").expect("a list")..];
    let packed: Value = serde_json::from_str(json).expect("JSON");
    let files: BTreeSet<&str> = packed[0]["files"]
        .as_array()
        .expect("files")
        .iter()
        .filter_map(|file| file["path"].as_str())
        .collect();
    let manifest = fs::read(root().join("web/tracker/package.json")).expect("a manifest");
    let manifest: Value = serde_json::from_slice(&manifest).expect("JSON");
    let exports = manifest["exports"].as_object().expect("exports");
    let named = exports
        .values()
        .flat_map(|export| export.as_object().expect("files").values());
    for name in named.filter_map(Value::as_str) {
        let name = name.trim_start_matches("./");
        assert!(files.contains(name), "{name} is not among {files:?}");
    }
    assert_eq!(manifest["version"], env!("CARGO_PKG_VERSION"));
}
