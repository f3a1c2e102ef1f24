//! How BigQuery says no: over REST as JSON, over gRPC as a status or inside a reply, both with a `StorageError` that
//! names the cause (<https://cloud.google.com/bigquery/docs/error-messages>).

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use prost::Message as _;
use prost_types::Any;
use serde_json::json;
use tonic::{Code, Status};

use super::storage::storage_error::StorageErrorCode;
use super::{rpc, storage};

/// A no of the REST interface.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    pub code: StatusCode,
    pub reason: &'static str,
    pub message: String,
}

impl Refusal {
    fn new(code: StatusCode, reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            reason,
            message: message.into(),
        }
    }

    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid", message)
    }

    pub(super) fn not_found(what: &str) -> Self {
        let message = format!("Not found: {what}");
        Self::new(StatusCode::NOT_FOUND, "notFound", message)
    }

    pub(super) fn duplicate(what: &str) -> Self {
        let message = format!("Already Exists: {what}");
        Self::new(StatusCode::CONFLICT, "duplicate", message)
    }

    pub(super) fn stale() -> Self {
        let message = "Precondition check failed.";
        Self::new(StatusCode::PRECONDITION_FAILED, "conditionNotMet", message)
    }

    pub(super) fn too_often(message: &str) -> Self {
        Self::new(StatusCode::FORBIDDEN, "rateLimitExceeded", message)
    }

    /// What a gRPC code is over REST.
    pub(super) fn of(code: Code, message: &str) -> Self {
        let (http, reason) = match code {
            Code::InvalidArgument => (StatusCode::BAD_REQUEST, "invalid"),
            Code::Unauthenticated => (StatusCode::UNAUTHORIZED, "authError"),
            Code::PermissionDenied => (StatusCode::FORBIDDEN, "accessDenied"),
            Code::ResourceExhausted => (StatusCode::FORBIDDEN, "rateLimitExceeded"),
            Code::NotFound => (StatusCode::NOT_FOUND, "notFound"),
            Code::AlreadyExists => (StatusCode::CONFLICT, "duplicate"),
            Code::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "backendError"),
            _ => (StatusCode::INTERNAL_SERVER_ERROR, "internalError"),
        };
        Self::new(http, reason, message)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = match self.code.as_u16() {
            400 => "INVALID_ARGUMENT",
            401 => "UNAUTHENTICATED",
            403 => "PERMISSION_DENIED",
            404 => "NOT_FOUND",
            409 => "ALREADY_EXISTS",
            412 => "FAILED_PRECONDITION",
            503 => "UNAVAILABLE",
            _ => "INTERNAL",
        };
        let error = json!({"message": self.message, "domain": "global", "reason": self.reason});
        let body = json!({"error": {
            "code": self.code.as_u16(),
            "message": self.message,
            "errors": [error],
            "status": status,
        }});
        (self.code, axum::Json(body)).into_response()
    }
}

/// A no of the gRPC interface: what stands inside a reply.
pub(super) fn inside(
    code: Code,
    cause: StorageErrorCode,
    message: &str,
    entity: &str,
) -> rpc::Status {
    let error = storage::StorageError {
        code: cause.into(),
        entity: entity.to_owned(),
        error_message: message.to_owned(),
    };
    let details = match cause {
        StorageErrorCode::Unspecified => Vec::new(),
        _ => vec![Any {
            type_url: "type.googleapis.com/google.cloud.bigquery.storage.v1.StorageError"
                .to_owned(),
            value: error.encode_to_vec(),
        }],
    };
    let message = match entity {
        "" => message.to_owned(),
        entity => format!("{message} Entity: {entity}"),
    };
    rpc::Status {
        code: code.into(),
        message,
        details,
    }
}

/// The same as the end of a call.
pub(super) fn status(code: Code, cause: StorageErrorCode, message: &str, entity: &str) -> Status {
    let inside = inside(code, cause, message, entity);
    let details = inside.encode_to_vec();
    Status::with_details(code, inside.message, details.into())
}
