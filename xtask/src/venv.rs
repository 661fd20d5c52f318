//! Python's packages, pinned, each set in a venv of its own.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::dirs;
use crate::shell::succeed;

/// The interpreter of a venv with the pinned packages, made once under the cache directory.
///
/// # Errors
/// When the venv cannot be made, or a package cannot be installed.
pub fn python(name: &str, requirements: &str) -> Result<PathBuf> {
    let venv = dirs::cache()?.join(name);
    let python = venv.join("bin/python");
    // The stamp is written last: a venv that was interrupted is made again.
    let stamp = venv.join("requirements.txt");
    if std::fs::read_to_string(&stamp).is_ok_and(|installed| installed == requirements) {
        return Ok(python);
    }
    eprintln!("installing Python's packages into {} ...", venv.display());
    let mut make = Command::new("python3");
    make.args(["-m", "venv", "--clear"]).arg(&venv);
    succeed(make, "python3 -m venv")?;
    let wanted = venv.join("wanted.txt");
    std::fs::write(&wanted, requirements).with_context(|| format!("{}", wanted.display()))?;
    let mut install = Command::new(&python);
    install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"]);
    install.arg(&wanted);
    succeed(install, "pip install")?;
    std::fs::rename(&wanted, &stamp).with_context(|| format!("{}", stamp.display()))?;
    Ok(python)
}
