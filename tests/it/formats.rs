//! What earlier versions left on disk: today's program goes on with it, and refuses what a later one left.
//!
//! `tests/fixtures/formats/<version>/data` holds the folders of a collector as that version wrote them; they are never made anew.
//! Beside it are files that such a collector does not have; units of the code that reads them try them.
//! For a new version, `GENERATE=1` makes its folder with today's program; the older ones stay.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use real_streaming::schema::SequenceNumber;
use tempfile::TempDir;

use crate::support::collector::{IMPATIENT, ids, memory};
use crate::support::ledger::{Keeping, Table};
use crate::support::{Builder, admin, event, eventually, request};

/// The newest version.
const NEWEST: u32 = 1;

fn fixture(version: u32) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    root.join(format!("tests/fixtures/formats/{version}/data"))
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        match path.is_dir() {
            true => found.extend(files(&path)),
            false => found.push(path),
        }
    }
    found.sort();
    found
}

fn copy(from: &Path, to: &Path) {
    for file in files(from) {
        let copy = to.join(file.strip_prefix(from).expect("below it"));
        fs::create_dir_all(copy.parent().expect("a folder")).unwrap();
        fs::copy(file, copy).unwrap();
    }
}

fn folder() -> Arc<TempDir> {
    Arc::new(tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap())
}

fn builder(
    folder: &Arc<TempDir>,
    rows: &Arc<real_streaming::writer::memory::MemoryWriter>,
) -> Builder {
    Builder::in_folder(Arc::clone(folder))
        .with_target(
            Keeping::writer(rows, &Arc::new(Table::default())),
            IMPATIENT,
        )
        .set("LOG__MAX_BYTES", "65536")
        .set("DEDUPE__WINDOW", "3600")
}

/// Three events delivered, of which one was rejected, replayed and delivered then, and one that waits.
async fn make(folder: &Arc<TempDir>) {
    let rows = memory("a");
    rows.reject([SequenceNumber(2)]);
    let collector = builder(folder, &rows).start().await;
    for id in ["1", "2", "3"] {
        collector.takes(&event(id)).await;
    }
    let pending = || collector.ledger.destinations()[0].pending();
    eventually("they are delivered", || pending() == 0).await;
    let path = "/api/v1/dead_letters/replay";
    let token = format!("Bearer {}", crate::support::client::TOKEN);
    let answer = request(
        collector.address,
        "POST",
        path,
        &[("Authorization", &token)],
        b"",
    )
    .await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    eventually("it is replayed", || {
        rows.rows().len() == 3 && pending() == 0
    })
    .await;
    rows.away(true);
    collector.takes(&event("4")).await;
    collector.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_each_version_left_is_gone_on_with() {
    if std::env::var_os("GENERATE").is_some() && !fixture(NEWEST).exists() {
        let made = folder();
        make(&made).await;
        copy(made.path(), &fixture(NEWEST));
        for name in ["lock", "spare"] {
            let _none = fs::remove_file(fixture(NEWEST).join("log").join(name));
        }
    }
    for version in 1..=NEWEST {
        let folder = folder();
        copy(&fixture(version), folder.path());
        let rows = memory("a");
        let collector = builder(&folder, &rows).start().await;
        eventually("what waited is delivered", || ids(&rows) == ["4"]).await;
        let intake = collector.ledger.intake();
        assert_eq!(
            (intake.received, intake.appended, intake.replayed),
            (4, 5, 1)
        );
        let destination = &collector.ledger.destinations()[0];
        eventually("it is counted", || destination.totals().stored == 4).await;
        assert_eq!(destination.totals().dead_lettered, 1);
        assert_eq!(collector.dead_letters().len(), 1);
        // It was replayed, so none waits.
        let waiting = admin(collector.address, "/api/v1/dead_letters")
            .await
            .json();
        assert_eq!(waiting["dead_letters"], serde_json::json!([]), "{waiting}");
        collector.takes(&event("5")).await;
        eventually("the next one is delivered", || ids(&rows) == ["4", "5"]).await;
        assert_eq!(rows.rows()[1].sequence, SequenceNumber(6));
        collector.stop().await;
    }
}

/// The file as a program of the version after the newest would have written it.
fn newer(path: &Path, bytes: Vec<u8>) -> Vec<u8> {
    let (ours, theirs) = (NEWEST, NEWEST + 1);
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("segment") => {
            let mut bytes = bytes;
            bytes[4] = u8::try_from(theirs).unwrap();
            let crc = crc32c::crc32c(&bytes[..60]);
            bytes[60..64].copy_from_slice(&crc.to_le_bytes());
            bytes
        }
        Some("json" | "jsonl") => {
            let text = String::from_utf8(bytes).expect("text");
            let member = |version| format!("\"version\":{version}");
            assert!(
                text.contains(&member(ours)),
                "{} has no version",
                path.display()
            );
            let text = text.replacen(&member(ours), &member(theirs), 1);
            match text.trim_end().rsplit_once("} ") {
                // Lines of the dead letter, which others read, have no checksum.
                None => text,
                Some((json, _)) => {
                    let json = format!("{json}}}");
                    format!("{json} {:08x}\n", crc32c::crc32c(json.as_bytes()))
                }
            }
            .into_bytes()
        }
        _ => {
            let text = String::from_utf8(bytes).expect("text");
            let line = |version| format!("version {version}\n");
            assert!(
                text.starts_with(&line(ours)),
                "{} has no version",
                path.display()
            );
            let text = text.replacen(&line(ours), &line(theirs), 1);
            let (lines, _) = text.trim_end().rsplit_once('\n').expect("a checksum");
            format!("{lines}\n{:08x}\n", crc32c::crc32c(lines.as_bytes())).into_bytes()
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_file_of_a_newer_version_is_refused_by_name_of_both_versions() {
    let all = files(&fixture(NEWEST));
    // Segment, identity, cursor, totals, page of the ledger, dead letter, journal of replays.
    assert!(all.len() >= 7, "{all:?}");
    for file in all {
        let folder = folder();
        copy(&fixture(NEWEST), folder.path());
        let path = folder
            .path()
            .join(file.strip_prefix(fixture(NEWEST)).expect("below it"));
        let bytes = newer(&path, fs::read(&path).unwrap());
        fs::write(&path, &bytes).unwrap();
        let refused = builder(&folder, &memory("a")).try_start().await;
        let refused = refused.map(|_| ()).expect_err(&path.display().to_string());
        assert!(
            refused.contains(&format!("format {}", NEWEST + 1))
                && refused.contains(&format!("up to {NEWEST}")),
            "{}: {refused}",
            path.display()
        );
        assert_eq!(fs::read(&path).unwrap(), bytes, "it is left as it was");
    }
}
