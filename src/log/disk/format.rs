//! The bytes of a segment: encoding and checking, no I/O. Drawn in the [parent module](super).

use bytes::Bytes;
use uuid::Uuid;

use crate::clock::Micros;
use crate::schema::{Kind, LogId, SequenceNumber};

/// The version that this program writes, and the newest that it reads.
pub(super) const VERSION: u8 = 1;
/// Bytes of a segment's header.
pub(super) const SEGMENT_HEADER: usize = 64;
/// Bytes of a batch's header.
pub(super) const BATCH_HEADER: usize = 40;
/// Bytes of an entry of a batch's table.
pub(super) const ENTRY: usize = 28;

/// Neither magic number is UTF-8, so no text in a payload looks like one.
const SEGMENT_MAGIC: [u8; 4] = [0xf9, b'R', b'S', 0xfa];
pub(super) const BATCH_MAGIC: [u8; 4] = [0xfb, b'R', b'S', 0xfc];

/// The first bytes of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SegmentHeader {
    pub(super) log_id: LogId,
    /// The number of the first record that belongs here.
    pub(super) first: u64,
    /// The last number before this segment. Less than `first` - 1 where numbers were left out.
    pub(super) follows: u64,
    /// Stands in every batch of this segment, so that stale bytes of a recycled file never look valid.
    pub(super) nonce: u64,
    pub(super) created: Micros,
}

/// Why a segment's header cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BadHeader {
    Damaged,
    Newer(u8),
}

impl SegmentHeader {
    pub(super) fn encode(&self) -> [u8; SEGMENT_HEADER] {
        let mut bytes = [0; SEGMENT_HEADER];
        bytes[..4].copy_from_slice(&SEGMENT_MAGIC);
        bytes[4] = VERSION;
        bytes[8..24].copy_from_slice(self.log_id.0.as_bytes());
        bytes[24..32].copy_from_slice(&self.first.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.follows.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.nonce.to_le_bytes());
        bytes[48..56].copy_from_slice(&self.created.0.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..60]);
        bytes[60..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, BadHeader> {
        if bytes.len() < SEGMENT_HEADER || bytes[..4] != SEGMENT_MAGIC {
            return Err(BadHeader::Damaged);
        }
        // The checksum has its place in every version, so that a flipped bit is not taken for one.
        if crc32c::crc32c(&bytes[..60]) != u32_at(bytes, 60) {
            return Err(BadHeader::Damaged);
        }
        if bytes[4] > VERSION {
            return Err(BadHeader::Newer(bytes[4]));
        }
        let mut id = [0; 16];
        id.copy_from_slice(&bytes[8..24]);
        Ok(Self {
            log_id: LogId(Uuid::from_bytes(id)),
            first: u64_at(bytes, 24),
            follows: u64_at(bytes, 32),
            nonce: u64_at(bytes, 40),
            created: Micros(u64_at(bytes, 48).cast_signed()),
        })
    }
}

/// The first bytes of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BatchHeader {
    pub(super) nonce: u64,
    pub(super) count: u32,
    pub(super) payload_bytes: u32,
    pub(super) first: u64,
    pub(super) committed: Micros,
}

impl BatchHeader {
    /// Writes the header over the first bytes of `head`, which ends with the table.
    pub(super) fn seal(&self, head: &mut [u8]) {
        head[..4].copy_from_slice(&BATCH_MAGIC);
        head[4..12].copy_from_slice(&self.nonce.to_le_bytes());
        head[12..16].copy_from_slice(&self.count.to_le_bytes());
        head[16..20].copy_from_slice(&self.payload_bytes.to_le_bytes());
        head[20..28].copy_from_slice(&self.first.to_le_bytes());
        head[28..36].copy_from_slice(&self.committed.0.to_le_bytes());
        let crc = head_crc(head);
        head[36..40].copy_from_slice(&crc.to_le_bytes());
    }

    /// Reads the header without its checksum; `None` if this is no batch of that segment.
    /// With no nonce, of any segment.
    pub(super) fn peek(bytes: &[u8], nonce: Option<u64>) -> Option<Self> {
        if bytes.len() < BATCH_HEADER || bytes[..4] != BATCH_MAGIC {
            return None;
        }
        let header = Self {
            nonce: u64_at(bytes, 4),
            count: u32_at(bytes, 12),
            payload_bytes: u32_at(bytes, 16),
            first: u64_at(bytes, 20),
            committed: Micros(u64_at(bytes, 28).cast_signed()),
        };
        (nonce.is_none_or(|nonce| nonce == header.nonce)).then_some(header)
    }

    /// Bytes of header and table.
    pub(super) fn head_bytes(&self) -> u64 {
        BATCH_HEADER as u64 + u64::from(self.count) * ENTRY as u64
    }

    /// Bytes of header, table and payloads.
    pub(super) fn total_bytes(&self) -> u64 {
        self.head_bytes() + u64::from(self.payload_bytes)
    }
}

/// A batch whose header and table are sound; its payloads have not been looked at.
#[derive(Clone, Debug)]
pub(super) struct Batch {
    pub(super) header: BatchHeader,
    /// Where it is in the file.
    pub(super) at: u64,
    head: Bytes,
}

impl Batch {
    /// Checks header and table.
    pub(super) fn check(header: BatchHeader, at: u64, head: Bytes) -> Option<Self> {
        if head_crc(&head) != u32_at(&head, 36) {
            return None;
        }
        let last = header.first.checked_add(u64::from(header.count))?;
        let batch = Self { header, at, head };
        let payload_bytes: u64 = batch.entries().map(|entry| u64::from(entry.length)).sum();
        (last > 0 && payload_bytes == u64::from(header.payload_bytes)).then_some(batch)
    }

    pub(super) fn first(&self) -> u64 {
        self.header.first
    }

    /// The number after its last record.
    pub(super) fn next(&self) -> u64 {
        self.header.first + u64::from(self.header.count)
    }

    /// Where its payloads begin in the file.
    pub(super) fn payloads_at(&self) -> u64 {
        self.at + self.header.head_bytes()
    }

    /// Where it ends in the file.
    pub(super) fn end(&self) -> u64 {
        self.at + self.header.total_bytes()
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = Entry> {
        self.head[BATCH_HEADER..]
            .chunks_exact(ENTRY)
            .map(Entry::decode)
    }
}

/// One record's line in a batch's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) length: u32,
    pub(super) crc: u32,
    /// `None` for a kind that this version does not know.
    pub(super) kind: Option<Kind>,
    pub(super) key: Option<u128>,
}

impl Entry {
    pub(super) fn encode(length: u32, crc: u32, kind: Kind, key: Option<u128>) -> [u8; ENTRY] {
        let kind: u32 = match kind {
            Kind::Event => 1,
            Kind::Document => 2,
            Kind::Replayed => 3,
        };
        let mut bytes = [0; ENTRY];
        bytes[..4].copy_from_slice(&length.to_le_bytes());
        bytes[4..8].copy_from_slice(&crc.to_le_bytes());
        bytes[8..12].copy_from_slice(&kind.to_le_bytes());
        bytes[12..].copy_from_slice(&key.unwrap_or(0).to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Self {
        let mut key = [0; 16];
        key.copy_from_slice(&bytes[12..28]);
        let key = u128::from_le_bytes(key);
        Self {
            length: u32_at(bytes, 0),
            crc: u32_at(bytes, 4),
            kind: match u32_at(bytes, 8) {
                1 => Some(Kind::Event),
                2 => Some(Kind::Document),
                3 => Some(Kind::Replayed),
                _ => None,
            },
            key: (key != 0).then_some(key),
        }
    }

    /// The kind of the record, if this is its payload.
    pub(super) fn verify(&self, payload: &[u8]) -> Option<Kind> {
        let sound = crc32c::crc32c(payload) == self.crc;
        self.kind.filter(|_| sound)
    }
}

/// The name of the segment that begins with this number.
pub(super) fn segment_name(first: u64) -> String {
    format!("{first:020}.segment")
}

/// The first number, from a segment's name.
pub(super) fn parse_segment_name(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".segment")?;
    let first = digits.parse().ok()?;
    (segment_name(first) == name).then_some(first)
}

/// The number before this one.
pub(super) fn before(sequence: u64) -> SequenceNumber {
    SequenceNumber(sequence.saturating_sub(1))
}

/// Of header and table, without the checksum itself.
fn head_crc(head: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&head[..36]), &head[BATCH_HEADER..])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(word)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: SegmentHeader = SegmentHeader {
        log_id: LogId(Uuid::from_u128(7)),
        first: 11,
        follows: 10,
        nonce: 0x0123_4567_89ab_cdef,
        created: Micros(1_700_000_000_000_000),
    };

    fn head(payloads: &[&[u8]]) -> (BatchHeader, Vec<u8>) {
        let mut head = vec![0; BATCH_HEADER];
        let mut payload_bytes = 0;
        for payload in payloads {
            payload_bytes += payload.len() as u32;
            let crc = crc32c::crc32c(payload);
            head.extend_from_slice(&Entry::encode(
                payload.len() as u32,
                crc,
                Kind::Document,
                Some(9),
            ));
        }
        let header = BatchHeader {
            nonce: HEADER.nonce,
            count: payloads.len() as u32,
            payload_bytes,
            first: 11,
            committed: Micros(5),
        };
        header.seal(&mut head);
        (header, head)
    }

    #[test]
    fn a_segment_header_survives_the_round_trip() {
        assert_eq!(SegmentHeader::decode(&HEADER.encode()), Ok(HEADER));
    }

    #[test]
    fn every_flipped_bit_of_a_segment_header_is_seen() {
        let sound = HEADER.encode();
        for bit in 0..SEGMENT_HEADER * 8 {
            let mut bytes = sound;
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(
                SegmentHeader::decode(&bytes),
                Err(BadHeader::Damaged),
                "bit {bit}"
            );
        }
    }

    #[test]
    fn a_newer_version_is_told_from_damage() {
        let mut bytes = HEADER.encode();
        bytes[4] = VERSION + 1;
        let crc = crc32c::crc32c(&bytes[..60]);
        bytes[60..].copy_from_slice(&crc.to_le_bytes());
        assert_eq!(
            SegmentHeader::decode(&bytes),
            Err(BadHeader::Newer(VERSION + 1))
        );
    }

    #[test]
    fn a_batch_survives_the_round_trip() {
        let (header, head) = head(&[b"one", b"", b"three"]);
        assert_eq!(BatchHeader::peek(&head, Some(HEADER.nonce)), Some(header));
        let batch = Batch::check(header, 64, head.into()).expect("sound");
        let entries: Vec<Entry> = batch.entries().collect();
        assert_eq!(
            entries.iter().map(|entry| entry.length).collect::<Vec<_>>(),
            [3, 0, 5]
        );
        assert_eq!(entries[0].key, Some(9));
        assert_eq!(entries[2].verify(b"three"), Some(Kind::Document));
        assert_eq!(entries[2].verify(b"threE"), None);
        assert_eq!((batch.first(), batch.next()), (11, 14));
        assert_eq!(batch.end(), 64 + 40 + 3 * 28 + 8);
    }

    #[test]
    fn every_flipped_bit_of_header_and_table_is_seen() {
        let (_, sound) = head(&[b"one", b"two"]);
        for bit in 0..sound.len() * 8 {
            let mut bytes = sound.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let seen = BatchHeader::peek(&bytes, Some(HEADER.nonce))
                .and_then(|header| Batch::check(header, 0, bytes.into()));
            assert!(seen.is_none(), "bit {bit}");
        }
    }

    #[test]
    fn a_batch_of_another_segment_is_not_seen() {
        let (header, head) = head(&[b"one"]);
        assert_eq!(BatchHeader::peek(&head, Some(HEADER.nonce + 1)), None);
        assert_eq!(BatchHeader::peek(&head, None), Some(header));
    }

    #[test]
    fn names_are_told_from_other_names() {
        assert_eq!(parse_segment_name(&segment_name(7)), Some(7));
        assert_eq!(parse_segment_name(&segment_name(u64::MAX)), Some(u64::MAX));
        for name in [
            "7.segment",
            "0000000000000000000x.segment",
            "00000000000000000007.segment.tmp",
            ".segment",
        ] {
            assert_eq!(parse_segment_name(name), None, "{name}");
        }
    }
}
