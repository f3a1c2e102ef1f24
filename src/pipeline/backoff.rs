//! How long a delivery waits after a failure: longer each time, with jitter, or as long as the destination says.

use std::num::NonZeroU64;
use std::time::Duration;

use crate::writer::WriteError;

/// How a delivery deals with failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeliveryConfig {
    /// First wait after a transient error; doubled each time, with jitter.
    pub backoff: Duration,
    /// Longest wait after a transient error.
    pub backoff_max: Duration,
    /// Wait after an error that only the operator can mend.
    pub backoff_fatal: Duration,
    /// How many records an optional destination may fall behind before it skips to the end; `None` for a required one.
    pub max_lag: Option<NonZeroU64>,
}

impl DeliveryConfig {
    /// How long to wait after the error that ended the attempt after so many failures.
    pub(super) fn wait_after(&self, error: &WriteError, failures: u32) -> Duration {
        match error {
            WriteError::Transient {
                retry_after: Some(wait),
                ..
            } => *wait,
            WriteError::Transient {
                retry_after: None, ..
            }
            | WriteError::Rejected(_) => {
                let longest = self
                    .backoff
                    .saturating_mul(1 << failures.min(16))
                    .min(self.backoff_max);
                longest.mul_f64(0.5 + fastrand::f64() / 2.0)
            }
            WriteError::Fatal(_) => self.backoff_fatal,
        }
    }
}
