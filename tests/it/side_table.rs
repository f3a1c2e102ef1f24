//! A table beside that of the events: rows that its user encoded, at least once, whatever happens on the way.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use prost::Message;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, FieldDescriptorProto};
use real_streaming::writer::WriteError;
use real_streaming::writer::bigquery::{Definition, Place, SideTable};
use real_streaming_fakes::bigquery::BigQuery;
use real_streaming_fakes::bigquery::fault::{Call, Fault, When};
use serde_json::json;

const TABLE: &str = "shop.analytics.events_notes";

#[derive(Message)]
struct Note {
    #[prost(string, optional, tag = "1")]
    text: Option<String>,
    #[prost(int64, optional, tag = "2")]
    number: Option<i64>,
}

fn note(number: i64) -> Bytes {
    let note = Note {
        text: Some(format!("note {number}")),
        number: Some(number),
    };
    note.encode_to_vec().into()
}

fn notes(bigquery: &BigQuery) -> SideTable {
    let place = Place {
        project: "shop".to_owned(),
        dataset: "analytics".to_owned(),
        table: "events_notes".to_owned(),
        endpoint: bigquery.rest(),
        grpc_endpoint: bigquery.grpc(),
        answer_timeout: Duration::from_secs(1),
    };
    let definition = Definition {
        table: json!({
            "schema": {"fields": [{"name": "text", "type": "STRING"}, {"name": "number", "type": "INTEGER"}]},
            "description": "Notes",
        }),
        named_by: "NOTES__TABLE",
    };
    let field = |name: &str, number, kind: Type| FieldDescriptorProto {
        name: Some(name.to_owned()),
        number: Some(number),
        label: Some(Label::Optional.into()),
        r#type: Some(kind.into()),
        ..FieldDescriptorProto::default()
    };
    let descriptor = DescriptorProto {
        name: Some("Note".to_owned()),
        field: vec![
            field("text", 1, Type::String),
            field("number", 2, Type::Int64),
        ],
        ..DescriptorProto::default()
    };
    SideTable::new(&place, definition, descriptor).expect("it can be made")
}

async fn bigquery() -> BigQuery {
    let bigquery = BigQuery::start().await;
    bigquery.create_dataset("shop", "analytics");
    bigquery
}

/// How often each number is in the table.
fn counts(bigquery: &BigQuery) -> BTreeMap<i64, usize> {
    let mut counts = BTreeMap::new();
    for row in bigquery.rows(TABLE) {
        let number = &row["number"];
        let number = number.as_i64().or_else(|| number.as_str()?.parse().ok());
        *counts.entry(number.expect("a number")).or_default() += 1;
    }
    counts
}

#[tokio::test]
async fn it_is_made_with_the_first_rows_and_takes_more() {
    let bigquery = bigquery().await;
    let notes = notes(&bigquery);
    assert!(bigquery.tables().is_empty(), "nothing is asked before");
    for numbers in [0..3, 3..7] {
        let rows: Vec<_> = numbers.map(note).collect();
        assert_eq!(notes.append(&rows).await.unwrap(), []);
    }
    assert_eq!(
        counts(&bigquery),
        (0..7).map(|number| (number, 1)).collect()
    );
    let made = bigquery.table(TABLE).expect("it is there");
    assert_eq!(made["description"], "Notes");
    assert!(bigquery.streams().is_empty(), "only the default stream");
    assert_eq!(bigquery.lost_fields(), 0);
    bigquery.cut_connections();
    let again = async {
        while let Err(error) = notes.append(&[note(7)]).await {
            assert!(matches!(error, WriteError::Transient { .. }), "{error}");
        }
    };
    again.await;
    assert!(counts(&bigquery)[&7] >= 1);
}

#[tokio::test]
async fn it_gets_the_columns_that_it_lacks_and_conflicts_name_the_variable() {
    let bigquery = bigquery().await;
    let old = |kind: &str| json!({"schema": {"fields": [{"name": "text", "type": kind}]}});
    bigquery.create_table(TABLE, old("STRING"));
    notes(&bigquery).open().await.unwrap();
    let grown = bigquery.table(TABLE).unwrap();
    assert_eq!(grown["schema"]["fields"][1]["name"], "number");
    bigquery.delete_table(TABLE);
    bigquery.create_table(TABLE, old("BYTES"));
    let error = notes(&bigquery).append(&[note(1)]).await.unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, WriteError::Fatal(_)), "{text}");
    assert!(
        text.contains("NOTES__TABLE") && text.contains("text: is BYTES"),
        "{text}"
    );
}

#[tokio::test]
async fn rows_that_it_never_takes_are_told_and_cost_no_other() {
    let bigquery = bigquery().await;
    bigquery.poison("number", |number| {
        number.as_i64().is_some_and(|number| number % 10 == 3)
            || number.as_str().is_some_and(|number| number.ends_with('3'))
    });
    let notes = notes(&bigquery);
    let rows: Vec<_> = (0..30).map(note).collect();
    let refused = notes.append(&rows).await.unwrap();
    let indices: Vec<_> = refused.iter().map(|row| row.index).collect();
    assert_eq!(indices, [3, 13, 23]);
    assert!(refused.iter().all(|row| !row.reason.is_empty()));
    let others = (0..30).filter(|number| number % 10 != 3);
    assert_eq!(
        counts(&bigquery),
        others.map(|number| (number, 1)).collect()
    );

    // Nobody names it: it is found by halving.
    bigquery.heal();
    bigquery.fail(Call::Append, Fault::INVALID, When::Next(4));
    let rows: Vec<_> = (100..108).map(note).collect();
    let refused = notes.append(&rows).await.unwrap();
    assert_eq!(refused.len(), 1, "{refused:?}");
    assert_eq!(refused[0].index, 0);
    let counts = counts(&bigquery);
    assert!(
        (101..108).all(|number| counts.get(&number) == Some(&1)),
        "{counts:?}"
    );
}

#[tokio::test]
async fn a_row_that_ends_the_connection_is_found_and_told() {
    let bigquery = bigquery().await;
    bigquery.end_connection_at("number", |number| {
        number.as_i64() == Some(3) || number.as_str() == Some("3")
    });
    let notes = notes(&bigquery);
    let rows: Vec<_> = (0..10).map(note).collect();
    let refused = notes.append(&rows).await.unwrap();
    let indices: Vec<_> = refused.iter().map(|row| row.index).collect();
    assert_eq!(indices, [3]);
    let others = (0..10).filter(|number| *number != 3);
    assert_eq!(
        counts(&bigquery),
        others.map(|number| (number, 1)).collect()
    );
}

#[tokio::test]
async fn what_happens_to_a_request_loses_no_row() {
    for fault in [
        Fault::HideReply,
        Fault::Cut,
        Fault::Hang { done: false },
        Fault::UNAVAILABLE,
        Fault::THROTTLED_INSIDE,
        Fault::FORBIDDEN,
    ] {
        let bigquery = bigquery().await;
        let notes = notes(&bigquery);
        notes.append(&[note(0)]).await.unwrap();
        bigquery.fail(Call::Append, fault, When::Next(1));
        // What ends an idle connection is made good at once.
        let is_stale = matches!(fault, Fault::HideReply | Fault::Cut | Fault::UNAVAILABLE);
        if !is_stale {
            let error = notes.append(&[note(1)]).await.unwrap_err();
            assert!(!matches!(error, WriteError::Rejected(_)), "{error}");
        }
        assert_eq!(notes.append(&[note(1)]).await.unwrap(), []);
        let counts = counts(&bigquery);
        assert_eq!(counts[&0], 1);
        let is_ambiguous = fault == Fault::HideReply;
        assert_eq!(counts[&1], 1 + usize::from(is_ambiguous), "{fault:?}");
    }
}

#[tokio::test]
async fn a_table_that_is_gone_is_told_and_not_made_again() {
    let bigquery = bigquery().await;
    let notes = notes(&bigquery);
    notes.append(&[note(1)]).await.unwrap();
    bigquery.delete_table(TABLE);
    let error = notes.append(&[note(2)]).await.unwrap_err().to_string();
    assert!(
        error.contains("table_gone") && error.contains(TABLE),
        "{error}"
    );
    assert!(bigquery.tables().is_empty());
}
