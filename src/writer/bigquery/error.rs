//! What BigQuery says when it does not take rows, and what is to be done: the one table.
//!
//! The codes of storage errors count before those of gRPC, and both before any text
//! (<https://cloud.google.com/bigquery/docs/reference/storage/rpc/google.cloud.bigquery.storage.v1#storageerror>).

use googleapis_tonic_google_cloud_bigquery_storage_v1::google::cloud::bigquery::storage::v1::{
    RowError, StorageError, storage_error::StorageErrorCode,
};
use googleapis_tonic_google_cloud_bigquery_storage_v1::google::rpc;
use prost::Message as _;
use std::collections::BTreeMap;
use std::time::Duration;

use tonic::{Code, Status};

use crate::writer::WriteError;

/// New columns are known everywhere after minutes.
const LAG_WAIT: Duration = Duration::from_secs(5);

const THROTTLED_WAIT: Duration = Duration::from_secs(1);

/// What is to be done about an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reaction {
    /// Nothing: the rows are there.
    Done,
    /// These rows, by index, are wrong; nothing of the request was written.
    Rows(Vec<(usize, String)>),
    /// Something in the request is wrong, nobody says what; nothing of it was written.
    Something(String),
    /// An earlier request of the stream was not written, so this one was not either.
    Rewind,
    /// The table does not have all columns yet; nothing was written.
    SchemaLag(String),
    /// The table is not known: not yet, or no more; nothing was written.
    NoTable(String),
    /// The stream takes nothing more; what it has taken must be asked.
    StreamEnded(String),
    /// The connection ended because of a request in which something is wrong; whether others were written is not known.
    Ended(String),
    /// A connection that nobody had used for a while ended before the answer; whether it was written is not known.
    Stale(String),
    /// Too much at once; nothing was written.
    Throttled(String),
    /// Whether it was written is not known.
    Unknown(String),
    /// Only the operator can mend it; nothing was written.
    Operator(String),
}

impl Reaction {
    /// What a delivery is told.
    pub(super) fn into_write_error(self) -> WriteError {
        match self {
            Self::Operator(text) => WriteError::fatal(text),
            Self::Throttled(text) => WriteError::Transient {
                source: text.into(),
                retry_after: Some(THROTTLED_WAIT),
            },
            Self::SchemaLag(text) => WriteError::Transient {
                source: format!("the table does not have all columns yet: {text}").into(),
                retry_after: Some(LAG_WAIT),
            },
            Self::Rewind => WriteError::transient("an earlier request was not written"),
            Self::Done | Self::Rows(_) => WriteError::transient("rows were refused"),
            Self::Something(text)
            | Self::NoTable(text)
            | Self::StreamEnded(text)
            | Self::Ended(text)
            | Self::Stale(text)
            | Self::Unknown(text) => WriteError::transient(text),
        }
    }

    /// What an error on the way to a stream asks for.
    pub(super) fn of_write_error(error: &WriteError) -> Self {
        match error {
            WriteError::Fatal(cause) => Self::Operator(cause.to_string()),
            other => Self::Unknown(other.to_string()),
        }
    }

    /// What an answer in the stream asks for.
    pub(super) fn of_answer(error: &rpc::Status, row_errors: &[RowError], rows: usize) -> Self {
        if !row_errors.is_empty() {
            let index = |error: &RowError| usize::try_from(error.index).ok();
            let known = row_errors
                .iter()
                .filter_map(|error| Some((index(error)?, error.message.clone())))
                .filter(|(index, _)| *index < rows);
            let known: Vec<_> = known.collect();
            // An index beyond the rows tells nothing.
            return if known.len() == row_errors.len() {
                Self::Rows(by_row(known))
            } else {
                Self::Something(error.message.clone())
            };
        }
        let storage = error.details.iter().find_map(|detail| {
            let is_storage = detail.type_url.ends_with("StorageError");
            is_storage.then(|| StorageError::decode(detail.value.as_slice()).ok())?
        });
        Self::of(Code::from(error.code), storage.as_ref(), &error.message)
    }

    /// What the end of a connection, or the answer to a single call, asks for.
    pub(super) fn of_status(status: &Status) -> Self {
        let details = rpc::Status::decode(status.details()).unwrap_or_default();
        let storage = details.details.iter().find_map(|detail| {
            let is_storage = detail.type_url.ends_with("StorageError");
            is_storage.then(|| StorageError::decode(detail.value.as_slice()).ok())?
        });
        Self::of(status.code(), storage.as_ref(), status.message())
    }

    fn of(code: Code, storage: Option<&StorageError>, message: &str) -> Self {
        use StorageErrorCode as Storage;

        let text = match storage {
            Some(storage) => format!("{} ({message})", storage.code().as_str_name()),
            None => format!("{code:?} ({message})"),
        };
        match storage.map(StorageError::code) {
            // Something stands there that was not known of: what the stream has must be asked.
            Some(Storage::OffsetAlreadyExists) => return Self::Unknown(text),
            Some(Storage::OffsetOutOfRange) => return Self::Rewind,
            Some(Storage::SchemaMismatchExtraFields) => return Self::SchemaLag(text),
            Some(Storage::TableNotFound) => return Self::NoTable(text),
            Some(
                Storage::StreamNotFound
                | Storage::StreamFinalized
                | Storage::InvalidStreamState
                | Storage::StreamAlreadyCommitted,
            ) => return Self::StreamEnded(text),
            Some(Storage::InvalidStreamType | Storage::Unspecified) | None => {}
            // Keys of encrypted tables.
            Some(_) => return Self::Operator(text),
        }
        match code {
            Code::OutOfRange => Self::Rewind,
            Code::InvalidArgument => Self::Something(text),
            Code::NotFound => Self::NoTable(text),
            Code::ResourceExhausted => Self::Throttled(text),
            Code::PermissionDenied | Code::Unauthenticated => Self::Operator(format!(
                "{text}; the collector's account needs roles/bigquery.dataEditor on the dataset"
            )),
            Code::FailedPrecondition | Code::Unimplemented => Self::Operator(text),
            _ => Self::Unknown(text),
        }
    }
}

/// Each row once, with all that is wrong with it.
fn by_row(errors: Vec<(usize, String)>) -> Vec<(usize, String)> {
    let mut rows: BTreeMap<usize, String> = BTreeMap::new();
    for (index, message) in errors {
        let reasons = rows.entry(index).or_default();
        if !reasons.is_empty() {
            reasons.push_str("; ");
        }
        reasons.push_str(&message);
    }
    rows.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(code: Code, storage: Option<StorageErrorCode>) -> rpc::Status {
        let details = storage.map(|code| prost_types::Any {
            type_url: "type.googleapis.com/google.cloud.bigquery.storage.v1.StorageError"
                .to_owned(),
            value: StorageError {
                code: code.into(),
                ..StorageError::default()
            }
            .encode_to_vec(),
        });
        rpc::Status {
            code: code.into(),
            message: "text".to_owned(),
            details: details.into_iter().collect(),
        }
    }

    #[test]
    fn a_row_with_two_errors_is_one_row() {
        let error = |index, message: &str| RowError {
            index,
            message: message.to_owned(),
            ..RowError::default()
        };
        let errors = [error(3, "a"), error(1, "b"), error(3, "c")];
        let found = Reaction::of_answer(&rpc::Status::default(), &errors, 5);
        let rows = vec![(1, "b".to_owned()), (3, "a; c".to_owned())];
        assert_eq!(found, Reaction::Rows(rows));
    }

    fn kind(reaction: &Reaction) -> &'static str {
        match reaction {
            Reaction::Done => "done",
            Reaction::Rows(_) => "rows",
            Reaction::Something(_) => "something",
            Reaction::Rewind => "rewind",
            Reaction::SchemaLag(_) => "schema lag",
            Reaction::NoTable(_) => "no table",
            Reaction::StreamEnded(_) => "stream ended",
            Reaction::Ended(_) => "ended",
            Reaction::Stale(_) => "stale",
            Reaction::Throttled(_) => "throttled",
            Reaction::Unknown(_) => "unknown",
            Reaction::Operator(_) => "operator",
        }
    }

    #[test]
    fn each_error_has_its_reaction() {
        use StorageErrorCode as Storage;
        for (code, storage, expected) in [
            (
                Code::AlreadyExists,
                Some(Storage::OffsetAlreadyExists),
                "unknown",
            ),
            (Code::AlreadyExists, None, "unknown"),
            (Code::OutOfRange, Some(Storage::OffsetOutOfRange), "rewind"),
            (Code::OutOfRange, None, "rewind"),
            (
                Code::InvalidArgument,
                Some(Storage::SchemaMismatchExtraFields),
                "schema lag",
            ),
            (Code::InvalidArgument, None, "something"),
            (
                Code::InvalidArgument,
                Some(Storage::InvalidStreamType),
                "something",
            ),
            (Code::NotFound, Some(Storage::TableNotFound), "no table"),
            (Code::NotFound, None, "no table"),
            (
                Code::NotFound,
                Some(Storage::StreamNotFound),
                "stream ended",
            ),
            (
                Code::InvalidArgument,
                Some(Storage::StreamFinalized),
                "stream ended",
            ),
            (
                Code::FailedPrecondition,
                Some(Storage::InvalidStreamState),
                "stream ended",
            ),
            (
                Code::FailedPrecondition,
                Some(Storage::StreamAlreadyCommitted),
                "stream ended",
            ),
            (Code::PermissionDenied, None, "operator"),
            (Code::Unauthenticated, None, "operator"),
            (Code::FailedPrecondition, None, "operator"),
            (
                Code::FailedPrecondition,
                Some(Storage::InvalidCmekProvided),
                "operator",
            ),
            (Code::ResourceExhausted, None, "throttled"),
            (Code::Aborted, None, "unknown"),
            (Code::Unavailable, None, "unknown"),
            (Code::Cancelled, None, "unknown"),
            (Code::Internal, None, "unknown"),
            (Code::DeadlineExceeded, None, "unknown"),
            (Code::Unknown, None, "unknown"),
        ] {
            let answer = answer(code, storage);
            let in_stream = Reaction::of_answer(&answer, &[], 3);
            assert_eq!(kind(&in_stream), expected, "{code:?} {storage:?}");
            let details = answer.encode_to_vec();
            let status = Status::with_details(code, "text", details.into());
            assert_eq!(Reaction::of_status(&status), in_stream);
        }
    }

    #[test]
    fn rows_are_named_by_index_unless_the_index_is_nonsense() {
        let error = answer(Code::InvalidArgument, None);
        let row = |index| RowError {
            index,
            message: "bad".to_owned(),
            ..RowError::default()
        };
        assert_eq!(
            Reaction::of_answer(&error, &[row(0), row(2)], 3),
            Reaction::Rows(vec![(0, "bad".to_owned()), (2, "bad".to_owned())])
        );
        for nonsense in [3, -1] {
            let reaction = Reaction::of_answer(&error, &[row(0), row(nonsense)], 3);
            assert_eq!(kind(&reaction), "something", "{nonsense}");
        }
    }
}
