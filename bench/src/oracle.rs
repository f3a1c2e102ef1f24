//! What was answered to each event: the truth that the table is held against.
//!
//! File: records of 8 bytes, little-endian: `number << 8 | answer`. An event that was sent again has
//! several. It is not synced: the collector is what gets killed, not this.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read as _, Write as _};
use std::path::Path;

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// 200: the event is durable.
    Accepted = 1,
    /// 503: the event was not taken.
    Refused = 2,
    /// The connection broke: nobody knows.
    Unknown = 3,
    /// Any other status.
    Other = 4,
}

/// The file of answers.
#[derive(Debug)]
pub struct Oracle(BufWriter<File>);

impl Oracle {
    /// A new, empty file.
    ///
    /// # Errors
    /// The file cannot be made.
    pub fn create(path: &Path) -> io::Result<Self> {
        Ok(Self(BufWriter::with_capacity(1 << 20, File::create(path)?)))
    }

    /// Notes how the request of event `number` ended.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn record(&mut self, number: u64, answer: Answer) -> io::Result<()> {
        self.0
            .write_all(&(number << 8 | answer as u64).to_le_bytes())
    }

    /// Hands everything noted so far to the file.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Reads a file of answers: number and answer, as often as they were noted.
///
/// # Errors
/// The file cannot be read.
pub fn read(path: &Path, mut each: impl FnMut(u64, u8)) -> io::Result<()> {
    let mut file = BufReader::with_capacity(1 << 20, File::open(path)?);
    let mut record = [0; 8];
    loop {
        match file.read_exact(&mut record) {
            Ok(()) => each(u64::from_le_bytes(record) >> 8, record[0]),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}
