use std::sync::atomic::{AtomicI64, Ordering};

use deltalake_core::logstore::object_store::memory::InMemory;

use super::turn::TURN_MICROS;
use super::*;
use crate::clock::Micros;
use crate::schema::Kind;

#[derive(Debug, Default)]
struct Hand(AtomicI64);

impl Clock for Hand {
    fn now(&self) -> Micros {
        Micros(self.0.load(Ordering::Relaxed))
    }
}

const LOG: LogId = LogId(Uuid::from_u128(1));

fn letter(sequence: u64) -> Letter {
    Letter {
        log_id: LOG,
        sequence,
        destination: "memory:a".to_owned(),
        reason: "bad".to_owned(),
        rejected_at: Some(Micros(5)),
        record: Some((Kind::Event, bytes::Bytes::from(vec![0; 1 << 20]))),
    }
}

fn letters(numbers: impl IntoIterator<Item = u64>) -> Vec<Letter> {
    numbers.into_iter().map(letter).collect()
}

fn two() -> (ObjectLetters, ObjectLetters, Arc<Hand>) {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let clock = Arc::new(Hand::default());
    let one = || {
        let name = "memory:///x".to_owned();
        ObjectLetters::in_store(store.clone(), Path::from("x"), name, clock.clone())
    };
    (one(), one(), clock)
}

async fn all(store: &ObjectLetters) -> Vec<Letter> {
    let (mut all, mut behind) = (Vec::new(), None);
    loop {
        let page = store.excerpt("memory:a", behind.as_deref()).await.unwrap();
        all.extend(page.letters);
        behind = page.next;
        if behind.is_none() {
            return all;
        }
    }
}

#[tokio::test]
async fn rows_are_read_back_and_the_same_ones_are_there_once() {
    let (store, other, _) = two();
    for _ in 0..2 {
        store.take(&letters([3, 7])).await.unwrap();
    }
    // More than an object has, and more than a page.
    for first in [10, 30, 50] {
        store.take(&letters(first..first + 15)).await.unwrap();
    }
    let mut numbers = vec![3, 7];
    numbers.extend([10, 30, 50].into_iter().flat_map(|first| first..first + 15));
    assert_eq!(all(&other).await, letters(numbers));
    assert_eq!(store.excerpt("memory:b", None).await.unwrap().letters, []);
    let after = |number| store.taken("memory:a", LOG, SequenceNumber(number));
    assert_eq!(after(60).await.unwrap(), [61, 62, 63, 64]);
    assert_eq!(after(64).await.unwrap(), [0; 0]);
    let other_log = LogId(Uuid::from_u128(2));
    let of_other = store.taken("memory:a", other_log, SequenceNumber(0));
    assert_eq!(of_other.await.unwrap(), [0; 0]);
}

#[tokio::test]
async fn marks_are_seen_by_others() {
    let (store, other, _) = two();
    let rows: Vec<Key> = (0..MARKS as u64 + 1).map(|number| (LOG, number)).collect();
    store.mark("memory:a", &rows).await.unwrap();
    assert_eq!(other.marks("memory:a").await.unwrap(), rows);
    assert_eq!(other.marks("memory:b").await.unwrap(), []);
}

#[tokio::test]
async fn marks_of_version_1_are_read_and_newer_ones_refused() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let golden = root.join("tests/fixtures/formats/1/marks.json");
    let golden = std::fs::read_to_string(golden).unwrap();
    let (store, ..) = two();
    let folder = store.replays().join(file_stem_of("memory:a"));
    let put = async |name: &str, text: &str| {
        let path = folder.clone().join(name);
        assert!(store.create(&path, text.as_bytes().to_vec()).await.unwrap());
    };
    put("1.json", &golden).await;
    assert_eq!(store.marks("memory:a").await.unwrap(), [(LOG, 7)]);
    let newer = durable::seal(&serde_json::json!({}), 2).unwrap();
    put("2.json", std::str::from_utf8(&newer).unwrap()).await;
    let error = store.marks("memory:a").await.unwrap_err().to_string();
    assert!(
        error.contains("format 2") && error.contains("up to 1"),
        "{error}"
    );
}

#[tokio::test]
async fn one_replays_at_a_time_and_a_dead_one_holds_nobody_off_for_ever() {
    let (store, other, clock) = two();
    assert!(store.claim().await.unwrap());
    assert!(store.claim().await.unwrap(), "again");
    assert!(!other.claim().await.unwrap());
    store.release().await;
    assert!(other.claim().await.unwrap());
    assert!(!store.claim().await.unwrap());
    clock.0.fetch_add(TURN_MICROS, Ordering::Relaxed);
    assert!(store.claim().await.unwrap());
    assert!(!other.claim().await.unwrap());
}
