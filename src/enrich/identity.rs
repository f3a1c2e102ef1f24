//! Who sent the event, and which event it is.
//!
//! A browser is told by its cookie `__uid__`; where that is missing and the configuration wants it, by Google Analytics' `_ga`, so that
//! visitors stay who they were after a migration; where no cookie comes back, as from another site's page, by the id that the client keeps
//! itself. Reading and setting cookies is the intake's business. Of who denied storage nothing is told but, where configured, an id for
//! the day (`cookieless`).

use std::borrow::Cow;

use uuid::{NoContext, Timestamp, Uuid};

use super::Visit;
use super::explain::{Explanation, Step};
use crate::schema::Event;

/// Longest id that is taken from a cookie, in bytes.
const MAX_COOKIE: usize = 128;

/// Where the id of a browser comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Source {
    /// It was made for this request.
    #[default]
    New,
    /// The cookie `__uid__`.
    Cookie,
    /// The cookie `_ga`.
    GoogleAnalytics,
    /// The client's own `client_id`.
    Client,
}

/// The id of a browser, and where it comes from.
///
/// Asked once for a request, so that all its events and the cookie that is set agree.
pub fn user_pseudo_id<'a>(
    cookie: Option<&'a str>,
    ga: Option<&'a str>,
    client_id: Option<&'a str>,
) -> (Cow<'a, str>, Source) {
    if let Some(cookie) = cookie.filter(|cookie| is_safe(cookie)) {
        return (Cow::Borrowed(cookie), Source::Cookie);
    }
    if let Some(id) = ga.and_then(id_in_ga) {
        return (Cow::Borrowed(id), Source::GoogleAnalytics);
    }
    if let Some(client_id) = client_id.filter(|id| is_safe(id)) {
        return (Cow::Borrowed(client_id), Source::Client);
    }
    (Cow::Owned(Uuid::new_v4().to_string()), Source::New)
}

/// Whether a text can be stored and sent back in a cookie as it stands.
fn is_safe(cookie: &str) -> bool {
    let is_safe_byte = |byte: u8| byte.is_ascii_alphanumeric() || b".-_~:=+/".contains(&byte);
    (1..=MAX_COOKIE).contains(&cookie.len()) && cookie.bytes().all(is_safe_byte)
}

/// The client id in a cookie of Google Analytics, `GA1.2.1234567890.1700000000`: its last two parts, as `user_pseudo_id` has them
/// in Google's export.
fn id_in_ga(ga: &str) -> Option<&str> {
    let mut parts = ga.splitn(3, '.');
    let (version, depth, id) = (parts.next()?, parts.next()?, parts.next()?);
    let is_number = |text: &str| {
        (1..=19).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
    };
    let is_version = version.strip_prefix("GA").is_some_and(is_number);
    // The depth may hold that of a path too: 1-2.
    let is_depth = depth.len() <= 8 && depth.split('-').all(is_number);
    let (random, since) = id.split_once('.')?;
    (is_version && is_depth && is_number(random) && is_number(since)).then_some(id)
}

/// Fills in the ids of browser and event, and the first visit where the browser's id tells it. `is_allowed`: whether who it is may be stored.
/// If not, `cookieless` is the id in its place, if there is to be any.
pub(super) fn fill(
    event: &mut Event,
    visit: &Visit<'_>,
    is_allowed: bool,
    cookieless: Option<String>,
    explanation: &mut Explanation,
) {
    if event.event_id.is_none() {
        event.event_id = Some(new_event_id(visit.received_at.0).to_string());
    }
    if !is_allowed {
        event.user_pseudo_id = cookieless;
        if event.user_pseudo_id.is_some()
            && let Some(privacy_info) = &mut event.privacy_info
        {
            privacy_info.uses_transient_token = Some("Yes".to_owned());
        }
        explanation.step(|| {
            let rule = match &event.user_pseudo_id {
                Some(_) => "storage is denied: an id for the day, of truncated address, User-Agent and site",
                None => "storage is denied: nobody",
            };
            Step::new("identity", rule).filled("user_pseudo_id", event.user_pseudo_id.as_ref())
        });
        return;
    }
    event.user_pseudo_id = Some(visit.user_pseudo_id.clone().into_owned());
    if event.user_first_touch_timestamp.is_none() {
        event.user_first_touch_timestamp = first_touch(&visit.user_pseudo_id, visit.received_at.0);
    }
    explanation.step(|| {
        let rule = match visit.user_source {
            Source::New => "no cookie tells the browser: a new id",
            Source::Cookie => "the cookie __uid__",
            Source::GoogleAnalytics => "the cookie _ga, for there is no __uid__",
            Source::Client => "the client's client_id, for no cookie tells the browser",
        };
        Step::new("identity", rule)
            .filled("user_pseudo_id", event.user_pseudo_id.as_ref())
            .filled(
                "user_first_touch_timestamp",
                event.user_first_touch_timestamp,
            )
            .filled("event_id", event.event_id.as_ref())
    });
}

/// A UUID v7 of the time of receipt, so that ids sort as their events came.
fn new_event_id(received_at: i64) -> Uuid {
    let micros = u64::try_from(received_at).unwrap_or(0);
    let nanos = u32::try_from(micros % 1_000_000 * 1_000).unwrap_or(0);
    Uuid::new_v7(Timestamp::from_unix(NoContext, micros / 1_000_000, nanos))
}

/// When the id was made, where it tells: those of the tag begin with milliseconds, `1795240678562.716274139.458749906.348518192`, those of
/// Google Analytics end with seconds, `1234567890.1700000000`. Microseconds.
pub(super) fn first_touch(user_pseudo_id: &str, received_at: i64) -> Option<i64> {
    /// 2015-01-01: there were no such tags before.
    const OLDEST: i64 = 1_420_070_400_000_000;
    let (first, rest) = user_pseudo_id.split_once('.')?;
    let micros = match (first.len(), rest.split('.').count()) {
        (13, 3) => first.parse::<i64>().ok()?.checked_mul(1_000)?,
        (_, 1) if rest.len() == 10 && first.parse::<u64>().is_ok() => {
            rest.parse::<i64>().ok()?.checked_mul(1_000_000)?
        }
        _ => return None,
    };
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
            assert_eq!(
                user_pseudo_id(Some(safe), None, Some("other")),
                (safe.into(), Source::Cookie)
            );
            assert_eq!(
                user_pseudo_id(None, None, Some(safe)),
                (safe.into(), Source::Client)
            );
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
            let (id, source) = user_pseudo_id(Some(unsafe_cookie), None, Some(unsafe_cookie));
            assert_eq!(source, Source::New);
            assert_eq!(
                Uuid::parse_str(&id).unwrap().get_version_num(),
                4,
                "{unsafe_cookie:?}"
            );
        }
        assert_ne!(
            user_pseudo_id(None, None, None),
            user_pseudo_id(None, None, None)
        );
    }

    #[test]
    fn a_cookie_of_google_analytics_stands_in_for_a_missing_one() {
        for (ga, id) in [
            ("GA1.2.1234567890.1700000000", Some("1234567890.1700000000")),
            ("GA1.1-2.1.2", Some("1.2")),
            ("GA1.1.1234567890.1700000000.5", None),
            ("GA1.1.1234567890", None),
            ("GS1.1.1700000000.1.0.1700000000.0.0.0", None),
            ("GA1.1.<x>.1700000000", None),
            ("GA1.1..1700000000", None),
            ("GA.1.1.2", None),
            ("GA1..1.2", None),
            ("", None),
        ] {
            let (found, source) = user_pseudo_id(None, Some(ga), None);
            match id {
                Some(id) => assert_eq!((&*found, source), (id, Source::GoogleAnalytics), "{ga}"),
                None => assert_eq!(source, Source::New, "{ga}"),
            }
        }
        let (found, source) = user_pseudo_id(Some("mine"), Some("GA1.2.1.2"), None);
        assert_eq!((&*found, source), ("mine", Source::Cookie));
        let (found, source) = user_pseudo_id(None, Some("GA1.2.1.2"), Some("c"));
        assert_eq!((&*found, source), ("1.2", Source::GoogleAnalytics));
    }

    #[test]
    fn an_event_without_id_gets_one_of_its_time() {
        let visit = Visit {
            received_at: Micros(1_795_221_000_123_000),
            user_pseudo_id: "u".into(),
            ..Visit::default()
        };
        let mut event = Event::default();
        fill(&mut event, &visit, true, None, &mut Explanation::unasked());
        let id = Uuid::parse_str(event.event_id.as_deref().unwrap()).unwrap();
        assert_eq!(id.get_version_num(), 7);
        assert_eq!(
            id.get_timestamp().unwrap().to_unix(),
            (1_795_221_000, 123_000_000)
        );

        event.event_id = Some("mine".to_owned());
        fill(&mut event, &visit, true, None, &mut Explanation::unasked());
        assert_eq!(event.event_id.as_deref(), Some("mine"));
        assert_eq!(event.user_pseudo_id.as_deref(), Some("u"));
    }

    #[test]
    fn the_tags_id_tells_the_first_visit() {
        let now = 1_795_300_000_000_000;
        let tag = "1795240678562.716274139.458749906.348518192";
        assert_eq!(first_touch(tag, now), Some(1_795_240_678_562_000));
        let ga = "1234567890.1795240678";
        assert_eq!(first_touch(ga, now), Some(1_795_240_678_000_000));
        for other in [
            "",
            "x",
            "1795240678562.1",
            "x.1795240678",
            "1234567890.9995240678",
            "9995240678562.1.2.3",
            "0000000000001.1.2.3",
            "1795240678562.1.2.3.4",
        ] {
            assert_eq!(first_touch(other, now), None, "{other}");
        }
    }
}
