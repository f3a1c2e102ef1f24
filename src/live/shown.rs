//! Stories as JSON, masked unless their viewer asked for more.

use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::schema;

use super::mask::{Mask, without_secrets};
use super::seen::{Request, Story};
use super::viewer::Aliases;

/// A payload that is longer is shown by its beginning, in bytes.
const MAX_SHOWN: usize = 64 << 10;

/// A story for somebody who sees personal fields, or does not.
pub(super) fn story(story: &Story, is_personal: bool, aliases: &Aliases) -> Value {
    let request = &story.request;
    let (mut headers, mut target) = (request.headers.clone(), request.target.clone());
    without_secrets(&mut headers, &mut target);
    let mut payload = payload(request, story.index);
    let mut row = row(story);
    let mut steps = story.steps.clone();
    let mut user = story.user.clone();
    let mut event_id = story.event_id.clone();
    let mut mask = (!is_personal).then(|| Mask::new(aliases));
    if let Some(mask) = &mut mask {
        user = user.map(|user| mask.value(&user));
        mask.headers(&mut headers);
        mask.members(&mut payload);
        mask.members(&mut row);
        let steps = steps.iter_mut().flatten();
        for (name, value) in steps.flat_map(|step| step.saw.iter_mut().chain(&mut step.filled)) {
            mask.named(name, value);
        }
        if let Some((path, _)) = target.split_once('?') {
            target = format!("{path}?…");
        }
    }
    let times = story
        .times
        .iter()
        .map(|(step, micros)| json!([step, micros]));
    let mut told = json!({
        "at": story.at.0 / 1000,
        "stream": story.stream_id,
        "event": story.event_name,
        "user": user,
        "page": story.page,
        "outcome": story.outcome.name(),
        "reason": story.reason,
        "times": times.collect::<Value>(),
        "sequence": story.sequence,
        "request": {
            "method": request.method,
            "target": target,
            "headers": headers,
            "bytes": request.payload_bytes,
            "index": story.index,
            "payload": payload,
        },
        "steps": steps,
        "added": story.added,
        "row": row,
        "row_bytes": story.row_bytes,
    });
    if let Some(mask) = &mut mask {
        mask.rest(&mut told);
    }
    // By this one what became of the event is asked for: it stays what it is, unless it is somebody's.
    if let Some(mask) = &mask
        && event_id.as_deref().is_some_and(|id| mask.holds(id))
    {
        event_id = None;
    }
    told["id"] = event_id.into();
    told
}

fn row(story: &Story) -> Value {
    let Some(encoded) = &story.row else {
        return Value::Null;
    };
    let mut text = Vec::new();
    let written = schema::json::write_row(encoded, &mut text).ok();
    written
        .and_then(|()| serde_json::from_slice(&text).ok())
        .unwrap_or_default()
}

/// What the client sent of this event: JSON, the members of a form or query, or the beginning of what is neither.
fn payload(request: &Request, index: Option<usize>) -> Value {
    let bytes = &request.payload[..];
    if bytes.is_empty() {
        let query = request.target.split_once('?').map(|(_, query)| query);
        return query.map_or(Value::Null, |query| members(query.as_bytes()));
    }
    let json = match index {
        None => serde_json::from_slice::<&RawValue>(bytes).ok(),
        Some(index) => serde_json::from_slice::<Vec<&RawValue>>(bytes)
            .ok()
            .and_then(|all| all.get(index).copied()),
    };
    if let Some(json) = json {
        if json.get().len() > MAX_SHOWN {
            return Value::Null;
        }
        return serde_json::from_str(json.get()).unwrap_or_default();
    }
    match bytes.first() {
        Some(b'{' | b'[') => Value::Null,
        _ => members(&bytes[..bytes.len().min(MAX_SHOWN)]),
    }
}

/// The members of a form or query.
fn members(encoded: &[u8]) -> Value {
    let pairs = form_urlencoded::parse(encoded);
    let is_of_event = |name: &str| name != "write_key";
    let members = pairs.filter(|(name, _)| is_of_event(name));
    Value::Object(
        members
            .map(|(name, value)| (name.into_owned(), value.into_owned().into()))
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn request(target: &str, payload: &'static str) -> Request {
        Request {
            method: "POST".to_owned(),
            target: target.to_owned(),
            headers: Vec::new(),
            payload: Bytes::from_static(payload.as_bytes()),
            payload_bytes: payload.len(),
        }
    }

    #[test]
    fn of_a_request_the_event_is_shown() {
        let path = "/api/v1/streaming/1";
        for (target, body, index, expected) in [
            (path, r#"{"a":1}"#, None, json!({"a": 1})),
            (path, r#" [{"a":1},{"b":[2]}]"#, Some(1), json!({"b": [2]})),
            (path, r#"[{"a":1}]"#, Some(1), Value::Null),
            (path, r#"{"a":"#, None, Value::Null),
            (
                path,
                "a=1&b=%20x&write_key=k",
                None,
                json!({"a": "1", "b": " x"}),
            ),
            (
                "/x?event_name=e&write_key=k",
                "",
                None,
                json!({"event_name": "e"}),
            ),
            (path, "", None, Value::Null),
        ] {
            assert_eq!(payload(&request(target, body), index), expected, "{body}");
        }
    }
}
