//! The log in memory: a queue bounded by bytes.
//!
//! For places where the disk is no better than memory. What is appended counts as durable at once, so
//! whoever acknowledges must wait for the destinations. Released records leave at once; no key is kept.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::watch;
use uuid::Uuid;

use crate::clock::Micros;
use crate::schema::{LogId, Record, SequenceNumber};

use super::{Chunk, Commit, Log, NewRecord, Reader, Refused, Ticket};

/// What a record costs besides its payload.
const OVERHEAD_BYTES: u64 = 64;

/// The log in memory.
#[derive(Debug)]
pub struct MemoryLog {
    id: LogId,
    max_bytes: u64,
    durable: Arc<Commit>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    last: watch::Sender<SequenceNumber>,
}

#[derive(Debug, Default)]
struct State {
    records: VecDeque<Record>,
    /// The last number that left.
    start: SequenceNumber,
    appended: u64,
    size_bytes: u64,
    is_closed: bool,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Whether records of this cost would be taken.
    fn admit(&self, cost: u64, max_bytes: u64) -> Result<(), Refused> {
        if self.is_closed {
            return Err(Refused::Closed);
        }
        if self.size_bytes + cost > max_bytes {
            return Err(Refused::Full);
        }
        Ok(())
    }
}

fn cost(payload_bytes: usize) -> u64 {
    payload_bytes as u64 + OVERHEAD_BYTES
}

impl MemoryLog {
    /// An empty log that holds at most so many bytes.
    pub fn new(max_bytes: u64) -> Self {
        Self {
            id: LogId(Uuid::new_v4()),
            max_bytes,
            durable: Commit::durable(),
            shared: Arc::new(Shared {
                state: Mutex::default(),
                last: watch::Sender::new(SequenceNumber::ZERO),
            }),
        }
    }
}

impl Log for MemoryLog {
    fn id(&self) -> LogId {
        self.id
    }

    fn admit(&self, bytes: usize) -> Result<(), Refused> {
        self.shared.state().admit(cost(bytes), self.max_bytes)
    }

    fn append(&self, record: &NewRecord<'_>) -> Result<Ticket, Refused> {
        self.append_together(std::slice::from_ref(record))
    }

    fn append_together(&self, records: &[NewRecord<'_>]) -> Result<Ticket, Refused> {
        let copy = |record: &NewRecord<'_>| (record.kind, Bytes::copy_from_slice(record.payload));
        let copies: Vec<_> = records.iter().map(copy).collect();
        let bytes: u64 = copies.iter().map(|(_, payload)| cost(payload.len())).sum();
        let mut state = self.shared.state();
        state.admit(bytes, self.max_bytes)?;
        let first = SequenceNumber(state.appended + 1);
        for (kind, payload) in copies {
            state.appended += 1;
            state.size_bytes += cost(payload.len());
            let sequence = SequenceNumber(state.appended);
            state.records.push_back(Record {
                sequence,
                kind,
                payload,
            });
        }
        // Under the lock, so that the mark never goes back.
        self.shared
            .last
            .send_replace(SequenceNumber(state.appended));
        Ok(Ticket {
            sequence: first,
            commit: Arc::clone(&self.durable),
        })
    }

    fn durable(&self) -> watch::Receiver<SequenceNumber> {
        self.shared.last.subscribe()
    }

    fn appended(&self) -> u64 {
        self.shared.state().appended
    }

    fn failed(&self) -> u64 {
        0
    }

    fn start(&self) -> SequenceNumber {
        self.shared.state().start
    }

    fn size_bytes(&self) -> u64 {
        self.shared.state().size_bytes
    }

    fn recent_keys(&self, _since: Micros, _max: usize) -> io::Result<Vec<(SequenceNumber, u128)>> {
        Ok(Vec::new())
    }

    fn reader(&self, after: SequenceNumber) -> Box<dyn Reader> {
        Box::new(MemoryReader {
            shared: Arc::clone(&self.shared),
            last: after,
        })
    }

    fn observer(&self) -> Box<dyn Reader> {
        self.reader(self.start())
    }

    fn release(&self, through: SequenceNumber) {
        let mut state = self.shared.state();
        while let Some(record) = state
            .records
            .pop_front_if(|record| record.sequence <= through)
        {
            state.size_bytes -= cost(record.payload.len());
            state.start = record.sequence;
        }
    }

    fn close(&self) {
        self.shared.state().is_closed = true;
    }
}

#[derive(Debug)]
struct MemoryReader {
    shared: Arc<Shared>,
    last: SequenceNumber,
}

impl Reader for MemoryReader {
    fn read(&mut self, max_records: usize, max_bytes: usize) -> io::Result<Chunk> {
        let state = self.shared.state();
        // What was released before it was read is gone.
        let damaged = state.start.0.saturating_sub(self.last.0);
        let last = self.last.max(state.start);
        let skipped = usize::try_from(last.0 - state.start.0).map_err(io::Error::other)?;
        let mut chunk = Chunk {
            records: Vec::new(),
            last,
            damaged,
        };
        let mut bytes = 0;
        for record in state.records.iter().skip(skipped).take(max_records.max(1)) {
            if bytes + record.payload.len() > max_bytes && !chunk.records.is_empty() {
                break;
            }
            bytes += record.payload.len();
            chunk.last = record.sequence;
            chunk.records.push(record.clone());
        }
        self.last = chunk.last;
        Ok(chunk)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::Kind;

    fn append(log: &MemoryLog, payload: &[u8]) -> Result<u64, Refused> {
        let record = NewRecord {
            kind: Kind::Event,
            key: Some(1),
            payload,
        };
        let ticket = log.append(&record)?;
        assert_eq!(ticket.commit.result(), Some(Ok(())));
        Ok(ticket.sequence.0)
    }

    fn numbers(chunk: &Chunk) -> Vec<u64> {
        chunk
            .records
            .iter()
            .map(|record| record.sequence.0)
            .collect()
    }

    #[test]
    fn records_are_read_in_order_and_within_the_limits() {
        let log = MemoryLog::new(10_000);
        for payload in [b"a".as_slice(), b"bb", b"ccc"] {
            append(&log, payload).unwrap();
        }
        assert_eq!(log.durable().borrow().0, 3);
        let mut reader = log.reader(SequenceNumber::ZERO);
        assert_eq!(numbers(&reader.read(2, 100).unwrap()), [1, 2]);
        assert_eq!(numbers(&reader.read(2, 100).unwrap()), [3]);
        let end = reader.read(2, 100).unwrap();
        assert!(end.records.is_empty());
        assert_eq!(end.last.0, 3);
        let chunk = log.reader(SequenceNumber(1)).read(9, 1).unwrap();
        assert_eq!(numbers(&chunk), [2], "at least one");
    }

    #[test]
    fn a_full_log_refuses_until_something_is_released() {
        let log = MemoryLog::new(2 * (OVERHEAD_BYTES + 10));
        assert_eq!(append(&log, &[1; 10]), Ok(1));
        assert_eq!(append(&log, &[2; 10]), Ok(2));
        assert_eq!(log.admit(10), Err(Refused::Full));
        assert_eq!(append(&log, &[3; 10]), Err(Refused::Full));
        log.release(SequenceNumber(1));
        assert_eq!(log.start().0, 1);
        assert_eq!(
            append(&log, &[3; 10]),
            Ok(3),
            "a refused record takes no number"
        );
        let chunk = log.reader(SequenceNumber::ZERO).read(9, 1000).unwrap();
        assert_eq!((numbers(&chunk), chunk.damaged), (vec![2, 3], 1));
        log.release(SequenceNumber(9));
        assert_eq!(log.size_bytes(), 0);
    }

    #[test]
    fn records_are_taken_together_or_not_at_all() {
        let log = MemoryLog::new(3 * (OVERHEAD_BYTES + 10));
        let record = |payload| NewRecord {
            kind: Kind::Event,
            key: None,
            payload,
        };
        let two = [record(&[1; 10]), record(&[2; 10])];
        let first = log.append_together(&two).unwrap();
        let numbers_of: Vec<u64> = first.together(2).map(|ticket| ticket.sequence.0).collect();
        assert_eq!(numbers_of, [1, 2]);
        assert_eq!(log.append_together(&two).unwrap_err(), Refused::Full);
        assert_eq!(append(&log, &[3; 10]), Ok(3));
        let chunk = log.reader(SequenceNumber::ZERO).read(9, 1000).unwrap();
        assert_eq!(numbers(&chunk), [1, 2, 3]);
    }

    #[test]
    fn a_closed_log_refuses() {
        let log = MemoryLog::new(1000);
        log.close();
        assert_eq!(append(&log, b"late"), Err(Refused::Closed));
    }
}
