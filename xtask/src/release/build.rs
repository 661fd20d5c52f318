//! A build that comes out the same wherever it is made: from the commit alone, with no path of the machine in
//! it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::dirs;
use crate::shell::succeed;

/// What is shipped is built for it.
pub const TARGET: &str = "x86_64-unknown-linux-gnu";

/// What is built.
pub struct Build {
    /// The commit, in full.
    pub commit: String,
    /// Its time, in seconds since the Unix epoch: what stands for the time of the build.
    pub time_s: u64,
}

impl Build {
    /// Builds the commit in a directory, which is emptied before; gives the binary.
    pub fn make(&self, place: &Path) -> Result<PathBuf> {
        if place.exists() {
            fs::remove_dir_all(place).with_context(|| format!("cannot empty {}", place.display()))?;
        }
        let (source, target) = (place.join("source"), place.join("target"));
        fs::create_dir_all(&source).with_context(|| format!("cannot make {}", source.display()))?;
        let archive = place.join("source.tar");
        let mut git = Command::new("git");
        git.current_dir(dirs::workspace()).args(["archive", "--format=tar", "--output"]).arg(&archive);
        succeed(self.of_commit(git), "git archive")?;
        let mut tar = Command::new("tar");
        tar.args(["--extract", "--file"]).arg(&archive).arg("--directory").arg(&source);
        succeed(tar, "tar")?;
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.current_dir(&source).args(["build", "--release", "--locked", "--package", "weir"]);
        cargo.args(["--target", TARGET]);
        // What this cargo was run with would otherwise reach the one that builds.
        for (name, _) in std::env::vars_os() {
            let is_ours = name.to_string_lossy().starts_with("CARGO_");
            if is_ours && name != "CARGO_HOME" {
                cargo.env_remove(&name);
            }
        }
        let places = [(source.as_path(), "/weir"), (target.as_path(), "/target"), (&home()?, "/cargo")];
        let rust = places.map(|(from, to)| format!("--remap-path-prefix={}={to}", from.display()));
        let c = places.map(|(from, to)| format!("-ffile-prefix-map={}={to}", from.display()));
        cargo.env("CARGO_TARGET_DIR", &target).env("CARGO_INCREMENTAL", "0");
        // Of paths with blanks, too.
        cargo.env("CARGO_ENCODED_RUSTFLAGS", rust.join("\x1f")).env_remove("RUSTFLAGS");
        cargo.env("CFLAGS", c.join(" ")).env("CXXFLAGS", c.join(" "));
        cargo.env("SOURCE_DATE_EPOCH", self.time_s.to_string()).env("LC_ALL", "C").env("TZ", "UTC");
        succeed(cargo, "cargo build")?;
        Ok(target.join(TARGET).join("release").join("weir"))
    }

    fn of_commit(&self, mut git: Command) -> Command {
        git.arg(&self.commit);
        git
    }
}

/// Where cargo keeps the sources of dependencies.
fn home() -> Result<PathBuf> {
    if let Some(home) = std::env::var_os("CARGO_HOME").filter(|home| !home.is_empty()) {
        return Ok(home.into());
    }
    let home = std::env::var_os("HOME").context("neither CARGO_HOME nor HOME is set")?;
    Ok(PathBuf::from(home).join(".cargo"))
}
