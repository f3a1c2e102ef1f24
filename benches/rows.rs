//! What a row costs on its way from the log to a destination: encoded event to Arrow, and to JSON.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use prost::Message;
use real_streaming::schema::arrow::RowsBuilder;
use real_streaming::schema::{
    AppInfo, CollectedTrafficSource, Collector, Consent, Device, Ecommerce, Event, EventDimensions,
    EventParam, Geo, Item, PrivacyInfo, Value, WebInfo, json, origin,
};

/// Rows of a batch: what the Delta writer takes at once.
const ROWS: usize = 16_384;

fn text(value: &str) -> Option<String> {
    Some(value.to_owned())
}

fn param(key: &str, value: Value) -> EventParam {
    EventParam {
        key: text(key),
        value: Some(value),
    }
}

fn text_param(key: &str, value: &str) -> EventParam {
    param(
        key,
        Value {
            string_value: text(value),
            ..Value::default()
        },
    )
}

fn int_param(key: &str, value: i64) -> EventParam {
    param(
        key,
        Value {
            int_value: Some(value),
            ..Value::default()
        },
    )
}

fn item(id: &str, name: &str, price: f64) -> Item {
    Item {
        item_id: text(id),
        item_name: text(name),
        item_brand: text("Acme"),
        item_category: text("Clothing"),
        price: Some(price),
        quantity: Some(1),
        item_revenue: Some(price),
        item_list_index: text("1"),
        ..Item::default()
    }
}

/// A purchase as a browser sends it: ten parameters, two items, all that the collector adds.
fn typical() -> Event {
    Event {
        event_date: text("20261121"),
        event_timestamp: Some(1_795_219_200_123_456),
        event_name: text("purchase"),
        event_params: vec![
            text_param(
                "page_location",
                "https://shop.example.com/checkout/thanks?utm_source=newsletter&utm_medium=email",
            ),
            text_param("page_title", "Thank you for your order"),
            text_param("page_referrer", "https://shop.example.com/checkout/payment"),
            int_param("ga_session_id", 1_795_219_000),
            int_param("ga_session_number", 3),
            int_param("engagement_time_msec", 5_312),
            text_param("session_engaged", "1"),
            text_param("currency", "EUR"),
            param(
                "value",
                Value {
                    double_value: Some(59.98),
                    ..Value::default()
                },
            ),
            text_param("coupon", "SUMMER"),
        ],
        user_pseudo_id: text("7d9f3a52-0d1b-4a3c-9d0e-5f2b8f6f9a10"),
        privacy_info: Some(PrivacyInfo {
            analytics_storage: text("Yes"),
            ads_storage: text("No"),
            uses_transient_token: text("No"),
        }),
        device: Some(Box::new(Device {
            category: text("desktop"),
            operating_system: text("Windows"),
            operating_system_version: text("10"),
            language: text("de-de"),
            web_info: Some(WebInfo {
                browser: text("Chrome"),
                browser_version: text("140.0.0.0"),
                hostname: text("shop.example.com"),
            }),
            ..Device::default()
        })),
        geo: Some(Geo {
            city: text("Berlin"),
            country: text("Germany"),
            region: text("Berlin"),
            ..Geo::default()
        }),
        app_info: Some(AppInfo::default()),
        stream_id: text("1234567"),
        platform: text("WEB"),
        event_dimensions: Some(EventDimensions {
            hostname: text("shop.example.com"),
        }),
        ecommerce: Some(Ecommerce {
            total_item_quantity: Some(2),
            purchase_revenue: Some(59.98),
            unique_items: Some(2),
            transaction_id: text("T-10001"),
            ..Ecommerce::default()
        }),
        items: vec![
            item("SKU-1", "Shirt, red", 19.99),
            item("SKU-2", "Trousers, blue", 39.99),
        ],
        collected_traffic_source: Some(CollectedTrafficSource {
            manual_source: text("newsletter"),
            manual_medium: text("email"),
            ..CollectedTrafficSource::default()
        }),
        batch_event_index: Some(1),
        event_server_timestamp_offset: Some(81_000),
        date: Some(20_778),
        event_id: text("0193c0de-7c1b-7c3a-9d0e-5f2b8f6f9a10"),
        ip: text("203.0.113.0"),
        synced_at_utc: Some(1_795_219_200_204_456),
        synced_at_micros: Some(1_795_219_200_204_456),
        collector: Some(Box::new(Collector {
            consent: Some(Consent {
                analytics_storage: Some(true),
                ad_storage: Some(false),
                ..Consent::default()
            }),
            user_agent: text(
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36",
            ),
            ..Collector::default()
        })),
        ..Event::default()
    }
}

fn rows(criterion: &mut Criterion) {
    let encoded = typical().encode_to_vec();
    let mut group = criterion.benchmark_group(format!("{} B row", encoded.len()));
    group.throughput(Throughput::Elements(ROWS as u64));
    let mut builder = RowsBuilder::new();
    group.bench_function("arrow, batch of 16384", |bencher| {
        bencher.iter(|| {
            for _ in 0..ROWS {
                builder.push(&encoded).expect("it can be read");
            }
            builder.finish().expect("it fits")
        });
    });
    group.throughput(Throughput::Elements(1));
    group.bench_function("json", |bencher| {
        let mut text = Vec::new();
        bencher.iter(|| {
            text.clear();
            json::write_row(&encoded, &mut text).expect("it can be read");
            text.len()
        });
    });
    group.bench_function("origin", |bencher| {
        bencher.iter(|| origin(std::hint::black_box(&encoded)));
    });
    // The yardstick: what prost alone needs to make a message of the bytes.
    group.bench_function("prost decode", |bencher| {
        bencher.iter(|| Event::decode(encoded.as_slice()).expect("it can be read"));
    });
    group.finish();
}

criterion_group!(benches, rows);
criterion_main!(benches);
