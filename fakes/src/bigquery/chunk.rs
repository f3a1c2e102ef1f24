//! Rows that were written together, packed: soak runs write gigabytes.

use std::fmt;
use std::sync::Arc;

use bytes::{Buf as _, Bytes};
use prost::encoding::{decode_varint, encode_varint};

use super::plan::Plan;

/// Fast rather than small: rows are much alike.
const LEVEL: i32 = 1;

/// Rows of one request.
pub(super) struct Chunk {
    pub plan: Arc<Plan>,
    count: usize,
    length: usize,
    /// Each with its length before it, compressed by zstd.
    packed: Box<[u8]>,
}

impl Chunk {
    pub(super) fn new(plan: Arc<Plan>, rows: &[Bytes]) -> Self {
        let mut plain = Vec::new();
        for row in rows {
            encode_varint(row.len() as u64, &mut plain);
            plain.extend_from_slice(row);
        }
        let packed = zstd::bulk::compress(&plain, LEVEL).expect("memory is there");
        Self {
            plan,
            count: rows.len(),
            length: plain.len(),
            packed: packed.into_boxed_slice(),
        }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// The rows as they came.
    pub(super) fn rows(&self) -> Vec<Bytes> {
        let plain = zstd::bulk::decompress(&self.packed, self.length);
        let mut plain = Bytes::from(plain.expect("packed here"));
        let row = |_| {
            let length = decode_varint(&mut plain).expect("packed here");
            plain.copy_to_bytes(usize::try_from(length).expect("packed here"))
        };
        (0..self.count).map(row).collect()
    }
}

impl fmt::Debug for Chunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} rows", self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_out_as_they_went_in() {
        let rows = ["", "a", &"é".repeat(300)].map(|row| Bytes::from(row.to_owned()));
        let chunk = Chunk::new(Arc::default(), &rows);
        assert_eq!((chunk.len(), chunk.rows()), (3, rows.to_vec()));
    }
}
