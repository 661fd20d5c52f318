//! How far tasks are behind the log.

use weir_topology::log::{Log, LogError};
use weir_topology::worker::Worker;

/// Watches whether there is anything left to fold.
///
/// Feedback runs in a circle through the log, so no single look can tell: everything must stand
/// still over two looks in a row, with nothing committed in between.
#[derive(Debug, Default)]
pub struct Quiescence {
    epochs_then: Option<i64>,
}

impl Quiescence {
    /// Whether every task of `worker` has folded all there is, now and at the last look.
    pub fn look(&mut self, log: &dyn Log, worker: &Worker) -> Result<bool, LogError> {
        let epochs: i64 = worker.statuses().map(|(_, status)| status.epoch()).sum();
        let quiet = lag(log, worker)? == Some(0);
        let settled = quiet && self.epochs_then == Some(epochs);
        self.epochs_then = quiet.then_some(epochs);
        Ok(settled)
    }
}

/// Offsets that the tasks of `worker` have not folded yet; none while a task is not open yet.
pub fn lag(log: &dyn Log, worker: &Worker) -> Result<Option<i64>, LogError> {
    let mut lag = 0;
    for (_, status) in worker.statuses() {
        let positions = status.positions();
        if positions.is_empty() {
            return Ok(None);
        }
        for position in positions {
            let (first, end) = log.bounds(position.topic, position.partition)?;
            lag += (end - position.next.max(first)).max(0);
        }
    }
    Ok(Some(lag))
}
