//! The files `.env`: `NAME=value` lines, comments, quotation marks.
//!
//! Lists stand in them as plain JSON, as `.env.template` has them and as the predecessor's reader took them. dotenvy alone
//! would take the quotation marks inside for its own, so JSON is handed to it in quotation marks.

use std::borrow::Cow;
use std::fs;
use std::io::{self, Cursor};
use std::path::Path;

use serde::de::IgnoredAny;

/// What a line gives: name and value, or what is wrong with it.
pub(super) type Line = Result<(String, String), dotenvy::Error>;

/// The lines of a file.
///
/// # Errors
/// It cannot be read.
pub(super) fn lines(path: &Path) -> io::Result<impl Iterator<Item = Line>> {
    Ok(parse(&fs::read_to_string(path)?))
}

fn parse(text: &str) -> impl Iterator<Item = Line> + use<> {
    let mut quoted = String::new();
    for line in text.lines() {
        quoted.push_str(&with_quoted_json(line));
        quoted.push('\n');
    }
    dotenvy::from_read_iter(Cursor::new(quoted))
}

/// The line with its value in quotation marks, if that is a JSON list or object, which a comment may follow.
fn with_quoted_json(line: &str) -> Cow<'_, str> {
    let Some((name, value)) = line.split_once('=') else {
        return line.into();
    };
    let value = value.trim_start();
    let mut values = serde_json::Deserializer::from_str(value).into_iter::<IgnoredAny>();
    let is_json = value.starts_with(['[', '{']) && matches!(values.next(), Some(Ok(_)));
    if !is_json {
        return line.into();
    }
    let (json, rest) = value.split_at(values.byte_offset());
    let escaped: String = json
        .chars()
        .flat_map(|c| {
            let escape = matches!(c, '"' | '\\' | '$').then_some('\\');
            escape.into_iter().chain([c])
        })
        .collect();
    format!("{name}=\"{escaped}\"{rest}").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn values(text: &str) -> Vec<String> {
        let line = |line: Line| line.expect("a right line").1;
        parse(text).map(line).collect()
    }

    #[test]
    fn json_is_taken_as_it_stands() {
        let text = r#"
A=["https://a.test","b"]
export B = ["a", "b"]  # a comment
C={"a": "it's \"$1\""}
D=[]
# E=["c"]
"#;
        let expected = [
            r#"["https://a.test","b"]"#,
            r#"["a", "b"]"#,
            r#"{"a": "it's \"$1\""}"#,
            "[]",
        ];
        assert_eq!(values(text), expected);
    }

    #[test]
    fn the_template_is_understood_with_every_line_in_force() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(".env.template");
        let text = fs::read_to_string(path).expect("the template");
        let text = text.replace("#APP_CONFIG", "APP_CONFIG");
        let lines: Vec<_> = parse(&text)
            .map(|line| line.expect("a right line"))
            .collect();
        assert!(lines.len() > 50);
        let methods = (
            "APP_CONFIG__CORS__ALLOW_METHODS",
            r#"["GET","POST","OPTIONS"]"#,
        );
        assert!(lines.contains(&(methods.0.to_owned(), methods.1.to_owned())));
    }

    #[test]
    fn what_is_no_json_is_read_as_ever() {
        let text = "A=[a\nB='[\"a\"]'\nC=\"x y\"\nD=0.5 # seconds\nE=\nF=a=[1]\n";
        assert_eq!(values(text), ["[a", "[\"a\"]", "x y", "0.5", "", "a=[1]"]);
        assert!(parse("A=[\"a\"] b\n").any(|line| line.is_err()));
    }
}
