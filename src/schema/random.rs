//! Events with any of their columns filled, for tests. Made through reflection from the .proto files, so
//! that a new column is tested from the day on which it is declared.

use prost::Message;
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, Value};

use super::pool;

/// How many random cases a test runs.
pub(super) const SEEDS: u64 = 200;

pub(super) fn event_descriptor() -> MessageDescriptor {
    pool().get_message_by_name("collector.v1.Event").unwrap()
}

/// An encoded event.
pub(super) fn random_event(random: &mut fastrand::Rng) -> Vec<u8> {
    message(&event_descriptor(), random).encode_to_vec()
}

fn message(descriptor: &MessageDescriptor, random: &mut fastrand::Rng) -> DynamicMessage {
    let mut message = DynamicMessage::new(descriptor.clone());
    // Some records are full, some empty, most in between.
    let share = *random.choice(&[0.0, 0.1, 0.3, 0.5, 1.0]).unwrap();
    for field in descriptor.fields() {
        if random.f64() >= share {
            continue;
        }
        let value = match field.is_list() {
            true => Value::List(
                (0..random.usize(0..4))
                    .map(|_| value(&field, random))
                    .collect(),
            ),
            false => value(&field, random),
        };
        message.set_field(&field, value);
    }
    message
}

fn value(field: &FieldDescriptor, random: &mut fastrand::Rng) -> Value {
    const NUMBERS: [i64; 7] = [0, 1, -1, 127, 128, i64::MAX, i64::MIN];
    const DOUBLES: [f64; 8] = [
        0.0,
        -0.0,
        19.99,
        5.0,
        -1e-300,
        f64::MAX,
        f64::MIN_POSITIVE,
        0.1 + 0.2,
    ];
    const TEXTS: [&str; 6] = [
        "",
        "a",
        "Größe",
        "日本語 \u{1f600}",
        "\"quoted\"\\\n\u{0}",
        "0123456789 0123456789 0123456789",
    ];
    // The years 1 to 9999.
    const DAYS: std::ops::Range<i32> = -719_162..2_932_896;
    match field.kind() {
        Kind::Message(descriptor) => Value::Message(message(&descriptor, random)),
        Kind::String => Value::String((*random.choice(TEXTS.iter()).unwrap()).to_owned()),
        Kind::Bool => Value::Bool(random.bool()),
        Kind::Double => Value::F64(*random.choice(DOUBLES.iter()).unwrap()),
        Kind::Int32 => Value::I32(random.i32(DAYS)),
        Kind::Int64 if ["synced_at_utc_", "publish_time"].contains(&field.name()) => {
            Value::I64(i64::from(random.i32(DAYS)) * 86_400_000_000 + random.i64(0..86_400_000_000))
        }
        Kind::Int64 => {
            Value::I64(random.choice(NUMBERS.iter()).copied().unwrap() ^ random.i64(0..4))
        }
        other => panic!("{}: {other:?}", field.full_name()),
    }
}
