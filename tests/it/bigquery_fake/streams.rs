//! Connections, streams and offsets.

use serde_json::json;
use tonic::Code;

use super::*;
use real_streaming_fakes::bigquery::storage::{
    FinalizeWriteStreamRequest, FlushRowsRequest, GetWriteStreamRequest, WriteStreamView,
};

#[tokio::test]
async fn the_default_stream_takes_rows_from_several_connections() {
    let bigquery = bigquery().await;
    let mut one = Connection::open(&bigquery, DEFAULT, first(DEFAULT, None, rows(0, 2)))
        .await
        .unwrap();
    let mut two = Connection::open(&bigquery, DEFAULT, first(DEFAULT, None, rows(2, 1)))
        .await
        .unwrap();
    assert_eq!(
        (offset(one.reply().await), offset(two.reply().await)),
        (None, None)
    );
    assert_eq!(offset(one.append(later(None, rows(3, 1))).await), None);
    let mut ids: Vec<String> = bigquery
        .rows(TABLE)
        .iter()
        .map(|row| row["id"].as_str().unwrap().to_owned())
        .collect();
    ids.sort();
    assert_eq!(ids, ["0", "1", "2", "3"]);
    assert_eq!(bigquery.tables(), [TABLE]);
}

#[tokio::test]
async fn a_call_must_be_routed() {
    let bigquery = bigquery().await;
    let request = || first(DEFAULT, None, rows(0, 1));
    for stream in [
        None,
        Some("projects/p/datasets/d/tables/other/streams/_default"),
    ] {
        let opened = Connection::open_with(&bigquery, stream, request()).await;
        assert_eq!(end(opened.map(drop)).0, Code::InvalidArgument, "{stream:?}");
    }
    // Google's clients escape slashes.
    let escaped = DEFAULT.replace('/', "%2F");
    assert_eq!(offset(append(&bigquery, &escaped, request()).await), None);
    let create = CreateWriteStreamRequest::default();
    let created = client(&bigquery).create_write_stream(create).await;
    assert_eq!(end(created).0, Code::InvalidArgument);
    assert_eq!(bigquery.row_count(TABLE), 1);
}

#[tokio::test]
async fn the_first_request_names_stream_and_schema() {
    let bigquery = bigquery().await;
    let no_stream = first("", None, rows(0, 1));
    let mut no_schema = later(None, rows(0, 1));
    no_schema.write_stream = DEFAULT.to_owned();
    let mut no_rows = first(DEFAULT, None, Vec::new());
    no_rows.rows = None;
    for request in [no_stream, no_schema, no_rows] {
        let ended = append(&bigquery, DEFAULT, request).await;
        assert_eq!(end(ended).0, Code::InvalidArgument);
    }
    let empty = append(&bigquery, DEFAULT, first(DEFAULT, None, Vec::new())).await;
    assert_eq!(error(empty).0, Code::InvalidArgument);
    assert_eq!(bigquery.row_count(TABLE), 0);
}

#[tokio::test]
async fn offsets_count_in_streams_of_clients_only() {
    let bigquery = bigquery().await;
    let refused = append(&bigquery, DEFAULT, first(DEFAULT, Some(0), rows(0, 1))).await;
    assert_eq!(error(refused).0, Code::InvalidArgument);

    let stream = create_stream(&bigquery).await;
    let mut connection = Connection::open(&bigquery, &stream, first(&stream, Some(0), rows(0, 3)))
        .await
        .unwrap();
    assert_eq!(offset(connection.reply().await), Some(0));
    let (code, cause, message) = error(connection.append(later(Some(0), rows(0, 3))).await);
    assert_eq!(
        (code, cause),
        (Code::AlreadyExists, Cause::OffsetAlreadyExists)
    );
    assert!(
        message.contains("expected offset 3, received 0"),
        "{message}"
    );
    assert_eq!(bigquery.foreign_replays(), 0);
    let (code, cause, message) = error(connection.append(later(Some(4), rows(4, 1))).await);
    assert_eq!((code, cause), (Code::OutOfRange, Cause::OffsetOutOfRange));
    assert!(
        message.contains("expected offset 3, received 4"),
        "{message}"
    );
    // The connection goes on after either.
    assert_eq!(
        offset(connection.append(later(Some(3), rows(3, 1))).await),
        Some(3)
    );
    assert_eq!(
        offset(connection.append(later(None, rows(4, 1))).await),
        Some(4)
    );
    let negative = error(connection.append(later(Some(-1), rows(4, 1))).await);
    assert_eq!(negative.0, Code::InvalidArgument);
    assert_eq!(bigquery.row_count(TABLE), 5);
    // Other rows at an offset that is taken: the client lost count.
    let _exists = error(connection.append(later(Some(3), rows(9, 1))).await);
    assert_eq!(bigquery.foreign_replays(), 1);
}

#[tokio::test]
async fn requests_on_their_way_fail_behind_one_that_fails() {
    let bigquery = bigquery().await;
    let stream = create_stream(&bigquery).await;
    let bad = vec![Row::default().encode_to_vec()];
    let mut connection = Connection::open(&bigquery, &stream, first(&stream, Some(0), rows(0, 2)))
        .await
        .unwrap();
    connection.send(later(Some(2), bad)).await;
    connection.send(later(Some(3), rows(3, 2))).await;
    connection.send(later(Some(5), rows(5, 1))).await;
    assert_eq!(offset(connection.reply().await), Some(0));
    assert_eq!(connection.reply().await.unwrap().row_errors.len(), 1);
    for _ in 0..2 {
        assert_eq!(error(connection.reply().await).1, Cause::OffsetOutOfRange);
    }
    assert_eq!(bigquery.row_count(TABLE), 2);
}

#[tokio::test]
async fn a_stream_has_one_connection() {
    let bigquery = bigquery().await;
    let stream = create_stream(&bigquery).await;
    let mut old = Connection::open(&bigquery, &stream, first(&stream, Some(0), rows(0, 1)))
        .await
        .unwrap();
    assert_eq!(offset(old.reply().await), Some(0));
    let mut new = Connection::open(&bigquery, &stream, first(&stream, Some(1), rows(1, 1)))
        .await
        .unwrap();
    assert_eq!(offset(new.reply().await), Some(1));
    assert_eq!(end(old.reply().await).0, Code::Aborted);
    assert_eq!(
        offset(new.append(later(Some(2), rows(2, 1))).await),
        Some(2)
    );
}

#[tokio::test]
async fn a_finalized_stream_tells_its_rows_and_takes_no_more() {
    let bigquery = bigquery().await;
    let stream = create_stream(&bigquery).await;
    assert_eq!(bigquery.streams(), std::slice::from_ref(&stream));
    let mut connection = Connection::open(&bigquery, &stream, first(&stream, Some(0), rows(0, 3)))
        .await
        .unwrap();
    assert_eq!(offset(connection.reply().await), Some(0));
    let finalize = |name: &str| {
        let message = FinalizeWriteStreamRequest {
            name: name.to_owned(),
        };
        let call = routed(message, "name", name);
        let mut client = client(&bigquery);
        async move { client.finalize_write_stream(call).await }
    };
    for _ in 0..2 {
        assert_eq!(finalize(&stream).await.unwrap().into_inner().row_count, 3);
    }
    let (code, cause, _) = error(connection.append(later(Some(3), rows(3, 1))).await);
    assert_eq!(
        (code, cause),
        (Code::InvalidArgument, Cause::StreamFinalized)
    );
    assert_eq!(
        end(finalize(DEFAULT).await),
        (Code::InvalidArgument, Cause::InvalidStreamType)
    );
    assert_eq!(bigquery.row_count(TABLE), 3);
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let bigquery = bigquery().await;
    let unknown = format!("{PARENT}/streams/unknown");
    let ended = append(&bigquery, &unknown, first(&unknown, None, rows(0, 1))).await;
    assert_eq!(end(ended), (Code::NotFound, Cause::StreamNotFound));
    let elsewhere = "projects/p/datasets/d/tables/other/streams/_default";
    let ended = append(&bigquery, elsewhere, first(elsewhere, None, rows(0, 1))).await;
    assert_eq!(end(ended), (Code::NotFound, Cause::TableNotFound));
    let wrong = "projects/p/tables/t";
    let ended = append(&bigquery, wrong, first(wrong, None, rows(0, 1))).await;
    assert_eq!(end(ended).0, Code::InvalidArgument);
    let flush = client(&bigquery)
        .flush_rows(FlushRowsRequest::default())
        .await;
    assert_eq!(end(flush).0, Code::Unimplemented);
}

#[tokio::test]
async fn a_stream_can_be_looked_at() {
    let bigquery = bigquery().await;
    let stream = create_stream(&bigquery).await;
    for name in [stream.as_str(), DEFAULT] {
        let message = GetWriteStreamRequest {
            name: name.to_owned(),
            view: WriteStreamView::Full.into(),
        };
        let found = client(&bigquery)
            .get_write_stream(routed(message, "name", name))
            .await;
        let found = found.unwrap().into_inner();
        assert_eq!(
            (found.name.as_str(), found.r#type()),
            (name, write_stream::Type::Committed)
        );
        assert_eq!(found.table_schema.unwrap().fields.len(), 9);
    }
}

#[tokio::test]
async fn a_connection_of_default_streams_can_switch_tables() {
    let bigquery = bigquery().await;
    bigquery.create_table(
        "p.d.u",
        json!({"schema": {"fields": [{"name": "id", "type": "STRING"}]}}),
    );
    let other = DEFAULT.replace("/t/", "/u/");
    let narrow = message("Other", vec![optional("id", 1, Type::String)]);
    let mut connection = Connection::open(&bigquery, DEFAULT, first(DEFAULT, None, rows(0, 1)))
        .await
        .unwrap();
    assert_eq!(offset(connection.reply().await), None);
    let switched = with_descriptor(&other, None, rows(1, 1), narrow.clone());
    assert_eq!(offset(connection.append(switched).await), None);
    // Back again by its name alone: its schema is known.
    let mut back = later(None, rows(2, 1));
    back.write_stream = DEFAULT.to_owned();
    assert_eq!(offset(connection.append(back).await), None);
    assert_eq!(
        (bigquery.row_count(TABLE), bigquery.row_count("p.d.u")),
        (2, 1)
    );
    // From now on each request must say where it goes.
    let nameless = connection.append(later(None, rows(3, 1))).await;
    assert_eq!(end(nameless).0, Code::InvalidArgument);

    let stream = create_stream(&bigquery).await;
    let mut connection = Connection::open(&bigquery, &stream, first(&stream, None, rows(0, 1)))
        .await
        .unwrap();
    assert_eq!(offset(connection.reply().await), Some(0));
    let switched = connection
        .append(with_descriptor(&other, None, rows(1, 1), narrow))
        .await;
    assert_eq!(end(switched).0, Code::InvalidArgument);
}

#[tokio::test]
async fn a_request_of_ten_megabytes_is_too_large() {
    let bigquery = bigquery().await;
    let large = |length: usize| {
        let row = Row {
            document: Some(format!("\"{}\"", "x".repeat(length))),
            ..row("large")
        };
        vec![row.encode_to_vec()]
    };
    let fits = append(&bigquery, DEFAULT, first(DEFAULT, None, large(9_990_000))).await;
    assert_eq!(offset(fits), None);
    let ended = append(&bigquery, DEFAULT, first(DEFAULT, None, large(10_000_000))).await;
    assert_eq!(end(ended).0, Code::InvalidArgument);
    assert_eq!(bigquery.row_count(TABLE), 1);
}
