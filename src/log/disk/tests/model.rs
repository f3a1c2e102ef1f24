//! Random lives of a log, held against a plain list of what it promised.

use std::collections::{BTreeMap, HashSet};

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Act {
    Append(usize),
    Commit,
    Read {
        records: usize,
        bytes: usize,
    },
    /// Releases what was read.
    Release,
    Upkeep {
        seconds: u64,
    },
    FailSync {
        nth: u64,
        always: bool,
        forget: bool,
    },
    FailWrite {
        nth: u64,
        always: bool,
        full: bool,
    },
    Mend,
    /// The power goes.
    Crash(u64),
    /// The process dies, the system lives on.
    Kill,
    Restart,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        12 => (0_usize..1500).prop_map(Act::Append),
        8 => Just(Act::Commit),
        4 => (1_usize..6, 1_usize..5000).prop_map(|(records, bytes)| Act::Read { records, bytes }),
        3 => Just(Act::Release),
        3 => (0_u64..100).prop_map(|seconds| Act::Upkeep { seconds }),
        1 => (1_u64..6, any::<bool>(), any::<bool>())
            .prop_map(|(nth, always, forget)| Act::FailSync { nth, always, forget }),
        1 => (1_u64..6, any::<bool>(), any::<bool>())
            .prop_map(|(nth, always, full)| Act::FailWrite { nth, always, full }),
        1 => Just(Act::Mend),
        2 => any::<u64>().prop_map(Act::Crash),
        1 => Just(Act::Kill),
        1 => Just(Act::Restart),
    ]
}

struct Model {
    disk: SimulatedDisk,
    clock: Arc<TestClock>,
    idle: Option<Idle>,
    reader: Box<dyn Reader>,
    /// The last number read, kept over restarts as a cursor is.
    cursor: u64,
    released: u64,
    /// What must be readable, by number.
    held: BTreeMap<u64, Vec<u8>>,
    pending: Vec<(Ticket, Vec<u8>)>,
    /// Refused since the last crash: not to be seen.
    refused: HashSet<Vec<u8>>,
    appended: HashSet<Vec<u8>>,
}

impl Model {
    fn new() -> Self {
        let (disk, clock) = (SimulatedDisk::new(), Arc::new(TestClock::default()));
        let idle = open(&disk, &clock).unwrap();
        let reader = idle.log.reader(SequenceNumber::ZERO);
        Self {
            disk,
            clock,
            idle: Some(idle),
            reader,
            cursor: 0,
            released: 0,
            held: BTreeMap::new(),
            pending: Vec::new(),
            refused: HashSet::new(),
            appended: HashSet::new(),
        }
    }

    fn idle(&mut self) -> &mut Idle {
        self.idle.as_mut().unwrap()
    }

    fn append(&mut self, length: usize) {
        let mut payload = (self.appended.len() as u64).to_le_bytes().to_vec();
        payload.resize(8 + length, length as u8);
        self.appended.insert(payload.clone());
        match self.idle().append(&payload) {
            Ok(ticket) => self.pending.push((ticket, payload)),
            Err(_) => {
                self.refused.insert(payload);
            }
        }
    }

    fn settle(&mut self) {
        for (ticket, payload) in std::mem::take(&mut self.pending) {
            match ticket.commit.result() {
                Some(Ok(())) => {
                    let before = self.held.insert(ticket.sequence.0, payload);
                    assert_eq!(before, None, "a number was given twice");
                }
                Some(Err(_)) => {
                    self.refused.insert(payload);
                }
                None => panic!("a commit was left unsettled"),
            }
        }
    }

    fn check(&mut self, chunk: &Chunk, after: u64) {
        assert_eq!(chunk.damaged, 0, "nothing was damaged");
        let durable = self.idle().log.durable().borrow().0;
        assert!(
            chunk.last.0 <= durable.max(after),
            "read beyond the durable mark"
        );
        let mut last = after;
        for (sequence, payload) in pairs(chunk) {
            assert!(sequence > last, "order");
            last = sequence;
            assert!(self.appended.contains(&payload), "nobody appended this");
            assert!(!self.refused.contains(&payload), "a refused record is read");
            // After a crash an unsettled record may be there; once seen it has to stay.
            let expected = self.held.entry(sequence).or_insert_with(|| payload.clone());
            assert_eq!(*expected, payload, "record {sequence}");
        }
        let wanted: Vec<u64> = self
            .held
            .range(after + 1..chunk.last.0 + 1)
            .map(|(n, _)| *n)
            .collect();
        let read: Vec<u64> = chunk
            .records
            .iter()
            .map(|record| record.sequence.0)
            .collect();
        assert_eq!(read, wanted, "what was promised is read, once");
    }

    fn read(&mut self, records: usize, bytes: usize) {
        let chunk = self.reader.read(records, bytes).unwrap();
        assert!(chunk.records.len() <= records);
        let size: usize = chunk
            .records
            .iter()
            .map(|record| record.payload.len())
            .sum();
        assert!(size <= bytes || chunk.records.len() == 1);
        let after = self.cursor;
        self.check(&chunk, after);
        if chunk.records.is_empty() {
            assert_eq!(
                self.held.range(after + 1..).next(),
                None,
                "there was more to read"
            );
        }
        self.cursor = chunk.last.0;
    }

    fn read_all(&mut self) {
        let after = self.released;
        let chunk = self.idle().read(after);
        self.check(&chunk, after);
        let end = self.held.keys().next_back().copied().unwrap_or(0);
        assert!(chunk.last.0 >= end, "read up to {} of {end}", chunk.last);
    }

    fn reopen(&mut self) {
        let opened = open(&self.disk, &self.clock).or_else(|_| {
            self.mend();
            open(&self.disk, &self.clock)
        });
        let idle = opened.expect("the log opens");
        assert!(!idle.report.damaged, "{:?}", idle.report);
        self.reader = idle.log.reader(SequenceNumber(self.cursor));
        self.idle = Some(idle);
        self.read_all();
    }

    fn mend(&self) {
        self.disk.set_sync_fault(None, false);
        self.disk.set_write_fault(None);
    }

    fn end_process(&mut self) {
        self.idle = None;
        self.pending.clear();
        self.refused.clear();
    }

    fn act(&mut self, act: &Act) {
        match *act {
            Act::Append(length) => self.append(length),
            Act::Commit => {
                self.idle().committer.step();
                self.settle();
            }
            Act::Read { records, bytes } => self.read(records, bytes),
            Act::Release => {
                self.released = self.cursor;
                let through = SequenceNumber(self.released);
                self.idle().log.release(through);
            }
            Act::Upkeep { seconds } => {
                self.clock.advance(Duration::from_secs(seconds));
                self.idle().upkeep.trim();
                self.idle().upkeep.prepare_spare();
            }
            Act::FailSync {
                nth,
                always,
                forget,
            } => {
                self.disk.set_sync_fault(
                    Some(Fault {
                        nth,
                        always,
                        full: false,
                    }),
                    forget,
                );
            }
            Act::FailWrite { nth, always, full } => {
                self.disk.set_write_fault(Some(Fault { nth, always, full }));
            }
            Act::Mend => self.mend(),
            Act::Crash(seed) => {
                self.disk = self.disk.crash(seed);
                self.end_process();
                self.reopen();
            }
            Act::Kill => {
                self.end_process();
                self.reopen();
            }
            Act::Restart => {
                self.idle.take().unwrap().close();
                self.settle();
                self.reopen();
            }
        }
    }
}

fn live(acts: &[Act]) {
    let mut model = Model::new();
    for act in acts {
        model.act(act);
    }
    model.mend();
    model.idle().committer.step();
    model.settle();
    model.read_all();
    for seed in 0..3 {
        model.act(&Act::Crash(seed));
        model.append(10);
        model.act(&Act::Commit);
        model.read_all();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_promise_is_kept(acts in prop::collection::vec(act(), 1..120)) {
        live(&acts);
    }
}
