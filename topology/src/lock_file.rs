//! A file by which one process holds a directory, and says which it is.

use std::fs::{File, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::thread::sleep;
use std::time::Duration;

/// Most bytes of a holder's number that are read.
const HOLDER_BYTES_MAX: u64 = 20;

/// How often it is tried, and how long is waited in between. A program that is being started has every file
/// of who starts it until it runs, and with them a lock that was let go meanwhile.
const TRIES: u32 = 20;
const WAIT: Duration = Duration::from_millis(25);

/// Why a directory cannot be held.
#[derive(Debug)]
pub enum HoldError {
    /// Somebody has it, as people are told: `process 7`.
    Held(String),
    /// The file cannot be locked.
    File(io::Error),
}

/// Holds the directory whose lock `file` is, as long as what this gives is there.
///
/// # Errors
/// When another process holds it, or the file cannot be locked.
pub fn hold(mut file: File) -> Result<File, HoldError> {
    match patiently(|| file.try_lock()) {
        Ok(()) => {
            // The number only makes the message of another process better; a full disk may refuse it.
            let _ = file.set_len(0).and_then(|()| write!(file, "{}", std::process::id()));
            Ok(file)
        }
        Err(TryLockError::WouldBlock) => {
            let mut id = String::new();
            let is_known = file.take(HOLDER_BYTES_MAX).read_to_string(&mut id).is_ok() && !id.is_empty();
            Err(HoldError::Held(if is_known {
                format!("process {id}")
            } else {
                "another process".to_owned()
            }))
        }
        Err(TryLockError::Error(source)) => Err(HoldError::File(source)),
    }
}

/// Tries until nobody has it, for a moment.
fn patiently(try_lock: impl Fn() -> Result<(), TryLockError>) -> Result<(), TryLockError> {
    for _ in 1..TRIES {
        match try_lock() {
            Err(TryLockError::WouldBlock) => sleep(WAIT),
            tried => return tried,
        }
    }
    try_lock()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_that_is_let_go_in_a_moment_is_waited_for_and_one_that_is_kept_is_not() {
        let place = tempfile::tempdir().unwrap();
        let open = || {
            let path = place.path().join("lock");
            File::options().read(true).write(true).create(true).truncate(false).open(path).unwrap()
        };
        let held = hold(open()).unwrap();
        let told = format!("process {}", std::process::id());
        assert!(matches!(hold(open()), Err(HoldError::Held(holder)) if holder == told));
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| hold(open()));
            sleep(2 * WAIT);
            drop(held);
            assert!(waits.join().unwrap().is_ok());
        });
    }
}
