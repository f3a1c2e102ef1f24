//! Small values that are kept in files: a JSON object that says the version of its format, and its checksum behind it,
//! `{"version":1,…} 1a2b3c4d`, in a line.
//!
//! The checksum, because a bit that flips makes another number of a number, which no parser minds, and a cursor that is
//! further than it was passes over events without a word. The version, so that no program takes what a newer one wrote for
//! damaged: it is an error that names both. Checksum and `version` are the same in every version. Members that a version does
//! not know are passed over: only what an older program would misread needs a new version.

use std::io::{self, Write as _};
use std::path::Path;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{Disk, replace};

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
}

#[derive(Serialize)]
struct Written<'a, T> {
    version: u32,
    #[serde(flatten)]
    value: &'a T,
}

#[derive(Deserialize)]
struct Version {
    version: u32,
}

/// The line for a value of this version, which becomes a JSON object; with a line feed.
///
/// # Errors
/// The value has no JSON.
pub fn seal<T: Serialize>(value: &T, version: u32) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(&Written { version, value })?;
    let crc = crc32c::crc32c(&line);
    writeln!(line, " {crc:08x}")?;
    Ok(line)
}

/// The value of a line, with or without its line feed, of any version up to `known`.
///
/// # Errors
/// It is damaged or of something else, which is of kind [`io::ErrorKind::InvalidData`]; or [newer](NewerVersion).
pub fn unseal<T: DeserializeOwned>(line: &[u8], known: u32) -> io::Result<T> {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let end = line.iter().rposition(|byte| *byte == b' ');
    let (json, crc) = line.split_at(end.unwrap_or_default());
    if crc != format!(" {:08x}", crc32c::crc32c(json)).as_bytes() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "it is damaged: its checksum is another",
        ));
    }
    let damaged = |error| io::Error::new(io::ErrorKind::InvalidData, error);
    let Version { version } = serde_json::from_slice(json).map_err(damaged)?;
    NewerVersion::check(version, known)?;
    serde_json::from_slice(json).map_err(damaged)
}

/// The value in a file, of any version up to `known`; `None` if there is no file.
///
/// # Errors
/// Those of the disk and of [`unseal`]; they name the file.
pub fn load<T: DeserializeOwned>(
    disk: &dyn Disk,
    path: &Path,
    known: u32,
) -> io::Result<Option<T>> {
    let read = match disk.read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        read => read.and_then(|bytes| unseal(&bytes, known)),
    };
    read.map(Some)
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
}

/// Puts a value into a file, in place of the one that is there, durably. Blocks.
///
/// # Errors
/// Those of the disk; the file is then what it was.
pub fn store<T: Serialize>(
    disk: &dyn Disk,
    path: &Path,
    value: &T,
    version: u32,
) -> io::Result<()> {
    replace(disk, path, &seal(value, version)?)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::durable::SimulatedDisk;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Value {
        numbers: BTreeMap<String, u64>,
    }

    fn value() -> Value {
        Value {
            numbers: [("position".to_owned(), 13), ("start".to_owned(), 0)].into(),
        }
    }

    #[test]
    fn no_damage_makes_another_value() {
        let line = seal(&value(), 2).unwrap();
        assert!(line.starts_with(br#"{"version":2,"numbers":{"#));
        assert_eq!(unseal::<Value>(&line, 2).unwrap(), value());
        for index in 0..line.len() {
            for bit in 0..8 {
                let mut damaged = line.clone();
                damaged[index] ^= 1 << bit;
                let read = unseal::<Value>(&damaged, 2);
                assert!(read.is_err(), "bit {bit} of byte {index}: {read:?}");
            }
            let cut = unseal::<Value>(&line[..index], 2);
            // All but the line feed.
            assert_eq!(cut.is_ok(), index == line.len() - 1, "{index}");
        }
        for other in [&b""[..], b"\n", b" 00000000", &vec![0; line.len()]] {
            assert!(unseal::<Value>(other, 2).is_err());
        }
    }

    #[test]
    fn what_is_stored_is_loaded_and_errors_name_the_file() {
        let disk = SimulatedDisk::new();
        let path = Path::new("/d/a.json");
        disk.create_dir_all(Path::new("/d")).unwrap();
        assert_eq!(load::<Value>(&disk, path, 1).unwrap(), None);
        store(&disk, path, &value(), 2).unwrap();
        let disk = disk.crash(1);
        assert_eq!(load(&disk, path, 2).unwrap(), Some(value()));
        for (bytes, kind) in [
            (seal(&value(), 2).unwrap(), io::ErrorKind::Unsupported),
            (b"{}".to_vec(), io::ErrorKind::InvalidData),
        ] {
            disk.put(path, &bytes);
            let error = load::<Value>(&disk, path, 1).unwrap_err();
            assert_eq!(error.kind(), kind);
            assert!(error.to_string().contains("/d/a.json"), "{error}");
        }
    }

    #[test]
    fn a_newer_version_is_told_from_damage() {
        let line = seal(&value(), 2).unwrap();
        assert_eq!(unseal::<Value>(&line, 3).unwrap(), value());
        // Whatever else a newer program writes.
        for newer in [line, seal(&BTreeMap::from([("numbers", "x")]), 2).unwrap()] {
            let error = unseal::<Value>(&newer, 1).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::Unsupported);
            let text = error.to_string();
            assert!(
                text.contains("format 2") && text.contains("up to 1"),
                "{text}"
            );
        }
        let other = seal(&BTreeMap::from([("a", "x")]), 2).unwrap();
        let error = unseal::<Value>(&other, 2).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }
}
