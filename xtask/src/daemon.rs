//! A program that outlives the xtask that started it, found again and ended by its pid.

use std::fs::{self, File};
use std::io::Read as _;
use std::num::NonZeroU32;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// How long a program may take to end after SIGTERM before it is killed.
const GRACE: Duration = Duration::from_secs(30);
/// How long the kernel may take to end a killed program.
const KILL_WAIT: Duration = Duration::from_secs(10);
/// How often, a millisecond apart, a live process without arguments is looked at again.
const EXEC_LOOKS: usize = 100;
/// How much of a process's arguments is looked at; a class path is long.
const ARGUMENTS_BYTES_MAX: usize = 256 << 10;

/// One program with its home directory, where `<name>.pid` and `<name>.out` are.
pub struct Daemon {
    name: &'static str,
    home: PathBuf,
    mark: String,
}

impl Daemon {
    /// Describes the program; starts nothing.
    pub fn new(name: &'static str, home: &Path) -> Self {
        Self { name, home: home.to_path_buf(), mark: format!("-Dweir.home={}", home.display()) }
    }

    /// The argument that the program must be started with. It says whose process a pid is, so
    /// that a pid which the system gave to another program is never signalled.
    pub fn mark(&self) -> &str {
        &self.mark
    }

    /// Where the program's standard output and error go.
    pub fn output_path(&self) -> PathBuf {
        self.home.join(format!("{}.out", self.name))
    }

    /// Whether the program runs.
    pub fn is_running(&self) -> bool {
        self.process().is_some()
    }

    /// Starts the program in a process group of its own, so that neither the end of xtask nor a
    /// Ctrl-C at its terminal ends it.
    ///
    /// # Errors
    /// When the program cannot be started, or the home directory cannot be written.
    pub fn start(&self, command: &mut Command) -> anyhow::Result<()> {
        let path = self.output_path();
        let output = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output).process_group(0);
        let mut child = command.spawn().with_context(|| format!("cannot start {}", self.name))?;
        let path = self.pid_path();
        if let Err(error) = fs::write(&path, child.id().to_string()) {
            child.kill()?;
            return Err(error).with_context(|| format!("cannot write {}", path.display()));
        }
        // Between the fork and the exec, the arguments are still those of xtask.
        while !self.is_running() {
            if let Some(status) = child.try_wait()? {
                bail!("{} ended at once with {status}; see {}", self.name, self.output_path().display());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        // While xtask lives, a program that ended must not stay behind as a zombie.
        std::thread::spawn(move || child.wait());
        Ok(())
    }

    /// Ends the program: SIGTERM, and SIGKILL when it takes longer than half a minute.
    /// Says whether there was one.
    ///
    /// # Errors
    /// When the program may not be signalled, or survives.
    pub fn stop(&self) -> anyhow::Result<bool> {
        let Some(process) = self.process() else { return self.forget() };
        self.signal(&process, Signal::TERM)?;
        if !ends_within(&process, GRACE)? {
            eprintln!("{} did not end within {} s: killing it", self.name, GRACE.as_secs());
            return self.kill();
        }
        self.forget()?;
        Ok(true)
    }

    /// Ends the program by SIGKILL, as a crash would. Says whether there was one.
    ///
    /// # Errors
    /// When the program may not be signalled, or survives.
    pub fn kill(&self) -> anyhow::Result<bool> {
        let Some(process) = self.process() else { return self.forget() };
        self.signal(&process, Signal::KILL)?;
        if !ends_within(&process, KILL_WAIT)? {
            bail!("{} survives SIGKILL", self.name);
        }
        self.forget()?;
        Ok(true)
    }

    fn pid_path(&self) -> PathBuf {
        self.home.join(format!("{}.pid", self.name))
    }

    /// The running program, held by a descriptor that no later process can take over.
    fn process(&self) -> Option<OwnedFd> {
        let pid: NonZeroU32 = fs::read_to_string(self.pid_path()).ok()?.trim().parse().ok()?;
        let process = pidfd_open(Pid::from_raw(i32::try_from(pid.get()).ok()?)?, PidfdFlags::empty()).ok()?;
        is_marked(&arguments_of(pid, &process)?, &self.mark).then_some(process)
    }

    fn signal(&self, process: &OwnedFd, signal: Signal) -> anyhow::Result<()> {
        match pidfd_send_signal(process, signal) {
            // It ended by itself in between.
            Err(rustix::io::Errno::SRCH) => Ok(()),
            sent => sent.with_context(|| format!("cannot signal {}", self.name)),
        }
    }

    fn forget(&self) -> anyhow::Result<bool> {
        match fs::remove_file(self.pid_path()) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(false),
        }
    }
}

/// A process's arguments, each ended by a zero byte; empty of one that has ended. One that another program is
/// just taking the place of (`setpriv` is followed by the program that it was told to run) shows none for a
/// moment, and must not pass for one that has ended.
fn arguments_of(pid: NonZeroU32, process: &OwnedFd) -> Option<Vec<u8>> {
    let path = format!("/proc/{pid}/cmdline");
    let mut room = vec![0; ARGUMENTS_BYTES_MAX];
    for _ in 0..EXEC_LOOKS {
        // In one read: what several give may be of different programs.
        let length = File::open(&path).and_then(|mut file| file.read(&mut room)).ok()?;
        let arguments = &room[..length];
        if !arguments.is_empty() || ends_within(process, Duration::from_millis(1)).ok()? {
            return Some(arguments.to_vec());
        }
    }
    Some(Vec::new())
}

/// Whether the process ends in time, with its files and ports closed.
fn ends_within(process: &OwnedFd, wait: Duration) -> anyhow::Result<bool> {
    let wait = Timespec::try_from(wait)?;
    let ended = poll(&mut [PollFd::new(process, PollFlags::IN)], Some(&wait));
    Ok(ended.context("cannot wait for a process")? > 0)
}

/// Whether a `/proc/<pid>/cmdline` has the mark as one whole argument. A zombie's is empty.
fn is_marked(cmdline: &[u8], mark: &str) -> bool {
    cmdline.split(|byte| *byte == 0).any(|argument| argument == mark.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A shell that waits, marked as `daemon` asks.
    fn sleeper(daemon: &Daemon) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", "while :; do sleep 0.05; done", daemon.mark()]);
        command
    }

    #[test]
    fn a_pid_is_ours_only_by_its_whole_mark() {
        let mark = "-Dweir.home=/a/kafka";
        assert!(is_marked(b"java\0-Xmx1m\0-Dweir.home=/a/kafka\0kafka.Kafka\0", mark));
        assert!(!is_marked(b"java\0-Dweir.home=/a/kafka2\0", mark), "another checkout's");
        assert!(!is_marked(b"vim\0x -Dweir.home=/a/kafka\0", mark), "part of an argument");
        assert!(!is_marked(b"", mark), "a zombie");
    }

    #[test]
    fn a_program_is_found_again_by_another_handle_and_stopped() {
        let home = tempfile::tempdir().unwrap();
        let daemon = Daemon::new("sleeper", home.path());
        daemon.start(&mut sleeper(&daemon)).unwrap();
        let other = Daemon::new("sleeper", home.path());
        assert!(other.is_running());
        assert!(other.stop().unwrap(), "there was one to stop");
        assert!(!daemon.is_running());
        assert!(!daemon.stop().unwrap(), "and now there is none");
    }

    #[test]
    fn a_program_that_ends_at_once_is_an_error_that_names_its_output() {
        let home = tempfile::tempdir().unwrap();
        let daemon = Daemon::new("sleeper", home.path());
        let mut command = Command::new("sh");
        command.args(["-c", "exit 3", "without the mark"]);
        let error = daemon.start(&mut command).unwrap_err().to_string();
        assert!(error.contains("exit status: 3") && error.contains("sleeper.out"), "{error}");
    }

    #[test]
    fn a_pid_that_another_program_has_got_is_left_alone() {
        let home = tempfile::tempdir().unwrap();
        let daemon = Daemon::new("sleeper", home.path());
        let mut stranger = Command::new("sleep").arg("60").spawn().unwrap();
        fs::write(daemon.pid_path(), stranger.id().to_string()).unwrap();
        assert!(!daemon.kill().unwrap(), "nothing of ours to kill");
        assert!(stranger.try_wait().unwrap().is_none(), "the stranger lives");
        stranger.kill().unwrap();
        stranger.wait().unwrap();
    }

    #[test]
    fn a_program_that_another_takes_the_place_of_runs_all_the_while() {
        let home = tempfile::tempdir().unwrap();
        let daemon = Daemon::new("sleeper", home.path());
        let done = home.path().join("done");
        let again = r#"[ $1 -gt 0 ] && exec sh -c "$0" "$0" $(($1 - 1)) "$2" "$3"
            : > "$2"; while :; do sleep 0.05; done"#;
        let mut command = Command::new("sh");
        command.args(["-c", again, again, "300"]).arg(&done).arg(daemon.mark());
        daemon.start(&mut command).unwrap();
        while !done.exists() {
            assert!(daemon.is_running());
        }
        assert!(daemon.kill().unwrap());
    }

    #[test]
    fn what_a_pid_file_says_in_error_ends_nothing() {
        let home = tempfile::tempdir().unwrap();
        let daemon = Daemon::new("sleeper", home.path());
        for nonsense in ["", "x", "0", "-1", "99999999999"] {
            fs::write(daemon.pid_path(), nonsense).unwrap();
            assert!(!daemon.is_running(), "{nonsense:?}");
        }
    }
}
