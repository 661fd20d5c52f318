//! What commands print: their answers on standard output, notes beside them on standard error.
//!
//! A command whose reader has gone (`weir config | head`) ends as other Unix tools do, by SIGPIPE and without
//! a word. The signal itself stays ignored, as Rust has it: a peer that closes a socket must be an error of
//! that socket, and a role that nobody reads any more goes on. So the end is brought about here, once, when
//! the command has returned: what it holds (temporary files, logs) is let go first. What cannot be written
//! for another reason, as on a full disk, is an error of the command.
//!
//! Nothing else in this crate prints: the lints of `main.rs` hold that.

use std::fmt;
use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, PoisonError};

/// How far the answer of this process is.
static ANSWER: Mutex<State> = Mutex::new(State::Unbegun);

/// The exit code where it could not be written.
static FAILURE: AtomicU8 = AtomicU8::new(1);

/// Prints a line of a command's answer.
macro_rules! print_line {
    ($($argument:tt)*) => {
        $crate::output::text(format_args!("{}\n", format_args!($($argument)*)))
    };
}

/// Says a line on standard error, which nobody has to read.
macro_rules! note {
    ($($argument:tt)*) => {
        $crate::output::beside(format_args!($($argument)*))
    };
}

#[derive(Clone, Copy)]
enum State {
    Unbegun,
    Begun,
    Failed(Undelivered),
}

/// Why an answer did not arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Undelivered {
    /// Who read it has gone.
    ReaderGone,
    /// It cannot be written.
    Unwritable(ErrorKind),
}

impl fmt::Display for Undelivered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ReaderGone => f.write_str("nobody reads the answer any more"),
            Self::Unwritable(kind) => {
                write!(f, "the answer cannot be written to standard output ({kind}): it lacks its end")
            }
        }
    }
}

/// Standard output, for answers that are written piece by piece. What failed once fails at once ever after.
#[derive(Debug, Default)]
pub struct Answer;

impl Answer {
    fn attempt<T>(write: impl FnOnce(&mut io::StdoutLock<'static>) -> io::Result<T>) -> io::Result<T> {
        let mut state = ANSWER.lock().unwrap_or_else(PoisonError::into_inner);
        match *state {
            State::Failed(Undelivered::ReaderGone) => return Err(ErrorKind::BrokenPipe.into()),
            State::Failed(Undelivered::Unwritable(kind)) => return Err(kind.into()),
            State::Unbegun | State::Begun => *state = State::Begun,
        }
        let written = write(&mut io::stdout().lock());
        match written.as_ref().map_err(io::Error::kind) {
            Ok(_) | Err(ErrorKind::Interrupted) => {}
            Err(ErrorKind::BrokenPipe) => *state = State::Failed(Undelivered::ReaderGone),
            Err(kind) => *state = State::Failed(Undelivered::Unwritable(kind)),
        }
        written
    }
}

impl Write for Answer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Self::attempt(|out| out.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Self::attempt(|out| out.flush())
    }
}

/// Says a part of a command's answer as it is. What becomes of it, [`delivered`] says at the end.
pub fn text(text: impl fmt::Display) {
    drop(write!(Answer, "{text}"));
}

/// Says a line in passing, from a role that goes on whether somebody reads it or not.
pub fn in_passing(line: impl fmt::Display) {
    drop(writeln!(io::stdout(), "{line}"));
}

/// Says a line on standard error, which nobody has to read.
pub fn beside(line: impl fmt::Display) {
    drop(writeln!(io::stderr(), "{line}"));
}

/// Whether all of the answer arrived, after the last of it; a role that said none has nothing to deliver.
pub fn delivered() -> Result<(), Undelivered> {
    let state = || *ANSWER.lock().unwrap_or_else(PoisonError::into_inner);
    if matches!(state(), State::Begun) {
        drop(Answer.flush());
    }
    match state() {
        State::Unbegun | State::Begun => Ok(()),
        State::Failed(undelivered) => Err(undelivered),
    }
}

/// Says by which exit code this command tells that its answer could not be written, where 1 says something
/// else of it.
pub fn fails_with(code: u8) {
    FAILURE.store(code, Ordering::Relaxed);
}

/// The exit code of an answer that could not be written.
pub fn failure() -> ExitCode {
    ExitCode::from(FAILURE.load(Ordering::Relaxed))
}

/// Whether an error is that whoever read the answer has gone.
pub fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let mut causes = error.chain().filter_map(|cause| cause.downcast_ref::<io::Error>());
    causes.any(|cause| cause.kind() == ErrorKind::BrokenPipe)
}

/// Ends the process as SIGPIPE ends tools that do not ignore it. As the first process of a container, which
/// no such signal ends, it gives the code that shells give for it.
pub fn end_by_sigpipe() {
    if std::process::id() == 1 {
        std::process::exit(128 + signal_hook::consts::SIGPIPE);
    }
    drop(signal_hook::low_level::emulate_default_handler(signal_hook::consts::SIGPIPE));
}
