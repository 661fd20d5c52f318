//! What this process used of the processors.

use rustix::time::{ClockId, clock_gettime};

/// Time of processors that this process has used, in microseconds.
pub fn used_us() -> u64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    u64::try_from(time.tv_sec * 1_000_000 + time.tv_nsec / 1_000).unwrap_or(0)
}
