//! What a run is to do, how far it is, and what it brought. No I/O.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use rustix::event::Timespec;

use crate::machine::histogram;

/// When requests are sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// As soon as a connection is free.
    Closed,
    /// So many a second, by the clock.
    Open(f64),
}

/// When to stop sending.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Stop {
    /// After this time.
    After(Duration),
    /// After so many new events.
    Count(u64),
}

/// One run.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// When requests are sent.
    pub pace: Pace,
    /// When to stop sending.
    pub stop: Stop,
    /// Whether owed events are sent again, before new ones.
    pub pay: bool,
    /// Whether the run ends when the server breaks a connection; else the connection is made again.
    pub until_broken: bool,
}

impl Plan {
    /// A run that pays nothing and goes on when a connection breaks.
    pub fn new(pace: Pace, stop: Stop) -> Self {
        Self {
            pace,
            stop,
            pay: false,
            until_broken: false,
        }
    }
}

/// What a run brought.
#[derive(Debug)]
pub struct Summary {
    /// Requests answered 200.
    pub accepted: u64,
    /// Requests answered 503.
    pub refused: u64,
    /// Those of them that had a `Retry-After`.
    pub retry_after: u64,
    /// Requests without an answer.
    pub unknown: u64,
    /// Requests with any other answer.
    pub other: u64,
    /// From the first request until nothing more was sent.
    pub elapsed: Duration,
    /// Processor time of the generator.
    pub cpu: Duration,
    /// µs until a 200, from when the request was due.
    pub latency: Histogram<u64>,
    /// µs until a 503.
    pub refused_latency: Histogram<u64>,
}

impl Summary {
    /// Requests answered 200, a second.
    pub fn per_second(&self) -> f64 {
        self.accepted as f64 / self.elapsed.as_secs_f64()
    }

    /// Requests with any answer.
    pub fn answered(&self) -> u64 {
        self.accepted + self.refused + self.other
    }
}

/// A run under way.
pub(super) struct Run {
    pub(super) plan: Plan,
    pub(super) start: Instant,
    pub(super) sent: u64,
    /// Owed events that are still to be sent again.
    pub(super) again: VecDeque<u64>,
    /// When nothing more was sent.
    pub(super) stopped: Option<Instant>,
    pub(super) is_broken: bool,
    pub(super) summary: Summary,
}

impl Run {
    pub(super) fn new(plan: &Plan) -> Self {
        let summary = Summary {
            accepted: 0,
            refused: 0,
            retry_after: 0,
            unknown: 0,
            other: 0,
            elapsed: Duration::ZERO,
            cpu: Duration::ZERO,
            latency: histogram(),
            refused_latency: histogram(),
        };
        let start = Instant::now();
        Self {
            plan: *plan,
            start,
            sent: 0,
            again: VecDeque::new(),
            stopped: None,
            is_broken: false,
            summary,
        }
    }

    pub(super) fn is_over(&self, now: Instant) -> bool {
        let is_done = match self.plan.stop {
            Stop::After(time) => now - self.start >= time,
            Stop::Count(count) => self.sent >= count && self.again.is_empty(),
        };
        is_done || self.is_broken || self.stopped.is_some()
    }

    /// When the next request was due, if it is.
    pub(super) fn due(&self, now: Instant) -> Option<Instant> {
        match self.plan.pace {
            Pace::Closed => Some(now),
            Pace::Open(rate) => Some(self.start + Duration::from_secs_f64(self.sent as f64 / rate))
                .filter(|due| *due <= now),
        }
    }

    /// How long to wait for answers at most: until the next request is due, or the run ends.
    pub(super) fn time_left(&self, now: Instant) -> Option<Timespec> {
        let end = match self.plan.stop {
            Stop::After(time) => self.start + time,
            Stop::Count(_) => now + Duration::from_secs(1),
        };
        let next = match self.plan.pace {
            Pace::Closed => end,
            Pace::Open(rate) => self.start + Duration::from_secs_f64(self.sent as f64 / rate),
        };
        // A request that is due and waits for a connection: an answer will wake us.
        let until = if next <= now { end } else { next.min(end) };
        let wait = until.saturating_duration_since(now);
        Some(Timespec {
            tv_sec: wait.as_secs() as i64,
            tv_nsec: i64::from(wait.subsec_nanos()),
        })
    }
}
