//! The little of an HTTP/1.1 answer that the generator needs.

/// Status and what follows from the headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Parsed {
    pub(super) status: u16,
    pub(super) has_retry_after: bool,
    pub(super) closes: bool,
}

/// Reads an answer that has a `Content-Length`; `None` while it is not whole. What cannot be an answer has status 0.
pub(super) fn parse(bytes: &[u8]) -> Option<Parsed> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = &bytes[..end];
    let mut parsed = Parsed {
        status: number(head.get(9..12).unwrap_or_default()) as u16,
        has_retry_after: false,
        closes: false,
    };
    let mut length = 0;
    for line in head.split(|byte| *byte == b'\n').skip(1) {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else {
            continue;
        };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        // Names are told by their lengths first: almost every line is done with one comparison.
        match name.len() {
            14 if name.eq_ignore_ascii_case(b"content-length") => length = number(value),
            11 if name.eq_ignore_ascii_case(b"retry-after") => parsed.has_retry_after = true,
            10 if name.eq_ignore_ascii_case(b"connection") => {
                parsed.closes = value.eq_ignore_ascii_case(b"close")
            }
            _ => {}
        }
    }
    (bytes.len() >= end + 4 + length).then_some(parsed)
}

fn number(digits: &[u8]) -> usize {
    digits
        .iter()
        .take_while(|digit| digit.is_ascii_digit())
        .fold(0, |value, digit| value * 10 + usize::from(digit - b'0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers() {
        let ok = Parsed {
            status: 200,
            has_retry_after: false,
            closes: false,
        };
        let full = Parsed {
            status: 503,
            has_retry_after: true,
            closes: true,
        };
        let cases: [(&[u8], Option<Parsed>); 6] = [
            (b"HTTP/1.1 200 OK\r\ncontent-length: 15\r\n\r\n{\"status\":\"ok\"}", Some(ok)),
            (b"HTTP/1.1 200 OK\r\ncontent-length: 15\r\n\r\n{\"status\":\"ok\"", None),
            (b"HTTP/1.1 200 OK\r\ncontent-length: 15\r\n", None),
            (b"HTTP/1.1 200 OK\r\nContent-Length:0\r\n\r\n", Some(ok)),
            (b"HTTP/1.1 503 x\r\nRetry-After: 1\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}", Some(full)),
            (b"", None),
        ];
        for (bytes, expected) in cases {
            assert_eq!(parse(bytes), expected, "{}", String::from_utf8_lossy(bytes));
        }
    }
}
