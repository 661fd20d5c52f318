//! `cargo xtask docs`: pages that are made from code.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::dirs;

/// What stands around the part of docs/formats.md that is made.
const MARKS: [&str; 2] = ["<!-- cargo xtask docs -->\n", "<!-- end -->\n"];

/// Writes docs/configuration.md, docs/metrics.md, and the fields in docs/formats.md, as the binary prints
/// them.
pub fn run() -> Result<()> {
    let docs = dirs::workspace().join("docs");
    write(&docs.join("configuration.md"), printed(&["config"])?)?;
    write(&docs.join("metrics.md"), printed(&["metrics", "--list"])?)?;
    let page = docs.join("formats.md");
    let text = std::fs::read_to_string(&page).with_context(|| format!("cannot read {}", page.display()))?;
    let (before, rest) = text.split_once(MARKS[0]).context("docs/formats.md has no mark to write behind")?;
    let (_, after) = rest.split_once(MARKS[1]).context("docs/formats.md has no mark to write up to")?;
    let made = printed(&["check-log", "--formats"])?;
    write(&page, [before, MARKS[0], &made, MARKS[1], after].concat())
}

/// What a command of the binary prints.
fn printed(arguments: &[&str]) -> Result<String> {
    let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .current_dir(dirs::workspace())
        .args(["run", "--quiet", "--package", "weir", "--"])
        .args(arguments)
        .output()
        .context("cannot run cargo")?;
    if !output.status.success() {
        bail!("weir {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr));
    }
    String::from_utf8(output.stdout).context("what it prints is no text")
}

fn write(page: &Path, text: String) -> Result<()> {
    std::fs::write(page, text).with_context(|| format!("cannot write {}", page.display()))
}
