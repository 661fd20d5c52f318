//! The clock that paces tasks: when an epoch is cut, when a snapshot is due, how long a worker backs
//! off. Nothing that it says reaches a judgement, and a simulator puts its own in its place.

use std::time::{Duration, Instant};

/// A monotonic clock.
pub trait Clock: Send + Sync {
    /// Time since some fixed moment. It never runs back.
    fn now(&self) -> Duration;

    /// Returns when this much time has passed.
    fn sleep(&self, pause: Duration);
}

/// The machine's monotonic clock.
#[derive(Debug, Clone, Copy)]
pub struct MachineClock {
    since: Instant,
}

impl Default for MachineClock {
    fn default() -> Self {
        Self { since: Instant::now() }
    }
}

impl Clock for MachineClock {
    fn now(&self) -> Duration {
        self.since.elapsed()
    }

    fn sleep(&self, pause: Duration) {
        std::thread::sleep(pause);
    }
}
