//! Wireshark of a version that knows JA4, which Debian's stable one does not: compiled for WebAssembly, from
//! npm, run by Node.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::debian::ensure_command;
use crate::dirs;
use crate::shell::succeed;

/// Where the tests find it.
pub const MODULES_VAR: &str = "WEIR_TEST_WIRESHARK_MODULES";

const PACKAGE: &str = "@goodtools/wiregasm@1.9.1";

/// The directory of modules that has it, made once under the cache directory.
///
/// # Errors
/// Without Node and npm, or when the package cannot be had.
pub fn modules() -> Result<PathBuf> {
    // It runs by Node, whoever installed it.
    ensure_command("node", "nodejs")?;
    let home = dirs::cache()?.join("wireshark");
    // The stamp is written last: what was interrupted is installed again.
    let stamp = home.join("package.txt");
    let modules = home.join("node_modules");
    if std::fs::read_to_string(&stamp).is_ok_and(|installed| installed == PACKAGE) {
        return Ok(modules);
    }
    ensure_command("npm", "npm")?;
    std::fs::create_dir_all(&home).with_context(|| format!("cannot make {}", home.display()))?;
    let mut install = Command::new("npm");
    install.args([
        "install",
        "--ignore-scripts",
        "--no-audit",
        "--no-fund",
        "--no-save",
        "--loglevel",
        "error",
    ]);
    install.arg("--prefix").arg(&home).arg(PACKAGE);
    succeed(install, "npm install")?;
    std::fs::write(&stamp, PACKAGE).with_context(|| format!("{}", stamp.display()))?;
    Ok(modules)
}
