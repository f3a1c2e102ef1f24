//! Somebody who looks: which events they want to see, how many they can be shown, and what they have not taken yet.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::seen::Outcome;

/// So many events are shown to a viewer for each tick, as many as somebody may follow; and so many at once after a pause.
const SHOWN: (u32, u32) = (3, 30);

/// What waits for a viewer, in frames of some ten kilobytes. One who does not take them misses further ones.
const FRAMES: usize = 8;

/// Which events somebody wants to see; absent is any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wish {
    /// `stream_id`.
    pub stream: Option<String>,
    /// `event_name`.
    pub event: Option<String>,
    /// `user_id`, `user_pseudo_id`, or what stands for it where it is masked.
    pub user: Option<String>,
    /// What became of it.
    pub outcome: Option<Outcome>,
    /// Whether personal fields are shown as they are.
    pub is_personal: bool,
}

impl Wish {
    /// Whether stream and name are wanted.
    pub(super) fn is_of(&self, stream_id: &str, event_name: Option<&str>) -> bool {
        let stream = self.stream.as_deref();
        let event = self.event.as_deref();
        stream.is_none_or(|stream| stream == stream_id)
            && event.is_none_or(|event| event_name == Some(event))
    }

    /// Whether one of these ids of a user is wanted.
    pub(super) fn is_by(&self, ids: [Option<&str>; 2], aliases: &Aliases) -> bool {
        let Some(wanted) = self.user.as_deref() else {
            return true;
        };
        let is_alias = wanted.starts_with('#');
        let mut ids = ids.into_iter().flatten();
        ids.any(|id| id == wanted || is_alias && aliases.of(id) == wanted)
    }

    /// Whether an outcome is wanted.
    pub(super) fn is_outcome(&self, outcome: Outcome) -> bool {
        self.outcome.is_none_or(|wanted| wanted == outcome)
    }
}

/// What stands for personal values while this process runs: the same for the same one, and nobody can tell for which.
#[derive(Debug)]
pub(super) struct Aliases {
    seed: u64,
}

impl Aliases {
    pub(super) fn new() -> Self {
        Self {
            seed: fastrand::u64(..),
        }
    }

    /// `#` and six hexadecimal digits.
    pub(super) fn of(&self, value: &str) -> String {
        let hash = xxh3_64_with_seed(value.as_bytes(), self.seed);
        format!("#{:06x}", hash >> 40)
    }
}

/// So many of something may be had for each tick, and what was not had is saved up to a bound.
#[derive(Debug)]
pub(super) struct Budget {
    left: AtomicU32,
    a_tick: u32,
    most: u32,
}

impl Budget {
    pub(super) fn new((a_tick, most): (u32, u32)) -> Self {
        Self {
            left: AtomicU32::new(most),
            a_tick,
            most,
        }
    }

    /// A tick has passed.
    pub(super) fn refill(&self) {
        let left = self.left.load(Ordering::Relaxed);
        // One that is had in between is given back: it does not matter.
        self.left
            .store((left + self.a_tick).min(self.most), Ordering::Relaxed);
    }

    pub(super) fn has_some(&self) -> bool {
        self.left.load(Ordering::Relaxed) > 0
    }

    /// Takes one, if there is one.
    pub(super) fn take(&self) -> bool {
        let less = |left: u32| left.checked_sub(1);
        self.left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less)
            .is_ok()
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Viewer {
    /// One bit, another for each of those who look.
    pub(super) bit: u64,
    pub(super) wish: Wish,
    pub(super) budget: Budget,
    /// Events that they wanted and that there was no time to show.
    pub(super) missed: AtomicU64,
    /// Whether they know the state of things already.
    pub(super) is_greeted: AtomicBool,
    frames: mpsc::Sender<Bytes>,
    /// For so many ticks they have taken nothing.
    stuck: AtomicU32,
}

impl Viewer {
    /// A viewer, and what they receive.
    pub(super) fn new(bit: u64, wish: Wish) -> (Self, mpsc::Receiver<Bytes>) {
        let (frames, received) = mpsc::channel(FRAMES);
        let viewer = Self {
            bit,
            wish,
            budget: Budget::new(SHOWN),
            missed: AtomicU64::new(0),
            is_greeted: AtomicBool::new(false),
            frames,
            stuck: AtomicU32::new(0),
        };
        (viewer, received)
    }

    /// Hands over a frame; whether there was room for it.
    pub(super) fn tell(&self, frame: Bytes) -> bool {
        match self.frames.try_send(frame) {
            Ok(()) => {
                self.stuck.store(0, Ordering::Relaxed);
                true
            }
            Err(TrySendError::Full(_)) => {
                self.stuck.fetch_add(1, Ordering::Relaxed);
                false
            }
            Err(TrySendError::Closed(_)) => false,
        }
    }

    /// Whether they are gone, or have refused so many frames in a row.
    pub(super) fn is_gone(&self, patience: u32) -> bool {
        self.frames.is_closed() || self.stuck.load(Ordering::Relaxed) >= patience
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wish_is_met_by_what_it_names_only() {
        let aliases = Aliases::new();
        let any = Wish::default();
        assert!(any.is_of("1", None) && any.is_by([None, None], &aliases));
        let wish = Wish {
            stream: Some("shop".to_owned()),
            event: Some("purchase".to_owned()),
            user: Some("joe".to_owned()),
            outcome: Some(Outcome::Duplicate),
            is_personal: false,
        };
        for (stream, event, is_met) in [
            ("shop", Some("purchase"), true),
            ("shop", Some("page_view"), false),
            ("shop", None, false),
            ("blog", Some("purchase"), false),
        ] {
            assert_eq!(wish.is_of(stream, event), is_met, "{stream} {event:?}");
        }
        assert!(wish.is_by([None, Some("joe")], &aliases));
        assert!(!wish.is_by([Some("jo"), None], &aliases));
        assert!(wish.is_outcome(Outcome::Duplicate) && !wish.is_outcome(Outcome::Appended));
        let by_alias = Wish {
            user: Some(aliases.of("joe")),
            ..Wish::default()
        };
        assert!(by_alias.is_by([Some("joe"), None], &aliases));
        assert!(!by_alias.is_by([Some("ann"), None], &aliases));
    }

    #[test]
    fn a_budget_is_refilled_and_saved_up() {
        let budget = Budget::new((2, 3));
        let had = || {
            std::iter::repeat_with(|| budget.take())
                .take_while(|had| *had)
                .count()
        };
        assert_eq!(had(), 3);
        assert!(!budget.has_some());
        budget.refill();
        assert!(budget.has_some());
        assert_eq!(had(), 2);
        (0..9).for_each(|_| budget.refill());
        assert_eq!(had(), 3);
    }

    #[test]
    fn who_takes_nothing_is_gone_after_a_while() {
        let (viewer, mut frames) = Viewer::new(1, Wish::default());
        let frame = || Bytes::from_static(b"x");
        while viewer.tell(frame()) {}
        assert!(!viewer.is_gone(2));
        viewer.tell(frame());
        assert!(viewer.is_gone(2));
        frames.try_recv().unwrap();
        assert!(viewer.tell(frame()) && !viewer.is_gone(2));
        drop(frames);
        assert!(viewer.is_gone(2));
    }
}
