//! What every writer must do, whatever it writes to. Each writer runs the same suite.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use prost::Message;
use real_streaming::schema::{Event, Kind, LogId, Record, SequenceNumber};
use real_streaming::writer::memory::MemoryWriter;
use real_streaming::writer::{Batch, WriteError, Writer};
use uuid::Uuid;

use crate::support::collector::QUICK;

/// A batch of events numbered `first..=last`.
pub fn batch(log_id: LogId, first: u64, last: u64) -> Batch {
    let records = (first..=last)
        .map(|number| record(number, encoded(number)))
        .collect();
    Batch {
        log_id,
        records,
        last: SequenceNumber(last),
        previous: None,
    }
}

fn encoded(number: u64) -> Bytes {
    let event = Event {
        event_name: Some("contract".to_owned()),
        event_id: Some(number.to_string()),
        event_timestamp: Some(1_766_400_600_000_000 + i64::try_from(number).unwrap()),
        date: Some(20_444),
        ..Event::default()
    };
    event.encode_to_vec().into()
}

fn record(number: u64, payload: Bytes) -> Record {
    Record {
        sequence: SequenceNumber(number),
        kind: Kind::Event,
        payload,
    }
}

/// The suite. `stored` tells the event ids that the destination holds; `make` opens the same destination again.
pub async fn writer_contract<S: AsyncFn() -> Vec<String>>(
    make: impl Fn() -> Arc<dyn Writer>,
    stored: S,
    remembers: bool,
) {
    let log_id = LogId(Uuid::from_u128(1));
    let writer = make();
    let limits = writer.limits();
    assert!(
        limits.rows > 0 && limits.bytes > 0 && limits.in_flight > 0 && limits.age > Duration::ZERO
    );
    assert!(
        writer.name().contains(':'),
        "kind and target: {}",
        writer.name()
    );

    writer.open().await.expect("it can be opened");
    writer.open().await.expect("it can be opened twice");
    assert_eq!(writer.position(log_id).await.expect("a position"), None);

    writer
        .write(&batch(log_id, 1, 3))
        .await
        .expect("it is written");
    assert_eq!(sorted(stored().await), ["1", "2", "3"]);

    if remembers {
        assert_eq!(
            writer.position(log_id).await.unwrap(),
            Some(SequenceNumber(3))
        );
        writer
            .write(&batch(log_id, 1, 3))
            .await
            .expect("the same again is no error");
        assert_eq!(stored().await.len(), 3, "and is not written twice");
        let other = LogId(Uuid::from_u128(2));
        assert_eq!(
            writer.position(other).await.unwrap(),
            None,
            "positions belong to a log"
        );
        writer
            .write(&batch(other, 1, 1))
            .await
            .expect("another log's first batch");
        assert_eq!(stored().await.len(), 4);
        assert_eq!(
            writer.position(log_id).await.unwrap(),
            Some(SequenceNumber(3))
        );
    }

    let mut gaps = batch(log_id, 5, 7);
    gaps.records.remove(1);
    gaps.last = SequenceNumber(9);
    writer.write(&gaps).await.expect("numbers may be missing");
    if remembers {
        assert_eq!(
            writer.position(log_id).await.unwrap(),
            Some(SequenceNumber(9)),
            "the batch's last, not the record's"
        );
    }
    let before = stored().await.len();
    writer.close().await;

    let again = make();
    again.open().await.expect("it can be opened again");
    if remembers {
        assert_eq!(
            again.position(log_id).await.unwrap(),
            Some(SequenceNumber(9))
        );
    }
    again
        .write(&batch(log_id, 10, 12))
        .await
        .expect("it goes on");
    assert_eq!(stored().await.len(), before + 3);
    again.close().await;
}

/// A row that cannot be read is rejected by its number, and nothing of its batch is written.
pub async fn rejects_what_it_cannot_read<S: AsyncFn() -> Vec<String>>(
    writer: Arc<dyn Writer>,
    stored: S,
) {
    let log_id = LogId(Uuid::from_u128(3));
    writer.open().await.expect("it can be opened");
    let before = stored().await.len();
    let mut poisoned = batch(log_id, 1, 3);
    poisoned.records[1] = record(2, Bytes::from_static(&[0x0a, 0xff, 0xff]));
    let Err(WriteError::Rejected(faults)) = writer.write(&poisoned).await else {
        panic!("it must be rejected")
    };
    assert_eq!(
        faults
            .iter()
            .map(|fault| fault.sequence.0)
            .collect::<Vec<_>>(),
        [2]
    );
    assert!(!faults[0].reason.is_empty());
    assert_eq!(stored().await.len(), before, "whole or not at all");
    poisoned.records.remove(1);
    writer.write(&poisoned).await.expect("the rest is written");
    assert_eq!(stored().await.len(), before + 2);
    writer.close().await;
}

fn sorted(mut ids: Vec<String>) -> Vec<String> {
    ids.sort();
    ids
}

#[tokio::test(flavor = "multi_thread")]
async fn memory() {
    let writer = Arc::new(MemoryWriter::new("contract", QUICK, usize::MAX, true));
    let stored = async || crate::support::collector::ids(&writer);
    writer_contract(|| Arc::clone(&writer) as Arc<dyn Writer>, stored, true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn delta() {
    use real_streaming::clock::SystemClock;
    use real_streaming::writer::delta::{Config, DeltaWriter, newest};
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let config = Config {
        uri: folder.path().join("events").display().to_string(),
        ..Config::default()
    };
    let stored = async || {
        let rows = newest(&config.uri, 1_000).await.unwrap();
        let ids = rows.column_by_name("event_id").unwrap();
        let ids = ids
            .as_any()
            .downcast_ref::<arrow_array::StringArray>()
            .unwrap();
        ids.iter().map(|id| id.unwrap().to_owned()).collect()
    };
    let make = || DeltaWriter::new(config.clone(), SystemClock::shared()).unwrap();
    writer_contract(|| Arc::new(make()) as Arc<dyn Writer>, stored, true).await;
    rejects_what_it_cannot_read(Arc::new(make()), stored).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pubsub() {
    use real_streaming::writer::pubsub::PubSubWriter;
    let emulator = crate::support::pubsub::Emulator::start().await;
    let config = crate::support::pubsub::config(&emulator.host);
    let pulled = tokio::sync::Mutex::new(Vec::new());
    let stored = async || {
        let mut pulled = pulled.lock().await;
        // Messages may take their time; none comes twice, so three looks in vain are enough.
        let mut in_vain = 0;
        while in_vain < 3 {
            let some = emulator.pull_some().await;
            in_vain = if some.is_empty() { in_vain + 1 } else { 0 };
            let id =
                |message: googleapis_tonic_google_pubsub_v1::google::pubsub::v1::PubsubMessage| {
                    message.attributes["event_id"].clone()
                };
            pulled.extend(some.into_iter().map(id));
        }
        pulled.clone()
    };
    let make = || PubSubWriter::new(config.clone()).unwrap();
    writer_contract(|| Arc::new(make()) as Arc<dyn Writer>, stored, false).await;
    rejects_what_it_cannot_read(Arc::new(make()), stored).await;
}
