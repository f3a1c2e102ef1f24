//! The sockets: one accepts gRPC, one REST; each connection can be cut or told to go away.

use std::convert::Infallible;
use std::future::pending;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;

use axum::body::Body;
use axum::response::IntoResponse as _;
use http::header::AUTHORIZATION;
use http::{HeaderMap, Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tonic::{Code, Status};

use super::fault::{Call, Fault};
use super::refusal::Refusal;
use super::state::{Fake, State};
use super::{grpc, rest};

/// So much may be on its way to the server.
const WINDOW: u32 = 16 << 20;

/// A connection of a client.
#[derive(Debug, Default)]
pub(super) struct Connection {
    cut: Notify,
}

impl Connection {
    /// Breaks it; the caller will not be heard any more.
    pub(super) async fn cut(&self) -> Infallible {
        self.cut.notify_one();
        pending().await
    }
}

/// Which interface a socket serves.
#[derive(Clone, Copy, Debug)]
pub(super) enum Interface {
    Grpc,
    Rest,
}

/// Accepts connections on a free port of loopback.
pub(super) async fn listen(fake: Arc<Fake>, interface: Interface) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("its address");
    let accepting = tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.expect("a connection");
            let mut state = fake.lock();
            state.connections += 1;
            if !state.is_unreachable {
                drop(state);
                tokio::spawn(serve(Arc::clone(&fake), stream, interface));
            }
        }
    });
    (address, accepting)
}

async fn serve(fake: Arc<Fake>, stream: TcpStream, interface: Interface) {
    stream.set_nodelay(true).expect("an open socket");
    let mut cuts = fake.cuts.subscribe();
    let mut goaways = fake.goaways.subscribe();
    let connection = Arc::new(Connection::default());
    let service = service_fn(|request: Request<Incoming>| {
        let (fake, connection) = (Arc::clone(&fake), Arc::clone(&connection));
        async move { Ok::<_, Infallible>(answer(fake, connection, interface, request).await) }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http2()
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(WINDOW);
    let mut serving = pin!(builder.serve_connection(TokioIo::new(stream), service));
    loop {
        tokio::select! {
            _ended = serving.as_mut() => return,
            () = connection.cut.notified() => return,
            _ = cuts.changed() => return,
            _ = goaways.changed() => serving.as_mut().graceful_shutdown(),
        }
    }
}

async fn answer(
    fake: Arc<Fake>,
    connection: Arc<Connection>,
    interface: Interface,
    request: Request<Incoming>,
) -> Response<Body> {
    if !is_known(&fake, request.headers()) {
        let code = Code::Unauthenticated;
        let message = "Request had invalid authentication credentials.";
        return match interface {
            Interface::Grpc => Status::new(code, message).into_http(),
            Interface::Rest => Refusal::of(code, message).into_response(),
        };
    }
    match interface {
        Interface::Grpc => grpc::answer(fake, connection, request).await.map(Body::new),
        Interface::Rest => rest::answer(&fake, &connection, request).await,
    }
}

fn is_known(fake: &Fake, headers: &HeaderMap) -> bool {
    let Some(token) = &fake.lock().token else {
        return true;
    };
    let shown = headers.get(AUTHORIZATION);
    shown.is_some_and(|shown| shown.as_bytes() == format!("Bearer {token}").as_bytes())
}

/// Does a call that has one answer, unless a fault meets it.
pub(super) async fn meet<T, E>(
    fake: &Fake,
    connection: &Connection,
    call: Call,
    act: impl FnOnce(&mut State) -> Result<T, E>,
    refuse: fn(Code, &'static str) -> E,
) -> Result<T, E> {
    let (latency, fault) = {
        let mut state = fake.lock();
        (state.latency, state.meet(call))
    };
    tokio::time::sleep(latency).await;
    match fault {
        Some(Fault::Status(code, message) | Fault::Inside(code, _, message)) => {
            return Err(refuse(code, message));
        }
        Some(Fault::Cut) => match connection.cut().await {},
        Some(Fault::Hang { done: false }) => pending().await,
        _ => {}
    }
    let outcome = act(&mut fake.lock());
    match fault {
        Some(Fault::HideReply) => match connection.cut().await {},
        Some(Fault::Hang { .. }) => pending().await,
        Some(Fault::DoneThenStatus(code, message)) => Err(refuse(code, message)),
        _ => outcome,
    }
}
