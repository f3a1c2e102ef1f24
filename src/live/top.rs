//! The most frequent of many values, in a space that does not grow with them: Metwally's space-saving
//! (<https://doi.org/10.1007/978-3-540-30570-5_27>).
//!
//! A table that is full gives the place of its rarest value to the next one, together with its count, which is then the
//! most by which the new one may be counted too high. Whatever comes more often than one in `capacity` is in the table.

use std::collections::HashMap;

/// Longest value that is counted, in bytes; what is longer is counted by its beginning.
const MAX_BYTES: usize = 200;

/// How often a value came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Count {
    /// So often at the most.
    pub count: u64,
    /// By so much that may be too high.
    pub error: u64,
}

/// A table of the most frequent values.
#[derive(Clone, Debug)]
pub(super) struct Top {
    counts: HashMap<Box<str>, Count>,
    capacity: usize,
}

impl Top {
    /// An empty table with so many places.
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            counts: HashMap::new(),
            capacity,
        }
    }

    /// Counts a value.
    pub(super) fn add(&mut self, value: &str) {
        let value = beginning(value);
        if let Some(count) = self.counts.get_mut(value) {
            count.count += 1;
            return;
        }
        let error = if self.counts.len() < self.capacity {
            0
        } else {
            self.forget_the_rarest()
        };
        let count = Count {
            count: error + 1,
            error,
        };
        self.counts.insert(value.into(), count);
    }

    /// Makes room; how often what had it came.
    fn forget_the_rarest(&mut self) -> u64 {
        let rarest = self.counts.iter().min_by_key(|(_, count)| count.count);
        let Some((value, count)) = rarest.map(|(value, count)| (value.clone(), *count)) else {
            return 0;
        };
        self.counts.remove(&value);
        count.count
    }

    /// How often at the most a value came that is not in the table.
    fn unseen(&self) -> u64 {
        if self.counts.len() < self.capacity {
            return 0;
        }
        let counts = self.counts.values().map(|count| count.count);
        counts.min().unwrap_or_default()
    }

    /// One table of what two say, with the most frequent values of both.
    #[must_use]
    pub(super) fn joined(&self, other: &Self) -> Self {
        let mut counts = HashMap::with_capacity(self.counts.len() + other.counts.len());
        for (one, another) in [(self, other), (other, self)] {
            let unseen = another.unseen();
            for (value, count) in &one.counts {
                let there = another.counts.get(value).copied().unwrap_or(Count {
                    count: unseen,
                    error: unseen,
                });
                let joined = Count {
                    count: count.count + there.count,
                    error: count.error + there.error,
                };
                counts.insert(value.clone(), joined);
            }
        }
        let mut joined = Self {
            counts,
            capacity: self.capacity.max(other.capacity),
        };
        joined.keep_the_most_frequent();
        joined
    }

    fn keep_the_most_frequent(&mut self) {
        if self.counts.len() > self.capacity {
            let mut counts: Vec<_> = self.counts.drain().collect();
            counts.sort_unstable_by_key(|(_, count)| std::cmp::Reverse(count.count));
            counts.truncate(self.capacity);
            self.counts.extend(counts);
        }
    }

    /// The most frequent values, at most so many; of equals the first by the alphabet.
    pub(super) fn first(&self, most: usize) -> Vec<(&str, Count)> {
        let mut ranked: Vec<_> = self
            .counts
            .iter()
            .map(|(value, count)| (&**value, *count))
            .collect();
        // What is certain ranks before what may be too high.
        ranked.sort_unstable_by_key(|(value, count)| {
            (std::cmp::Reverse(count.count - count.error), *value)
        });
        ranked.truncate(most);
        ranked
    }
}

/// As much of a value as is counted.
fn beginning(value: &str) -> &str {
    let mut end = value.len().min(MAX_BYTES);
    while !value.is_char_boundary(end) {
        end -= 1;
    }
    &value[..end]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn top(capacity: usize, values: &[u8]) -> Top {
        let mut top = Top::new(capacity);
        values
            .iter()
            .for_each(|value| top.add(&format!("page {value}")));
        top
    }

    fn often(values: &[u8], value: u8) -> u64 {
        values.iter().filter(|&&other| other == value).count() as u64
    }

    #[track_caller]
    fn check(top: &Top, values: &[u8], capacity: usize) {
        assert!(top.counts.len() <= capacity);
        for value in 0..=u8::MAX {
            let (truth, named) = (often(values, value), format!("page {value}"));
            match top.counts.get(named.as_str()) {
                Some(count) => {
                    assert!(
                        count.count >= truth,
                        "{named} came {truth} times: {count:?}"
                    );
                    assert!(
                        count.count - count.error <= truth,
                        "{named} came {truth} times: {count:?}"
                    );
                }
                None => assert!(
                    truth <= (values.len() / capacity) as u64,
                    "{named} came {truth} times of {} and is forgotten",
                    values.len()
                ),
            }
        }
    }

    proptest! {
        #[test]
        fn what_is_frequent_is_there_and_counts_err_as_much_as_they_say(
            values in proptest::collection::vec(prop_oneof![0u8..4, any::<u8>()], 0..400),
            capacity in 1usize..20,
        ) {
            check(&top(capacity, &values), &values, capacity);
        }

        #[test]
        fn two_tables_are_as_good_as_one(
            earlier in proptest::collection::vec(prop_oneof![0u8..4, any::<u8>()], 0..300),
            later in proptest::collection::vec(prop_oneof![2u8..8, any::<u8>()], 0..300),
            capacity in 1usize..20,
        ) {
            let joined = top(capacity, &earlier).joined(&top(capacity, &later));
            check(&joined, &[earlier, later].concat(), capacity);
        }
    }

    #[test]
    fn what_fits_is_counted_exactly_and_ranked() {
        let top = top(8, &[1, 2, 2, 3, 3, 3, 9, 9]);
        let exactly = |count| Count { count, error: 0 };
        let expected = [
            ("page 3", exactly(3)),
            ("page 2", exactly(2)),
            ("page 9", exactly(2)),
        ];
        assert_eq!(top.first(3), expected);
    }

    #[test]
    fn long_values_are_counted_by_their_beginning() {
        let mut top = Top::new(2);
        top.add(&"ä".repeat(500));
        let first = top.first(1)[0].0.to_owned();
        assert_eq!(first, "ä".repeat(MAX_BYTES / 2));
    }
}
