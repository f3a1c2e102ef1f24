//! Where a reader's segments come from: the log's own list, or a directory seen from outside.

use std::fmt;
use std::io;
use std::sync::Arc;

use crate::durable::Disk;

use super::segment::Segment;

/// Where segments come from.
pub(super) trait Source: Send + Sync + fmt::Debug {
    /// The segment that holds a number, else the one after it; `None` if there is none yet.
    fn locate(&self, sequence: u64) -> io::Result<Option<Place>>;

    /// Where the files are.
    fn disk(&self) -> &dyn Disk;

    /// Hears that a segment is damaged.
    fn report_damage(&self, segment: &Segment, lost: u64, damage: Damage);

    /// Whether segments go while they are read, so that a missing one is no damage.
    fn is_foreign(&self) -> bool;

    /// Hears that what it said of the segments is no longer so.
    fn forget(&self);
}

/// What is wrong with a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Damage {
    /// What should stand before it is gone.
    Before,
    Batch,
    Record,
}

impl Damage {
    pub(super) fn reason(self) -> &'static str {
        match self {
            Self::Before => "records before this segment are missing",
            Self::Batch => "a batch is damaged or missing",
            Self::Record => "a record is damaged",
        }
    }
}

/// A segment and where the next one begins.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) segment: Arc<Segment>,
    pub(super) follower: Option<Follower>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Follower {
    pub(super) first: u64,
    pub(super) follows: u64,
}

/// Picks the place of a number among segments in ascending order.
pub(super) fn place_among<'a, I>(segments: I, sequence: u64) -> Option<Place>
where
    I: DoubleEndedIterator<Item = &'a Arc<Segment>>,
{
    let mut follower = None;
    let mut place = None;
    for segment in segments.rev() {
        place = Some(Place {
            segment: Arc::clone(segment),
            follower,
        });
        if segment.header.first <= sequence {
            break;
        }
        follower = Some(Follower {
            first: segment.header.first,
            follows: segment.header.follows,
        });
    }
    place
}
