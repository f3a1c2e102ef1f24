//! What can go wrong with a Delta table, and which reaction it asks for.

use std::error::Error as StdError;
use std::io::{self, ErrorKind};
use std::path::PathBuf;

use arrow_schema::ArrowError;
use deltalake_core::DeltaTableError;
use deltalake_core::kernel::transaction::TransactionError;
use deltalake_core::logstore::object_store;
use parquet::errors::ParquetError;

use crate::writer::{Cause, WriteError};

/// Why a Delta table could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The table's transaction log.
    #[error(transparent)]
    Table(#[from] DeltaTableError),
    /// The storage below the table.
    #[error(transparent)]
    Store(#[from] object_store::Error),
    /// A commit.
    #[error(transparent)]
    Commit(#[from] TransactionError),
    /// A data file.
    #[error(transparent)]
    Parquet(#[from] ParquetError),
    /// Rows in memory.
    #[error(transparent)]
    Arrow(#[from] ArrowError),
    /// A local file or directory.
    #[error("{}: {source}", path.display())]
    Disk {
        /// Which one.
        path: PathBuf,
        /// What happened.
        source: io::Error,
    },
    /// The configured place cannot be that of a table.
    #[error("{uri}: {reason}")]
    Location {
        /// As it was configured.
        uri: String,
        /// Why not.
        reason: String,
    },
    /// The table at that place cannot hold our rows; one difference a line.
    #[error("the table cannot hold these rows:\n{0}")]
    Schema(String),
    /// Somebody else writes under our log's identity.
    #[error(
        "log_cloned: another writer has moved the position of {app_id}; two collectors run with copies of one log"
    )]
    LogCloned {
        /// The identity in the table.
        app_id: String,
    },
    /// Other writers were faster each time.
    #[error("gave up after {0} commits were overtaken by other writers")]
    Overtaken(usize),
    /// An earlier attempt landed meanwhile and the rows must be chosen anew.
    #[error("the position moved to {0} during the write")]
    Moved(u64),
    /// The writer was not opened, or was closed.
    #[error("the table is not open")]
    NotOpen,
    /// Work in the background did not end.
    #[error(transparent)]
    Background(#[from] crate::writer::background::Ended),
    /// A task of ours ended early.
    #[error(transparent)]
    Task(#[from] tokio::task::JoinError),
}

impl Error {
    /// Whether only the operator can mend it.
    fn is_fatal(&self) -> bool {
        match self {
            Self::Location { .. } | Self::Schema(_) | Self::LogCloned { .. } => return true,
            Self::Commit(
                TransactionError::UnsupportedTableFeatures(_)
                | TransactionError::TableFeaturesRequired(_)
                | TransactionError::DeltaTableAppendOnly,
            ) => return true,
            _ => {}
        }
        let mut cause: Option<&(dyn StdError + 'static)> = Some(self);
        while let Some(error) = cause {
            if refuses_for_good(error) {
                return true;
            }
            cause = error.source();
        }
        false
    }
}

/// Whether this link of a chain of causes says that trying again is of no use.
fn refuses_for_good(error: &(dyn StdError + 'static)) -> bool {
    if let Some(error) = error.downcast_ref::<object_store::Error>() {
        return matches!(
            error,
            object_store::Error::PermissionDenied { .. }
                | object_store::Error::Unauthenticated { .. }
                | object_store::Error::NotSupported { .. }
                | object_store::Error::InvalidPath { .. }
        );
    }
    error.downcast_ref::<io::Error>().is_some_and(|error| {
        matches!(
            error.kind(),
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem | ErrorKind::NotADirectory
        )
    })
}

impl From<Error> for WriteError {
    fn from(error: Error) -> Self {
        let fatal = error.is_fatal();
        let cause: Cause = Box::new(error);
        if fatal {
            Self::Fatal(cause)
        } else {
            Self::transient(cause)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permission_is_fatal_and_a_full_disk_is_not() {
        let disk = |kind: ErrorKind| Error::Disk {
            path: "/data".into(),
            source: kind.into(),
        };
        assert!(disk(ErrorKind::PermissionDenied).is_fatal());
        assert!(!disk(ErrorKind::StorageFull).is_fatal());
        let wrapped = Error::Store(object_store::Error::Generic {
            store: "test",
            source: Box::new(io::Error::from(ErrorKind::ReadOnlyFilesystem)),
        });
        assert!(wrapped.is_fatal());
        assert!(!Error::Overtaken(3).is_fatal());
    }
}
