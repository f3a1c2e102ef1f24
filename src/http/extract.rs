//! What the server knows of a request, as enrichment wants it. Glue only: reads headers, calls `enrich`.
//! A header that is missing or makes no sense never costs an event.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};

use axum::extract::ConnectInfo;
use http::HeaderName;
use http::request::Parts;

use crate::enrich::{Visit, client_ip, identity};

use super::{Shared, cookie};

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

pub(super) fn visit<'a>(shared: &Shared, stream_id: &'a str, head: &'a Parts) -> Visit<'a> {
    let headers = &head.headers;
    Visit {
        received_at: shared.clock.now(),
        stream_id: Cow::Borrowed(stream_id),
        user_pseudo_id: identity::user_pseudo_id(cookie::sent(headers)),
        client_ip: client_ip(head, shared.trusted_hops),
        headers,
        hints: None,
    }
}

/// The client's address, as proxies and the connection tell it.
pub(super) fn client_ip(head: &Parts, trusted_hops: usize) -> Option<IpAddr> {
    let peer = head.extensions.get::<ConnectInfo<SocketAddr>>();
    let forwarded = head.headers.get_all(FORWARDED_FOR).iter();
    let forwarded = forwarded.filter_map(|value| value.to_str().ok());
    client_ip::client_ip(forwarded, peer.map(|peer| peer.0.ip()), trusted_hops)
}
