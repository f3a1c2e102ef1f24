//! Stopping, starting again, and logs that are not what they were.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use real_streaming::pipeline::{Cursor, Told};
use real_streaming::schema::{Kind, LogId, Record, SequenceNumber};
use real_streaming::writer::memory::{MemoryWriter, Step};
use real_streaming::writer::{Batch, Writer};
use uuid::Uuid;

use crate::support::collector::{QUICK, ids, memory};
use crate::support::{Builder, event, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_is_delivered_at_the_next_start() {
    let writer = memory("a");
    writer.play([Step::Hang]);
    let collector = Builder::new()
        .set("RUN__DRAIN", "0.5")
        .to(&writer)
        .start()
        .await;
    for id in ["1", "2", "3"] {
        collector.takes(&event(id)).await;
    }
    let folder = Arc::clone(&collector.folder);
    assert!(!collector.stop().await.is_drained);
    assert!(writer.rows().is_empty());

    let collector = Builder::in_folder(folder).to(&writer).start().await;
    collector.takes(&event("4")).await;
    assert_eq!(collector.ledger.intake().appended, 4, "totals go on");
    assert!(collector.stop().await.is_drained);
    assert_eq!(ids(&writer), ["1", "2", "3", "4"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_delivers_what_waits_for_more() {
    let patient = real_streaming::writer::Limits {
        age: std::time::Duration::from_secs(3_600),
        ..QUICK
    };
    let writer = Arc::new(MemoryWriter::new("a", patient, usize::MAX, true));
    let collector = Builder::new().to(&writer).start().await;
    collector.takes(&event("1")).await;
    assert!(collector.stop().await.is_drained);
    assert_eq!(ids(&writer), ["1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn duplicates_are_told_over_a_restart() {
    let writer = memory("a");
    let collector = Builder::new().to(&writer).start().await;
    collector.takes(&event("1")).await;
    let folder = Arc::clone(&collector.folder);
    collector.stop().await;
    let collector = Builder::in_folder(folder).to(&writer).start().await;
    collector.takes(&event("1")).await;
    collector.takes(&event("2")).await;
    assert_eq!(collector.ledger.intake().duplicate, 1);
    collector.stop().await;
    assert_eq!(ids(&writer), ["1", "2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_position_of_the_destination_counts_if_the_cursor_is_behind() {
    let writer = memory("a");
    let collector = Builder::new().to(&writer).start().await;
    let folder = Arc::clone(&collector.folder);
    let cursors = folder.path().join("log/cursors");
    let before = copy_of(&cursors);
    for id in ["1", "2"] {
        collector.takes(&event(id)).await;
    }
    eventually("it is stored", || writer.rows().len() == 2).await;
    collector.stop().await;
    // As if the process had died between the write and the cursor.
    restore(&cursors, &before);
    let collector = Builder::in_folder(folder).to(&writer).start().await;
    collector.takes(&event("3")).await;
    let totals = collector.ledger.destinations()[0].totals();
    assert!(totals.stored >= 2, "{totals:?}");
    collector.stop().await;
    assert_eq!(ids(&writer), ["1", "2", "3"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_position_the_cursor_decides() {
    let writer = Arc::new(MemoryWriter::new("a", QUICK, usize::MAX, false));
    let collector = Builder::new().to(&writer).start().await;
    collector.takes(&event("1")).await;
    let folder = Arc::clone(&collector.folder);
    collector.stop().await;
    let collector = Builder::in_folder(folder).to(&writer).start().await;
    collector.takes(&event("2")).await;
    collector.stop().await;
    assert_eq!(ids(&writer), ["1", "2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_before_a_crash_is_not_written_twice() {
    let writer = memory("a");
    writer.reject([SequenceNumber(2)]);
    let collector = Builder::new().to(&writer).start().await;
    let folder = Arc::clone(&collector.folder);
    let cursors = folder.path().join("log/cursors");
    let before = copy_of(&cursors);
    for id in ["1", "2", "3"] {
        collector.takes(&event(id)).await;
    }
    eventually("all are settled", || {
        collector.ledger.destinations()[0].pending() == 0
    })
    .await;
    collector.stop().await;
    restore(&cursors, &before);

    // The rows before the position of the destination are settled: two stored, one in the dead letter.
    let collector = Builder::in_folder(Arc::clone(&folder))
        .to(&writer)
        .start()
        .await;
    assert_eq!(collector.dead_letters().len(), 1);
    let totals = collector.ledger.destinations()[0].totals();
    assert_eq!((totals.stored, totals.dead_lettered), (2, 1));
    collector.stop().await;
    restore(&cursors, &before);

    // A destination without positions gets them again, but not what the dead letter has: be it that it would take it now.
    for rejects in [true, false] {
        let forgetful = Arc::new(MemoryWriter::new("a", QUICK, usize::MAX, false));
        if rejects {
            forgetful.reject([SequenceNumber(2)]);
        }
        let folder = Arc::clone(&folder);
        let collector = Builder::in_folder(folder).to(&forgetful).start().await;
        eventually("all are settled", || {
            collector.ledger.destinations()[0].pending() == 0
        })
        .await;
        assert_eq!(collector.dead_letters().len(), 1);
        let totals = collector.ledger.destinations()[0].totals();
        assert_eq!((totals.stored, totals.dead_lettered), (2, 1));
        collector.stop().await;
        assert_eq!(ids(&forgetful), ["1", "3"]);
        restore(&cursors, &before);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_destination_begins_at_the_end_or_at_the_oldest() {
    for (from, expected) in [("newest", vec!["2"]), ("oldest", vec!["1", "2"])] {
        let first = memory("first");
        let collector = Builder::new().to(&first).start().await;
        collector.takes(&event("1")).await;
        let folder = Arc::clone(&collector.folder);
        collector.stop().await;
        let second = Arc::new(MemoryWriter::new("second", QUICK, usize::MAX, false));
        let collector = Builder::in_folder(folder)
            .set("WRITERS__FROM", from)
            .to(&first)
            .to(&second)
            .start()
            .await;
        collector.takes(&event("2")).await;
        eventually("the new one has its rows", || ids(&second) == expected).await;
        eventually("all are settled", || {
            collector
                .ledger
                .destinations()
                .iter()
                .all(|d| d.pending() == 0)
        })
        .await;
        let _checked_apart = collector.abort().await;
        assert_eq!(ids(&first), ["1", "2"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rewound_log_goes_on_behind_the_numbers_in_use() {
    let writer = memory("a");
    let collector = Builder::new().to(&writer).start().await;
    let folder = Arc::clone(&collector.folder);
    collector.takes(&event("1")).await;
    collector.stop().await;
    let log = folder.path().join("log");
    let backup = copy_of_tree(&log);
    let collector = Builder::in_folder(Arc::clone(&folder))
        .to(&writer)
        .start()
        .await;
    for id in ["2", "3", "4"] {
        collector.takes(&event(id)).await;
    }
    collector.stop().await;
    // The folder is put back to what it was: the destination is ahead of it.
    restore_tree(&log, &backup);
    let collector = Builder::in_folder(folder).to(&writer).start().await;
    for id in ["5", "6"] {
        collector.takes(&event(id)).await;
    }
    eventually("the new ones are stored too", || {
        ids(&writer) == ["1", "2", "3", "4", "5", "6"]
    })
    .await;
    let sequences: Vec<u64> = writer
        .rows()
        .iter()
        .map(|record| record.sequence.0)
        .collect();
    assert_eq!(sequences, [1, 2, 3, 4, 5, 6], "no number is used twice");
    collector.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rewound_log_is_noticed_also_by_a_destination_that_answers_late() {
    for answers_within_that_life in [true, false] {
        let writer = memory("a");
        let collector = Builder::new().to(&writer).start().await;
        let folder = Arc::clone(&collector.folder);
        collector.takes(&event("1")).await;
        collector.stop().await;
        let log = folder.path().join("log");
        let backup = copy_of_tree(&log);
        let collector = Builder::in_folder(Arc::clone(&folder))
            .to(&writer)
            .start()
            .await;
        for id in ["2", "3", "4"] {
            collector.takes(&event(id)).await;
        }
        collector.stop().await;
        restore_tree(&log, &backup);

        // It gives the numbers 2 to 5 again, two of which the destination holds.
        writer.away(true);
        let collector = Builder::in_folder(Arc::clone(&folder))
            .set("RUN__DRAIN", "0.5")
            .to(&writer)
            .start()
            .await;
        for id in ["5", "6", "7", "8"] {
            collector.takes(&event(id)).await;
        }
        if answers_within_that_life {
            writer.away(false);
            let failures = collector.ledger.destinations()[0].failures();
            eventually("it was asked", || {
                collector.ledger.destinations()[0].failures() > failures + 1
            })
            .await;
        }
        assert!(!collector.stop().await.is_drained);
        assert_eq!(ids(&writer), ["1", "2", "3", "4"]);

        writer.away(false);
        let collector = Builder::in_folder(folder).to(&writer).start().await;
        collector.takes(&event("9")).await;
        collector.stop().await;
        assert_eq!(
            ids(&writer),
            ["1", "2", "3", "4", "5", "6", "7", "8", "9"],
            "{answers_within_that_life}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_copy_wrote_under_the_old_identity_stops_nobody() {
    let [new, old] = [1, 2].map(|number| LogId(Uuid::from_u128(number)));
    let told = async |writer: &MemoryWriter, identities: &[LogId]| {
        let mut cursor = Cursor::beginning("memory:a", old, SequenceNumber::ZERO);
        cursor.unheard_since = Some(3);
        Told::by(writer, identities, &cursor).await.unwrap()
    };
    let writer = memory("a");
    let record = |number| Record {
        sequence: SequenceNumber(number),
        kind: Kind::Event,
        payload: Default::default(),
    };
    // The first log has gone on to 7 since it was copied at 3.
    let batch = Batch {
        log_id: old,
        records: (1..=7).map(record).collect(),
        last: SequenceNumber(7),
        previous: None,
    };
    writer.write(&batch).await.unwrap();
    let of_copy = told(&writer, &[new, old]).await;
    assert_eq!(
        (of_copy.position, of_copy.beyond),
        (Some(SequenceNumber(3)), None)
    );
    // Under an identity that nobody has changed, it is this log that was rewound.
    let rewound = told(&writer, &[old]).await;
    assert_eq!(rewound.beyond, Some(SequenceNumber(7)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewed_log_knows_what_a_destination_has_under_its_old_name() {
    let (ahead, late) = (memory("ahead"), memory("late"));
    let both = |folder| Builder::in_folder(folder).to(&ahead).to(&late);
    let collector = Builder::new().to(&ahead).to(&late).start().await;
    let folder = Arc::clone(&collector.folder);
    collector.takes(&event("1")).await;
    collector.stop().await;
    let log = folder.path().join("log");
    let cursors = copy_of(&log.join("cursors"));
    let collector = both(Arc::clone(&folder)).start().await;
    collector.takes(&event("2")).await;
    collector.stop().await;
    let backup = copy_of_tree(&log);
    let collector = Builder::in_folder(Arc::clone(&folder))
        .to(&ahead)
        .start()
        .await;
    collector.takes(&event("3")).await;
    collector.stop().await;
    // The log is rewound to the second event, the cursors to the first; one destination does not answer.
    restore_tree(&log, &backup);
    restore(&log.join("cursors"), &cursors);
    late.away(true);
    let collector = both(Arc::clone(&folder))
        .set("RUN__DRAIN", "0.5")
        .start()
        .await;
    assert!(!collector.stop().await.is_drained);
    late.away(false);
    let collector = both(folder).start().await;
    collector.takes(&event("4")).await;
    eventually("both have it", || ids(&late).len() + ids(&ahead).len() >= 7).await;
    let _checked_apart = collector.abort().await;
    assert_eq!(ids(&ahead), ["1", "2", "3", "4"]);
    assert_eq!(ids(&late), ["1", "2", "4"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_destination_has_already_is_answered_at_once() {
    let writer = memory("a");
    let collector = Builder::new().to(&writer).start().await;
    let folder = Arc::clone(&collector.folder);
    let cursors = folder.path().join("log/cursors");
    let before = copy_of(&cursors);
    collector.takes(&event("1")).await;
    eventually("it is stored", || writer.rows().len() == 1).await;
    collector.stop().await;
    restore(&cursors, &before);
    for is_away in [false, true] {
        writer.away(is_away);
        let collector = Builder::in_folder(Arc::clone(&folder))
            .set("DELIVERY__ACKNOWLEDGE", "written")
            .to(&writer)
            .start()
            .await;
        writer.away(false);
        collector.takes(&event("1")).await;
        collector.stop().await;
        restore(&cursors, &before);
    }
    assert_eq!(ids(&writer), ["1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_process_on_the_same_log_is_refused() {
    let writer = memory("a");
    let collector = Builder::new().to(&writer).start().await;
    let second = Builder::in_folder(Arc::clone(&collector.folder))
        .to(&writer)
        .try_start()
        .await;
    let refusal = second.expect_err("it must not start");
    assert!(refusal.contains("log"), "{refusal}");
    collector.takes(&event("1")).await;
    collector.stop().await;
    assert_eq!(ids(&writer), ["1"]);
}

type Files = Vec<(std::path::PathBuf, Vec<u8>)>;

fn copy_of(folder: &Path) -> Files {
    let files = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file());
    files
        .map(|path| (path.clone(), fs::read(path).unwrap()))
        .collect()
}

fn restore(folder: &Path, files: &Files) {
    for (path, _) in copy_of(folder) {
        fs::remove_file(path).unwrap();
    }
    for (path, bytes) in files {
        fs::write(path, bytes).unwrap();
    }
}

fn copy_of_tree(folder: &Path) -> Files {
    let mut files = copy_of(folder);
    for entry in fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
    {
        files.extend(copy_of_tree(&entry));
    }
    files
}

/// The folder as it was; the file that is locked stays where it is, or it would be a copy's.
fn restore_tree(folder: &Path, files: &Files) {
    for (path, _) in copy_of_tree(folder) {
        if !path.ends_with("lock") {
            fs::remove_file(path).unwrap();
        }
    }
    for (path, bytes) in files {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}
