//! How far tasks are behind the log.

use crate::telemetry::Metrics;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use weir_topology::log::{Log, LogError};
use weir_topology::task::TaskStatus;
use weir_topology::topic::{StageName, TaskId};
use weir_topology::worker::Worker;

/// Tasks, with what they share.
type Tasks = Vec<(TaskId, Arc<TaskStatus>)>;

/// How often the metrics are told.
const TELL_EVERY: Duration = Duration::from_secs(5);

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
        let Some(of_task) = lag_of(log, status)? else { return Ok(None) };
        lag += of_task;
    }
    Ok(Some(lag))
}

/// Offsets that one task has not folded yet; none while it is not open yet.
fn lag_of(log: &dyn Log, status: &TaskStatus) -> Result<Option<i64>, LogError> {
    let positions = status.positions();
    if positions.is_empty() {
        return Ok(None);
    }
    let mut lag = 0;
    for position in positions {
        let (first, end) = log.bounds(position.topic, position.partition)?;
        lag += (end - position.next.max(first)).max(0);
    }
    Ok(Some(lag))
}

/// Tells the metrics how far a process is behind, in a thread of its own: a log that hangs must not hold up
/// who tends the tasks.
#[derive(Debug)]
pub struct LagTeller {
    tasks: Arc<Mutex<Tasks>>,
}

impl LagTeller {
    /// Tells from now on, until the log is dropped elsewhere.
    pub fn start(log: &Arc<dyn Log>, metrics: Arc<Metrics>) -> io::Result<Self> {
        let teller = Self { tasks: Arc::default() };
        let (log, tasks) = (Arc::downgrade(log), teller.tasks.clone());
        let tell = move || {
            while let Some(log) = log.upgrade() {
                let now = tasks.lock().unwrap_or_else(PoisonError::into_inner).clone();
                // A log that does not answer says nothing new; readiness tells of that.
                let _ = tell(log.as_ref(), &now, &metrics);
                drop(log);
                std::thread::sleep(TELL_EVERY);
            }
        };
        std::thread::Builder::new().name("lag".into()).spawn(tell)?;
        Ok(teller)
    }

    /// The tasks that this process has now.
    pub fn look_at<'w>(&self, workers: impl Iterator<Item = &'w Worker>) {
        let tasks = workers.flat_map(Worker::statuses).map(|(id, status)| (id, status.clone())).collect();
        *self.tasks.lock().unwrap_or_else(PoisonError::into_inner) = tasks;
    }
}

fn tell(log: &dyn Log, tasks: &[(TaskId, Arc<TaskStatus>)], metrics: &Metrics) -> Result<(), LogError> {
    for stage in StageName::FOLDING {
        let mut lag = 0;
        for (_, status) in tasks.iter().filter(|(id, _)| id.stage == stage) {
            lag += lag_of(log, status)?.unwrap_or(0);
        }
        metrics.lag_looked_at(stage, lag);
    }
    Ok(())
}
