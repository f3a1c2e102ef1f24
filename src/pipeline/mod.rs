//! The path of a record between the endpoints and the destinations.
//!
//! [`Intake`] appends to the log and gives out receipts; a [`Delivery`] takes records from the log to one
//! writer, with a cursor of its own; [`Replays`] brings back what went to a dead letter; the [`Book`] has what the ledger
//! counts written beside the rows. All policy about retries, order and what to do with rows that
//! nobody wants is here; nothing here knows HTTP or a concrete destination.

mod assembler;
mod attribute;
mod backoff;
mod book;
mod cursor;
mod dead_letter;
mod dedupe;
mod delivery;
mod fate;
mod forget;
mod intake;
mod origins;
mod receipt;
mod release;
mod replay;
mod replayed;
mod told;
mod verdict;

pub use backoff::DeliveryConfig;
pub use book::{Book, Booked, Found, Page, PageFolder};
pub use cursor::{Cursor, CursorFault, Cursors};
pub use dead_letter::{
    Archive, DeadLetter, DeadLetterFault, DeadLetterFolder, Elsewhere, Excerpt, FolderArchive, Key,
    Letter, Letters,
};
pub use dedupe::{Dedupe, DedupeConfig, event_key};
pub use delivery::{Delivery, Stop};
pub use fate::{Fate, Fates, NotFound, Searched};
pub use forget::{files_of, forget};
pub use intake::{Acknowledge, Intake, NotAppended, With};
pub use origins::Origins;
pub use receipt::{NotKept, Receipt, Refused};
pub use release::release_settled;
pub use replay::{
    Journals, Replay, ReplayError, Replays, Selection, Sent, Source, Unfinished, Waiting,
};
pub use told::Told;
pub use verdict::Verdicts;
