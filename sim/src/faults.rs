//! How badly a run is treated. Each seed draws its own mixture, in which most kinds of fault are
//! absent or rare: faults that come always hide what one alone would show.

use crate::random::Random;

/// How often each thing happens, in thousandths, and how long it may take.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    /// Commits that abort.
    pub abort: u64,
    /// Commits of unknown outcome.
    pub indefinite: u64,
    /// Commits during which the process dies.
    pub crash_in_commit: u64,
    /// Reads, looks at bounds and openings during which the process dies.
    pub crash_in_read: u64,
    /// Writes to files during which the process dies.
    pub crash_in_write: u64,
    /// Reads, looks at bounds and openings that fail.
    pub unavailable: u64,
    /// Transactions after which a partition tells its readers late.
    pub lag: u64,
    /// Longest such delay, in microseconds.
    pub lag_us_max: u64,
    /// Reads that give only a part of what is there.
    pub partial: u64,
    /// Partitions of a transaction that get a marker, which takes an offset.
    pub marker: u64,
    /// Looks at a gap that do not show it yet.
    pub hidden_gap: u64,
    /// Steps at which an idle process dies.
    pub crash: u64,
    /// Steps at which a task is given to another process.
    pub rebalance: u64,
    /// Steps at which a task is drained and given to another process.
    pub drain: u64,
    /// Steps at which the storage becomes full for a while.
    pub full: u64,
    /// Steps at which a partition of a compacted topic is compacted.
    pub compact: u64,
    /// Steps that take long.
    pub slow: u64,
}

impl Faults {
    /// The mixture of a seed.
    pub fn draw(random: &mut Random) -> Self {
        let mut rate = |often: u64| match random.below(4) {
            0 | 1 => 0,
            2 => random.between(1, (often / 4).max(1)),
            _ => random.between(often / 4, often),
        };
        Self {
            abort: rate(200),
            indefinite: rate(120),
            crash_in_commit: rate(120),
            crash_in_read: rate(6),
            crash_in_write: rate(60),
            unavailable: rate(10),
            lag: rate(600),
            partial: rate(900),
            marker: rate(1_000),
            hidden_gap: rate(800),
            crash: rate(40),
            rebalance: rate(40),
            drain: rate(30),
            full: rate(20),
            compact: rate(60),
            slow: rate(60),
            lag_us_max: 10u64.pow(random.between(3, 7) as u32),
        }
    }

    /// Only what is no fault but how the log is: markers, and partitions that tell at different times.
    pub fn calm(&self) -> Self {
        Self { marker: self.marker, lag: self.lag, lag_us_max: 10_000, ..Self::default() }
    }
}
