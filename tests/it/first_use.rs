//! The page by which one tries the collector: there where it is tried, and what it says is so.

use serde_json::{Value, json};

use crate::browser::play;
use crate::support::collector::memory;
use crate::support::process::{Process, rows};
use crate::support::{Builder, request};

#[tokio::test(flavor = "multi_thread")]
async fn there_is_no_first_page_where_the_collector_is_not_tried() {
    for (environment, status) in [("", 404), ("PROD", 404), ("QA", 200)] {
        let builder = Builder::new().to(&memory("a"));
        let collector = builder.set("ENVIRONMENT", environment).start().await;
        let answer = request(collector.address, "GET", "/", &[], b"").await;
        assert_eq!(answer.status, status, "{environment}");
        if status == 200 {
            let policy = answer.header("content-security-policy").expect("a policy");
            assert!(
                policy.starts_with("default-src 'none'; script-src 'self';"),
                "{policy}"
            );
            assert!(
                !answer.body.contains("<script>") && !answer.body.contains("style="),
                "inline"
            );
        }
        collector.stop().await;
    }
}

/// A step without what is another each time.
fn plain(step: &Value) -> (String, String) {
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let said = text(&step[1]);
    let said = said.split(" as event ").next().expect("a beginning");
    let said = said.split(", after ").next().expect("a beginning");
    (text(&step[0]), said.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_event_is_seen_arriving() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("temporary folder");
    let values = [("ENVIRONMENT", "QA"), ("ADMIN__TOKEN", "")];
    let process = Process::start(folder.path(), &values).await;
    let told = play("first_use.py", &process, folder.path(), &[]);
    assert_eq!(process.terminate().code(), Some(0));

    assert_eq!(
        told["address"], "http://localhost:8080/",
        "the token is gone from it"
    );
    let top = told["top"].as_str().expect("text");
    assert!(
        top.contains(env!("CARGO_PKG_VERSION")) && top.contains("delta:"),
        "{top}"
    );
    let steps = |which: &str| -> Vec<(String, String)> {
        told[which]
            .as_array()
            .expect("steps")
            .iter()
            .map(plain)
            .collect()
    };
    let step = |kind: &str, said: &str| (kind.to_owned(), said.to_owned());
    let taken = step("good", "Taken");
    let sent = step("", "Sent to stream 1");
    let right = steps("right");
    assert_eq!(right[..2], [sent.clone(), taken.clone()], "{right:?}");
    assert!(
        right.len() == 3 && right[2].0 == "good" && right[2].1.starts_with("In delta:"),
        "{right:?}"
    );
    let wrong = step(
        "bad",
        "What became of it is told to those with the admin token: this one is another.",
    );
    assert_eq!(steps("wrong"), [sent, taken.clone(), wrong]);
    assert_eq!(steps("none"), [step("", "Sent to stream shop"), taken]);
    let snippet =
        "<script async src=\"http://localhost:8080/static/rs.js\" data-stream=\"shop\"></script>";
    assert_eq!(told["snippet"], snippet);
    for look in told["looks"].as_array().expect("looks") {
        assert_eq!(look, &json!({"violations": [], "fits": true}));
    }
    let refused =
        "Failed to load resource: the server responded with a status of 401 (Unauthorized)";
    let complaints = told["complaints"].as_array().expect("complaints");
    assert!(
        complaints.iter().all(|complaint| complaint == refused
            || complaint.as_str().is_some_and(|text| text.contains("404"))),
        "{complaints:?}"
    );
    let asked = told["asked"].as_array().expect("requests");
    assert!(
        asked.iter().all(|url| url
            .as_str()
            .is_some_and(|url| url.starts_with("http://localhost:8080/"))),
        "{asked:?}"
    );

    let rows = rows(folder.path());
    let streams: Vec<_> = rows
        .iter()
        .map(|row| row["stream_id"].as_str().expect("a stream"))
        .collect();
    assert_eq!(streams[..3], ["1", "1", "shop"], "{rows:#?}");
    assert!(
        rows.iter().all(|row| row["event_name"] == "test_event"),
        "{rows:#?}"
    );
}
