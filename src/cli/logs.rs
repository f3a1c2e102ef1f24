//! How the log of the process is written to its standard output: a line for people, or one JSON object a line as
//! Cloud Logging wants it (<https://cloud.google.com/logging/docs/structured-logging>).
//!
//! What repeats is written ten times in ten seconds, then counted. What clients said comes with its control
//! characters escaped, so that a line stays a line. Nothing here decides what is worth a line.

use std::collections::HashMap;
use std::fmt;
use std::hash::{Hash as _, Hasher as _};
use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::tz::TimeZone;
use serde_json::{Map, Value, json};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Registry};

use crate::clock::{Clock, Micros, SystemClock};
use crate::config::LogFormat;

/// So many lines of one kind are written in each window.
const LINES: u32 = 10;
const WINDOW: Duration = Duration::from_secs(10);

/// Lines from one place in the code count apart by these.
const KINDS: [&str; 3] = ["code", "alarm", "destination"];

/// Writes the log of this process from now on, panics too.
pub(super) fn start(format: &LogFormat) {
    let default = match format {
        LogFormat::Text => "real_streaming=debug,warn",
        LogFormat::Json { .. } => "real_streaming=info,warn",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    let lines = Lines::new(format.clone(), io::stdout(), SystemClock::shared());
    Registry::default().with(lines.with_filter(filter)).init();
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string);
        let message = panic.payload_as_str().unwrap_or("no message");
        tracing::error!(alarm = "panic", place, "panicked: {message}");
    }));
}

/// Writes events as lines.
#[derive(Debug)]
struct Lines<W> {
    format: LogFormat,
    out: Mutex<W>,
    clock: Arc<dyn Clock>,
    time_zone: TimeZone,
    repeats: Arc<Mutex<HashMap<u64, Repeats>>>,
}

/// How often something was said of late.
#[derive(Debug)]
struct Repeats {
    since: Instant,
    written: u32,
    left_out: u64,
}

impl<W: Write> Lines<W> {
    fn new(format: LogFormat, out: W, clock: Arc<dyn Clock>) -> Self {
        Self {
            format,
            out: Mutex::new(out),
            clock,
            time_zone: TimeZone::system(),
            repeats: Arc::default(),
        }
    }

    /// How many of this kind were left out before this one; `None` if it is left out too.
    fn left_out(&self, metadata: &Metadata<'_>, said: &Said) -> Option<u64> {
        let mut kind = std::hash::DefaultHasher::new();
        metadata.callsite().hash(&mut kind);
        for name in KINDS {
            said.text(name).hash(&mut kind);
        }
        let mut repeats = self.repeats.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let anew = || Repeats {
            since: now,
            written: 0,
            left_out: 0,
        };
        let repeats = repeats.entry(kind.finish()).or_insert_with(anew);
        if now - repeats.since >= WINDOW {
            (repeats.since, repeats.written) = (now, 0);
        }
        if repeats.written == LINES {
            repeats.left_out += 1;
            return None;
        }
        repeats.written += 1;
        Some(std::mem::take(&mut repeats.left_out))
    }

    fn write(&self, line: &str) {
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        // There is nowhere to complain.
        drop(out.write_all(line.as_bytes()).and_then(|()| out.flush()));
    }
}

impl<W: Write + 'static, S: Subscriber> Layer<S> for Lines<W> {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        let mut said = Said::default();
        event.record(&mut said);
        let is_limited = *metadata.level() <= Level::INFO;
        let left_out = if is_limited {
            let Some(left_out) = self.left_out(metadata, &said) else {
                return;
            };
            left_out
        } else {
            0
        };
        if left_out > 0 {
            said.fields.push(("left_out_before", json!(left_out)));
        }
        let now = self.clock.now();
        let line = match &self.format {
            LogFormat::Text => text(metadata, &said, now, &self.time_zone),
            LogFormat::Json { project } => {
                cloud_logging(metadata, said, now, project.as_deref()).to_string()
            }
        };
        self.write(&format!("{line}\n"));
    }
}

/// What an event says.
#[derive(Debug, Default)]
struct Said {
    message: String,
    fields: Vec<(&'static str, Value)>,
}

impl Said {
    fn text(&self, name: &str) -> Option<&str> {
        let field = self.fields.iter().find(|(found, _)| *found == name);
        field.and_then(|(_, value)| value.as_str())
    }

    fn take(&mut self, name: &str) -> Option<Value> {
        let index = self.fields.iter().position(|(found, _)| *found == name)?;
        Some(self.fields.remove(index).1)
    }
}

impl Visit for Said {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.message = format!("{value:?}");
        } else {
            self.fields
                .push((field.name(), format!("{value:?}").into()));
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            value.clone_into(&mut self.message);
        } else {
            self.fields.push((field.name(), value.into()));
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.fields.push((field.name(), value.into()));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.fields.push((field.name(), value.into()));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.fields.push((field.name(), value.into()));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.fields.push((field.name(), value.into()));
    }
}

/// <https://cloud.google.com/logging/docs/reference/v2/rest/v2/LogEntry#logseverity>
fn severity(level: &Level) -> &'static str {
    match *level {
        Level::ERROR => "ERROR",
        Level::WARN => "WARNING",
        Level::INFO => "INFO",
        _ => "DEBUG",
    }
}

/// `LEVEL time - module - room:line - message - [file]`.
fn text(metadata: &Metadata<'_>, said: &Said, now: Micros, time_zone: &TimeZone) -> String {
    let time = jiff::Timestamp::from_microsecond(now.0).unwrap_or_default();
    let time = time
        .to_zoned(time_zone.clone())
        .strftime("%Y-%m-%d %H:%M:%S%.3f")
        .to_string();
    let mut modules = metadata.target().rsplit("::");
    let module = modules.next().unwrap_or_default();
    let room = modules.next().unwrap_or_default();
    let place = format!("{room}:{}", metadata.line().unwrap_or_default());
    let mut message = escaped(&said.message);
    for (name, value) in &said.fields {
        let value = match value {
            Value::String(text) => escaped(text),
            other => other.to_string(),
        };
        message.push_str(&format!(" {name}={value}"));
    }
    format!(
        "{:<9} {time} - {module:<12} - {place:<22} - {message} - [{}]",
        severity(metadata.level()),
        metadata.file().unwrap_or_default(),
    )
}

/// Control characters would break the line, or play with the terminal; others reorder what is read.
fn escaped(text: &str) -> String {
    let is_harmful = |character: char| {
        character.is_control()
            || matches!(character, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200b}'..='\u{200f}')
    };
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        if is_harmful(character) {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    shown
}

fn cloud_logging(
    metadata: &Metadata<'_>,
    mut said: Said,
    now: Micros,
    project: Option<&str>,
) -> Value {
    let time = jiff::Timestamp::from_microsecond(now.0).unwrap_or_default();
    let mut entry = Map::new();
    let mut put = |name: &str, value: Value| drop(entry.insert(name.to_owned(), value));
    put("severity", severity(metadata.level()).into());
    put("time", time.to_string().into());
    put("message", std::mem::take(&mut said.message).into());
    put("target", metadata.target().into());
    if let Some(status) = said.take("http.status") {
        let latency = said.take("http.latency_ms").and_then(|ms| ms.as_f64());
        put(
            "httpRequest",
            json!({
                "requestMethod": said.take("http.method"),
                "requestUrl": said.take("http.path"),
                "status": status,
                "userAgent": said.take("http.user_agent"),
                "latency": latency.map(|ms| format!("{:.6}s", ms / 1e3)),
            }),
        );
    }
    if let Some(Value::String(id)) = said.take("trace.id") {
        let trace = match project {
            Some(project) => format!("projects/{project}/traces/{id}"),
            None => id,
        };
        put("logging.googleapis.com/trace", trace.into());
        for (name, key) in [
            ("trace.span_id", "logging.googleapis.com/spanId"),
            ("trace.is_sampled", "logging.googleapis.com/trace_sampled"),
        ] {
            if let Some(value) = said.take(name) {
                put(key, value);
            }
        }
    }
    if let (Some(file), Some(line)) = (metadata.file(), metadata.line()) {
        let place = json!({"file": file, "line": line.to_string()});
        put("logging.googleapis.com/sourceLocation", place);
    }
    for (name, value) in said.fields {
        put(name, value);
    }
    Value::Object(entry)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Debug, Default)]
    struct Output(Arc<Mutex<Vec<u8>>>);

    impl Write for Output {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[derive(Debug)]
    struct Noon;

    impl Clock for Noon {
        fn now(&self) -> Micros {
            // 2026-11-21T12:00:00.123456Z
            Micros(1_795_262_400_123_456)
        }
    }

    fn written(format: LogFormat, say: impl FnOnce()) -> Vec<String> {
        let output = Output::default();
        let mut lines = Lines::new(format, output.clone(), Arc::new(Noon));
        lines.time_zone = TimeZone::UTC;
        tracing::subscriber::with_default(Registry::default().with(lines), say);
        let bytes = output.0.lock().unwrap().clone();
        let text = String::from_utf8(bytes).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    fn json_of(say: impl FnOnce()) -> Vec<Value> {
        let project = Some("shop-1".to_owned());
        written(LogFormat::Json { project }, say)
            .iter()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    const HOSTILE: &str = "x\n{\"severity\":\"ERROR\"}\u{1b}[2J\u{202e}y";

    #[test]
    fn people_get_the_columns_they_know() {
        let lines = written(LogFormat::Text, || {
            tracing::info!(rows = 10, destination = "delta:a", "batch written");
        });
        let line = line!() - 2;
        let module = "tests        - logs:";
        let expected = format!(
            "INFO      2026-11-21 12:00:00.123 - {module}{:<17} - batch written rows=10 destination=delta:a - [{}]",
            line,
            file!()
        );
        assert_eq!(lines, [expected]);
    }

    #[test]
    fn a_line_stays_a_line_whatever_clients_say() {
        let say = || tracing::info!(http.user_agent = HOSTILE, "{HOSTILE}");
        let lines = written(LogFormat::Text, say);
        assert_eq!(lines.len(), 1);
        assert!(lines[0].contains("x\\n{\"severity\":\"ERROR\"}\\u{1b}[2J\\u{202e}y"));
        let entries = json_of(say);
        assert_eq!(entries.len(), 1);
        assert_eq!(entries[0]["message"], HOSTILE);
        assert_eq!(entries[0]["severity"], "INFO");
    }

    #[test]
    fn cloud_logging_gets_severity_request_and_trace() {
        let entries = json_of(|| {
            tracing::warn!(
                code = "unavailable",
                http.method = "POST",
                http.path = "/a",
                http.status = 503_u16,
                http.user_agent = Some("curl"),
                http.latency_ms = 1.5,
                request_id = "r1",
                trace.id = Some("4bf92f3577b34da6a3ce929d0e0e4736"),
                trace.span_id = Some("00f067aa0ba902b7"),
                trace.is_sampled = Some(true),
                "the log is full"
            );
        });
        let mut entry = entries[0].clone();
        let place = entry["logging.googleapis.com/sourceLocation"].take();
        assert_eq!(place["file"], file!());
        entry
            .as_object_mut()
            .unwrap()
            .remove("logging.googleapis.com/sourceLocation");
        assert_eq!(
            entry,
            json!({
                "severity": "WARNING",
                "time": "2026-11-21T12:00:00.123456Z",
                "message": "the log is full",
                "target": "real_streaming::cli::logs::tests",
                "code": "unavailable",
                "request_id": "r1",
                "httpRequest": {"requestMethod": "POST", "requestUrl": "/a", "status": 503, "userAgent": "curl", "latency": "0.001500s"},
                "logging.googleapis.com/trace": "projects/shop-1/traces/4bf92f3577b34da6a3ce929d0e0e4736",
                "logging.googleapis.com/spanId": "00f067aa0ba902b7",
                "logging.googleapis.com/trace_sampled": true,
            })
        );
    }

    #[test]
    fn what_repeats_is_counted_and_what_is_rare_is_not_hidden_by_it() {
        let output = Output::default();
        let lines = Lines::new(
            LogFormat::Json { project: None },
            output.clone(),
            Arc::new(Noon),
        );
        let repeats = Arc::clone(&lines.repeats);
        let refuse = |code: &str| tracing::info!(code, "refused");
        let count = |code: &str| {
            let bytes = output.0.lock().unwrap().clone();
            let text = String::from_utf8(bytes).unwrap();
            text.matches(&format!("\"code\":\"{code}\"")).count()
        };
        tracing::subscriber::with_default(Registry::default().with(lines), || {
            for _ in 0..1_000 {
                refuse("malformed");
            }
            refuse("too_large");
            assert_eq!((count("malformed"), count("too_large")), (10, 1));
            for repeats in repeats.lock().unwrap().values_mut() {
                repeats.since -= WINDOW;
            }
            refuse("malformed");
        });
        assert_eq!(count("malformed"), 11);
        let bytes = output.0.lock().unwrap().clone();
        assert!(
            String::from_utf8(bytes)
                .unwrap()
                .contains("\"left_out_before\":990")
        );
    }
}
