//! Processes of a sandbox, which end with it.

use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

/// Longest wait for something that must happen.
const PATIENCE: Duration = Duration::from_secs(120);

/// A loopback address that is free now.
pub fn free() -> Result<String> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no loopback port")?;
    Ok(listener.local_addr()?.to_string())
}

/// Waits until something that must happen has.
///
/// # Errors
/// When it has not for two minutes, or looking fails.
pub fn wait_for(what: &str, done: impl FnMut() -> Result<bool>) -> Result<()> {
    wait_within(PATIENCE, Duration::from_millis(50), what, done)
}

/// The same for another time, with a pause after each look.
///
/// # Errors
/// When it has not by then, or looking fails.
pub fn wait_within(
    patience: Duration,
    pause: Duration,
    what: &str,
    mut done: impl FnMut() -> Result<bool>,
) -> Result<()> {
    let deadline = Instant::now() + patience;
    while !done()? {
        if Instant::now() > deadline {
            bail!("waited {} s for {what}", patience.as_secs());
        }
        std::thread::sleep(pause);
    }
    Ok(())
}

/// A process that ends with the sandbox.
pub struct Sandboxed {
    child: Child,
    name: &'static str,
    lines: Option<Box<dyn std::io::BufRead + Send>>,
}

impl Sandboxed {
    /// Nothing of what it prints is read.
    pub fn start(mut command: Command, name: &'static str) -> Result<Self> {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().with_context(|| format!("cannot run {name}"))?;
        Ok(Self { child, name, lines: None })
    }

    /// Its standard output is read.
    pub fn piped(mut command: Command, name: &'static str) -> Result<Self> {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().with_context(|| format!("cannot run {name}"))?;
        let lines = child.stdout.take().map(|out| Box::new(BufReader::new(out)) as Box<_>);
        Ok(Self { child, name, lines })
    }

    /// Its log is read.
    pub fn piped_errors(mut command: Command, name: &'static str) -> Result<Self> {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("cannot run {name}"))?;
        let lines = child.stderr.take().map(|out| Box::new(BufReader::new(out)) as Box<_>);
        Ok(Self { child, name, lines })
    }

    /// The first line that is meant; what follows is read on, so that no pipe fills.
    pub fn first_line(&mut self, is_meant: impl Fn(&str) -> bool) -> Result<String> {
        let mut lines = self.lines.take().context("its output is not read")?;
        let mut shown = String::new();
        loop {
            let before = shown.len();
            if lines.read_line(&mut shown)? == 0 {
                bail!("{} ended: {shown}", self.name);
            }
            if is_meant(&shown[before..]) {
                let line = shown[before..].trim().to_owned();
                std::thread::spawn(move || std::io::copy(&mut lines, &mut std::io::sink()));
                return Ok(line);
            }
        }
    }

    /// Ends it as an operator does; it must end well.
    pub fn terminate(mut self) -> Result<()> {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
        let status = self.child.wait()?;
        ensure!(status.success(), "{} ended with {status} on SIGTERM", self.name);
        Ok(())
    }
}

impl Drop for Sandboxed {
    fn drop(&mut self) {
        // nginx's master ends its worker on SIGTERM, and leaves it behind when it is killed.
        let pid = rustix::process::Pid::from_child(&self.child);
        if !matches!(self.child.try_wait(), Ok(Some(_))) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
            let deadline = Instant::now() + Duration::from_secs(5);
            while Instant::now() < deadline && !matches!(self.child.try_wait(), Ok(Some(_))) {
                std::thread::sleep(Duration::from_millis(20));
            }
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
