//! Running other programs.

use std::process::Command;

use anyhow::{Context, Result, bail};

/// Runs a command whose output goes where ours goes.
///
/// # Errors
/// When it cannot be run, or does not end with success.
pub fn succeed(mut command: Command, what: &str) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot run {what}"))?;
    if !status.success() {
        bail!("{what} ended with {status}: {command:?}");
    }
    Ok(())
}
