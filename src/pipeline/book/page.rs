//! What was booked for one destination, and the rows that follow from what was counted since.
//!
//! The rows of a destination add up to the totals, whatever happened between: what is booked next is the difference of the
//! totals to those booked before. Of the difference as much has a minute and a stream as is known of it; what a crash
//! kept from being known has neither, and counts in the minute in which it is booked. Written down with what was booked
//! are the rows that the table does not have yet, in one file that is replaced at once.

use serde::{Deserialize, Serialize};

use crate::clock::Micros;
use crate::ledger::{DestinationTotals, IntakeTotals, Minute, Name, Outcomes, Tally};
use crate::schema::LogId;
use crate::writer::LedgerBatch;

use super::outbox::{Entry, Outbox};

/// An origin that nobody claimed for so many minutes is not waited for any more.
const UNCLAIMED_MINUTES: i64 = 60;

/// Times further away than this are nobody's clock; tables have bounds for their days.
const MINUTES_AHEAD: i64 = 24 * 60;
const MINUTES_BEHIND: i64 = 365 * 24 * 60;

/// See the module.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Page {
    pub(super) destination: String,
    /// Where the cursor began: another one is another life of the destination.
    start: u64,
    /// What of the intake was booked.
    intake: IntakeTotals,
    /// What of the destination was booked.
    settled: DestinationTotals,
    #[serde(flatten)]
    outbox: Outbox,
    #[serde(skip)]
    intake_origins: Tally<IntakeTotals>,
    #[serde(skip)]
    settled_origins: Tally<DestinationTotals>,
}

/// Where a destination stands that is to have a page.
#[derive(Clone, Copy, Debug)]
pub(super) struct Standing<'a> {
    pub(super) destination: &'a str,
    /// Where its cursor began.
    pub(super) start: u64,
    /// Where the log ends.
    pub(super) end: u64,
    /// What the intake has counted.
    pub(super) intake: IntakeTotals,
}

impl Page {
    /// A new page. It begins with the first record that the destination was to get, so that what it got balances with what
    /// was appended for it.
    pub(super) fn beginning(standing: Standing<'_>, now: Micros) -> Self {
        let mut intake = IntakeTotals::default();
        if standing.start > 0 {
            let its_own = standing.end.saturating_sub(standing.start);
            intake = settled(standing.intake);
            intake.appended = intake.appended.saturating_sub(its_own);
            intake.received = intake.received.saturating_sub(its_own);
        }
        Self {
            destination: standing.destination.to_owned(),
            start: standing.start,
            intake,
            settled: DestinationTotals::default(),
            outbox: Outbox::beginning(now),
            intake_origins: Tally::default(),
            settled_origins: Tally::default(),
        }
    }

    /// Goes on with a page that was found; where the destination began anew since, with what waits on it.
    pub(super) fn going_on(mut self, standing: Standing<'_>, now: Micros) -> Self {
        if self.start == standing.start {
            return self;
        }
        let fresh = Self::beginning(standing, now);
        self.start = fresh.start;
        self.intake = fresh.intake;
        self.settled = fresh.settled;
        self
    }

    /// Takes all up to these totals for booked.
    pub(super) fn through(mut self, intake: IntakeTotals, delivered: DestinationTotals) -> Self {
        self.intake = settled(intake);
        self.settled = delivered;
        self
    }

    /// What of the intake was booked: at least so much was counted, whatever else a crash has kept of it.
    pub fn intake(&self) -> IntakeTotals {
        self.intake
    }

    /// Books what was counted since, up to these totals, and makes a batch of it if none is being sent. Whether it was anything.
    pub(super) fn book(
        &mut self,
        intake: (IntakeTotals, &Tally<IntakeTotals>),
        delivered: (DestinationTotals, &Tally<DestinationTotals>),
        log_id: LogId,
        now: Micros,
    ) -> bool {
        let before = (self.intake, self.settled);
        self.intake_origins.merge(intake.1);
        self.settled_origins.merge(delivered.1);
        let minute = Minute::of(now);
        let outbox = &mut self.outbox;
        let totals = settled(intake.0);
        let mut add = adding(outbox, false);
        enter(
            &mut self.intake,
            &mut self.intake_origins,
            totals,
            minute,
            &mut add,
        );
        drop(add);
        let mut add = adding(outbox, true);
        enter(
            &mut self.settled,
            &mut self.settled_origins,
            delivered.0,
            minute,
            &mut add,
        );
        drop(add);
        outbox.compact();
        outbox.cut(log_id, now);
        before != (self.intake, self.settled)
    }

    /// The batch that is to be sent.
    pub(super) fn batch(&self) -> Option<LedgerBatch> {
        self.outbox.batch(&self.destination)
    }

    /// The batch is in the table; makes the next of what waits.
    pub(super) fn sent(&mut self, number: u64, log_id: LogId, now: Micros) {
        self.outbox.sent(number);
        self.outbox.cut(log_id, now);
    }
}

/// Totals in which only those events were received of which the outcome is known.
fn settled(mut totals: IntakeTotals) -> IntakeTotals {
    let not_received = totals.synthesised + totals.replayed;
    let ended = totals.outcomes().saturating_sub(not_received);
    totals.received = totals.received.min(ended);
    totals
}

fn adding(outbox: &mut Outbox, is_delivered: bool) -> impl FnMut(Minute, Option<&str>, Name, u64) {
    move |minute, stream_id, (outcome, reason), events| {
        let entry = Entry {
            minute: minute.0,
            stream_id: stream_id.map(str::to_owned),
            is_delivered,
            outcome: outcome.to_owned(),
            reason: reason.map(str::to_owned),
        };
        outbox.add(entry, events);
    }
}

/// Adds what the totals have more than was booked, and books it.
fn enter<T: Outcomes>(
    booked: &mut T,
    origins: &mut Tally<T>,
    totals: T,
    now: Minute,
    add: &mut impl FnMut(Minute, Option<&str>, Name, u64),
) {
    let mut add_all = |minute: Minute, stream_id: Option<&str>, counts: T| {
        for (name, events) in T::NAMES.iter().zip(counts.counts()) {
            if events > 0 {
                add(minute, stream_id, *name, events);
            }
        }
    };
    let open = totals.since(*booked);
    let unknown = origins.claim(open, |origin, counts| {
        let is_sane = (now.0 - MINUTES_BEHIND..=now.0 + MINUTES_AHEAD).contains(&origin.minute.0);
        let minute = if is_sane { origin.minute } else { now };
        add_all(minute, origin.stream_id, counts);
    });
    add_all(now, None, unknown);
    origins.forget(Minute(now.0 - UNCLAIMED_MINUTES));
    *booked = booked.at_least(totals);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use uuid::Uuid;

    use crate::ledger::Origin;

    use super::*;

    const LOG: LogId = LogId(Uuid::nil());
    const NOW: Micros = Micros(7_000 * 60_000_000);

    fn standing(start: u64, end: u64, intake: IntakeTotals) -> Standing<'static> {
        Standing {
            destination: "memory:a",
            start,
            end,
            intake,
        }
    }

    fn appended(received: u64, appended: u64) -> IntakeTotals {
        IntakeTotals {
            received,
            appended,
            ..IntakeTotals::default()
        }
    }

    fn origins(stream_id: &str, minute: i64, counts: IntakeTotals) -> Tally<IntakeTotals> {
        let mut tally = Tally::default();
        let origin = Origin {
            stream_id: Some(stream_id),
            minute: Minute(minute),
        };
        *tally.at(&origin).unwrap() = counts;
        tally
    }

    fn book(page: &mut Page, intake: IntakeTotals, origins: &Tally<IntakeTotals>) {
        let delivered = (DestinationTotals::default(), &Tally::default());
        page.book((intake, origins), delivered, LOG, NOW);
    }

    /// All rows that the page gives, by outcome, stream and minute.
    fn rows(page: &mut Page) -> BTreeMap<(String, Option<String>, i64), i64> {
        let mut rows = BTreeMap::new();
        while let Some(batch) = page.batch() {
            for row in batch.rows {
                let minute = row.minute.unwrap() / 60_000_000;
                let key = (row.outcome.unwrap(), row.stream_id, minute);
                *rows.entry(key).or_default() += row.events.unwrap();
            }
            page.sent(batch.number, LOG, NOW);
        }
        rows
    }

    fn row(
        outcome: &str,
        stream_id: Option<&str>,
        minute: i64,
        events: i64,
    ) -> ((String, Option<String>, i64), i64) {
        let stream_id = stream_id.map(str::to_owned);
        ((outcome.to_owned(), stream_id, minute), events)
    }

    #[test]
    fn rows_are_what_the_totals_have_more() {
        let mut page = Page::beginning(standing(0, 0, appended(0, 0)), NOW);
        book(
            &mut page,
            appended(9, 5),
            &origins("a", 6_999, appended(3, 3)),
        );
        let expected = [
            row("appended", Some("a"), 6_999, 3),
            row("appended", None, 7_000, 2),
            row("received", Some("a"), 6_999, 3),
            // What is under way is received once it is known what became of it.
            row("received", None, 7_000, 2),
        ];
        assert_eq!(rows(&mut page), expected.into());
        book(&mut page, appended(9, 5), &Tally::default());
        assert!(rows(&mut page).is_empty());
        // Counted less than was booked: it waits until there is more.
        book(&mut page, appended(4, 4), &Tally::default());
        assert!(rows(&mut page).is_empty());
        assert_eq!(page.intake(), appended(5, 5));
        // An origin that nobody claimed is waited for, but not for ever.
        book(
            &mut page,
            appended(6, 6),
            &origins("b", 6_998, appended(2, 2)),
        );
        assert_eq!(rows(&mut page)[&row("appended", Some("b"), 6_998, 1).0], 1);
        book(&mut page, appended(7, 7), &Tally::default());
        assert_eq!(rows(&mut page)[&row("appended", Some("b"), 6_998, 1).0], 1);
        book(
            &mut page,
            appended(7, 7),
            &origins("c", 6_939, appended(1, 1)),
        );
        book(&mut page, appended(8, 8), &Tally::default());
        assert_eq!(rows(&mut page)[&row("appended", None, 7_000, 1).0], 1);
    }

    #[test]
    fn times_that_no_clock_tells_are_now() {
        let mut page = Page::beginning(standing(0, 0, appended(0, 0)), NOW);
        for minute in [i64::MIN / 60_000_000, 9_000, i64::MAX / 60_000_000] {
            let all = page.intake().plus(appended(1, 1));
            book(&mut page, all, &origins("a", minute, appended(1, 1)));
        }
        let expected = [
            row("appended", Some("a"), 7_000, 3),
            row("received", Some("a"), 7_000, 3),
        ];
        assert_eq!(rows(&mut page), expected.into());
    }

    #[test]
    fn a_later_destination_begins_with_what_it_is_to_get() {
        let intake = IntakeTotals {
            duplicate: 4,
            ..appended(104, 100)
        };
        let mut page = Page::beginning(standing(90, 100, intake), NOW);
        book(&mut page, intake, &Tally::default());
        let expected = [
            row("appended", None, 7_000, 10),
            row("received", None, 7_000, 10),
        ];
        assert_eq!(rows(&mut page), expected.into());

        let text = serde_json::to_vec(&page).unwrap();
        let found = || -> Page { serde_json::from_slice(&text).unwrap() };
        let mut same = found().going_on(standing(90, 100, intake), NOW);
        book(&mut same, intake, &Tally::default());
        assert!(rows(&mut same).is_empty());
        let mut anew = found().going_on(standing(98, 100, intake), NOW);
        book(&mut anew, intake, &Tally::default());
        assert_eq!(rows(&mut anew)[&row("appended", None, 7_000, 0).0], 2);
        let mut through = Page::beginning(standing(0, 100, intake), NOW)
            .through(intake, DestinationTotals::default());
        book(&mut through, intake, &Tally::default());
        assert!(rows(&mut through).is_empty());
    }
}
