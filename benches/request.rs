//! What one event costs before it is in the log: parse, enrich, encode, of a typical body of 1.1 kB
//! with 9 parameters and 2 items. The floor is a derived parser into owned structs of the same body.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use http::{HeaderMap, HeaderName, HeaderValue};
use prost::Message;
use real_streaming::clock::Micros;
use real_streaming::enrich::explain::Explanation;
use real_streaming::enrich::{Config, Enricher, Visit, identity};
use real_streaming::http::streaming::payload::{Parsed, Payloads, parse};

const BODY: &str = include_str!("../tests/fixtures/typical.json");
const USER_AGENT: &str = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/148.0.0.0 Safari/537.36";

/// Owned structs for what the body holds.
mod floor {
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    #[expect(dead_code, reason = "it is only parsed")]
    pub(crate) struct Event {
        event_name: String,
        event_id: Option<String>,
        timestamp_micros: Option<i64>,
        event_params: Option<Vec<Param>>,
        user_properties: Option<Vec<Param>>,
        privacy_info: Option<PrivacyInfo>,
        ecommerce: Option<Ecommerce>,
        items: Option<Vec<Item>>,
    }

    #[derive(Debug, Deserialize)]
    #[expect(dead_code, reason = "it is only parsed")]
    struct Param {
        key: String,
        value: Value,
    }

    #[derive(Debug, Deserialize)]
    #[expect(dead_code, reason = "it is only parsed")]
    struct Value {
        string_value: Option<String>,
        int_value: Option<i64>,
        float_value: Option<f64>,
    }

    #[derive(Debug, Deserialize)]
    #[expect(dead_code, reason = "it is only parsed")]
    struct PrivacyInfo {
        ad_storage: Option<bool>,
        ad_user_data: Option<bool>,
        analytics_storage: Option<bool>,
    }

    #[derive(Debug, Deserialize)]
    #[expect(dead_code, reason = "it is only parsed")]
    struct Ecommerce {
        transaction_id: Option<String>,
        value: Option<f64>,
        currency: Option<String>,
    }

    #[derive(Debug, Deserialize)]
    #[expect(dead_code, reason = "it is only parsed")]
    struct Item {
        item_id: Option<String>,
        item_name: Option<String>,
        price: Option<f64>,
        quantity: Option<i64>,
        index: Option<i64>,
    }
}

fn parsed() -> Parsed {
    match parse(black_box(BODY.as_bytes())) {
        Ok(Payloads::One(Ok(parsed))) => parsed,
        other => panic!("the body is not accepted: {other:?}"),
    }
}

fn headers() -> HeaderMap {
    let headers = [
        ("user-agent", USER_AGENT),
        ("accept-language", "en-US,en;q=0.9"),
        ("x-client-geo-country", "UA"),
        ("x-client-geo-region", "UA77"),
        ("x-client-geo-city", "Chernivtsi"),
    ];
    let headers = headers.map(|(name, text)| {
        (
            HeaderName::from_static(name),
            HeaderValue::from_static(text),
        )
    });
    headers.into_iter().collect()
}

fn visit(headers: &HeaderMap) -> Visit<'_> {
    Visit {
        received_at: Micros(1_795_221_000_000_000),
        stream_id: "4711".into(),
        user_pseudo_id: "1795200000000.111111111.222222222.333333333".into(),
        user_source: identity::Source::Cookie,
        client_ip: "203.0.113.9".parse().ok(),
        headers,
        ..Visit::default()
    }
}

fn request(criterion: &mut Criterion) {
    let enricher = Enricher::new(Config::default());
    let headers = headers();
    let visit = visit(&headers);
    let mut row = *parsed().event;
    enricher.event(&mut row, &visit, None, &mut Explanation::unasked());
    let mut buffer = Vec::with_capacity(4096);

    criterion.bench_function("floor: derived parser", |bencher| {
        bencher.iter(|| serde_json::from_slice::<floor::Event>(black_box(BODY.as_bytes())));
    });
    criterion.bench_function("parse", |bencher| bencher.iter(parsed));
    criterion.bench_function("parse and enrich", |bencher| {
        bencher.iter(|| {
            let Parsed {
                mut event,
                client_timestamp,
                ..
            } = parsed();
            enricher.event(
                &mut event,
                &visit,
                client_timestamp,
                &mut Explanation::unasked(),
            );
            event
        });
    });
    criterion.bench_function("encode", |bencher| {
        bencher.iter(|| {
            buffer.clear();
            row.encode(&mut buffer)
        });
    });
    criterion.bench_function("parse, enrich and encode", |bencher| {
        bencher.iter(|| {
            let Parsed {
                mut event,
                client_timestamp,
                ..
            } = parsed();
            enricher.event(
                &mut event,
                &visit,
                client_timestamp,
                &mut Explanation::unasked(),
            );
            buffer.clear();
            event.encode(&mut buffer)
        });
    });
}

criterion_group!(benches, request);
criterion_main!(benches);
