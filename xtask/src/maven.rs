//! Programs that others publish on Maven Central, fetched once and kept in the cache.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{fs, io};

use anyhow::{Context, bail};

use crate::debian::ensure_command;
use crate::dirs;

/// Fetches what `pom` names into the cache and returns the directory that holds it.
///
/// `goal` is the goal of the dependency plugin: `copy-dependencies` for jars,
/// `unpack-dependencies` for an archive. What was fetched for the very same pom is used again
/// without a network; another pom fetches anew.
///
/// # Errors
/// When Maven or Java cannot be had, or Maven fails.
pub fn fetch(name: &str, pom: &Path, goal: &str) -> anyhow::Result<PathBuf> {
    let wanted = fs::read_to_string(pom).with_context(|| format!("cannot read {}", pom.display()))?;
    let dir = dirs::cache()?.join(dir_name(name, &wanted));
    if is_for(&dir, &wanted) {
        return Ok(dir);
    }
    ensure_command("java", "default-jre-headless")?;
    ensure_command("mvn", "maven")?;
    eprintln!("fetching {name} into {} ...", dir.display());
    // Filled beside its place and renamed: a fetch that was interrupted leaves nothing usable.
    let part = dirs::cache()?.join(format!("{}.part-{}", dir_name(name, &wanted), std::process::id()));
    remove(&part)?;
    let mut maven = Command::new("mvn");
    maven.arg("--batch-mode").arg("--quiet").arg("--file").arg(pom);
    maven.arg(format!("dependency:{goal}")).arg("-DincludeScope=runtime");
    maven.arg(format!("-DoutputDirectory={}", part.display()));
    let output = maven.stdin(Stdio::null()).output().context("cannot run mvn")?;
    if !output.status.success() {
        bail!("cannot fetch {name}: {}", String::from_utf8_lossy(&output.stdout).trim());
    }
    fs::write(part.join(STAMP), &wanted).with_context(|| format!("cannot write to {}", part.display()))?;
    remove(&dir)?;
    match fs::rename(&part, &dir) {
        // Another checkout was quicker with the same files.
        Err(_) if is_for(&dir, &wanted) => remove(&part)?,
        renamed => renamed.with_context(|| format!("cannot make {}", dir.display()))?,
    }
    Ok(dir)
}

/// Another pom is another directory: a program that runs keeps the files that it was started from.
fn dir_name(name: &str, pom: &str) -> String {
    let mut hasher = DefaultHasher::new();
    pom.hash(&mut hasher);
    format!("{name}-{:016x}", hasher.finish())
}

/// The pom that a directory was filled for.
const STAMP: &str = "fetched-for.xml";

fn is_for(dir: &Path, pom: &str) -> bool {
    fs::read_to_string(dir.join(STAMP)).is_ok_and(|stamp| stamp == pom)
}

fn remove(dir: &Path) -> anyhow::Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", dir.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_pom_is_another_directory() {
        assert_eq!(dir_name("kafka", "4.3.1"), dir_name("kafka", "4.3.1"));
        assert_ne!(dir_name("kafka", "4.3.1"), dir_name("kafka", "4.3.2"));
    }

    #[test]
    fn a_directory_counts_only_when_it_was_filled_to_the_end_for_this_pom() {
        let dir = tempfile::tempdir().unwrap();
        assert!(!is_for(dir.path(), "pom"), "interrupted");
        fs::write(dir.path().join(STAMP), "pom").unwrap();
        assert!(is_for(dir.path(), "pom"));
        assert!(!is_for(dir.path(), "another pom"));
    }
}
