//! A worker runs tasks, each in a thread of its own, and starts one over from the log when it must.
//!
//! A worker owns nothing that outlives it: a task that ends, however it ends, is taken up again from
//! the log by whoever opens it next.

use crate::log::LogError;
use crate::restore::TaskError;
use crate::stage::Stage;
use crate::task::{Surroundings, Task, TaskStatus};
use crate::topic::TaskId;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use thiserror::Error;

/// How long a task waits for records before it looks whether it should stop.
const STOP_CHECK: Duration = Duration::from_millis(100);

/// First and longest pause before a task starts over.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// Makes a new, empty stage for a task.
pub type MakeStage = Arc<dyn Fn(TaskId) -> Box<dyn Stage> + Send + Sync>;

/// Why a worker cannot go on.
#[derive(Debug, Error)]
pub enum WorkerError {
    /// A task failed in a way that starting over does not mend.
    #[error(transparent)]
    Task(#[from] TaskError),
    /// A task's thread panicked: a fault of this build.
    #[error("the thread of {0} panicked; please report it with the log lines above")]
    Panicked(TaskId),
}

/// Runs tasks.
pub struct Worker {
    around: Surroundings,
    make_stage: MakeStage,
    tasks: BTreeMap<TaskId, Running>,
}

struct Running {
    stop: Arc<AtomicBool>,
    status: Arc<TaskStatus>,
    thread: JoinHandle<Result<(), TaskError>>,
}

impl Worker {
    /// A worker without tasks.
    pub fn new(around: Surroundings, make_stage: MakeStage) -> Self {
        Self { around, make_stage, tasks: BTreeMap::new() }
    }

    /// Takes a task up. Does nothing when it runs here already.
    pub fn start(&mut self, id: TaskId) {
        self.tasks.entry(id).or_insert_with(|| {
            let (stop, status) = (Arc::new(AtomicBool::new(false)), Arc::new(TaskStatus::default()));
            let (around, make_stage) = (self.around.clone(), self.make_stage.clone());
            let (stopped, shared) = (stop.clone(), status.clone());
            let thread = std::thread::spawn(move || run(id, &around, &make_stage, &shared, &stopped));
            Running { stop, status, thread }
        });
    }

    /// Lets tasks drain, commit and end; returns when they have.
    pub fn stop(&mut self, ids: &[TaskId]) -> Result<(), WorkerError> {
        for id in ids {
            if let Some(running) = self.tasks.get(id) {
                running.stop.store(true, Ordering::Relaxed);
            }
        }
        let mut outcome = Ok(());
        for id in ids {
            if let Some(running) = self.tasks.remove(id) {
                let ended = end_of(*id, running);
                outcome = outcome.and(ended);
            }
        }
        outcome
    }

    /// Tells tasks that are no longer ours to end, and does not wait: whoever owns them now fences
    /// what they still try to commit.
    pub fn abandon(&mut self, ids: &[TaskId]) {
        for id in ids {
            if let Some(running) = self.tasks.remove(id) {
                running.stop.store(true, Ordering::Relaxed);
            }
        }
    }

    /// Lets every task drain, commit and end.
    pub fn stop_all(&mut self) -> Result<(), WorkerError> {
        let ids: Vec<_> = self.tasks.keys().copied().collect();
        self.stop(&ids)
    }

    /// The tasks that run here, with what they share.
    pub fn statuses(&self) -> impl Iterator<Item = (TaskId, &Arc<TaskStatus>)> {
        self.tasks.iter().map(|(id, running)| (*id, &running.status))
    }

    /// The failure of a task that ended by itself, if one has. A task that was fenced ended rightly:
    /// another process has its partition.
    pub fn check(&mut self) -> Result<(), WorkerError> {
        let ended: Vec<_> = self
            .tasks
            .iter()
            .filter(|(_, running)| running.thread.is_finished())
            .map(|(id, _)| *id)
            .collect();
        for id in ended {
            if let Some(running) = self.tasks.remove(&id) {
                end_of(id, running)?;
            }
        }
        Ok(())
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        for running in self.tasks.values() {
            running.stop.store(true, Ordering::Relaxed);
        }
    }
}

fn end_of(id: TaskId, running: Running) -> Result<(), WorkerError> {
    match running.thread.join() {
        Ok(outcome) => Ok(outcome?),
        Err(_) => Err(WorkerError::Panicked(id)),
    }
}

/// A task's life: opened from the log as often as it takes, until it is told to stop or is fenced.
fn run(
    id: TaskId,
    around: &Surroundings,
    make_stage: &MakeStage,
    status: &Arc<TaskStatus>,
    stop: &AtomicBool,
) -> Result<(), TaskError> {
    let mut backoff = BACKOFF.0;
    loop {
        let opened = Instant::now();
        let outcome = Task::open(id, make_stage(id), around.clone(), status.clone())
            .and_then(|task| run_until(task, stop));
        let error = match outcome {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        match &error {
            TaskError::Log { source: LogError::Fenced { .. }, .. } => {
                around.telemetry.task_released(id);
                return Ok(());
            }
            TaskError::Log { source, .. } if is_mendable(source) => {}
            _ => return Err(error),
        }
        around.telemetry.task_reopened(id, &error.to_string());
        if stop.load(Ordering::Relaxed) {
            // Nothing is lost: what was not committed is in the log for the next owner.
            return Ok(());
        }
        if opened.elapsed() > BACKOFF.1 {
            backoff = BACKOFF.0;
        }
        std::thread::sleep(backoff);
        backoff = (backoff * 2).min(BACKOFF.1);
    }
}

/// Whether starting over from the log can mend it.
fn is_mendable(error: &LogError) -> bool {
    matches!(
        error,
        LogError::Aborted { .. }
            | LogError::Indefinite { .. }
            | LogError::Storage { .. }
            | LogError::Unavailable { .. }
    )
}

fn run_until(mut task: Task, stop: &AtomicBool) -> Result<(), TaskError> {
    while !stop.load(Ordering::Relaxed) {
        task.run_epoch(STOP_CHECK)?;
    }
    task.close()
}
