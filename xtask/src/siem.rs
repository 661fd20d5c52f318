//! What SIEMs are told, read back by parsers of others: CSV, CEF, RFC 5424 and OCSF.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use crate::debian::ensure_debian_packages;
use crate::shell::{output, succeed};
use crate::{dirs, venv};

const REQUIREMENTS: &str = include_str!("../clients/siem-requirements.txt");

/// Texts besides those that somebody thought of, and what they are drawn with.
const RANDOM_TEXTS: &str = "300";
const SEED: &str = "7";

/// Writes hostile texts into verdicts, actions and campaigns, those in every format, and asks the parsers.
///
/// # Errors
/// Says which notice is not read back as it was told, or what could not be run.
pub fn run(weir: &Path) -> Result<()> {
    ensure_debian_packages(&["python3-venv"])?;
    let python = venv::python("siem-venv", REQUIREMENTS)?;
    let script = dirs::workspace().join("xtask/clients/siem.py");
    let place = tempfile::tempdir()?;
    let at = |name: &str| place.path().join(name);
    let mut texts = Command::new(&python);
    texts.arg(&script).args(["texts", SEED, RANDOM_TEXTS]);
    std::fs::write(at("texts"), output(texts, "no texts")?)?;
    // The example lies beside the binary: `cargo test` builds both.
    let example = weir.with_file_name("examples").join("siem-lines");
    let reading = |name: &str| File::open(at(name)).with_context(|| format!("cannot read {name}"));
    let lines = File::create(at("lines"))?;
    let mut tell = Command::new(&example);
    tell.stdin(Stdio::from(reading("texts")?)).stdout(Stdio::from(lines));
    succeed(tell, &format!("{} (cargo build -p weir-enforcer --example siem-lines)", example.display()))?;
    let mut check = Command::new(&python);
    check.arg(&script).arg("check").stdin(Stdio::from(reading("lines")?));
    succeed(check, "siem.py check")
}
