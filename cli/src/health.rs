//! Whether this process can do its work now, from facts: its roles run, its tasks own their partitions, and
//! the log answered lately. A log that stops answering makes it not ready, and one that answers again makes
//! it ready.

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use weir_topology::log::Log;
use weir_topology::topic::Topic;

/// How long ago the log may have answered.
const ANSWER_AGE_MAX: Duration = Duration::from_secs(10);

/// How often the log is asked.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// What is known of this process.
#[derive(Debug)]
pub struct Health {
    runs: AtomicBool,
    tasks_are_open: AtomicBool,
    answered: Mutex<Option<Instant>>,
    ask_every: Duration,
    answer_age_max: Duration,
}

/// Whether the process is ready, and if not, why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readiness {
    /// It can do its work.
    Ready,
    /// Its roles do not run yet, or not any more.
    NotRunning,
    /// A task has not opened its partition yet, or no partition has fallen to this process.
    NoPartitions,
    /// The log has not answered for a while.
    LogSilent,
}

impl Readiness {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Ready, Self::NotRunning, Self::NoPartitions, Self::LogSilent];

    /// Name in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::NotRunning => "not_running",
            Self::NoPartitions => "no_partitions",
            Self::LogSilent => "log_silent",
        }
    }
}

impl fmt::Display for Readiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ready => "ready",
            Self::NotRunning => "not ready: starting or draining",
            Self::NoPartitions => "not ready: its tasks do not own their partitions yet",
            Self::LogSilent => "not ready: the log does not answer",
        })
    }
}

impl Default for Health {
    fn default() -> Self {
        Self::with_limits(ASK_EVERY, ANSWER_AGE_MAX)
    }
}

impl Health {
    fn with_limits(ask_every: Duration, answer_age_max: Duration) -> Self {
        Self {
            runs: AtomicBool::new(false),
            tasks_are_open: AtomicBool::new(false),
            answered: Mutex::new(None),
            ask_every,
            answer_age_max,
        }
    }

    /// Says whether the process's roles run.
    pub fn set_running(&self, runs: bool) {
        self.runs.store(runs, Ordering::Relaxed);
    }

    /// Says whether every task here has opened its partition. A collector has no tasks; a decision server's
    /// is to read how accounts stand, to the end.
    pub fn set_tasks_open(&self, are_open: bool) {
        self.tasks_are_open.store(are_open, Ordering::Relaxed);
    }

    /// Whether the process is ready now.
    pub fn readiness(&self) -> Readiness {
        let answered = *self.answered.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.runs.load(Ordering::Relaxed) {
            Readiness::NotRunning
        } else if answered.is_none_or(|answered| answered.elapsed() > self.answer_age_max) {
            Readiness::LogSilent
        } else if !self.tasks_are_open.load(Ordering::Relaxed) {
            Readiness::NoPartitions
        } else {
            Readiness::Ready
        }
    }

    /// Asks the log for something small from now on, in a thread of its own: a log that hangs hangs that
    /// thread only. It ends when the log is dropped elsewhere.
    pub fn watch(self: &Arc<Self>, log: &Arc<dyn Log>) -> io::Result<()> {
        let (health, log) = (self.clone(), Arc::downgrade(log));
        let ask = move || {
            while let Some(log) = log.upgrade() {
                if log.bounds(Topic::Control, 0).is_ok() {
                    *health.answered.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
                }
                drop(log);
                std::thread::sleep(health.ask_every);
            }
        };
        std::thread::Builder::new().name("health".into()).spawn(ask).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::liveness::Liveness;
    use crate::telemetry::Metrics;
    use std::io::{Read as _, Write as _};
    use std::sync::Condvar;
    use weir_topology::log::{LogError, Position, Reader, Writer};

    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum Mood {
        Answers,
        Refuses,
        Hangs,
    }

    /// A log that answers, refuses or hangs.
    struct Moody {
        mood: Mutex<Mood>,
        changed: Condvar,
    }

    impl Moody {
        fn is(&self, mood: Mood) {
            *self.mood.lock().unwrap() = mood;
            self.changed.notify_all();
        }
    }

    impl Log for Moody {
        fn bounds(&self, _: Topic, _: u32) -> Result<(i64, i64), LogError> {
            let mood =
                self.changed.wait_while(self.mood.lock().unwrap(), |mood| *mood == Mood::Hangs).unwrap();
            match *mood {
                Mood::Answers => Ok((0, 0)),
                _ => Err(LogError::Unavailable { reason: "it is away".into() }),
            }
        }

        fn partitions(&self, _: Topic) -> Result<u32, LogError> {
            Ok(1)
        }

        fn reader(&self, _: &[Position]) -> Result<Box<dyn Reader>, LogError> {
            Err(LogError::Unavailable { reason: "it is away".into() })
        }

        fn writer(&self, _: &str) -> Result<Box<dyn Writer>, LogError> {
            Err(LogError::Unavailable { reason: "it is away".into() })
        }
    }

    fn get(address: std::net::SocketAddr, path: &str) -> String {
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nhost: weir\r\nconnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    fn eventually(what: &str, mut done: impl FnMut() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while !done() {
            assert!(Instant::now() < deadline, "never happened: {what}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn a_log_that_stops_answering_makes_the_process_unready_until_it_answers_again() {
        let health = Arc::new(Health::with_limits(Duration::from_millis(5), Duration::from_millis(200)));
        let liveness = Arc::new(Liveness::new(None));
        let metrics = Arc::new(Metrics::new());
        let address = crate::serve::serve("127.0.0.1:0", metrics, health.clone(), liveness).unwrap();
        let moody = Arc::new(Moody { mood: Mutex::new(Mood::Refuses), changed: Condvar::new() });
        let log: Arc<dyn Log> = moody.clone();
        health.watch(&log).unwrap();
        assert_eq!(health.readiness(), Readiness::NotRunning);
        health.set_running(true);
        health.set_tasks_open(true);
        assert_eq!(health.readiness(), Readiness::LogSilent, "it has not answered yet");
        for away in [Mood::Refuses, Mood::Hangs] {
            moody.is(Mood::Answers);
            eventually("ready", || get(address, "/health/ready").starts_with("HTTP/1.1 200"));
            moody.is(away);
            eventually("not ready", || {
                let answer = get(address, "/health/ready");
                answer.starts_with("HTTP/1.1 503") && answer.ends_with("not ready: the log does not answer\n")
            });
            assert!(get(address, "/health/live").starts_with("HTTP/1.1 200"), "{away:?}");
        }
        moody.is(Mood::Answers);
        eventually("ready again", || health.readiness() == Readiness::Ready);
        health.set_tasks_open(false);
        assert_eq!(health.readiness(), Readiness::NoPartitions);
        health.set_running(false);
        assert_eq!(health.readiness(), Readiness::NotRunning);
    }
}
