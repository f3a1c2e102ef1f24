//! The view that unites the predecessor's table and ours, run by DuckDB after a translation of its SQL.

use std::io::Write;
use std::process::{Command, Stdio};

use real_streaming::schema::bigquery::{OURS_BESIDE, OldColumn, united_view};

use super::*;
use crate::support::python::tool;

fn columns(kind: &str, names: &str) -> Vec<Value> {
    let names = names.split_whitespace();
    names
        .map(|name| json!({"name": name, "type": kind}))
        .collect()
}

fn record(name: &str, mode: &str, fields: &[Vec<Value>]) -> Value {
    json!({"name": name, "type": "RECORD", "mode": mode, "fields": fields.concat()})
}

/// The predecessor's table, as its program makes it.
fn predecessors_table(has: OldColumn) -> Value {
    let value = |others: &str| {
        let fields = [
            columns("STRING", "string_value"),
            columns("INTEGER", "int_value"),
            columns("FLOAT", "float_value"),
            columns("INTEGER", others),
        ];
        vec![record("value", "NULLABLE", &fields)]
    };
    let seventeenth = match has {
        OldColumn::EventId => columns("STRING", "event_id"),
        OldColumn::SyncedAtUtc => columns("TIMESTAMP", "synced_at_utc_"),
    };
    let device = [
        columns(
            "STRING",
            "category mobile_brand_name mobile_model_name mobile_marketing_name mobile_os_hardware_model operating_system operating_system_version vendor_id advertising_id language is_limited_ad_tracking",
        ),
        vec![record(
            "web_info",
            "NULLABLE",
            &[columns("STRING", "browser browser_version")],
        )],
        columns("BOOLEAN", "is_bot"),
        columns("STRING", "user_agent"),
    ];
    let item = [
        columns("STRING", "item_id item_name affiliation coupon"),
        columns("FLOAT", "discount"),
        columns("INTEGER", "index"),
        columns(
            "STRING",
            "item_brand item_category item_category2 item_category3 item_category4 item_category5 item_list_id item_list_name item_variant location_id promotion_id promotion_name creative_name creative_slot",
        ),
        columns("FLOAT", "price"),
        columns("INTEGER", "quantity"),
    ];
    let ecommerce = [
        columns("STRING", "transaction_id currency"),
        columns("FLOAT", "value"),
        columns(
            "STRING",
            "coupon payment_type shipping_tier item_list_id item_list_name promotion_id promotion_name creative_name creative_slot",
        ),
        columns("INTEGER", "total_item_quantity"),
    ];
    let fields = [
        columns("DATE", "date"),
        columns("INTEGER", "event_timestamp"),
        columns("STRING", "event_name"),
        vec![record(
            "event_params",
            "REPEATED",
            &[columns("STRING", "key"), value("")],
        )],
        columns("STRING", "user_id user_pseudo_id"),
        vec![
            record(
                "privacy_info",
                "NULLABLE",
                &[columns(
                    "BOOLEAN",
                    "ad_storage ad_user_data ad_personalization analytics_storage functionality_storage personalization_storage security_storage",
                )],
            ),
            record(
                "user_properties",
                "REPEATED",
                &[columns("STRING", "key"), value("set_timestamp_micros")],
            ),
            record("device", "NULLABLE", &device),
            record(
                "geo",
                "NULLABLE",
                &[columns("STRING", "country region city")],
            ),
            record(
                "app_info",
                "NULLABLE",
                &[columns(
                    "STRING",
                    "id version install_store firebase_app_id install_source",
                )],
            ),
            record(
                "collected_traffic_source",
                "NULLABLE",
                &[columns(
                    "STRING",
                    "manual_campaign_id manual_campaign_name manual_source manual_medium manual_term manual_content manual_source_platform manual_creative_format manual_marketing_tactic gclid dclid srsltid fbclid",
                )],
            ),
        ],
        columns("INTEGER", "stream_id"),
        vec![
            record("ecommerce", "NULLABLE", &ecommerce),
            record("items", "REPEATED", &item),
        ],
        columns("STRING", "ip"),
        seventeenth,
        columns("INTEGER", "synced_at_micros_"),
        columns("STRING", "subscription_name message_id"),
        columns("TIMESTAMP", "publish_time"),
        columns("JSON", "attributes"),
    ];
    fields.concat().into()
}

/// What the view shows of both tables, and the types of its columns.
fn shown(has: OldColumn, old_rows: &Value, new_rows: &[Value]) -> Value {
    let ours = format!("{TABLE}{OURS_BESIDE}");
    let given = json!({
        "view": united_view(TABLE, has, &ours),
        "tables": {
            "events": {"fields": predecessors_table(has), "rows": old_rows},
            "events_ga4": {"fields": schema::bigquery::table()["schema"]["fields"], "rows": new_rows},
        },
    });
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/bigquery/united.py");
    let mut python = Command::new(tool("python"))
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python runs");
    let mut input = python.stdin.take().expect("a pipe");
    input
        .write_all(given.to_string().as_bytes())
        .expect("it reads");
    drop(input);
    let output = python.wait_with_output().expect("it ends");
    assert!(output.status.success());
    serde_json::from_slice(&output.stdout).expect("JSON")
}

#[tokio::test(flavor = "multi_thread")]
async fn old_rows_and_new_ones_are_shown_under_the_old_names_and_types() {
    let bigquery = bigquery().await;
    let has = OldColumn::EventId;
    bigquery.create_table(
        TABLE,
        json!({"schema": {"fields": predecessors_table(has)}}),
    );
    let collector = collector(&bigquery, &folder()).await;
    let body = json!({
        "event_name": "purchase", "event_id": "new",
        "event_params": [
            {"key": "page_location", "value": {"string_value": "https://shop.test/?utm_source=n&fbclid=F1"}},
            {"key": "share", "value": {"float_value": 0.25}},
            {"key": "count", "value": {"int_value": 7}},
        ],
        "privacy_info": {"ad_storage": false, "analytics_storage": true},
        "user_properties": [{"key": "tier", "value": {"string_value": "gold"}}],
        "ecommerce": {"transaction_id": "T1", "value": 12.5, "currency": "EUR", "coupon": "C"},
        "items": [{"item_id": "a", "price": 12.5, "quantity": 1, "index": 3, "discount": 0.5}],
    });
    collector.takes(&body.to_string()).await;
    all_delivered(&collector).await;
    collector.stop().await;
    let new_rows = bigquery.rows("shop.analytics.events_ga4");
    assert_eq!(new_rows.len(), 1);
    let old = json!([{
        "date": "2026-01-02", "event_timestamp": 5, "event_name": "old", "stream_id": 1, "event_id": "old",
        "event_params": [{"key": "k", "value": {"string_value": "v"}}],
        "device": {"category": "desktop", "web_info": {"browser": "Chrome"}, "is_bot": false},
        "ecommerce": {"transaction_id": "T0", "currency": "USD", "value": 1.5},
        "items": [{"item_id": "z", "discount": 0.1, "index": 2, "price": 9.5}],
    }]);
    let shown = self::shown(has, &old, &new_rows);
    let rows = shown["rows"].as_array().unwrap();
    let row = |id: &str| {
        rows.iter()
            .find(|row| row["event_id"] == id)
            .expect("a row")
    };
    assert_eq!(rows.len(), 2);
    let first = row("old");
    assert_eq!(first["stream_id"], 1);
    assert_eq!(first["event_params"][0]["value"]["string_value"], "v");
    assert_eq!(first["device"]["web_info"]["browser"], "Chrome");
    assert_eq!(first["ecommerce"]["value"], 1.5);
    assert_eq!(first["items"][0]["index"], 2);
    assert!(first["synced_at_utc_"].is_null());
    let second = row("new");
    assert_eq!(second["stream_id"], 1);
    assert!(second["synced_at_utc_"].is_string());
    assert_eq!(second["privacy_info"]["ad_storage"], false);
    assert_eq!(second["privacy_info"]["analytics_storage"], true);
    assert!(second["privacy_info"]["ad_user_data"].is_null());
    assert_eq!(
        second["user_properties"][0]["value"]["string_value"],
        "gold"
    );
    assert_eq!(second["collected_traffic_source"]["fbclid"], "F1");
    assert_eq!(second["collected_traffic_source"]["manual_source"], "n");
    let ecommerce = &second["ecommerce"];
    assert_eq!(ecommerce["transaction_id"], "T1");
    assert_eq!(ecommerce["value"], 12.5);
    assert_eq!(
        (&ecommerce["currency"], &ecommerce["coupon"]),
        (&json!("EUR"), &json!("C"))
    );
    let item = &second["items"][0];
    assert_eq!(
        (&item["index"], &item["discount"], &item["price"]),
        (&json!(3), &json!(0.5), &json!(12.5))
    );
    let param = |key: &str| {
        let params = second["event_params"].as_array().unwrap();
        params.iter().find(|param| param["key"] == key).unwrap()["value"].clone()
    };
    assert_eq!(param("share")["float_value"], 0.25);
    assert_eq!(param("count")["int_value"], 7);
}

#[test]
fn the_views_columns_are_the_predecessors_in_both_layouts() {
    for has in [OldColumn::EventId, OldColumn::SyncedAtUtc] {
        let shown = shown(has, &json!([]), &[]);
        let table = predecessors_table(has);
        let names: Vec<_> = table
            .as_array()
            .unwrap()
            .iter()
            .map(|field| &field["name"])
            .collect();
        let columns = shown["columns"].as_object().unwrap();
        for name in names {
            let name = name.as_str().unwrap();
            assert!(columns.contains_key(name), "{name}");
        }
        assert_eq!(columns.len(), 23);
        assert_eq!(columns["stream_id"], "BIGINT");
        assert_eq!(columns["synced_at_utc_"], "TIMESTAMP WITH TIME ZONE");
    }
}
