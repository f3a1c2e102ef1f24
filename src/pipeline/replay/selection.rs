//! Which rows of the dead letters are meant, and how those that wait are told: by destination and reason.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::clock::Micros;
use crate::pipeline::dead_letter::Letter;

/// Reasons told apart for each destination; rarer ones are told together.
const MAX_REASONS: usize = 1_000;
const OTHER_REASONS: &str = "(other reasons)";

/// Which rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Rejected since then; those of which that is not known are left out.
    pub since: Option<Micros>,
    /// Rejected until then, or nobody knows when: what is rejected again does not come round and round.
    pub until: Option<Micros>,
    /// Whose reason contains this text.
    pub reason: Option<String>,
    /// Rejected by this destination.
    pub destination: Option<String>,
}

impl Selection {
    pub(super) fn takes(&self, letter: &Letter) -> bool {
        let time = letter.rejected_at;
        self.since.is_none_or(|since| time >= Some(since))
            && self.until.is_none_or(|until| time <= Some(until))
            && self
                .reason
                .as_ref()
                .is_none_or(|reason| letter.reason.contains(reason))
    }
}

/// Rows of a dead letter that wait to be replayed, with the same destination and reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Waiting {
    /// Who rejected them.
    pub destination: String,
    /// Why.
    pub reason: String,
    /// How many.
    pub count: u64,
    /// When the first was rejected, microseconds since 1970 in UTC, as far as it is known.
    pub first_micros: Option<i64>,
    /// When the last was rejected.
    pub last_micros: Option<i64>,
}

/// Counts a row among those with its reason.
pub(super) fn count(by_reason: &mut BTreeMap<String, Waiting>, destination: &str, letter: &Letter) {
    let has_room = by_reason.len() < MAX_REASONS;
    let reason = match letter.reason.as_str() {
        reason if has_room || by_reason.contains_key(reason) => reason,
        _ => OTHER_REASONS,
    };
    let time = letter.rejected_at.map(|time| time.0);
    let waiting = by_reason
        .entry(reason.to_owned())
        .or_insert_with(|| Waiting {
            destination: destination.to_owned(),
            reason: reason.to_owned(),
            count: 0,
            first_micros: time,
            last_micros: time,
        });
    waiting.count += 1;
    waiting.first_micros = [waiting.first_micros, time].into_iter().flatten().min();
    waiting.last_micros = waiting.last_micros.max(time);
}
