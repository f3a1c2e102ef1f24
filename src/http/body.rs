//! The body of a request: read within its limits, and inflated.
//!
//! Two limits, because a small body may inflate to a huge one: bytes on the wire and bytes inflated. One
//! deadline from the first byte to the last, however they trickle. Inflating happens where the request is
//! handled: there are as many at a time as threads, which bounds what hostile bodies can take up.

use std::io::{self, Read};
use std::time::Duration;

use axum::body::{Body, Bytes};
use http::{HeaderMap, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};

use super::Error;

/// Limits of request bodies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodyLimits {
    /// Most bytes on the wire.
    pub wire_bytes: usize,
    /// Most bytes inflated.
    pub inflated_bytes: usize,
    /// Until when all of it must have come.
    pub time: Duration,
}

/// Most codings one over the other.
const MAX_CODINGS: usize = 2;

/// Largest window of zstd, as a power of two: what RFC 8878 asks decoders to support.
const ZSTD_WINDOW_LOG: u32 = 23;

/// How a body is compressed (<https://www.iana.org/assignments/http-parameters>, content codings).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coding {
    Gzip,
    Deflate,
    Brotli,
    Zstd,
}

/// The whole body, inflated.
pub(super) async fn read(
    headers: &HeaderMap,
    body: Body,
    limits: &BodyLimits,
) -> Result<Bytes, Error> {
    let codings = codings(headers)?;
    let collecting = Limited::new(body, limits.wire_bytes).collect();
    let bytes = match tokio::time::timeout(limits.time, collecting).await {
        Ok(Ok(collected)) => collected.to_bytes(),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            return Err(too_large(limits.wire_bytes));
        }
        Ok(Err(_)) => return Err(Error::BadRequest("the body broke off".to_owned())),
        Err(_elapsed) => return Err(Error::SlowBody),
    };
    if codings.is_empty() {
        // Some clients compress and forget to say so. No text begins like this.
        return match bytes.starts_with(&[0x1f, 0x8b, 8]) {
            true => inflate(Coding::Gzip, &bytes, limits.inflated_bytes),
            false => Ok(bytes),
        };
    }
    codings.into_iter().rev().try_fold(bytes, |bytes, coding| {
        inflate(coding, &bytes, limits.inflated_bytes)
    })
}

fn too_large(max_bytes: usize) -> Error {
    Error::TooLarge(format!("the body is larger than {max_bytes} bytes"))
}

/// The codings in the order in which they were applied.
fn codings(headers: &HeaderMap) -> Result<Vec<Coding>, Error> {
    let mut codings = Vec::new();
    for line in headers.get_all(header::CONTENT_ENCODING) {
        let names = line.to_str().unwrap_or("?").split(',').map(str::trim);
        for name in names.filter(|name| !name.is_empty()) {
            let coding = match name.to_ascii_lowercase().as_str() {
                "identity" => continue,
                "gzip" | "x-gzip" => Coding::Gzip,
                "deflate" => Coding::Deflate,
                "br" => Coding::Brotli,
                "zstd" => Coding::Zstd,
                _ => return Err(Error::UnsupportedEncoding),
            };
            codings.push(coding);
        }
    }
    if codings.len() > MAX_CODINGS {
        return Err(Error::UnsupportedEncoding);
    }
    Ok(codings)
}

fn inflate(coding: Coding, bytes: &[u8], max_bytes: usize) -> Result<Bytes, Error> {
    let inflated = match coding {
        Coding::Gzip => within(flate2::bufread::MultiGzDecoder::new(bytes), max_bytes),
        // The name means zlib's format, but some send the bare one.
        Coding::Deflate if is_zlib(bytes) => {
            within(flate2::bufread::ZlibDecoder::new(bytes), max_bytes)
        }
        Coding::Deflate => within(flate2::bufread::DeflateDecoder::new(bytes), max_bytes),
        Coding::Brotli => within(
            brotli_decompressor::Decompressor::new(bytes, 4096),
            max_bytes,
        ),
        Coding::Zstd => zstd::stream::read::Decoder::with_buffer(bytes).and_then(|mut decoder| {
            decoder.window_log_max(ZSTD_WINDOW_LOG)?;
            within(decoder, max_bytes)
        }),
    };
    match inflated {
        Ok(Some(bytes)) => Ok(bytes.into()),
        Ok(None) => Err(too_large(max_bytes)),
        Err(_) => Err(Error::BadRequest(
            "the body is not what its Content-Encoding says, or was cut off".to_owned(),
        )),
    }
}

/// All that there is to read; `None` if it is more than that.
fn within(reader: impl Read, max_bytes: usize) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    reader
        .take((max_bytes as u64).saturating_add(1))
        .read_to_end(&mut bytes)?;
    Ok((bytes.len() <= max_bytes).then_some(bytes))
}

/// Whether this begins like zlib's format (<https://www.rfc-editor.org/rfc/rfc1950#section-2.2>).
fn is_zlib(bytes: &[u8]) -> bool {
    matches!(bytes, [method, flags, ..]
        if method & 0x0f == 8 && u16::from_be_bytes([*method, *flags]) % 31 == 0)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
    use http::HeaderValue;

    use super::*;

    const LIMITS: BodyLimits = BodyLimits {
        wire_bytes: 10_000,
        inflated_bytes: 50_000,
        time: Duration::from_millis(200),
    };

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

    fn zstd(bytes: &[u8]) -> Vec<u8> {
        zstd::encode_all(bytes, 1).unwrap()
    }

    /// Brotli's form of bytes as they are: one uncompressed meta-block, and the last, empty one.
    fn brotli(bytes: &[u8]) -> Vec<u8> {
        assert!((1..=1 << 16).contains(&bytes.len()));
        // WBITS 16 (one bit 0), ISLAST 0, MNIBBLES 4 (two bits), MLEN - 1 (16 bits), ISUNCOMPRESSED 1.
        let header = ((bytes.len() as u32 - 1) << 4) | 1 << 20;
        let mut encoded = header.to_le_bytes()[..3].to_vec();
        encoded.extend_from_slice(bytes);
        encoded.push(3);
        encoded
    }

    async fn read_as(encodings: &[&str], bytes: Vec<u8>) -> Result<Bytes, Error> {
        let mut headers = HeaderMap::new();
        for encoding in encodings {
            let value = HeaderValue::from_str(encoding).unwrap();
            headers.append(header::CONTENT_ENCODING, value);
        }
        read(&headers, Body::from(bytes), &LIMITS).await
    }

    #[tokio::test]
    async fn every_coding_is_undone() {
        let plain = br#"{"event_name":"page_view"}"#;
        for (encodings, bytes) in [
            (&[][..], plain.to_vec()),
            (&["identity"], plain.to_vec()),
            (&[""], plain.to_vec()),
            (&["gzip"], gzip(plain)),
            (&["GZIP"], gzip(plain)),
            (&["x-gzip"], gzip(plain)),
            (&[], gzip(plain)),
            (&["gzip"], [gzip(&plain[..9]), gzip(&plain[9..])].concat()),
            (&["deflate"], zlib(plain)),
            (&["deflate"], deflate(plain)),
            (&["br"], brotli(plain)),
            (&["zstd"], zstd(plain)),
            (&["zstd, gzip"], gzip(&zstd(plain))),
            (&["gzip", "br"], brotli(&gzip(plain))),
        ] {
            let read = read_as(encodings, bytes).await;
            assert_eq!(read.as_deref(), Ok(&plain[..]), "{encodings:?}");
        }
    }

    #[tokio::test]
    async fn what_is_too_large_is_refused_on_the_wire_and_inflated() {
        let exactly = vec![b' '; LIMITS.inflated_bytes];
        let more = vec![b' '; LIMITS.inflated_bytes + 1];
        let noise: Vec<u8> = (0..=LIMITS.wire_bytes).map(|byte| byte as u8).collect();
        assert!(matches!(read_as(&[], noise).await, Err(Error::TooLarge(_))));
        for (name, encode) in [
            ("gzip", gzip as fn(&[u8]) -> Vec<u8>),
            ("deflate", zlib),
            ("zstd", zstd),
        ] {
            let read = read_as(&[name], encode(&exactly)).await;
            assert_eq!(read.map(|bytes| bytes.len()), Ok(exactly.len()), "{name}");
            let read = read_as(&[name], encode(&more)).await;
            assert!(matches!(read, Err(Error::TooLarge(_))), "{name}: {read:?}");
        }
        let twice = gzip(&gzip(&vec![0; 40 << 20]));
        let read = read_as(&["gzip, gzip"], twice).await;
        assert!(matches!(read, Err(Error::TooLarge(_))), "{read:?}");
    }

    #[tokio::test]
    async fn what_is_not_what_it_says_is_a_bad_request() {
        let plain = br#"{"event_name":"page_view"}"#;
        let mut wrong_sum = gzip(plain);
        let sum = wrong_sum.len() - 6;
        wrong_sum[sum] ^= 1;
        let cut = |bytes: Vec<u8>| bytes[..bytes.len() - 9].to_vec();
        // A frame that asks for a window of 2 GiB.
        let window = vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xa8, 0x01, 0x00, 0x00];
        for (encoding, bytes) in [
            ("gzip", plain.to_vec()),
            ("gzip", wrong_sum),
            ("gzip", cut(gzip(plain))),
            ("gzip", [gzip(plain), b"junk".to_vec()].concat()),
            ("gzip", Vec::new()),
            ("br", cut(brotli(plain))),
            ("zstd", cut(zstd(plain))),
            ("zstd", window),
            ("deflate", vec![0xff; 20]),
        ] {
            let read = read_as(&[encoding], bytes).await;
            assert!(
                matches!(read, Err(Error::BadRequest(_))),
                "{encoding}: {read:?}"
            );
        }
        for unknown in ["compress", "gzip;q=1", "aes128gcm", "gzip, gzip, gzip", "é"] {
            let read = read_as(&[unknown], Vec::new()).await;
            assert_eq!(read, Err(Error::UnsupportedEncoding), "{unknown}");
        }
    }

    #[tokio::test]
    async fn a_body_has_one_deadline_however_it_trickles() {
        let trickle = futures_util::stream::unfold(0, |sent| async move {
            tokio::time::sleep(Duration::from_millis(30)).await;
            Some((Ok::<_, io::Error>(Bytes::from_static(b" ")), sent + 1))
        });
        let begun = std::time::Instant::now();
        let read = read(&HeaderMap::new(), Body::from_stream(trickle), &LIMITS).await;
        assert_eq!(read, Err(Error::SlowBody));
        assert!(begun.elapsed() < Duration::from_secs(5));
    }
}
