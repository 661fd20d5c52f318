//! Whether the loops that do this process's work still go round: what `/health/live` answers and the service
//! manager is told.
//!
//! Each loop says that it went round; one that has not for [`STUCK_AFTER`] is stuck, and so is the process,
//! because nobody takes over the partitions of a process that lives. The bound is longer than any honest
//! pause: brokers that go away in the middle of a read hold it up for half a minute, a rebalance whose tasks
//! do not end for as long, and a round may meet several. A task that is being opened is held to no bound,
//! since a restore takes as long as its state is large; readiness tells of it. A loop that panicked is stuck
//! at once, whether or not it had begun.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};
use weir_topology::task::TaskStatus;
use weir_topology::topic::TaskId;

/// How long a loop may take to go round, unless the service manager waits for another time. The units of
/// `deploy/systemd` wait less: there a process that is restarted while brokers are away comes back by itself.
const STUCK_AFTER: Duration = Duration::from_secs(1_200);

/// The loops of this process.
#[derive(Debug)]
pub struct Liveness {
    stuck_after: Duration,
    loops: Mutex<Vec<Watched>>,
    tasks: Mutex<Vec<(TaskId, Watched)>>,
}

/// A loop that tells that it goes round. Nobody waits for it once this is dropped.
#[derive(Debug, Clone)]
pub struct Pulse(Arc<Heart>);

/// What a loop tells.
#[derive(Debug, Default)]
struct Heart {
    rounds: AtomicU64,
    has_panicked: AtomicBool,
}

/// A loop that has not gone round for too long, or panicked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stuck {
    name: String,
    has_panicked: bool,
    still: Duration,
}

#[derive(Debug)]
struct Watched {
    name: String,
    rounds: Rounds,
    /// How many rounds there were at the last look that found more than the one before, and when that was.
    seen: (u64, Instant),
    is_told: bool,
}

/// Where the rounds of a loop are counted.
#[derive(Debug)]
enum Rounds {
    Loop(Weak<Heart>),
    Task(Weak<TaskStatus>),
}

impl Pulse {
    /// The loop went round.
    pub fn beat(&self) {
        self.0.rounds.fetch_add(1, Ordering::Relaxed);
    }
}

impl Drop for Pulse {
    /// A loop that panicked has not ended: nobody does its work. It is kept, and found stuck.
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.has_panicked.store(true, Ordering::Relaxed);
            std::mem::forget(self.0.clone());
        }
    }
}

impl Stuck {
    /// Which loop it is, in words.
    pub fn what(&self) -> String {
        match self.has_panicked {
            true => format!("stuck: {} has panicked", self.name),
            false => format!("stuck: {} does not go round", self.name),
        }
    }
}

impl fmt::Display for Stuck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.has_panicked {
            true => f.write_str(&self.what()),
            false => write!(f, "{} (for {} s)", self.what(), self.still.as_secs()),
        }
    }
}

impl Liveness {
    /// Loops that may take as long as the service manager waits, where there is one.
    pub fn new(watchdog: Option<Duration>) -> Self {
        Self {
            stuck_after: watchdog.unwrap_or(STUCK_AFTER),
            loops: Mutex::default(),
            tasks: Mutex::default(),
        }
    }

    /// Waits for this loop from its first round on: what is read before it may take as long as it is large.
    pub fn watch(&self, name: &str) -> Pulse {
        let pulse = Pulse(Arc::default());
        let watched = Watched::new(name.to_owned(), Rounds::Loop(Arc::downgrade(&pulse.0)));
        self.loops.lock().unwrap_or_else(PoisonError::into_inner).push(watched);
        pulse
    }

    /// Waits for the tasks that run here now, and for no others.
    pub fn watch_tasks<'s>(&self, statuses: impl Iterator<Item = (TaskId, &'s Arc<TaskStatus>)>) {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        let mut before = std::mem::take(&mut *tasks);
        for (id, status) in statuses {
            let is_same = |(known, watched): &(TaskId, Watched)| *known == id && watched.is_of(status);
            let watched = match before.iter().position(is_same) {
                Some(at) => before.swap_remove(at).1,
                None => Watched::new(format!("the task {id}"), Rounds::Task(Arc::downgrade(status))),
            };
            tasks.push((id, watched));
        }
    }

    /// A loop that panicked, or has not gone round for too long; none where all go round. Told once in the
    /// log.
    pub fn stuck(&self) -> Option<Stuck> {
        let mut loops = self.loops.lock().unwrap_or_else(PoisonError::into_inner);
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        loops.retain(Watched::is_there);
        let watched = loops.iter_mut().chain(tasks.iter_mut().map(|(_, watched)| watched));
        watched
            .filter_map(|watched| watched.look(self.stuck_after))
            .max_by_key(|stuck| (stuck.has_panicked, stuck.still))
    }
}

impl Watched {
    fn new(name: String, rounds: Rounds) -> Self {
        Self { name, rounds, seen: (0, Instant::now()), is_told: false }
    }

    fn is_there(&self) -> bool {
        match &self.rounds {
            Rounds::Loop(rounds) => rounds.strong_count() > 0,
            Rounds::Task(status) => status.strong_count() > 0,
        }
    }

    fn is_of(&self, status: &Arc<TaskStatus>) -> bool {
        matches!(&self.rounds, Rounds::Task(own) if std::ptr::eq(own.as_ptr(), Arc::as_ptr(status)))
    }

    /// Rounds so far; none of what is held to no bound: what has not begun, and what has ended.
    fn rounds(&self) -> Option<u64> {
        match &self.rounds {
            Rounds::Loop(rounds) => {
                Some(rounds.upgrade()?.rounds.load(Ordering::Relaxed)).filter(|rounds| *rounds > 0)
            }
            Rounds::Task(status) => status.upgrade()?.turns(),
        }
    }

    fn has_panicked(&self) -> bool {
        match &self.rounds {
            Rounds::Loop(heart) => {
                heart.upgrade().is_some_and(|heart| heart.has_panicked.load(Ordering::Relaxed))
            }
            // Its worker notices, and ends the process.
            Rounds::Task(_) => false,
        }
    }

    fn look(&mut self, stuck_after: Duration) -> Option<Stuck> {
        let (rounds, has_panicked) = (self.rounds(), self.has_panicked());
        if !has_panicked && rounds.is_none_or(|rounds| rounds != self.seen.0) {
            self.seen = (rounds.unwrap_or(0), Instant::now());
            self.is_told = false;
            return None;
        }
        let still = self.seen.1.elapsed();
        if !has_panicked && still <= stuck_after {
            return None;
        }
        let stuck = Stuck { name: self.name.clone(), has_panicked, still };
        if !std::mem::replace(&mut self.is_told, true) {
            tracing::error!("{stuck}; whoever started this process should start it anew");
        }
        Some(stuck)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;
    use weir_topology::topic::StageName;

    const BOUND: Duration = Duration::from_millis(50);

    fn later() {
        std::thread::sleep(BOUND * 2);
    }

    #[test]
    fn a_loop_is_stuck_when_it_has_not_gone_round_for_the_bound_and_until_it_does() {
        let liveness = Liveness::new(Some(BOUND));
        let (first, second) = (liveness.watch("the first"), liveness.watch("the second"));
        later();
        assert_eq!(liveness.stuck(), None, "neither has begun");
        second.beat();
        assert_eq!(liveness.stuck(), None);
        later();
        first.beat();
        let stuck = liveness.stuck().map(|stuck| stuck.name);
        assert_eq!(stuck.as_deref(), Some("the second"));
        second.beat();
        assert_eq!(liveness.stuck(), None);
        later();
        second.beat();
        let stuck = liveness.stuck().unwrap();
        assert_eq!(stuck.to_string(), "stuck: the first does not go round (for 0 s)");
        drop(first);
        assert_eq!(liveness.stuck(), None, "who ended is not waited for");
    }

    #[test]
    fn rounds_that_nobody_looked_at_count() {
        let liveness = Liveness::new(Some(BOUND));
        let pulse = liveness.watch("it");
        pulse.beat();
        assert_eq!(liveness.stuck(), None);
        pulse.beat();
        later();
        assert_eq!(liveness.stuck(), None, "it went round since the last look, whenever that was");
        later();
        assert!(liveness.stuck().is_some());
    }

    #[test]
    fn a_task_that_is_being_opened_is_held_to_no_bound() {
        let liveness = Liveness::new(Some(BOUND));
        let status = Arc::new(TaskStatus::default());
        let id = TaskId { stage: StageName::Account, partition: 3 };
        liveness.watch_tasks(std::iter::once((id, &status)));
        later();
        assert_eq!(liveness.stuck(), None);
    }

    #[test]
    fn a_loop_whose_thread_panicked_is_stuck_at_once_and_one_that_ended_is_not() {
        for rounds in [0, 1] {
            let liveness = Liveness::new(None);
            let goes_on = liveness.watch("one that goes on");
            for (name, panics) in [("one that ends", false), ("one that fails", true)] {
                let pulse = liveness.watch(name);
                let lives = std::thread::spawn(move || {
                    (0..rounds).for_each(|_| pulse.beat());
                    assert!(!panics, "as the test says");
                });
                assert_eq!(lives.join().is_err(), panics);
            }
            goes_on.beat();
            // Also later: nobody takes its place.
            for _ in 0..2 {
                let stuck = liveness.stuck().map(|stuck| stuck.to_string());
                assert_eq!(stuck.as_deref(), Some("stuck: one that fails has panicked"));
            }
        }
    }

    #[test]
    fn the_units_wait_no_longer() {
        let units = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/systemd");
        let mut count = 0;
        for unit in std::fs::read_dir(units).unwrap() {
            let unit = unit.unwrap().path();
            if unit.extension().is_some_and(|extension| extension == "service") {
                let text = std::fs::read_to_string(&unit).unwrap();
                let waits = text.lines().find_map(|line| line.strip_prefix("WatchdogSec=")?.parse().ok());
                let is_bounded = waits.is_some_and(|s: u64| (1..=STUCK_AFTER.as_secs()).contains(&s));
                assert!(is_bounded, "{}: {waits:?}", unit.display());
                count += 1;
            }
        }
        assert!(count >= 5, "{count} units");
    }
}
