//! What can happen to BigQuery, as commands of the fake, picked at random.

use serde_json::{Value, json};

/// Something that goes wrong from now on, or once.
pub(crate) fn any(random: &mut fastrand::Rng) -> Vec<Value> {
    let seed = random.u32(..);
    let after = json!({"after": random.u8(..20)});
    let next = json!({"next": random.u8(1..8)});
    let often = json!({"chance": {"probability": 0.3, "seed": seed}});
    let fail = |call: &str, fault: &str, when: &Value| json!({"fail": {"call": call, "fault": fault, "when": when}});
    match random.u8(..24) {
        0 => vec![fail("append", "hide_reply", &after)],
        1 => vec![fail("append", "hide_reply", &often)],
        2 => vec![fail("append", "cut", &after)],
        3 => vec![fail("append", "hang", &after)],
        4 => vec![fail("append", "hang_done", &after)],
        5 => vec![fail("append", "idle", &after)],
        6 => vec![fail("append", "unavailable", &often)],
        7 => vec![fail("append", "done_then_unavailable", &often)],
        8 => vec![fail("append", "internal", &often)],
        9 => vec![fail("append", "throttled", &often)],
        10 => vec![fail("append", "throttled_inside", &often)],
        11 => vec![fail("append", "invalid", &next)],
        12 => vec![fail("append", "unauthenticated", &next)],
        13 => ["append", "streams", "tables"]
            .map(|call| fail(call, "forbidden", &json!("always")))
            .into(),
        14 => vec![fail("streams", "unavailable", &often), json!("cut")],
        15 => vec![fail("streams", "hide_reply", &next), json!("cut")],
        16 => vec![fail("streams", "hang", &next), json!("cut")],
        17 => vec![fail("tables", "unavailable", &often)],
        18 => vec![json!({"poison": random.u8(10..100).to_string()})],
        19 => vec![json!("go_away")],
        20 => vec![json!("cut")],
        21 => vec![json!("be_unreachable")],
        22 => vec![json!("finalize_streams")],
        _ => vec![
            json!({"latency": random.u8(..100)}),
            json!({"idle_after": 20}),
        ],
    }
}

/// What [`any`] does, undone.
pub(crate) fn end() -> Vec<Value> {
    vec![
        json!("heal"),
        json!({"latency": 0}),
        json!({"idle_after": 600_000}),
    ]
}
