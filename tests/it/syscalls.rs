//! What the binary asks of the operating system, seen from outside by strace: that its syncs are more than calls of its own.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::support::process::Process;
use crate::support::{event, eventually, post};

/// Notes the syncs of a process, with the paths of what is synced, until the process ends.
fn watch(process: &Process, notes: &Path, says: &Path) -> Child {
    Command::new("strace")
        .args([
            "-f",
            "-y",
            "-e",
            "trace=fsync,fdatasync",
            "-e",
            "signal=none",
            "-o",
        ])
        .arg(notes)
        .args(["-p", &process.pid().to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(fs::File::create(says).unwrap())
        .spawn()
        .expect("strace runs: install it")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_answered_was_synced_with_its_name() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let (notes, says) = (folder.path().join("notes"), folder.path().join("says"));
    let process = Process::start(folder.path(), &[]).await;
    let mut strace = watch(&process, &notes, &says);
    let is_watched = || fs::read_to_string(&says).unwrap().contains("attached");
    eventually("strace is there", is_watched).await;
    // The first event begins a segment, so its name is synced too.
    assert_eq!(post(process.address, &event("1")).await.status, 200);
    process.kill();
    strace.wait().unwrap();
    let notes = fs::read_to_string(&notes).unwrap();
    let synced = |call: &str, end: &str| {
        notes
            .lines()
            .any(|line| line.contains(&format!(" {call}(")) && line.contains(end))
    };
    // By then the header is synced under the name of the unfinished file, and the batch under that of the segment.
    assert!(
        synced("fdatasync", "/data/log/00000000000000000001.segment>"),
        "{notes}"
    );
    assert!(synced("fsync", "/data/log>"), "{notes}");
}
