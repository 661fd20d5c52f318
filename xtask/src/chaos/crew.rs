//! The processes that suffer: each in a slot that starts it again, and signalled by its pid alone.

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::shell::mortal;

/// Pause before a process that ended by itself is started again, as a supervisor would.
const AGAIN: Duration = Duration::from_millis(300);
/// How long a process may drain after SIGTERM.
const GRACE: Duration = Duration::from_secs(60);

/// Makes the command that a slot runs.
pub type Make = Box<dyn Fn() -> Command>;

/// One process and its successors.
pub struct Slot {
    /// For the report: `process-1`.
    pub name: String,
    make: Make,
    log: PathBuf,
    child: Option<Child>,
    starts_at: Option<Instant>,
    wakes_at: Option<Instant>,
    /// When it leaves for good, and whether by SIGKILL.
    leaves_at: Option<(Instant, bool)>,
    /// Ends that nobody asked for, with the last words.
    ends: Vec<String>,
    /// Whether the next end by itself is what was asked for: a writer taken over.
    may_end: bool,
}

impl Slot {
    /// A slot whose process writes its log lines to `<directory>/<name>.log`; nothing runs yet.
    pub fn new(name: &str, directory: &Path, make: Make) -> Self {
        Self {
            name: name.to_owned(),
            make,
            log: directory.join(format!("{name}.log")),
            child: None,
            starts_at: None,
            wakes_at: None,
            leaves_at: None,
            ends: Vec::new(),
            may_end: false,
        }
    }

    /// Starts the process. It is killed when the calling thread ends.
    pub fn start(&mut self) -> Result<()> {
        let log = OpenOptions::new().create(true).append(true).open(&self.log)?;
        // This process may be killed too, and then nobody else would end what it started.
        let mut command = mortal(&(self.make)());
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        self.child = Some(command.spawn().with_context(|| format!("cannot start {}", self.name))?);
        self.starts_at = None;
        Ok(())
    }

    /// Whether there is a process, awake or frozen.
    pub fn is_there(&self) -> bool {
        self.child.is_some()
    }

    /// Whether there is a process that is not frozen.
    pub fn is_awake(&self) -> bool {
        self.child.is_some() && self.wakes_at.is_none()
    }

    /// SIGKILL; the next process comes after `down`.
    pub fn kill(&mut self, down: Duration) -> Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill()?;
            child.wait()?;
        }
        self.wakes_at = None;
        self.starts_at = (!self.may_end).then(|| Instant::now() + down);
        Ok(())
    }

    /// SIGSTOP, until `frozen` has passed.
    pub fn freeze(&mut self, frozen: Duration) -> Result<()> {
        self.signal(Signal::STOP)?;
        self.wakes_at = Some(Instant::now() + frozen);
        Ok(())
    }

    /// The process stays for a while only.
    pub fn leave_after(&mut self, stays: Duration, killed: bool) {
        self.leaves_at = Some((Instant::now() + stays, killed));
    }

    /// The process may end by itself, and stays away when it does.
    pub fn may_end(&mut self) {
        self.may_end = true;
    }

    /// Does what is due. False when the slot is of no more use.
    pub fn tend(&mut self) -> Result<bool> {
        let now = Instant::now();
        if self.wakes_at.is_some_and(|at| at <= now) {
            self.wake()?;
        }
        if let Some((at, killed)) = self.leaves_at
            && at <= now
        {
            match &mut self.child {
                Some(child) if killed => child.kill()?,
                _ => self.signal(Signal::TERM)?,
            }
            // It drains in its own time.
            self.leaves_at = None;
            self.may_end = true;
        }
        if let Some(child) = &mut self.child
            && let Some(status) = child.try_wait()?
        {
            self.child = None;
            self.wakes_at = None;
            if self.may_end {
                return Ok(false);
            }
            self.note_end(status);
            self.starts_at = Some(now + AGAIN);
        }
        if self.starts_at.is_some_and(|at| at <= now) {
            self.start()?;
        }
        Ok(self.child.is_some() || !self.may_end)
    }

    /// SIGCONT, and whatever else was put off: the slot has a process afterwards.
    pub fn restore(&mut self) -> Result<()> {
        if self.wakes_at.is_some() {
            self.wake()?;
        }
        if self.child.is_none() && !self.may_end { self.start() } else { Ok(()) }
    }

    /// SIGTERM, and the wait for its end.
    pub fn stop(&mut self) -> Result<()> {
        self.signal(Signal::TERM)?;
        let Some(mut child) = self.child.take() else { return Ok(()) };
        let deadline = Instant::now() + GRACE;
        loop {
            match child.try_wait()? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => bail!("{} ended with {status} on SIGTERM: {}", self.name, self.last_words()),
                None if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(20)),
                None => {
                    child.kill()?;
                    child.wait()?;
                    bail!("{} did not end within {} s of SIGTERM", self.name, GRACE.as_secs());
                }
            }
        }
    }

    /// The ends that nobody asked for.
    pub fn take_ends(&mut self) -> Vec<String> {
        std::mem::take(&mut self.ends)
    }

    fn note_end(&mut self, status: ExitStatus) {
        let told = format!("{} ended by itself with {status}: {}", self.name, self.last_words());
        println!("        {told}");
        self.ends.push(told);
    }

    fn wake(&mut self) -> Result<()> {
        self.wakes_at = None;
        self.signal(Signal::CONT)
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let Some(child) = &self.child else { return Ok(()) };
        // Its pid is its own until it is waited for, and only this slot waits for it.
        kill_process(Pid::from_child(child), signal).with_context(|| format!("cannot signal {}", self.name))
    }

    fn last_words(&self) -> String {
        let text = fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&text).lines().last().unwrap_or("(nothing)").to_owned()
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(place: &Path, script: &'static str) -> Slot {
        let make = move || {
            let mut command = Command::new("sh");
            command.args(["-c", script]);
            command
        };
        let mut slot = Slot::new("sh", place, Box::new(make));
        slot.start().unwrap();
        slot
    }

    fn until(mut is_so: impl FnMut() -> bool) {
        let deadline = Instant::now() + GRACE;
        while !is_so() {
            assert!(Instant::now() < deadline, "waited in vain");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn a_killed_process_comes_back() {
        let place = tempfile::tempdir().unwrap();
        let mut slot = slot(place.path(), "while :; do sleep 0.05; done");
        slot.kill(Duration::from_millis(1)).unwrap();
        assert!(!slot.is_there());
        until(|| slot.tend().unwrap() && slot.is_awake());
        assert!(slot.take_ends().is_empty());
    }

    #[test]
    fn a_frozen_process_wakes_and_its_slot_knows() {
        let place = tempfile::tempdir().unwrap();
        let mut slot = slot(place.path(), "while :; do sleep 0.05; done");
        slot.freeze(Duration::from_millis(20)).unwrap();
        assert!(slot.is_there() && !slot.is_awake());
        until(|| slot.tend().unwrap() && slot.is_awake());
    }

    #[test]
    fn a_process_that_ends_by_itself_is_noted_with_its_last_words() {
        let place = tempfile::tempdir().unwrap();
        let mut slot = slot(place.path(), "echo first; echo why >&2; exit 3");
        until(|| {
            slot.tend().unwrap();
            !slot.ends.is_empty()
        });
        let ends = slot.take_ends();
        assert!(ends[0].contains("exit status: 3") && ends[0].ends_with("why"), "{ends:?}");
    }

    #[test]
    fn a_process_that_may_end_does_not_come_back() {
        let place = tempfile::tempdir().unwrap();
        let mut slot = slot(place.path(), "while :; do sleep 0.05; done");
        slot.leave_after(Duration::ZERO, true);
        until(|| !slot.tend().unwrap());
        assert!(!slot.is_there() && slot.take_ends().is_empty());
    }
}
