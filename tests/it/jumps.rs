//! A clock that jumps, back or far ahead: events are taken at the time that it says, delivered all the same, and told from
//! duplicates as long as the window goes; a log from the future is read.

use std::sync::Arc;

use real_streaming::clock::Clock;

use crate::support::clock::SetClock;
use crate::support::collector::{ids, memory, rows};
use crate::support::{Builder, event, eventually};

const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;
/// 2026-11-21.
const NOW: i64 = 1_795_219_200 * SECOND;
/// An hour back, a day and thirteen months ahead, and as it was.
const JUMPS: [i64; 4] = [-3_600 * SECOND, DAY, 396 * DAY, 0];

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_jumps_costs_nothing() {
    let writer = memory("a");
    let clock = SetClock::at(NOW);
    let by = |clock: &Arc<SetClock>| Arc::clone(clock) as Arc<dyn Clock>;
    let collector = Builder::new()
        .by_clock(by(&clock))
        .to(&writer)
        .start()
        .await;
    collector.takes(&event("0")).await;
    for (number, jump) in JUMPS.into_iter().enumerate() {
        clock.set(NOW + jump);
        let id = (number + 1).to_string();
        collector.takes(&event(&id)).await;
        // At one time the second is told from the first.
        collector.takes(&event(&id)).await;
        eventually("it is delivered", || ids(&writer).len() == number + 2).await;
        let row = rows(&writer).pop().unwrap();
        assert_eq!(row["event_timestamp"], NOW + jump, "{row}");
    }
    assert_eq!(collector.ledger.intake().duplicate, 4);
    let folder = Arc::clone(&collector.folder);
    collector.stop().await;
    // The log holds a time thirteen months ahead of the next start, which is an hour behind the first.
    clock.set(NOW - 3_600 * SECOND);
    let collector = Builder::in_folder(folder)
        .by_clock(by(&clock))
        .to(&writer)
        .start()
        .await;
    collector.takes(&event("5")).await;
    collector.takes(&event("5")).await;
    collector.stop().await;
    assert_eq!(ids(&writer), ["0", "1", "2", "3", "4", "5"]);
}
