//! A build that comes out the same wherever it is made: from the commit alone, with no path of the machine in
//! it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::dirs;
use crate::shell::{output, succeed};
use crate::supply::TARGET;

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
        within(&mut cargo, &source);
        cargo.args(["build", "--release", "--locked", "--package", "weir"]);
        cargo.args(["--target", TARGET]);
        let places = [(source.as_path(), "/weir"), (target.as_path(), "/target"), (&home()?, "/cargo")];
        let rust = places.map(|(from, to)| format!("--remap-path-prefix={}={to}", from.display()));
        let c = places.map(|(from, to)| format!("-ffile-prefix-map={}={to}", from.display()));
        cargo.env("CARGO_TARGET_DIR", &target).env("CARGO_INCREMENTAL", "0");
        cargo.env("CARGO_ENCODED_RUSTFLAGS", rust.join("\x1f"));
        cargo.env("CFLAGS", c.join(" ")).env("CXXFLAGS", c.join(" "));
        cargo.env("SOURCE_DATE_EPOCH", self.time_s.to_string());
        succeed(cargo, "cargo build")?;
        Ok(target.join(TARGET).join("release").join("weir"))
    }

    /// What the compilers that build say of themselves: Rust's and C's.
    pub fn compilers(&self, source: &Path) -> Result<Vec<String>> {
        let said = |program: &str, argument: &str| -> Result<String> {
            let mut compiler = Command::new(program);
            within(&mut compiler, source);
            compiler.arg(argument);
            let said = String::from_utf8(output(compiler, &format!("{program} fails"))?)?;
            Ok(said.trim().to_owned())
        };
        Ok(vec![said("rustc", "-vV")?, said("cc", "--version")?])
    }

    fn of_commit(&self, mut git: Command) -> Command {
        git.arg(&self.commit);
        git
    }
}

/// What of the surroundings reaches a build: where programs and downloads lie, and how to get at the network.
const KEPT: [&str; 12] = [
    "PATH",
    "HOME",
    "CARGO_HOME",
    "RUSTUP_HOME",
    "RUSTUP_TOOLCHAIN",
    "TMPDIR",
    "http_proxy",
    "https_proxy",
    "HTTPS_PROXY",
    "no_proxy",
    "NO_PROXY",
    "SSL_CERT_FILE",
];

/// Has a command run in the commit's files, with nothing of the surroundings that could change a build.
fn within(command: &mut Command, source: &Path) {
    command.current_dir(source).env_clear();
    for name in KEPT {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command.env("LC_ALL", "C").env("TZ", "UTC");
}

/// Where cargo keeps the sources of dependencies.
fn home() -> Result<PathBuf> {
    if let Some(home) = std::env::var_os("CARGO_HOME").filter(|home| !home.is_empty()) {
        return Ok(home.into());
    }
    let home = std::env::var_os("HOME").context("neither CARGO_HOME nor HOME is set")?;
    Ok(PathBuf::from(home).join(".cargo"))
}
