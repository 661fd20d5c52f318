//! When what was written is made sure of. A process that is killed costs nothing either way: what it wrote is
//! the kernel's.

use std::time::Duration;

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyncPolicy {
    /// When the kernel comes to it: a loss of power costs up to half a minute.
    Never,
    /// So long after the first batch that the log does not have: a loss of power costs that long.
    Interval(Duration),
    /// Before anything else is heard, batch by batch.
    Always,
}
