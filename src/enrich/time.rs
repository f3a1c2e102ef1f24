//! When an event happened, and on which day.
//!
//! The client's time counts when it is at most 72 hours old (the rule of GA4's Measurement Protocol,
//! <https://developers.google.com/analytics/devguides/collection/protocol/ga4/sending-events>), so
//! `date` is always a partition that may be written. No unit is guessed: microseconds or nothing.

use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::explain::Step;
use super::warn;
use crate::clock::Micros;
use crate::schema::Event;

/// How old an event may be.
const MAX_AGE: Duration = Duration::from_secs(72 * 3600);

/// How far ahead a client's clock may be.
const MAX_AHEAD: Duration = Duration::from_secs(300);

const MICROS_PER_SECOND: i64 = 1_000_000;
const SECONDS_PER_DAY: i64 = 86_400;

/// Fills in the time of the event, its day, and the time of receipt.
pub(super) fn stamp(
    event: &mut Event,
    received_at: Micros,
    client: Option<Micros>,
    zone: &TimeZone,
) {
    let accepted = client.filter(|client| is_plausible(*client, received_at));
    if client.is_some() && accepted.is_none() {
        warn(
            event,
            "the client's timestamp is not within the last 72 hours: the time of receipt was taken",
        );
    }
    let timestamp = accepted.unwrap_or(received_at);
    event.event_timestamp = Some(timestamp.0);
    event.event_server_timestamp_offset =
        accepted.map(|client| received_at.0.saturating_sub(client.0));
    event.synced_at_utc = Some(received_at.0);
    event.synced_at_micros = Some(received_at.0);
    let Some((date, days)) = day(timestamp, zone) else {
        return;
    };
    event.event_date = Some(format_date(date));
    event.date = Some(days);
}

/// Which time counted.
pub(super) fn explained(event: &Event, received_at: Micros, client: Option<Micros>) -> Step {
    let rule = match client {
        None => "the time of receipt, for the client sent none",
        Some(client) if is_plausible(client, received_at) => "the client's time",
        Some(_) => {
            "the time of receipt, for the client's is not within the last 72 hours and 5 minutes ahead"
        }
    };
    Step::new("time", rule)
        .saw("timestamp_micros", client.map(|client| client.0))
        .saw("time of receipt", Some(received_at.0))
        .filled("event_timestamp", event.event_timestamp)
        .filled("event_date", event.event_date.as_ref())
}

fn is_plausible(client: Micros, received_at: Micros) -> bool {
    client >= received_at.before(MAX_AGE) && client.since(received_at) <= MAX_AHEAD
}

/// The day in the zone, also as days since 1970-01-01; `None` beyond the years that a calendar knows.
pub(super) fn day(micros: Micros, zone: &TimeZone) -> Option<(Date, i32)> {
    let timestamp = Timestamp::from_microsecond(micros.0).ok()?;
    let offset = zone.to_offset(timestamp);
    let local_seconds = micros.0.div_euclid(MICROS_PER_SECOND) + i64::from(offset.seconds());
    let days = i32::try_from(local_seconds.div_euclid(SECONDS_PER_DAY)).ok()?;
    Some((offset.to_datetime(timestamp).date(), days))
}

/// YYYYMMDD, as GA4 writes it.
fn format_date(date: Date) -> String {
    let (year, month, day) = (
        i32::from(date.year()),
        i32::from(date.month()),
        i32::from(date.day()),
    );
    format!("{:08}", year * 10_000 + month * 100 + day)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-21 00:30:00 UTC.
    const RECEIVED: Micros = Micros(1_795_221_000_000_000);
    const HOUR: i64 = 3_600_000_000;

    fn stamped(client: Option<i64>, zone: &TimeZone) -> Event {
        let mut event = Event::default();
        stamp(&mut event, RECEIVED, client.map(Micros), zone);
        event
    }

    #[test]
    fn the_time_of_receipt_stands_in_for_a_missing_one() {
        let event = stamped(None, &TimeZone::UTC);
        assert_eq!(event.event_timestamp, Some(RECEIVED.0));
        assert_eq!(event.synced_at_utc, Some(RECEIVED.0));
        assert_eq!(event.synced_at_micros, Some(RECEIVED.0));
        assert_eq!(event.event_server_timestamp_offset, None);
        assert_eq!(event.event_date.as_deref(), Some("20261121"));
        assert_eq!(event.date, Some(20_778));
        assert!(event.collector.is_none());
    }

    #[test]
    fn the_clients_time_counts_within_its_window_only() {
        let minute = HOUR / 60;
        for (offset, counts) in [
            (-1, true),
            (0, true),
            (-72 * HOUR, true),
            (-72 * HOUR - 1, false),
            (5 * minute, true),
            (5 * minute + 1, false),
        ] {
            let client = RECEIVED.0 + offset;
            let event = stamped(Some(client), &TimeZone::UTC);
            let expected = if counts { client } else { RECEIVED.0 };
            assert_eq!(event.event_timestamp, Some(expected), "{offset}");
            assert_eq!(
                event.event_server_timestamp_offset,
                counts.then_some(-offset),
                "{offset}"
            );
            assert_eq!(event.collector.is_some(), !counts, "{offset}");
        }
    }

    #[test]
    fn other_units_and_absurd_times_are_never_guessed() {
        for client in [
            RECEIVED.0 / 1000,
            RECEIVED.0 / 1_000_000,
            -1,
            0,
            i64::MIN,
            i64::MAX,
        ] {
            let event = stamped(Some(client), &TimeZone::UTC);
            assert_eq!(event.event_timestamp, Some(RECEIVED.0), "{client}");
            assert_eq!(event.collector.unwrap().warnings.len(), 1, "{client}");
        }
    }

    #[test]
    fn the_day_is_that_of_the_event_in_the_zone() {
        let zone = TimeZone::get("America/New_York").unwrap();
        let event = stamped(None, &zone);
        assert_eq!(event.event_date.as_deref(), Some("20261120"));
        assert_eq!(event.date, Some(20_777));
        let event = stamped(Some(RECEIVED.0 - 24 * HOUR), &TimeZone::UTC);
        assert_eq!(event.event_date.as_deref(), Some("20261120"));
        assert_eq!(event.date, Some(20_777));
    }

    #[test]
    fn the_date_and_its_number_agree_before_1970_too() {
        let (date, days) = day(Micros(-1), &TimeZone::UTC).unwrap();
        assert_eq!((format_date(date).as_str(), days), ("19691231", -1));
    }
}
