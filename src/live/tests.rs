use tokio::sync::mpsc::error::TryRecvError;

use super::*;
use crate::clock::SystemClock;
use crate::enrich::Visit;
use crate::ledger::{IntakeTotals, LogCounts};
use crate::schema::Event;

struct NoLog;

impl LogCounts for NoLog {
    fn appended(&self) -> u64 {
        0
    }

    fn failed(&self) -> u64 {
        0
    }

    fn size_bytes(&self) -> u64 {
        0
    }

    fn max_bytes(&self) -> u64 {
        0
    }
}

fn live() -> Arc<Live> {
    let ledger = Ledger::new(IntakeTotals::default(), 0, 0, Arc::new(NoLog));
    Arc::new(Live::new(Arc::new(ledger), SystemClock::shared()))
}

fn named(name: &str) -> Event {
    Event {
        event_name: Some(name.to_owned()),
        stream_id: Some("1".to_owned()),
        ..Event::default()
    }
}

/// So many events pass.
fn pass(live: &Live, count: usize, event: &Event) {
    let head = http::Request::new(()).into_parts().0;
    let look = live.look(live.begun(), &head, Bytes::new());
    let visit = Visit {
        stream_id: "1".into(),
        ..Visit::default()
    };
    for _ in 0..count {
        let mut passing = look.event(&visit, None);
        let explanation = passing.explanation(event);
        passing.enriched(event, explanation, &[]);
        passing.appended(b"", Some(1));
        passing.ended(Outcome::Appended, None);
    }
}

/// The next frame of this name. Nothing is awaited in these tests, so that time passes by ticks alone.
fn next(live: &Live, frames: &mut Frames, name: &str) -> Value {
    for tick in 1.. {
        let Ok(frame) = frames.0.try_recv() else {
            assert!(tick < 100, "no {name} is told");
            live.tick(tick);
            continue;
        };
        let text = String::from_utf8(frame.to_vec()).unwrap();
        let text = text.strip_suffix("\n\n").expect("a whole frame");
        let (event, data) = text.split_once("\ndata: ").expect("an event with data");
        if event == format!("event: {name}") {
            return serde_json::from_str(data).expect("JSON");
        }
    }
    unreachable!("ticks have no end")
}

#[tokio::test]
async fn nothing_is_noted_while_nobody_looks() {
    let live = live();
    assert!(live.begun().is_none());
    pass(&live, 3, &named("a"));
    assert_eq!(live.queue.waiting().len(), 0);
    let mut frames = live.join(Wish::default()).unwrap();
    next(&live, &mut frames, "state");
    pass(&live, 3, &named("a"));
    let seen = next(&live, &mut frames, "seen");
    assert_eq!(seen["events"].as_array().unwrap().len(), 3);
    drop(frames);
    assert!(!live.tick(1));
    assert!(!live.is_watched() && live.begun().is_none());
    // And again.
    let mut frames = live.join(Wish::default()).unwrap();
    let state = next(&live, &mut frames, "state");
    assert_eq!(state["tables"]["events"], serde_json::json!([["a", 3, 0]]));
    pass(&live, 1, &named("b"));
    assert_eq!(next(&live, &mut frames, "seen")["events"][0]["event"], "b");
}

#[tokio::test]
async fn as_many_are_shown_as_can_be_followed_and_the_rest_is_counted() {
    let live = live();
    let mut frames = live.join(Wish::default()).unwrap();
    next(&live, &mut frames, "state");
    pass(&live, 1000, &named("a"));
    let seen = next(&live, &mut frames, "seen");
    let shown = seen["events"].as_array().unwrap().len();
    assert_eq!((shown, &seen["missed"]), (30, &(1000 - 30).into()));
    let state = loop {
        let state = next(&live, &mut frames, "state");
        if state["counted"] == 1000 {
            break state;
        }
    };
    assert_eq!(
        state["tables"]["streams"],
        serde_json::json!([["1", 1000, 0]])
    );
    pass(&live, 1000, &named("a"));
    let seen = next(&live, &mut frames, "seen");
    let shown = seen["events"].as_array().unwrap().len();
    assert!((3..30).contains(&shown), "{shown}");
}

#[tokio::test]
async fn what_is_too_much_to_be_counted_is_skipped() {
    let live = live();
    let _frames = live.join(Wish::default()).unwrap();
    pass(&live, MOST_WAITING + 17, &named("a"));
    assert_eq!(live.queue.waiting().len(), MOST_WAITING);
    assert_eq!(live.state()["skipped"], 17);
}

#[tokio::test]
async fn who_takes_nothing_is_let_go() {
    let live = live();
    let mut frames = live.join(Wish::default()).unwrap();
    let mut ticks = 0;
    while live.tick(ticks) {
        pass(&live, 2, &named("a"));
        ticks += 1;
        assert!(ticks < 100, "they are still here");
    }
    assert!(!live.is_watched());
    let left = std::iter::from_fn(|| frames.0.try_recv().ok()).count();
    assert_eq!(left, 8, "no more was kept for them");
    assert!(frames.0.is_closed() && frames.0.try_recv().is_err());
}

#[tokio::test]
async fn there_are_no_more_viewers_than_there_may_be() {
    let live = live();
    let mut all: Vec<_> = (0..MOST_VIEWERS)
        .map(|_| live.join(Wish::default()).unwrap())
        .collect();
    assert_eq!(live.join(Wish::default()).unwrap_err(), Closed::Crowded);
    all.remove(3);
    assert!(live.tick(1));
    let wish = Wish {
        event: Some("b".to_owned()),
        ..Wish::default()
    };
    let mut another = live.join(wish).unwrap();
    next(&live, &mut another, "state");
    pass(&live, 1, &named("a"));
    pass(&live, 1, &named("b"));
    let seen = next(&live, &mut another, "seen");
    assert_eq!(
        (&seen["events"][0]["event"], &seen["missed"]),
        (&"b".into(), &0.into())
    );
    for frames in &mut all {
        let seen = next(&live, frames, "seen");
        assert_eq!(seen["events"].as_array().unwrap().len(), 2);
    }
    live.close();
    assert_eq!(live.join(Wish::default()).unwrap_err(), Closed::Stopping);
    while another.0.try_recv().is_ok() {}
    assert_eq!(another.0.try_recv(), Err(TryRecvError::Disconnected));
}

#[tokio::test]
async fn an_event_that_nobody_waits_for_is_told_as_such() {
    let live = live();
    let mut frames = live.join(Wish::default()).unwrap();
    next(&live, &mut frames, "state");
    let head = http::Request::new(()).into_parts().0;
    {
        let look = live.look(live.begun(), &head, Bytes::new());
        let mut passing = look.event(&Visit::default(), None);
        let explanation = passing.explanation(&named("a"));
        passing.enriched(&named("a"), explanation, &[]);
    }
    let seen = next(&live, &mut frames, "seen");
    assert_eq!(seen["events"][0]["outcome"], "unanswered");
}
