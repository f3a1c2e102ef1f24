//! What the server knows of a request, as enrichment wants it. Glue only: reads headers, calls `enrich`.
//! A header that is missing or makes no sense never costs an event.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};

use axum::extract::ConnectInfo;
use http::request::Parts;

use crate::clock::Micros;
use crate::enrich::{Enricher, Visit};

use super::{Shared, cookie};

/// `client_id`: who the visitor is by what the body says.
pub(super) fn visit<'a>(
    shared: &Shared,
    stream_id: &'a str,
    head: &'a Parts,
    client_id: Option<&'a str>,
) -> Visit<'a> {
    let known = Known {
        enricher: &shared.enricher,
        received_at: shared.clock.now(),
    };
    known.visit(stream_id, head, client_id)
}

/// What must be known to see a visit in a request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known<'k> {
    pub(super) enricher: &'k Enricher,
    pub(super) received_at: Micros,
}

impl Known<'_> {
    pub(super) fn visit<'a>(
        &self,
        stream_id: &'a str,
        head: &'a Parts,
        client_id: Option<&'a str>,
    ) -> Visit<'a> {
        let headers = &head.headers;
        let (user_pseudo_id, user_source) = self.enricher.user_pseudo_id(
            cookie::sent(headers, cookie::USER),
            || cookie::sent(headers, cookie::GOOGLE_ANALYTICS),
            client_id,
        );
        Visit {
            received_at: self.received_at,
            stream_id: Cow::Borrowed(stream_id),
            user_pseudo_id,
            user_source,
            client_ip: client_ip(self.enricher, head),
            headers,
            hints: None,
        }
    }
}

/// The client's address, as proxies and the connection tell it.
pub(super) fn client_ip(enricher: &Enricher, head: &Parts) -> Option<IpAddr> {
    let peer = head.extensions.get::<ConnectInfo<SocketAddr>>();
    let peer = peer.map(|peer| peer.0.ip());
    enricher.client_ip(&head.headers, peer)
}
