//! Totals as a list of named outcomes, for those who treat all of them alike: metrics, and the ledger's rows.

use super::{DestinationTotals, IntakeTotals};

/// An outcome's name, and why it was that, where it has several reasons.
pub type Name = (&'static str, Option<&'static str>);

/// Totals whose outcomes have names.
pub trait Outcomes: Copy + Default {
    /// The names, in the order of the counts.
    const NAMES: &'static [Name];

    /// Each count.
    fn counts_mut(&mut self) -> Vec<&mut u64>;

    /// Each count.
    fn counts(mut self) -> Vec<u64> {
        self.counts_mut().into_iter().map(|count| *count).collect()
    }

    /// Combines each count with that of `other`.
    #[must_use]
    fn zipped(mut self, mut other: Self, combine: impl Fn(u64, u64) -> u64) -> Self {
        let counts = self.counts_mut().into_iter().zip(other.counts_mut());
        counts.for_each(|(count, other)| *count = combine(*count, *other));
        self
    }

    /// What was added since `earlier`; nothing where it was more then.
    #[must_use]
    fn since(self, earlier: Self) -> Self {
        self.zipped(earlier, u64::saturating_sub)
    }

    /// Both added.
    #[must_use]
    fn plus(self, more: Self) -> Self {
        self.zipped(more, u64::saturating_add)
    }

    /// The greater of each count.
    #[must_use]
    fn at_least(self, other: Self) -> Self {
        self.zipped(other, u64::max)
    }
}

impl Outcomes for IntakeTotals {
    const NAMES: &'static [Name] = &[
        ("received", None),
        ("synthesised", None),
        ("replayed", None),
        ("appended", None),
        ("duplicate", None),
        ("rejected", Some("field")),
        ("rejected", Some("too_large")),
        ("filtered", None),
        ("refused", Some("full")),
        ("refused", Some("busy")),
        ("refused", Some("broken")),
        ("refused", Some("stopping")),
    ];

    fn counts_mut(&mut self) -> Vec<&mut u64> {
        vec![
            &mut self.received,
            &mut self.synthesised,
            &mut self.replayed,
            &mut self.appended,
            &mut self.duplicate,
            &mut self.rejected_field,
            &mut self.rejected_too_large,
            &mut self.filtered,
            &mut self.refused_full,
            &mut self.refused_busy,
            &mut self.refused_broken,
            &mut self.refused_stopping,
        ]
    }
}

impl Outcomes for DestinationTotals {
    const NAMES: &'static [Name] = &[
        ("stored", None),
        ("dead_lettered", None),
        ("rejected", None),
        ("expired", None),
        ("lost", None),
        ("elsewhere", None),
    ];

    fn counts_mut(&mut self) -> Vec<&mut u64> {
        vec![
            &mut self.stored,
            &mut self.dead_lettered,
            &mut self.rejected,
            &mut self.expired,
            &mut self.lost,
            &mut self.elsewhere,
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check<T: Outcomes + serde::Serialize>(mut totals: T) {
        for (number, count) in (1..).zip(totals.counts_mut()) {
            *count = number;
        }
        let fields = serde_json::to_value(totals).unwrap();
        let fields: Vec<(String, u64)> = fields
            .as_object()
            .unwrap()
            .iter()
            .map(|(name, count)| (name.clone(), count.as_u64().unwrap()))
            .collect();
        let named = T::NAMES.iter().zip(totals.counts());
        let named: Vec<(String, u64)> = named
            .map(|((outcome, reason), count)| {
                let reason = reason.map(|reason| format!("_{reason}"));
                (format!("{outcome}{}", reason.unwrap_or_default()), count)
            })
            .collect();
        assert_eq!(named, fields, "each field under its name");
    }

    #[test]
    fn every_count_has_its_name() {
        check(IntakeTotals::default());
        check(DestinationTotals::default());
    }
}
