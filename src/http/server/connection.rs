//! One connection: what it is doing, and until when it may.
//!
//! hyper has one timeout for heads, which also ends idle connections. Here each state has its own: the first
//! head counts from the accept, each further one from its first byte, idleness from the last answer. While
//! a request is handled there is none here: bodies and answers have theirs.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::{Instant, Sleep};

/// How long states of a connection may last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Deadlines {
    /// From the accept, or the first byte of a further request, until its head is there.
    pub(super) head: Duration,
    /// From an answer until the next request.
    pub(super) idle: Duration,
    /// From the moment when the client takes no more of an answer.
    pub(super) write: Duration,
}

/// No byte has come.
const NEW: u8 = 0;
/// A head is coming.
const HEAD: u8 = 1;
/// A request is handled.
const BUSY: u8 = 2;
/// Nothing is under way.
const IDLE: u8 = 3;

/// An answer may still be on its way for so long after its request was handled.
const JUST_NOW: Duration = Duration::from_millis(100);

/// HTTP/2 begins like this (<https://www.rfc-editor.org/rfc/rfc9113#section-3.4>).
const PREFACE: &[u8] = b"PRI * HTTP/2";

/// What a connection is doing, shared with those who count connections.
#[derive(Debug)]
pub(super) struct State {
    began: Instant,
    deadlines: Deadlines,
    phase: AtomicU8,
    /// Since when, milliseconds after `began`.
    since: AtomicU64,
    requests: AtomicU32,
    /// Frames come at any time; only requests tell that it is used.
    is_http2: AtomicBool,
    evicted: Notify,
}

impl State {
    pub(super) fn new(deadlines: Deadlines) -> Arc<Self> {
        Arc::new(Self {
            began: Instant::now(),
            deadlines,
            phase: AtomicU8::new(NEW),
            since: AtomicU64::new(0),
            requests: AtomicU32::new(0),
            is_http2: AtomicBool::new(false),
            evicted: Notify::new(),
        })
    }

    fn enter(&self, phase: u8) {
        let since = self.began.elapsed().as_millis();
        self.since
            .store(u64::try_from(since).unwrap_or(u64::MAX), Ordering::Relaxed);
        self.phase.store(phase, Ordering::Relaxed);
    }

    /// Bytes have come; whether they came too late.
    fn bytes_came(&self) -> bool {
        match self.phase.load(Ordering::Relaxed) {
            BUSY => return false,
            // Its time goes on: the first head counts from the accept.
            NEW => self.phase.store(HEAD, Ordering::Relaxed),
            IDLE if !self.is_http2.load(Ordering::Relaxed) => {
                self.enter(HEAD);
                return false;
            }
            _ => {}
        }
        self.deadline()
            .is_some_and(|deadline| Instant::now() >= deadline)
    }

    fn deadline(&self) -> Option<Instant> {
        let allowed = match self.phase.load(Ordering::Relaxed) {
            BUSY => return None,
            IDLE => self.deadlines.idle,
            _ => self.deadlines.head,
        };
        Some(self.since() + allowed)
    }

    fn since(&self) -> Instant {
        self.began + Duration::from_millis(self.since.load(Ordering::Relaxed))
    }

    /// Since when nothing has been under way; `None` if something is, or was until just now.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        let is_idle = matches!(self.phase.load(Ordering::Relaxed), NEW | IDLE);
        let since = self.since();
        (is_idle && since.elapsed() >= JUST_NOW).then_some(since)
    }

    /// Ends the connection, wherever it is.
    pub(super) fn evict(&self) {
        self.evicted.notify_one();
    }

    /// Resolves when the connection is to end at once.
    pub(super) async fn evicted(&self) {
        self.evicted.notified().await;
    }

    /// A request is being handled until what this returns is dropped.
    pub(super) fn handling(self: &Arc<Self>) -> Handling {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.enter(BUSY);
        Handling(Arc::clone(self))
    }
}

/// See [`State::handling`].
#[derive(Debug)]
pub(super) struct Handling(Arc<State>);

impl Drop for Handling {
    fn drop(&mut self) {
        if self.0.requests.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.0.enter(IDLE);
        }
    }
}

/// The stream of a connection; it fails with `TimedOut` when a deadline has passed.
#[derive(Debug)]
pub(super) struct Stream {
    inner: TcpStream,
    state: Arc<State>,
    reading: Pin<Box<Sleep>>,
    /// What of HTTP/2's beginning has not come yet; empty also once something else has.
    preface: &'static [u8],
    /// Set while the client takes nothing.
    writing: Option<Pin<Box<Sleep>>>,
}

impl Stream {
    pub(super) fn new(inner: TcpStream, state: Arc<State>) -> Self {
        let reading = Box::pin(tokio::time::sleep(state.deadlines.head));
        Self {
            inner,
            state,
            reading,
            preface: PREFACE,
            writing: None,
        }
    }

    /// Looks for HTTP/2's beginning, in as many pieces as it comes.
    fn watch_for_preface(&mut self, come: &[u8]) {
        let length = come.len().min(self.preface.len());
        if length == 0 {
            return;
        }
        let (expected, rest) = self.preface.split_at(length);
        let is_http2 = come.starts_with(expected);
        self.preface = if is_http2 { rest } else { &[] };
        if is_http2 && rest.is_empty() {
            self.state.is_http2.store(true, Ordering::Relaxed);
        }
    }

    fn stuck(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let allowed = self.state.deadlines.write;
        let timer = self
            .writing
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(allowed)));
        ready!(timer.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    fn written(
        &mut self,
        cx: &mut Context<'_>,
        result: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if result.is_pending() {
            return self.stuck(cx);
        }
        self.writing = None;
        result
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buf.filled().len();
        if let Poll::Ready(result) = Pin::new(&mut this.inner).poll_read(cx, buf) {
            let come = &buf.filled()[before..];
            if !come.is_empty() {
                this.watch_for_preface(come);
                // Who sends without a pause is never found waiting below.
                if this.state.bytes_came() {
                    buf.set_filled(before);
                    return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
                }
            }
            return Poll::Ready(result);
        }
        let Some(deadline) = this.state.deadline() else {
            return Poll::Pending;
        };
        loop {
            // A timer that is too early costs less than setting it anew for each request.
            if this.reading.deadline() > deadline {
                this.reading.as_mut().reset(deadline);
            }
            ready!(this.reading.as_mut().poll(cx));
            if Instant::now() >= deadline {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            this.reading.as_mut().reset(deadline);
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.inner).poll_write(cx, bytes);
        self.written(cx, result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.inner).poll_write_vectored(cx, slices);
        self.written(cx, result)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn who_sends_without_a_pause_is_cut_all_the_same() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(&[b'x'; 3000]).await.unwrap();
        let (server, _) = listener.accept().await.unwrap();
        let state = State::new(Deadlines {
            head: Duration::from_millis(50),
            idle: Duration::from_secs(60),
            write: Duration::from_secs(60),
        });
        let mut stream = Stream::new(server, state);
        let mut byte = [0];
        let mut reads = 0;
        let error = loop {
            match stream.read(&mut byte).await {
                Ok(count) => reads += count,
                Err(error) => break error,
            }
            // There is always more to read by the time it is asked for.
            std::thread::sleep(Duration::from_millis(1));
        };
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(reads < 1500, "it was read to the end");
    }
}
