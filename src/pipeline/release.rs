//! Tells the log what nobody will read again.

use std::sync::Arc;

use futures_util::future::select_all;
use tokio::sync::watch;

use crate::log::Log;
use crate::schema::SequenceNumber;

/// Releases whatever all deliveries have settled, until they are gone.
pub async fn release_settled(log: Arc<dyn Log>, mut settled: Vec<watch::Receiver<SequenceNumber>>) {
    let mut released = SequenceNumber::ZERO;
    while !settled.is_empty() {
        let all = settled
            .iter_mut()
            .map(|position| *position.borrow_and_update())
            .min();
        if let Some(all) = all.filter(|all| *all > released) {
            released = all;
            log.release(all);
        }
        let changes = settled
            .iter_mut()
            .map(|position| Box::pin(position.changed()));
        let (changed, _, _) = select_all(changes).await;
        if changed.is_err() {
            // That delivery has ended: nothing may be forgotten beyond where it stopped.
            return;
        }
    }
}
