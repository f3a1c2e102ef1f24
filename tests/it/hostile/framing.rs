//! B1–B14: where a request ends, and how long its head may be.

use super::{Case, HEAD, event, framed, refused, request, request_with, taken};

/// A body in one chunk.
fn chunk(body: &str) -> String {
    format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len())
}

pub(super) fn cases() -> Vec<Case> {
    let chunked = "Transfer-Encoding: chunked\r\n";
    let both =
        |id: &'static str, lines: &str| framed(format!("{lines}\r\n{}", chunk(&event(id, ""))));
    let mut cases = vec![
        refused(
            "B1",
            "Content-Length and chunks, whose body is empty",
            &[400],
            framed(format!("Content-Length: 4\r\n{chunked}\r\n0\r\n\r\n")),
        )
        .closed(),
        // RFC 9112, section 6.3: the chunks count, and nothing behind them is read.
        taken(
            "B1b",
            "Content-Length and chunks that hold an event",
            both("B1b", &format!("Content-Length: 4\r\n{chunked}")),
        )
        .closed(),
        taken(
            "B1c",
            "the same the other way round",
            both("B1c", &format!("{chunked}Content-Length: 4\r\n")),
        )
        .closed(),
        refused(
            "B2",
            "two Content-Length that differ",
            &[400],
            framed("Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}"),
        )
        .closed(),
        taken("B2b", "two Content-Length that agree", {
            let body = event("B2b", "");
            request_with(format!("Content-Length: {}\r\n", body.len()), body)
        }),
    ];
    for (id, length) in [
        ("B3", "+2"),
        ("B3b", "-1"),
        ("B3c", "0x5"),
        ("B3d", "1e3"),
        ("B3e", "18446744073709551616"),
        ("B3f", "2, 2"),
        ("B3g", "2 2"),
        ("B3h", "2;"),
        ("B3i", "\u{ff12}"),
    ] {
        let bytes = framed(format!("Content-Length: {length}\r\n\r\n{{}}"));
        cases.push(refused(id, "Content-Length that is no number", &[400], bytes).closed());
    }
    for (id, coding) in [
        ("B4", "xchunked"),
        ("B4b", "chunked, identity"),
        ("B4c", "\u{b}chunked"),
        ("B4d", "identity"),
        ("B4e", "chunked\u{0}"),
        ("B4f", ""),
    ] {
        let bytes = framed(format!("Transfer-Encoding: {coding}\r\n\r\n0\r\n\r\n"));
        cases.push(refused(id, "Transfer-Encoding that is not chunked", &[400], bytes).closed());
    }
    cases.push(
        refused("B4g", "chunks in HTTP/1.0", &[400], {
            let head = HEAD.replace("HTTP/1.1", "HTTP/1.0");
            format!("{head}{chunked}\r\n0\r\n\r\n").into_bytes()
        })
        .closed(),
    );
    let extension = format!("2;{}\r\n{{}}\r\n0\r\n\r\n", "x".repeat(40_000));
    let trailers = format!("2\r\n{{}}\r\n0\r\n{}\r\n", "X: a\r\n".repeat(5_000));
    for (id, what, chunks, statuses) in [
        (
            "B5",
            "a chunk of 2^64 - 1 bytes",
            "FFFFFFFFFFFFFFFF\r\n",
            &[400, 408][..],
        ),
        (
            "B5b",
            "a chunk of 2^68 bytes",
            "FFFFFFFFFFFFFFFFF\r\n",
            &[400],
        ),
        (
            "B5c",
            "a chunk of -1 bytes",
            "-1\r\n{}\r\n0\r\n\r\n",
            &[400],
        ),
        (
            "B5d",
            "a chunk of 0x2 bytes",
            "0x2\r\n{}\r\n0\r\n\r\n",
            &[400],
        ),
        (
            "B5e",
            "a chunk without its size",
            "\r\n{}\r\n0\r\n\r\n",
            &[400],
        ),
        (
            "B5f",
            "a chunk longer than it says",
            "1\r\n{}\r\n0\r\n\r\n",
            &[400],
        ),
        (
            "B5g",
            "a bare line feed behind the size",
            "2\n{}\r\n0\r\n\r\n",
            &[400],
        ),
        ("B5h", "40 kB of chunk extensions", &extension, &[400]),
        ("B5i", "5,000 trailers", &trailers, &[400]),
    ] {
        let bytes = framed(format!("{chunked}\r\n{chunks}"));
        cases.push(refused(id, what, statuses, bytes).closed());
    }
    cases.push(refused(
        "B6",
        "bare line feeds, no body",
        &[400],
        b"POST /api/v1/streaming/1 HTTP/1.1\nHost: x\n\n".to_vec(),
    ));
    for (id, what, lines) in [
        (
            "B6b",
            "a header folded onto the next line",
            "X: a\r\n b\r\n\r\n",
        ),
        ("B6c", "a space before the colon", "X : a\r\n\r\n"),
        (
            "B6d",
            "control characters in a header",
            "X: \0\u{7f}\r\n\r\n",
        ),
        (
            "B6e",
            "a bare carriage return in a header",
            "X: a\rY: b\r\n\r\n",
        ),
        ("B6f", "a header without a name", ": a\r\n\r\n"),
        ("B6g", "a header without a colon", "abc\r\n\r\n"),
        ("B6h", "a space before a header's name", " X: a\r\n\r\n"),
        ("B6i", "a header's name with a bracket", "X(: a\r\n\r\n"),
    ] {
        cases.push(refused(id, what, &[400], framed(lines)).closed());
    }
    let whole = event("B7", "");
    cases.extend([
        refused(
            "B7",
            "a body shorter than Content-Length, then the end",
            &[400],
            framed(format!(
                "Content-Length: {}\r\n\r\n{whole}",
                whole.len() + 5
            )),
        )
        .cut(),
        refused("B7b", "a body in chunks that breaks off", &[400], {
            framed(format!("{chunked}\r\n{:x}\r\n{whole}", whole.len()))
        })
        .cut(),
        refused(
            "B10",
            "101 headers",
            &[431],
            request_with("X: a\r\n".repeat(101), "{}"),
        )
        .closed(),
        refused("B11", "a cookie of 64 KiB", &[431], {
            request_with(format!("Cookie: {}\r\n", "a".repeat(64 << 10)), "{}")
        })
        .closed(),
        refused("B12", "an address of 100 kB", &[414, 431], {
            let head = HEAD.replace("/1 ", &format!("/1?{} ", "a".repeat(100_000)));
            format!("{head}\r\n").into_bytes()
        })
        .closed(),
        taken("B13", "Expect: 100-continue, and the body at once", {
            request_with("Expect: 100-continue\r\n", event("B13", ""))
        }),
        taken(
            "B14",
            "a client that closes its half at once",
            request(event("B14", "")),
        )
        .cut(),
        refused(
            "B14b",
            "a head that breaks off",
            &[0, 400],
            framed("Content-Le"),
        )
        .cut(),
    ]);
    cases
}
