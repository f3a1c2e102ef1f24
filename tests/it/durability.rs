//! The promise, attacked in process: power loss, failing syncs, a dead letter that must be durable.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use real_streaming::durable::SimulatedDisk;
use real_streaming::schema::SequenceNumber;
use real_streaming::writer::memory::Step;

use crate::support::client::try_request;
use crate::support::collector::{ids, memory};
use crate::support::{Builder, event, eventually, post};

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_answered_before_it_is_durable() {
    let disk = Arc::new(SimulatedDisk::new());
    let writer = memory("a");
    let collector = Builder::new()
        .on_disk(Arc::clone(&disk) as _)
        .to(&writer)
        .start()
        .await;
    collector.takes(&event("first")).await;
    disk.block_syncs(true);
    let address = collector.address;
    let waiting = tokio::spawn(async move { post(address, &event("second")).await.status });
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!waiting.is_finished(), "answered before the sync");
    disk.block_syncs(false);
    assert_eq!(waiting.await.unwrap(), 200);
    collector.stop().await;
    assert_eq!(ids(&writer), ["first", "second"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_duplicate_shares_the_fate_of_the_first() {
    let disk = Arc::new(SimulatedDisk::new());
    let writer = memory("a");
    let collector = Builder::new()
        .on_disk(Arc::clone(&disk) as _)
        .to(&writer)
        .start()
        .await;
    collector.takes(&event("first")).await;
    disk.block_syncs(true);
    let address = collector.address;
    let send = || tokio::spawn(async move { post(address, &event("second")).await.status });
    let first = send();
    tokio::task::spawn_blocking({
        let disk = Arc::clone(&disk);
        move || disk.wait_for_blocked_sync()
    })
    .await
    .unwrap();
    // It is known by now, and not durable.
    let duplicate = send();
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(
        !first.is_finished() && !duplicate.is_finished(),
        "answered before the sync"
    );
    disk.set_sync_fault(Some(crate::support::every_sync_fails()), false);
    disk.block_syncs(false);
    assert_eq!(first.await.unwrap(), 503);
    assert_eq!(duplicate.await.unwrap(), 503, "it is nowhere");
    disk.set_sync_fault(None, false);
    let begun = Instant::now();
    while post(address, &event("second")).await.status != 200 {
        assert!(
            begun.elapsed() < Duration::from_secs(10),
            "it does not recover"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    collector.stop().await;
    assert_eq!(ids(&writer), ["first", "second"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_answered_survives_a_power_loss() {
    for seed in 0..20 {
        let disk = Arc::new(SimulatedDisk::new());
        let lost = memory("a");
        lost.play([Step::Hang]);
        let collector = Builder::new()
            .on_disk(Arc::clone(&disk) as _)
            .to(&lost)
            .start()
            .await;
        let folder = Arc::clone(&collector.folder);
        let address = collector.address;
        let count = Arc::new(AtomicUsize::new(0));
        let senders: Vec<_> = (0..4)
            .map(|sender| {
                let count = Arc::clone(&count);
                tokio::spawn(async move {
                    let mut answered = Vec::new();
                    for number in 0.. {
                        let id = format!("{sender}-{number}");
                        let sent = try_request(
                            address,
                            "POST",
                            "/api/v1/streaming/1",
                            &[],
                            event(&id).as_bytes(),
                        )
                        .await;
                        match sent {
                            Ok(answer) if answer.status == 200 => {
                                answered.push((id, Instant::now()));
                                count.fetch_add(1, Ordering::Relaxed);
                            }
                            _ => break,
                        }
                    }
                    answered
                })
            })
            .collect();
        eventually("something is answered", || {
            count.load(Ordering::Relaxed) > 0
        })
        .await;
        tokio::time::sleep(Duration::from_millis(20 + seed * 7)).await;
        // What is answered from here on may be answered on a disk that is not looked at again.
        let lost_at = Instant::now();
        let after = Arc::new(disk.crash(seed));
        collector.abort().await;
        let mut answered = Vec::new();
        for sender in senders {
            let ids = sender.await.unwrap();
            answered.extend(
                ids.into_iter()
                    .filter(|(_, at)| *at < lost_at)
                    .map(|(id, _)| id),
            );
        }
        assert!(!answered.is_empty(), "seed {seed}: nothing was answered");

        let writer = memory("a");
        let collector = Builder::in_folder(folder)
            .on_disk(after)
            .to(&writer)
            .start()
            .await;
        eventually("all are delivered", || {
            collector.ledger.destinations()[0].pending() == 0
        })
        .await;
        collector.stop().await;
        let stored = ids(&writer);
        for id in &answered {
            let count = stored.iter().filter(|stored| *stored == id).count();
            assert_eq!(
                count, 1,
                "seed {seed}: {id} was answered and is there {count} times"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_sync_is_refused_in_the_open_and_leaves_nothing() {
    let disk = Arc::new(SimulatedDisk::new());
    let writer = memory("a");
    let collector = Builder::new()
        .on_disk(Arc::clone(&disk) as _)
        .to(&writer)
        .start()
        .await;
    collector.takes(&event("before")).await;
    disk.set_sync_fault(Some(crate::support::every_sync_fails()), true);
    for id in ["x", "y", "z"] {
        let answer = post(collector.address, &event(id)).await;
        assert_eq!(answer.status, 503, "{}", answer.body);
        assert!(answer.header("Retry-After").is_some());
    }
    disk.set_sync_fault(None, false);
    let begun = Instant::now();
    while post(collector.address, &event("after")).await.status != 200 {
        assert!(
            begun.elapsed() < Duration::from_secs(10),
            "it does not recover"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let refused_before = collector.ledger.intake().refused();
    assert!(refused_before >= 1, "{refused_before}");
    collector.takes(&event("x")).await;
    let folder = Arc::clone(&collector.folder);
    collector.stop().await;
    assert_eq!(
        ids(&writer),
        ["before", "after", "x"],
        "a refused id is not remembered as a duplicate"
    );

    // Nothing of what was refused comes back after a power loss either.
    let after = Arc::new(disk.crash(1));
    let again = memory("b");
    let collector = Builder::in_folder(folder)
        .on_disk(after)
        .set("WRITERS__FROM", "oldest")
        .to(&writer)
        .to(&again)
        .start()
        .await;
    eventually("all are delivered", || {
        collector
            .ledger
            .destinations()
            .iter()
            .all(|d| d.pending() == 0)
    })
    .await;
    assert_eq!(ids(&again), ["before", "after", "x"]);
    collector.abort().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_is_durable_before_its_cursor_moves() {
    for seed in 0..10 {
        let disk = Arc::new(SimulatedDisk::new());
        let writer = memory("a");
        writer.reject([SequenceNumber(1), SequenceNumber(3)]);
        let collector = Builder::new()
            .on_disk(Arc::clone(&disk) as _)
            .to(&writer)
            .start()
            .await;
        let folder = Arc::clone(&collector.folder);
        for id in ["1", "2", "3"] {
            collector.takes(&event(id)).await;
        }
        eventually("all are settled", || {
            collector.ledger.destinations()[0].pending() == 0
        })
        .await;
        let after = Arc::new(disk.crash(seed));
        collector.stop().await;
        let collector = Builder::in_folder(folder)
            .on_disk(Arc::clone(&after) as _)
            .to(&writer)
            .start()
            .await;
        let letters = crate::support::dead_letters_on(
            after.as_ref(),
            &collector.folder.path().join("dead_letter"),
        );
        assert_eq!(letters, [1, 3], "seed {seed}");
        eventually("all are settled", || {
            collector.ledger.destinations()[0].pending() == 0
        })
        .await;
        let totals = collector.ledger.destinations()[0].totals();
        assert_eq!((totals.stored, totals.dead_lettered), (1, 2), "seed {seed}");
        collector.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unwritable_dead_letter_holds_the_rows_back() {
    let folder = Arc::new(tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap());
    let disk = Arc::new(SimulatedDisk::new());
    let writer = memory("a");
    writer.reject([SequenceNumber(2)]);
    let collector = Builder::in_folder(folder)
        .on_disk(Arc::clone(&disk) as _)
        .set("RUN__DRAIN", "1")
        .to(&writer)
        .start()
        .await;
    collector.takes(&event("1")).await;
    eventually("the first is settled", || {
        collector.ledger.destinations()[0].pending() == 0
    })
    .await;
    writer.away(true);
    collector.takes(&event("2")).await;
    // The log has it; from now on nothing can be made durable, and the row is rejected.
    disk.set_sync_fault(Some(crate::support::every_sync_fails()), false);
    writer.away(false);
    let destination = &collector.ledger.destinations()[0];
    let before = destination.failures();
    eventually("the dead letter is tried again", || {
        destination.failures() > before + 2
    })
    .await;
    assert_eq!(destination.pending(), 1, "no dead letter has it");
    disk.set_sync_fault(None, false);
    eventually("it is settled", || destination.pending() == 0).await;
    let totals = collector.ledger.destinations()[0].totals();
    assert_eq!((totals.stored, totals.dead_lettered), (1, 1));
    collector.stop().await;
}
