//! The ledger as rows: they add up to the totals by minute and stream, whatever fails.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use real_streaming::durable::SimulatedDisk;
use real_streaming::ledger::{DestinationTotals, IntakeTotals};
use real_streaming::schema::SequenceNumber;
use real_streaming::writer::memory::{MemoryWriter, Step};
use tempfile::TempDir;

use crate::support::client::Answer;
use crate::support::collector::{Collector, IMPATIENT, QUICK, events, memory};
use crate::support::disk::Stubborn;
use crate::support::ledger::{Keeping, Mood, Sums, Table};
use crate::support::{Builder, event, eventually, every_sync_fails, request};

mod tables;

async fn post_to(collector: &Collector, stream: &str, body: &str) -> Answer {
    let path = format!("/api/v1/streaming/{stream}");
    request(collector.address, "POST", &path, &[], body.as_bytes()).await
}

fn builder(rows: &Arc<MemoryWriter>, table: &Arc<Table>) -> Builder {
    Builder::new().with_target(Keeping::writer(rows, table), IMPATIENT)
}

fn again(folder: &Arc<TempDir>, rows: &Arc<MemoryWriter>, table: &Arc<Table>) -> Builder {
    Builder::in_folder(Arc::clone(folder)).with_target(Keeping::writer(rows, table), IMPATIENT)
}

fn totals(collector: &Collector) -> (IntakeTotals, DestinationTotals) {
    let ledger = &collector.ledger;
    (ledger.intake(), ledger.destinations()[0].totals())
}

async fn all_delivered(collector: &Collector) {
    let ledger = Arc::clone(&collector.ledger);
    eventually("all is delivered", move || {
        ledger
            .destinations()
            .iter()
            .all(|destination| destination.pending() == 0)
    })
    .await;
}

/// Stops it and expects that the rows are the totals.
async fn stopped(collector: Collector, table: &Table) -> Sums {
    let ledger = Arc::clone(&collector.ledger);
    collector.stop().await;
    let sums = Sums::of(&table.distinct());
    sums.are(ledger.intake(), ledger.destinations()[0].totals());
    sums
}

/// How many rows a destination holds of each minute and stream.
fn present(writer: &MemoryWriter) -> BTreeMap<(i64, Option<String>), i64> {
    let mut present = BTreeMap::new();
    for event in events(writer) {
        let minute = event.synced_at_micros.unwrap().div_euclid(60_000_000) * 60_000_000;
        *present.entry((minute, event.stream_id)).or_default() += 1;
    }
    present
}

fn stored(sums: &Sums) -> BTreeMap<(i64, Option<String>), i64> {
    let mut stored = BTreeMap::new();
    for ((minute, stream, is_delivered, outcome), events) in &sums.0 {
        if *is_delivered && outcome == "stored" {
            *stored.entry((*minute, stream.clone())).or_default() += events;
        }
    }
    stored
}

/// Good events, duplicates and wrong fields from two streams; every stream's first row is refused by the destination.
async fn mixed_load(collector: &Collector) {
    for (stream, count) in [("shop", 6), ("blog", 3)] {
        for id in 0..count {
            let answer = post_to(collector, stream, &event(&format!("{stream}{id}"))).await;
            assert_eq!(answer.status, 200, "{}", answer.body);
        }
        post_to(collector, stream, &event(&format!("{stream}0"))).await;
        let mixed = format!(r#"[{}, {{"event_name":""}}]"#, event(&format!("{stream}0")));
        assert_eq!(post_to(collector, stream, &mixed).await.status, 422);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mixed_load_balances_by_minute_and_stream() {
    let (rows, table) = (memory("a"), Arc::new(Table::default()));
    rows.reject([SequenceNumber(1), SequenceNumber(7)]);
    let collector = builder(&rows, &table)
        .set("LEDGER__INTERVAL", "0.05")
        .start()
        .await;
    mixed_load(&collector).await;
    all_delivered(&collector).await;
    let sums = stopped(collector, &table).await;
    for (stream, received, good) in [("shop", 9, 6), ("blog", 6, 3)] {
        let stream = Some(stream);
        assert_eq!(
            sums.stream(stream, false, "received"),
            received,
            "{sums:#?}"
        );
        assert_eq!(sums.stream(stream, false, "appended"), good);
        assert_eq!(sums.stream(stream, false, "duplicate"), 2);
        assert_eq!(sums.stream(stream, false, "rejected/field"), 1);
        assert_eq!(sums.stream(stream, true, "stored"), good - 1);
        assert_eq!(sums.stream(stream, true, "dead_lettered"), 1);
    }
    assert!(
        sums.0.keys().all(|(_, stream, _, _)| stream.is_some()),
        "nothing is unknown: {sums:#?}"
    );
    assert_eq!(stored(&sums), present(&rows), "as many rows as are there");
    let ids: Vec<_> = table
        .rows
        .lock()
        .unwrap()
        .iter()
        .map(|row| row.log_id.clone())
        .collect();
    assert!(
        ids.windows(2)
            .all(|ids| ids[0] == ids[1] && ids[0].is_some())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_fails_holds_up_nothing_and_gets_all_later() {
    let (rows, table) = (memory("a"), Arc::new(Table::default()));
    table.be(Mood::Fails);
    let collector = builder(&rows, &table)
        .set("LEDGER__INTERVAL", "0.02")
        .start()
        .await;
    mixed_load(&collector).await;
    all_delivered(&collector).await;
    eventually("it is tried again", || {
        table.attempts.load(Ordering::Relaxed) > 3
    })
    .await;
    assert!(table.rows.lock().unwrap().is_empty());
    // Also over a restart, and with the answers lost that say that rows were taken.
    let folder = Arc::clone(&collector.folder);
    collector.stop().await;
    table.be(Mood::LosesAnswers);
    let collector = again(&folder, &rows, &table)
        .set("LEDGER__INTERVAL", "0.02")
        .start()
        .await;
    post_to(&collector, "shop", &event("later")).await;
    all_delivered(&collector).await;
    let (intake, _) = totals(&collector);
    eventually("its rows are there", || {
        Sums::of(&table.distinct()).total(false, "appended") == intake.appended as i64
    })
    .await;
    table.be(Mood::Takes);
    let sums = stopped(collector, &table).await;
    let rows_in_all = table.rows.lock().unwrap().len();
    assert!(rows_in_all > table.distinct().len(), "some came twice");
    assert_eq!(stored(&sums), present(&rows));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_hangs_does_not_keep_the_process() {
    let (rows, table) = (memory("a"), Arc::new(Table::default()));
    table.be(Mood::Hangs);
    let collector = builder(&rows, &table).set("RUN__DRAIN", "1").start().await;
    let folder = Arc::clone(&collector.folder);
    post_to(&collector, "shop", &event("1")).await;
    all_delivered(&collector).await;
    assert!(collector.stop().await.is_drained);
    table.be(Mood::Takes);
    let collector = again(&folder, &rows, &table).start().await;
    let sums = stopped(collector, &table).await;
    assert_eq!(sums.stream(Some("shop"), true, "stored"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn sums_are_exact_after_ends_without_warning() {
    let (rows, mut table) = (memory("a"), Arc::new(Table::default()));
    rows.reject([SequenceNumber(3)]);
    let folder = Arc::clone(&Builder::new().folder);
    let mut disk = Arc::new(SimulatedDisk::new());
    for round in 0..6 {
        table.be(Mood::LosesAnswers);
        rows.away(false);
        let collector = again(&folder, &rows, &table)
            .set("LEDGER__INTERVAL", "0.03")
            .on_disk(Arc::clone(&disk) as Arc<_>)
            .start()
            .await;
        for id in 0..20 {
            let body = format!("[{}, {}]", event(&format!("{round}-{id}")), event("same"));
            post_to(&collector, "shop", &body).await;
        }
        if round % 2 == 0 {
            all_delivered(&collector).await;
        }
        // From here on it must leave no trace that the disk does not show, however long it lives.
        rows.away(true);
        table.be(Mood::Fails);
        disk = Arc::new(disk.crash(round));
        collector.abort().await;
        table = table.for_another();
    }
    rows.away(false);
    let collector = again(&folder, &rows, &table)
        .on_disk(Arc::clone(&disk) as Arc<_>)
        .start()
        .await;
    all_delivered(&collector).await;
    let sums = stopped(collector, &table).await;
    assert_eq!(sums.total(false, "appended"), 121);
    assert_eq!(sums.total(true, "stored"), 120);
    assert_eq!(rows.rows().len(), 120);
}

#[tokio::test(flavor = "multi_thread")]
async fn counts_of_a_cursor_that_is_not_stored_are_not_booked() {
    let table = Arc::new(Table::default());
    // Remembers no position: what the cursor does not say comes again.
    let rows = Arc::new(MemoryWriter::new("a", QUICK, usize::MAX, false));
    let disk = Arc::new(Stubborn::new(SimulatedDisk::new(), "cursors"));
    let collector = builder(&rows, &table)
        .set("LEDGER__INTERVAL", "0.02")
        .on_disk(Arc::clone(&disk) as Arc<_>)
        .start()
        .await;
    let folder = Arc::clone(&collector.folder);
    post_to(&collector, "shop", &event("1")).await;
    let booked = |is_delivered, outcome| Sums::of(&table.distinct()).total(is_delivered, outcome);
    eventually("it is booked", || booked(true, "stored") == 1).await;
    disk.refuse(true);
    post_to(&collector, "shop", &event("2")).await;
    all_delivered(&collector).await;
    // Once this one is booked, the other one was counted when that was.
    post_to(&collector, "shop", &event("3")).await;
    eventually("it is booked", || booked(false, "appended") == 3).await;
    all_delivered(&collector).await;
    rows.away(true);
    table.be(Mood::Fails);
    let after = Arc::new(disk.disk.crash(0));
    collector.abort().await;

    let table = table.for_another();
    rows.away(false);
    rows.reject([SequenceNumber(2), SequenceNumber(3)]);
    let collector = again(&folder, &rows, &table)
        .on_disk(after as Arc<_>)
        .start()
        .await;
    all_delivered(&collector).await;
    let sums = stopped(collector, &table).await;
    assert_eq!(sums.total(true, "stored"), 1);
    assert_eq!(sums.total(true, "dead_lettered"), 2);
}

/// What a crash would make forgotten must not be in the table: it would be booked once more.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_is_not_stored_is_not_sent() {
    let (rows, table) = (memory("a"), Arc::new(Table::default()));
    let disk = Arc::new(Stubborn::new(SimulatedDisk::new(), "ledger"));
    let collector = builder(&rows, &table)
        .set("LEDGER__INTERVAL", "0.02")
        .on_disk(Arc::clone(&disk) as Arc<_>)
        .start()
        .await;
    let booked = || Sums::of(&table.distinct()).total(false, "appended");
    post_to(&collector, "shop", &event("1")).await;
    eventually("it is booked", || booked() == 1).await;
    disk.refuse(true);
    post_to(&collector, "shop", &event("2")).await;
    all_delivered(&collector).await;
    // Twenty times as long as it takes otherwise.
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert_eq!(booked(), 1);
    disk.refuse(false);
    eventually("the other one is booked, too", || booked() == 2).await;
    let sums = stopped(collector, &table).await;
    assert_eq!(sums.total(true, "stored"), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_could_not_be_committed_is_refused_where_it_came_from() {
    let (rows, table) = (memory("a"), Arc::new(Table::default()));
    let disk = Arc::new(SimulatedDisk::new());
    let collector = builder(&rows, &table)
        .set("LOG__DIR", "/log")
        .set("DEAD_LETTER__URI", "/dead_letter")
        .set("LEDGER__INTERVAL", "0.02")
        .on_disk(Arc::clone(&disk) as Arc<_>)
        .start()
        .await;
    post_to(&collector, "shop", &event("1")).await;
    // Only what the cursor says durably is booked.
    eventually("it is booked", || {
        Sums::of(&table.distinct()).total(true, "stored") == 1
    })
    .await;
    disk.set_sync_fault(Some(every_sync_fails()), false);
    assert_eq!(post_to(&collector, "blog", &event("2")).await.status, 503);
    disk.set_sync_fault(None, false);
    eventually("the log is mended", {
        let ledger = Arc::clone(&collector.ledger);
        move || ledger.intake().refused_broken > 0
    })
    .await;
    let sums = stopped(collector, &table).await;
    assert_eq!(sums.stream(Some("shop"), false, "appended"), 1);
    assert_eq!(sums.stream(Some("blog"), false, "refused/broken"), 1);
    assert_eq!(sums.stream(Some("blog"), false, "appended"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_table_is_complete_by_itself() {
    let (a, b) = (memory("a"), memory("b"));
    let (table_a, table_b) = (Arc::new(Table::default()), Arc::new(Table::default()));
    let collector = builder(&a, &table_a).start().await;
    for id in ["1", "2", "3"] {
        post_to(&collector, "shop", &event(id)).await;
    }
    post_to(&collector, "shop", r#"{"event_name":""}"#).await;
    all_delivered(&collector).await;
    let folder = Arc::clone(&collector.folder);
    stopped(collector, &table_a).await;

    // One that is new to the log is to get what comes from now on; a third keeps no rows.
    table_b.be(Mood::Fails);
    let plain = Arc::new(MemoryWriter::new("c", QUICK, usize::MAX, true));
    let collector = again(&folder, &a, &table_a)
        .with_target(Keeping::writer(&b, &table_b), IMPATIENT)
        .to(&plain)
        .set("LEDGER__INTERVAL", "0.02")
        .start()
        .await;
    b.play([Step::Fail, Step::WriteAndFail]);
    for id in ["4", "5"] {
        post_to(&collector, "blog", &event(id)).await;
    }
    all_delivered(&collector).await;
    let ledger = Arc::clone(&collector.ledger);
    eventually("one does not wait for the other", || {
        Sums::of(&table_a.distinct()).total(true, "stored") == 5
    })
    .await;
    assert!(table_b.rows.lock().unwrap().is_empty());
    table_b.be(Mood::Takes);
    collector.stop_unchecked().await;
    let sums = Sums::of(&table_a.distinct());
    sums.are(ledger.intake(), ledger.destinations()[0].totals());
    let sums = Sums::of(&table_b.distinct());
    assert_eq!(sums.stream(Some("blog"), false, "received"), 2, "{sums:#?}");
    assert_eq!(sums.total(false, "received"), 2);
    assert_eq!(sums.total(false, "appended"), 2);
    assert_eq!(sums.total(true, "stored"), 2);
    assert_eq!(sums.total(false, "rejected/field"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_in_memory_has_rows_too() {
    let (rows, table) = (memory("a"), Arc::new(Table::default()));
    rows.reject([SequenceNumber(2)]);
    let collector = builder(&rows, &table)
        .set("LOG__KIND", "memory")
        .set("DEAD_LETTER__URI", "none")
        .start()
        .await;
    for (id, status) in [("1", 200), ("2", 422), ("3", 200)] {
        assert_eq!(post_to(&collector, "shop", &event(id)).await.status, status);
    }
    let folder = collector.folder.path().join("log");
    let sums = stopped(collector, &table).await;
    assert_eq!(sums.stream(Some("shop"), true, "stored"), 2);
    assert_eq!(sums.stream(Some("shop"), true, "rejected"), 1);
    assert_eq!(sums.stream(Some("shop"), false, "appended"), 3);
    assert!(!folder.join("ledger").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_can_be_turned_off_and_make_up_for_it_later() {
    let (rows, table) = (memory("a"), Arc::new(Table::default()));
    let collector = builder(&rows, &table)
        .set("LEDGER__INTERVAL", "none")
        .start()
        .await;
    post_to(&collector, "shop", &event("1")).await;
    all_delivered(&collector).await;
    let folder = Arc::clone(&collector.folder);
    collector.stop().await;
    assert_eq!(table.attempts.load(Ordering::Relaxed), 0);
    let collector = again(&folder, &rows, &table).start().await;
    post_to(&collector, "shop", &event("2")).await;
    all_delivered(&collector).await;
    let sums = stopped(collector, &table).await;
    assert_eq!(sums.stream(None, true, "stored"), 1, "{sums:#?}");
    assert_eq!(sums.stream(Some("shop"), true, "stored"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_page_begins_anew_without_counting_twice() {
    let (rows, table) = (memory("a"), Arc::new(Table::default()));
    let collector = builder(&rows, &table).start().await;
    post_to(&collector, "shop", &event("1")).await;
    all_delivered(&collector).await;
    let folder = Arc::clone(&collector.folder);
    stopped(collector, &table).await;
    let pages = std::fs::read_dir(folder.path().join("log/ledger")).unwrap();
    let pages: Vec<PathBuf> = pages.map(|page| page.unwrap().path()).collect();
    assert_eq!(pages.len(), 1);
    std::fs::write(&pages[0], b"{\"start\":").unwrap();
    let collector = again(&folder, &rows, &table).start().await;
    post_to(&collector, "shop", &event("2")).await;
    all_delivered(&collector).await;
    stopped(collector, &table).await;
}
