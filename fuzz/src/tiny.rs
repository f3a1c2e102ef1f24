//! Small things that targets share.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use real_streaming::clock::{Clock, Micros};

/// A clock that goes on by a microsecond with every look.
#[derive(Debug)]
pub(crate) struct Ticks(AtomicI64);

impl Ticks {
    pub(crate) fn shared() -> Arc<dyn Clock> {
        Arc::new(Self(AtomicI64::new(1_795_219_200_000_000)))
    }
}

impl Clock for Ticks {
    fn now(&self) -> Micros {
        Micros(self.0.fetch_add(1, Ordering::Relaxed))
    }
}

/// Takes the first byte.
pub(crate) fn byte(data: &mut &[u8]) -> Option<u8> {
    let (first, rest) = data.split_first()?;
    *data = rest;
    Some(*first)
}
