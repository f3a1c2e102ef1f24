//! What the server knows of a request, as enrichment wants it. Glue only: reads headers, calls `enrich`.
//! A header that is missing or makes no sense never costs an event.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};

use axum::extract::ConnectInfo;
use http::request::Parts;

use crate::enrich::{Visit, identity};

use super::{Shared, cookie};

pub(super) fn visit<'a>(shared: &Shared, stream_id: &'a str, head: &'a Parts) -> Visit<'a> {
    let headers = &head.headers;
    Visit {
        received_at: shared.clock.now(),
        stream_id: Cow::Borrowed(stream_id),
        user_pseudo_id: identity::user_pseudo_id(cookie::sent(headers)),
        client_ip: client_ip(shared, head),
        headers,
    }
}

/// The client's address, as proxies and the connection tell it.
pub(super) fn client_ip(shared: &Shared, head: &Parts) -> Option<IpAddr> {
    let peer = head.extensions.get::<ConnectInfo<SocketAddr>>();
    let peer = peer.map(|peer| peer.0.ip());
    shared.enricher.client_ip(&head.headers, peer)
}
