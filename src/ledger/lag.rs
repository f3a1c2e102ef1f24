//! For how long a destination has been behind: where the log ended, and when.
//!
//! Samples of the log's end are taken by the second. The oldest one that lies beyond a destination's position tells since when
//! at least its next record waits. They are bounded: where there are too many, every second one goes, so the age of what waits
//! for long is told less finely. What an earlier process appended counts from the start of this one.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// Most samples that are kept.
const MOST: usize = 512;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Lag {
    /// When the log ended where; both ascend.
    ends: VecDeque<(Instant, u64)>,
}

impl Lag {
    /// Takes a sample: the log ends at `end`, of which all up to `position` is settled.
    pub(super) fn note(&mut self, now: Instant, end: u64, position: u64) {
        while self.ends.front().is_some_and(|(_, end)| *end <= position) {
            self.ends.pop_front();
        }
        let is_news = self.ends.back().is_none_or(|(_, known)| end > *known);
        if end <= position || !is_news {
            return;
        }
        self.ends.push_back((now, end));
        if self.ends.len() > MOST {
            let mut index = 0;
            self.ends.retain(|_| {
                index += 1;
                index % 2 == 1
            });
        }
    }

    /// For how long the first record behind `position` has waited at least; zero if none is known.
    pub(super) fn age(&self, now: Instant, position: u64) -> Duration {
        let waiting = self.ends.iter().find(|(_, end)| *end > position);
        waiting.map_or(Duration::ZERO, |(since, _)| {
            now.saturating_duration_since(*since)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_age_is_that_of_the_first_record_that_waits() {
        let (mut lag, begun) = (Lag::default(), Instant::now());
        let at = |second: u64| begun + Duration::from_secs(second);
        lag.note(at(0), 10, 10);
        assert_eq!(lag.age(at(5), 10), Duration::ZERO, "nothing waits");
        for second in 1..=9 {
            lag.note(at(second), 10 + second, 10);
        }
        for (position, seconds) in [(10, 8), (12, 6), (18, 0), (19, 0)] {
            let age = lag.age(at(9), position);
            assert_eq!(age, Duration::from_secs(seconds), "at {position}");
        }
    }

    #[test]
    fn many_samples_are_thinned_and_the_oldest_stays() {
        let (mut lag, begun) = (Lag::default(), Instant::now());
        let at = |second: u64| begun + Duration::from_secs(second);
        for second in 1..=100_000 {
            lag.note(at(second), second, 0);
        }
        assert!(lag.ends.len() <= MOST);
        assert_eq!(lag.age(at(100_000), 0), Duration::from_secs(99_999));
        lag.note(at(100_001), 100_000, 100_000);
        assert!(lag.ends.is_empty());
    }
}
