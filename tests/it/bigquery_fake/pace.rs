//! The fake takes rows faster than a collector sends them, else a measurement would be of the fake.

use std::time::Instant;

use real_streaming::schema::{Event, EventParam, Value as ParamValue, bigquery as product};

use super::*;

const ROWS: usize = 200_000;
const ROWS_PER_REQUEST: usize = 500;
const IN_FLIGHT: usize = 8;

fn event() -> Vec<u8> {
    let param = |number: usize| EventParam {
        key: Some(format!("parameter_{number}")),
        value: Some(ParamValue {
            string_value: Some("a value of some length, as pages send it".to_owned()),
            ..ParamValue::default()
        }),
    };
    let event = Event {
        event_name: Some("page_view".to_owned()),
        event_params: (0..6).map(param).collect(),
        ..Event::default()
    };
    event.encode_to_vec()
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_faster_than_a_collector() {
    let bigquery = BigQuery::start().await;
    bigquery.create_dataset("p", "d");
    bigquery.create_table(TABLE, product::table());
    bigquery.check_every(100);
    let batch = vec![event(); ROWS_PER_REQUEST];
    let request = with_descriptor(DEFAULT, None, batch.clone(), product::writer_descriptor());
    let begun = Instant::now();
    let mut connection = Connection::open(&bigquery, DEFAULT, request).await.unwrap();
    let requests = ROWS / ROWS_PER_REQUEST;
    for request in 1..requests + IN_FLIGHT {
        if request < requests {
            connection.send(later(None, batch.clone())).await;
        }
        if request >= IN_FLIGHT {
            assert_eq!(offset(connection.reply().await), None);
        }
    }
    let rows_per_second = ROWS as f64 / begun.elapsed().as_secs_f64();
    println!("{rows_per_second:.0} rows/s of {} bytes", event().len());
    assert_eq!(bigquery.row_count(TABLE), ROWS);
    // Ten times as much on a machine that does nothing else.
    assert!(rows_per_second > 20_000.0, "{rows_per_second}");
}
