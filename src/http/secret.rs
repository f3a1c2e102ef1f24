//! A text that nobody may see: never printed, compared in a time that tells nothing of it.

use std::fmt;

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

#[cfg(test)]
mod tests {
    use super::*;

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
