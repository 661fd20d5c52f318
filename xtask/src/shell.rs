//! Running other programs.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

/// Runs a command whose output goes where ours goes.
///
/// # Errors
/// When it cannot be run, or does not end with success.
pub fn succeed(mut command: Command, what: &str) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot run {what}"))?;
    if !status.success() {
        bail!("{what} ended with {status}: {command:?}");
    }
    Ok(())
}

/// What a command says on its standard output. When it does not end with success, the error is `failure`
/// followed by what it says on its standard error.
///
/// # Errors
/// When it cannot be run, or does not end with success.
pub fn output(mut command: Command, failure: &str) -> Result<Vec<u8>> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("cannot run {program}"))?;
    if !output.status.success() {
        bail!("{failure}: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(output.stdout)
}

/// The SHA-256 of a file, in hex.
///
/// # Errors
/// When it cannot be read.
pub fn sha256(path: &Path) -> Result<String> {
    let mut command = Command::new("sha256sum");
    command.arg("--").arg(path);
    let said = String::from_utf8(output(command, "sha256sum fails")?)?;
    // A name with a backslash is told of by one in front.
    let digest = said.trim_start_matches('\\').split_ascii_whitespace().next();
    digest.map(str::to_owned).with_context(|| format!("sha256sum says nothing of {}", path.display()))
}

/// The same command, ended by SIGKILL when the thread that starts it ends, however that comes about:
/// a killed xtask leaves no program behind. Its pid is the program's own, as `setpriv` (util-linux)
/// becomes the program.
pub fn mortal(command: &Command) -> Command {
    let mut bound = Command::new("setpriv");
    bound.args(["--pdeathsig", "KILL", "--"]).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => bound.env(name, value),
            None => bound.env_remove(name),
        };
    }
    if let Some(directory) = command.get_current_dir() {
        bound.current_dir(directory);
    }
    bound
}

/// A program that ends with its owner: by SIGKILL, where it was not told to before.
pub struct Owned(pub Child);

impl Owned {
    /// Tells it to end, and waits until it has.
    ///
    /// # Errors
    /// When it cannot be told, or does not end with success.
    pub fn terminate(mut self, what: &str) -> Result<()> {
        kill_process(Pid::from_child(&self.0), Signal::TERM)?;
        let status = self.0.wait()?;
        ensure!(status.success(), "{what} ended with {status} on SIGTERM");
        Ok(())
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::os::unix::process::ExitStatusExt;

    use super::*;

    #[test]
    fn a_mortal_program_ends_with_who_started_it() {
        let started = std::thread::spawn(|| {
            let mut command = Command::new("sh");
            command
                .args(["-c", "echo $KEPT$DROPPED; exec sleep 600"])
                .env("KEPT", "kept")
                .env_remove("DROPPED");
            let mut child = mortal(&command).stdout(Stdio::piped()).spawn().unwrap();
            // Before it has said something it may not be bound yet.
            let said = BufReader::new(child.stdout.take().unwrap()).lines().next().unwrap().unwrap();
            (child, said)
        });
        let (mut child, said) = started.join().unwrap();
        assert_eq!(said, "kept");
        assert_eq!(child.wait().unwrap().signal(), Some(9));
    }
}
