//! A JSON object on a line, with its checksum: `{…} 1a2b3c4d`.
//!
//! A bit that flips makes another number of a number, which no parser minds, and a cursor that is further than it was
//! passes over events without a word. What has no checksum at all was written before there was one, and is taken as it is.

use std::io::{self, Write as _};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// The line for a value, which becomes a JSON object; with a line feed.
///
/// # Errors
/// The value has no JSON.
pub fn seal(value: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(value)?;
    let crc = crc32c::crc32c(&line);
    writeln!(line, " {crc:08x}")?;
    Ok(line)
}

/// The value of a line, with or without a line feed.
///
/// # Errors
/// It is damaged, or of something else.
pub fn unseal<T: DeserializeOwned>(line: &[u8]) -> io::Result<T> {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let end = line.iter().rposition(|byte| *byte == b'}');
    let (json, seal) = line.split_at(end.map_or(0, |end| end + 1));
    let is_right = match seal {
        [] => true,
        [b' ', crc @ ..] => crc == format!("{:08x}", crc32c::crc32c(json)).as_bytes(),
        _ => false,
    };
    if !is_right {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "it is damaged: its checksum is another",
        ));
    }
    Ok(serde_json::from_slice(json)?)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    type Numbers = BTreeMap<String, BTreeMap<String, u64>>;

    fn numbers() -> Numbers {
        let inner = [("position".to_owned(), 13), ("start".to_owned(), 0)];
        [("a".to_owned(), inner.into())].into()
    }

    #[test]
    fn no_damage_makes_another_value() {
        let line = seal(&numbers()).unwrap();
        assert_eq!(unseal::<Numbers>(&line).unwrap(), numbers());
        for index in 0..line.len() {
            for bit in 0..8 {
                let mut damaged = line.clone();
                damaged[index] ^= 1 << bit;
                let read = unseal::<Numbers>(&damaged);
                assert!(read.is_err(), "bit {bit} of byte {index}: {read:?}");
            }
            let cut = unseal::<Numbers>(&line[..index]);
            assert!(cut.is_err() || cut.unwrap() == numbers(), "{index}");
        }
        assert!(unseal::<Numbers>(&vec![0; line.len()]).is_err());
    }

    #[test]
    fn what_was_written_before_there_were_checksums_is_read() {
        let json = serde_json::to_vec(&numbers()).unwrap();
        assert_eq!(unseal::<Numbers>(&json).unwrap(), numbers());
        let line = [&json[..], b"\n"].concat();
        assert_eq!(unseal::<Numbers>(&line).unwrap(), numbers());
    }
}
