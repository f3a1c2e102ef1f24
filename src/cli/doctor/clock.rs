//! The clock: whether it jumps while the other checks run, and what a destination says of the time.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;

use crate::clock::{Clock, Micros, SystemClock};

use super::Check;

/// Services refuse credentials of a clock that is wrong by minutes, and rows come to stand in the wrong day.
const WRONG_SECONDS: i64 = 30;

/// Between two clocks that run well there is less, also on a busy machine.
const JUMP: Duration = Duration::from_millis(250);

/// 2025-01-01: no collector ran before.
const EARLIEST: Micros = Micros(1_735_689_600_000_000);

/// Both clocks at one moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hands {
    steady: Instant,
    wall: Micros,
}

impl Hands {
    pub(super) fn now() -> Self {
        Self {
            steady: Instant::now(),
            wall: SystemClock.now(),
        }
    }
}

/// `told` is what a destination says of the time now and where, or why it does not; `None` if none is asked.
pub(super) fn check(before: Hands, told: Option<Result<(String, String), String>>) -> Vec<Check> {
    let now = Hands::now();
    vec![steadiness(before, now), agreement(now.wall, told)]
}

fn steadiness(before: Hands, now: Hands) -> Check {
    let what = "clock";
    if now.wall < EARLIEST {
        return Check::failure(
            what,
            "it stands before 2025: set it, or start a time service",
        );
    }
    let steady = now.steady.saturating_duration_since(before.steady);
    let wall = now.wall.0 - before.wall.0;
    let jump = (wall - i64::try_from(steady.as_micros()).unwrap_or(i64::MAX)).unsigned_abs();
    match Duration::from_micros(jump) > JUMP {
        true => Check::warning(
            what,
            format!(
                "it jumped by {} ms within {steady:.1?}: let a time service slew it",
                jump / 1_000
            ),
        ),
        false => Check::ok(what, format!("it ran evenly for {steady:.1?}")),
    }
}

fn agreement(now: Micros, told: Option<Result<(String, String), String>>) -> Check {
    let what = "time";
    let (date, place) = match told {
        None => return Check::ok(what, "no destination tells it, so it is not compared"),
        Some(Err(error)) => {
            return Check::warning(
                what,
                format!("it cannot be compared with a destination's: {error}"),
            );
        }
        Some(Ok(told)) => told,
    };
    let Some(theirs) = parse(&date) else {
        return Check::warning(what, format!("{place} tells it in no known form: {date}"));
    };
    let ahead = now.0 / 1_000_000 - theirs.as_second();
    match ahead.abs() > WRONG_SECONDS {
        true => Check::failure(
            what,
            format!("it is {ahead} s ahead of that of {place}: start a time service"),
        ),
        false => Check::ok(what, format!("it agrees with that of {place} ({ahead} s)")),
    }
}

/// The time of an HTTP `Date` (<https://www.rfc-editor.org/rfc/rfc9110#name-date-time-formats>).
fn parse(date: &str) -> Option<Timestamp> {
    DateTimeParser::new().parse_timestamp(date).ok()
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    #[test]
    fn a_jump_and_a_wrong_year_are_seen() {
        let begun = Instant::now();
        let hands = |seconds: u64, wall: i64| Hands {
            steady: begun + Duration::from_secs(seconds),
            wall: Micros(1_795_000_000_000_000 + wall * 1_000_000),
        };
        for (wall, verdict) in [
            (10, Verdict::Ok),
            (11, Verdict::Warning),
            (-50, Verdict::Warning),
        ] {
            assert_eq!(
                steadiness(hands(0, 0), hands(10, wall)).verdict,
                verdict,
                "{wall}"
            );
        }
        let early = Hands {
            wall: Micros(0),
            ..hands(0, 0)
        };
        assert_eq!(steadiness(early, early).verdict, Verdict::Failure);
    }

    #[test]
    fn the_time_is_compared_with_a_destinations() {
        let date = "Sat, 21 Nov 2026 08:00:00 GMT";
        let theirs = parse(date).unwrap().as_second();
        let told = |date: &str| Some(Ok((date.to_owned(), "x".to_owned())));
        for (seconds, told, verdict) in [
            (0, told(date), Verdict::Ok),
            (31, told(date), Verdict::Failure),
            (-31, told(date), Verdict::Failure),
            (0, told("today"), Verdict::Warning),
            (0, Some(Err("away".to_owned())), Verdict::Warning),
            (0, None, Verdict::Ok),
        ] {
            let now = Micros((theirs + seconds) * 1_000_000);
            assert_eq!(
                agreement(now, told.clone()).verdict,
                verdict,
                "{seconds} {told:?}"
            );
        }
    }
}
