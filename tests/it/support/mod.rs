//! What integration tests share: a collector in process, a client, and the wait for something to happen.

pub mod client;
pub mod clock;
pub mod collector;
pub mod disk;
pub mod ledger;
#[cfg(feature = "bigquery")]
pub mod metadata;
pub mod process;
pub mod proxy;
pub mod pubsub;
pub mod python;
pub mod s3;
pub mod tls;
pub mod wire;

use std::time::{Duration, Instant};

pub use client::{admin, metrics, post, request};
pub use collector::{Builder, Collector};

/// A waited-for thing must come within this time, also on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// Waits until `happened` says so.
#[track_caller]
pub fn eventually(what: &str, mut happened: impl FnMut() -> bool) -> impl Future<Output = ()> {
    let caller = std::panic::Location::caller();
    let what = what.to_owned();
    async move {
        let begun = Instant::now();
        while !happened() {
            assert!(
                begun.elapsed() < PATIENCE,
                "{what} did not happen ({caller})"
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// A small event with this id.
pub fn event(id: &str) -> String {
    format!(
        r#"{{"event_name":"page_view","event_id":"{id}","event_params":[{{"key":"page_location","value":{{"string_value":"https://shop.test/a?utm_source=n1"}}}}]}}"#
    )
}

/// A fault that every sync has.
pub fn every_sync_fails() -> real_streaming::durable::Fault {
    real_streaming::durable::Fault {
        nth: 1,
        always: true,
        full: false,
    }
}

/// Numbers in the dead letters on a disk, ascending.
pub fn dead_letters_on(
    disk: &dyn real_streaming::durable::Disk,
    folder: &std::path::Path,
) -> Vec<u64> {
    let mut numbers = Vec::new();
    for destination in ["memory:a"] {
        let folder = folder.join(format!(
            "{:016x}",
            xxhash_rust::xxh3::xxh3_64(destination.as_bytes())
        ));
        for entry in disk.list(&folder).expect("the folder is there") {
            let text = String::from_utf8(disk.read(&folder.join(entry.name)).expect("a file"))
                .expect("text");
            let lines = text
                .lines()
                .map(|line| serde_json::from_str::<serde_json::Value>(line).expect("a line"));
            numbers.extend(lines.map(|line| line["sequence"].as_u64().expect("a number")));
        }
    }
    numbers.sort_unstable();
    numbers
}
