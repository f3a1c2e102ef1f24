//! Deliveries: order, retries, dead letters, several destinations, and what a 2xx promises.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::{Duration, Instant};

use real_streaming::pipeline::DeliveryConfig;
use real_streaming::schema::SequenceNumber;
use real_streaming::writer::memory::{MemoryWriter, Step};
use real_streaming::writer::{Limits, Writer};

use crate::support::collector::{IMPATIENT, QUICK, ids, memory};
use crate::support::{Builder, event, eventually, metrics, post, request};

fn numbered(count: usize) -> Vec<String> {
    (0..count).map(|id| format!("{id:04}")).collect()
}

async fn send(collector: &crate::support::Collector, ids: &[String]) {
    for id in ids {
        collector.takes(&event(id)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_cost_nothing_and_keep_the_order() {
    let writer = memory("a");
    writer.play([
        Step::Fail,
        Step::WriteAndFail,
        Step::Fail,
        Step::Fatal,
        Step::Succeed,
        Step::WriteAndFail,
        Step::Fatal,
    ]);
    let collector = Builder::new().to(&writer).start().await;
    let sent = numbered(60);
    send(&collector, &sent).await;
    eventually("all are stored", || {
        collector.ledger.destinations()[0].pending() == 0
    })
    .await;
    assert!(collector.ledger.destinations()[0].failures() >= 6);
    assert!(collector.stop().await.is_drained);
    assert_eq!(ids(&writer), sent);
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_in_flight_together_are_settled_in_order() {
    let limits = Limits {
        rows: 3,
        in_flight: 4,
        ..QUICK
    };
    let writer = Arc::new(MemoryWriter::new("a", limits, usize::MAX, false));
    let slow = |ms| Step::Slow(Duration::from_millis(ms));
    writer.play([
        // Long enough for three others to be under way behind it, of which two fail.
        slow(500),
        slow(10),
        Step::Fail,
        Step::Fail,
        Step::Succeed,
        Step::Fail,
        slow(20),
    ]);
    let collector = Builder::new()
        .with_target(Arc::clone(&writer) as Arc<dyn Writer>, IMPATIENT)
        .start()
        .await;
    let sent = numbered(40);
    send(&collector, &sent).await;
    eventually("all are stored", || {
        collector.ledger.destinations()[0].pending() == 0
    })
    .await;
    collector.stop().await;
    let mut stored = ids(&writer);
    stored.sort();
    assert_eq!(
        stored, sent,
        "each once: what succeeded behind a failure is not written again"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn rejected_rows_are_in_the_dead_letter_and_the_rest_is_stored() {
    let writer = memory("a");
    writer.reject([SequenceNumber(2), SequenceNumber(5)]);
    let collector = Builder::new().to(&writer).start().await;
    send(&collector, &numbered(8)).await;
    eventually("all are settled", || {
        collector.ledger.destinations()[0].pending() == 0
    })
    .await;
    let letters = collector.dead_letters();
    let totals = collector.ledger.destinations()[0].totals();
    assert_eq!((totals.stored, totals.dead_lettered), (6, 2));
    assert_eq!(
        letters
            .iter()
            .map(|letter| letter["sequence"].as_u64().unwrap())
            .collect::<Vec<_>>(),
        [2, 5]
    );
    assert_eq!(letters[0]["row"]["event_id"], "0001");
    assert_eq!(letters[0]["destination"], "memory:a");
    assert_eq!(letters[0]["reason"], "not wanted");
    assert!(letters[0]["record"].as_str().unwrap().len() > 20);
    collector.stop().await;
    assert_eq!(ids(&writer).len(), 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_destination_does_not_hold_up_the_others() {
    let (dead, alive) = (memory("dead"), memory("alive"));
    dead.play([Step::Hang]);
    let collector = Builder::new()
        .set("RUN__DRAIN", "1")
        .to(&dead)
        .to(&alive)
        .start()
        .await;
    send(&collector, &numbered(20)).await;
    eventually("the other one has all", || alive.rows().len() == 20).await;
    let pending: Vec<u64> = collector
        .ledger
        .destinations()
        .iter()
        .map(|destination| destination.pending())
        .collect();
    assert_eq!(pending, [20, 0]);
    assert!(!collector.stop().await.is_drained);
    assert!(dead.rows().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_optional_destination_that_falls_behind_is_detached_and_counted() {
    let (slow, good) = (memory("slow"), memory("good"));
    slow.play((0..10).map(|_| Step::Fail));
    let optional = DeliveryConfig {
        max_lag: NonZeroU64::new(10),
        backoff: Duration::from_millis(80),
        ..IMPATIENT
    };
    let optional = DeliveryConfig {
        backoff_max: Duration::from_millis(80),
        ..optional
    };
    let collector = Builder::new()
        .with_target(Arc::clone(&slow) as Arc<dyn Writer>, optional)
        .to(&good)
        .start()
        .await;
    send(&collector, &numbered(300)).await;
    eventually("both have settled", || {
        collector
            .ledger
            .destinations()
            .iter()
            .all(|d| d.pending() == 0)
    })
    .await;
    let totals: Vec<_> = collector
        .ledger
        .destinations()
        .iter()
        .map(|d| d.totals())
        .collect();
    assert!(totals[0].expired > 0, "{totals:?}");
    assert_eq!(totals[0].expired + totals[0].stored, 300);
    assert_eq!(totals[1].stored, 300);
    collector.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_optional_destination_that_is_gone_for_good_does_not_hold_the_log() {
    let (gone, hanging, good) = (memory("gone"), memory("hanging"), memory("good"));
    gone.away(true);
    hanging.play((0..1_000).map(|_| Step::Hang));
    let optional = DeliveryConfig {
        max_lag: NonZeroU64::new(10),
        ..IMPATIENT
    };
    let collector = Builder::new()
        .set("RUN__DRAIN", "1")
        .with_target(Arc::clone(&gone) as Arc<dyn Writer>, optional)
        .with_target(Arc::clone(&hanging) as Arc<dyn Writer>, optional)
        .to(&good)
        .start()
        .await;
    send(&collector, &numbered(100)).await;
    eventually("what they do not take is given up", || {
        let pending: Vec<u64> = collector
            .ledger
            .destinations()
            .iter()
            .map(|destination| destination.pending())
            .collect();
        pending[0] <= 10 && pending[1] <= 10 && pending[2] == 0
    })
    .await;
    let totals: Vec<_> = collector
        .ledger
        .destinations()
        .iter()
        .map(|d| (d.totals().stored, d.totals().expired >= 90))
        .collect();
    assert_eq!(totals, [(0, true), (0, true), (100, false)]);
    gone.away(false);
    collector.takes(&event("after")).await;
    eventually("it takes what comes once it is back", || {
        ids(&gone).last().is_some_and(|id| id == "after")
    })
    .await;
    collector.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn duplicates_that_nobody_waited_for_are_counted() {
    let writer = memory("a");
    writer.play([Step::Hang]);
    let collector = Builder::new()
        .set("DELIVERY__ACKNOWLEDGE", "written")
        .set("HTTP__REQUEST_TIMEOUT", "0.2")
        .set("RUN__DRAIN", "1")
        .to(&writer)
        .start()
        .await;
    for _ in 0..3 {
        assert_eq!(post(collector.address, &event("e")).await.status, 503);
    }
    eventually("they are counted", || {
        collector.ledger.intake().duplicate == 2
    })
    .await;
    assert!(!collector.stop().await.is_drained);
}

#[tokio::test(flavor = "multi_thread")]
async fn written_answers_when_every_required_destination_has_it() {
    let (first, second) = (memory("first"), memory("second"));
    second.play([Step::Slow(Duration::from_millis(300))]);
    let collector = Builder::new()
        .set("DELIVERY__ACKNOWLEDGE", "written")
        .to(&first)
        .to(&second)
        .start()
        .await;
    let begun = Instant::now();
    collector.takes(&event("e")).await;
    assert!(begun.elapsed() >= Duration::from_millis(300));
    assert_eq!((first.rows().len(), second.rows().len()), (1, 1));
    collector.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn written_refuses_what_takes_too_long_and_counts_what_comes_late() {
    let writer = memory("a");
    writer.play([Step::Slow(Duration::from_millis(900))]);
    let collector = Builder::new()
        .set("DELIVERY__ACKNOWLEDGE", "written")
        .set("HTTP__REQUEST_TIMEOUT", "0.3")
        .to(&writer)
        .start()
        .await;
    let answer = post(collector.address, &event("e")).await;
    assert_eq!(
        (answer.status, answer.json()["code"].as_str()),
        (503, Some("timeout"))
    );
    assert!(answer.header("Retry-After").is_some());
    eventually("it is stored all the same", || writer.rows().len() == 1).await;
    let late = async || {
        metrics(collector.address)
            .await
            .contains("events_late_total 1")
    };
    let begun = Instant::now();
    while !late().await {
        assert!(
            begun.elapsed() < Duration::from_secs(10),
            "it is not counted as late"
        );
    }
    collector.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn written_works_on_a_memory_log() {
    let writer = memory("a");
    let collector = Builder::new()
        .set("LOG__KIND", "memory")
        .set("DELIVERY__ACKNOWLEDGE", "written")
        .to(&writer)
        .start()
        .await;
    collector.takes(&event("e")).await;
    assert_eq!(writer.rows().len(), 1);
    collector.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn queued_answers_before_anything_is_durable() {
    let disk = Arc::new(real_streaming::durable::SimulatedDisk::new());
    let writer = memory("a");
    let collector = Builder::new()
        .on_disk(Arc::clone(&disk) as _)
        .set("DELIVERY__ACKNOWLEDGE", "queued")
        .to(&writer)
        .start()
        .await;
    collector.takes(&event("first")).await;
    eventually("it is stored", || writer.rows().len() == 1).await;
    disk.block_syncs(true);
    collector.takes(&event("second")).await;
    assert_eq!(writer.rows().len(), 1, "not durable, so not delivered");
    disk.block_syncs(false);
    collector.stop().await;
    assert_eq!(ids(&writer), ["first", "second"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_hangs_does_not_hold_up_the_end() {
    let disk = Arc::new(real_streaming::durable::SimulatedDisk::new());
    let writer = memory("a");
    let collector = Builder::new()
        .on_disk(Arc::clone(&disk) as _)
        .set("DELIVERY__ACKNOWLEDGE", "queued")
        .set("RUN__DRAIN", "1")
        .to(&writer)
        .start()
        .await;
    disk.block_syncs(true);
    collector.takes(&event("1")).await;
    let begun = Instant::now();
    let _checked_apart = collector.stop_unchecked().await;
    assert!(begun.elapsed() < Duration::from_secs(3));
    disk.block_syncs(false);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_log_refuses_at_once_and_recovers_by_itself() {
    for kind in ["disk", "memory"] {
        let writer = memory("a");
        writer.play((0..200).map(|_| Step::Fail));
        let collector = Builder::new()
            .set("LOG__KIND", kind)
            .set(
                "DELIVERY__ACKNOWLEDGE",
                if kind == "disk" { "spooled" } else { "queued" },
            )
            .set("LOG__MAX_BYTES", "256KiB")
            .set("LOG__SEGMENT_BYTES", "64KiB")
            .set("DEDUPE__WINDOW", "600")
            .to(&writer)
            .start()
            .await;
        let mut taken = Vec::new();
        let refused = loop {
            let id = format!("{:05}", taken.len());
            let answer = post(collector.address, &event(&id)).await;
            if answer.status != 200 {
                break answer;
            }
            taken.push(id);
            assert!(taken.len() < 20_000, "the log is never full");
        };
        assert_eq!(
            (refused.status, refused.json()["code"].as_str()),
            (503, Some("unavailable")),
            "{kind}"
        );
        assert!(refused.header("Retry-After").is_some());
        assert_eq!(
            request(collector.address, "GET", "/readiness", &[], b"")
                .await
                .status,
            503
        );
        assert_eq!(
            request(collector.address, "GET", "/liveness", &[], b"")
                .await
                .status,
            200
        );
        eventually("it is delivered", || {
            collector.ledger.destinations()[0].pending() == 0
        })
        .await;
        let begun = Instant::now();
        while post(collector.address, &event("after")).await.status != 200 {
            assert!(
                begun.elapsed() < Duration::from_secs(10),
                "{kind}: it does not recover"
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        taken.push("after".to_owned());
        collector.stop().await;
        assert_eq!(
            ids(&writer),
            taken,
            "{kind}: what was taken is stored, what was refused is not"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_has_not_is_not_forgotten() {
    let (quick, away) = (memory("a"), memory("b"));
    away.away(true);
    let collector = Builder::new()
        .set("LOG__MAX_BYTES", "256KiB")
        .set("LOG__SEGMENT_BYTES", "16KiB")
        .set("DEDUPE__WINDOW", "0.05")
        .to(&quick)
        .to(&away)
        .start()
        .await;
    let mut taken = Vec::new();
    loop {
        let id = format!("{:05}", taken.len());
        if post(collector.address, &event(&id)).await.status != 200 {
            break;
        }
        taken.push(id);
        assert!(taken.len() < 20_000, "the log forgets what one has not");
    }
    away.away(false);
    eventually("both have all", || {
        let destinations = collector.ledger.destinations();
        destinations.iter().all(|one| one.pending() == 0)
    })
    .await;
    collector.stop().await;
    assert_eq!(ids(&quick), taken);
    assert_eq!(ids(&away), taken);
}
