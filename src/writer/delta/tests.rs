//! The writer on temporary directories: once, whole, durable, and tidy.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path as FsPath, PathBuf};
use std::sync::Mutex as StdMutex;
use std::sync::atomic::AtomicI64;

use arrow_array::cast::AsArray as _;
use arrow_array::types::{Date32Type, Int64Type};
use arrow_array::{Array as _, Date32Array, Int64Array, RecordBatch};
use arrow_schema::{DataType, Field, Schema};
use deltalake_core::kernel::EagerSnapshot;
use prost::Message as _;
use uuid::Uuid;

use super::*;
use crate::clock::{Micros, SystemClock};
use crate::schema::{Event, LedgerRow};
use crate::writer::LedgerBatch;

const DAY: i32 = 20_778;
const LOG: LogId = LogId(Uuid::from_u128(7));

#[derive(Debug)]
struct ManualClock(AtomicI64);

impl ManualClock {
    fn shared() -> Arc<Self> {
        Arc::new(Self(AtomicI64::new(SystemClock.now().0)))
    }

    fn advance(&self, seconds: i64) {
        self.0.fetch_add(seconds * 1_000_000, Ordering::Relaxed);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Micros {
        Micros(self.0.load(Ordering::Relaxed))
    }
}

/// Notes what is made durable, and fails where and as often as it is told to.
#[derive(Debug, Default)]
struct WatchedDisk {
    acts: StdMutex<Vec<String>>,
    fail: StdMutex<Option<(&'static str, usize)>>,
}

impl WatchedDisk {
    fn act(&self, act: &str, path: &FsPath) -> io::Result<()> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let kind = match () {
            () if name.ends_with(".tmp") && name.contains(".json") => "commit",
            () if name.ends_with(".tmp") && name.contains(".parquet") => "rows",
            () if name.ends_with(".json") => "commit",
            () if name.ends_with(".parquet") => "rows",
            () => &name,
        };
        let act = format!("{act} {kind}");
        let mut fail = self.fail.lock().unwrap();
        let failing = fail.filter(|(wanted, _)| *wanted == act);
        self.acts.lock().unwrap().push(act);
        if let Some((wanted, times)) = failing {
            *fail = (times > 1).then_some((wanted, times - 1));
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }
}

impl Disk for WatchedDisk {
    fn sync_file(&self, path: &FsPath) -> io::Result<()> {
        assert!(path.is_file());
        self.act("sync", path)
    }

    fn sync_directory(&self, path: &FsPath) -> io::Result<()> {
        assert!(path.is_dir());
        self.act("sync", path)
    }

    fn named(&self, path: &FsPath) {
        self.act("name", path).unwrap();
    }
}

fn record(sequence: u64, day: Option<i32>) -> Record {
    let event = Event {
        event_timestamp: i64::try_from(sequence).ok(),
        event_name: Some(format!("event {sequence}")),
        date: day,
        ..Event::default()
    };
    Record {
        sequence: SequenceNumber(sequence),
        kind: Kind::Event,
        payload: event.encode_to_vec().into(),
    }
}

fn batch(sequences: std::ops::RangeInclusive<u64>) -> Batch {
    Batch {
        log_id: LOG,
        last: SequenceNumber(*sequences.end()),
        records: sequences
            .map(|sequence| record(sequence, Some(DAY)))
            .collect(),
        previous: None,
    }
}

fn config(directory: &FsPath) -> Config {
    Config {
        uri: directory.join("table").display().to_string(),
        ..Config::default()
    }
}

fn writer(config: Config) -> DeltaWriter {
    DeltaWriter::new(config, SystemClock::shared()).unwrap()
}

async fn opened(directory: &FsPath) -> DeltaWriter {
    let writer = writer(config(directory));
    writer.open().await.unwrap();
    writer
}

async fn stored(directory: &FsPath) -> RecordBatch {
    newest(&config(directory).uri, 1_000_000).await.unwrap()
}

/// The sequence numbers of the stored events, newest first.
async fn sequences(directory: &FsPath) -> Vec<i64> {
    let rows = stored(directory).await;
    let times = rows.column_by_name("event_timestamp").unwrap();
    times.as_primitive::<Int64Type>().values().to_vec()
}

async fn live_files(directory: &FsPath) -> Vec<String> {
    let store = Location::parse(&config(directory).uri).unwrap();
    let store = store
        .existing(&(Arc::new(RealDisk) as Arc<dyn Disk>))
        .unwrap();
    let snapshot = EagerSnapshot::try_new(store.as_ref(), None).await.unwrap();
    let files = snapshot.log_data();
    files.iter().map(|file| file.path().into_owned()).collect()
}

fn files_in(directory: &FsPath, suffix: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_in(&path, suffix));
        } else if path.to_string_lossy().ends_with(suffix) {
            found.push(path);
        }
    }
    found
}

#[tokio::test]
async fn what_is_written_is_read_and_remembered() {
    let directory = tempfile::tempdir().unwrap();
    let first = opened(directory.path()).await;
    assert_eq!(first.position(LOG).await.unwrap(), None);
    first.write(&batch(1..=3)).await.unwrap();
    first.write(&batch(4..=4)).await.unwrap();
    assert_eq!(sequences(directory.path()).await, [4, 3, 2, 1]);
    let rows = stored(directory.path()).await;
    let names = rows.column_by_name("event_name").unwrap();
    assert_eq!(names.as_string::<i32>().value(0), "event 4");
    let days = rows.column_by_name("date").unwrap();
    assert_eq!(days.as_primitive::<Date32Type>().value(3), DAY);
    let two = newest(&config(directory.path()).uri, 2).await.unwrap();
    assert_eq!(two.num_rows(), 2);
    first.close().await;
    assert!(matches!(
        first.write(&batch(5..=5)).await,
        Err(WriteError::Transient { .. })
    ));

    let second = opened(directory.path()).await;
    assert_eq!(second.position(LOG).await.unwrap(), Some(SequenceNumber(4)));
    assert_eq!(second.position(LogId(Uuid::nil())).await.unwrap(), None);
    let uri = config(directory.path()).uri;
    assert_eq!(position(&uri, LOG).await.unwrap(), Some(SequenceNumber(4)));
    assert!(second.name().starts_with("delta:file:///"));
}

#[tokio::test]
async fn what_is_stored_is_not_stored_again() {
    let directory = tempfile::tempdir().unwrap();
    let writer = opened(directory.path()).await;
    writer.write(&batch(1..=3)).await.unwrap();
    writer.write(&batch(1..=3)).await.unwrap();
    writer.write(&batch(2..=5)).await.unwrap();
    assert_eq!(sequences(directory.path()).await, [5, 4, 3, 2, 1]);
    let mut nothing_new = batch(1..=1);
    nothing_new.last = SequenceNumber(9);
    writer.write(&nothing_new).await.unwrap();
    assert_eq!(writer.position(LOG).await.unwrap(), Some(SequenceNumber(9)));
    assert_eq!(sequences(directory.path()).await.len(), 5);
}

#[tokio::test]
async fn rows_of_the_ledger_that_come_again_are_there_once() {
    let directory = tempfile::tempdir().unwrap();
    let batch = |number, events| LedgerBatch {
        log_id: LOG,
        number,
        rows: vec![LedgerRow {
            minute: Some(number as i64),
            events: Some(events),
            date: Some(DAY),
            ..LedgerRow::default()
        }],
    };
    let begin = || writer(config(directory.path())).ledger().unwrap().unwrap();
    let table = begin();
    table.write(&batch(5, 1)).await.unwrap();
    table.write(&batch(5, 1)).await.unwrap();
    table.close().await;
    // The answer may have come too late for the process before.
    let table = begin();
    table.write(&batch(5, 1)).await.unwrap();
    table.write(&batch(6, 2)).await.unwrap();
    table.close().await;
    let uri = format!("{}_ledger", config(directory.path()).uri);
    let rows = newest(&uri, 100).await.unwrap();
    let events = rows.column_by_name("events").unwrap();
    let mut events = events.as_primitive::<Int64Type>().values().to_vec();
    events.sort_unstable();
    assert_eq!(events, [1, 2]);
}

#[tokio::test]
async fn each_day_has_its_files() {
    let directory = tempfile::tempdir().unwrap();
    let writer = opened(directory.path()).await;
    let days = [Some(DAY), Some(DAY - 1), None, Some(DAY)];
    let records = (1..)
        .zip(days)
        .map(|(sequence, day)| record(sequence, day))
        .collect();
    let batch = Batch {
        log_id: LOG,
        records,
        last: SequenceNumber(4),
        previous: None,
    };
    writer.write(&batch).await.unwrap();
    let mut of_day: BTreeMap<String, usize> = BTreeMap::new();
    for path in live_files(directory.path()).await {
        *of_day
            .entry(path.split('/').next().unwrap().to_owned())
            .or_default() += 1;
    }
    let days: Vec<&str> = of_day.keys().map(String::as_str).collect();
    assert_eq!(
        days,
        [
            "date=2026-11-20",
            "date=2026-11-21",
            "date=__HIVE_DEFAULT_PARTITION__"
        ]
    );
    let rows = stored(directory.path()).await;
    let days = rows
        .column_by_name("date")
        .unwrap()
        .as_primitive::<Date32Type>();
    let days: Vec<_> = days.iter().collect();
    assert_eq!(days, [Some(DAY), None, Some(DAY - 1), Some(DAY)]);
}

#[tokio::test]
async fn rows_that_cannot_be_stored_are_named_and_nothing_is_written() {
    let directory = tempfile::tempdir().unwrap();
    let writer = opened(directory.path()).await;
    let mut batch = batch(1..=3);
    batch.records[0].kind = Kind::Document;
    batch.records[2].payload = vec![0xff, 0xff].into();
    let Err(WriteError::Rejected(faults)) = writer.write(&batch).await else {
        panic!("expected a rejection");
    };
    let faulty: Vec<u64> = faults.iter().map(|fault| fault.sequence.0).collect();
    assert_eq!(faulty, [1, 3]);
    assert!(live_files(directory.path()).await.is_empty());
    batch.records = vec![batch.records[1].clone()];
    writer.write(&batch).await.unwrap();
    assert_eq!(writer.position(LOG).await.unwrap(), Some(SequenceNumber(3)));
}

#[tokio::test]
async fn writers_of_different_logs_share_a_table() {
    let directory = tempfile::tempdir().unwrap();
    let (ours, theirs) = (
        writer(config(directory.path())),
        writer(config(directory.path())),
    );
    let (a, b) = tokio::join!(ours.open(), theirs.open());
    a.unwrap();
    b.unwrap();
    for n in 0..5 {
        let mut foreign = batch(100 + n..=100 + n);
        foreign.log_id = LogId(Uuid::nil());
        let own = batch(n + 1..=n + 1);
        let (a, b) = tokio::join!(ours.write(&own), theirs.write(&foreign));
        a.unwrap();
        b.unwrap();
    }
    assert_eq!(sequences(directory.path()).await.len(), 10);
    assert_eq!(ours.position(LOG).await.unwrap(), Some(SequenceNumber(5)));
}

#[tokio::test]
async fn a_cloned_log_is_found_out() {
    let directory = tempfile::tempdir().unwrap();
    let (ours, clone) = (
        opened(directory.path()).await,
        opened(directory.path()).await,
    );
    ours.write(&batch(1..=1)).await.unwrap();
    assert_eq!(clone.position(LOG).await.unwrap(), Some(SequenceNumber(1)));
    clone.write(&batch(2..=2)).await.unwrap();
    let Err(WriteError::Fatal(cause)) = ours.write(&batch(2..=3)).await else {
        panic!("expected a fatal error");
    };
    assert!(cause.to_string().contains("log_cloned"), "{cause}");
    assert_eq!(sequences(directory.path()).await, [2, 1]);
}

#[tokio::test]
async fn files_are_durable_before_the_commit_and_the_commit_before_the_answer() {
    let directory = tempfile::tempdir().unwrap();
    let disk = Arc::new(WatchedDisk::default());
    let writer = DeltaWriter::with(
        config(directory.path()),
        SystemClock::shared(),
        disk.clone(),
        arrow::schema(),
    )
    .unwrap();
    writer.open().await.unwrap();
    disk.acts.lock().unwrap().clear();
    writer.write(&batch(1..=1)).await.unwrap();
    let acts = disk.acts.lock().unwrap().clone();
    let mut from = 0;
    for expected in [
        "sync rows",
        "name rows",
        "sync date=2026-11-21",
        "sync table",
        "sync commit",
        "name commit",
        "sync _delta_log",
    ] {
        let found = acts[from..].iter().position(|act| act == expected);
        from += found.unwrap_or_else(|| panic!("{expected} not in its place: {acts:?}")) + 1;
    }
}

#[tokio::test]
async fn the_log_decides_what_an_unclear_answer_means() {
    // What fails, whether the write says so, and whether the rows are there then.
    for (fail, fails, stored) in [
        ("sync rows", true, 0),
        ("sync commit", true, 0),
        ("sync _delta_log", false, 1),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let disk = Arc::new(WatchedDisk::default());
        let columns = arrow::schema();
        let config = config(directory.path());
        let clock = SystemClock::shared();
        let writer = DeltaWriter::with(config, clock, disk.clone(), columns).unwrap();
        writer.open().await.unwrap();
        *disk.fail.lock().unwrap() = Some((fail, 1));
        let result = writer.write(&batch(1..=2)).await;
        assert_eq!(
            disk.fail.lock().unwrap().take(),
            None,
            "{fail} did not happen"
        );
        assert_eq!(result.is_err(), fails, "{fail}: {result:?}");
        assert!(
            !matches!(result, Err(WriteError::Fatal(_))),
            "{fail}: {result:?}"
        );
        assert_eq!(live_files(directory.path()).await.len(), stored, "{fail}");
        writer.write(&batch(1..=2)).await.unwrap();
        assert_eq!(sequences(directory.path()).await, [2, 1], "{fail}");
    }
}

/// Ends the task and hands out what it would do.
async fn upkeep_alone(writer: &DeltaWriter) -> Arc<Upkeep> {
    let mut open = writer.open.lock().await;
    let open = open.as_mut().unwrap();
    open.upkeep.stop.store(true, Ordering::Relaxed);
    open.upkeep.nudge.notify_one();
    (&mut open.task).await.unwrap();
    open.upkeep.stop.store(false, Ordering::Relaxed);
    open.task = tokio::spawn(async {});
    open.upkeep.clone()
}

#[tokio::test]
async fn a_position_that_was_not_waited_for_is_asked_again() {
    let directory = tempfile::tempdir().unwrap();
    let writer = opened(directory.path()).await;
    writer.write(&batch(1..=2)).await.unwrap();
    writer.close().await;
    let writer = opened(directory.path()).await;
    let mut given_up = Box::pin(writer.position(LOG));
    assert!(futures_util::poll!(&mut given_up).is_pending());
    drop(given_up);
    assert_eq!(writer.position(LOG).await.unwrap(), Some(SequenceNumber(2)));
    writer.write(&batch(1..=3)).await.unwrap();
    assert_eq!(sequences(directory.path()).await, [3, 2, 1]);
}

#[tokio::test]
async fn a_commit_that_is_not_durable_yet_is_synced_before_it_counts() {
    let directory = tempfile::tempdir().unwrap();
    let disk = Arc::new(WatchedDisk::default());
    let clock = SystemClock::shared();
    let columns = arrow::schema();
    let writer = DeltaWriter::with(config(directory.path()), clock, disk.clone(), columns).unwrap();
    writer.open().await.unwrap();
    let fail = |times| *disk.fail.lock().unwrap() = Some(("sync _delta_log", times));
    // That of the commit, and that of the probe after it.
    fail(2);
    writer.write(&batch(1..=2)).await.unwrap_err();
    assert_eq!(live_files(directory.path()).await.len(), 1);
    fail(1);
    writer.write(&batch(1..=2)).await.unwrap_err();
    disk.acts.lock().unwrap().clear();
    writer.write(&batch(1..=2)).await.unwrap();
    let acts = disk.acts.lock().unwrap().clone();
    assert!(acts.iter().any(|act| act == "sync _delta_log"), "{acts:?}");
    assert_eq!(sequences(directory.path()).await, [2, 1]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_commits_leave_few_files() {
    let directory = tempfile::tempdir().unwrap();
    let clock = ManualClock::shared();
    let config = Config {
        checkpoint_interval: 50,
        log_retention: Duration::ZERO,
        file_retention: Duration::from_secs(60),
        ..config(directory.path())
    };
    let writer = DeltaWriter::new(config, clock.clone()).unwrap();
    writer.open().await.unwrap();
    for n in 1..=200 {
        writer.write(&batch(n..=n)).await.unwrap();
    }
    // From here on nothing but the test: what it calls is never called twice at a time.
    let upkeep = upkeep_alone(&writer).await;
    upkeep.compact().await.unwrap();
    let live = live_files(directory.path()).await;
    assert!(live.len() <= 7 * 3, "{} files", live.len());
    let expected: Vec<i64> = (1..=200).rev().collect();
    assert_eq!(sequences(directory.path()).await, expected);
    assert_eq!(
        writer.position(LOG).await.unwrap(),
        Some(SequenceNumber(200))
    );

    assert!(
        files_in(directory.path(), ".parquet").len() > 200,
        "nothing may be deleted yet"
    );
    clock.advance(61);
    upkeep.checkpoint().await.unwrap();
    upkeep.vacuum().await.unwrap();
    let table = directory.path().join("table");
    let on_disk = files_in(&table.join("date=2026-11-21"), ".parquet").len();
    assert_eq!(on_disk, live.len());
    let commits = files_in(&table.join("_delta_log"), ".json").len();
    assert!(commits <= 2, "{commits} commits kept");
    assert_eq!(sequences(directory.path()).await, expected);
    writer.write(&batch(201..=201)).await.unwrap();
    writer.close().await;
    let again = opened(directory.path()).await;
    assert_eq!(
        again.position(LOG).await.unwrap(),
        Some(SequenceNumber(201))
    );
}

#[tokio::test]
async fn vacuum_takes_orphans_and_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let clock = ManualClock::shared();
    let writer = DeltaWriter::new(config(directory.path()), clock.clone()).unwrap();
    writer.open().await.unwrap();
    writer.write(&batch(1..=1)).await.unwrap();
    let day = directory.path().join("table/date=2026-11-21");
    for orphan in [
        day.join("part-x.snappy.parquet"),
        day.join(".part-y.parquet.1.tmp"),
    ] {
        fs::write(orphan, "x").unwrap();
    }
    fs::write(directory.path().join("table/README"), "x").unwrap();
    let upkeep = writer.open.lock().await.as_ref().unwrap().upkeep.clone();
    upkeep.vacuum().await.unwrap();
    assert_eq!(fs::read_dir(&day).unwrap().count(), 3);
    clock.advance(2 * 86_400);
    upkeep.vacuum().await.unwrap();
    assert_eq!(fs::read_dir(&day).unwrap().count(), 1);
    assert_eq!(sequences(directory.path()).await, [1]);
    assert!(directory.path().join("table/README").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_checkpoint_hides_no_file_from_the_vacuum() {
    let directory = tempfile::tempdir().unwrap();
    let config = Config {
        checkpoint_interval: 1_000,
        file_retention: Duration::from_secs(1),
        ..config(directory.path())
    };
    let writer = DeltaWriter::new(config, SystemClock::shared()).unwrap();
    writer.open().await.unwrap();
    let upkeep = upkeep_alone(&writer).await;
    for n in 1..=16 {
        writer.write(&batch(n..=n)).await.unwrap();
    }
    upkeep.compact().await.unwrap();
    // The checkpoint looks at the system's time, so this takes as long as the retention.
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    upkeep.checkpoint().await.unwrap();
    upkeep.vacuum().await.unwrap();
    let day = directory.path().join("table/date=2026-11-21");
    let live = live_files(directory.path()).await;
    assert_eq!(files_in(&day, ".parquet").len(), live.len());
    assert!(live.len() < 16);
}

/// A table that was made before some of our columns existed, with one row in it.
async fn old_table(directory: &FsPath, name: DataType) {
    let fields = vec![
        Field::new("event_timestamp", DataType::Int64, true),
        Field::new("event_name", name, true),
        Field::new("date", DataType::Date32, true),
    ];
    let columns: SchemaRef = Schema::new(
        fields[..1]
            .iter()
            .chain(&fields[2..])
            .cloned()
            .collect::<Vec<_>>(),
    )
    .into();
    let declared = if fields[1].data_type() == &DataType::Null {
        columns.clone()
    } else {
        Schema::new(fields).into()
    };
    let clock = SystemClock::shared();
    let writer = DeltaWriter::with(config(directory), clock, Arc::new(RealDisk), declared).unwrap();
    writer.open().await.unwrap();
    let mut parts = Parts::default();
    let rows = RecordBatch::try_new(
        columns,
        vec![
            Arc::new(Int64Array::from(vec![1])),
            Arc::new(Date32Array::from(vec![DAY])),
        ],
    );
    parts.write(&rows.unwrap()).unwrap();
    writer.position(LOG).await.unwrap();
    let parts = parts.finish(0).unwrap();
    writer.land(parts, &app_id(LOG), None, 1).await.unwrap();
    writer.close().await;
}

#[tokio::test]
async fn columns_that_are_missing_are_added() {
    let directory = tempfile::tempdir().unwrap();
    old_table(directory.path(), DataType::Null).await;
    let writer = opened(directory.path()).await;
    for n in 2..=9 {
        writer.write(&batch(n..=n)).await.unwrap();
    }
    let upkeep = writer.open.lock().await.as_ref().unwrap().upkeep.clone();
    upkeep.compact().await.unwrap();
    let rows = stored(directory.path()).await;
    let names = rows.column_by_name("event_name").unwrap();
    assert_eq!((rows.num_rows(), names.null_count()), (9, 1));
    assert_eq!(names.as_string::<i32>().value(0), "event 9");
    assert!(live_files(directory.path()).await.len() < 9);
}

#[tokio::test]
async fn a_column_of_another_type_is_told() {
    let directory = tempfile::tempdir().unwrap();
    old_table(directory.path(), DataType::Int64).await;
    let Err(WriteError::Fatal(cause)) = writer(config(directory.path())).open().await else {
        panic!("expected a fatal error");
    };
    let told = cause.to_string();
    assert!(
        told.contains("event_name: long in the table, must be string"),
        "{told}"
    );
}

#[tokio::test]
async fn a_place_that_cannot_be_written_is_named() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("table"), "a file").unwrap();
    for uri in ["table", "table/below"] {
        let uri = directory.path().join(uri).display().to_string();
        let writer = writer(Config {
            uri: uri.clone(),
            ..Config::default()
        });
        let told = match writer.open().await {
            Err(WriteError::Fatal(cause) | WriteError::Transient { source: cause, .. }) => {
                cause.to_string()
            }
            other => panic!("{other:?}"),
        };
        assert!(told.contains(&uri), "{told}");
    }
}
