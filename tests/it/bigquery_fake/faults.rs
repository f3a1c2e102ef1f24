//! Each fault once.

use std::time::Instant;

use super::*;
use crate::support::eventually;
use real_streaming_fakes::bigquery::fault::{Call, Fault, When};

async fn opened(bigquery: &BigQuery, stream: &str) -> Connection {
    let mut connection = Connection::open(bigquery, stream, first(stream, None, rows(0, 1)))
        .await
        .unwrap();
    let _offset = offset(connection.reply().await);
    connection
}

#[tokio::test]
async fn a_hidden_reply_leaves_the_rows() {
    let bigquery = bigquery().await;
    let stream = create_stream(&bigquery).await;
    bigquery.fail(Call::Append, Fault::HideReply, When::Next(1));
    let hidden = append(&bigquery, &stream, first(&stream, Some(0), rows(0, 3))).await;
    assert!(hidden.is_err());
    assert_eq!(bigquery.row_count(TABLE), 3);
    let again = append(&bigquery, &stream, first(&stream, Some(0), rows(0, 3))).await;
    assert_eq!(error(again).1, Cause::OffsetAlreadyExists);
    assert_eq!(
        (bigquery.row_count(TABLE), bigquery.foreign_replays()),
        (3, 0)
    );
}

#[tokio::test]
async fn a_connection_breaks_after_some_of_the_replies() {
    let bigquery = bigquery().await;
    bigquery.fail(Call::Append, Fault::Cut, When::After(2));
    let mut connection = Connection::open(&bigquery, DEFAULT, first(DEFAULT, None, rows(0, 1)))
        .await
        .unwrap();
    for id in 1..5 {
        connection.send(later(None, rows(id, 1))).await;
    }
    for _ in 0..2 {
        assert_eq!(offset(connection.reply().await), None);
    }
    assert!(connection.reply().await.is_err());
    assert_eq!(bigquery.row_count(TABLE), 2);
    assert_eq!(
        offset(append(&bigquery, DEFAULT, first(DEFAULT, None, rows(2, 1))).await),
        None
    );
}

#[tokio::test]
async fn an_answer_never_comes() {
    for (done, expected) in [(false, 0), (true, 1)] {
        let bigquery = bigquery().await;
        bigquery.fail(Call::Append, Fault::Hang { done }, When::Next(1));
        let mut connection = Connection::open(&bigquery, DEFAULT, first(DEFAULT, None, rows(0, 1)))
            .await
            .unwrap();
        connection.send(later(None, rows(1, 1))).await;
        eventually("the call", || bigquery.calls(Call::Append) == 1).await;
        let reply = tokio::time::timeout(Duration::from_millis(300), connection.reply()).await;
        assert!(reply.is_err(), "{reply:?}");
        assert_eq!(bigquery.row_count(TABLE), expected);
    }
}

#[tokio::test]
async fn connections_end_with_a_status() {
    let bigquery = bigquery().await;
    let cases = [
        (Fault::IDLE, Code::Aborted),
        (Fault::UNAVAILABLE, Code::Unavailable),
        (Fault::INTERNAL, Code::Internal),
        (Fault::THROTTLED, Code::ResourceExhausted),
        (Fault::FORBIDDEN, Code::PermissionDenied),
        (Fault::UNAUTHENTICATED, Code::Unauthenticated),
    ];
    for (fault, code) in cases {
        let mut connection = opened(&bigquery, DEFAULT).await;
        let before = bigquery.row_count(TABLE);
        bigquery.fail(Call::Append, fault, When::Next(1));
        assert_eq!(
            end(connection.append(later(None, rows(1, 1))).await).0,
            code
        );
        assert_eq!(bigquery.row_count(TABLE), before);
    }
    let before = bigquery.row_count(TABLE);
    let fault = Fault::DoneThenStatus(Code::Unavailable, "gone");
    bigquery.fail(Call::Append, fault, When::Next(1));
    let ended = append(&bigquery, DEFAULT, first(DEFAULT, None, rows(0, 1))).await;
    assert_eq!(end(ended).0, Code::Unavailable);
    assert_eq!(bigquery.row_count(TABLE), before + 1);
}

#[tokio::test]
async fn errors_stand_inside_replies() {
    let bigquery = bigquery().await;
    let mut connection = opened(&bigquery, DEFAULT).await;
    for (fault, code) in [
        (Fault::THROTTLED_INSIDE, Code::ResourceExhausted),
        (Fault::INVALID, Code::InvalidArgument),
    ] {
        bigquery.fail(Call::Append, fault, When::Next(1));
        let reply = connection.append(later(None, rows(1, 1))).await.unwrap();
        assert!(reply.row_errors.is_empty());
        assert_eq!(error(Ok(reply)).0, code);
    }
    assert_eq!(
        offset(connection.append(later(None, rows(1, 1))).await),
        None
    );
    assert_eq!(bigquery.row_count(TABLE), 2);
}

#[tokio::test]
async fn a_permission_is_taken_and_given_back() {
    let bigquery = bigquery().await;
    let append_rule = bigquery.fail(Call::Append, Fault::FORBIDDEN, When::Always);
    bigquery.fail(Call::Streams, Fault::FORBIDDEN, When::Always);
    for _ in 0..3 {
        let ended = append(&bigquery, DEFAULT, first(DEFAULT, None, rows(0, 1))).await;
        assert_eq!(end(ended).0, Code::PermissionDenied);
    }
    bigquery.end(append_rule);
    assert_eq!(
        offset(append(&bigquery, DEFAULT, first(DEFAULT, None, rows(0, 1))).await),
        None
    );
    let message = CreateWriteStreamRequest {
        parent: PARENT.to_owned(),
        ..CreateWriteStreamRequest::default()
    };
    let refused = client(&bigquery)
        .create_write_stream(routed(message, "parent", PARENT))
        .await;
    assert_eq!(end(refused).0, Code::PermissionDenied);
    bigquery.heal();
    let _stream = create_stream(&bigquery).await;
    assert_eq!(
        (bigquery.calls(Call::Append), bigquery.calls(Call::Streams)),
        (4, 2)
    );
}

#[tokio::test]
async fn chance_can_be_repeated() {
    let mut runs = Vec::new();
    for _ in 0..2 {
        let bigquery = bigquery().await;
        let when = When::Chance {
            probability: 0.5,
            seed: 7,
        };
        bigquery.fail(Call::Append, Fault::THROTTLED_INSIDE, when);
        let mut connection = Connection::open(&bigquery, DEFAULT, first(DEFAULT, None, rows(0, 1)))
            .await
            .unwrap();
        let mut failed = Vec::new();
        for id in 1..40 {
            let reply = connection.reply().await.unwrap();
            failed.push(matches!(reply.response, Some(Outcome::Error(_))));
            connection.send(later(None, rows(id, 1))).await;
        }
        assert!(failed.contains(&true) && failed.contains(&false));
        runs.push(failed);
    }
    assert_eq!(runs[0], runs[1]);
}

#[tokio::test]
async fn a_fault_can_last_for_a_time() {
    let bigquery = bigquery().await;
    let begun = Instant::now();
    let time = Duration::from_millis(200);
    bigquery.fail(Call::Append, Fault::UNAVAILABLE, When::For(time));
    while append(&bigquery, DEFAULT, first(DEFAULT, None, rows(0, 1)))
        .await
        .is_err()
    {
        assert!(begun.elapsed() < PATIENCE);
    }
    assert!(begun.elapsed() >= time);
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    let bigquery = bigquery().await;
    bigquery.idle_after(Duration::from_millis(50));
    let mut connection = opened(&bigquery, DEFAULT).await;
    let status = connection.reply().await.unwrap_err();
    assert_eq!(status.code(), Code::Aborted);
    assert!(status.message().contains("inactive"), "{status}");
}

#[tokio::test]
async fn a_server_that_restarts_says_go_away() {
    let bigquery = bigquery().await;
    let mut connection = opened(&bigquery, DEFAULT).await;
    bigquery.go_away();
    let status = connection.reply().await.unwrap_err();
    assert_eq!(status.code(), Code::Aborted);
    assert!(status.message().contains("server is restarted"), "{status}");
    let _again = opened(&bigquery, DEFAULT).await;
    assert_eq!(bigquery.connections(), 2);
}

#[tokio::test]
async fn nobody_answers() {
    let bigquery = bigquery().await;
    let mut connection = opened(&bigquery, DEFAULT).await;
    bigquery.be_unreachable();
    assert!(connection.reply().await.is_err());
    let refused = append(&bigquery, DEFAULT, first(DEFAULT, None, rows(1, 1))).await;
    assert!(refused.is_err());
    bigquery.heal();
    let _again = opened(&bigquery, DEFAULT).await;
}

#[tokio::test]
async fn streams_expire_or_are_finalized() {
    let bigquery = bigquery().await;
    let stream = create_stream(&bigquery).await;
    let mut connection = opened(&bigquery, &stream).await;
    bigquery.finalize_streams();
    assert_eq!(
        error(connection.append(later(None, rows(1, 1))).await).1,
        Cause::StreamFinalized
    );
    bigquery.expire_streams();
    let ended = connection.append(later(None, rows(1, 1))).await;
    assert_eq!(end(ended), (Code::NotFound, Cause::StreamNotFound));
    assert_eq!(bigquery.row_count(TABLE), 1);
}

#[tokio::test]
async fn a_new_table_is_not_found_for_a_time() {
    let bigquery = BigQuery::start().await;
    bigquery.create_dataset("p", "d");
    bigquery.table_lag(Duration::from_millis(200));
    let begun = Instant::now();
    bigquery.create_table(TABLE, schema());
    assert!(bigquery.table(TABLE).is_some());
    loop {
        match append(&bigquery, DEFAULT, first(DEFAULT, None, rows(0, 1))).await {
            Ok(_) => break,
            ended => assert_eq!(end(ended), (Code::NotFound, Cause::TableNotFound)),
        }
        assert!(begun.elapsed() < PATIENCE);
    }
    assert!(begun.elapsed() >= Duration::from_millis(200));
}

#[tokio::test]
async fn tables_and_datasets_go_away() {
    let bigquery = bigquery().await;
    let stream = create_stream(&bigquery).await;
    let mut connection = opened(&bigquery, DEFAULT).await;
    bigquery.remove_dataset("p", "d");
    let gone = end(connection.append(later(None, rows(1, 1))).await);
    assert_eq!(gone, (Code::NotFound, Cause::TableNotFound));
    bigquery.create_dataset("p", "d");
    let mut connection = opened(&bigquery, &stream).await;
    assert_eq!(bigquery.row_count(TABLE), 2);
    bigquery.delete_table(TABLE);
    let gone = end(connection.append(later(None, rows(1, 1))).await);
    assert_eq!(gone, (Code::NotFound, Cause::TableNotFound));
    // A table of the same name is another one: the streams of the first do not lead to it.
    bigquery.create_table(TABLE, schema());
    let gone = append(&bigquery, &stream, first(&stream, None, rows(0, 1))).await;
    assert_eq!(end(gone), (Code::NotFound, Cause::StreamNotFound));
    assert_eq!(bigquery.row_count(TABLE), 0);
}

#[tokio::test]
async fn replies_are_late_but_do_not_wait_for_each_other() {
    let bigquery = bigquery().await;
    let latency = Duration::from_millis(200);
    bigquery.latency(latency);
    let begun = Instant::now();
    let mut connection = Connection::open(&bigquery, DEFAULT, first(DEFAULT, None, rows(0, 1)))
        .await
        .unwrap();
    for id in 1..50 {
        connection.send(later(None, rows(id, 1))).await;
    }
    for _ in 0..50 {
        assert_eq!(offset(connection.reply().await), None);
    }
    let took = begun.elapsed();
    assert!(took >= latency && took < 25 * latency, "{took:?}");
}

#[tokio::test]
async fn poison_is_refused_by_the_value_of_a_column() {
    let bigquery = bigquery().await;
    bigquery.check_every(1_000_000);
    bigquery.poison("id", |id| id == "3");
    bigquery.poison("device.name", |name| name == "bad");
    let mut batch = rows(0, 6);
    batch[5] = Row {
        device: Some(Device {
            name: Some("bad".to_owned()),
        }),
        ..row("5")
    }
    .encode_to_vec();
    let reply = append(&bigquery, DEFAULT, first(DEFAULT, None, batch.clone()))
        .await
        .unwrap();
    let indices: Vec<i64> = reply.row_errors.iter().map(|fault| fault.index).collect();
    assert_eq!(indices, [3, 5]);
    assert_eq!(bigquery.row_count(TABLE), 0);
    bigquery.heal();
    assert_eq!(
        offset(append(&bigquery, DEFAULT, first(DEFAULT, None, batch)).await),
        None
    );
    assert_eq!(bigquery.row_count(TABLE), 6);
}
