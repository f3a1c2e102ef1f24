//! The generator: one thread, keep-alive connections, one request at a time on each, epoll.
//!
//! - **Closed loop**: a connection sends its next request when the last is answered.
//! - **Open loop**: requests are due at times fixed beforehand, and latency counts from the time a request
//!   was due, sent or not. So a stall of the server shows in full (no coordinated omission).
//!
//! It spends as little as it can: requests are prebuilt, of an answer only status, `Content-Length` and
//! `Retry-After` are read. An event whose answer is missing or 503 is *owed*: with [`Plan::pay`] the next
//! run sends it again, with the same id.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::epoll;
use rustix::event::{Timespec, epoll::EventData};
use rustix::time::{ClockId, clock_gettime};

use crate::Failure;
use crate::machine::micros;
use crate::mix::Mix;
use crate::oracle::{Answer, Oracle};

mod answer;
mod run;

use run::Run;
pub use run::{Pace, Plan, Stop, Summary};

/// Longest wait for answers after the last request was sent.
const PATIENCE: Duration = Duration::from_secs(35);

struct Connection {
    stream: TcpStream,
    /// The event under way and when it was due.
    under_way: Option<(u64, Instant)>,
    /// The part of its answer that has come.
    received: Vec<u8>,
}

/// A client with its connections. Its numbers go on from run to run.
pub struct Client {
    address: SocketAddr,
    epoll: OwnedFd,
    connections: Vec<Option<Connection>>,
    free: Vec<usize>,
    mix: Mix,
    oracle: Option<Oracle>,
    next: u64,
    owed: Vec<u64>,
    buffer: Box<[u8; 16_384]>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client")
            .field("address", &self.address)
            .field("next", &self.next)
            .finish_non_exhaustive()
    }
}

impl Client {
    /// A client of so many connections, made when they are needed.
    ///
    /// # Errors
    /// No epoll.
    pub fn new(connections: usize, mix: Mix, oracle: Option<Oracle>) -> Result<Self, Failure> {
        // Without this a timer may be 50 µs late.
        rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(1))?;
        Ok(Self {
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            connections: (0..connections).map(|_| None).collect(),
            free: Vec::new(),
            mix,
            oracle,
            next: 0,
            owed: Vec::new(),
            buffer: Box::new([0; 16_384]),
        })
    }

    /// Numbers given out so far: every event sent has a smaller one.
    pub fn numbers(&self) -> u64 {
        self.next
    }

    /// Events whose last answer was missing or 503.
    pub fn owed(&self) -> usize {
        self.owed.len()
    }

    /// Sends as planned to the server at `address`, and waits for the answers.
    ///
    /// # Errors
    /// No connection can be made at the start, or the oracle cannot be written.
    pub fn run(&mut self, address: SocketAddr, plan: &Plan) -> Result<Summary, Failure> {
        if address != self.address {
            self.address = address;
            self.connections
                .iter_mut()
                .for_each(|connection| *connection = None);
        }
        self.connect()?;
        let cpu_before = clock_gettime(ClockId::ThreadCPUTime);
        let mut run = Run::new(plan);
        if plan.pay {
            run.again = std::mem::take(&mut self.owed).into();
        }
        let mut events = Vec::with_capacity(self.connections.len().max(1));
        loop {
            let timeout = self.send(&mut run)?;
            if run.stopped.is_some() && self.free.len() == self.living() {
                break;
            }
            if run
                .stopped
                .is_some_and(|stopped| stopped.elapsed() > PATIENCE)
            {
                self.give_up(&mut run)?;
                break;
            }
            events.clear();
            epoll::wait(
                &self.epoll,
                rustix::buffer::spare_capacity(&mut events),
                timeout.as_ref(),
            )?;
            for event in &events {
                self.receive(event.data.u64() as usize, &mut run)?;
            }
        }
        self.owed.extend(run.again.drain(..));
        if let Some(oracle) = &mut self.oracle {
            oracle.flush()?;
        }
        let cpu_after = clock_gettime(ClockId::ThreadCPUTime);
        let mut summary = run.summary;
        summary.elapsed = run
            .stopped
            .map_or_else(|| run.start.elapsed(), |stopped| stopped - run.start);
        summary.cpu = duration(cpu_after).saturating_sub(duration(cpu_before));
        Ok(summary)
    }

    fn living(&self) -> usize {
        self.connections.iter().flatten().count()
    }

    /// Makes all connections that are missing.
    fn connect(&mut self) -> io::Result<()> {
        for slot in 0..self.connections.len() {
            if self.connections[slot].is_none() {
                self.connect_one(slot)?;
            }
        }
        self.free = (0..self.connections.len()).rev().collect();
        Ok(())
    }

    fn connect_one(&mut self, slot: usize) -> io::Result<()> {
        let stream = TcpStream::connect(self.address)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        epoll::add(
            &self.epoll,
            &stream,
            EventData::new_u64(slot as u64),
            epoll::EventFlags::IN,
        )?;
        self.connections[slot] = Some(Connection {
            stream,
            under_way: None,
            received: Vec::new(),
        });
        Ok(())
    }

    /// Sends what is due on free connections; how long to wait for answers then.
    fn send(&mut self, run: &mut Run) -> Result<Option<Timespec>, Failure> {
        let now = Instant::now();
        if run.is_over(now) {
            run.stopped.get_or_insert(now);
            return Ok(Some(Timespec {
                tv_sec: 1,
                tv_nsec: 0,
            }));
        }
        while let Some(due) = run.due(now) {
            let Some(slot) = self.free.pop() else {
                return Ok(run.time_left(now));
            };
            let number = run.again.pop_front().unwrap_or_else(|| {
                self.next += 1;
                self.next - 1
            });
            run.sent += 1;
            let request = self.mix.request(number);
            let Some(connection) = &mut self.connections[slot] else {
                continue;
            };
            connection.under_way = Some((number, due));
            // A request fits into an empty socket buffer: what is not taken whole is a broken connection.
            let written = (&connection.stream).write(request);
            if !written.is_ok_and(|count| count == request.len()) {
                self.broken(slot, run)?;
            }
            if run.is_over(now) {
                run.stopped.get_or_insert(now);
                break;
            }
        }
        Ok(run.time_left(now))
    }

    /// Reads what has come on a connection.
    fn receive(&mut self, slot: usize, run: &mut Run) -> Result<(), Failure> {
        let Some(connection) = &mut self.connections[slot] else {
            return Ok(());
        };
        let count = match (&connection.stream).read(&mut self.buffer[..]) {
            Ok(0) => return self.broken(slot, run),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(_) => return self.broken(slot, run),
        };
        let come = &self.buffer[..count];
        let parsed = if connection.received.is_empty() {
            answer::parse(come)
        } else {
            connection.received.extend_from_slice(come);
            answer::parse(&connection.received)
        };
        let Some(parsed) = parsed else {
            if connection.received.is_empty() {
                connection.received.extend_from_slice(come);
            }
            return Ok(());
        };
        connection.received.clear();
        let Some((number, due)) = connection.under_way.take() else {
            return self.broken(slot, run);
        };
        let latency = micros(due.elapsed());
        let answer = match parsed.status {
            200 => Answer::Accepted,
            503 => Answer::Refused,
            _ => Answer::Other,
        };
        if parsed.has_retry_after && answer == Answer::Refused {
            run.summary.retry_after += 1;
        }
        self.note(number, answer, latency, run)?;
        if parsed.closes {
            return self.broken(slot, run);
        }
        self.free.push(slot);
        Ok(())
    }

    fn note(&mut self, number: u64, answer: Answer, latency: u64, run: &mut Run) -> io::Result<()> {
        let summary = &mut run.summary;
        match answer {
            Answer::Accepted => {
                summary.accepted += 1;
                summary.latency.saturating_record(latency);
            }
            Answer::Refused => {
                summary.refused += 1;
                summary.refused_latency.saturating_record(latency);
            }
            Answer::Unknown => summary.unknown += 1,
            Answer::Other => summary.other += 1,
        }
        if matches!(answer, Answer::Refused | Answer::Unknown) && self.oracle.is_some() {
            self.owed.push(number);
        }
        match &mut self.oracle {
            Some(oracle) => oracle.record(number, answer),
            None => Ok(()),
        }
    }

    /// The server closed a connection: whatever was under way has no answer.
    fn broken(&mut self, slot: usize, run: &mut Run) -> Result<(), Failure> {
        let connection = self.connections[slot].take();
        self.free.retain(|free| *free != slot);
        if let Some((number, _)) = connection.and_then(|connection| connection.under_way) {
            self.note(number, Answer::Unknown, 0, run)?;
            run.is_broken |= run.plan.until_broken;
        }
        if run.plan.until_broken && run.is_broken {
            return Ok(());
        }
        match self.connect_one(slot) {
            Ok(()) => self.free.push(slot),
            Err(_) => run.is_broken = true,
        }
        Ok(())
    }

    /// Closes the connections whose answer never came.
    fn give_up(&mut self, run: &mut Run) -> Result<(), Failure> {
        for slot in 0..self.connections.len() {
            let under_way = self.connections[slot]
                .as_mut()
                .and_then(|connection| connection.under_way.take());
            if let Some((number, _)) = under_way {
                self.connections[slot] = None;
                self.note(number, Answer::Unknown, 0, run)?;
            }
        }
        Ok(())
    }
}

fn duration(time: Timespec) -> Duration {
    Duration::new(
        time.tv_sec.unsigned_abs(),
        u32::try_from(time.tv_nsec).unwrap_or(0),
    )
}

#[cfg(test)]
mod tests;
