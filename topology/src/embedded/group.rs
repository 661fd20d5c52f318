//! Group commit: commits that arrive while one is being written go to disk together, in one
//! transaction with one fsync. Whoever finds nobody writing writes for all who wait.

use super::prepare::Prepared;
use super::store::{Store, WriteError};
use super::write::{self, Bounds};
use crate::log::LogError;
use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Most bytes of records that are written in one transaction, unless one commit alone is larger.
const GROUP_BYTES_MAX: usize = 32 << 20;

/// Who writes, who waits, and what readers may know.
#[derive(Debug, Default)]
pub(super) struct Group {
    state: Mutex<State>,
    /// A leader is done.
    done: Condvar,
    /// Bounds moved.
    appended: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// How often each writer's name was opened: only the latest may commit.
    generations: BTreeMap<String, u64>,
    /// Commits that wait. At most one for each open writer: each waits for its own.
    queue: Vec<Waiting>,
    outcomes: BTreeMap<u64, Result<(), LogError>>,
    tickets: u64,
    is_led: bool,
    bounds: Bounds,
    /// A write ended without an answer: the bounds must be read again.
    is_stale: bool,
}

#[derive(Debug)]
struct Waiting {
    ticket: u64,
    writer: String,
    generation: u64,
    commit: Prepared,
}

impl Group {
    /// A group over a log with these bounds.
    pub(super) fn new(bounds: Bounds) -> Self {
        Self { state: Mutex::new(State { bounds, ..State::default() }), ..Self::default() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change under the lock is complete in itself; a leader's panic is told by its guard.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens a writer's name again: earlier writers are fenced, and what they were writing is over.
    pub(super) fn fence(&self, writer: &str) -> u64 {
        let mut state = self.lock();
        let generation = state.generations.entry(writer.to_owned()).or_default();
        *generation += 1;
        let generation = *generation;
        drop(self.until_unled(state));
        generation
    }

    /// Commits, alone or with others.
    pub(super) fn commit(
        &self,
        store: &Store,
        writer: &str,
        generation: u64,
        commit: Prepared,
    ) -> Result<(), LogError> {
        let mut state = self.lock();
        if state.generations.get(writer) != Some(&generation) {
            return Err(LogError::Fenced { writer: writer.to_owned() });
        }
        state.tickets += 1;
        let ticket = state.tickets;
        state.queue.push(Waiting { ticket, writer: writer.to_owned(), generation, commit });
        loop {
            if let Some(outcome) = state.outcomes.remove(&ticket) {
                return outcome;
            }
            if state.is_led {
                state = self.done.wait(state).unwrap_or_else(PoisonError::into_inner);
            } else {
                let group = state.next_group();
                if group.is_empty() {
                    // All were fenced, this one among them.
                    self.done.notify_all();
                    continue;
                }
                let mut lead = self.lead(state, &group);
                let commits = group.iter().map(|waiting| (waiting.writer.as_str(), &waiting.commit));
                lead.end(store.write(|transaction| write::write(transaction, commits)));
                drop(lead);
                state = self.lock();
            }
        }
    }

    /// Writes something else than commits, when no commit is being written. `write` gives the bounds
    /// that it moved.
    pub(super) fn exclusively<T>(
        &self,
        write: impl FnOnce() -> Result<(T, Bounds), WriteError>,
    ) -> Result<T, LogError> {
        let mut lead = self.lead(self.until_unled(self.lock()), &[]);
        let (value, outcome) = match write() {
            Ok((value, bounds)) => (Ok(value), Ok(bounds)),
            Err(WriteError::Failed(error)) => (Err(error), Ok(Bounds::new())),
            Err(WriteError::Unknown(error)) => (Err(error.clone()), Err(WriteError::Unknown(error))),
        };
        lead.end(outcome);
        value
    }

    fn until_unled<'a>(&'a self, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        while state.is_led {
            state = self.done.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state
    }

    fn lead(&self, mut state: MutexGuard<'_, State>, group: &[Waiting]) -> Lead<'_> {
        state.is_led = true;
        let panicked = LogError::Indefinite { reason: "the thread that was writing panicked".into() };
        Lead {
            group: self,
            tickets: group.iter().map(|waiting| waiting.ticket).collect(),
            outcome: Err(WriteError::Unknown(panicked)),
        }
    }

    /// Bounds of every partition that was ever written, after whatever is unclear was cleared up.
    pub(super) fn with_bounds<T>(
        &self,
        read_again: impl FnOnce() -> Result<Bounds, LogError>,
        look: impl FnOnce(&Bounds) -> T,
    ) -> Result<T, LogError> {
        let mut state = self.lock();
        if state.is_stale {
            state = self.until_unled(state);
            state.bounds = read_again()?;
            state.is_stale = false;
        }
        Ok(look(&state.bounds))
    }

    /// Waits until bounds moved away from what `is_ready` refuses, at most `wait`.
    pub(super) fn wait(&self, wait: Duration, is_ready: impl Fn(&Bounds) -> bool) {
        let state = self.lock();
        let idle = |state: &mut State| !state.is_stale && !is_ready(&state.bounds);
        drop(self.appended.wait_timeout_while(state, wait, idle).unwrap_or_else(PoisonError::into_inner));
    }

    /// Number of commits that wait to be written.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.lock().queue.len()
    }

    /// How often this writer's name was opened.
    #[cfg(test)]
    pub(super) fn generation(&self, writer: &str) -> u64 {
        self.lock().generations.get(writer).copied().unwrap_or(0)
    }
}

impl State {
    /// Takes what is written next from the queue; what was fenced in the meantime learns so.
    fn next_group(&mut self) -> Vec<Waiting> {
        let mut group = Vec::new();
        let mut bytes = 0;
        let mut rest = Vec::new();
        for waiting in self.queue.drain(..) {
            if self.generations.get(&waiting.writer) != Some(&waiting.generation) {
                self.outcomes.insert(waiting.ticket, Err(LogError::Fenced { writer: waiting.writer }));
            } else if !group.is_empty() && bytes + waiting.commit.bytes > GROUP_BYTES_MAX {
                rest.push(waiting);
            } else {
                bytes += waiting.commit.bytes;
                group.push(waiting);
            }
        }
        self.queue = rest;
        group
    }
}

/// The right to write. When it is dropped, everybody learns how it went, even if the leader panicked.
struct Lead<'a> {
    group: &'a Group,
    tickets: Vec<u64>,
    outcome: Result<Bounds, WriteError>,
}

impl Lead<'_> {
    fn end(&mut self, outcome: Result<Bounds, WriteError>) {
        self.outcome = outcome;
    }
}

impl Drop for Lead<'_> {
    fn drop(&mut self) {
        let mut state = self.group.lock();
        let outcome = match std::mem::replace(&mut self.outcome, Ok(Bounds::new())) {
            Ok(bounds) => {
                state.bounds.extend(bounds);
                Ok(())
            }
            Err(WriteError::Failed(error)) => Err(error),
            Err(WriteError::Unknown(error)) => {
                state.is_stale = true;
                Err(LogError::Indefinite { reason: error.to_string() })
            }
        };
        for ticket in self.tickets.drain(..) {
            state.outcomes.insert(ticket, outcome.clone());
        }
        state.is_led = false;
        self.group.done.notify_all();
        self.group.appended.notify_all();
    }
}
