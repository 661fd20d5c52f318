//! Tells the service manager how this process is: ready, alive, and in words.
//!
//! systemd starts what waits for `READY=1` only then, shows the words in `systemctl status`, and restarts a
//! process whose loop has not gone round for `WatchdogSec` ([`crate::liveness`]): stuck is worse than dead,
//! because nobody takes its partitions over.

use crate::health::Readiness;
use crate::liveness::Stuck;
use sd_notify::NotifyState;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Of the time that the manager waits, the share after which it is told again.
const SHARE: u32 = 3;

/// The service manager, where there is one.
#[derive(Debug)]
pub struct Supervisor {
    waits: Option<Duration>,
    told: Mutex<Told>,
}

#[derive(Debug, Default)]
struct Told {
    is_ready: bool,
    words: String,
    alive: Option<Instant>,
}

impl Supervisor {
    /// The one that started this process, as the environment says; one that nothing is told where there is
    /// none.
    pub fn from_env() -> Self {
        Self { waits: sd_notify::watchdog_enabled(), told: Mutex::default() }
    }

    /// How long it waits for a sign of life.
    pub fn waits(&self) -> Option<Duration> {
        self.waits
    }

    /// The main loop went round. That another is stuck is told in words, and a sign of life is not given.
    pub fn went_round(&self, readiness: Readiness, stuck: Option<Stuck>) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let mut news = Vec::new();
        // Its seconds would be news at every look.
        let words = stuck.as_ref().map_or_else(|| readiness.to_string(), Stuck::what);
        if told.words != words {
            told.words.clone_from(&words);
            news.push(NotifyState::Status(&words));
        }
        if readiness == Readiness::Ready && !std::mem::replace(&mut told.is_ready, true) {
            news.push(NotifyState::Ready);
        }
        let is_due = |wait: Duration| told.alive.is_none_or(|at| at.elapsed() >= wait / SHARE);
        if stuck.is_none() && self.waits.is_some_and(is_due) {
            told.alive = Some(Instant::now());
            news.push(NotifyState::Watchdog);
        }
        tell(&news);
    }

    /// It was told to stop, and drains.
    pub fn stops(&self) {
        tell(&[NotifyState::Stopping]);
    }
}

fn tell(news: &[NotifyState<'_>]) {
    if news.is_empty() {
        return;
    }
    if let Err(error) = sd_notify::notify(news) {
        tracing::debug!(%error, "the service manager cannot be told");
    }
}
