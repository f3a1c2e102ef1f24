//! A configured key, by which what leaves the collector is signed and what identifies is hashed.
//!
//! HMAC-SHA-256 (RFC 2104) with a label for each purpose, so that what is made for one never serves another.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// A key. It is never shown.
#[derive(Clone)]
pub struct Key(Hmac<Sha256>);

/// What is kept of the hash in a signature: the half of it, which RFC 2104 (section 5) allows.
pub(super) const SIGNATURE_BYTES: usize = 16;

impl Key {
    /// A key from a configured text.
    pub fn new(text: &str) -> Self {
        // HMAC takes keys of any length.
        let hash = Hmac::new_from_slice(text.as_bytes());
        Self(hash.unwrap_or_else(|_| Hmac::new(&Default::default())))
    }

    fn hasher(&self, purpose: &[u8], parts: &[&[u8]]) -> Hmac<Sha256> {
        let mut hasher = self.0.clone();
        // Lengths are hashed too, so that no two lists run together.
        for part in [purpose].iter().chain(parts) {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        hasher
    }

    /// The hash of these parts.
    pub(super) fn hash(&self, purpose: &[u8], parts: &[&[u8]]) -> [u8; 32] {
        self.hasher(purpose, parts).finalize().into_bytes().into()
    }

    /// Whether this is their signature: the beginning of the hash. Takes the same time wherever it differs.
    pub(super) fn has_signed(&self, purpose: &[u8], parts: &[&[u8]], signature: &[u8]) -> bool {
        signature.len() == SIGNATURE_BYTES
            && self
                .hasher(purpose, parts)
                .verify_truncated_left(signature)
                .is_ok()
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_that_of_its_key_purpose_and_parts() {
        let key = Key::new("a key of sixteen");
        let parts: &[&[u8]] = &[b"ab", b"c"];
        let hash = key.hash(b"purpose", parts);
        let signature = &hash[..SIGNATURE_BYTES];
        assert!(key.has_signed(b"purpose", parts, signature));
        assert!(!key.has_signed(b"another", parts, signature));
        assert!(!key.has_signed(b"purpose", &[b"a", b"bc"], signature));
        assert!(!key.has_signed(b"purpose", parts, &signature[1..]));
        assert!(!key.has_signed(b"purpose", parts, &hash));
        assert!(!Key::new("another key, also long").has_signed(b"purpose", parts, signature));
        assert!(!format!("{key:?}").contains("sixteen"));
    }

    /// Test case 2 of RFC 4231.
    #[test]
    fn it_is_hmac_sha_256() {
        let mut hasher = Key::new("Jefe").0;
        hasher.update(b"what do ya want for nothing?");
        let hash: [u8; 32] = hasher.finalize().into_bytes().into();
        assert_eq!(hash[..4], [0x5b, 0xdc, 0xc1, 0x46]);
    }
}
