//! What a request may be, and what BigQuery says when it may not.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn large_events_that_wait_together_go_in_several_requests() {
    let bigquery = bigquery().await;
    let collector = collector(&bigquery, &folder()).await;
    bigquery.be_unreachable();
    let text = "x".repeat(2_050_000);
    let ids: Vec<String> = (0..9).map(|number| number.to_string()).collect();
    for id in &ids {
        let mut large: Value = serde_json::from_str(&event(id)).unwrap();
        large["event_params"][0]["value"]["string_value"] = text.as_str().into();
        collector.takes(&large.to_string()).await;
    }
    bigquery.heal();
    all_delivered(&collector).await;
    each_once(&bigquery, ids, "large events");
    assert!(collector.dead_letters().is_empty());
    collector.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ends_a_connection_is_found_by_halving_too() {
    let bigquery = bigquery().await;
    let collector = collector(&bigquery, &folder()).await;
    bigquery.end_connection_at("event_id", |id| id == "37");
    collector.takes(&array(0..100)).await;
    all_delivered(&collector).await;
    let others = (0..100).filter(|id| *id != 37).map(|id| id.to_string());
    each_once(&bigquery, others, "ended");
    let letters = collector.dead_letters();
    assert_eq!(letters.len(), 1, "{letters:#?}");
    assert!(letters[0]["reason"].to_string().contains("not valid"));
    collector.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_was_made_again_with_other_types_costs_no_event() {
    let bigquery = bigquery().await;
    let collector = collector(&bigquery, &folder()).await;
    collector.takes(&event("1")).await;
    all_delivered(&collector).await;
    let mut other = schema::bigquery::table();
    let fields = other["schema"]["fields"].as_array_mut().unwrap();
    let name = fields
        .iter_mut()
        .find(|field| field["name"] == "event_name");
    name.unwrap()["type"] = "INTEGER".into();
    bigquery.delete_table(TABLE);
    bigquery.create_table(TABLE, other);
    collector.takes(&array(2..10)).await;
    eventually("the delivery fails", || {
        collector.ledger.destinations()[0].failures() > 3
    })
    .await;
    assert!(
        collector.dead_letters().is_empty(),
        "events wait in the log"
    );
    bigquery.delete_table(TABLE);
    bigquery.create_table(TABLE, schema::bigquery::table());
    all_delivered(&collector).await;
    each_once(&bigquery, (2..10).map(|id| id.to_string()), "made again");
    collector.stop().await;
}
