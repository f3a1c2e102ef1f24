//! How long a batch may wait: short while commits are a small part of the work, longer when they would
//! take up the machine. Fewer, larger commits cost less each row, in the commit and in the compaction.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The load is judged over so long.
const WINDOW: Duration = Duration::from_secs(10);
/// Above this share of one core's time, batches wait longer.
const BUSY: f64 = 0.5;
/// Below this share they wait shorter.
const IDLE: f64 = 0.2;

/// See the module.
#[derive(Debug)]
pub(super) struct Pace {
    least: Duration,
    most: Duration,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    age: Duration,
    since: Instant,
    spent: Duration,
}

impl Pace {
    /// Starts with the shortest wait.
    pub(super) fn new(least: Duration, most: Duration, now: Instant) -> Self {
        Self {
            least,
            most: most.max(least),
            state: Mutex::new(State {
                age: least,
                since: now,
                spent: Duration::ZERO,
            }),
        }
    }

    /// Notes processor time spent on writing or compacting.
    pub(super) fn spent(&self, time: Duration) {
        self.state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .spent += time;
    }

    /// How long a batch may wait now.
    pub(super) fn age(&self, now: Instant) -> Duration {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let elapsed = now.saturating_duration_since(state.since);
        if elapsed < WINDOW {
            return state.age;
        }
        let share = state.spent.as_secs_f64() / elapsed.as_secs_f64();
        if share > BUSY {
            state.age = (state.age * 2).min(self.most);
        } else if share < IDLE {
            state.age = (state.age / 2).max(self.least);
        }
        state.since = now;
        state.spent = Duration::ZERO;
        state.age
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_longer_under_load_and_comes_back() {
        let seconds = Duration::from_secs;
        let mut now = Instant::now();
        let pace = Pace::new(seconds(2), seconds(30), now);
        assert_eq!(pace.age(now), seconds(2));
        for expected in [4, 8, 16, 30, 30] {
            pace.spent(seconds(6));
            assert_eq!(pace.age(now + seconds(9)).max(seconds(2)), pace.age(now));
            now += seconds(10);
            assert_eq!(pace.age(now), seconds(expected));
        }
        pace.spent(seconds(3));
        now += seconds(10);
        assert_eq!(
            pace.age(now),
            seconds(30),
            "between the bounds nothing changes"
        );
        for expected in [15_000, 7_500, 3_750, 2_000, 2_000] {
            now += seconds(3_600);
            assert_eq!(pace.age(now), Duration::from_millis(expected));
        }
    }
}
