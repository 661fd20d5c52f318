//! `cargo xtask kubernetes`: the chart for Helm and the manifests in `deploy/k8s`, rendered and checked.
//!
//! The checks are Python (`xtask/kubernetes`), on what Helm and Kustomize themselves render, with the schemas
//! of Kubernetes and of the operators that custom resources are for. Every role is started as its pod would
//! start it, on a real broker.

mod tools;

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::shell::succeed;
use crate::{debian, dirs, kafka, venv};
use tools::Tools;

const REQUIREMENTS: &str = include_str!("../kubernetes/requirements.txt");

#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(clap::Subcommand)]
enum Verb {
    /// Check what is shipped for Kubernetes; with a broker that runs (`cargo xtask kafka up`), start every
    /// role too
    Check,
    /// Write deploy/k8s, and the chart's files that are made of others
    Render,
}

/// Builds the binary and does what is asked.
///
/// # Errors
/// Says what does not hold, or what is missing.
pub fn run(args: &Args) -> Result<()> {
    let weir = dirs::build_weir()?;
    match args.verb {
        Verb::Check => check(&weir, kafka::running()?.is_some()),
        Verb::Render => succeed(script("render", &weir)?, "main.py render"),
    }
}

/// Checks what is shipped, with this binary; where there is a broker, every role is started on it.
///
/// # Errors
/// Says what does not hold.
pub fn check(weir: &Path, has_broker: bool) -> Result<()> {
    let mut check = script("check", weir)?;
    if has_broker {
        let [_, (_, mutual), (_, files)] = <[_; 3]>::try_from(kafka::secure_surroundings()?)
            .ok()
            .context("the broker that is named has no listener with TLS: name none, and ours is started")?;
        check.args(["--brokers", &mutual, "--kafka-files", &files]);
    }
    succeed(check, "main.py check")
}

fn script(what: &str, weir: &Path) -> Result<Command> {
    debian::ensure_debian_packages(&["python3-venv"])?;
    let tools = Tools::ensure()?;
    let mut command = Command::new(venv::python("kubernetes-venv", REQUIREMENTS)?);
    command.arg(dirs::workspace().join("xtask/kubernetes/main.py")).arg(what);
    command.arg("--root").arg(dirs::workspace()).arg("--weir").arg(weir);
    command.arg("--helm").arg(tools.helm()).arg("--kustomize").arg(tools.kustomize());
    for definition in tools.definitions()? {
        command.arg("--crd").arg(definition);
    }
    // Nothing is left in the checkout.
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    Ok(command)
}
