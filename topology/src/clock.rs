//! The clocks of the rim. The monotonic one paces tasks: when an epoch is cut, when a snapshot is due, how
//! long a worker backs off. The calendar says when an effect is taken. Neither reaches a judgement; the
//! calendar reaches the enforcer's fold, and only as [`Batch::taken_ms`](crate::stage::Batch), which the
//! epoch's record keeps. A simulator puts its own in their place.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A monotonic clock, and a calendar.
pub trait Clock: Send + Sync {
    /// Time since some fixed moment. It never runs back.
    fn now(&self) -> Duration;

    /// Milliseconds since the Unix epoch, as the machine believes. It may run back when somebody sets it.
    fn unix_ms(&self) -> i64;

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

    fn unix_ms(&self) -> i64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    }

    fn sleep(&self, pause: Duration) {
        std::thread::sleep(pause);
    }
}
