//! What every request passes: cross-origin rules, one deadline, one guard against panics.
//!
//! Whatever happens to a handler, its client gets an answer in the one error shape, and a page that may read
//! answers can read that one.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::response::{IntoResponse, Response};
use futures_util::{FutureExt, StreamExt as _};
use http::{HeaderValue, Request, Version, header};
use hyper::body::Incoming;
use tower::Service;

use super::connection::State;
use super::line::Line;
use crate::http::Error;
use crate::http::cors::{Cors, Origin};
use crate::ledger::Ledger;

/// Marks an answer that goes on for as long as its client likes: its connection is not idle meanwhile.
#[derive(Clone, Copy, Debug)]
pub(in crate::http) struct Lasting;

/// See the module.
#[derive(Debug)]
pub(super) struct Door {
    pub(super) router: Router,
    pub(super) ledger: Arc<Ledger>,
    pub(super) cors: Cors,
    pub(super) request_timeout: Duration,
}

impl Door {
    /// Answers a request, whatever happens on the way, and says who may read the answer.
    pub(super) async fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
        peer: SocketAddr,
        connection: Arc<State>,
    ) -> Result<Response, Infallible> {
        let handling = connection.handling();
        let line = Line::of(&request);
        // With both lengths given the client may mean something else than we: nothing after it is read. hyper
        // takes the chunks and hides the other one (<https://www.rfc-editor.org/rfc/rfc9112#section-6.3>).
        let is_last = request.headers().contains_key(header::TRANSFER_ENCODING)
            && request.version() <= Version::HTTP_11;
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
        line.answered(&mut response);
        if is_last {
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(header::CONNECTION, close);
        }
        if response.extensions_mut().remove::<Lasting>().is_some() {
            response = response.map(|body| {
                let frames = body.into_data_stream();
                Body::from_stream(frames.inspect(move |_| _ = &handling))
            });
        }
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
