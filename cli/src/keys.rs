//! Key files: 32 random bytes as 64 hex digits, readable by the owner only.

use anyhow::{Context as _, Result, bail, ensure};
use rand::TryRng as _;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use zeroize::Zeroizing;

/// The keys of a deployment.
pub struct Keys {
    /// Makes pseudonyms: the same on every node.
    pub pseudonym: Zeroizing<[u8; 32]>,
    /// Seals raw account ids for the enforcer.
    pub seal: Zeroizing<[u8; 32]>,
    /// Chains audit records.
    pub audit: Zeroizing<[u8; 32]>,
}

/// What every role needs.
const NAMES: [&str; 3] = ["pseudonym.key", "seal.key", "audit.key"];

/// Signs what an operator states, such as coverage. No role needs it, and directories from before it
/// was there lack it.
const SIGN: &str = "sign.key";

impl Keys {
    /// Reads the keys that the operator gave.
    pub fn read(directory: &Path) -> Result<Self> {
        let [pseudonym, seal, audit] = NAMES.map(|name| read(&directory.join(name)));
        Ok(Self { pseudonym: pseudonym?, seal: seal?, audit: audit? })
    }

    /// Reads the keys, after making those that are missing; true if any was made.
    pub fn read_or_make(directory: &Path) -> Result<(Self, bool)> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .with_context(|| format!("cannot make the key directory {}", directory.display()))?;
        let mut made = false;
        for name in NAMES.into_iter().chain([SIGN]) {
            made |= make(directory, name)?;
        }
        Ok((Self::read(directory)?, made))
    }

    /// The seed of the key that signs statements.
    pub fn read_sign(directory: &Path) -> Result<Zeroizing<[u8; 32]>> {
        let path = directory.join(SIGN);
        ensure!(
            path.exists(),
            "the key {} is missing, which signs statements: `weir keys make {}` adds it and leaves the others as they are",
            path.display(),
            directory.display()
        );
        read(&path)
    }
}

/// Makes a key unless it is there. It is written aside and renamed, so that a crash leaves a whole
/// key or none.
fn make(directory: &Path, name: &str) -> Result<bool> {
    let path = directory.join(name);
    if path.exists() {
        return Ok(false);
    }
    let mut key = Zeroizing::new([0u8; 32]);
    rand::rngs::SysRng.try_fill_bytes(key.as_mut()).context("the operating system gives no random bytes")?;
    let aside = directory.join(format!(".{name}.new"));
    let _ = fs::remove_file(&aside);
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&aside)
        .with_context(|| format!("cannot make the key {}", path.display()))?;
    writeln!(file, "{}", hex(key.as_ref()).as_str())?;
    file.sync_all()?;
    fs::rename(&aside, &path)?;
    fs::File::open(directory)?.sync_all()?;
    Ok(true)
}

fn hex(bytes: &[u8]) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(2 * bytes.len()));
    for byte in bytes {
        for digit in [byte >> 4, byte & 15] {
            text.push(char::from_digit(digit.into(), 16).unwrap_or('0'));
        }
    }
    text
}

/// Refuses a secret that others than its owner can read; `what` names it.
pub fn ensure_private(path: &Path, what: &str) -> Result<()> {
    let shown = path.display();
    let metadata = fs::metadata(path).with_context(|| format!("cannot read {what} {shown}"))?;
    let mode = metadata.permissions().mode() & 0o777;
    ensure!(mode & 0o077 == 0, "{what} {shown} can be read by others (mode {mode:o}): chmod 600 it");
    Ok(())
}

fn read(path: &Path) -> Result<Zeroizing<[u8; 32]>> {
    let shown = path.display();
    ensure!(
        path.exists(),
        "the key {shown} is missing: every role of one deployment needs the same keys; copy them from where `weir keys make` or `weir run` made them"
    );
    ensure_private(path, "the key")?;
    let text =
        Zeroizing::new(fs::read_to_string(path).with_context(|| format!("cannot read the key {shown}"))?);
    let digits = text.trim().as_bytes();
    let mut key = Zeroizing::new([0u8; 32]);
    let value = |digit: u8| char::from(digit).to_digit(16);
    if digits.len() != 64 {
        bail!("the key {shown} must be 64 hex digits");
    }
    for (byte, pair) in key.iter_mut().zip(digits.chunks_exact(2)) {
        match (value(pair[0]), value(pair[1])) {
            (Some(high), Some(low)) => *byte = (high << 4 | low) as u8,
            _ => bail!("the key {shown} must be 64 hex digits"),
        }
    }
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_made_once_differ_and_are_the_owners_alone() {
        let directory = tempfile::tempdir().unwrap();
        let (first, made) = Keys::read_or_make(directory.path()).unwrap();
        assert!(made);
        let (second, made) = Keys::read_or_make(directory.path()).unwrap();
        assert!(!made);
        assert_eq!(first.seal, second.seal);
        assert_ne!(first.seal, first.audit);
        for name in NAMES.into_iter().chain([SIGN]) {
            let mode = fs::metadata(directory.path().join(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }

    #[test]
    fn a_directory_from_before_the_signing_key_serves_the_roles_and_says_how_to_add_it() {
        let directory = tempfile::tempdir().unwrap();
        let (before, _) = Keys::read_or_make(directory.path()).unwrap();
        fs::remove_file(directory.path().join(SIGN)).unwrap();
        assert!(Keys::read(directory.path()).is_ok());
        let refused = Keys::read_sign(directory.path()).unwrap_err().to_string();
        assert!(refused.contains("sign.key is missing") && refused.contains("weir keys make"), "{refused}");
        let (after, made) = Keys::read_or_make(directory.path()).unwrap();
        assert!(made && before.seal == after.seal);
        assert_ne!(Keys::read_sign(directory.path()).unwrap(), after.seal);
    }

    #[test]
    fn a_missing_short_or_open_key_is_refused_without_showing_it() {
        let directory = tempfile::tempdir().unwrap();
        let refusal = || Keys::read(directory.path()).err().unwrap().to_string();
        assert!(refusal().contains("pseudonym.key is missing"));
        Keys::read_or_make(directory.path()).unwrap();
        let path = directory.path().join("seal.key");
        fs::write(&path, "abc123").unwrap();
        assert!(refusal().contains("must be 64 hex digits") && !refusal().contains("abc123"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(refusal().contains("can be read by others (mode 644)"));
    }
}
