//! The tables: Delta Lake, asked by DuckDB with the queries of `docs/ledger.md`, and BigQuery.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::process::Process;
use crate::support::python::query;
use crate::support::{event, metrics, request};

/// A query of `docs/ledger.md`, by its first line.
fn documented(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/ledger.md");
    let text = std::fs::read_to_string(path).expect("docs/ledger.md");
    let mut blocks = text.split("```sql\n").skip(1);
    let block = blocks.find_map(|block| {
        let block = block.strip_prefix(&format!("-- {name}\n"))?;
        block.split_once("```").map(|(sql, _)| sql.to_owned())
    });
    block.unwrap_or_else(|| panic!("docs/ledger.md has no query {name}"))
}

fn asked(folder: &Path, name: &str) -> Vec<Value> {
    as_told(folder, &documented(name))
}

/// What a documented query gives. Times come as text, because Python reads those with a time zone with a package of its own.
fn as_told(folder: &Path, sql: &str) -> Vec<Value> {
    let sql = sql.trim().trim_end_matches(';');
    let sql = format!("SELECT COLUMNS(*)::VARCHAR FROM ({sql})");
    query(folder, &sql).unwrap_or_else(|error| panic!("{sql}: {error}"))
}

async fn send(process: &Process, stream: &str, body: &str) -> u16 {
    let path = format!("/api/v1/streaming/{stream}");
    let answer = request(process.address, "POST", &path, &[], body.as_bytes()).await;
    answer.status
}

/// The number behind a line of the metrics.
fn metric(page: &str, line: &str) -> i64 {
    let value = page
        .lines()
        .find_map(|found| found.strip_prefix(line)?.strip_prefix(' '));
    value
        .unwrap_or_else(|| panic!("{line} is not in\n{page}"))
        .parse()
        .expect("a number")
}

#[tokio::test(flavor = "multi_thread")]
async fn delta_balances_by_the_documented_queries() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let values = [
        ("LEDGER__INTERVAL", "0.2"),
        ("WRITERS__DELTA__COMMIT_INTERVAL", "0.05"),
    ];
    let process = Process::start(folder.path(), &values).await;
    for (stream, count) in [("shop", 12), ("blog", 5)] {
        for id in 0..count {
            let body = event(&format!("{id}"));
            assert_eq!(send(&process, stream, &body).await, 200);
            if id % 3 == 0 {
                assert_eq!(send(&process, stream, &body).await, 200);
                assert_eq!(send(&process, stream, r#"{"event_name":""}"#).await, 422);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    assert_eq!(process.terminate().code(), Some(0));
    let balance = asked(folder.path(), "DuckDB: balance");
    let expected = json!({
        "came": "29", "ended": "29", "appended": "17", "settled": "17", "waiting": "0", "stored": "17", "present": "17",
    });
    assert_eq!(balance, [expected]);
    assert_eq!(asked(folder.path(), "DuckDB: minutes"), [] as [Value; 0]);
    assert_eq!(asked(folder.path(), "DuckDB: gaps"), [] as [Value; 0]);
    let sql = "SELECT stream_id, outcome, reason, sum(events) AS events FROM ledger \
        GROUP BY ALL ORDER BY ALL";
    let counted = query(folder.path(), sql).unwrap();
    let row = |stream: &str, outcome: &str, reason: Value, events: u64| json!({"stream_id": stream, "outcome": outcome, "reason": reason, "events": events});
    let of = |stream, duplicate, good| {
        [
            row(stream, "appended", Value::Null, good),
            row(stream, "duplicate", Value::Null, duplicate),
            row(stream, "received", Value::Null, good + 2 * duplicate),
            row(stream, "rejected", json!("field"), duplicate),
            row(stream, "stored", Value::Null, good),
        ]
    };
    let expected: Vec<Value> = [of("blog", 2, 5), of("shop", 4, 12)].concat();
    assert_eq!(counted, expected);

    // A row that is missing is found, and so is one too many.
    let missing = documented("DuckDB: minutes").replace(
        "FROM events GROUP",
        "FROM events WHERE NOT (stream_id = 'shop' AND event_id = '3') GROUP",
    );
    let found = as_told(folder.path(), &missing);
    assert!(!found.is_empty() && found.iter().all(|row| row["stream_id"] == "shop"));
}

#[tokio::test(flavor = "multi_thread")]
async fn sums_are_exact_over_kills() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let values = [
        ("LEDGER__INTERVAL", "0.1"),
        ("WRITERS__DELTA__COMMIT_INTERVAL", "0.05"),
    ];
    for round in 0..6_u64 {
        let process = Process::start(folder.path(), &values).await;
        let until = Instant::now() + Duration::from_millis(150 + 170 * round);
        let mut id = 0;
        while Instant::now() < until {
            let stream = if id % 3 == 0 { "blog" } else { "shop" };
            let body = format!(
                "[{}, {}, {{\"event_name\":\"\"}}]",
                event(&format!("{round}-{id}")),
                event("same")
            );
            send(&process, stream, &body).await;
            id += 1;
        }
        assert!(id > 0);
        process.kill();
    }
    let process = Process::start(folder.path(), &values).await;
    assert_eq!(send(&process, "shop", &event("last")).await, 200);
    let begun = Instant::now();
    let page = loop {
        let page = metrics(process.address).await;
        if page
            .lines()
            .any(|line| line.starts_with("delivery_pending{") && line.ends_with(" 0"))
        {
            break page;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "{page}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert_eq!(process.terminate().code(), Some(0));
    let balance = &asked(folder.path(), "DuckDB: balance")[0];
    assert_eq!(balance["came"], balance["ended"], "{balance}");
    assert_eq!(balance["stored"], balance["present"], "{balance}");
    assert_eq!(balance["waiting"], "0", "{balance}");
    let received = metric(&page, "events_received_total").to_string();
    assert_eq!(balance["came"], received, "{balance}");
    let sql = "SELECT outcome, coalesce(reason, '') AS reason, sum(events) AS events FROM ledger \
        WHERE destination IS NULL AND outcome <> 'received' GROUP BY ALL";
    for row in query(folder.path(), sql).unwrap() {
        let (outcome, reason) = (
            row["outcome"].as_str().unwrap(),
            row["reason"].as_str().unwrap(),
        );
        let line = format!("events_outcome_total{{outcome=\"{outcome}\",reason=\"{reason}\"}}");
        assert_eq!(row["events"], metric(&page, &line), "{line}");
    }
    // What the table holds of a minute and stream is not more than was stored, but for what a crash kept from being known.
    let differences = asked(folder.path(), "DuckDB: minutes");
    let number = |row: &Value, name: &str| row[name].as_str().unwrap().parse::<i64>().unwrap();
    let sum: i64 = differences
        .iter()
        .map(|row| number(row, "stored") - number(row, "present"))
        .sum();
    assert_eq!(sum, 0, "{differences:?}");
    for row in &differences {
        let is_unknown = row["stream_id"].is_null();
        assert_eq!(
            number(row, "stored") > number(row, "present"),
            is_unknown,
            "{row}"
        );
    }
}

#[cfg(feature = "bigquery")]
mod bigquery {
    use real_streaming::clock::SystemClock;
    use real_streaming::durable::{Disk, RealDisk};
    use real_streaming::schema::{LedgerRow, bigquery::ledger_table};
    use real_streaming::writer::Writer;
    use real_streaming::writer::bigquery::{BigQueryWriter, Config};
    use real_streaming_fakes::bigquery::BigQuery;
    use real_streaming_fakes::bigquery::fault::{Call, Fault, When};

    use crate::support::Builder;
    use crate::support::collector::{Collector, IMPATIENT};
    use crate::support::eventually;
    use crate::support::ledger::Sums;

    use super::super::{all_delivered, mixed_load, post_to};
    use super::*;

    const TABLE: &str = "shop.analytics.events_ledger";

    async fn collector(bigquery: &BigQuery) -> Collector {
        let builder = Builder::new();
        let config = Config {
            project: "shop".to_owned(),
            dataset: "analytics".to_owned(),
            table: "events".to_owned(),
            time_zone: jiff::tz::TimeZone::UTC,
            endpoint: bigquery.rest(),
            grpc_endpoint: bigquery.grpc(),
            flush_interval: Duration::from_millis(5),
            max_batch_rows: 500,
            answer_timeout: Duration::from_secs(1),
            journal: Some(builder.folder.path().join("log/journals/events.jsonl")),
        };
        let disk: Arc<dyn Disk> = Arc::new(RealDisk);
        let writer: Arc<dyn Writer> =
            Arc::new(BigQueryWriter::new(&config, &disk, &SystemClock::shared()).unwrap());
        builder
            .with_target(writer, IMPATIENT)
            .set("LEDGER__INTERVAL", "0.1")
            .start()
            .await
    }

    fn rows(bigquery: &BigQuery) -> Vec<LedgerRow> {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let time = |value: &Value| {
            let time: jiff::Timestamp = value.as_str().expect("a time").parse().expect("a time");
            Some(time.as_microsecond())
        };
        let number = |value: &Value| match value {
            Value::String(text) => text.parse().ok(),
            other => other.as_i64(),
        };
        let rows = bigquery.rows(TABLE).into_iter();
        let rows = rows.map(|row| LedgerRow {
            minute: time(&row["minute"]),
            stream_id: text(&row["stream_id"]),
            destination: text(&row["destination"]),
            outcome: text(&row["outcome"]),
            reason: text(&row["reason"]),
            events: number(&row["events"]),
            log_id: text(&row["log_id"]),
            written_at: time(&row["written_at"]),
            row_id: text(&row["row_id"]),
            date: time(&json!(format!(
                "{}T00:00:00Z",
                row["date"].as_str().unwrap()
            )))
            .and_then(|midnight| i32::try_from(midnight / 86_400_000_000).ok()),
        });
        rows.collect()
    }

    /// Each row once: doubles are the same in every column, as `SELECT DISTINCT *` needs it.
    fn distinct(mut rows: Vec<LedgerRow>) -> Vec<LedgerRow> {
        rows.sort_by(|a, b| a.row_id.cmp(&b.row_id));
        rows.dedup();
        let ids: Vec<_> = rows.iter().map(|row| row.row_id.clone()).collect();
        assert!(ids.windows(2).all(|ids| ids[0] != ids[1]), "doubles differ");
        rows
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn bigquery_balances_whatever_happens_to_its_table() {
        let bigquery = BigQuery::start().await;
        bigquery.create_dataset("shop", "analytics");
        bigquery.poison("event_id", |id| id == "shop1");
        let collector = collector(&bigquery).await;
        let ledger = Arc::clone(&collector.ledger);
        mixed_load(&collector).await;
        all_delivered(&collector).await;
        eventually("rows are there", || bigquery.row_count(TABLE) > 0).await;
        let made = bigquery.table(TABLE).expect("the table is made");
        assert_eq!(made["schema"]["fields"], ledger_table()["schema"]["fields"]);
        assert_eq!(made["timePartitioning"]["field"], "date");

        // What is done and not told is done again.
        bigquery.fail(Call::Append, Fault::HideReply, When::Next(2));
        post_to(&collector, "blog", &event("hidden")).await;
        all_delivered(&collector).await;
        eventually("its rows are there", || {
            Sums::of(&distinct(rows(&bigquery))).total(true, "stored") == 9
        })
        .await;
        collector.stop().await;
        assert_eq!(
            bigquery.lost_fields(),
            0,
            "the descriptor names every field"
        );
        let sums = Sums::of(&distinct(rows(&bigquery)));
        sums.are(ledger.intake(), ledger.destinations()[0].totals());
        assert_eq!(sums.stream(Some("shop"), true, "dead_lettered"), 1);
        assert_eq!(sums.stream(Some("shop"), true, "stored"), 5);
        assert_eq!(sums.stream(Some("blog"), true, "stored"), 4);
        assert_eq!(bigquery.row_count("shop.analytics.events"), 9);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_ledger_that_may_not_be_made_holds_up_nothing() {
        let bigquery = BigQuery::start().await;
        bigquery.create_dataset("shop", "analytics");
        let collector = collector(&bigquery).await;
        let ledger = Arc::clone(&collector.ledger);
        let rule = bigquery.fail(Call::Tables, Fault::FORBIDDEN, When::Always);
        mixed_load(&collector).await;
        all_delivered(&collector).await;
        assert_eq!(bigquery.row_count("shop.analytics.events"), 9);
        assert!(bigquery.table(TABLE).is_none());
        bigquery.end(rule);
        eventually("it is made later", || bigquery.table(TABLE).is_some()).await;
        collector.stop().await;
        Sums::of(&distinct(rows(&bigquery)))
            .are(ledger.intake(), ledger.destinations()[0].totals());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn kills_and_lost_answers_unbalance_nothing() {
        let bigquery = BigQuery::start().await;
        bigquery.create_dataset("shop", "analytics");
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let (rest, grpc) = (bigquery.rest(), bigquery.grpc());
        let values = [
            ("LEDGER__INTERVAL", "0.05"),
            ("WRITERS__PROJECT_ID", "shop"),
            ("WRITERS__BQ__DATASET_ID", "analytics"),
            ("WRITERS__BQ__TABLE_ID", "events"),
            ("WRITERS__BQ__ENDPOINT", rest.as_str()),
            ("WRITERS__BQ__GRPC_ENDPOINT", grpc.as_str()),
        ];
        let mut sent = 0;
        for life in 0..8_u64 {
            let chance = |probability| When::Chance {
                probability,
                seed: life,
            };
            bigquery.fail(Call::Append, Fault::HideReply, chance(0.2));
            bigquery.fail(Call::Append, Fault::UNAVAILABLE, chance(0.2));
            let process = Process::start(folder.path(), &values).await;
            let until = Instant::now() + Duration::from_millis(100 + 60 * life);
            while Instant::now() < until {
                assert_eq!(
                    send(&process, "shop", &event(&format!("{sent}"))).await,
                    200
                );
                sent += 1;
            }
            process.kill();
            bigquery.heal();
        }
        let process = Process::start(folder.path(), &values).await;
        eventually("all rows came", || {
            bigquery.row_count("shop.analytics.events") >= sent
        })
        .await;
        assert!(process.terminate().success());
        assert_eq!(bigquery.row_count("shop.analytics.events"), sent);
        let sums = Sums::of(&distinct(rows(&bigquery)));
        for (is_delivered, outcome) in [(false, "received"), (false, "appended"), (true, "stored")]
        {
            assert_eq!(
                sums.total(is_delivered, outcome),
                sent as i64,
                "{outcome}: {sums:#?}"
            );
        }
    }
}
