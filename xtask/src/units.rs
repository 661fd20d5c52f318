//! The units for systemd, held against systemd's own tools.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::{debian, dirs};

/// Exposure above which a unit is refused, in tenths.
const EXPOSURE_MAX: &str = "--threshold=20";

/// The same of the unit that listens to other users' processes, which has capabilities for it.
const TRACING_EXPOSURE_MAX: &str = "--threshold=25";
const TRACING: &str = "weir-trace.service";

/// Verifies every unit with this binary in its place, how exposed it is, and that each has its user.
///
/// # Errors
/// Says which unit is not as it must be.
pub fn check(weir: &Path) -> Result<()> {
    debian::ensure_command("systemd-analyze", "systemd")?;
    let (shipped, place) = (dirs::workspace().join("deploy/systemd"), tempfile::tempdir()?);
    let users = fs::read_to_string(shipped.join("weir.sysusers.conf"))?;
    let mut checked = 0;
    for entry in fs::read_dir(&shipped)? {
        let path = entry?.path();
        if path.extension().is_none_or(|extension| extension != "service") {
            continue;
        }
        let name = path.file_name().context("a unit has a name")?.to_string_lossy().into_owned();
        let unit = fs::read_to_string(&path)?;
        let user = unit.lines().find_map(|line| line.strip_prefix("User=")).context("a unit has a user")?;
        ensure!(users.contains(&format!("\nu {user} ")), "{user} of {} is nobody", path.display());
        let copy = place.path().join(&name);
        fs::write(&copy, unit.replace("/usr/bin/weir", &weir.display().to_string()))?;
        let analyze = |arguments: &[&str]| {
            let mut command = Command::new("systemd-analyze");
            let output = command.args(arguments).arg(&copy).stdin(Stdio::null()).output()?;
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            // What it says of other units of this machine is not about ours.
            let of_ours: Vec<&str> = said.lines().filter(|line| line.contains(&*name)).collect();
            ensure!(
                output.status.success() && of_ours.is_empty(),
                "systemd-analyze {}: {said}",
                arguments[0]
            );
            Ok(())
        };
        analyze(&["verify", "--man=no"])?;
        let exposure_max = if name == TRACING { TRACING_EXPOSURE_MAX } else { EXPOSURE_MAX };
        analyze(&["security", "--offline=true", "--no-pager", exposure_max]).with_context(|| name.clone())?;
        checked += 1;
    }
    ensure!(checked > 0, "there are no units in {}", shipped.display());
    println!("{checked} units, each with a user of its own");
    Ok(())
}
