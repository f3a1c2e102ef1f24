use proptest::prelude::*;

use super::super::{Config as EnrichConfig, Enricher};
use super::*;
use crate::schema::Value;

const KEY: &str = "a key of sixteen";
const SECOND: i64 = 1_000_000;
const MINUTE: i64 = 60 * SECOND;
/// 2026-11-21 08:00:00 UTC.
const MORNING: i64 = 1_795_248_000_000_000;
/// Made by a tag a second before.
const TAG: &str = "1795247999000.716274139.458749906.348518192";

fn enricher(keys: &[&str]) -> Enricher {
    Enricher::new(EnrichConfig {
        keys: keys.iter().map(|key| Key::new(key)).collect(),
        ..EnrichConfig::default()
    })
}

fn visit(user: &'static str, at: i64) -> Visit<'static> {
    Visit {
        received_at: Micros(at),
        stream_id: "1".into(),
        user_pseudo_id: user.into(),
        user_source: match user {
            "" => Source::New,
            _ => Source::Cookie,
        },
        ..Visit::default()
    }
}

fn event(name: &str, params: &[(&str, &str)]) -> Event {
    let param = |(key, text): &(&str, &str)| EventParam {
        key: Some((*key).to_owned()),
        value: Some(Value {
            string_value: Some((*text).to_owned()),
            ..Value::default()
        }),
    };
    Event {
        event_name: Some(name.to_owned()),
        event_params: params.iter().map(param).collect(),
        ..Event::default()
    }
}

fn page(location: &str) -> Event {
    event("page_view", &[("page_location", location)])
}

/// What became of a request with one event.
struct Done {
    row: Event,
    added: Vec<Event>,
    cookie: Option<String>,
}

impl Done {
    fn id(&self) -> i64 {
        whole_param(&self.row, SESSION_ID).unwrap()
    }

    fn number(&self) -> i64 {
        whole_param(&self.row, SESSION_NUMBER).unwrap()
    }

    fn engaged(&self) -> &str {
        text_param(&self.row, SESSION_ENGAGED).unwrap()
    }

    fn added(&self) -> Vec<&str> {
        let names = self.added.iter().map(|row| row.event_name.as_deref());
        names.map(Option::unwrap).collect()
    }

    /// Source, medium and campaign of the session's last click.
    fn last_click(&self) -> [Option<&str>; 3] {
        let click = self.row.session_traffic_source_last_click.as_ref().unwrap();
        let campaign = click.manual_campaign.as_ref().unwrap();
        [&campaign.source, &campaign.medium, &campaign.campaign_name].map(Option::as_deref)
    }

    fn first_source(&self) -> [Option<&str>; 3] {
        let first = self.row.traffic_source.as_ref().unwrap();
        [&first.source, &first.medium, &first.name].map(Option::as_deref)
    }
}

fn send(enricher: &Enricher, visit: &Visit<'_>, cookie: Option<&str>, row: Event) -> Done {
    let mut done = send_all(enricher, visit, cookie, vec![row]);
    done.pop().unwrap()
}

/// A request with several events. The cookie is that of the answer to all of them.
fn send_all(
    enricher: &Enricher,
    visit: &Visit<'_>,
    cookie: Option<&str>,
    rows: Vec<Event>,
) -> Vec<Done> {
    let explanation = &mut Explanation::unasked();
    let mut ongoing = enricher.ongoing(visit, cookie);
    let mut all = Vec::new();
    for mut row in rows {
        enricher.event(&mut row, visit, None, explanation);
        let followed = enricher.session(&mut row, visit, &ongoing, explanation);
        let (kept, added) = followed.unwrap_or((ongoing, Vec::new()));
        ongoing = kept;
        all.push(Done {
            cookie: enricher.session_cookie(visit, &ongoing),
            row,
            added,
        });
    }
    all
}

#[test]
fn a_session_begins_goes_on_and_ends() {
    let enricher = enricher(&[KEY]);
    let at = |minutes: i64, cookie: &Option<String>, row: Event| {
        let visit = visit(TAG, MORNING + minutes * MINUTE);
        send(&enricher, &visit, cookie.as_deref(), row)
    };
    let first = at(
        0,
        &None,
        page("https://shop.test/?utm_source=n&utm_medium=email"),
    );
    assert_eq!((first.number(), first.engaged()), (1, "0"));
    assert_eq!(first.added(), ["first_visit", "session_start"]);
    assert_eq!(first.row.user_first_touch_timestamp, Some(MORNING - SECOND));
    assert_eq!(first.row.is_active_user, Some(true));

    let second = at(29, &first.cookie, page("https://shop.test/a"));
    assert_eq!((second.id(), second.number()), (first.id(), 1));
    assert_eq!((second.engaged(), second.added().len()), ("1", 0));
    assert_eq!(second.last_click(), [Some("n"), Some("email"), None]);

    let later = at(60, &second.cookie, page("https://shop.test/b"));
    assert_eq!(later.number(), 2);
    assert_ne!(later.id(), first.id());
    assert_eq!(later.added(), ["session_start"]);
    assert_eq!(
        later.last_click(),
        [Some("n"), Some("email"), None],
        "a direct visit takes nothing away"
    );
    assert_eq!(later.engaged(), "0");
    assert_eq!(later.row.is_active_user, Some(false));

    let campaign = page("https://shop.test/?utm_source=ads&utm_medium=cpc&utm_campaign=c");
    let other = at(61, &later.cookie, campaign.clone());
    assert_eq!((other.number(), other.added()), (3, vec!["session_start"]));
    assert_eq!(other.last_click(), [Some("ads"), Some("cpc"), Some("c")]);
    assert_eq!(other.first_source(), [Some("n"), Some("email"), None]);

    let reloaded = at(62, &other.cookie, campaign);
    assert_eq!(
        (reloaded.id(), reloaded.added().len()),
        (other.id(), 0),
        "the same campaign"
    );
    let days = 24 * 60;
    let forgotten = at(62 + 91 * days, &reloaded.cookie, page("https://shop.test/"));
    assert_eq!(
        forgotten.last_click(),
        [Some("(direct)"), Some("(none)"), Some("(direct)")]
    );
    assert_eq!(forgotten.first_source(), [Some("n"), Some("email"), None]);
}

#[test]
fn the_source_may_come_with_the_page_after_the_first_event() {
    let enricher = enricher(&[KEY]);
    let first = send(
        &enricher,
        &visit(TAG, MORNING),
        None,
        event("consent_given", &[]),
    );
    assert_eq!(
        first.last_click(),
        [Some("(direct)"), Some("(none)"), Some("(direct)")]
    );
    let second = send(
        &enricher,
        &visit(TAG, MORNING + SECOND),
        first.cookie.as_deref(),
        page("https://shop.test/?utm_source=n"),
    );
    assert_eq!((second.id(), second.added().len()), (first.id(), 0));
    assert_eq!(second.last_click()[0], Some("n"));
    assert_eq!(second.first_source()[0], Some("n"));
}

#[test]
fn a_campaign_is_told_by_the_parameters_that_count() {
    let enricher = enricher(&[KEY]);
    let first = send(
        &enricher,
        &visit(TAG, MORNING),
        None,
        page("https://shop.test/?utm_source=n&utm_medium=email&gclid=x"),
    );
    for (query, number) in [
        ("gclid=x&UTM_Medium=email&utm_source=n&utm_source=other", 1),
        ("utm_source=n&utm_medium=%65mail&gclid=x&utm_unknown=1", 1),
        ("utm_source=n&utm_medium=email&utm_term=&gclid=x", 1),
        ("utm_source=n&utm_medium=email&gclid=y", 2),
        ("utm_source=n&utm_medium=email", 2),
        ("a=b", 1),
    ] {
        let location = page(&format!("https://shop.test/?{query}"));
        let visit = visit(TAG, MORNING + SECOND);
        let done = send(&enricher, &visit, first.cookie.as_deref(), location);
        assert_eq!(done.number(), number, "{query}");
    }
}

#[test]
fn who_keeps_no_session_has_one_a_day() {
    let enricher = enricher(&[KEY]);
    let at = |time| send(&enricher, &visit("mine", time), None, event("a", &[]));
    let first = at(MORNING);
    let noon = at(MORNING + 4 * 60 * MINUTE);
    assert_eq!(noon.id(), first.id());
    let start = |done: &Done| done.added[0].event_id.clone();
    assert_eq!(start(&noon), start(&first), "told to be the same");
    let tomorrow = at(MORNING + 24 * 60 * MINUTE);
    assert_eq!(tomorrow.number(), 1);
    assert_ne!(tomorrow.id(), first.id());
    assert_ne!(start(&tomorrow), start(&first));
}

#[test]
fn what_a_session_is_engaged_by() {
    let enricher = enricher(&[KEY]);
    let first = send(
        &enricher,
        &visit(TAG, MORNING),
        None,
        page("https://shop.test/"),
    );
    for (row, seconds, engaged) in [
        (event("scroll", &[]), 9, "0"),
        (event("scroll", &[]), 10, "1"),
        (event("purchase", &[]), 1, "1"),
        (page("https://shop.test/"), 1, "1"),
    ] {
        let visit = visit(TAG, MORNING + seconds * SECOND);
        let done = send(&enricher, &visit, first.cookie.as_deref(), row);
        assert_eq!(
            done.engaged(),
            engaged,
            "{seconds} s, {:?}",
            done.row.event_name
        );
    }
}

#[test]
fn a_session_of_the_client_counts() {
    let enricher = enricher(&[KEY]);
    let own = |id: &str| {
        event(
            "page_view",
            &[
                ("page_location", "https://shop.test/?utm_source=n"),
                ("ga_session_id", id),
            ],
        )
    };
    let first = send(&enricher, &visit(TAG, MORNING), None, own("1795240678"));
    assert_eq!(
        (first.id(), first.number(), first.added().len()),
        (1_795_240_678, 1, 0)
    );
    assert_eq!(first.last_click()[0], Some("n"));
    let goes_on = send(
        &enricher,
        &visit(TAG, MORNING + 90 * MINUTE),
        first.cookie.as_deref(),
        own("1795240678"),
    );
    assert_eq!(
        (goes_on.id(), goes_on.number()),
        (1_795_240_678, 1),
        "however long it paused"
    );
    let mut next = own("1795249999");
    next.event_params
        .extend(event("", &[("ga_session_number", "9")]).event_params);
    let next = send(
        &enricher,
        &visit(TAG, MORNING + 91 * MINUTE),
        goes_on.cookie.as_deref(),
        next,
    );
    assert_eq!(
        (next.id(), next.number(), next.added().len()),
        (1_795_249_999, 9, 0)
    );
    let keys = |row: &Event| {
        let keys = row
            .event_params
            .iter()
            .map(|param| param.key.clone().unwrap());
        keys.filter(|key| key.starts_with("ga_session")).count()
    };
    assert_eq!(keys(&next.row), 2, "each once");
}

#[test]
fn first_visits_are_of_new_ids() {
    let enricher = enricher(&[KEY]);
    let new = Visit {
        user_pseudo_id: "4c2c6d0e-7f62-4c0a-9f0e-111111111111".into(),
        user_source: Source::New,
        ..visit("", MORNING)
    };
    let first = send(&enricher, &new, None, page("https://shop.test/"));
    assert_eq!(first.added(), ["first_visit", "session_start"]);
    assert_eq!(first.row.user_first_touch_timestamp, Some(MORNING));
    // It was here before sessions were kept, or its key is gone.
    for known in [
        "4c2c6d0e-7f62-4c0a-9f0e-111111111111",
        "1234567890.1700000000",
        "mine",
    ] {
        let done = send(
            &enricher,
            &visit(known, MORNING),
            None,
            page("https://shop.test/"),
        );
        assert_eq!(done.added(), ["session_start"], "{known}");
    }
    let sent_itself = send(&enricher, &new, None, event("session_start", &[]));
    assert_eq!(sent_itself.added(), ["first_visit"]);
}

#[test]
fn added_rows_tell_of_visitor_and_page_only() {
    let enricher = enricher(&[KEY]);
    let mut row = event(
        "purchase",
        &[("page_location", "https://shop.test/"), ("value", "9")],
    );
    row.items.push(crate::schema::Item::default());
    row.event_id = Some("client".to_owned());
    let done = send(&enricher, &visit(TAG, MORNING), None, row);
    for added in &done.added {
        assert_eq!(added.event_timestamp, done.row.event_timestamp);
        assert_eq!(added.user_pseudo_id.as_deref(), Some(TAG));
        assert_eq!(whole_param(added, SESSION_ID), Some(done.id()));
        assert_eq!(
            text_param(added, "page_location"),
            Some("https://shop.test/")
        );
        assert_eq!((param(added, "value"), added.items.len()), (None, 0));
        let id = uuid::Uuid::parse_str(added.event_id.as_deref().unwrap()).unwrap();
        assert_eq!(id.get_version_num(), 5);
    }
}

#[test]
fn crawlers_begin_no_sessions_in_rows() {
    let headers = super::super::visit::headers([(
        http::header::USER_AGENT,
        "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
    )]);
    let crawler = Visit {
        headers: &headers,
        ..visit(TAG, MORNING)
    };
    let done = send(
        &enricher(&[KEY]),
        &crawler,
        None,
        page("https://shop.test/"),
    );
    assert_eq!((done.added().len(), done.number()), (0, 1));
}

#[test]
fn nothing_is_kept_without_key_or_wish() {
    for config in [
        EnrichConfig::default(),
        EnrichConfig {
            keys: vec![Key::new(KEY)],
            session: Config {
                is_on: false,
                ..Config::default()
            },
            ..EnrichConfig::default()
        },
    ] {
        let done = send(
            &Enricher::new(config),
            &visit(TAG, MORNING),
            None,
            page("https://shop.test/"),
        );
        assert_eq!((done.added.len(), done.cookie), (0, None));
        assert_eq!(done.row.traffic_source, None);
    }
    let quiet = Enricher::new(EnrichConfig {
        keys: vec![Key::new(KEY)],
        session: Config {
            adds_rows: false,
            ..Config::default()
        },
        ..EnrichConfig::default()
    });
    let done = send(
        &quiet,
        &visit(TAG, MORNING),
        None,
        page("https://shop.test/"),
    );
    assert_eq!((done.added.len(), done.number()), (0, 1));
}

#[test]
fn cookies_of_others_are_as_if_absent() {
    let signer = enricher(&[KEY]);
    let of = |enricher: &Enricher, visit: &Visit<'_>, cookie: &str| {
        let done = send(enricher, visit, Some(cookie), page("https://shop.test/"));
        done.number()
    };
    let first = send(
        &signer,
        &visit(TAG, MORNING),
        None,
        page("https://shop.test/"),
    );
    // The second session tells whether the first is known.
    let next = visit(TAG, MORNING + 60 * MINUTE);
    let cookie = first.cookie.unwrap();
    assert_eq!(of(&signer, &next, &cookie), 2);

    let (payload, signature) = cookie.split_once('.').unwrap();
    let mut forged = payload.to_owned().into_bytes();
    forged[2] ^= 1;
    let forged = String::from_utf8(forged).unwrap();
    for (what, bad) in [
        ("forged payload", format!("{forged}.{signature}")),
        (
            "forged signature",
            format!("{payload}.{}", "A".repeat(signature.len())),
        ),
        ("truncated signature", cookie[..cookie.len() - 4].to_owned()),
        ("truncated payload", cookie[4..].to_owned()),
        ("no signature", payload.to_owned()),
        ("empty", String::new()),
        ("a dot", ".".to_owned()),
        ("oversized", format!("{}.{signature}", "A".repeat(5000))),
        ("not base64", "é!.{}".to_owned()),
        ("padded", format!("{payload}==.{signature}")),
        ("twice", format!("{cookie}.{signature}")),
    ] {
        assert_eq!(of(&signer, &next, &bad), 1, "{what}");
    }
    let other_user = visit("somebody.else", MORNING + 60 * MINUTE);
    assert_eq!(of(&signer, &other_user, &cookie), 1);
    let other_stream = Visit {
        stream_id: "2".into(),
        ..next.clone()
    };
    assert_eq!(of(&signer, &other_stream, &cookie), 1);

    let rotated = enricher(&["a new key, also long", KEY]);
    assert_eq!(of(&rotated, &next, &cookie), 2, "an old key is understood");
    let renewed = send(&rotated, &next, Some(&cookie), page("https://shop.test/")).cookie;
    let retired = enricher(&["a new key, also long"]);
    assert_eq!(of(&retired, &next, &cookie), 1, "until it is taken out");
    let later = visit(TAG, MORNING + 120 * MINUTE);
    assert_eq!(
        of(&retired, &later, &renewed.unwrap()),
        3,
        "the new key signs"
    );
}

#[test]
fn the_cookie_fits_whatever_the_campaign_is() {
    let enricher = enricher(&[KEY]);
    let long = "é".repeat(3000);
    let names = [
        "id",
        "campaign",
        "source",
        "medium",
        "term",
        "content",
        "source_platform",
        "creative_format",
        "marketing_tactic",
    ];
    let query: Vec<String> = names
        .iter()
        .map(|name| format!("utm_{name}={long}"))
        .collect();
    let location = format!("https://shop.test/?{}", query.join("&"));
    let done = send(&enricher, &visit(TAG, MORNING), None, page(&location));
    let cookie = done.cookie.clone().unwrap();
    assert!(cookie.len() < 2500, "{}", cookie.len());
    let again = send(
        &enricher,
        &visit(TAG, MORNING + SECOND),
        Some(&cookie),
        page(&location),
    );
    assert_eq!(again.id(), done.id(), "cut values are told to be the same");
}

/// What a visitor does at once: so many requests in parallel, each with so many events, from a page with a campaign or without one.
#[derive(Clone, Debug)]
struct Moment {
    pause_minutes: i64,
    campaign: Option<u8>,
    requests: usize,
    events: usize,
}

/// How chance has it: which instance takes a request, in which order requests and their answers come.
#[derive(Clone, Debug)]
struct Chance {
    instances: Vec<usize>,
    order: Vec<u32>,
    answers: Vec<u32>,
}

fn a_day() -> impl Strategy<Value = Vec<Moment>> {
    let moment = (
        prop_oneof![3 => 0_i64..20, 2 => 25..29_i64, 2 => 31_i64..200],
        prop_oneof![3 => Just(None), 2 => (0_u8..3).prop_map(Some)],
        1_usize..6,
        1_usize..4,
    );
    let moment = moment.prop_map(|(pause_minutes, campaign, requests, events)| Moment {
        pause_minutes,
        campaign,
        requests,
        events,
    });
    proptest::collection::vec(moment, 1..20)
}

fn chance() -> impl Strategy<Value = Chance> {
    let each = |most: u32| proptest::collection::vec(0..most, 120);
    (
        proptest::collection::vec(0_usize..5, 120),
        each(1000),
        each(1000),
    )
        .prop_map(|(instances, order, answers)| Chance {
            instances,
            order,
            answers,
        })
}

/// The sessions of a day: for each request the number of its session and a name for its id, and the ids of the added rows.
type Sessions = (Vec<(i64, usize)>, std::collections::BTreeSet<String>);

fn replay(instances: &[Enricher], day: &[Moment], chance: Option<&Chance>) -> Sessions {
    let mut cookie: Option<String> = None;
    let (mut now, mut request) = (MORNING, 0);
    let mut found: Vec<(usize, i64, i64)> = Vec::new();
    let mut added = std::collections::BTreeSet::new();
    for moment in day {
        now += moment.pause_minutes * MINUTE;
        let location = match moment.campaign {
            Some(campaign) => format!("https://shop.test/?utm_source=c{campaign}"),
            None => "https://shop.test/".to_owned(),
        };
        let mut numbers: Vec<usize> = (request..request + moment.requests).collect();
        request += moment.requests;
        if let Some(chance) = chance {
            numbers.sort_by_key(|number| chance.order[*number]);
        }
        let mut answers = Vec::new();
        for number in numbers {
            let instance = chance.map_or(0, |chance| chance.instances[number]);
            // They come within some milliseconds.
            let at = now + i64::try_from(number % 7).unwrap() * 1000;
            let done = send_all(
                &instances[instance % instances.len()],
                &visit(TAG, at),
                cookie.as_deref(),
                vec![page(&location); moment.events],
            );
            for done in &done {
                found.push((number, done.number(), done.id()));
                added.extend(done.added.iter().map(|row| row.event_id.clone().unwrap()));
            }
            let set = done.last().unwrap().cookie.clone();
            match chance {
                // Only the last answer tells: the others might as well be lost.
                Some(chance) => answers.push((chance.answers[number], set)),
                // One after the other: each request knows the answer to the one before.
                None => cookie = set,
            }
        }
        answers.sort();
        if let Some((_, last)) = answers.pop() {
            cookie = last;
        }
    }
    found.sort_unstable();
    let mut ids = Vec::new();
    let mut name = |id: i64| {
        ids.iter()
            .position(|known| *known == id)
            .unwrap_or_else(|| {
                ids.push(id);
                ids.len() - 1
            })
    };
    let sessions = found.into_iter().map(|(_, number, id)| (number, name(id)));
    (sessions.collect(), added)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// A day of one visitor, its requests spread over five instances, each page's at once and in any order, is the day that one
    /// instance sees which takes them one after the other.
    #[test]
    fn instances_agree_on_the_sessions_of_a_day(day in a_day(), chance in chance()) {
        let instances: Vec<_> = (0..5).map(|_| enricher(&[KEY])).collect();
        let alone = replay(&instances[..1], &day, None);
        let together = replay(&instances, &day, Some(&chance));
        prop_assert_eq!(&alone, &together);
        let sessions = alone.0.iter().map(|(number, _)| *number).max().unwrap();
        // Who came with an id that had been made long before was there already.
        let first_visits = i64::from(day[0].pause_minutes < 30);
        prop_assert_eq!(alone.1.len() as i64, sessions + first_visits, "one start each, and the first visit");
    }

    #[test]
    fn no_cookie_makes_it_panic(text in "\\PC{0,80}|[A-Za-z0-9_-]{0,200}\\.[A-Za-z0-9_-]{0,30}") {
        let enricher = enricher(&[KEY]);
        let done = send(&enricher, &visit(TAG, MORNING), Some(&text), page("https://shop.test/"));
        prop_assert_eq!(done.number(), 1);
    }
}
