//! A worker runs tasks, each in a thread of its own, and starts one over from the log when it must.
//!
//! A worker owns nothing that outlives it: a task that ends, however it ends, is taken up again from
//! the log by whoever opens it next. It may hold the state of tasks that run elsewhere ([`Standbys`]): then
//! it takes them up with that.

use crate::error::TaskError;
use crate::limits::DRAIN_MAX;
use crate::log::LogError;
use crate::stage::StageFactory;
use crate::standby::Standbys;
use crate::task::{Handover, Surroundings, Task, TaskStatus};
use crate::topic::TaskId;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use thiserror::Error;

/// How long a task waits for records before it looks whether it should stop.
const STOP_CHECK: Duration = Duration::from_millis(100);

/// How often it is looked whether a task has ended that was told to.
const END_CHECK: Duration = Duration::from_millis(5);

/// First and longest pause before a task starts over.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

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
    make_stage: StageFactory,
    tasks: BTreeMap<TaskId, Running>,
    /// Tasks whose state is held while they do not run here.
    kept_warm: BTreeSet<TaskId>,
    standbys: Option<Standbys>,
}

struct Running {
    stop: Arc<AtomicBool>,
    status: Arc<TaskStatus>,
    thread: JoinHandle<Result<(), TaskError>>,
}

impl Worker {
    /// A worker without tasks.
    pub fn new(around: Surroundings, make_stage: StageFactory) -> Self {
        Self { around, make_stage, tasks: BTreeMap::new(), kept_warm: BTreeSet::new(), standbys: None }
    }

    /// Holds the state of these tasks from now on, as long as they do not run here.
    pub fn keep_warm(&mut self, ids: impl IntoIterator<Item = TaskId>) {
        self.kept_warm.extend(ids);
        self.hold_standbys();
    }

    fn hold_standbys(&mut self) {
        if self.kept_warm.is_empty() {
            return;
        }
        let standbys =
            self.standbys.get_or_insert_with(|| Standbys::new(self.around.clone(), self.make_stage.clone()));
        for id in self.kept_warm.iter().filter(|id| !self.tasks.contains_key(id)) {
            standbys.hold(*id);
        }
    }

    /// Takes a task up. Does nothing when it runs here already.
    pub fn start(&mut self, id: TaskId) {
        self.tasks.entry(id).or_insert_with(|| {
            let (stop, status) = (Arc::new(AtomicBool::new(false)), Arc::new(TaskStatus::default()));
            let life = Life::new(id, self.around.clone(), self.make_stage.clone(), status.clone());
            let life = match &self.standbys {
                Some(standbys) => life.after(standbys.handover(id)),
                None => life,
            };
            let stopped = stop.clone();
            let thread = thread_of(id, move || run(life, &stopped));
            Running { stop, status, thread }
        });
    }

    /// Lets tasks drain, commit and end; returns when they have, and after `within` at the latest. What has
    /// not ended by then is left to end by itself, as by [`Self::abandon`]: a task that is being opened reads
    /// all of its state first, and has nothing to commit.
    pub fn stop(&mut self, ids: &[TaskId], within: Duration) -> Result<(), WorkerError> {
        let told = Instant::now();
        for id in ids {
            if let Some(running) = self.tasks.get(id) {
                running.stop.store(true, Ordering::Relaxed);
            }
        }
        let mut outcome = Ok(());
        for id in ids {
            let Some(running) = self.tasks.remove(id) else { continue };
            while !running.thread.is_finished() && told.elapsed() < within {
                std::thread::sleep(END_CHECK);
            }
            match running.thread.is_finished() {
                true => outcome = outcome.and(end_of(*id, running)),
                false => self.around.telemetry.task_abandoned(*id, within),
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

    /// Lets every task drain, commit and end, for [`DRAIN_MAX`] at most, and lets go of every standby.
    pub fn stop_all(&mut self) -> Result<(), WorkerError> {
        self.kept_warm.clear();
        self.standbys = None;
        let ids: Vec<_> = self.tasks.keys().copied().collect();
        self.stop(&ids, DRAIN_MAX)
    }

    /// The tasks that run here, with what they share.
    pub fn statuses(&self) -> impl Iterator<Item = (TaskId, &Arc<TaskStatus>)> {
        self.tasks.iter().map(|(id, running)| (*id, &running.status))
    }

    /// The failure of a task that ended by itself, if one has. A task that was fenced ended rightly:
    /// another process has its partition. What no longer runs here is held warm again from here on.
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
        self.hold_standbys();
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

/// A thread with the task's name, which is cut to 15 bytes by the kernel.
fn thread_of(
    id: TaskId,
    run: impl FnOnce() -> Result<(), TaskError> + Send + 'static,
) -> JoinHandle<Result<(), TaskError>> {
    match std::thread::Builder::new().name(id.to_string()).spawn(run) {
        Ok(thread) => thread,
        // As `std::thread::spawn` does.
        Err(error) => panic!("no thread for {id}: {error}"),
    }
}

fn end_of(id: TaskId, running: Running) -> Result<(), WorkerError> {
    match running.thread.join() {
        Ok(outcome) => Ok(outcome?),
        Err(_) => Err(WorkerError::Panicked(id)),
    }
}

/// What a turn of a task's life came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// The task was opened, or folded an epoch: there may be more.
    Worked,
    /// There was nothing to fold.
    Idle,
    /// The task failed in a way that starting over mends: the next turn opens it again, after a pause.
    Pause(Duration),
    /// The task was fenced: another process has its partition.
    Ended,
}

/// A task's life: opened from the log as often as it takes, until it is told to stop or is fenced.
///
/// It knows nothing of threads, so that the simulator lives it turn by turn.
pub struct Life {
    id: TaskId,
    around: Surroundings,
    make_stage: StageFactory,
    status: Arc<TaskStatus>,
    standby: Option<Handover>,
    task: Option<Task>,
    opened: Duration,
    backoff: Duration,
}

impl Life {
    /// A life whose first turn opens the task.
    pub fn new(id: TaskId, around: Surroundings, make_stage: StageFactory, status: Arc<TaskStatus>) -> Self {
        let opened = around.clock.now();
        Self { id, around, make_stage, status, standby: None, task: None, opened, backoff: BACKOFF.0 }
    }

    /// The same life, whose task takes over the state that a standby holds when it is first opened.
    pub fn after(self, standby: Handover) -> Self {
        Self { standby: Some(standby), ..self }
    }

    /// Opens the task if it is not open, or else folds one epoch if a record comes within `wait`.
    pub fn turn(&mut self, wait: Duration) -> Result<Turn, TaskError> {
        self.status.turn_begins(self.task.is_some());
        let outcome = match self.task.take() {
            None => {
                self.opened = self.around.clock.now();
                let (around, status) = (self.around.clone(), self.status.clone());
                let new = || (self.make_stage)(self.id);
                Task::take_over(self.id, &mut self.standby, new, around, status).map(|task| (task, true))
            }
            Some(mut task) => task.run_epoch(wait).map(|worked| (task, worked)),
        };
        match outcome {
            Ok((task, worked)) => {
                self.task = Some(task);
                Ok(if worked { Turn::Worked } else { Turn::Idle })
            }
            Err(error) => self.failed(error),
        }
    }

    /// Drains, commits and ends.
    pub fn stop(mut self) -> Result<(), TaskError> {
        self.status.turn_begins(false);
        let Some(task) = self.task.take() else { return Ok(()) };
        match task.close() {
            Ok(()) => Ok(()),
            // Nothing is lost: what was not committed is in the log for the next owner.
            Err(error) => self.failed(error).map(drop),
        }
    }

    /// What follows a failure.
    fn failed(&mut self, error: TaskError) -> Result<Turn, TaskError> {
        match &error {
            TaskError::Log { source: LogError::Fenced { .. }, .. } => {
                self.around.telemetry.task_released(self.id);
                return Ok(Turn::Ended);
            }
            TaskError::Log { source, .. } if is_mendable(source) => {}
            _ => return Err(error),
        }
        self.around.telemetry.task_reopened(self.id, &error.to_string());
        if self.around.clock.now().saturating_sub(self.opened) > BACKOFF.1 {
            self.backoff = BACKOFF.0;
        }
        let pause = self.backoff;
        self.backoff = (pause * 2).min(BACKOFF.1);
        Ok(Turn::Pause(pause))
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

/// Lives a task's life in this thread.
fn run(mut life: Life, stop: &AtomicBool) -> Result<(), TaskError> {
    while !stop.load(Ordering::Relaxed) {
        match life.turn(STOP_CHECK)? {
            Turn::Worked | Turn::Idle => {}
            Turn::Pause(pause) => life.around.clock.sleep(pause),
            Turn::Ended => return Ok(()),
        }
    }
    life.stop()
}
