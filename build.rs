//! Puts the pages that draw the API's documentation into the binary: Swagger UI and ReDoc, out of crates that
//! hold them. Nothing is downloaded besides crates, and the files never pass through this repository.

use std::fs;
use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;

/// Files of Swagger UI: where in the archive, and what they are called here.
const SWAGGER_UI: [(&str, &str); 4] = [
    ("/dist/swagger-ui-bundle.js", "swagger-ui.js.gz"),
    ("/dist/swagger-ui.css", "swagger-ui.css.gz"),
    ("/dist/favicon-32x32.png", "swagger-ui.png.gz"),
    ("/LICENSE", "swagger-ui.txt.gz"),
];

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    #[expect(
        clippy::disallowed_methods,
        reason = "cargo tells build scripts by the environment"
    )]
    let folder = std::env::var_os("OUT_DIR").expect("cargo sets OUT_DIR");
    let folder = Path::new(&folder);
    for entry in zip_entries(utoipa_swagger_ui_vendored::SWAGGER_UI_VENDORED) {
        // The first folder is named after the version.
        let inside = entry.name.find('/').map_or("", |at| &entry.name[at..]);
        if let Some((_, name)) = SWAGGER_UI.iter().find(|(path, _)| *path == inside) {
            fs::write(folder.join(name), entry.gzip()).expect("OUT_DIR can be written");
        }
    }
    for (path, name) in SWAGGER_UI {
        assert!(folder.join(name).is_file(), "the archive holds no {path}");
    }
    let redoc = gzip(redoc().as_bytes());
    fs::write(folder.join("redoc.js.gz"), redoc).expect("OUT_DIR can be written");
}

/// The script of ReDoc, which the crate gives inside a page only.
fn redoc() -> String {
    let page = aide::redoc::Redoc::new("").html();
    let script = page
        .split_once("<script>")
        .and_then(|(_, rest)| rest.rsplit_once("Redoc.init("))
        .map(|(script, _)| script.trim())
        .expect("the page holds a script and its call");
    // It would ask another host for a logo; without one it shows none.
    let logo = "https://cdn.redoc.ly/redoc/logo-mini.svg";
    assert!(script.contains(logo), "the script names its logo elsewhere");
    script.replace(logo, "data:,")
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).expect("memory takes all");
    encoder.finish().expect("memory takes all")
}

/// A file in an archive (<https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT>).
struct Entry<'z> {
    name: &'z str,
    is_deflated: bool,
    crc32: u32,
    length: u32,
    bytes: &'z [u8],
}

impl Entry<'_> {
    /// The file as gzip: what the archive holds, in another frame.
    fn gzip(&self) -> Vec<u8> {
        if !self.is_deflated {
            return gzip(self.bytes);
        }
        let mut framed = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
        framed.extend(self.bytes);
        framed.extend(self.crc32.to_le_bytes());
        framed.extend(self.length.to_le_bytes());
        framed
    }
}

/// The files of an archive, by its directory.
fn zip_entries(archive: &[u8]) -> Vec<Entry<'_>> {
    let u16_at = |at: usize| usize::from(u16::from_le_bytes([archive[at], archive[at + 1]]));
    let u32_at = |at: usize| {
        let bytes = archive[at..at + 4].try_into().expect("four bytes");
        u32::from_le_bytes(bytes)
    };
    let end = archive
        .windows(4)
        .rposition(|bytes| bytes == b"PK\x05\x06")
        .expect("an archive has an end");
    let mut at = u32_at(end + 16) as usize;
    let mut entries = Vec::new();
    for _ in 0..u16_at(end + 10) {
        let name_length = u16_at(at + 28);
        let name = &archive[at + 46..at + 46 + name_length];
        let local = u32_at(at + 42) as usize;
        let begin = local + 30 + u16_at(local + 26) + u16_at(local + 28);
        entries.push(Entry {
            name: std::str::from_utf8(name).unwrap_or_default(),
            is_deflated: u16_at(at + 10) == 8,
            crc32: u32_at(at + 16),
            length: u32_at(at + 24),
            bytes: &archive[begin..begin + u32_at(at + 20) as usize],
        });
        at += 46 + name_length + u16_at(at + 30) + u16_at(at + 32);
    }
    entries
}
