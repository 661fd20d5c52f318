//! Which faults come when: the same seed gives the same schedule.

use std::fmt;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// Longer than the session of a worker, so that others have taken over when it wakes.
const FREEZE_MS: std::ops::Range<u64> = 2_800..4_500;
/// Long enough for a process to join and take part, or too short.
const STORM_MS: std::ops::Range<u64> = 200..4_000;

/// Something that goes wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// SIGKILL for a process, which is started again after a while or at once.
    Kill { pick: usize, down: Duration },
    /// SIGSTOP past the session, then SIGCONT: a zombie.
    Freeze { pick: usize, frozen: Duration },
    /// Further processes come, and go with or without a word.
    Storm { members: Vec<Member> },
    /// Somebody opens the writer of a task or of the importer under its own transactional id.
    Fence { pick: usize },
    /// The importer sleeps, another takes over, the first wakes.
    TakeOver { frozen: Duration },
    /// The broker goes down, with or without a word, and comes back.
    Broker { killed: bool },
}

/// A process that joins for a while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// How long it stays.
    pub stays: Duration,
    /// Whether it ends by SIGKILL.
    pub killed: bool,
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kill { down, .. } => write!(out, "kill -9, back in {} ms", down.as_millis()),
            Self::Freeze { frozen, .. } => write!(out, "frozen for {} ms", frozen.as_millis()),
            Self::Storm { members } => {
                let killed = members.iter().filter(|member| member.killed).count();
                write!(out, "{} more join, {killed} of them leave by kill -9", members.len())
            }
            Self::Fence { .. } => write!(out, "fenced by a stranger"),
            Self::TakeOver { frozen } => {
                write!(out, "frozen for {} ms, another takes over", frozen.as_millis())
            }
            Self::Broker { killed: true } => write!(out, "kill -9, and back"),
            Self::Broker { killed: false } => write!(out, "restarted"),
        }
    }
}

/// An endless schedule.
pub struct Schedule {
    random: StdRng,
    pause_ms: u64,
    broker_every: usize,
    given: usize,
}

impl Schedule {
    /// `pause` is the mean time between faults; every `broker_every`th fault is the broker's.
    pub fn new(seed: u64, pause: Duration, broker_every: usize) -> Self {
        let pause_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX).max(2);
        Self { random: StdRng::seed_from_u64(seed), pause_ms, broker_every: broker_every.max(1), given: 0 }
    }

    /// The next fault, and how long to wait before it.
    pub fn next(&mut self) -> (Duration, Fault) {
        self.given += 1;
        let wait = self.millis(self.pause_ms / 4..self.pause_ms * 7 / 4);
        (wait, self.fault())
    }

    fn fault(&mut self) -> Fault {
        if self.given.is_multiple_of(self.broker_every) {
            return Fault::Broker { killed: self.random.random_range(0..2) == 0 };
        }
        let pick = self.random.random_range(0..usize::MAX);
        match self.random.random_range(0..100) {
            // Half of the killed come back at once.
            0..72 => {
                let down = if self.random.random_range(0..2) == 0 {
                    Duration::ZERO
                } else {
                    self.millis(100..2_500)
                };
                Fault::Kill { pick, down }
            }
            72..81 => Fault::Freeze { pick, frozen: self.millis(FREEZE_MS) },
            81..87 => {
                let count = self.random.random_range(1..=2);
                Fault::Storm { members: (0..count).map(|_| self.member()).collect() }
            }
            87..96 => Fault::Fence { pick },
            _ => Fault::TakeOver { frozen: self.millis(FREEZE_MS) },
        }
    }

    fn member(&mut self) -> Member {
        Member { stays: self.millis(STORM_MS), killed: self.random.random_range(0..2) == 0 }
    }

    fn millis(&mut self, range: std::ops::Range<u64>) -> Duration {
        Duration::from_millis(self.random.random_range(range))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(seed: u64, count: usize) -> Vec<(Duration, Fault)> {
        let mut schedule = Schedule::new(seed, Duration::from_secs(1), 20);
        (0..count).map(|_| schedule.next()).collect()
    }

    #[test]
    fn a_seed_is_a_schedule() {
        assert_eq!(faults(1, 200), faults(1, 200));
        assert_ne!(faults(1, 200), faults(2, 200));
    }

    #[test]
    fn two_hundred_faults_hold_some_of_every_kind() {
        let faults = faults(1, 200);
        let count = |kind: fn(&Fault) -> bool| faults.iter().filter(|(_, fault)| kind(fault)).count();
        assert_eq!(count(|fault| matches!(fault, Fault::Broker { .. })), 10);
        assert!(count(|fault| matches!(fault, Fault::Kill { .. })) > 100);
        assert!(count(|fault| matches!(fault, Fault::Freeze { .. })) > 0);
        assert!(count(|fault| matches!(fault, Fault::Storm { .. })) > 0);
        assert!(count(|fault| matches!(fault, Fault::Fence { .. })) > 0);
        assert!(count(|fault| matches!(fault, Fault::TakeOver { .. })) > 0);
    }
}
