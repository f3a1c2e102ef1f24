//! Work that must not take the processor from those who answer requests.
//!
//! Rows wait in the log, clients do not: where the processor is short, requests come first, and what is
//! delivered later is delivered all the same. Each work has a thread of its own, because a thread that has
//! made itself less urgent may not become more urgent again.

use std::thread;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tokio::sync::oneshot;

/// How much less urgent, as `nice` counts (<https://man7.org/linux/man-pages/man7/sched.7.html>): beside a
/// thread that answers requests it gets a thirtieth of a processor that both want, and all of one that is free.
const NICENESS: i32 = 15;

/// The work did not end.
#[derive(Debug, thiserror::Error)]
pub enum Ended {
    /// No thread can be had.
    #[error("no thread can be started: {0}")]
    Start(#[from] std::io::Error),
    /// It panicked.
    #[error("a thread of the writer panicked")]
    Panicked,
}

/// Does the work on a thread with that name, and says how much of a processor it took. It goes on when nobody
/// waits for it any more.
///
/// # Errors
/// There is no thread, or it panicked.
pub(super) async fn run<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<(T, Duration), Ended> {
    let (done, result) = oneshot::channel();
    thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || {
            // On Linux this is the thread's own; where it is refused, the work is merely as urgent as all else.
            if let Err(error) = rustix::process::setpriority_process(None, NICENESS) {
                tracing::debug!(%error, "the priority of a thread was not lowered");
            }
            let value = work();
            let took = clock_gettime(ClockId::ThreadCPUTime);
            drop(done.send((value, Duration::try_from(took).unwrap_or_default())));
        })?;
    result.await.map_err(|_| Ended::Panicked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_work_is_less_urgent_than_its_caller() {
        let own = || rustix::process::getpriority_process(None).unwrap();
        let before = own();
        let (less_urgent, took) = run("work", own).await.unwrap();
        assert_eq!(less_urgent, before + NICENESS);
        assert!(took > Duration::ZERO);
        assert_eq!(own(), before);
    }

    #[tokio::test]
    async fn a_panic_is_told() {
        let panicked = run("work", || panic!("on purpose")).await;
        assert!(matches!(
            panicked,
            Err::<((), Duration), _>(Ended::Panicked)
        ));
    }
}
