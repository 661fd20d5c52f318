//! Files that are there whole or not at all, whenever a process or a machine ends.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// Where a file is written before it takes its name.
pub fn aside(directory: &Path, name: &str) -> PathBuf {
    directory.join(format!(".{name}.new"))
}

/// Writes a file of this directory aside and renames it, over one that is there; on disk when this returns.
///
/// # Errors
/// When it cannot be written; then the one that was there is there still.
pub fn write(directory: &Path, name: &str, content: &[u8], mode: u32) -> io::Result<()> {
    let aside = aside(directory, name);
    let _ = fs::remove_file(&aside);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&aside)?;
    file.write_all(content)?;
    // Whatever the process's umask took away.
    file.set_permissions(Permissions::from_mode(mode))?;
    file.sync_all()?;
    fs::rename(&aside, directory.join(name))?;
    File::open(directory)?.sync_all()
}
