//! What goes wrong on purpose: faults, and the calls that they meet.
//!
//! A rule is a fault with the calls that it meets; the first rule that fires decides. Chance has a seed, so a run can be
//! repeated.

use std::time::{Duration, Instant};

use tonic::Code;

use super::storage::storage_error::StorageErrorCode;

/// A kind of calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Call {
    /// A request of AppendRows.
    Append,
    /// CreateWriteStream, GetWriteStream, FinalizeWriteStream.
    Streams,
    /// REST: datasets and tables.
    Tables,
}

/// What happens to a call.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fault {
    /// It is done, then the connection breaks without a reply.
    HideReply,
    /// The connection breaks, nothing is done.
    Cut,
    /// It is never answered.
    Hang {
        /// Whether it is done nevertheless.
        done: bool,
    },
    /// It ends with a status, which over REST is an HTTP status; nothing is done.
    Status(Code, &'static str),
    /// It is done, then it ends with a status.
    DoneThenStatus(Code, &'static str),
    /// The reply of AppendRows holds this error; nothing is done. Elsewhere like [`Fault::Status`].
    Inside(Code, StorageErrorCode, &'static str),
}

impl Fault {
    /// As the server closes what is not used.
    pub const IDLE: Self = Self::Status(
        Code::Aborted,
        "Closing the stream because it has been inactive for 600 seconds.",
    );
    pub const UNAVAILABLE: Self = Self::Status(Code::Unavailable, "The service is unavailable.");
    pub const INTERNAL: Self = Self::Status(Code::Internal, "Internal error encountered.");
    pub const THROTTLED: Self = Self::Status(
        Code::ResourceExhausted,
        "Exceeds 'AppendRows throughput' quota.",
    );
    pub const THROTTLED_INSIDE: Self = Self::Inside(
        Code::ResourceExhausted,
        StorageErrorCode::Unspecified,
        "Exceeds 'AppendRows throughput' quota.",
    );
    pub const FORBIDDEN: Self = Self::Status(
        Code::PermissionDenied,
        "Permission 'TABLES_UPDATE_DATA' denied on the resource (or it may not exist).",
    );
    pub const UNAUTHENTICATED: Self = Self::Status(
        Code::Unauthenticated,
        "Request had invalid authentication credentials.",
    );
    /// A request that is taken for wrong although no row of it is.
    pub const INVALID: Self = Self::Inside(
        Code::InvalidArgument,
        StorageErrorCode::Unspecified,
        "Request contains an invalid argument.",
    );
}

/// Which calls a fault meets.
#[derive(Clone, Copy, Debug)]
pub enum When {
    /// The next so many.
    Next(u64),
    /// The one after so many.
    After(u64),
    /// Each with this probability.
    Chance { probability: f64, seed: u64 },
    /// All for so long.
    For(Duration),
    /// All until the rule is ended.
    Always,
}

/// Name of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RuleId(u64);

#[derive(Debug)]
struct Rule {
    id: RuleId,
    call: Call,
    fault: Fault,
    when: When,
    seen: u64,
    begun: Instant,
    random: fastrand::Rng,
}

impl Rule {
    fn fires(&mut self) -> bool {
        self.seen += 1;
        match self.when {
            When::Next(count) => self.seen <= count,
            When::After(count) => self.seen == count + 1,
            When::Chance { probability, .. } => self.random.f64() < probability,
            When::For(time) => self.begun.elapsed() < time,
            When::Always => true,
        }
    }
}

/// All rules, in the order in which they were made.
#[derive(Debug, Default)]
pub struct Rules {
    rules: Vec<Rule>,
    made: u64,
}

impl Rules {
    pub fn add(&mut self, call: Call, fault: Fault, when: When) -> RuleId {
        let seed = match when {
            When::Chance { seed, .. } => seed,
            _ => 0,
        };
        self.made += 1;
        let id = RuleId(self.made);
        self.rules.push(Rule {
            id,
            call,
            fault,
            when,
            seen: 0,
            begun: Instant::now(),
            random: fastrand::Rng::with_seed(seed),
        });
        id
    }

    pub fn end(&mut self, id: RuleId) {
        self.rules.retain(|rule| rule.id != id);
    }

    pub fn clear(&mut self) {
        self.rules.clear();
    }

    /// What happens to this call.
    pub fn meet(&mut self, call: Call) -> Option<Fault> {
        let mut rules = self.rules.iter_mut().filter(|rule| rule.call == call);
        rules.find_map(|rule| rule.fires().then_some(rule.fault))
    }
}
