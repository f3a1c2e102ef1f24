//! Tables over REST.

use reqwest::{Client, Method, StatusCode};

use super::*;
use real_streaming_fakes::bigquery::fault::{Call, Fault, When};

const TABLES: &str = "/bigquery/v2/projects/p/datasets/d/tables";

/// What a request is answered with.
async fn request(
    bigquery: &BigQuery,
    method: Method,
    path: &str,
    if_match: Option<&str>,
    body: Option<Value>,
) -> Option<(StatusCode, Value)> {
    let mut request = Client::new().request(method, bigquery.rest() + path);
    if let Some(etag) = if_match {
        request = request.header("If-Match", etag);
    }
    if let Some(body) = body {
        request = request.json(&body);
    }
    let answer = request.timeout(PATIENCE).send().await.ok()?;
    let status = answer.status();
    Some((status, answer.json().await.ok()?))
}

async fn get(bigquery: &BigQuery, path: &str) -> (StatusCode, Value) {
    request(bigquery, Method::GET, path, None, None)
        .await
        .expect("an answer")
}

async fn insert(bigquery: &BigQuery, table: &str, mut body: Value) -> (StatusCode, Value) {
    body["tableReference"] = json!({"projectId": "p", "datasetId": "d", "tableId": table});
    request(bigquery, Method::POST, TABLES, None, Some(body))
        .await
        .expect("an answer")
}

async fn patch(
    bigquery: &BigQuery,
    table: &str,
    if_match: Option<&str>,
    body: Value,
) -> (StatusCode, Value) {
    let path = format!("{TABLES}/{table}");
    request(bigquery, Method::PATCH, &path, if_match, Some(body))
        .await
        .expect("an answer")
}

/// The status, and the first reason.
fn refusal((status, body): (StatusCode, Value)) -> (u16, String) {
    let error = &body["error"];
    assert_eq!(error["code"], status.as_u16(), "{body}");
    assert!(
        error["message"].is_string() && error["status"].is_string(),
        "{body}"
    );
    let reason = error["errors"][0]["reason"].as_str().expect("a reason");
    (status.as_u16(), reason.to_owned())
}

#[tokio::test]
async fn a_table_is_made_once_and_found() {
    let bigquery = BigQuery::start().await;
    assert_eq!(
        refusal(insert(&bigquery, "t", schema()).await),
        (404, "notFound".to_owned())
    );
    bigquery.create_dataset("p", "d");
    let missing = get(&bigquery, &format!("{TABLES}/t")).await;
    assert_eq!(refusal(missing), (404, "notFound".to_owned()));
    let (status, made) = insert(&bigquery, "t", schema()).await;
    assert_eq!(status, 200, "{made}");
    assert_eq!(made["schema"]["fields"][1]["mode"], "NULLABLE");
    assert!(made["etag"].is_string());
    let found = get(&bigquery, &format!("{TABLES}/t?prettyPrint=false")).await;
    assert_eq!(found, (StatusCode::OK, made));
    assert_eq!(
        refusal(insert(&bigquery, "t", schema()).await),
        (409, "duplicate".to_owned())
    );
    let (_, list) = get(&bigquery, TABLES).await;
    assert_eq!(
        (&list["totalItems"], &list["tables"][0]["id"]),
        (&json!(1), &json!("p:d.t"))
    );
    let (status, dataset) = get(&bigquery, "/bigquery/v2/projects/p/datasets/d").await;
    assert_eq!((status, &dataset["id"]), (StatusCode::OK, &json!("p:d")));
    let unknown = get(&bigquery, "/bigquery/v2/projects/p/datasets/e").await;
    assert_eq!(refusal(unknown), (404, "notFound".to_owned()));
}

#[tokio::test]
async fn tables_are_not_deleted_or_replaced() {
    let bigquery = bigquery().await;
    let path = format!("{TABLES}/t");
    for method in [Method::DELETE, Method::PUT] {
        let answer = request(&bigquery, method, &path, None, None).await.unwrap();
        assert_eq!(refusal(answer).0, 404);
    }
    assert!(bigquery.table(TABLE).is_some());
    let methods: Vec<_> = bigquery
        .requests()
        .into_iter()
        .map(|request| request.method)
        .collect();
    assert_eq!(methods, [Method::DELETE, Method::PUT]);
}

#[tokio::test]
async fn a_stale_etag_is_refused() {
    let bigquery = bigquery().await;
    let (_, table) = get(&bigquery, &format!("{TABLES}/t")).await;
    let etag = table["etag"].as_str().unwrap();
    let (status, changed) = patch(&bigquery, "t", Some(etag), json!({"description": "one"})).await;
    assert_eq!(
        (status, &changed["description"]),
        (StatusCode::OK, &json!("one"))
    );
    let stale = patch(&bigquery, "t", Some(etag), json!({"description": "two"})).await;
    assert_eq!(refusal(stale), (412, "conditionNotMet".to_owned()));
    let (status, _) = patch(&bigquery, "t", None, json!({"labels": {"a": "b"}})).await;
    assert_eq!(status, 200);
    let last = bigquery.requests().pop().unwrap();
    assert_eq!(
        (last.if_match, last.authorization, last.body),
        (None, None, json!({"labels": {"a": "b"}}))
    );
    assert_eq!(bigquery.table(TABLE).unwrap()["description"], "one");
}

#[tokio::test]
async fn a_definition_changes_five_times_in_ten_seconds_at_most() {
    let bigquery = bigquery().await;
    for count in 0..5 {
        let body = json!({"description": count.to_string()});
        assert_eq!(patch(&bigquery, "t", None, body).await.0, 200);
    }
    let often = patch(&bigquery, "t", None, json!({"description": "5"})).await;
    assert_eq!(refusal(often), (403, "rateLimitExceeded".to_owned()));
}

/// The columns of the table with something done to them, as a change of the table.
fn changed(change: impl FnOnce(&mut Vec<Value>)) -> Value {
    let mut schema = schema()["schema"].clone();
    change(schema["fields"].as_array_mut().expect("columns"));
    json!({"schema": schema})
}

#[tokio::test]
async fn columns_are_only_added_or_relaxed() {
    let column = |name: &str, mode: &str| json!({"name": name, "type": "STRING", "mode": mode});
    let refused = [
        changed(|fields| drop(fields.remove(3))),
        changed(|fields| fields[3]["type"] = json!("FLOAT")),
        changed(|fields| fields[3]["type"] = json!("STRING")),
        changed(|fields| fields[3]["mode"] = json!("REPEATED")),
        changed(|fields| fields[3]["mode"] = json!("REQUIRED")),
        changed(|fields| fields[3]["name"] = json!("renamed")),
        changed(|fields| fields.push(column("more", "REQUIRED"))),
        changed(|fields| fields.push(column("NUMBER", "NULLABLE"))),
        changed(|fields| fields.push(column("no-word", "NULLABLE"))),
        changed(|fields| fields.push(column("_PARTITIONTIME", "NULLABLE"))),
        changed(|fields| fields.push(json!({"name": "more", "type": "TEXT"}))),
        changed(|fields| fields[8]["fields"][0]["type"] = json!("INTEGER")),
        changed(|fields| fields.truncate(8)),
        json!({"schema": {"fields": []}}),
        json!({"timePartitioning": {"type": "HOUR", "field": "day"}}),
        json!({"clustering": {"fields": ["price"]}}),
        json!({"unknown": 1}),
    ];
    for body in refused {
        let bigquery = bigquery().await;
        let answer = patch(&bigquery, "t", None, body.clone()).await;
        assert_eq!(refusal(answer), (400, "invalid".to_owned()), "{body}");
        assert_eq!(
            bigquery.table(TABLE).unwrap()["schema"]["fields"]
                .as_array()
                .unwrap()
                .len(),
            9
        );
    }
    let taken = [
        changed(|fields| fields.push(column("more", "NULLABLE"))),
        changed(|fields| fields.push(column("more", "REPEATED"))),
        changed(|fields| fields[0]["mode"] = json!("NULLABLE")),
        changed(|fields| {
            fields[8]["fields"]
                .as_array_mut()
                .unwrap()
                .push(column("more", "NULLABLE"))
        }),
        changed(|fields| fields[3]["type"] = json!("INT64")),
        changed(|fields| fields[3]["description"] = json!("a number")),
        json!({"timePartitioning": schema()["timePartitioning"]}),
    ];
    for body in taken {
        let bigquery = bigquery().await;
        assert_eq!(
            patch(&bigquery, "t", None, body.clone()).await.0,
            200,
            "{body}"
        );
    }
}

#[tokio::test]
async fn tables_that_cannot_be_are_not_made() {
    let bigquery = BigQuery::start().await;
    bigquery.create_dataset("p", "d");
    let with = |key: &str, value: Value| {
        let mut body = schema();
        body[key] = value;
        body
    };
    let cases = [
        (
            "t",
            with("timePartitioning", json!({"type": "DAY", "field": "id"})),
        ),
        (
            "t",
            with("timePartitioning", json!({"type": "WEEK", "field": "day"})),
        ),
        ("t", with("clustering", json!({"fields": ["a", "b"]}))),
        (
            "t",
            with(
                "clustering",
                json!({"fields": ["id", "day", "at", "number", "is_new"]}),
            ),
        ),
        ("t", with("labels", json!({"Upper": "a"}))),
        ("t", with("description", json!("x".repeat(16_385)))),
        ("t", with("schema", json!({}))),
        ("t", with("cluster", json!({}))),
        ("t$20261121", schema()),
        ("", schema()),
    ];
    for (name, body) in cases {
        let answer = insert(&bigquery, name, body.clone()).await;
        assert_eq!(
            refusal(answer),
            (400, "invalid".to_owned()),
            "{name} {body}"
        );
    }
    assert_eq!(bigquery.tables(), Vec::<String>::new());
    let product = real_streaming::schema::bigquery::table();
    assert_eq!(insert(&bigquery, "events", product).await.0, 200);
}

#[tokio::test]
async fn writers_see_new_columns_later() {
    let bigquery = bigquery().await;
    let lag = Duration::from_millis(300);
    bigquery.schema_lag(lag);
    let mut wide = descriptor();
    wide.field.push(optional("more", 10, Type::String));
    let request = || with_descriptor(DEFAULT, None, rows(0, 1), wide.clone());
    let mut old = Connection::open(&bigquery, DEFAULT, first(DEFAULT, None, rows(0, 1)))
        .await
        .unwrap();
    assert!(old.reply().await.unwrap().updated_schema.is_none());
    let begun = std::time::Instant::now();
    let body = changed(|fields| fields.push(json!({"name": "more", "type": "STRING"})));
    let (status, table) = patch(&bigquery, "t", None, body).await;
    assert_eq!(
        (status, table["schema"]["fields"].as_array().unwrap().len()),
        (StatusCode::OK, 10)
    );
    let mut connection = Connection::open(&bigquery, DEFAULT, request())
        .await
        .unwrap();
    // The same connection is taken again when the column has arrived.
    loop {
        let reply = connection.reply().await.unwrap();
        if matches!(reply.response, Some(Outcome::AppendResult(_))) {
            break;
        }
        assert_eq!(error(Ok(reply)).1, Cause::SchemaMismatchExtraFields);
        assert!(begun.elapsed() < PATIENCE);
        connection.send(later(None, rows(0, 1))).await;
    }
    assert!(begun.elapsed() >= lag);
    let told = old
        .append(later(None, rows(1, 1)))
        .await
        .unwrap()
        .updated_schema;
    assert_eq!(told.expect("the new columns").fields.len(), 10);
}

#[tokio::test]
async fn requests_fail_as_told() {
    let bigquery = bigquery().await;
    let path = format!("{TABLES}/t");
    let cases = [
        (Fault::UNAVAILABLE, 503),
        (Fault::INTERNAL, 500),
        (Fault::FORBIDDEN, 403),
        (Fault::THROTTLED, 403),
        (Fault::UNAUTHENTICATED, 401),
    ];
    for (fault, status) in cases {
        bigquery.fail(Call::Tables, fault, When::Next(1));
        assert_eq!(refusal(get(&bigquery, &path).await).0, status);
    }
    bigquery.fail(Call::Tables, Fault::HideReply, When::Next(1));
    let body = json!({"description": "done"});
    let hidden = request(&bigquery, Method::PATCH, &path, None, Some(body)).await;
    assert_eq!(hidden, None);
    assert_eq!(bigquery.table(TABLE).unwrap()["description"], "done");
    bigquery.fail(Call::Tables, Fault::Cut, When::Next(1));
    let body = json!({"description": "cut"});
    let cut = request(&bigquery, Method::PATCH, &path, None, Some(body)).await;
    assert_eq!(cut, None);
    assert_eq!(get(&bigquery, &path).await.1["description"], "done");
}

#[tokio::test]
async fn rows_are_told_by_pages_and_nonsense_is_refused() {
    let bigquery = bigquery().await;
    let data = |query: &str| format!("{TABLES}/t/data?{query}");
    let (status, none) = get(&bigquery, &data("")).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!((&none["totalRows"], none.get("rows")), (&json!("0"), None));
    for query in [
        "maxResults=x",
        "pageToken=x",
        "startIndex=-1",
        "startIndex=1&pageToken=cGFnZSAx",
        "selectedFields=nothing",
        "selectedFields=device.nothing",
        "formatOptions.useInt64Timestamp=perhaps",
        "rows=1",
    ] {
        let refused = refusal(get(&bigquery, &data(query)).await);
        assert_eq!(refused, (400, "invalid".to_owned()), "{query}");
    }
}
