//! The session's cookie: the state as a message of protobuf, a dot, its signature; both in base64 for URLs without padding.
//!
//! The signature covers the visitor's id and the stream, so that a cookie is of use to nobody else and nowhere else. Keys change by putting a new one first:
//! what older ones signed is still understood. Anybody can read it; nobody can write it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use prost::Message;

use super::super::Visit;
use super::super::key::{Key, SIGNATURE_BYTES};
use super::State;

/// Longest that is looked at, in bytes: browsers keep no longer ones.
const MAX_COOKIE: usize = 4096;

/// Says what is signed, and in which format.
const PURPOSE: &[u8] = b"session cookie 1";

/// The value of the cookie.
pub(super) fn write(key: &Key, visit: &Visit<'_>, state: &State) -> String {
    let payload = state.encode_to_vec();
    let hash = key.hash(PURPOSE, &parts(visit, &payload));
    let mut value = URL_SAFE_NO_PAD.encode(&payload);
    value.push('.');
    URL_SAFE_NO_PAD.encode_string(&hash[..SIGNATURE_BYTES], &mut value);
    value
}

/// What a cookie says that this collector, or one with the same key, has written for this visitor.
pub(super) fn read(keys: &[Key], visit: &Visit<'_>, cookie: &str) -> Option<State> {
    if cookie.len() > MAX_COOKIE {
        return None;
    }
    let (payload, signature) = cookie.split_once('.')?;
    let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
    let payload = URL_SAFE_NO_PAD.decode(payload).ok()?;
    let parts = parts(visit, &payload);
    keys.iter()
        .any(|key| key.has_signed(PURPOSE, &parts, &signature))
        .then(|| State::decode(payload.as_slice()).ok())?
}

fn parts<'p>(visit: &'p Visit<'_>, payload: &'p [u8]) -> [&'p [u8]; 3] {
    [
        visit.user_pseudo_id.as_bytes(),
        visit.stream_id.as_bytes(),
        payload,
    ]
}
