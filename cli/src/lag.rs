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
    was_quiet: bool,
}

impl Quiescence {
    /// Whether every task of `worker` has folded all there is, now and at the last look.
    pub fn look(&mut self, log: &dyn Log, worker: &Worker) -> Result<bool, LogError> {
        let epochs: i64 = worker.statuses().map(|(_, status)| status.epoch()).sum();
        // While epochs are committed nothing stands still, and the log need not be asked.
        let has_moved = self.epochs_then.replace(epochs) != Some(epochs);
        let is_quiet = !has_moved && lag(log, worker)? == Some(0);
        let settled = is_quiet && self.was_quiet;
        self.was_quiet = is_quiet;
        Ok(settled)
    }
}

/// Whether `worker` has tasks, and each of them has opened its partition.
pub fn is_open(worker: &Worker) -> bool {
    let mut tasks = worker.statuses().peekable();
    tasks.peek().is_some() && tasks.all(|(_, status)| !status.positions().is_empty())
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
