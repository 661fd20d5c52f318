//! Keys as files: 64 hex digits each, secrets readable by their owner only, written whole or not at all.

use super::error::KeyError;
use super::role::Role;
use crate::whole;
use rand::TryRng as _;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// A 32-byte key.
pub type Key = Zeroizing<[u8; 32]>;

/// That the file system does not let us use `path`.
pub fn at(path: &Path) -> impl FnOnce(io::Error) -> KeyError {
    let path = path.display().to_string();
    move |source| KeyError::Io { path, source }
}

/// Refuses a secret that others than its owner can read; `what` names it.
pub fn ensure_private(path: &Path, what: &str) -> Result<(), KeyError> {
    let metadata = fs::metadata(path).map_err(|source| KeyError::Unreadable {
        what: what.into(),
        path: path.display().to_string(),
        source,
    })?;
    refuse_mode(path, what, metadata.permissions().mode() & 0o777, 0o077)
}

/// Refuses a credential that others can read. Where a service has a user of its own, systemd lets that user
/// read it by an access list, whose mask is where the group's rights are.
pub fn ensure_of_systemd(path: &Path) -> Result<(), KeyError> {
    let metadata = fs::metadata(path).map_err(at(path))?;
    refuse_mode(path, "the key", metadata.permissions().mode() & 0o777, 0o037)
}

fn refuse_mode(path: &Path, what: &str, mode: u32, others: u32) -> Result<(), KeyError> {
    match mode & others {
        0 => Ok(()),
        _ => Err(KeyError::Open { what: what.into(), path: path.display().to_string(), mode }),
    }
}

/// The name of a file.
pub fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// The files in a directory whose names are wanted, in order; none where there is no such directory.
pub fn entries(directory: &Path, is_wanted: impl Fn(&str) -> bool) -> Result<Vec<PathBuf>, KeyError> {
    let listing = match fs::read_dir(directory) {
        Ok(listing) => listing,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(at(directory)(error)),
    };
    let mut found = Vec::new();
    for entry in listing {
        let path = entry.map_err(at(directory))?.path();
        if path.file_name().is_some_and(|name| is_wanted(&name.to_string_lossy())) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// The secret in a file that nobody but its owner can read.
pub fn read_secret(path: &Path, role: Role) -> Result<Key, KeyError> {
    if !path.exists() {
        return Err(missing(path, role));
    }
    ensure_private(path, "the key")?;
    read_key(path, role)
}

/// The key in a file.
pub fn read_key(path: &Path, role: Role) -> Result<Key, KeyError> {
    let text = match fs::read_to_string(path) {
        Ok(text) => Zeroizing::new(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(missing(path, role)),
        Err(error) => return Err(at(path)(error)),
    };
    key_of(&text).ok_or_else(|| KeyError::Malformed { path: path.display().to_string() })
}

/// That there is no such file.
pub fn missing(path: &Path, role: Role) -> KeyError {
    let remedy = format!("give --keys-dir the directory `{role}` that `weir keys make` made");
    KeyError::Missing { path: path.display().to_string(), role, remedy }
}

/// What 64 hex digits are, with nothing but blanks around them.
pub fn key_of(text: &str) -> Option<Key> {
    let digits = text.trim().as_bytes();
    let value = |digit: u8| char::from(digit).to_digit(16);
    let mut key = Zeroizing::new([0u8; 32]);
    if digits.len() != 64 {
        return None;
    }
    for (byte, pair) in key.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = (value(pair[0])? << 4 | value(pair[1])?) as u8;
    }
    Some(key)
}

/// Copies a secret.
pub fn copy(from: &Path, to: &Path, role: Role) -> Result<(), KeyError> {
    write_key(to, &*read_secret(from, role)?, 0o600)
}

/// 32 bytes of the operating system's generator.
pub fn random() -> Result<Key, KeyError> {
    let mut key = Zeroizing::new([0u8; 32]);
    rand::rngs::SysRng.try_fill_bytes(key.as_mut()).map_err(|_| KeyError::NoRandomness)?;
    Ok(key)
}

/// Writes a key as text.
pub fn write_key(path: &Path, key: &[u8; 32], mode: u32) -> Result<(), KeyError> {
    let mut text = Zeroizing::new(String::with_capacity(65));
    for byte in key {
        for digit in [byte >> 4, byte & 15] {
            text.push(char::from_digit(digit.into(), 16).unwrap_or('0'));
        }
    }
    text.push('\n');
    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(at(path)(io::ErrorKind::InvalidInput.into()));
    };
    write(directory, &name.to_string_lossy(), text.as_bytes(), mode)
}

/// Written aside and renamed, so that a crash leaves a whole file or none.
pub fn write(directory: &Path, name: &str, content: &[u8], mode: u32) -> Result<(), KeyError> {
    whole::write(directory, name, content, mode).map_err(at(&directory.join(name)))
}
