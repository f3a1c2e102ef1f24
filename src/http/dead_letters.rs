//! `GET /api/v1/dead_letters`: what waits in the dead letters; `POST /api/v1/dead_letters/replay`: sends it once more.
//!
//! Which rows is said in the query: `since` and `until` (RFC 3339, or how long ago, such as `2h`), `reason` (text that it
//! contains), `destination`.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use http::{HeaderMap, Uri};
use jiff::Timestamp;
use serde::Serialize;
use tokio::time::Instant;

use crate::clock::Micros;
use crate::pipeline::{ReplayError, Selection, Waiting};

use super::{Error, Shared, admin};

/// How long one request replays; below the deadline of requests.
const REPLAY_TIME: Duration = Duration::from_secs(10);

/// What waits.
#[derive(Debug, Serialize)]
pub(super) struct Listed {
    status: &'static str,
    dead_letters: Vec<Group>,
}

/// Rows with the same destination and reason.
#[derive(Debug, Serialize)]
struct Group {
    destination: String,
    reason: String,
    count: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    first: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last: Option<String>,
}

impl From<Waiting> for Group {
    fn from(waiting: Waiting) -> Self {
        let text = |micros| {
            Timestamp::from_microsecond(micros)
                .ok()
                .map(|time| format!("{time:.6}"))
        };
        Self {
            destination: waiting.destination,
            reason: waiting.reason,
            count: waiting.count,
            first: waiting.first_micros.and_then(text),
            last: waiting.last_micros.and_then(text),
        }
    }
}

/// What was done.
#[derive(Debug, Serialize)]
pub(super) struct Done {
    status: &'static str,
    replayed: u64,
    /// Whether nothing is left of what was selected.
    is_complete: bool,
    /// Rows that cannot be replayed because their line is damaged.
    damaged: u64,
}

pub(super) async fn waiting(
    State(shared): State<Arc<Shared>>,
    uri: Uri,
) -> Result<Json<Listed>, Error> {
    let selection = selection(&uri, shared.clock.now())?;
    let waiting = shared.replays.waiting(&selection).await?;
    Ok(Json(Listed {
        status: "ok",
        dead_letters: waiting.into_iter().map(Group::from).collect(),
    }))
}

pub(super) async fn replay(
    State(shared): State<Arc<Shared>>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Json<Done>, Error> {
    admin::refuse_other_sites(&headers)?;
    let now = shared.clock.now();
    let mut selection = selection(&uri, now)?;
    selection.until.get_or_insert(now);
    let replays = Arc::clone(&shared.replays);
    // To its end, even if nobody waits for the answer.
    let until = Instant::now() + REPLAY_TIME;
    let replaying = tokio::spawn(async move { replays.replay(&selection, until).await });
    let done = replaying.await.map_err(|_panic| Error::Internal)??;
    tracing::info!(
        replayed = done.replayed,
        damaged = done.damaged,
        is_cut = done.is_cut,
        "dead letters were replayed"
    );
    match done.refused {
        Some(refused) if done.replayed == 0 => Err(Error::Unavailable(refused)),
        refused => Ok(Json(Done {
            status: "ok",
            replayed: done.replayed,
            is_complete: refused.is_none() && !done.is_cut,
            damaged: done.damaged,
        })),
    }
}

impl From<ReplayError> for Error {
    fn from(error: ReplayError) -> Self {
        match error {
            ReplayError::UnknownDestination => Self::DestinationNotFound,
            ReplayError::Unreadable(_) | ReplayError::Busy => Self::NotReplayed(error.to_string()),
            ReplayError::Disk(_) | ReplayError::Place(_) => {
                tracing::error!(alarm = "dead_letter_unreadable", %error, "dead letters cannot be read or marked");
                Self::Internal
            }
        }
    }
}

/// What the query says.
fn selection(uri: &Uri, now: Micros) -> Result<Selection, Error> {
    let mut selection = Selection::default();
    let query = uri.query().unwrap_or_default();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        match &*name {
            "since" => selection.since = Some(time(&name, &value, now)?),
            "until" => selection.until = Some(time(&name, &value, now)?),
            "reason" => selection.reason = Some(value.into_owned()),
            "destination" => selection.destination = Some(value.into_owned()),
            _ => {
                return Err(Error::BadRequest(
                    "the query may hold since, until, reason and destination".to_owned(),
                ));
            }
        }
    }
    Ok(selection)
}

/// A time, or how long ago.
fn time(name: &str, text: &str, now: Micros) -> Result<Micros, Error> {
    let ago = || {
        let digits = text.strip_suffix(['s', 'm', 'h', 'd'])?;
        let is_number =
            (1..=6).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
        let number: u64 = digits.parse().ok().filter(|_| is_number)?;
        let seconds = match text.bytes().last()? {
            b's' => 1,
            b'm' => 60,
            b'h' => 3_600,
            _ => 86_400,
        };
        Some(now.before(Duration::from_secs(number * seconds)))
    };
    let at = || {
        text.parse::<Timestamp>()
            .ok()
            .map(|time| Micros(time.as_microsecond()))
    };
    ago().or_else(at).ok_or_else(|| {
        Error::BadRequest(format!(
            "{name} must be a time such as 2026-11-21T08:00:00Z, or how long ago, such as 90s, 30m, 2h or 7d"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read() {
        let now = Micros(1_795_219_200_000_000);
        let seconds_ago = |text: &str| {
            let time = time("since", text, now).ok()?;
            Some((now.0 - time.0) / 1_000_000)
        };
        for (text, expected) in [
            ("90s", Some(90)),
            ("2h", Some(7_200)),
            ("30m", Some(1_800)),
            ("7d", Some(604_800)),
            ("2026-11-20T23:59:50Z", Some(10)),
            ("2026-11-21T01:59:50+02:00", Some(10)),
            ("", None),
            ("h", None),
            ("2", None),
            ("-2h", None),
            ("+2h", None),
            ("1234567h", None),
            ("yesterday", None),
            ("2026-11-20", None),
        ] {
            assert_eq!(seconds_ago(text), expected, "{text}");
        }
    }

    #[test]
    fn a_query_says_which_rows() {
        let read = |query: &str| {
            let uri: Uri = format!("/api/v1/dead_letters?{query}").parse().unwrap();
            selection(&uri, Micros(0))
        };
        let selection = read("reason=no+column%20x&destination=delta%3A.%2Fevents").unwrap();
        assert_eq!(selection.reason.as_deref(), Some("no column x"));
        assert_eq!(selection.destination.as_deref(), Some("delta:./events"));
        assert_eq!(selection.since, None);
        assert!(read("reasons=x").is_err());
        assert!(read("since=2%20h").is_err());
    }
}
