//! The file that holds the log's identities: the one that counts now, then those it had before.
//!
//! ```text
//! version 1          of the format; a file without this line is of version 1
//! 1c6e…              one identity a line
//! 0badcafe           crc32c of all before the line end in front of it, the same in every version
//! ```

use std::io;
use std::path::Path;

use uuid::Uuid;

use crate::durable::{Disk, NewerVersion, replace};
use crate::schema::LogId;

use super::Config;

const FILE: &str = "id";

/// The version of the format that this program writes, and the newest that it reads.
const VERSION: u32 = 1;

const VERSION_IS: &str = "version ";

/// The identities in the `id` file, and whether the file is damaged. One of a newer version is an error.
pub(super) fn read(dir: &Path, disk: &dyn Disk) -> io::Result<(Vec<LogId>, bool)> {
    let bytes = match disk.read(&dir.join(FILE)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((Vec::new(), false)),
        other => other?,
    };
    let Some(ids) = decode(&bytes)? else {
        tracing::error!(
            alarm = "log_damaged",
            file = FILE,
            "the log's identity is unreadable, that of its segments is taken"
        );
        return Ok((Vec::new(), true));
    };
    Ok((ids, false))
}

/// `None` if it is damaged.
fn decode(bytes: &[u8]) -> io::Result<Option<Vec<LogId>>> {
    let Some(lines) = sound_lines(bytes) else {
        return Ok(None);
    };
    let (version, ids) = match lines.strip_prefix(VERSION_IS) {
        None => (Some(1), lines),
        Some(versioned) => {
            let (version, ids) = versioned.split_once('\n').unwrap_or((versioned, ""));
            (version.parse().ok(), ids)
        }
    };
    let Some(version) = version else {
        return Ok(None);
    };
    NewerVersion::check(version, VERSION)?;
    let ids = ids.lines();
    Ok(ids
        .map(|line| Uuid::try_parse(line).ok().map(LogId))
        .collect())
}

/// The lines before the checksum, if that is theirs.
fn sound_lines(bytes: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(bytes).ok()?;
    let (lines, crc) = text.trim_end_matches('\n').rsplit_once('\n')?;
    let crc = u32::from_str_radix(crc, 16).ok()?;
    (crc == crc32c::crc32c(lines.as_bytes())).then_some(lines)
}

/// Makes the identities durable.
pub(super) fn write(config: &Config, disk: &dyn Disk, ids: &[LogId]) -> io::Result<()> {
    let lines: Vec<String> = ids.iter().map(LogId::to_string).collect();
    let lines = format!("{VERSION_IS}{VERSION}\n{}", lines.join("\n"));
    let crc = crc32c::crc32c(lines.as_bytes());
    replace(
        disk,
        &config.dir.join(FILE),
        format!("{lines}\n{crc:08x}\n").as_bytes(),
    )
}
