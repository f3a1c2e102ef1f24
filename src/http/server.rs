//! The accept loop: connections, their deadlines, and a graceful end.
//!
//! `axum::serve` has neither a header timeout nor a connection cap, so the loop is ours. Each request has
//! one deadline and one guard against panics here, so that whatever happens to a handler its client gets
//! an answer in the one error shape.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use http::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tower::Service;

use crate::ledger::{Ledger, RequestRefusal};

use super::cors::{Cors, Origin};
use super::{CorsConfig, Error};

/// Most connections that are being refused at once.
const MAX_REFUSALS: usize = 256;

/// How long a refused client has to take its answer.
const REFUSAL_TIME: Duration = Duration::from_secs(1);

/// Limits of connections and requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerConfig {
    /// Until when a request is answered 503.
    pub request_timeout: Duration,
    /// Until when the headers of a request must have come.
    pub header_timeout: Duration,
    /// Most connections at once; more are answered 503 and closed.
    pub max_connections: usize,
}

/// Serves a router on a listener.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    door: Arc<Door>,
    config: ServerConfig,
}

/// What every request passes.
#[derive(Debug)]
struct Door {
    router: Router,
    ledger: Arc<Ledger>,
    cors: Cors,
    request_timeout: Duration,
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
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(self.config.header_timeout);
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(100);
        let connections = Arc::new(Semaphore::new(self.config.max_connections));
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
            let Ok(permit) = Arc::clone(&connections).try_acquire_owned() else {
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
            let service = service_fn(move |request| Arc::clone(&door).answer(request, peer));
            let connection = builder
                .serve_connection_with_upgrades(TokioIo::new(stream), service)
                .into_owned();
            let watched = graceful.watch(connection);
            tokio::spawn(async move {
                if let Err(error) = watched.await {
                    tracing::debug!(%error, "connection ended");
                }
                drop(permit);
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

impl Door {
    /// Answers a request, whatever happens on the way, and says who may read the answer.
    async fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
        peer: SocketAddr,
    ) -> Result<Response, Infallible> {
        let origin = self.cors.origin(request.headers());
        let mut response = if Cors::is_preflight(&request) {
            self.cors.preflight(&origin)
        } else {
            match self.guarded(request, peer, &origin).await {
                Ok(response) => response,
                Err(error) => {
                    if let Some(refusal) = error.refusal() {
                        self.ledger.request_refused(refusal);
                    }
                    error.into_response()
                }
            }
        };
        self.cors.mark(origin, &mut response);
        Ok(response)
    }

    /// One deadline, and one guard against panics.
    async fn guarded(
        &self,
        mut request: Request<Incoming>,
        peer: SocketAddr,
        origin: &Origin,
    ) -> Result<Response, Error> {
        if *origin == Origin::Unlisted {
            self.ledger.unlisted_origin();
            if self.cors.refuse_unlisted {
                return Err(Error::OriginNotAllowed);
            }
        }
        request.extensions_mut().insert(ConnectInfo(peer));
        let answer = self.router.clone().call(request);
        let guarded = AssertUnwindSafe(answer).catch_unwind();
        match tokio::time::timeout(self.request_timeout, guarded).await {
            Ok(Ok(Ok(response))) => Ok(response),
            Ok(Ok(Err(never))) => match never {},
            Ok(Err(_panic)) => Err(Error::Internal),
            Err(_elapsed) => Err(Error::Timeout),
        }
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
