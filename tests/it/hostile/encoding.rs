//! B19–B26: compressed bodies, and those that only say so.

use std::io::Write;

use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use flate2::{Compression, FlushCompress};
use serde_json::json;

use super::{Case, event, refused, request_with, taken};

/// What 1 GiB of spaces comes to in brotli.
const BROTLI_BOMB: &[u8] = include_bytes!("../../fixtures/hostile/spaces_1GiB.br");

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// gzip that inflates to so many times 16 MiB of zeros; the sum at its end is not right.
fn gzip_bomb(times: usize) -> Vec<u8> {
    let mut deflate = flate2::Compress::new(Compression::best(), false);
    let mut block = Vec::with_capacity(64 << 10);
    // Nothing refers to what stands before a full flush, so the block can be repeated.
    deflate
        .compress_vec(&vec![0; 16 << 20], &mut block, FlushCompress::Full)
        .unwrap();
    let header = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    let end = [3, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    [&header[..], &block.repeat(times), &end].concat()
}

/// Brotli's form of bytes as they are: one uncompressed meta-block, and the last, empty one.
fn brotli(bytes: &[u8]) -> Vec<u8> {
    assert!((1..=1 << 16).contains(&bytes.len()));
    let header = ((bytes.len() as u32 - 1) << 4) | 1 << 20;
    [&header.to_le_bytes()[..3], bytes, &[3]].concat()
}

fn encoded(coding: &str, body: &[u8]) -> Vec<u8> {
    request_with(format!("Content-Encoding: {coding}\r\n"), body)
}

pub(super) fn cases() -> Vec<Case> {
    let spaces = vec![b' '; 100 << 20];
    let members = event("B23e", "");
    let mut wrong_sum = gzip(event("B23b", "").as_bytes());
    let sum = wrong_sum.len() - 6;
    wrong_sum[sum] ^= 1;
    let cut = gzip(event("B23", "").as_bytes());
    // A frame that asks for a window of 2 GiB.
    let window = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xa8, 0x01, 0x00, 0x00];
    vec![
        refused(
            "B19",
            "gzip of 10 GiB: 10 MB on the wire",
            &[413],
            encoded("gzip", &gzip_bomb(640)),
        )
        .closed(),
        refused(
            "B19b",
            "gzip of 1.5 GiB: below the limit of the wire",
            &[413],
            encoded("gzip", &gzip_bomb(96)),
        ),
        refused("B20", "gzip in gzip, told once", &[400], {
            encoded("gzip", &gzip(&gzip(event("B20", "").as_bytes())))
        }),
        taken("B20b", "gzip in gzip, told twice", {
            encoded("gzip, gzip", &gzip(&gzip(event("B20b", "").as_bytes())))
        }),
        refused(
            "B20c",
            "a bomb in a bomb",
            &[413],
            encoded("gzip, gzip", &gzip(&gzip(&spaces))),
        ),
        refused(
            "B20d",
            "three codings",
            &[415],
            encoded("gzip, gzip, gzip", b"{}"),
        ),
        taken("B21", "gzip, br", {
            encoded("gzip, br", &brotli(&gzip(event("B21", "").as_bytes())))
        }),
        taken(
            "B22",
            "GZIP",
            encoded("GZIP", &gzip(event("B22", "").as_bytes())),
        ),
        refused("B22b", "gzip;q=1", &[415], encoded("gzip;q=1", b"{}")),
        refused(
            "B22c",
            "a coding that nobody knows",
            &[415],
            encoded("compress", b"{}"),
        ),
        refused(
            "B23",
            "gzip cut off",
            &[400],
            encoded("gzip", &cut[..cut.len() - 9]),
        ),
        refused(
            "B23b",
            "gzip with a wrong sum",
            &[400],
            encoded("gzip", &wrong_sum),
        ),
        refused("B23c", "gzip with something behind it", &[400], {
            encoded(
                "gzip",
                &[gzip(event("B23c", "").as_bytes()), b"junk".to_vec()].concat(),
            )
        }),
        refused("B23d", "nothing, as gzip", &[400], encoded("gzip", b"")),
        taken("B23e", "gzip in two members", {
            let (head, tail) = members.as_bytes().split_at(9);
            encoded("gzip", &[gzip(head), gzip(tail)].concat())
        }),
        taken("B23f", "gzip that nobody told of", {
            request_with("", gzip(event("B23f", "").as_bytes()))
        })
        .with("/event_name", json!("page_view")),
        refused(
            "B24",
            "brotli of 1 GiB in 809 bytes",
            &[413],
            encoded("br", BROTLI_BOMB),
        ),
        refused("B24b", "zstd of 100 MiB", &[413], {
            encoded("zstd", &zstd::encode_all(&spaces[..], 1).unwrap())
        }),
        refused(
            "B24c",
            "zstd with a window of 2 GiB",
            &[400],
            encoded("zstd", &window),
        ),
        refused(
            "B25",
            "gzip that is plain",
            &[400],
            encoded("gzip", event("B25", "").as_bytes()),
        ),
        refused(
            "B25b",
            "brotli that is plain",
            &[400],
            encoded("br", event("B25b", "").as_bytes()),
        ),
        taken("B26", "deflate in zlib's format", {
            encoded("deflate", &zlib(event("B26", "").as_bytes()))
        }),
        taken(
            "B26b",
            "deflate bare",
            encoded("deflate", &deflate(event("B26b", "").as_bytes())),
        ),
    ]
}
