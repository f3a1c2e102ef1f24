//! Google's own clients for Python judge whether the fake speaks as BigQuery does.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};

use super::*;
use crate::support::python::tool;
use real_streaming_fakes::bigquery::fault::{Call, Fault, When};

#[tokio::test(flavor = "multi_thread")]
async fn googles_clients_find_what_they_expect() {
    let bigquery = bigquery().await;
    bigquery.fail(Call::Append, Fault::HideReply, When::After(3));
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/bigquery_fake/judge.py");
    let mut python = Command::new("timeout");
    python.arg("120").arg(tool("python")).arg(script);
    python
        .arg(bigquery.rest())
        .arg(bigquery.grpc().trim_start_matches("http://"));
    let output = tokio::task::spawn_blocking(move || python.stdin(Stdio::null()).output());
    let output = output.await.expect("no panic").expect("python runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let found: Value = serde_json::from_slice(&output.stdout).expect("findings");
    let tables = json!({
        "schema": ["id", "day", "device"],
        "partition": "day",
        "clustering": ["id"],
        "labels": {"made_by": "judge"},
        "again": "Conflict",
        "exists_ok": "done",
        "elsewhere": "NotFound",
        "no_dataset": "NotFound",
        "dataset": "d",
        "tables": ["judged", "t"],
        "grown": ["id", "day", "device", "more"],
        "stale": "PreconditionFailed",
        "shrunk": "BadRequest",
    });
    assert_eq!(found["tables"], tables, "{errors}");
    let offsets = [0, 25, 50, 100, 125, 150, 175];
    let appends = json!({
        "hidden": 1, "existed": 1, "offsets": offsets, "beyond": "OutOfRange", "finalized": 200,
    });
    assert_eq!(found["appends"], appends, "{errors}");
    let listed = json!({
        "count": 200, "total": 200, "pages": 4, "numbers": true,
        "first": {
            "id": "0", "day": "2024-10-04", "at": "2024-10-04T00:00:00.123456+00:00", "number": 0,
            "price": 19.5, "is_new": true, "document": {"a": 1}, "tags": ["x", "y"], "device": null,
        },
        "some": (150..160).map(|number| [number]).collect::<Vec<_>>(),
        "elsewhere": "NotFound",
    });
    assert_eq!(found["listed"], listed, "{errors}");
    let rows = bigquery.rows(TABLE);
    let numbers: BTreeSet<i64> = rows
        .iter()
        .filter_map(|row| row["number"].as_i64())
        .collect();
    assert_eq!((rows.len(), numbers.len()), (200, 200));
    assert_eq!((bigquery.foreign_replays(), bigquery.lost_fields()), (0, 0));
}
