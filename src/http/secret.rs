//! A text that nobody may see: never printed, compared in a time that tells nothing of it.

use std::fmt;

use http::{HeaderMap, header};
use subtle::ConstantTimeEq as _;

/// A token or key.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Keeps a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Whether somebody gave the very same. How long it takes depends on the lengths only.
    pub fn is(&self, given: &[u8]) -> bool {
        self.0.as_bytes().ct_eq(given).into()
    }

    /// The text, to be told to its owner or given as what it is.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// What a request brings as a bearer token (<https://www.rfc-editor.org/rfc/rfc6750#section-2.1>).
pub(super) fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let value = headers.get(header::AUTHORIZATION)?.as_bytes();
    let (scheme, credentials) = value.trim_ascii().split_at_checked(b"bearer ".len())?;
    let is_bearer = scheme.eq_ignore_ascii_case(b"bearer ");
    is_bearer.then(|| credentials.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bearer_token_is_found_however_its_scheme_is_written() {
        let given = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, value.parse().unwrap());
            bearer(&headers).map(<[u8]>::to_vec)
        };
        for right in ["Bearer abc", "bearer abc", " BEARER   abc "] {
            assert_eq!(given(right).as_deref(), Some(&b"abc"[..]), "{right}");
        }
        for wrong in ["Basic abc", "Bearer", "Bearerabc", "", "abc"] {
            assert_eq!(given(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn only_the_very_same_is_right_and_none_is_shown() {
        let secret = Secret::new("hunter2-hunter2");
        assert!(secret.is(b"hunter2-hunter2"));
        for wrong in ["", "hunter2-hunter", "hunter2-hunter2 ", "Hunter2-hunter2"] {
            assert!(!secret.is(wrong.as_bytes()), "{wrong}");
        }
        assert!(!format!("{secret:?}").contains("hunter2"));
    }
}
