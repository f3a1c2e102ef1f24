//! What arrives now, for whoever looks: how much, of what, from where, and single events with all that happened to them.
//!
//! Endpoints tell of each event that passes ([`Live::look`]). While nobody looks that is one load of a flag. Otherwise it is a
//! push to a bounded queue, and a task takes from it four times a second: counts into tables whose size is fixed, and hands
//! to each viewer what they wished for, as frames of server-sent events
//! (<https://html.spec.whatwg.org/multipage/server-sent-events.html>). Nothing here is waited for by an event: what does not fit
//! is counted as skipped, and a viewer who does not take their frames is let go. It knows nothing of how HTTP carries them.
//!
//! ```text
//! look      what an endpoint holds       seen    facts, stories       viewer    wishes, budgets
//! minutes   tables of thirty minutes     top     the most frequent    mask, shown    stories as JSON
//! ```

use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

use crate::clock::Clock;
use crate::ledger::Ledger;

mod look;
mod mask;
mod minutes;
mod seen;
mod shown;
mod state;
mod top;
mod viewer;

pub use look::{Begun, Look, Passing};
pub use minutes::MINUTES;
pub use seen::{Outcome, TABLES};
pub use viewer::Wish;

use minutes::{History, Tables};
use seen::Seen;
use viewer::{Aliases, Budget, Viewer};

/// How often what was seen is taken up.
const TICK: Duration = Duration::from_millis(250);

/// Every so many ticks the state of things is told.
const TICKS_A_STATE: u32 = 4;

/// Most viewers at once.
const MOST_VIEWERS: usize = 8;

/// A viewer who has not taken so many frames in a row is let go: ten seconds.
const PATIENCE: u32 = 20;

/// Steps of enrichment are noted of so many events for each tick, and at once after a pause.
const EXPLAINED: (u32, u32) = (50, 200);

/// Most events that wait to be taken up; further ones are skipped. Together with the tick it bounds what counting takes,
/// some percent of a core.
const MOST_WAITING: usize = 4 << 10;

/// Stories in a frame are no more than this, in bytes, give or take one.
const FRAME_BYTES: usize = 256 << 10;

/// Why nobody more can look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Closed {
    /// There are enough already.
    #[error("as many as can look at the same time already do")]
    Crowded,
    /// The process is stopping.
    #[error("the collector is stopping")]
    Stopping,
}

/// See the module.
#[derive(Debug)]
pub struct Live {
    ledger: Arc<Ledger>,
    clock: Arc<dyn Clock>,
    /// Whether anybody looks.
    is_watched: AtomicBool,
    room: RwLock<Room>,
    queue: Queue,
    explained: Budget,
    aliases: Aliases,
    history: Mutex<History>,
    /// There since somebody looked first.
    tables: Mutex<Option<Tables>>,
}

/// Those who look.
#[derive(Debug, Default)]
struct Room {
    viewers: Arc<[Arc<Viewer>]>,
    /// Whether the task runs that serves them.
    is_kept: bool,
    is_closed: bool,
}

impl Live {
    /// A view that nobody looks at yet.
    pub fn new(ledger: Arc<Ledger>, clock: Arc<dyn Clock>) -> Self {
        let history = History::new(clock.now(), ledger.intake());
        Self {
            ledger,
            clock,
            is_watched: AtomicBool::new(false),
            room: RwLock::default(),
            queue: Queue::default(),
            explained: Budget::new(EXPLAINED),
            aliases: Aliases::new(),
            history: Mutex::new(history),
            tables: Mutex::default(),
        }
    }

    /// When a request begins: `None` if nobody looks.
    #[inline]
    pub fn begun(&self) -> Option<Begun> {
        self.is_watched.load(Ordering::Relaxed).then(Begun::now)
    }

    /// Looks at a request that began then.
    pub fn look<'r>(&'r self, begun: Option<Begun>, head: &'r Parts, payload: Bytes) -> Look<'r> {
        match begun {
            Some(begun) => {
                let viewers = Arc::clone(&self.room().viewers);
                Look::new(self, viewers, begun, head, payload)
            }
            None => Look::nobody(),
        }
    }

    /// Whether anybody looks.
    pub fn is_watched(&self) -> bool {
        self.is_watched.load(Ordering::Relaxed)
    }

    /// Somebody wants to look.
    ///
    /// # Errors
    /// They cannot.
    pub fn join(self: &Arc<Self>, wish: Wish) -> Result<Frames, Closed> {
        let mut room = self.room_mut();
        if room.is_closed {
            return Err(Closed::Stopping);
        }
        if room.viewers.len() >= MOST_VIEWERS {
            return Err(Closed::Crowded);
        }
        let taken = room
            .viewers
            .iter()
            .fold(0, |bits, viewer| bits | viewer.bit);
        let (viewer, frames) = Viewer::new(1 << (!taken).trailing_zeros(), wish);
        room.viewers = room
            .viewers
            .iter()
            .cloned()
            .chain([Arc::new(viewer)])
            .collect();
        self.is_watched.store(true, Ordering::Relaxed);
        if !std::mem::replace(&mut room.is_kept, true) {
            tokio::spawn(Arc::clone(self).serve());
        }
        Ok(Frames(frames))
    }

    /// Lets everybody go, and nobody in any more.
    pub fn close(&self) {
        let mut room = self.room_mut();
        room.is_closed = true;
        room.viewers = Arc::default();
        self.is_watched.store(false, Ordering::Relaxed);
    }

    /// Notes what the ledger counts, by minute, for ever.
    pub async fn keep_minutes(self: Arc<Self>) {
        loop {
            self.history().note(self.clock.now(), self.ledger.intake());
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    /// Serves those who look until nobody does.
    async fn serve(self: Arc<Self>) {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for tick in 0_u32.. {
            ticks.tick().await;
            if !self.tick(tick) {
                return;
            }
        }
    }

    /// Takes up what was seen and tells of it; whether anybody is left to be told.
    fn tick(&self, tick: u32) -> bool {
        let viewers = Arc::clone(&self.room().viewers);
        self.take_up(&viewers);
        let is_due = tick.is_multiple_of(TICKS_A_STATE);
        let is_told = |viewer: &&Arc<Viewer>| {
            let is_greeted = viewer.is_greeted.swap(true, Ordering::Relaxed);
            is_due || !is_greeted
        };
        self.tell_state(viewers.iter().filter(is_told));
        self.goes_on()
    }

    /// Counts what was seen since the last time, and shows what is to be shown of it.
    fn take_up(&self, viewers: &[Arc<Viewer>]) {
        self.explained.refill();
        let seen = self.queue.take();
        {
            let mut tables = self.tables();
            let now = self.clock.now();
            let tables = tables.get_or_insert_with(|| Tables::new(now));
            tables.turn(now);
            seen.iter().for_each(|seen| tables.add(&seen.facts));
        }
        let stories: Vec<_> = seen.into_iter().filter_map(|seen| seen.story).collect();
        for viewer in viewers {
            viewer.budget.refill();
            let (mut events, mut bytes, mut unshown) = (Vec::new(), 0, 0);
            for story in stories
                .iter()
                .filter(|story| story.viewers & viewer.bit != 0)
            {
                if bytes > FRAME_BYTES {
                    unshown += 1;
                    continue;
                }
                let story = shown::story(story, viewer.wish.is_personal, &self.aliases);
                let story = story.to_string();
                bytes += story.len();
                events.push(story);
            }
            unshown += viewer.missed.swap(0, Ordering::Relaxed);
            if events.is_empty() && unshown == 0 {
                continue;
            }
            let count = events.len() as u64;
            let told = format!(r#"{{"events":[{}],"missed":{unshown}}}"#, events.join(","));
            if !viewer.tell(frame("seen", &told)) {
                viewer.missed.fetch_add(unshown + count, Ordering::Relaxed);
            }
        }
    }

    fn tell_state<'v>(&self, viewers: impl Iterator<Item = &'v Arc<Viewer>>) {
        let mut viewers = viewers.peekable();
        if viewers.peek().is_none() {
            return;
        }
        let state = frame("state", &self.state().to_string());
        for viewer in viewers {
            // One that is missed is followed by another.
            viewer.tell(state.clone());
        }
    }

    /// Lets go of those who are gone; whether anybody is left.
    fn goes_on(&self) -> bool {
        let is_gone = |viewer: &Arc<Viewer>| viewer.is_gone(PATIENCE);
        if !self.room().viewers.is_empty() && !self.room().viewers.iter().any(is_gone) {
            return true;
        }
        let mut room = self.room_mut();
        let viewers = room.viewers.iter().filter(|viewer| !is_gone(viewer));
        room.viewers = viewers.cloned().collect();
        if !room.viewers.is_empty() {
            return true;
        }
        self.is_watched.store(false, Ordering::Relaxed);
        room.is_kept = false;
        drop(self.queue.take());
        false
    }

    /// The state of things, as viewers are told it.
    pub fn state(&self) -> Value {
        state::of(self)
    }

    fn room(&self) -> RwLockReadGuard<'_, Room> {
        self.room.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn room_mut(&self) -> RwLockWriteGuard<'_, Room> {
        self.room.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tables(&self) -> MutexGuard<'_, Option<Tables>> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One server-sent event.
fn frame(name: &str, json: &str) -> Bytes {
    format!("event: {name}\ndata: {json}\n\n").into()
}

/// What a viewer receives, until they drop it or are let go.
#[derive(Debug)]
pub struct Frames(mpsc::Receiver<Bytes>);

impl futures_util::Stream for Frames {
    type Item = Bytes;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Self::Item>> {
        pin!(&mut self.0).poll_recv(cx)
    }
}

/// What was seen and not taken up yet.
#[derive(Debug, Default)]
struct Queue {
    waiting: Mutex<Vec<Seen>>,
    is_full: AtomicBool,
    skipped: AtomicU64,
}

impl Queue {
    /// Whether an event is to be looked at; one that is not is skipped, before it has cost anything.
    fn has_room(&self) -> bool {
        let is_full = self.is_full.load(Ordering::Relaxed);
        if is_full {
            self.skipped.fetch_add(1, Ordering::Relaxed);
        }
        !is_full
    }

    fn push(&self, seen: Seen) {
        let mut waiting = self.waiting();
        if waiting.len() < MOST_WAITING {
            waiting.push(seen);
        } else {
            drop(waiting);
            self.is_full.store(true, Ordering::Relaxed);
            self.skipped.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn take(&self) -> Vec<Seen> {
        let taken = std::mem::take(&mut *self.waiting());
        self.is_full.store(false, Ordering::Relaxed);
        taken
    }

    /// Events that were not looked at because there were too many.
    fn skipped(&self) -> u64 {
        self.skipped.load(Ordering::Relaxed)
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<Seen>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
