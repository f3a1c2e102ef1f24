//! Files that the binary holds, and which form of a body a client gets: plain, gzip or Brotli
//! (<https://www.rfc-editor.org/rfc/rfc9110#name-content-negotiation>).
//!
//! Files are compressed beforehand, once. Our pages name them with the hash of their content, under which a
//! browser may keep them for ever; under their bare name it asks again each time and mostly gets a 304. The tracker, which
//! other sites' pages name, is kept for an hour, and used for a week while the browser asks without letting the page wait.

use std::io::{Read, Write};
use std::sync::{LazyLock, OnceLock};

use axum::body::{Body, Bytes};
use axum::extract::{Path, Request};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use xxhash_rust::xxh3::xxh3_64;

use super::Error;

const ASK_AGAIN: HeaderValue = HeaderValue::from_static("no-cache");
const FOR_AN_HOUR: HeaderValue =
    HeaderValue::from_static("public, max-age=3600, stale-while-revalidate=604800");
const FOR_EVER: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");

/// Below this many bytes nothing is gained by compressing.
const WORTH_COMPRESSING: usize = 1 << 10;

const SOURCE_MAP: HeaderName = HeaderName::from_static("sourcemap");
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

const JAVASCRIPT: &str = "text/javascript; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JSON: &str = "application/json";

macro_rules! built {
    ($name:literal) => {
        include_bytes!(concat!(env!("OUT_DIR"), "/", $name))
    };
}

/// What is under `/static/`. The `.gz` ones come from `build.rs`.
/// `static/` is built from `web/`.
static FILES: LazyLock<[(&str, Asset); 13]> = LazyLock::new(|| {
    [
        (
            "rs-core.js",
            Asset::tracker(
                include_str!("../../static/rs-core.js"),
                "/static/rs-core.js.map",
            ),
        ),
        (
            "rs-core.js.map",
            Asset::new(JSON, include_str!("../../static/rs-core.js.map")),
        ),
        (
            "rs.js",
            Asset::tracker(include_str!("../../static/rs.js"), "/static/rs.js.map"),
        ),
        (
            "rs.js.map",
            Asset::new(JSON, include_str!("../../static/rs.js.map")),
        ),
        (
            "v6.js",
            Asset::tracker(include_str!("../../static/v6.js"), "/static/v6.js.map"),
        ),
        (
            "v6.js.map",
            Asset::new(JSON, include_str!("../../static/v6.js.map")),
        ),
        ("docs.css", Asset::new(CSS, include_str!("docs/docs.css"))),
        (
            "docs.js",
            Asset::new(JAVASCRIPT, include_str!("docs/docs.js")),
        ),
        (
            "redoc.js",
            Asset::gzipped(JAVASCRIPT, built!("redoc.js.gz")),
        ),
        (
            "swagger-ui.css",
            Asset::gzipped(CSS, built!("swagger-ui.css.gz")),
        ),
        (
            "swagger-ui.js",
            Asset::gzipped(JAVASCRIPT, built!("swagger-ui.js.gz")),
        ),
        (
            "swagger-ui.png",
            Asset::gzipped("image/png", built!("swagger-ui.png.gz")),
        ),
        (
            "swagger-ui.txt",
            Asset::gzipped("text/plain; charset=utf-8", built!("swagger-ui.txt.gz")),
        ),
    ]
});

/// The names of all files.
pub(super) fn names() -> Vec<&'static str> {
    FILES.iter().map(|(name, _)| *name).collect()
}

/// A page in which each `"/static/…"` got the hash of that file.
pub(super) fn with_hashes(page: &str) -> String {
    let mut page = page.to_owned();
    for (name, asset) in FILES.iter() {
        let bare = format!("\"/static/{name}\"");
        page = page.replace(&bare, &format!("\"/static/{name}?v={}\"", asset.hash));
    }
    page
}

/// `GET /static/{file}`.
pub(super) async fn file(Path(wanted): Path<String>, request: Request) -> Result<Response, Error> {
    answer(&wanted, &request)
}

/// `GET /api/v1/fetch/v6.js`, where the predecessor had it.
pub(super) async fn v6(request: Request) -> Result<Response, Error> {
    answer("v6.js", &request)
}

fn answer(wanted: &str, request: &Request) -> Result<Response, Error> {
    let found = FILES.iter().find(|(name, _)| *name == wanted);
    let (_, asset) = found.ok_or(Error::NotFound)?;
    let version = request.uri().query().and_then(|q| q.strip_prefix("v="));
    let mut response = asset.answer(request.headers());
    if version == Some(asset.hash.as_str()) {
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, FOR_EVER);
    }
    Ok(response)
}

/// One file in all forms in which it is sent.
#[derive(Debug)]
pub(super) struct Asset {
    media_type: &'static str,
    /// Of the content, in hexadecimal.
    hash: String,
    /// Inflated when the first client asks for it: nearly all take gzip.
    plain: OnceLock<Bytes>,
    gzip: Bytes,
    /// Only of what is compressed here.
    brotli: Option<Bytes>,
    /// Of a script for pages of others: where the map to its sources is.
    map: Option<&'static str>,
}

impl Asset {
    /// A file in its plain form.
    pub(super) fn new(media_type: &'static str, plain: impl Into<Bytes>) -> Self {
        let plain = plain.into();
        Self {
            media_type,
            hash: format!("{:016x}", xxh3_64(&plain)),
            gzip: gzip(&plain, flate2::Compression::best()),
            brotli: Some(brotli(&plain, BROTLI_BEST)),
            plain: plain.into(),
            map: None,
        }
    }

    /// A script that pages of other sites load.
    fn tracker(plain: &'static str, map: &'static str) -> Self {
        Self {
            map: Some(map),
            ..Self::new(JAVASCRIPT, plain)
        }
    }

    /// A file that is held as gzip.
    fn gzipped(media_type: &'static str, gzip: &'static [u8]) -> Self {
        Self {
            media_type,
            hash: format!("{:016x}", xxh3_64(gzip)),
            plain: OnceLock::new(),
            gzip: Bytes::from_static(gzip),
            brotli: None,
            map: None,
        }
    }

    /// The answer to a `GET` with these headers: the file, or that the client has it already.
    pub(super) fn answer(&self, headers: &HeaderMap) -> Response {
        let coding = Coding::accepted(headers, self.brotli.is_some());
        let tag = match coding {
            Coding::Identity => format!("\"{}\"", self.hash),
            Coding::Gzip => format!("\"{}-gzip\"", self.hash),
            Coding::Brotli => format!("\"{}-br\"", self.hash),
        };
        let is_known = is_known(headers, &tag);
        let mut response = match (is_known, coding) {
            (true, _) => StatusCode::NOT_MODIFIED.into_response(),
            (false, Coding::Identity) => Body::from(self.plain()).into_response(),
            (false, Coding::Gzip) => Body::from(self.gzip.clone()).into_response(),
            (false, Coding::Brotli) => {
                Body::from(self.brotli.clone().unwrap_or_default()).into_response()
            }
        };
        let headers = response.headers_mut();
        // Hexadecimal digits and quotes are always a value.
        headers.extend(
            HeaderValue::try_from(tag)
                .ok()
                .map(|tag| (header::ETAG, tag)),
        );
        headers.insert(header::CACHE_CONTROL, ASK_AGAIN);
        if let Some(map) = self.map {
            headers.insert(header::CACHE_CONTROL, FOR_AN_HOUR);
            headers.insert(SOURCE_MAP, HeaderValue::from_static(map));
            // Pages that take only what says that it may be taken may take it.
            headers.insert(RESOURCE_POLICY, HeaderValue::from_static("cross-origin"));
            headers
                .entry(header::ACCESS_CONTROL_ALLOW_ORIGIN)
                .or_insert(HeaderValue::from_static("*"));
        }
        if is_known {
            headers.insert(header::VARY, ACCEPT_ENCODING);
        } else {
            describe(headers, self.media_type, coding);
        }
        response
    }

    fn plain(&self) -> Bytes {
        let plain = self.plain.get_or_init(|| {
            let mut plain = Vec::new();
            let read = flate2::read::GzDecoder::new(&self.gzip[..]).read_to_end(&mut plain);
            debug_assert!(read.is_ok(), "what the build compressed can be inflated");
            plain.into()
        });
        plain.clone()
    }
}

/// Whether the client says that it holds the form with this tag.
fn is_known(headers: &HeaderMap, tag: &str) -> bool {
    let lines = headers.get_all(header::IF_NONE_MATCH).iter();
    let mut tags = lines.flat_map(|line| line.to_str().unwrap_or_default().split(','));
    tags.any(|known| {
        let known = known.trim();
        known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag
    })
}

/// An answer that was made just now, compressed if it is large and the client takes that.
pub(super) fn fresh(headers: &HeaderMap, media_type: &'static str, body: String) -> Response {
    let coding = match body.len() < WORTH_COMPRESSING {
        true => Coding::Identity,
        false => Coding::accepted(headers, true),
    };
    let body = match coding {
        Coding::Identity => body.into(),
        Coding::Gzip => gzip(body.as_bytes(), flate2::Compression::fast()),
        Coding::Brotli => brotli(body.as_bytes(), BROTLI_FAST),
    };
    let mut response = Body::from(body).into_response();
    describe(response.headers_mut(), media_type, coding);
    response
}

const ACCEPT_ENCODING: HeaderValue = HeaderValue::from_static("Accept-Encoding");

/// Says what a body is.
fn describe(headers: &mut HeaderMap, media_type: &'static str, coding: Coding) {
    const NO_SNIFFING: HeaderValue = HeaderValue::from_static("nosniff");
    let media_type = HeaderValue::from_static(media_type);
    headers.insert(header::CONTENT_TYPE, media_type);
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, NO_SNIFFING);
    headers.insert(header::VARY, ACCEPT_ENCODING);
    let coding = match coding {
        Coding::Identity => return,
        Coding::Gzip => "gzip",
        Coding::Brotli => "br",
    };
    headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding));
}

/// How an answer is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coding {
    Identity,
    Gzip,
    Brotli,
}

impl Coding {
    /// What the client likes best of what there is; of equals the smallest.
    fn accepted(headers: &HeaderMap, has_brotli: bool) -> Self {
        let (mut gzip, mut brotli, mut any) = (None, None, None);
        for line in headers.get_all(header::ACCEPT_ENCODING) {
            for entry in line.to_str().unwrap_or_default().split(',') {
                let (name, weight) = entry.split_once(';').unwrap_or((entry, "q=1"));
                let name = name.trim();
                let weight = weight.trim().to_ascii_lowercase();
                let weight = weight.strip_prefix("q=").and_then(|q| q.parse().ok());
                let weight: Option<f32> = Some(weight.unwrap_or_default());
                if name.eq_ignore_ascii_case("gzip") || name.eq_ignore_ascii_case("x-gzip") {
                    gzip = weight;
                } else if name.eq_ignore_ascii_case("br") {
                    brotli = weight;
                } else if name == "*" {
                    any = weight;
                }
            }
        }
        let any = any.unwrap_or_default();
        let gzip = gzip.unwrap_or(any);
        let brotli = if has_brotli {
            brotli.unwrap_or(any)
        } else {
            0.0
        };
        if brotli > 0.0 && brotli >= gzip {
            Self::Brotli
        } else if gzip > 0.0 {
            Self::Gzip
        } else {
            Self::Identity
        }
    }
}

fn gzip(bytes: &[u8], level: flate2::Compression) -> Bytes {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
    // A Vec grows as needed, so writing cannot fail.
    encoder.write_all(bytes).unwrap_or_default();
    encoder.finish().unwrap_or_default().into()
}

const BROTLI_BEST: i32 = 9;
const BROTLI_FAST: i32 = 4;

fn brotli(bytes: &[u8], quality: i32) -> Bytes {
    let parameters = brotli::enc::BrotliEncoderParams {
        quality,
        size_hint: bytes.len(),
        ..Default::default()
    };
    let mut compressed = Vec::new();
    // A Vec grows as needed, so writing cannot fail.
    brotli::BrotliCompress(&mut &bytes[..], &mut compressed, &parameters).unwrap_or_default();
    compressed.into()
}

/// A page that runs only what this server holds, in no frame.
pub(super) fn secured(mut response: Response, policy: &'static str) -> Response {
    let headers = response.headers_mut();
    let fixed: [(HeaderName, &'static str); 4] = [
        (header::CONTENT_SECURITY_POLICY, policy),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (
            HeaderName::from_static("cross-origin-opener-policy"),
            "same-origin",
        ),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepted(header: &str, has_brotli: bool) -> Coding {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT_ENCODING, header.parse().unwrap());
        Coding::accepted(&headers, has_brotli)
    }

    #[test]
    fn the_coding_is_one_that_the_client_takes() {
        assert_eq!(Coding::accepted(&HeaderMap::new(), true), Coding::Identity);
        for (header, with_brotli, without) in [
            ("gzip, deflate, br, zstd", Coding::Brotli, Coding::Gzip),
            ("gzip", Coding::Gzip, Coding::Gzip),
            ("GZIP;Q=0.5, br;q=0.1", Coding::Gzip, Coding::Gzip),
            ("br;q=1.0, gzip;q=0", Coding::Brotli, Coding::Identity),
            ("*", Coding::Brotli, Coding::Gzip),
            ("br;q=0, *;q=0.1", Coding::Gzip, Coding::Gzip),
            ("*;q=0", Coding::Identity, Coding::Identity),
            ("identity", Coding::Identity, Coding::Identity),
            ("gzip;q=nonsense", Coding::Identity, Coding::Identity),
            ("", Coding::Identity, Coding::Identity),
        ] {
            assert_eq!(accepted(header, true), with_brotli, "{header}");
            assert_eq!(accepted(header, false), without, "{header}");
        }
    }

    #[test]
    fn a_client_that_holds_the_form_gets_no_body() {
        let mut headers = HeaderMap::new();
        for (known, is) in [
            ("\"a\"", true),
            ("\"b\", W/\"a\"", true),
            ("*", true),
            ("\"a-gzip\"", false),
            ("a", false),
            ("", false),
        ] {
            headers.insert(header::IF_NONE_MATCH, known.parse().unwrap());
            assert_eq!(is_known(&headers, "\"a\""), is, "{known}");
        }
    }

    #[test]
    fn every_file_can_be_inflated() {
        for (name, asset) in FILES.iter() {
            assert!(!asset.plain().is_empty(), "{name}");
            let mut inflated = Vec::new();
            let read = flate2::read::GzDecoder::new(&asset.gzip[..]).read_to_end(&mut inflated);
            assert_eq!(read.unwrap(), asset.plain().len(), "{name}");
            if let Some(brotli) = &asset.brotli {
                inflated.clear();
                let mut decoder = brotli_decompressor::Decompressor::new(&brotli[..], 4096);
                decoder.read_to_end(&mut inflated).unwrap();
                assert_eq!(inflated, asset.plain(), "{name}");
            }
        }
    }
}
