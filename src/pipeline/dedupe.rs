//! The dedupe window: which events were appended in the last minutes, by key.
//!
//! A duplicate gets the ticket of the first one, so it waits for the same commit and shares its fate.
//! A key whose commit failed, or whose row a destination rejected in the open, counts as never seen. Memory is bounded: two generations, of which the
//! older is forgotten when the younger is old or full. Scope: one process.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use xxhash_rust::xxh3::Xxh3;

use crate::clock::Micros;
use crate::log::{Commit, Ticket};
use crate::schema::SequenceNumber;

use super::verdict::Appended;

const SHARDS: usize = 16;

/// How long and how many keys are remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DedupeConfig {
    /// At least how long a key is remembered, unless there are too many.
    pub window: Duration,
    /// Most keys remembered; about 60 bytes each.
    pub max_entries: usize,
}

/// Key of an event: a hash of the three values by which GA4 users tell duplicates.
/// Lengths are hashed too, so that no two triples run together.
pub fn event_key(stream_id: &str, event_name: &str, event_id: &str) -> u128 {
    let mut hash = Xxh3::new();
    for part in [stream_id, event_name, event_id] {
        hash.update(&(part.len() as u64).to_le_bytes());
        hash.update(part.as_bytes());
    }
    hash.digest128()
}

/// The keys are hashes already.
#[derive(Default)]
struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u128(&mut self, key: u128) {
        self.0 = key as u64;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

type Generation = HashMap<u128, Appended, BuildHasherDefault<KeyHasher>>;

#[derive(Default)]
struct Shard {
    young: Generation,
    old: Generation,
    young_since: Micros,
}

impl Shard {
    /// The event with this key, if it is known and not known to be nowhere.
    fn seen(&self, key: u128) -> Option<Appended> {
        let seen = self.young.get(&key).or_else(|| self.old.get(&key));
        seen.filter(|appended| !appended.is_void()).cloned()
    }
}

/// The shard of a key.
fn index(key: u128) -> usize {
    (key >> 64) as usize % SHARDS
}

/// The window.
pub struct Dedupe {
    shards: Vec<Mutex<Shard>>,
    window: Duration,
    generation_entries: usize,
}

impl std::fmt::Debug for Dedupe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dedupe")
            .field("window", &self.window)
            .finish_non_exhaustive()
    }
}

impl Dedupe {
    /// An empty window.
    pub fn new(config: DedupeConfig) -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            window: config.window,
            generation_entries: (config.max_entries / 2 / SHARDS).max(1),
        }
    }

    /// Remembers keys that the log holds from before.
    pub fn remember(&self, keys: impl IntoIterator<Item = (SequenceNumber, u128)>, now: Micros) {
        let commit = Commit::durable();
        for (sequence, key) in keys {
            let ticket = Ticket {
                sequence,
                commit: Arc::clone(&commit),
            };
            self.shard(key, now).young.insert(key, ticket.into());
        }
    }

    /// The event with this key as it was appended, or what `append` gives if there is none; and whether it is a duplicate.
    ///
    /// # Errors
    /// What `append` says; nothing is remembered then.
    pub fn once<E>(
        &self,
        key: u128,
        now: Micros,
        append: impl FnOnce() -> Result<Appended, E>,
    ) -> Result<(Appended, bool), E> {
        let mut shard = self.shard(key, now);
        if let Some(appended) = shard.seen(key) {
            return Ok((appended, true));
        }
        // The shard stays locked, so that two of the same cannot both be first.
        let appended = append()?;
        shard.young.insert(key, appended.clone());
        Ok((appended, false))
    }

    /// The same of several events at once, some of which may have no key. `append` is told which are new, and gives as many, or none.
    ///
    /// # Errors
    /// What `append` says; nothing is remembered then.
    pub fn each_once<E>(
        &self,
        keys: &[Option<u128>],
        now: Micros,
        append: impl FnOnce(&[bool]) -> Result<Vec<Appended>, E>,
    ) -> Result<Vec<(Appended, bool)>, E> {
        // Always in the same order, so that nobody waits for who waits for them.
        let mut indexes: Vec<usize> = keys.iter().flatten().map(|key| index(*key)).collect();
        indexes.sort_unstable();
        indexes.dedup();
        let mut shards: Vec<_> = indexes
            .iter()
            .map(|index| self.locked(*index, now))
            .collect();
        let place = |key: u128| indexes.binary_search(&index(key)).unwrap_or_default();
        let seen: Vec<Option<Appended>> = keys
            .iter()
            .map(|key| key.and_then(|key| shards[place(key)].seen(key)))
            .collect();
        let is_new: Vec<bool> = seen.iter().map(Option::is_none).collect();
        let mut appended = append(&is_new)?.into_iter();
        let mut all = Vec::with_capacity(keys.len());
        for (key, seen) in keys.iter().zip(seen) {
            if let Some(seen) = seen {
                all.push((seen, true));
            } else if let Some(appended) = appended.next() {
                if let Some(key) = key {
                    shards[place(*key)].young.insert(*key, appended.clone());
                }
                all.push((appended, false));
            }
        }
        Ok(all)
    }

    fn shard(&self, key: u128, now: Micros) -> MutexGuard<'_, Shard> {
        self.locked(index(key), now)
    }

    fn locked(&self, index: usize, now: Micros) -> MutexGuard<'_, Shard> {
        let mut shard = self.shards[index]
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let is_full = shard.young.len() >= self.generation_entries;
        if is_full || now.since(shard.young_since) >= self.window {
            shard.old = std::mem::take(&mut shard.young);
            shard.young_since = now;
        }
        shard
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::CommitError;

    const MINUTE: Duration = Duration::from_secs(60);

    fn window(max_entries: usize) -> Dedupe {
        Dedupe::new(DedupeConfig {
            window: MINUTE,
            max_entries,
        })
    }

    fn ticket(sequence: u64) -> Result<Appended, ()> {
        let ticket = Ticket {
            sequence: SequenceNumber(sequence),
            commit: Commit::durable(),
        };
        Ok(ticket.into())
    }

    fn at(seconds: i64) -> Micros {
        Micros(seconds * 1_000_000)
    }

    #[test]
    fn a_second_one_gets_the_ticket_of_the_first() {
        let window = window(1000);
        let (first, is_duplicate) = window.once(7, at(100), || ticket(1)).unwrap();
        assert!(!is_duplicate);
        let (second, is_duplicate) = window.once(7, at(101), || ticket(2)).unwrap();
        assert!(is_duplicate);
        assert_eq!(second.ticket.sequence, first.ticket.sequence);
    }

    #[test]
    fn a_refused_one_is_not_remembered() {
        let window = window(1000);
        assert_eq!(
            window
                .once(7, at(100), || Err::<Appended, _>("full"))
                .unwrap_err(),
            "full"
        );
        assert!(!window.once(7, at(100), || ticket(1)).unwrap().1);
    }

    #[test]
    fn one_whose_commit_failed_counts_as_never_seen() {
        let window = window(1000);
        let commit = Arc::new(Commit::default());
        let failing = Ticket {
            sequence: SequenceNumber(1),
            commit: Arc::clone(&commit),
        };
        assert!(
            !window
                .once(7, at(100), || Ok::<_, ()>(failing.into()))
                .unwrap()
                .1
        );
        assert!(
            window.once(7, at(100), || ticket(2)).unwrap().1,
            "still under way: shares its fate"
        );
        commit.settle(Err(CommitError));
        assert!(!window.once(7, at(100), || ticket(2)).unwrap().1);
    }

    #[test]
    fn one_that_a_destination_rejected_in_the_open_counts_as_never_seen() {
        let window = window(1000);
        let verdicts = crate::pipeline::Verdicts::default();
        let append = || verdicts.appending(|| Ok(ticket(1).unwrap().ticket));
        assert!(!window.once(7, at(100), append).unwrap().1);
        assert!(
            window.once(7, at(100), append).unwrap().1,
            "it may be taken yet"
        );
        verdicts.reject(SequenceNumber(2), "another one");
        assert!(window.once(7, at(100), append).unwrap().1);
        verdicts.reject(SequenceNumber(1), "not wanted");
        assert!(!window.once(7, at(100), append).unwrap().1);
    }

    #[test]
    fn keys_are_known_for_the_window_and_then_forgotten() {
        let window = window(1000);
        window.remember([(SequenceNumber(1), 7)], at(100));
        assert!(
            window.once(7, at(159), || ticket(2)).unwrap().1,
            "within the window"
        );
        assert!(
            window.once(7, at(161), || ticket(2)).unwrap().1,
            "in the older generation"
        );
        assert!(
            !window.once(7, at(222), || ticket(3)).unwrap().1,
            "two windows later"
        );
    }

    #[test]
    fn memory_is_bounded_by_the_number_of_keys() {
        let window = window(3200);
        for key in 0..100_000_u128 {
            let key = key << 64 | key;
            assert!(!window.once(key, at(100), || ticket(1)).unwrap().1);
        }
        let held: usize = window
            .shards
            .iter()
            .map(|s| s.lock().unwrap())
            .map(|s| s.young.len() + s.old.len())
            .sum();
        assert!(held <= 3200, "{held}");
        assert!(held >= 1600, "{held}");
    }

    #[test]
    fn of_several_at_once_each_is_told_by_itself() {
        let window = window(1000);
        let key = |shard: u128| Some(shard << 64 | 7);
        let tickets = |is_new: &[bool]| {
            let new = is_new.iter().filter(|is_new| **is_new).count();
            let first = ticket(10)?.ticket;
            Ok::<_, ()>(first.together(new).map(Appended::from).collect())
        };
        let told = |all: Vec<(Appended, bool)>| {
            let told = all.into_iter();
            told.map(|(appended, is_duplicate)| (appended.ticket.sequence.0, is_duplicate))
                .collect::<Vec<_>>()
        };
        let each = |keys: &[Option<u128>]| told(window.each_once(keys, at(100), tickets).unwrap());
        assert_eq!(
            each(&[key(5), None, key(1)]),
            [(10, false), (11, false), (12, false)]
        );
        assert_eq!(
            each(&[key(2), None, key(5)]),
            [(10, false), (11, false), (10, true)]
        );
        assert_eq!(
            each(&[key(1), key(5), key(2)]),
            [(12, true), (10, true), (10, true)]
        );
        assert!(
            window
                .once(key(2).unwrap(), at(100), || ticket(1))
                .unwrap()
                .1
        );

        let refused = window.each_once(&[key(3), key(4)], at(100), |_| Err::<Vec<_>, _>("full"));
        assert_eq!(refused.unwrap_err(), "full");
        assert_eq!(
            each(&[key(3), key(4)]),
            [(10, false), (11, false)],
            "nothing was remembered"
        );
    }

    #[test]
    fn nobody_waits_for_who_waits_for_them() {
        let window = window(100_000);
        std::thread::scope(|scope| {
            for thread in 0..4_u128 {
                let window = &window;
                scope.spawn(move || {
                    for turn in 0..5000_u128 {
                        let keys = [turn + thread, turn * 3 + 5, 15 - (turn + thread) % 16]
                            .map(|shard| Some((shard % 16) << 64 | (turn % 50)));
                        let append = |is_new: &[bool]| {
                            let new = is_new.iter().filter(|is_new| **is_new).count();
                            Ok::<_, ()>(
                                ticket(1)?
                                    .ticket
                                    .together(new)
                                    .map(Appended::from)
                                    .collect(),
                            )
                        };
                        assert_eq!(window.each_once(&keys, at(100), append).unwrap().len(), 3);
                    }
                });
            }
        });
    }

    #[test]
    fn keys_do_not_run_together() {
        assert_ne!(event_key("1", "ab", "c"), event_key("1", "a", "bc"));
        assert_ne!(event_key("1", "", "a"), event_key("", "1", "a"));
        assert_eq!(event_key("1", "a", "b"), event_key("1", "a", "b"));
    }
}
