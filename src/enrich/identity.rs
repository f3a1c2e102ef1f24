//! Who sent the event, and which event it is.

use std::borrow::Cow;

use uuid::{NoContext, Timestamp, Uuid};

use super::Visit;
use crate::schema::Event;

/// Longest id that is taken from a cookie, in bytes.
const MAX_COOKIE: usize = 128;

/// The id of the browser: that of its cookie if it has 1 to 128 safe characters, else a new UUID v4.
///
/// Asked once for a request, so that all its events and the cookie that is set agree.
pub fn user_pseudo_id(cookie: Option<&str>) -> Cow<'_, str> {
    match cookie {
        Some(cookie) if is_safe(cookie) => Cow::Borrowed(cookie),
        _ => Cow::Owned(Uuid::new_v4().to_string()),
    }
}

/// Whether a text can be stored and sent back in a cookie as it stands.
fn is_safe(cookie: &str) -> bool {
    let is_safe_byte = |byte: u8| byte.is_ascii_alphanumeric() || b".-_~:=+/".contains(&byte);
    (1..=MAX_COOKIE).contains(&cookie.len()) && cookie.bytes().all(is_safe_byte)
}

/// Fills in the ids of browser and event, and the first visit where the browser's id tells it.
pub(super) fn fill(event: &mut Event, visit: &Visit<'_>) {
    event.user_pseudo_id = Some(visit.user_pseudo_id.clone().into_owned());
    if event.user_first_touch_timestamp.is_none() {
        event.user_first_touch_timestamp = first_touch(&visit.user_pseudo_id, visit.received_at.0);
    }
    if event.event_id.is_none() {
        event.event_id = Some(new_event_id(visit.received_at.0).to_string());
    }
}

/// A UUID v7 of the time of receipt, so that ids sort as their events came.
fn new_event_id(received_at: i64) -> Uuid {
    let micros = u64::try_from(received_at).unwrap_or(0);
    let nanos = u32::try_from(micros % 1_000_000 * 1_000).unwrap_or(0);
    Uuid::new_v7(Timestamp::from_unix(NoContext, micros / 1_000_000, nanos))
}

/// When the tag made the id: its ids begin with milliseconds, `1795240678562.716274139.458749906.348518192`.
fn first_touch(user_pseudo_id: &str, received_at: i64) -> Option<i64> {
    /// 2015-01-01: there were no such tags before.
    const OLDEST: i64 = 1_420_070_400_000_000;
    let (millis, rest) = user_pseudo_id.split_once('.')?;
    if millis.len() != 13 || rest.split('.').count() != 3 {
        return None;
    }
    let micros = millis.parse::<i64>().ok()?.checked_mul(1000)?;
    (OLDEST..=received_at).contains(&micros).then_some(micros)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Micros;

    #[test]
    fn a_safe_cookie_is_kept_and_others_are_replaced() {
        for safe in [
            "a",
            "1795240678562.716274139.458749906.348518192",
            "srv.1700000000.1",
            &"x".repeat(128),
        ] {
            assert_eq!(user_pseudo_id(Some(safe)), safe);
        }
        for unsafe_cookie in [
            "",
            " ",
            "a b",
            "a\"",
            "a;b",
            "a,b",
            "é",
            "a\r\nb",
            "<x>",
            &"x".repeat(129),
        ] {
            let id = user_pseudo_id(Some(unsafe_cookie));
            assert_eq!(
                Uuid::parse_str(&id).unwrap().get_version_num(),
                4,
                "{unsafe_cookie:?}"
            );
        }
        assert_ne!(user_pseudo_id(None), user_pseudo_id(None));
    }

    #[test]
    fn an_event_without_id_gets_one_of_its_time() {
        let visit = Visit {
            received_at: Micros(1_795_221_000_123_000),
            user_pseudo_id: "u".into(),
            ..Visit::default()
        };
        let mut event = Event::default();
        fill(&mut event, &visit);
        let id = Uuid::parse_str(event.event_id.as_deref().unwrap()).unwrap();
        assert_eq!(id.get_version_num(), 7);
        assert_eq!(
            id.get_timestamp().unwrap().to_unix(),
            (1_795_221_000, 123_000_000)
        );

        event.event_id = Some("mine".to_owned());
        fill(&mut event, &visit);
        assert_eq!(event.event_id.as_deref(), Some("mine"));
        assert_eq!(event.user_pseudo_id.as_deref(), Some("u"));
    }

    #[test]
    fn the_tags_id_tells_the_first_visit() {
        let now = 1_795_300_000_000_000;
        let tag = "1795240678562.716274139.458749906.348518192";
        assert_eq!(first_touch(tag, now), Some(1_795_240_678_562_000));
        for other in [
            "",
            "x",
            "1795240678562.1",
            "9995240678562.1.2.3",
            "0000000000001.1.2.3",
            "1795240678562.1.2.3.4",
        ] {
            assert_eq!(first_touch(other, now), None, "{other}");
        }
    }
}
