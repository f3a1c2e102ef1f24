//! Calls of the system that fail, are late or are the last: the binary under strace, which counts them and acts at the n-th
//! of each thread. Whatever happened, what was answered with 200 is in the table or among the dead letters, once.
//!
//! `INJECT_DEPTH` says up to which n, 6 if it is not set; `make soak-injected` takes 50.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use real_streaming_fakes::bigquery::BigQuery;
use tempfile::TempDir;

use crate::support::client::try_request;
use crate::support::process::Process;
use crate::support::{event, post};

const TABLE: &str = "shop.analytics.events";
/// Events that are sent in each round.
const EVENTS: usize = 20;
/// Of so many events one is refused by the table.
const POISONED: usize = 7;

/// How strace is to run the collector so that this happens to these calls. With `--seccomp-bpf` it would inject no signals.
fn tracer(trace: &Path, calls: &str, what: &str) -> Vec<String> {
    let strace = ["strace", "-D", "-f", "-qq", "-o"];
    let mut words: Vec<String> = strace.map(str::to_owned).into();
    words.push(trace.display().to_string());
    words.extend(["-e".to_owned(), format!("trace={calls}")]);
    words.extend(["-e".to_owned(), format!("inject={calls}:{what}")]);
    words
}

fn depth() -> usize {
    std::env::var("INJECT_DEPTH").map_or(6, |depth| depth.parse().expect("a number"))
}

/// A folder that one collector after the other goes on with, and what was answered.
struct Attack {
    bigquery: BigQuery,
    folder: TempDir,
    sent: usize,
    unanswered: Vec<usize>,
    /// Rounds in which the collector ended before it was told to.
    ended: usize,
    refused: usize,
}

impl Attack {
    async fn new() -> Self {
        let bigquery = BigQuery::start().await;
        bigquery.create_dataset("shop", "analytics");
        bigquery.poison("event_name", |name| name == "poison");
        Self {
            bigquery,
            folder: tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap(),
            sent: 0,
            unanswered: Vec::new(),
            ended: 0,
            refused: 0,
        }
    }

    async fn start(&self, program: &[String]) -> Option<Process> {
        let (rest, grpc) = (self.bigquery.rest(), self.bigquery.grpc());
        let values = [
            ("WRITERS__PROJECT_ID", "shop"),
            ("WRITERS__BQ__DATASET_ID", "analytics"),
            ("WRITERS__BQ__TABLE_ID", "events"),
            ("WRITERS__BQ__FLUSH_INTERVAL", "0.01"),
            ("WRITERS__BQ__ENDPOINT", &rest),
            ("WRITERS__BQ__GRPC_ENDPOINT", &grpc),
            ("LOG__SEGMENT_BYTES", "32KiB"),
            ("LEDGER__INTERVAL", "0.05"),
            ("DELIVERY__BACKOFF_MAX", "0.2"),
            ("RUN__DRAIN", "0.2"),
        ];
        let started = Process::start_under(program, self.folder.path(), &values).await;
        started.ok()
    }

    /// One life of a collector to whose calls this happens. Ends with SIGKILL at the latest.
    async fn round(&mut self, calls: &str, what: &str) {
        let trace = self.folder.path().join("trace");
        let Some(process) = self.start(&tracer(&trace, calls, what)).await else {
            self.ended += 1;
            return;
        };
        let mut ids = std::mem::take(&mut self.unanswered);
        ids.extend(self.sent..self.sent + EVENTS);
        self.sent += EVENTS;
        let mut broken = false;
        for id in ids {
            let answer = match broken {
                true => None,
                false => send(&process, id).await,
            };
            match answer {
                Some(200) => continue,
                // What fails is told as such, and may be sent again.
                Some(status) => {
                    assert_eq!(status, 503, "{calls}:{what}");
                    self.refused += 1;
                }
                None => broken = true,
            }
            self.unanswered.push(id);
        }
        self.ended += usize::from(broken);
        // Cursors, journals and pages are written behind the answers.
        tokio::time::sleep(Duration::from_millis(100)).await;
        process.kill();
    }

    /// Whatever was sent is there once, when nothing goes wrong any more.
    async fn judge(mut self) -> Self {
        let process = self.start(&[]).await.expect("it starts");
        for id in std::mem::take(&mut self.unanswered) {
            assert_eq!(send(&process, id).await, Some(200), "{id}");
        }
        process.drained().await;
        assert!(process.terminate().success());
        let mut found = self.bigquery.texts(TABLE, "event_id");
        found.extend(dead_letters(&self.folder.path().join("data/dead_letter")));
        let distinct: BTreeSet<&String> = found.iter().collect();
        let expected: BTreeSet<String> = (0..self.sent).map(|id| id.to_string()).collect();
        assert!(distinct.into_iter().eq(&expected), "lost or unknown");
        assert_eq!(found.len(), expected.len(), "doubled");
        let output = Process::output(self.folder.path());
        assert!(!output.contains("panicked"), "{output}");
        self
    }
}

async fn send(process: &Process, id: usize) -> Option<u16> {
    let body = event(&id.to_string());
    let body = match id % POISONED {
        0 => body.replace("page_view", "poison"),
        _ => body,
    };
    let path = "/api/v1/streaming/1";
    let sent = try_request(process.address, "POST", path, &[], body.as_bytes());
    let answer = tokio::time::timeout(Duration::from_secs(10), sent).await;
    Some(answer.ok()?.ok()?.status)
}

fn dead_letters(folder: &Path) -> Vec<String> {
    let mut ids = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("replays") {
            ids.extend(dead_letters(&path));
        } else if path.is_file() {
            let text = std::fs::read_to_string(&path).unwrap();
            for line in text.lines() {
                let letter: serde_json::Value = serde_json::from_str(line).expect("a whole line");
                ids.push(letter["row"]["event_id"].as_str().unwrap().to_owned());
            }
        }
    }
    ids
}

const SYNCS: [&str; 2] = ["fdatasync", "fsync"];
const NAMES: &str = "rename,renameat,renameat2";

#[tokio::test(flavor = "multi_thread")]
async fn each_sync_may_be_the_last_call() {
    let mut attack = Attack::new().await;
    for calls in SYNCS {
        for n in 1..=depth() {
            attack.round(calls, &format!("signal=KILL:when={n}")).await;
        }
    }
    let attack = attack.judge().await;
    assert!(attack.ended > depth() / 2, "{} were killed", attack.ended);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_write_and_each_name_may_be_the_last_call() {
    let mut attack = Attack::new().await;
    for calls in ["pwrite64", NAMES] {
        for n in 1..=depth() {
            attack.round(calls, &format!("signal=KILL:when={n}")).await;
        }
    }
    let attack = attack.judge().await;
    assert!(attack.ended > depth() / 2, "{} were killed", attack.ended);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_sync_may_fail_once() {
    let mut attack = Attack::new().await;
    for calls in SYNCS {
        for n in 1..=depth() {
            attack.round(calls, &format!("error=EIO:when={n}")).await;
        }
    }
    let attack = attack.judge().await;
    assert!(attack.refused > 0, "an answer that is not durable is none");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_write_may_find_the_disk_full() {
    let mut attack = Attack::new().await;
    for n in 1..=depth() {
        attack
            .round("pwrite64", &format!("error=ENOSPC:when={n}"))
            .await;
        attack.round(NAMES, &format!("error=ENOSPC:when={n}")).await;
    }
    attack.judge().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_fails_for_good_gets_no_more_answers() {
    let mut attack = Attack::new().await;
    for (calls, error) in [
        ("fdatasync", "EIO"),
        ("fdatasync,fsync", "EIO"),
        ("pwrite64", "ENOSPC"),
    ] {
        // Starting takes some; so many go well in each thread.
        let before = attack.refused;
        attack
            .round(calls, &format!("error={error}:when=12+"))
            .await;
        assert!(attack.refused > before, "{calls}: some were refused");
    }
    attack.judge().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_takes_events_again_as_soon_as_the_disk_has_room() {
    let attack = Attack::new().await;
    let trace = attack.folder.path().join("trace");
    let full = tracer(&trace, "pwrite64", "error=ENOSPC:when=8..12");
    let process = attack.start(&full).await.expect("it starts");
    let (mut refused, mut taken_again) = (0, false);
    for id in 1..400 {
        if id % POISONED == 0 {
            continue;
        }
        let answer = post(process.address, &event(&id.to_string())).await;
        match answer.status {
            200 => taken_again |= refused > 0,
            status => {
                assert_eq!(status, 503, "{}", answer.body);
                assert!(answer.header("Retry-After").is_some());
                refused += 1;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        if taken_again {
            break;
        }
    }
    assert!(refused > 0 && taken_again, "{refused} were refused");
    process.drained().await;
    assert!(process.terminate().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_slow_disk_many_share_a_sync() {
    const CLIENTS: usize = 40;
    let attack = Attack::new().await;
    let trace = attack.folder.path().join("trace");
    let slow = tracer(&trace, "fdatasync", "delay_enter=200000");
    let process = attack.start(&slow).await.expect("it starts");
    let begun = Instant::now();
    let senders: Vec<_> = (1..=CLIENTS)
        .map(|id| {
            let address = process.address;
            let body = event(&format!("slow {id}"));
            tokio::spawn(async move { post(address, &body).await.status })
        })
        .collect();
    for sender in senders {
        assert_eq!(sender.await.unwrap(), 200);
    }
    // One after the other they would need eight seconds.
    let took = begun.elapsed();
    assert!(
        took >= Duration::from_millis(200),
        "{took:?}: before the sync"
    );
    assert!(took < Duration::from_secs(5), "{took:?}");
    process.drained().await;
    assert!(process.terminate().success());
}
