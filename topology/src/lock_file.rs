//! A file by which one process holds a directory, and says which it is.

use std::fs::{File, TryLockError};
use std::io::{self, Read as _, Write as _};

/// Most bytes of a holder's number that are read.
const HOLDER_BYTES_MAX: u64 = 20;

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
    match file.try_lock() {
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
