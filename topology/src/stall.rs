//! Notices when a log keeps back what it said was there.

use crate::limits::READ_STALL_MAX;
use crate::log::LogError;
use crate::topic::Topic;
use std::time::Instant;

/// A read that waits for records of which the log says that they are there.
#[derive(Debug)]
pub struct Stall {
    since: Instant,
}

impl Default for Stall {
    fn default() -> Self {
        Self { since: Instant::now() }
    }
}

impl Stall {
    /// The log gave some of it.
    pub fn reset(&mut self) {
        self.since = Instant::now();
    }

    /// Fails where the log has given nothing for [`READ_STALL_MAX`], of this partition last.
    pub fn check(&self, topic: Topic, partition: u32) -> Result<(), LogError> {
        if self.since.elapsed() < READ_STALL_MAX {
            return Ok(());
        }
        let seconds = READ_STALL_MAX.as_secs();
        Err(LogError::Unavailable { reason: format!("{topic}/{partition} gave nothing for {seconds} s") })
    }
}
