//! The last thirty minutes: what the ledger counted in each, and the most frequent values of what was looked at.
//!
//! The ledger's counts are noted once a minute, always: some numbers. The tables exist only where somebody looks, and
//! their size does not depend on what comes.

use std::collections::VecDeque;

use crate::clock::Micros;
use crate::ledger::{IntakeTotals, Outcomes as _};

use super::seen::{Facts, TABLES};
use super::top::{Count, Top};

/// So many minutes are shown, the one that is not over included.
pub const MINUTES: usize = 30;

/// Places in a table of one minute.
const PLACES: usize = 64;

/// Places in a table of all minutes.
const PLACES_OF_ALL: usize = 256;

const MICROS_A_MINUTE: i64 = 60_000_000;

/// The minute of a time, counted since 1970.
pub(super) fn minute_of(time: Micros) -> i64 {
    time.0.div_euclid(MICROS_A_MINUTE)
}

/// What the ledger counted, by minute.
#[derive(Debug)]
pub(super) struct History {
    /// The totals as they were when a minute began, oldest first.
    begins: VecDeque<(i64, IntakeTotals)>,
}

impl History {
    /// Counts from now on.
    pub(super) fn new(now: Micros, totals: IntakeTotals) -> Self {
        Self {
            begins: VecDeque::from([(minute_of(now), totals)]),
        }
    }

    /// A minute may have begun.
    pub(super) fn note(&mut self, now: Micros, totals: IntakeTotals) {
        let minute = minute_of(now);
        let last = self.begins.back().map(|(minute, _)| *minute);
        // A clock that is set back makes no minute twice.
        if last.is_some_and(|last| minute <= last) {
            return;
        }
        self.begins.push_back((minute, totals));
        let oldest = minute - MINUTES as i64;
        while self
            .begins
            .front()
            .is_some_and(|(minute, _)| *minute <= oldest)
        {
            self.begins.pop_front();
        }
    }

    /// Each minute that is known, oldest first, and what was counted in it.
    pub(super) fn minutes(&self, totals: IntakeTotals) -> Vec<(Micros, IntakeTotals)> {
        let ends = self.begins.iter().skip(1).map(|(_, begin)| *begin);
        self.begins
            .iter()
            .zip(ends.chain([totals]))
            .map(|((minute, begin), end)| (Micros(minute * MICROS_A_MINUTE), end.since(*begin)))
            .collect()
    }

    /// What was counted in all these minutes.
    pub(super) fn all(&self, totals: IntakeTotals) -> IntakeTotals {
        let begin = self.begins.front().map(|(_, begin)| *begin);
        totals.since(begin.unwrap_or(totals))
    }
}

/// The events of one minute.
#[derive(Debug)]
struct Minute {
    minute: i64,
    counted: u64,
    tables: [Top; TABLES.len()],
}

impl Minute {
    fn new(minute: i64, places: usize) -> Self {
        Self {
            minute,
            counted: 0,
            tables: std::array::from_fn(|_| Top::new(places)),
        }
    }

    fn add(&mut self, facts: &Facts) {
        self.counted += 1;
        for (table, value) in self.tables.iter_mut().zip(facts) {
            if let Some(value) = value {
                table.add(value);
            }
        }
    }
}

/// The most frequent values of the last minutes.
#[derive(Debug)]
pub(super) struct Tables {
    /// Those that are over, oldest first, without gaps being filled.
    over: VecDeque<Minute>,
    /// All of these together, so that they are joined once a minute only.
    joined: Minute,
    current: Minute,
}

impl Tables {
    pub(super) fn new(now: Micros) -> Self {
        let minute = minute_of(now);
        Self {
            over: VecDeque::new(),
            joined: Minute::new(minute, PLACES_OF_ALL),
            current: Minute::new(minute, PLACES),
        }
    }

    /// Counts an event.
    pub(super) fn add(&mut self, facts: &Facts) {
        self.current.add(facts);
    }

    /// Lets go of what is too old.
    pub(super) fn turn(&mut self, now: Micros) {
        let minute = minute_of(now);
        if minute <= self.current.minute {
            return;
        }
        let over = std::mem::replace(&mut self.current, Minute::new(minute, PLACES));
        self.over.push_back(over);
        let oldest = minute - MINUTES as i64;
        self.over.retain(|over| over.minute > oldest);
        let mut joined = Minute::new(minute, PLACES_OF_ALL);
        for over in &self.over {
            joined.counted += over.counted;
            for (table, more) in joined.tables.iter_mut().zip(&over.tables) {
                *table = table.joined(more);
            }
        }
        self.joined = joined;
    }

    /// How many events were counted.
    pub(super) fn counted(&self) -> u64 {
        self.joined.counted + self.current.counted
    }

    /// The most frequent values of a table.
    pub(super) fn first(&self, table: usize, most: usize) -> Vec<(String, Count)> {
        let table = self.joined.tables[table].joined(&self.current.tables[table]);
        let first = table.first(most).into_iter();
        first
            .map(|(value, count)| (value.to_owned(), count))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minute: i64) -> Micros {
        Micros(1_000_000_000 * MICROS_A_MINUTE + minute * MICROS_A_MINUTE + 17)
    }

    fn received(count: u64) -> IntakeTotals {
        IntakeTotals {
            received: count,
            ..IntakeTotals::default()
        }
    }

    #[test]
    fn the_ledger_is_told_by_minute_and_the_oldest_goes() {
        let mut history = History::new(at(0), received(100));
        let told = |history: &History, now| -> Vec<u64> {
            let minutes = history.minutes(received(now));
            minutes
                .iter()
                .map(|(_, counted)| counted.received)
                .collect()
        };
        assert_eq!(told(&history, 105), [5]);
        history.note(at(0), received(107));
        assert_eq!(told(&history, 108), [8]);
        history.note(at(1), received(110));
        assert_eq!(told(&history, 111), [10, 1]);
        // The clock is set back, and comes again.
        history.note(at(-5), received(111));
        history.note(at(1), received(112));
        assert_eq!(told(&history, 113), [10, 3]);
        for minute in 2..40 {
            history.note(at(minute), received(200 + minute as u64));
        }
        let last = told(&history, 1000);
        assert_eq!((last.len(), last[0], last[MINUTES - 1]), (MINUTES, 1, 761));
        assert_eq!(history.all(received(1000)).received, 1000 - 210);
        let first = history.minutes(received(1000))[0].0;
        assert_eq!(minute_of(first), minute_of(at(10)));
    }

    fn facts(name: &str) -> Facts {
        let mut facts = Facts::default();
        facts[0] = Some(name.to_owned());
        facts
    }

    #[test]
    fn tables_hold_the_last_minutes_only() {
        let mut tables = Tables::new(at(0));
        for minute in 0..60 {
            tables.turn(at(minute));
            tables.add(&facts("page_view"));
            if minute < 31 {
                tables.add(&facts("old"));
            }
        }
        assert_eq!(tables.counted(), MINUTES as u64 + 1);
        let first = tables.first(0, 10);
        let told: Vec<_> = first
            .iter()
            .map(|(value, count)| (value.as_str(), count.count))
            .collect();
        assert_eq!(told, [("page_view", MINUTES as u64), ("old", 1)]);
        tables.turn(at(500));
        assert_eq!((tables.counted(), tables.first(0, 10)), (0, Vec::new()));
    }

    #[test]
    fn they_stay_small_whatever_comes() {
        let mut tables = Tables::new(at(0));
        for minute in 0..40 {
            tables.turn(at(minute));
            for page in 0..1000 {
                tables.add(&facts(&format!("{minute} {page}")));
                tables.add(&facts("frequent"));
            }
        }
        let size = |minute: &Minute| {
            minute
                .tables
                .iter()
                .map(|top| top.first(usize::MAX).len())
                .sum::<usize>()
        };
        let sizes: usize = tables.over.iter().map(size).sum();
        assert!(sizes <= MINUTES * PLACES * TABLES.len(), "{sizes}");
        assert!(size(&tables.joined) <= PLACES_OF_ALL * TABLES.len());
        let (value, count) = tables.first(0, 1).remove(0);
        let truth = MINUTES as u64 * 1000;
        assert_eq!(value, "frequent");
        assert!(
            count.count >= truth && count.count - count.error <= truth,
            "{count:?}"
        );
    }
}
