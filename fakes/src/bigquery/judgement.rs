//! What is held against a request: where its rows go, and whether each fits.

use bytes::Bytes;
use tonic::{Code, Status};

use super::plan::Plan;
use super::refusal::{inside, status};
use super::state::State;
use super::storage::RowError;
use super::storage::row_error::RowErrorCode;
use super::storage::storage_error::StorageErrorCode as Cause;
use super::stream::StreamName;
use super::{row, rpc};

/// A no to a request.
pub(super) enum No {
    /// Said in the reply; the connection goes on.
    Inside(rpc::Status),
    /// Said of rows; none of the request was written.
    Rows(Vec<RowError>),
    /// The connection ends.
    End(Status),
}

impl From<Status> for No {
    fn from(status: Status) -> Self {
        Self::End(status)
    }
}

/// A request that is wrong as a whole.
pub(super) fn no_inside(cause: Cause, message: &str, stream: &str) -> No {
    No::Inside(inside(Code::InvalidArgument, cause, message, stream))
}

/// The offset at which the rows go; none in the default stream.
///
/// # Errors
/// They cannot go there.
pub(super) fn check_offset(
    state: &mut State,
    name: &StreamName,
    offset: Option<i64>,
    rows: &[Bytes],
    path: &str,
) -> Result<Option<i64>, No> {
    if name.is_default() {
        return match offset {
            None => Ok(None),
            Some(_) => {
                let message = "Offset must not be set on the default stream.";
                Err(no_inside(Cause::Unspecified, message, path))
            }
        };
    }
    let stream = state.stream(name)?;
    let end = stream.end;
    let Some(received) = offset.filter(|offset| *offset != end) else {
        return Ok(Some(end));
    };
    if received > end {
        let message =
            format!("The offset is beyond stream, expected offset {end}, received {received}");
        return Err(No::Inside(inside(
            Code::OutOfRange,
            Cause::OffsetOutOfRange,
            &message,
            path,
        )));
    }
    if received < 0 {
        return Err(no_inside(
            Cause::Unspecified,
            "Offset must not be negative.",
            path,
        ));
    }
    if !stream.holds(received, rows) {
        state.foreign_replays += 1;
    }
    let message =
        format!("The offset is within stream, expected offset {end}, received {received}");
    Err(No::Inside(inside(
        Code::AlreadyExists,
        Cause::OffsetAlreadyExists,
        &message,
        path,
    )))
}

/// Refuses rows with which something is wrong, of those that are checked.
///
/// # Errors
/// Each row that is refused, or the end of the connection.
pub(super) fn check_rows(state: &mut State, plan: &Plan, rows: &[Bytes]) -> Result<(), No> {
    let today = row::today();
    let mut errors = Vec::new();
    for (index, encoded) in rows.iter().enumerate() {
        state.rows_seen += 1;
        let is_checked = state.rows_seen.is_multiple_of(state.check_every);
        if !is_checked && state.poisons.is_empty() {
            continue;
        }
        let fault = match row::check(plan, encoded, today) {
            Ok(row) => {
                state.lost_fields += row.lost_fields;
                let poison = state
                    .poisons
                    .iter()
                    .find(|poison| poison.takes(&row.values));
                if poison.is_some_and(|poison| poison.ends_connection) {
                    return Err(Status::invalid_argument("The request is not valid.").into());
                }
                poison.map(|poison| format!("Field {}: it is poison", poison.column))
            }
            Err(fault) => Some(fault),
        };
        if let Some(message) = fault {
            errors.push(RowError {
                index: i64::try_from(index).expect("few enough"),
                code: RowErrorCode::FieldsError.into(),
                message,
            });
        }
    }
    if errors.is_empty() {
        return Ok(());
    }
    Err(No::Rows(errors))
}

/// A table or stream that is not there.
pub(super) fn not_found(cause: Cause, what: &str) -> Status {
    status(
        Code::NotFound,
        cause,
        "Requested entity was not found.",
        what,
    )
}
