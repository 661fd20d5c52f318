//! The trust store of policies: a directory of public keys, `NAME.pub` for each person who may sign.
//!
//! Whoever can write there decides what Weir judges by, so it is held to what such a place must be: no
//! symbolic links, owned by root or by the user of the process, and writable by nobody else.

use crate::keys::{self, KeyError};
use crate::settings::Settings;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use thiserror::Error;
use weir_schemas::bundle::{Trust, TrustError};

/// Why a trust store is not believed.
#[derive(Debug, Error)]
pub enum StoreError {
    /// It cannot be looked at.
    #[error("the trust store {path} cannot be read: {source}")]
    Unreadable {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It points elsewhere, where somebody else may decide.
    #[error("{0} of the trust store is a symbolic link: put the file itself there")]
    Link(PathBuf),
    /// Somebody else may decide.
    #[error(
        "{path} of the trust store can be written by others (owner {owner}, mode {mode:o}): it must be owned by root or by \
         this process's user, and writable by nobody else"
    )]
    Open {
        /// The file or directory.
        path: PathBuf,
        /// Its owner's number.
        owner: u32,
        /// Its mode.
        mode: u32,
    },
    /// That is no key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The keys are not to be trusted.
    #[error("the trust store {path}: {source}")]
    Trust {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: TrustError,
    },
}

/// The trust that is configured; none where policies need not be signed.
pub fn configured(settings: &Settings) -> Result<Option<Trust>, StoreError> {
    let Some(directory) = &settings.policy_trust else { return Ok(None) };
    let found = signers(directory)?.into_iter().map(|(_, key)| key);
    let untrusted = |source| StoreError::Trust { path: directory.clone(), source };
    Trust::new(&settings.policy_audience, found).map(Some).map_err(untrusted)
}

/// Name and public key of everybody in a trust store, in the order of their names.
pub fn signers(directory: &Path) -> Result<Vec<(String, [u8; 32])>, StoreError> {
    check(directory)?;
    let unreadable = |source| StoreError::Unreadable { path: directory.to_owned(), source };
    let mut signers = Vec::new();
    for entry in fs::read_dir(directory).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.extension().is_none_or(|ending| ending != "pub") {
            continue;
        }
        check(&path)?;
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        signers.push((name, *keys::read_signer(&path)?));
    }
    signers.sort();
    Ok(signers)
}

/// Refuses a file or a directory of a trust store that somebody else may change, or that is elsewhere.
pub fn check(path: &Path) -> Result<(), StoreError> {
    let unreadable = |source| StoreError::Unreadable { path: path.to_owned(), source };
    let metadata = fs::symlink_metadata(path).map_err(unreadable)?;
    if metadata.file_type().is_symlink() {
        return Err(StoreError::Link(path.to_owned()));
    }
    let ours = fs::metadata("/proc/self").map_err(unreadable)?.uid();
    let (owner, mode) = (metadata.uid(), metadata.mode() & 0o7777);
    if mode & 0o022 != 0 || (owner != 0 && owner != ours) {
        return Err(StoreError::Open { path: path.to_owned(), owner, mode });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // A test may fail loudly.

    use super::*;
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    use weir_schemas::bundle::public_of;

    fn write(path: &Path, seed: u8) {
        let digits: String = public_of(&[seed; 32]).iter().map(|byte| format!("{byte:02x}")).collect();
        fs::write(path, digits + "\n").unwrap();
    }

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_store_that_others_can_change_or_that_points_elsewhere_is_not_believed() {
        let place = tempfile::tempdir().unwrap();
        let store = place.path().join("trust");
        fs::create_dir(&store).unwrap();
        set_mode(&store, 0o755);
        let (alice, bob) = (store.join("alice.pub"), store.join("bob.pub"));
        write(&alice, 1);
        write(&store.join("README"), 9);
        set_mode(&alice, 0o644);
        assert_eq!(signers(&store).unwrap(), [("alice".to_owned(), public_of(&[1; 32]))]);

        set_mode(&alice, 0o664);
        assert!(matches!(signers(&store), Err(StoreError::Open { mode: 0o664, .. })));
        set_mode(&alice, 0o644);
        set_mode(&store, 0o777);
        assert!(matches!(signers(&store), Err(StoreError::Open { mode: 0o777, .. })));
        set_mode(&store, 0o755);

        let elsewhere = place.path().join("bob.pub");
        write(&elsewhere, 2);
        symlink(&elsewhere, &bob).unwrap();
        assert!(matches!(signers(&store), Err(StoreError::Link(path)) if path == bob));
        fs::remove_file(&bob).unwrap();
        fs::write(&bob, "no key\n").unwrap();
        set_mode(&bob, 0o644);
        assert!(matches!(signers(&store), Err(StoreError::Key(_))));
        fs::remove_file(&bob).unwrap();

        let link = place.path().join("link");
        symlink(&store, &link).unwrap();
        assert!(matches!(signers(&link), Err(StoreError::Link(path)) if path == link));
        assert!(matches!(signers(&place.path().join("none")), Err(StoreError::Unreadable { .. })));
    }
}
