//! Programs from Debian that a test drives: installed when they are missing.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, bail};

/// Installs the packages that are not installed yet.
///
/// The package lists are fetched once, and only when they do not know a package.
///
/// # Errors
/// Without root, without apt, or when a package cannot be had: the message gives the command
/// for the operator to run.
pub fn ensure_debian_packages(packages: &[&str]) -> anyhow::Result<()> {
    let missing: Vec<&str> = packages.iter().copied().filter(|name| !installed(name)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let by_hand = by_hand(&missing);
    if !rustix::process::geteuid().is_root() {
        bail!("{} missing; as root, run: {by_hand}", missing.join(", "));
    }
    eprintln!("installing {} ...", missing.join(", "));
    if apt(&install_args(&missing)).is_ok() {
        return Ok(());
    }
    apt(&["update"]).with_context(|| format!("cannot fetch the package lists; by hand: {by_hand}"))?;
    apt(&install_args(&missing)).with_context(|| format!("by hand: {by_hand}"))
}

/// Installs `package` when no `command` is on the path, however it may have got there.
///
/// # Errors
/// As [`ensure_debian_packages`].
pub fn ensure_command(command: &str, package: &str) -> anyhow::Result<()> {
    if on_path(command).is_some() { Ok(()) } else { ensure_debian_packages(&[package]) }
}

/// Where on the path a command is.
pub fn on_path(command: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).map(|dir| dir.join(command)).find(|file| file.is_file())
}

fn installed(package: &str) -> bool {
    Command::new("dpkg-query")
        .args(["--show", "--showformat=${db:Status-Status}", package])
        .stderr(Stdio::null())
        .output()
        .is_ok_and(|answer| answer.stdout == b"installed")
}

fn install_args<'a>(packages: &[&'a str]) -> Vec<&'a str> {
    let mut args = vec!["install", "--yes", "--no-install-recommends"];
    args.extend_from_slice(packages);
    args
}

fn by_hand(packages: &[&str]) -> String {
    format!("apt-get update && apt-get {}", install_args(packages).join(" "))
}

fn apt(args: &[&str]) -> anyhow::Result<()> {
    let output = Command::new("apt-get")
        .args(args)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null())
        .output()
        .context("cannot run apt-get: install the packages with this system's own package manager")?;
    if !output.status.success() {
        bail!("apt-get {} failed: {}", args.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn the_hint_installs_what_is_missing_and_nothing_recommended() {
        expect!["apt-get update && apt-get install --yes --no-install-recommends kcat nginx"]
            .assert_eq(&by_hand(&["kcat", "nginx"]));
    }

    #[test]
    fn a_command_that_is_there_needs_no_package() {
        ensure_command("sh", "no-such-package").unwrap();
    }

    #[test]
    fn no_directory_is_taken_for_a_command() {
        assert_eq!(on_path("."), None);
    }
}
