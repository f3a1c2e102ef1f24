//! Small JSON files that say which version of their format they have, so that no program takes a newer one for damaged.
//!
//! `version` is a member beside the file's own; a file without it is of version 1. A newer program may write anything else
//! into the file, so the version is looked at first, and a newer one is an error that names both. Members that a version
//! does not know are passed over: only what an older program would misread needs a new version.

use std::io;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// A file that a newer program wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it was written by a newer version (format {version}, this program reads up to {known})")]
pub struct NewerVersion {
    /// Its format.
    pub version: u32,
    /// The newest that this program reads.
    pub known: u32,
}

impl NewerVersion {
    /// Refuses a version that is newer than the newest that is known.
    ///
    /// # Errors
    /// It is newer; of kind [`io::ErrorKind::Unsupported`].
    pub fn check(version: u32, known: u32) -> io::Result<()> {
        match version > known {
            true => Err(io::Error::new(
                io::ErrorKind::Unsupported,
                Self { version, known },
            )),
            false => Ok(()),
        }
    }

    /// Whether an error says that a file is of a newer version.
    pub fn is_in(error: &io::Error) -> bool {
        error.get_ref().is_some_and(|inner| inner.is::<Self>())
    }
}

#[derive(Serialize)]
struct Written<'a, T> {
    version: u32,
    #[serde(flatten)]
    value: &'a T,
}

#[derive(Deserialize)]
struct Version {
    #[serde(default = "first")]
    version: u32,
}

fn first() -> u32 {
    1
}

/// A value as JSON of this version.
///
/// # Errors
/// It cannot be JSON.
pub fn to_json<T: Serialize>(value: &T, version: u32) -> io::Result<Vec<u8>> {
    Ok(serde_json::to_vec(&Written { version, value })?)
}

/// Reads a value of any version up to `known`.
///
/// # Errors
/// It is damaged, or [newer](NewerVersion).
pub fn from_json<T: DeserializeOwned>(bytes: &[u8], known: u32) -> io::Result<T> {
    let Version { version } = serde_json::from_slice(bytes)?;
    NewerVersion::check(version, known)?;
    Ok(serde_json::from_slice(bytes)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Value {
        number: u64,
    }

    #[test]
    fn a_newer_version_is_told_from_damage() {
        let bytes = to_json(&Value { number: 7 }, 2).unwrap();
        assert_eq!(bytes, br#"{"version":2,"number":7}"#);
        assert_eq!(from_json::<Value>(&bytes, 2).unwrap().number, 7);
        let first = br#"{"number":7}"#;
        assert_eq!(from_json::<Value>(first, 2).unwrap().number, 7);

        // Whatever else a newer program writes.
        for newer in [
            &b"{\"version\":3}"[..],
            &b"{\"version\":3,\"number\":{}}"[..],
        ] {
            let error = from_json::<Value>(newer, 2).unwrap_err();
            assert!(NewerVersion::is_in(&error));
            let text = error.to_string();
            assert!(
                text.contains("format 3") && text.contains("up to 2"),
                "{text}"
            );
        }
        for damaged in [&b"{\"version\":2"[..], b"{}", b"", b"[]"] {
            let error = from_json::<Value>(damaged, 2).unwrap_err();
            assert!(!NewerVersion::is_in(&error), "{error}");
        }
    }
}
