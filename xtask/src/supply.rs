//! `cargo xtask supply`: what a release says of what it is made of, and what that may be.
//!
//! A step of a release and not of every test: its tools take some minutes to build.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::shell::{output, succeed};
use crate::{debian, dirs, venv};

const REQUIREMENTS: &str = include_str!("../supply/requirements.txt");

/// What writes it, with its version.
const CYCLONEDX: (&str, &str) = ("cargo-cyclonedx", "0.5.9");
/// What is shipped is built for it.
pub const TARGET: &str = "x86_64-unknown-linux-gnu";
/// What holds dependencies against deny.toml.
const DENY: (&str, &str) = ("cargo-deny", "0.20.2");

/// Writes the bill of materials, checks it, and holds the dependencies against deny.toml.
///
/// # Errors
/// Says what does not hold, or what is missing.
pub fn run() -> Result<()> {
    let bill = bill(dirs::workspace(), 0)?;
    let crates = bill.with_extension("crates");
    let mut tree = cargo();
    tree.args(["tree", "--locked", "--package", "weir", "--edges", "normal,build"]);
    // As the bill: of what is shipped, with its features and for its target, not for where this runs.
    tree.args(["--target", TARGET]);
    tree.args(["--prefix", "none", "--format", "{p}", "--no-dedupe"]);
    fs::write(&crates, output(tree, "cargo tree fails")?)?;
    debian::ensure_debian_packages(&["python3-venv"])?;
    let mut check = Command::new(venv::python("supply-venv", REQUIREMENTS)?);
    check.arg(dirs::workspace().join("xtask/supply/sbom.py")).arg(&bill).arg(&crates);
    succeed(check, "sbom.py")?;
    println!("{}", bill.display());
    let mut deny = Command::new(tool(DENY)?);
    deny.current_dir(dirs::workspace()).args(["--locked", "check", "--hide-inclusion-graph"]);
    deny.args(["bans", "licenses", "sources"]);
    succeed(deny, "cargo deny")
}

/// `target/supply/weir.cdx.json` of the files in `source`, made anew; it says that it is of the time
/// `time_s`, in seconds since the Unix epoch, and nothing of where it was made.
pub fn bill(source: &Path, time_s: u64) -> Result<PathBuf> {
    const NAME: &str = "weir.cdx";
    let mut cyclonedx = Command::new(tool(CYCLONEDX)?);
    cyclonedx.current_dir(source.join("cli")).env("SOURCE_DATE_EPOCH", time_s.to_string());
    cyclonedx.args(["cyclonedx", "--format", "json"]);
    // With the features that a release is built with: the bill is of that binary and of no other.
    cyclonedx.args(["--spec-version", "1.5", "--target", TARGET]);
    cyclonedx.args(["--override-filename", NAME]);
    succeed(cyclonedx, "cargo cyclonedx")?;
    // It writes beside every manifest of the workspace; one of them is the binary's.
    let to = dirs::target("supply")?.join(NAME).with_extension("cdx.json");
    for entry in fs::read_dir(source)? {
        let made = entry?.path().join(NAME).with_extension("cdx.json");
        if made.parent().is_some_and(|parent| parent.ends_with("cli")) {
            let text =
                fs::read_to_string(&made).with_context(|| format!("cannot read {}", made.display()))?;
            fs::write(&to, text.replace(&source.display().to_string(), "/weir"))?;
        }
        if made.is_file() {
            fs::remove_file(&made)?;
        }
    }
    Ok(to)
}

/// A tool of this version, built once and kept in the cache.
fn tool((name, version): (&str, &str)) -> Result<PathBuf> {
    let root = dirs::cache()?.join(format!("{name}-{version}"));
    let path = root.join("bin").join(name);
    if !path.is_file() {
        eprintln!("building {name} {version} ...");
        let aside = tempfile::tempdir_in(dirs::cache()?)?;
        let mut install = cargo();
        install.args(["install", "--quiet", "--locked", name, "--version", version, "--root"]).arg(&root);
        install.env("CARGO_TARGET_DIR", aside.path());
        succeed(install, "cargo install")?;
    }
    Ok(path)
}

fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(dirs::workspace());
    cargo
}
