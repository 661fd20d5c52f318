//! Tells the service manager how this process is: ready, alive, and in words.
//!
//! systemd starts what waits for `READY=1` only then, shows the words in `systemctl status`, and restarts a process whose loop
//! has not gone round for `WatchdogSec`: stuck is worse than dead, because nobody takes its partitions over.

use crate::health::Readiness;
use sd_notify::NotifyState;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Of the time that the manager waits, the share after which it is told again.
const SHARE: u32 = 3;

/// The service manager, where there is one.
#[derive(Debug)]
pub struct Supervisor {
    alive_every: Option<Duration>,
    told: Mutex<Told>,
}

#[derive(Debug, Default)]
struct Told {
    is_ready: bool,
    readiness: Option<Readiness>,
    alive: Option<Instant>,
}

impl Supervisor {
    /// The one that started this process, as the environment says; one that nothing is told where there is none.
    pub fn from_env() -> Self {
        let alive_every = sd_notify::watchdog_enabled().map(|wait| wait / SHARE);
        Self { alive_every, told: Mutex::default() }
    }

    /// The loop that does the work went round.
    pub fn went_round(&self, readiness: Readiness) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let mut news = Vec::new();
        let words = readiness.to_string();
        if told.readiness.replace(readiness) != Some(readiness) {
            news.push(NotifyState::Status(&words));
        }
        if readiness == Readiness::Ready && !std::mem::replace(&mut told.is_ready, true) {
            news.push(NotifyState::Ready);
        }
        let is_due = |every: Duration| told.alive.is_none_or(|at| at.elapsed() >= every);
        if self.alive_every.is_some_and(is_due) {
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
