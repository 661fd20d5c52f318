//! What is shared of campaigns, held against OASIS's own validator of STIX 2.1.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::debian::ensure_debian_packages;
use crate::shell::succeed;
use crate::{dirs, venv};

const REQUIREMENTS: &str = include_str!("../clients/stix-requirements.txt");

/// Judges the recorded traffic, shares its campaign, and asks the validator.
///
/// # Errors
/// Says what the validator does not take, or what could not be run.
pub fn run(weir: &Path) -> Result<()> {
    ensure_debian_packages(&["python3-venv"])?;
    let python = venv::python("stix-venv", REQUIREMENTS)?;
    let place = tempfile::tempdir()?;
    let at = |name: &str| place.path().join(name);
    let ours = |arguments: &[&str]| {
        let mut command = Command::new(weir);
        command.args(arguments).arg("--data-dir").arg(at("data"));
        command
    };
    let mut run = ours(&["run", "--until-idle"]);
    run.arg("--tail").arg(dirs::workspace().join("examples/access.jsonl"));
    run.arg("--output-dir").arg(at("output"));
    succeed(run, "weir run")?;
    let mut share = ours(&["share", "--producer", "Example Ltd"]);
    share.arg("--out").arg(at("shared"));
    succeed(share, "weir share")?;
    let mut validate = Command::new(python.with_file_name("stix2_validator"));
    // Ids are of version 5, made of what the objects are: allowed, and told of.
    validate.args(["--version", "2.1", "--disable", "103"]).arg(at("shared").join("stix.json"));
    succeed(validate, "stix2_validator")
}
