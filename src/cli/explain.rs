//! `real-streaming explain`: what a request would become, step by step: what each step saw, which rule decided, and the row.
//!
//! The request is a file as it goes over the wire (head, blank line, body), or put together of a body and headers. It is enriched as a collector
//! with this configuration would; nothing is stored.

use std::fmt::Write as _;
use std::io::{self, Read as _};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use axum::extract::ConnectInfo;
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, Request};
use serde_json::Value;

use crate::clock::{Clock as _, SystemClock};
use crate::config::Config;
use crate::http::streaming::explain;

/// Most headers of a request, as many as the collector takes.
const MAX_HEADERS: usize = 100;

/// Arguments of `explain`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The request: its line, headers, a blank line, body. `-` reads standard input.
    #[arg(required_unless_present = "json", conflicts_with = "json")]
    request: Option<PathBuf>,
    /// The body by itself: an event or an array of them. `-` reads standard input.
    #[arg(long)]
    json: Option<PathBuf>,
    /// A header `Name: value`, also besides those of the request.
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
    headers: Vec<String>,
    /// The stream, where the request does not say it.
    #[arg(long, default_value = "1")]
    stream: String,
    /// The address from which the connection came.
    #[arg(long, default_value = "127.0.0.1")]
    address: IpAddr,
    /// How it is printed.
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// For people.
    Text,
    /// As `?validate=1&explain=1` answers.
    Json,
}

pub(super) fn run(arguments: &Arguments, config: &Config) -> ExitCode {
    match answer(arguments, config) {
        Ok(answer) => {
            let text = match arguments.format {
                Format::Text => text(&answer),
                Format::Json => format!("{answer:#}\n"),
            };
            match io::Write::write_all(&mut io::stdout().lock(), text.as_bytes()) {
                // Whoever reads has seen enough.
                Err(error) if error.kind() != io::ErrorKind::BrokenPipe => super::failed(&error),
                _ if answer["status"] == "valid" => ExitCode::SUCCESS,
                _ => ExitCode::FAILURE,
            }
        }
        Err(reason) => super::failed(&reason),
    }
}

fn answer(arguments: &Arguments, config: &Config) -> Result<Value, String> {
    let (mut head, body) = match (&arguments.request, &arguments.json) {
        (Some(file), _) => parse(&read(file)?)?,
        (None, Some(file)) => {
            let path = format!("/api/v1/streaming/{}", arguments.stream);
            let request = Request::post(path).body(());
            let request = request.map_err(|error| format!("--stream: {error}"))?;
            (request.into_parts().0, read(file)?)
        }
        (None, None) => return Err("there is no request".to_owned()),
    };
    for header in &arguments.headers {
        let wrong = || format!("--header {header:?} is not 'Name: value'");
        let (name, value) = header.split_once(':').ok_or_else(wrong)?;
        let name = HeaderName::try_from(name.trim()).map_err(|_| wrong())?;
        let value = HeaderValue::try_from(value.trim()).map_err(|_| wrong())?;
        head.headers.append(name, value);
    }
    head.extensions
        .insert(ConnectInfo(SocketAddr::new(arguments.address, 0)));
    let (enricher, _files) = crate::app::enricher(config).map_err(|error| error.to_string())?;
    let explained = explain(&enricher, &config.body, SystemClock.now(), &head, body);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .map_err(|error| error.to_string())?;
    runtime
        .block_on(explained)
        .map_err(|error| error.to_string())
}

fn read(file: &Path) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let read = match file.as_os_str() == "-" {
        true => io::stdin().lock().read_to_end(&mut bytes).map(drop),
        false => std::fs::read(file).map(|read| bytes = read),
    };
    read.map_err(|error| format!("{}: {error}", file.display()))?;
    Ok(bytes)
}

/// The head and the body of a request as it goes over the wire. Lines may end as they do in text files.
fn parse(bytes: &[u8]) -> Result<(Parts, Vec<u8>), String> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    let parsed = request.parse(bytes);
    let parsed = parsed.map_err(|error| format!("the request cannot be read: {error}"))?;
    let httparse::Status::Complete(length) = parsed else {
        return Err("the request has no blank line after its headers".to_owned());
    };
    let wrong = |error: http::Error| format!("the request cannot be read: {error}");
    let method = Method::try_from(request.method.unwrap_or_default());
    let mut builder = Request::builder()
        .method(method.map_err(|error| wrong(error.into()))?)
        .uri(request.path.unwrap_or_default());
    for header in request.headers.iter() {
        builder = builder.header(header.name, header.value);
    }
    let head = builder.body(()).map_err(wrong)?.into_parts().0;
    Ok((head, bytes[length..].to_vec()))
}

/// The explanation for people.
fn text(answer: &Value) -> String {
    let mut text = String::new();
    let none = Vec::new();
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    for (index, event) in answer["events"]
        .as_array()
        .unwrap_or(&none)
        .iter()
        .enumerate()
    {
        let number = index + 1;
        if event.is_null() {
            line(
                &mut text,
                format_args!("event {number}: would not be stored"),
            );
            continue;
        }
        let name = event["row"]["event_name"].as_str().unwrap_or_default();
        line(&mut text, format_args!("event {number}: {name}"));
        for step in list(&event["steps"]) {
            let (step_name, rule) = (plain(&step["step"]), plain(&step["rule"]));
            line(&mut text, format_args!("\n  {step_name}: {rule}"));
            for (what, sign) in [("saw", "<-"), ("filled", "->")] {
                for pair in list(&step[what]) {
                    let (path, value) = (plain(&pair[0]), plain(&pair[1]));
                    line(&mut text, format_args!("    {sign} {path} = {value}"));
                }
            }
        }
        for added in list(&event["added"]) {
            let name = plain(&added["event_name"]);
            line(&mut text, format_args!("\n  added before it: {name}"));
        }
        line(&mut text, format_args!("\n  row"));
        columns(&mut text, "", &event["row"]);
        text.push('\n');
    }
    for detail in list(&answer["details"]) {
        let index = detail["index"].as_u64().map_or(0, |index| index + 1);
        let (path, message) = (plain(&detail["path"]), plain(&detail["message"]));
        line(&mut text, format_args!("event {index}: {path} {message}"));
    }
    text
}

/// The columns that have a value, by path.
fn columns(text: &mut String, path: &str, value: &Value) {
    let below = |name: &str| match path {
        "" => name.to_owned(),
        path => format!("{path}.{name}"),
    };
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                columns(text, &below(name), value);
            }
        }
        Value::Array(elements) => {
            for (index, element) in elements.iter().enumerate() {
                columns(text, &format!("{path}[{index}]"), element);
            }
        }
        Value::Null => {}
        value => line(text, format_args!("    {path} = {}", plain(value))),
    }
}

/// A value as it is read: a text without its quotes, and without what a terminal would obey.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => {
            let shown = |sign: char| match sign {
                '\'' | '"' | '\\' => sign.to_string(),
                sign => sign.escape_debug().to_string(),
            };
            text.chars().map(shown).collect()
        }
        value => value.to_string(),
    }
}

fn line(text: &mut String, line: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    writeln!(text, "{line}").unwrap_or_default();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_read_as_it_goes_over_the_wire_and_as_a_text_file() {
        for request in [
            &b"POST /api/v1/streaming/7?x=1 HTTP/1.1\r\nHost: a.test\r\nDNT: 1\r\n\r\n{}\n"[..],
            b"POST /api/v1/streaming/7?x=1 HTTP/1.1\nHost: a.test\nDNT: 1\n\n{}\n",
        ] {
            let (head, body) = parse(request).unwrap();
            assert_eq!(head.method, Method::POST);
            assert_eq!(head.uri.path(), "/api/v1/streaming/7");
            assert_eq!(head.headers["dnt"], "1");
            assert_eq!(body, b"{}\n");
        }
        for wrong in ["", "POST", "POST / HTTP/1.1\r\nHost: a", "x\r\n\r\n"] {
            assert!(parse(wrong.as_bytes()).is_err(), "{wrong:?}");
        }
    }
}
