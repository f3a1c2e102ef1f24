//! A replayed record: a row of a dead letter that stands in the log once more, for the one destination that rejected it.
//!
//! The other destinations have had the row and pass over it. It names the row by the key of the dead letter, so that
//! after a crash the log tells what was replayed. The payload of a [`Kind::Replayed`], little endian:
//!
//! ```text
//! version 1 · u8 | kind · u8: 1 event, 2 document | 0 · [u8; 6] | destination · u64 | log id · [u8; 16] | sequence · u64 | payload
//! ```

use bytes::Bytes;
use uuid::Uuid;

use crate::log::Log;
use crate::schema::{Kind, LogId, SequenceNumber};

const VERSION: u8 = 1;
const HEAD: usize = 40;

/// Read at once from the log.
const CHUNK_RECORDS: usize = 1_000;
const CHUNK_BYTES: usize = 4 << 20;

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Replayed {
    /// Whose it is: the number of the destination's name.
    pub(super) address: u64,
    /// The log in which it was rejected, and its number there.
    pub(super) log_id: LogId,
    pub(super) sequence: u64,
    /// The record as it was.
    pub(super) kind: Kind,
    pub(super) payload: Bytes,
}

impl Replayed {
    pub(super) fn encode(&self) -> Vec<u8> {
        let kind = match self.kind {
            Kind::Event => 1,
            Kind::Document => 2,
            // It holds one of the others.
            Kind::Replayed => 0,
        };
        let mut bytes = Vec::with_capacity(HEAD + self.payload.len());
        bytes.extend_from_slice(&[VERSION, kind, 0, 0, 0, 0, 0, 0]);
        bytes.extend_from_slice(&self.address.to_le_bytes());
        bytes.extend_from_slice(self.log_id.0.as_bytes());
        bytes.extend_from_slice(&self.sequence.to_le_bytes());
        bytes.extend_from_slice(&self.payload);
        bytes
    }

    /// `None` if it is of a newer version.
    pub(super) fn decode(bytes: &Bytes) -> Option<Self> {
        let (head, _) = bytes.split_first_chunk::<HEAD>()?;
        let kind = match (head[0], head[1]) {
            (VERSION, 1) => Kind::Event,
            (VERSION, 2) => Kind::Document,
            _ => return None,
        };
        let (_, words) = head.split_at(8);
        let (address, words) = words.split_first_chunk()?;
        let (log_id, words) = words.split_first_chunk()?;
        let (sequence, _) = words.split_first_chunk()?;
        Some(Self {
            address: u64::from_le_bytes(*address),
            log_id: LogId(Uuid::from_bytes(*log_id)),
            sequence: u64::from_le_bytes(*sequence),
            kind,
            payload: bytes.slice(HEAD..),
        })
    }
}

/// The replayed records that the log holds behind `after`, with their numbers. Blocks on the disk.
///
/// # Errors
/// Those of the disk.
pub(super) fn replayed_after(
    log: &dyn Log,
    after: SequenceNumber,
    mut found: impl FnMut(SequenceNumber, Replayed),
) -> std::io::Result<()> {
    let mut last = after.max(log.start());
    let mut reader = log.reader(last);
    loop {
        let chunk = reader.read(CHUNK_RECORDS, CHUNK_BYTES)?;
        if chunk.last <= last {
            return Ok(());
        }
        last = chunk.last;
        for record in chunk.records {
            if record.kind == Kind::Replayed
                && let Some(replayed) = Replayed::decode(&record.payload)
            {
                found(record.sequence, replayed);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replayed(kind: Kind) -> Replayed {
        Replayed {
            address: u64::MAX - 1,
            log_id: LogId(Uuid::from_u128(7)),
            sequence: 1 << 40,
            kind,
            payload: Bytes::from_static(b"payload"),
        }
    }

    #[test]
    fn it_survives_the_round_trip() {
        for kind in [Kind::Event, Kind::Document] {
            let bytes = Bytes::from(replayed(kind).encode());
            assert_eq!(Replayed::decode(&bytes), Some(replayed(kind)));
        }
    }

    #[test]
    fn what_is_cut_or_newer_is_not_taken_for_one() {
        let bytes = replayed(Kind::Event).encode();
        for length in 0..HEAD {
            assert_eq!(
                Replayed::decode(&Bytes::copy_from_slice(&bytes[..length])),
                None
            );
        }
        let mut newer = bytes;
        newer[0] += 1;
        assert_eq!(Replayed::decode(&newer.into()), None);
    }
}
