//! The file that holds the log's identities: the one that counts now, then those it had before.

use std::io;
use std::path::Path;

use uuid::Uuid;

use crate::durable::{Disk, replace};
use crate::schema::LogId;

use super::Config;

const FILE: &str = "id";

/// The identities in the `id` file, and whether the file is damaged.
pub(super) fn read(dir: &Path, disk: &dyn Disk) -> io::Result<(Vec<LogId>, bool)> {
    let bytes = match disk.read(&dir.join(FILE)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((Vec::new(), false)),
        other => other?,
    };
    let Some(ids) = decode(&bytes) else {
        tracing::error!(
            alarm = "log_damaged",
            file = FILE,
            "the log's identity is unreadable, that of its segments is taken"
        );
        return Ok((Vec::new(), true));
    };
    Ok((ids, false))
}

/// One identity a line, then their checksum.
fn decode(bytes: &[u8]) -> Option<Vec<LogId>> {
    let text = std::str::from_utf8(bytes).ok()?;
    let (lines, crc) = text.trim_end_matches('\n').rsplit_once('\n')?;
    if u32::from_str_radix(crc, 16).ok()? != crc32c::crc32c(lines.as_bytes()) {
        return None;
    }
    lines
        .lines()
        .map(|line| Uuid::try_parse(line).ok().map(LogId))
        .collect()
}

/// Makes the identities durable.
pub(super) fn write(config: &Config, disk: &dyn Disk, ids: &[LogId]) -> io::Result<()> {
    let lines: Vec<String> = ids.iter().map(LogId::to_string).collect();
    let lines = lines.join("\n");
    let crc = crc32c::crc32c(lines.as_bytes());
    replace(
        disk,
        &config.dir.join(FILE),
        format!("{lines}\n{crc:08x}\n").as_bytes(),
    )
}
