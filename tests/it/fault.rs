//! A fault of ours in the middle of a request: its client is told, and the collector goes on.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use real_streaming::clock::{Clock, Micros, SystemClock};
use serde_json::json;
use tokio::task;

use crate::support::collector::{ids, memory};
use crate::support::{Builder, event, eventually, metrics, request};

/// A clock that panics in the next request that asks for the time.
#[derive(Debug)]
struct Broken {
    clock: Arc<dyn Clock>,
    panics: AtomicBool,
    /// Tasks of the collector's own that ask.
    own: Mutex<HashSet<task::Id>>,
}

impl Clock for Broken {
    fn now(&self) -> Micros {
        // Threads of the log ask too; only requests run in the runtime, beside tasks that have asked before.
        if let Some(task) = task::try_id() {
            let mut own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
            if !self.panics.load(Ordering::SeqCst) {
                own.insert(task);
            } else if !own.contains(&task) {
                self.panics.store(false, Ordering::SeqCst);
                panic!("the clock stands still");
            }
        }
        self.clock.now()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_is_answered_in_the_one_shape_and_costs_nobody_else() {
    let writer = memory("a");
    let clock = Arc::new(Broken {
        clock: SystemClock::shared(),
        panics: AtomicBool::new(false),
        own: Mutex::default(),
    });
    let collector = Builder::new()
        .set("CORS__ALLOWED_ORIGINS", r#"["https://shop.test"]"#)
        .by_clock(Arc::clone(&clock) as Arc<dyn Clock>)
        .to(&writer)
        .start()
        .await;
    eventually("the collector asks for the time", || {
        !clock.own.lock().unwrap().is_empty()
    })
    .await;
    let send = async |id: &str, origin: &str| {
        let path = "/api/v1/streaming/1";
        let headers = [("Origin", origin)];
        request(
            collector.address,
            "POST",
            path,
            &headers,
            event(id).as_bytes(),
        )
        .await
    };
    for (origin, listed) in [("https://shop.test", true), ("https://other.test", false)] {
        clock.panics.store(true, Ordering::SeqCst);
        let answer = send("lost", origin).await;
        assert!(!clock.panics.load(Ordering::SeqCst), "it panicked");
        assert_eq!(answer.status, 500);
        assert_eq!(
            answer.json(),
            json!({
                "status": "error",
                "code": "internal",
                "message": "the collector failed on this request; send it again",
                "details": [],
            })
        );
        assert_eq!(
            answer.header("Access-Control-Allow-Origin"),
            listed.then_some(origin)
        );
        assert_eq!(
            answer.header("Access-Control-Allow-Credentials"),
            listed.then_some("true")
        );
        assert_eq!(answer.header("Vary"), Some("Origin"));
        assert_eq!(answer.header("Set-Cookie"), None);
    }
    // Sent again, as it says, the event is taken: the one that failed left nothing behind.
    assert_eq!(send("lost", "https://shop.test").await.status, 200);
    let metrics = metrics(collector.address).await;
    let counted = r#"requests_refused_total{reason="other"} 2"#;
    assert!(metrics.contains(counted), "{metrics}");
    collector.stop().await;
    assert_eq!(ids(&writer), ["lost"]);
}
