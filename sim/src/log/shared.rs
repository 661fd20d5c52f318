//! The store as all processes of a world share it, and the time that it keeps for them.

use super::store::Store;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use weir_topology::clock::Clock;

/// The store, as everything in a world shares it. There is one thread; the lock satisfies the traits.
#[derive(Clone)]
pub struct Shared(Arc<Mutex<Store>>);

impl Shared {
    /// Shares a store.
    pub fn new(store: Store) -> Self {
        Self(Arc::new(Mutex::new(store)))
    }

    /// The store.
    pub fn lock(&self) -> MutexGuard<'_, Store> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Virtual time for what paces itself. To sleep is to let the world's time pass.
impl Clock for Shared {
    fn now(&self) -> Duration {
        Duration::from_micros(self.lock().now_us)
    }

    fn unix_ms(&self) -> i64 {
        let store = self.lock();
        store.began_ms + (store.now_us / 1_000) as i64
    }

    fn sleep(&self, pause: Duration) {
        self.lock().pass(pause.as_micros() as u64);
    }
}

/// A process's clocks: time passes for all alike, but no two agree about the calendar.
pub struct ProcessClock {
    world: Shared,
    skew_ms: i64,
}

impl ProcessClock {
    /// The clocks of a process.
    pub fn new(world: &Shared, process: usize) -> Self {
        let skews_ms = [0, 40, -40, 3_000, -3_000, 90_000, -90_000];
        Self { world: world.clone(), skew_ms: skews_ms[process % skews_ms.len()] }
    }
}

impl Clock for ProcessClock {
    fn now(&self) -> Duration {
        self.world.now()
    }

    fn unix_ms(&self) -> i64 {
        self.world.unix_ms() + self.skew_ms
    }

    fn sleep(&self, pause: Duration) {
        self.world.sleep(pause);
    }
}
