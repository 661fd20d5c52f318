//! Notices when a log keeps back what it said was there.

use crate::limits::READ_STALL_MAX;
use crate::log::LogError;
use crate::topic::Topic;
use std::time::Instant;

/// A read that waits for records of which the log says that they are there.
#[derive(Debug)]
pub struct Stall {
    since: Instant,
    reached: Option<i64>,
}

impl Default for Stall {
    fn default() -> Self {
        Self { since: Instant::now(), reached: None }
    }
}

impl Stall {
    /// To be called before each wait, with the offset that the read has reached, or with the sum of its
    /// offsets where it reads several partitions. Fails where that has been the same for [`READ_STALL_MAX`];
    /// this partition is then what it waits for.
    pub fn check(&mut self, reached: i64, topic: Topic, partition: u32) -> Result<(), LogError> {
        if self.reached.replace(reached) != Some(reached) {
            self.since = Instant::now();
        }
        if self.since.elapsed() < READ_STALL_MAX {
            return Ok(());
        }
        let seconds = READ_STALL_MAX.as_secs();
        Err(LogError::Unavailable { reason: format!("{topic}/{partition} gave nothing for {seconds} s") })
    }
}
