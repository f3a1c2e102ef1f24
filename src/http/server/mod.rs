//! The accept loop: connections, their limits, and a graceful end.
//!
//! `axum::serve` has neither deadlines of connections nor a limit of their number, so the loop is ours.
//!
//! ```text
//! connection   what one is doing, and until when it may       crowd   how many there are, who must go
//! door         what every request passes       line    what the log gets of it
//! ```

mod connection;
mod crowd;
mod door;
mod line;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use self::connection::{Deadlines, State, Stream};
use self::crowd::Crowd;
use self::door::Door;
pub(super) use self::door::Lasting;
use super::cors::Cors;
use super::{CorsConfig, Error};
use crate::ledger::{Ledger, RequestRefusal};

/// Largest head of a request; a larger one is answered 431.
const MAX_HEAD_BYTES: usize = 64 << 10;

/// Most requests at once on one connection of HTTP/2.
const MAX_STREAMS: u32 = 100;

/// Most streams of HTTP/2 that may be given up at once (CVE-2023-44487).
const RESETS: usize = 50;

/// How often a silent connection of HTTP/2 is asked whether it lives, and how long it may take to say so.
const PING_INTERVAL: Duration = Duration::from_secs(60);
const PING_TIMEOUT: Duration = Duration::from_secs(20);

/// Most connections that are being refused at once.
const MAX_REFUSALS: usize = 256;

/// How long a refused client has to take its answer.
const REFUSAL_TIME: Duration = Duration::from_secs(1);

/// Limits of connections and requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerConfig {
    /// Until when a request is answered 503.
    pub request_timeout: Duration,
    /// Until when the head of a request must have come: from the accept, or from its first byte.
    pub header_timeout: Duration,
    /// How long a connection is kept between requests.
    pub idle_timeout: Duration,
    /// Most connections at once; idle ones make room for more, else those are answered 503 and closed.
    pub max_connections: usize,
    /// Most connections of one address.
    pub max_connections_of_address: usize,
}

/// Serves a router on a listener.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    door: Arc<Door>,
    config: ServerConfig,
}

impl Server {
    /// A server that does not accept yet.
    pub fn new(
        listener: TcpListener,
        router: Router,
        ledger: Arc<Ledger>,
        cors: &CorsConfig,
        config: ServerConfig,
    ) -> Self {
        let door = Arc::new(Door {
            router,
            ledger,
            cors: Cors::new(cors),
            request_timeout: config.request_timeout,
        });
        Self {
            listener,
            door,
            config,
        }
    }

    /// Accepts until `stop` resolves, then answers what is in flight, for as long as `grace` at the most.
    pub async fn run(self, stop: impl Future<Output = ()>, grace: Duration) {
        let builder = builder();
        let deadlines = Deadlines {
            head: self.config.header_timeout,
            idle: self.config.idle_timeout,
            write: self.config.request_timeout,
        };
        let crowd = Crowd::new(
            self.config.max_connections,
            self.config.max_connections_of_address,
        );
        let refusals = Arc::new(Semaphore::new(MAX_REFUSALS));
        let graceful = GracefulShutdown::new();
        let mut stop = std::pin::pin!(stop);
        loop {
            let (stream, peer) = tokio::select! {
                () = &mut stop => break,
                accepted = self.listener.accept() => match accepted {
                    Ok(accepted) => accepted,
                    Err(error) => {
                        // Out of descriptors, for instance: others must close first.
                        tracing::warn!(%error, "connection cannot be accepted");
                        tokio::time::sleep(Duration::from_millis(50)).await;
                        continue;
                    }
                },
            };
            let state = State::new(deadlines);
            // Addresses of IPv4 come in two forms where both are listened on.
            let Some(place) = crowd.join(peer.ip().to_canonical(), &state) else {
                // To refuse costs little, but not nothing: beyond a measure it waits, in the system's queue.
                let refusal = tokio::select! {
                    () = &mut stop => break,
                    refusal = Arc::clone(&refusals).acquire_owned() => refusal,
                };
                self.door
                    .ledger
                    .request_refused(RequestRefusal::Connections);
                tokio::spawn(async move {
                    refuse(stream).await;
                    drop(refusal);
                });
                continue;
            };
            // Answers are small: they must not wait for more to fill a packet.
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!(%error, "connection without nodelay");
            }
            let door = Arc::clone(&self.door);
            let ledger = Arc::clone(&self.door.ledger);
            let of_request = Arc::clone(&state);
            let service = service_fn(move |request| {
                Arc::clone(&door).answer(request, peer, Arc::clone(&of_request))
            });
            let stream = TokioIo::new(Stream::new(stream, Arc::clone(&state)));
            let connection = builder.serve_connection(stream, service).into_owned();
            let watched = graceful.watch(connection);
            tokio::spawn(async move {
                let ended = tokio::select! {
                    ended = watched => ended,
                    () = state.evicted() => Ok(()),
                };
                if let Err(error) = ended {
                    ended_badly(error.as_ref(), &ledger);
                }
                drop(place);
            });
        }
        drop(self.listener);
        if tokio::time::timeout(grace, graceful.shutdown())
            .await
            .is_err()
        {
            tracing::warn!("some requests were still unanswered when the time to drain was over");
        }
    }
}

/// HTTP/1.1, and HTTP/2 for those who begin with it. Deadlines are those of [`connection`]. More than 100 headers
/// are refused with 431 by default; to say so makes hyper slower.
fn builder() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(None)
        // A page that goes away closes its half behind its last event: that one counts too.
        .half_close(true)
        .max_buf_size(MAX_HEAD_BYTES);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_pending_accept_reset_streams(RESETS)
        .max_local_error_reset_streams(RESETS)
        .max_header_list_size(MAX_HEAD_BYTES as u32)
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT);
    builder
}

/// What hyper refused by itself (400, 431) passed no door.
fn ended_badly(error: &(dyn std::error::Error + 'static), ledger: &Ledger) {
    let hyper = error.downcast_ref::<hyper::Error>();
    if hyper.is_some_and(hyper::Error::is_parse) {
        ledger.request_refused(RequestRefusal::Other);
        tracing::info!(code = "not_http", %error, "the request is not proper HTTP");
    } else {
        tracing::debug!(%error, "connection ended");
    }
}

/// Answers 503 to whatever the client sends and closes. Reads on until the client has closed too: closed
/// with bytes unread, a connection is reset, and the answer may be lost with it.
async fn refuse(mut stream: TcpStream) {
    let refusing = async {
        let answer = Error::too_many_connections();
        stream.write_all(answer.as_bytes()).await?;
        stream.shutdown().await?;
        let mut unread = [0; 1024];
        while stream.read(&mut unread).await? > 0 {}
        Ok::<_, std::io::Error>(())
    };
    // Whether it took its answer is its own affair.
    drop(tokio::time::timeout(REFUSAL_TIME, refusing).await);
}
