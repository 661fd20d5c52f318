//! Where xtask keeps things: the checkout, its target directory, and a cache that outlives both.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;

use crate::shell::succeed;

/// The root of the checkout.
pub fn workspace() -> &'static Path {
    let manifest_dir = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest_dir.parent().unwrap_or(manifest_dir)
}

/// `target/<name>` of the checkout, made when missing.
///
/// # Errors
/// When it cannot be made.
pub fn target(name: &str) -> anyhow::Result<PathBuf> {
    made(workspace().join("target").join(name))
}

/// A binary of the workspace as the last `cargo build` or `cargo test` left it.
///
/// # Errors
/// When it was not built yet.
pub fn built(name: &str) -> anyhow::Result<PathBuf> {
    // Ours lies beside it: in the target directory that cargo was told to use.
    let ours = std::env::current_exe().context("cannot tell where this binary is")?;
    let path = ours.with_file_name(name);
    anyhow::ensure!(path.is_file(), "{} is not built yet: cargo build -p {name}", path.display());
    Ok(path)
}

/// The `weir` binary, built from what the checkout holds now.
///
/// # Errors
/// When it does not build.
pub fn build_weir() -> anyhow::Result<PathBuf> {
    let mut build = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    build.current_dir(workspace()).args(["build", "--quiet", "--package", "weir"]);
    succeed(build, "cargo build")?;
    built("weir")
}

/// Downloads, kept outside the checkout so that a fresh clone does not fetch them again:
/// `WEIR_CACHE`, else `XDG_CACHE_HOME/weir`, else `~/.cache/weir`.
///
/// # Errors
/// When none of the three is set, or the directory cannot be made.
pub fn cache() -> anyhow::Result<PathBuf> {
    let var = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let dir = var("WEIR_CACHE")
        .or_else(|| var("XDG_CACHE_HOME").map(|dir| dir.join("weir")))
        .or_else(|| var("HOME").map(|dir| dir.join(".cache/weir")))
        .context("none of WEIR_CACHE, XDG_CACHE_HOME and HOME is set: set WEIR_CACHE to a directory")?;
    made(dir)
}

fn made(dir: PathBuf) -> anyhow::Result<PathBuf> {
    std::fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
    Ok(dir)
}
