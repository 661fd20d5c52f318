//! When a commit that failed is tried again: the same for every source.

use crate::error::CollectorError;
use crate::limits::{RETRY_PAUSE_MAX, RETRY_PAUSE_MIN};
use std::time::Duration;
use weir_topology::clock::Clock as PaceClock;
use weir_topology::log::LogError;
use weir_topology::telemetry::Telemetry;
use weir_topology::topic::{StageName, TaskId};

/// The pause after failed commits: longer after each, none after one that went well.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    retry: Option<Retry>,
}

#[derive(Debug)]
struct Retry {
    at: Duration,
    pause: Duration,
}

impl Backoff {
    /// When the next try is due; none where the last one went well.
    pub(crate) fn due(&self) -> Option<Duration> {
        self.retry.as_ref().map(|retry| retry.at)
    }

    /// A commit went well.
    pub(crate) fn end(&mut self) {
        self.retry = None;
    }

    /// Tells of a commit that failed, and pauses.
    ///
    /// # Errors
    /// When trying again cannot help: another process took the source over, or the log cannot be used any
    /// more.
    pub(crate) fn pause(
        &mut self,
        error: LogError,
        pace: &dyn PaceClock,
        telemetry: &dyn Telemetry,
    ) -> Result<(), CollectorError> {
        match error {
            LogError::Fenced { writer } => Err(CollectorError::Fenced { writer }),
            LogError::Aborted { .. }
            | LogError::Indefinite { .. }
            | LogError::Storage { .. }
            | LogError::Unavailable { .. } => {
                let task = TaskId { stage: StageName::Collector, partition: 0 };
                telemetry.commit_aborted(task, &error.to_string());
                let doubled = self.retry.as_ref().map_or(RETRY_PAUSE_MIN, |retry| retry.pause * 2);
                let pause = doubled.min(RETRY_PAUSE_MAX);
                self.retry = Some(Retry { at: pace.now() + pause, pause });
                Ok(())
            }
            other => Err(other.into()),
        }
    }
}
