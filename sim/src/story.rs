//! The log of a simulation: one line an event, in fixed columns.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// What the columns mean; printed above the lines.
pub const LEGEND: &str = "\
# time      virtual time since the start, in seconds
# actor     source/N, account/N, cluster/N, campaign/N, enforcer/N, standby/TASK, export, operator, intruder, or world; @N is the process
# what      lower case: what the actor did; CAPITALS: a fault that it met
# detail    of a commit: #epoch judged+dead-lettered, then topic/partition:first-last of all that it wrote
#    time  actor          what        detail";

/// Everything that happened, in order. Only kept when it will be told; always counted.
#[derive(Debug, Default)]
pub struct Story {
    is_kept: bool,
    lines: String,
    counts: BTreeMap<&'static str, u64>,
    hash: u64,
}

impl Story {
    /// A story whose lines are kept, or only counted.
    pub fn new(is_kept: bool) -> Self {
        Self { is_kept, ..Self::default() }
    }

    /// Whether lines are kept.
    pub fn is_kept(&self) -> bool {
        self.is_kept
    }

    /// Tells one event.
    pub fn tell(&mut self, now_us: u64, actor: &str, what: &'static str, detail: impl FnOnce() -> String) {
        *self.counts.entry(what).or_default() += 1;
        // Order and time of everything, so that two runs of a seed can be compared without their lines.
        for byte in now_us.to_le_bytes().iter().chain(actor.as_bytes()).chain(what.as_bytes()) {
            self.hash = (self.hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
        if self.is_kept {
            let seconds = now_us as f64 / 1e6;
            let _ = writeln!(self.lines, "{seconds:9.3}  {actor:<13}  {what:<10}  {}", detail());
        }
    }

    /// The lines.
    pub fn lines(&self) -> &str {
        &self.lines
    }

    /// How often each thing happened.
    pub fn counts(&self) -> &BTreeMap<&'static str, u64> {
        &self.counts
    }

    /// A hash over everything that happened, in order.
    pub fn hash(&self) -> u64 {
        self.hash
    }
}
