//! What enrichment looks things up in and the operator may replace while it runs: places, rates, lists of sources.
//!
//! Each is whole or absent, and is changed as a whole; an event is enriched with what is there when it comes. Where the
//! files are, and when they are read, is not known here.

use std::sync::{Arc, PoisonError, RwLock};

use super::commerce::Rates;
use super::geo::Places;
use super::traffic_source::Lists;

/// One thing that can be replaced.
#[derive(Debug)]
pub struct Replaceable<T>(RwLock<Option<Arc<T>>>);

impl<T> Default for Replaceable<T> {
    fn default() -> Self {
        Self(RwLock::new(None))
    }
}

impl<T> Replaceable<T> {
    /// What is there now.
    pub fn get(&self) -> Option<Arc<T>> {
        let held = self.0.read().unwrap_or_else(PoisonError::into_inner);
        held.clone()
    }

    /// From now on it is this.
    pub fn replace(&self, with: T) {
        let mut held = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let before = held.replace(Arc::new(with));
        drop(held);
        // A large one is freed by whoever replaces it, not by those who wait for it.
        drop(before);
    }
}

/// All of them.
#[derive(Debug, Default)]
pub struct Reference {
    /// Places by address.
    pub places: Replaceable<Places>,
    /// US dollars per unit of a currency.
    pub rates: Replaceable<Rates>,
    /// What sources and referrers are; without one the list that is built in counts.
    pub lists: Replaceable<Lists>,
}
