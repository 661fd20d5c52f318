//! `cargo xtask compose`: `deploy/compose` comes up in containers, as the file stands, and is held to what it
//! promises.
//!
//! It needs root on Debian and no engine that runs already: podman is installed, and works in namespaces and
//! a storage of its own, which end with the run. Whatever else has containers on this machine is not seen and
//! not touched, and no port of it is taken. Images of others are stood in for (`xtask/compose`), because a
//! registry may be out of reach; Weir's own is built from its Dockerfile.

mod course;
mod engine;
mod faults;
mod hardening;
mod images;
mod proof;
mod stack;

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::shell::{mortal, succeed};
use crate::{debian, dirs, venv};
use engine::Engine;

const PACKAGES: &[&str] = &[
    "podman",
    "buildah",
    "runc",
    "netavark",
    "aardvark-dns",
    "iptables",
    "iproute2",
    "util-linux",
    "mmdebstrap",
    "binutils",
    "python3-venv",
];

const REQUIREMENTS: &str = "podman-compose==1.6.0\n";

#[derive(clap::Args)]
pub struct Args {
    /// The part of itself that it runs in namespaces: never by hand
    #[arg(long, hide = true, value_enum)]
    part: Option<Part>,
    /// The binary that the image gets, instead of one that is built first
    #[arg(long, value_name = "FILE")]
    weir: Option<PathBuf>,
}

/// What runs in namespaces.
#[derive(Clone, Copy, clap::ValueEnum)]
enum Part {
    /// Makes the images: with the machine's network, for Debian's packages
    Images,
    /// Brings the stack up: without any network but its own
    Stack,
}

/// Brings the stack up with a binary of the checkout, and holds it to what it promises.
///
/// # Errors
/// Says which step did not come out as it must.
pub fn run(args: &Args) -> Result<()> {
    let weir = match &args.weir {
        Some(weir) => weir.clone(),
        None => dirs::build_weir()?,
    };
    match args.part {
        None => with(&weir),
        Some(Part::Images) => {
            let engine = Engine::ensure(&home()?, &podman_compose()?)?;
            images::make(&engine, &weir)?;
            // Becomes the other part: nothing that the images' part could do is left to it.
            let mut stack = Command::new("unshare");
            stack.args(["--net", "--"]).args(ourselves("stack", &weir)?);
            Err(stack.exec()).context("cannot run unshare")
        }
        Some(Part::Stack) => course::run(&Engine::ensure(&home()?, &podman_compose()?)?),
    }
}

/// Brings the stack up with this binary, and holds it to what it promises.
///
/// # Errors
/// Says which step did not come out as it must.
pub fn with(weir: &Path) -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        bail!("cargo xtask compose makes namespaces and installs podman: run it as root");
    }
    debian::ensure_debian_packages(PACKAGES)?;
    podman_compose()?;
    // What a run left that was killed. Nothing of it is mounted: its namespaces are gone.
    let home = home()?;
    remove(&home)?;
    std::fs::create_dir_all(&home).with_context(|| format!("cannot make {}", home.display()))?;
    let mut inside = Command::new("unshare");
    // The namespace of processes ends with its first, and that with us: no container outlives us, however we
    // end.
    inside.args(["--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--"]);
    // The first process has to bury those whose parents have gone, and a shell does.
    inside.args(["sh", "-c", "\"$@\"; exit $?", "sh"]);
    inside.args(ourselves("images", weir)?);
    let outcome = succeed(mortal(&inside), "the containers' part");
    remove(&home)?;
    outcome
}

/// Where the engine keeps what ends with the run.
fn home() -> Result<PathBuf> {
    Ok(dirs::target("compose")?.join("engine"))
}

fn remove(home: &Path) -> Result<()> {
    match std::fs::remove_dir_all(home) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", home.display()))
        }
        _ => Ok(()),
    }
}

fn ourselves(part: &str, weir: &Path) -> Result<Vec<std::ffi::OsString>> {
    let program = std::env::current_exe().context("cannot tell where this binary is")?;
    let weir = weir.canonicalize().with_context(|| format!("{}", weir.display()))?;
    Ok(vec![program.into(), "compose".into(), "--part".into(), part.into(), "--weir".into(), weir.into()])
}

fn podman_compose() -> Result<PathBuf> {
    Ok(venv::python("compose-venv", REQUIREMENTS)?.with_file_name("podman-compose"))
}

/// Says which step begins.
fn say(step: &str) {
    println!("\n{step}");
}
