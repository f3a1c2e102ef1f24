//! What an answer of Pub/Sub means for a batch: the one table, and the words for the operator.
//!
//! Codes that Google's clients try again on a publish are tried again (`pubsub_grpc_service_config.json` of
//! googleapis), those by which the service refuses messages are about rows, and the rest is for the operator.

use std::time::Duration;

use prost::Message;
use tonic::{Code, Status};

use super::connection::CallFault;
use crate::writer::{Cause, WriteError};

/// What to do about a call that has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reaction {
    /// Try again: it may also have worked.
    Again,
    /// A message, or several, are not taken.
    Rows,
    /// Only the operator can mend it.
    Operator,
}

/// The table.
pub(super) fn reaction(code: Code) -> Reaction {
    match code {
        Code::Unavailable
        | Code::DeadlineExceeded
        | Code::ResourceExhausted
        | Code::Aborted
        | Code::Cancelled
        | Code::Internal
        | Code::Unknown => Reaction::Again,
        // Not documented for a publish. Trying again cannot lose anything.
        Code::Ok | Code::DataLoss | Code::OutOfRange | Code::AlreadyExists => Reaction::Again,
        Code::InvalidArgument => Reaction::Rows,
        Code::NotFound
        | Code::PermissionDenied
        | Code::Unauthenticated
        | Code::FailedPrecondition
        | Code::Unimplemented => Reaction::Operator,
    }
}

/// Why something could not be done with a topic; says what the operator can do.
#[derive(Debug, thiserror::Error)]
#[error("topic {topic}: {fault}{}", advice(.topic, .fault))]
pub struct Error {
    /// `projects/…/topics/…`.
    pub topic: String,
    /// What happened.
    #[source]
    pub fault: CallFault,
}

impl Error {
    pub(super) fn reaction(&self) -> Reaction {
        match &self.fault {
            CallFault::Status(status) => reaction(status.code()),
            CallFault::Access(WriteError::Fatal(_)) => Reaction::Operator,
            CallFault::Access(_) | CallFault::Timeout(_) => Reaction::Again,
        }
    }

    pub(super) fn code(&self) -> Option<Code> {
        match &self.fault {
            CallFault::Status(status) => Some(status.code()),
            CallFault::Access(_) | CallFault::Timeout(_) => None,
        }
    }
}

fn advice(topic: &str, fault: &CallFault) -> String {
    let code = match fault {
        CallFault::Status(status) => status.code(),
        // It says so itself.
        CallFault::Access(_) => return String::new(),
        CallFault::Timeout(_) => Code::DeadlineExceeded,
    };
    match code {
        Code::NotFound => format!(
            "; there is no such topic: correct APP_CONFIG__WRITERS__PUBSUB__TOPIC_ID or APP_CONFIG__WRITERS__PROJECT_ID, make it with \
             `gcloud pubsub topics create {topic}`, or set APP_CONFIG__WRITERS__PUBSUB__CREATE=true"
        ),
        Code::PermissionDenied => format!(
            "; the collector's service account needs roles/pubsub.publisher on it: `gcloud pubsub topics add-iam-policy-binding {topic} \
             --member=serviceAccount:… --role=roles/pubsub.publisher`"
        ),
        Code::Unauthenticated => "; the application default credentials are missing or wrong: run with a service account, or \
             `gcloud auth application-default login`"
            .to_owned(),
        Code::FailedPrecondition => {
            "; look at the topic's encryption key and storage policy".to_owned()
        }
        Code::Unimplemented => "; whatever answers there is not Pub/Sub".to_owned(),
        Code::DeadlineExceeded => "; it may have been published all the same".to_owned(),
        _ => String::new(),
    }
}

impl From<Error> for WriteError {
    fn from(error: Error) -> Self {
        let reaction = error.reaction();
        let retry_after = match &error.fault {
            CallFault::Status(status) => retry_delay(status),
            CallFault::Access(_) | CallFault::Timeout(_) => None,
        };
        let source: Cause = Box::new(error);
        match reaction {
            Reaction::Again => Self::Transient {
                source,
                retry_after,
            },
            Reaction::Rows | Reaction::Operator => Self::Fatal(source),
        }
    }
}

/// The longest wait that is taken from an answer.
const LONGEST_DELAY: Duration = Duration::from_secs(60);

/// How long the service asks to wait (`google.rpc.RetryInfo` among the details of a status).
fn retry_delay(status: &Status) -> Option<Duration> {
    let details = RpcStatus::decode(status.details()).ok()?.details;
    let info = details
        .iter()
        .find(|detail| detail.type_url.ends_with("/google.rpc.RetryInfo"))?;
    let delay = RetryInfo::decode(info.value.as_slice()).ok()?.retry_delay?;
    let seconds = u64::try_from(delay.seconds).ok()?;
    let nanos = u32::try_from(delay.nanos).ok()?;
    Some(Duration::new(seconds, nanos.min(999_999_999)).min(LONGEST_DELAY))
}

/// `google.rpc.Status`, as far as we read it.
#[derive(Clone, PartialEq, Message)]
struct RpcStatus {
    #[prost(message, repeated, tag = "3")]
    details: Vec<Detail>,
}

/// `google.protobuf.Any`.
#[derive(Clone, PartialEq, Message)]
struct Detail {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

/// `google.rpc.RetryInfo`.
#[derive(Clone, PartialEq, Message)]
struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    retry_delay: Option<Delay>,
}

/// `google.protobuf.Duration`.
#[derive(Clone, PartialEq, Message)]
struct Delay {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(fault: impl Into<CallFault>) -> Error {
        Error {
            topic: "projects/p/topics/t".to_owned(),
            fault: fault.into(),
        }
    }

    #[test]
    fn each_code_has_its_reaction() {
        let table = [
            (Code::Ok, Reaction::Again),
            (Code::Cancelled, Reaction::Again),
            (Code::Unknown, Reaction::Again),
            (Code::InvalidArgument, Reaction::Rows),
            (Code::DeadlineExceeded, Reaction::Again),
            (Code::NotFound, Reaction::Operator),
            (Code::AlreadyExists, Reaction::Again),
            (Code::PermissionDenied, Reaction::Operator),
            (Code::ResourceExhausted, Reaction::Again),
            (Code::FailedPrecondition, Reaction::Operator),
            (Code::Aborted, Reaction::Again),
            (Code::OutOfRange, Reaction::Again),
            (Code::Unimplemented, Reaction::Operator),
            (Code::Internal, Reaction::Again),
            (Code::Unavailable, Reaction::Again),
            (Code::DataLoss, Reaction::Again),
            (Code::Unauthenticated, Reaction::Operator),
        ];
        for (number, (code, expected)) in table.into_iter().enumerate() {
            assert_eq!(
                i32::try_from(number),
                Ok(code as i32),
                "every code, in order"
            );
            assert_eq!(reaction(code), expected, "{code:?}");
            let reported = WriteError::from(error(Status::new(code, "why")));
            let is_transient = matches!(reported, WriteError::Transient { .. });
            assert_eq!(is_transient, expected == Reaction::Again, "{code:?}");
            assert!(!matches!(reported, WriteError::Rejected(_)));
        }
    }

    #[test]
    fn without_an_answer_or_a_token_it_is_tried_again() {
        let timeout = error(CallFault::Timeout(Duration::from_secs(10)));
        assert_eq!(timeout.reaction(), Reaction::Again);
        let expected = "topic projects/p/topics/t: no answer within 10 s; it may have been published all the same";
        assert_eq!(timeout.to_string(), expected);
        let without_token = CallFault::Access(WriteError::transient("no token"));
        assert_eq!(error(without_token).reaction(), Reaction::Again);
        let without_credentials = CallFault::Access(WriteError::fatal("no credentials"));
        assert_eq!(error(without_credentials).reaction(), Reaction::Operator);
    }

    #[test]
    fn the_operator_is_told_what_to_do() {
        let told = |code: Code| error(Status::new(code, "why")).to_string();
        let missing = told(Code::NotFound);
        for word in [
            "projects/p/topics/t",
            "why",
            "WRITERS__PUBSUB__TOPIC_ID",
            "WRITERS__PUBSUB__CREATE=true",
            "gcloud pubsub topics create",
        ] {
            assert!(missing.contains(word), "{word}: {missing}");
        }
        assert!(told(Code::PermissionDenied).contains("roles/pubsub.publisher"));
        assert!(told(Code::Unauthenticated).contains("application-default login"));
    }

    #[test]
    fn the_service_may_say_how_long_to_wait() {
        let delay = |seconds: i64, nanos: i32| {
            let info = RetryInfo {
                retry_delay: Some(Delay { seconds, nanos }),
            };
            let other = Detail {
                type_url: "type.googleapis.com/google.rpc.ErrorInfo".to_owned(),
                value: vec![0xff],
            };
            let detail = Detail {
                type_url: "type.googleapis.com/google.rpc.RetryInfo".to_owned(),
                value: info.encode_to_vec(),
            };
            let details = RpcStatus {
                details: vec![other, detail],
            };
            let details = details.encode_to_vec().into();
            let status = Status::with_details(Code::ResourceExhausted, "quota", details);
            match WriteError::from(error(status)) {
                WriteError::Transient { retry_after, .. } => retry_after,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(delay(2, 500_000_000), Some(Duration::from_millis(2_500)));
        assert_eq!(delay(86_400, 0), Some(LONGEST_DELAY));
        assert_eq!(delay(-1, 0), None);
        assert_eq!(retry_delay(&Status::unavailable("no details")), None);
    }
}
