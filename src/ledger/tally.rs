//! Counts told apart by where the events came from and in which minute.
//!
//! Bounded: beyond so many streams further ones are counted under none, and beyond so many minutes nothing is told
//! apart at all. So a tally never says how many events there were, only what is known of some of them; the totals say
//! how many, and [`Tally::claim`] spreads a difference of totals over what the tally knows.

use std::collections::BTreeMap;

use crate::clock::Micros;
use crate::schema;

use super::outcomes::Outcomes;

/// Most counts by minute, or by minute and stream.
const MOST: usize = 10_000;

/// Most of them by minute and stream.
const MOST_BY_STREAM: usize = 2_000;

const MICROS_PER_MINUTE: i64 = 60_000_000;

/// Minutes since 1970 in UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Minute(pub i64);

impl Minute {
    /// The minute of a time.
    pub fn of(time: Micros) -> Self {
        Self(time.0.div_euclid(MICROS_PER_MINUTE))
    }

    /// Its beginning.
    pub fn begins(self) -> Micros {
        Micros(self.0.saturating_mul(MICROS_PER_MINUTE))
    }
}

/// Where an event came from, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin<'a> {
    /// Its stream, where it is known.
    pub stream_id: Option<&'a str>,
    /// When it was received.
    pub minute: Minute,
}

impl<'a> Origin<'a> {
    /// What was received at this time by a stream.
    pub fn new(stream_id: &'a str, received_at: Micros) -> Self {
        Self {
            stream_id: Some(stream_id),
            minute: Minute::of(received_at),
        }
    }

    /// What an encoded event says of itself, where it says when it was received.
    pub fn of(encoded: &'a [u8]) -> Option<Self> {
        let (stream_id, received_at) = schema::origin(encoded);
        Some(Self {
            stream_id,
            minute: Minute::of(Micros(received_at?)),
        })
    }
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Tally<T> {
    minutes: BTreeMap<Minute, OfMinute<T>>,
    size: usize,
    size_by_stream: usize,
}

#[derive(Clone, Debug, Default)]
struct OfMinute<T> {
    /// Of no stream, or of one too many.
    other: T,
    streams: BTreeMap<Box<str>, T>,
}

impl<T> Default for Tally<T> {
    fn default() -> Self {
        Self {
            minutes: BTreeMap::new(),
            size: 0,
            size_by_stream: 0,
        }
    }
}

impl<T: Outcomes> Tally<T> {
    /// The counts of an origin; `None` if no more can be told apart.
    pub fn at(&mut self, origin: &Origin<'_>) -> Option<&mut T> {
        if !self.minutes.contains_key(&origin.minute) {
            if self.size >= MOST {
                return None;
            }
            self.size += 1;
        }
        let minute = self.minutes.entry(origin.minute).or_default();
        let Some(stream_id) = origin.stream_id else {
            return Some(&mut minute.other);
        };
        if !minute.streams.contains_key(stream_id) {
            if self.size_by_stream >= MOST_BY_STREAM || self.size >= MOST {
                return Some(&mut minute.other);
            }
            self.size += 1;
            self.size_by_stream += 1;
            minute.streams.insert(stream_id.into(), T::default());
        }
        minute.streams.get_mut(stream_id)
    }

    /// Adds what another one knows.
    pub fn merge(&mut self, more: &Self) {
        for (origin, counts) in more.all() {
            if let Some(own) = self.at(&origin) {
                *own = own.plus(*counts);
            }
        }
    }

    /// Spreads `open` counts over the origins that are known of them, oldest first, which forgets these. Gives to `found`
    /// what each origin has of them, and returns those of which nothing is known.
    pub fn claim(&mut self, open: T, mut found: impl FnMut(Origin<'_>, T)) -> T {
        let mut open = open;
        for (minute, of_minute) in &mut self.minutes {
            let streams = of_minute.streams.iter_mut();
            let streams = streams.map(|(stream_id, counts)| (Some(&**stream_id), counts));
            for (stream_id, counts) in streams.chain([(None, &mut of_minute.other)]) {
                let claimed = counts.zipped(open, u64::min);
                if claimed.counts().iter().all(|count| *count == 0) {
                    continue;
                }
                *counts = counts.since(claimed);
                open = open.since(claimed);
                let minute = *minute;
                found(Origin { stream_id, minute }, claimed);
            }
        }
        open
    }

    /// Forgets what was all claimed, and what nobody claimed that is older than this minute.
    pub fn forget(&mut self, before: Minute) {
        let mut kept = Self::default();
        for (origin, counts) in self.all() {
            let is_left = counts.counts().iter().any(|count| *count > 0);
            if is_left
                && origin.minute >= before
                && let Some(own) = kept.at(&origin)
            {
                *own = own.plus(*counts);
            }
        }
        *self = kept;
    }

    fn all(&self) -> impl Iterator<Item = (Origin<'_>, &T)> {
        self.minutes.iter().flat_map(|(minute, of_minute)| {
            let minute = *minute;
            let streams = of_minute.streams.iter();
            let streams = streams.map(|(stream_id, counts)| (Some(&**stream_id), counts));
            let all = streams.chain([(None, &of_minute.other)]);
            all.map(move |(stream_id, counts)| (Origin { stream_id, minute }, counts))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::DestinationTotals;
    use super::*;

    fn origin(stream_id: &str, minute: i64) -> Origin<'_> {
        Origin {
            stream_id: Some(stream_id),
            minute: Minute(minute),
        }
    }

    fn stored(stored: u64) -> DestinationTotals {
        DestinationTotals {
            stored,
            ..DestinationTotals::default()
        }
    }

    fn claimed(
        tally: &mut Tally<DestinationTotals>,
        open: DestinationTotals,
    ) -> (Vec<(i64, Option<String>, u64)>, u64) {
        let mut found = Vec::new();
        let rest = tally.claim(open, |origin, counts| {
            let stream_id = origin.stream_id.map(str::to_owned);
            found.push((origin.minute.0, stream_id, counts.stored));
        });
        (found, rest.stored)
    }

    #[test]
    fn minutes_begin_where_they_do() {
        assert_eq!(Minute::of(Micros(119_999_999)), Minute(1));
        assert_eq!(Minute::of(Micros(-1)), Minute(-1));
        assert_eq!(Minute(2).begins(), Micros(120_000_000));
    }

    #[test]
    fn a_difference_is_spread_over_what_is_known() {
        let mut tally = Tally::<DestinationTotals>::default();
        tally.at(&origin("b", 7)).unwrap().stored += 2;
        tally.at(&origin("a", 8)).unwrap().stored += 5;
        let b = || Some("b".to_owned());
        let a = || Some("a".to_owned());
        assert_eq!(
            claimed(&mut tally, stored(4)),
            (vec![(7, b(), 2), (8, a(), 2)], 0),
            "no more than was counted"
        );
        assert_eq!(
            claimed(&mut tally, stored(9)),
            (vec![(8, a(), 3)], 6),
            "the rest is of nobody knows where"
        );
        assert_eq!(claimed(&mut tally, stored(1)), (vec![], 1));
        tally.forget(Minute(0));
        assert_eq!(tally.size, 0);
        tally.at(&origin("a", 8)).unwrap().stored += 1;
        tally.forget(Minute(8));
        assert_eq!(tally.size, 2);
        tally.forget(Minute(9));
        assert_eq!(tally.size, 0);
    }

    #[test]
    fn it_does_not_grow_beyond_its_bounds() {
        let mut tally = Tally::<DestinationTotals>::default();
        for number in 0..3 * MOST {
            if let Some(counts) = tally.at(&origin(&number.to_string(), number as i64 / 100)) {
                counts.stored += 1;
            }
        }
        assert!(tally.size_by_stream == MOST_BY_STREAM && tally.size <= MOST);
        let (found, rest) = claimed(&mut tally.clone(), stored(3 * MOST as u64));
        let known: u64 = found.iter().map(|(_, _, stored)| stored).sum();
        assert_eq!(known + rest, 3 * MOST as u64);
        assert_eq!(rest, 0, "their minutes are known");
        for minute in 0..2 * MOST as i64 {
            tally.at(&origin("a", minute));
        }
        assert_eq!(tally.size, MOST);
        let mut other = Tally::default();
        other.merge(&tally);
        assert_eq!(other.size, MOST);
    }
}
