//! Warm standbys: tasks that run elsewhere, whose state this process holds too, so that it can take
//! them over without reading all of it first.
//!
//! One thread follows for all standbys of a worker, a read at a time and in turn, so that loading them
//! takes one core at most. A standby owns nothing: who may commit is decided by the writer alone.

use crate::error::TaskError;
use crate::follow::Follower;
use crate::limits::{
    HANDOVER_MAX, STANDBY_BACKOFF, STANDBY_LOAD_LOOK, STANDBY_LOOK, STANDBY_POLL, STANDBY_STALE_MAX,
};
use crate::log::LogError;
use crate::stage::StageFactory;
use crate::task::{Handover, Surroundings};
use crate::topic::TaskId;
use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The standbys of one worker. Their thread ends when they are dropped.
pub struct Standbys {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    around: Surroundings,
    make_stage: StageFactory,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    places: BTreeMap<TaskId, Place>,
    is_over: bool,
}

enum Place {
    /// Nobody works on it.
    Free(Box<Standby>),
    /// The thread does.
    Busy,
}

struct Standby {
    id: TaskId,
    follower: Option<Follower>,
    /// When a new follower may be begun.
    begins_at: Duration,
    backoff: Duration,
    looked_at: Option<Duration>,
    at_end: Duration,
}

impl Standbys {
    /// No standbys, and no thread yet.
    pub fn new(around: Surroundings, make_stage: StageFactory) -> Self {
        let (state, changed) = (Mutex::default(), Condvar::new());
        Self { shared: Arc::new(Shared { around, make_stage, state, changed }), thread: None }
    }

    /// Holds a standby for a task from now on. Does nothing when there is one.
    pub fn hold(&mut self, id: TaskId) {
        if self.thread.as_ref().is_some_and(JoinHandle::is_finished) {
            self.thread = None;
            for id in std::mem::take(&mut self.shared.lock().places).into_keys() {
                self.shared.around.telemetry.standby_dropped(id, "the thread of the standbys panicked");
            }
        }
        let now = self.shared.around.clock.now();
        let mut state = self.shared.lock();
        state.places.entry(id).or_insert_with(|| Place::Free(Box::new(Standby::new(id, now))));
        drop(state);
        self.shared.changed.notify_all();
        if self.thread.is_none() {
            let shared = self.shared.clone();
            self.thread = Some(std::thread::spawn(move || shared.follow_all()));
        }
    }

    /// What gives a task's standby up when it is called: until then it follows.
    pub fn handover(&self, id: TaskId) -> Handover {
        let shared = self.shared.clone();
        Box::new(move || shared.take(id))
    }
}

impl Drop for Standbys {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.is_over = true;
        let places = std::mem::take(&mut state.places);
        drop(state);
        self.shared.changed.notify_all();
        places.into_keys().for_each(|id| self.shared.around.telemetry.standby_ended(id));
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change of it is one step, so a panic elsewhere leaves it whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A standby's state, as soon as the thread has let go of it.
    fn take(&self, id: TaskId) -> Option<Follower> {
        let deadline = Instant::now() + HANDOVER_MAX;
        let mut state = self.lock();
        while matches!(state.places.get(&id), Some(Place::Busy)) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        let place = state.places.remove(&id)?;
        drop(state);
        self.around.telemetry.standby_ended(id);
        match place {
            Place::Free(standby) => standby.follower,
            Place::Busy => {
                self.around.telemetry.standby_dropped(id, "it was not let go of in time");
                None
            }
        }
    }

    fn follow_all(&self) {
        loop {
            let state = self.lock();
            if state.is_over {
                return;
            }
            let ids: Vec<_> = state.places.keys().copied().collect();
            drop(state);
            let moved = ids.into_iter().filter(|id| self.follow(*id)).count();
            if moved == 0 {
                let state = self.lock();
                if !state.is_over {
                    let _ = self.changed.wait_timeout(state, STANDBY_POLL);
                }
            }
        }
    }

    /// Lets one standby read once; true if there was something.
    fn follow(&self, id: TaskId) -> bool {
        let Some(place) = self.lock().places.get_mut(&id).map(|place| std::mem::replace(place, Place::Busy))
        else {
            return false;
        };
        let Place::Free(mut standby) = place else { return false };
        let moved = standby.tend(&self.around, &self.make_stage);
        let mut state = self.lock();
        // The place is gone where its task did not wait for it.
        let left = match state.places.get_mut(&id) {
            Some(place) => {
                *place = Place::Free(standby);
                None
            }
            None => Some(standby),
        };
        drop(state);
        self.changed.notify_all();
        drop(left);
        moved
    }
}

impl Standby {
    fn new(id: TaskId, now: Duration) -> Self {
        let (begins_at, backoff) = (now, STANDBY_BACKOFF.0);
        Self { id, follower: None, begins_at, backoff, looked_at: None, at_end: now }
    }

    /// Reads once, and tells now and then how far it is.
    fn tend(&mut self, around: &Surroundings, make_stage: &StageFactory) -> bool {
        let now = around.clock.now();
        if self.follower.is_none() {
            if now < self.begins_at {
                return false;
            }
            self.follower = Some(Follower::new(self.id, make_stage(self.id)));
            (self.looked_at, self.at_end) = (None, now);
        }
        match self.read(around, now) {
            Ok(moved) => moved,
            Err(error) => {
                self.follower = None;
                self.begins_at = now + self.backoff;
                self.backoff = (self.backoff * 2).min(STANDBY_BACKOFF.1);
                around.telemetry.standby_dropped(self.id, &error.to_string());
                false
            }
        }
    }

    fn read(&mut self, around: &Surroundings, now: Duration) -> Result<bool, TaskError> {
        let Some(follower) = &mut self.follower else { return Ok(false) };
        let moved = follower.follow(around.log.as_ref(), &around.wire)?;
        let pause = if follower.is_warm() { STANDBY_LOOK } else { STANDBY_LOAD_LOOK };
        let is_due = self.looked_at.is_none_or(|at| now.saturating_sub(at) >= pause);
        if is_due {
            self.looked_at = Some(now);
            match follower.behind(around.log.as_ref()) {
                Ok(behind) => {
                    around.telemetry.standby_looked_at(self.id, follower.entries(), behind);
                    if behind == 0 {
                        (self.at_end, self.backoff) = (now, STANDBY_BACKOFF.0);
                    }
                }
                // A transaction that is open for long, or no answer: what was read is still right.
                Err(TaskError::Log { source: LogError::Unavailable { .. }, .. }) => {}
                Err(error) => return Err(error),
            }
        }
        if now.saturating_sub(self.at_end) > STANDBY_STALE_MAX {
            let hours = STANDBY_STALE_MAX.as_secs() / 3600;
            let reason = format!("a standby of {} was not at its end for {hours} h", self.id);
            return Err(TaskError::Log { task: self.id, source: LogError::Unavailable { reason } });
        }
        Ok(moved)
    }
}
