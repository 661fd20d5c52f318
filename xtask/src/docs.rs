//! `cargo xtask docs`: pages that are made from code.

use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::dirs;

/// Writes docs/configuration.md as the binary prints it.
pub fn run() -> Result<()> {
    let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .current_dir(dirs::workspace())
        .args(["run", "--quiet", "--package", "weir", "--", "config"])
        .output()
        .context("cannot run cargo")?;
    if !output.status.success() {
        bail!("weir config: {}", String::from_utf8_lossy(&output.stderr));
    }
    let page = dirs::workspace().join("docs/configuration.md");
    std::fs::write(&page, output.stdout).with_context(|| format!("cannot write {}", page.display()))
}
