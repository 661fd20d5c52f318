//! `cargo xtask supply`: what a release says of what it is made of, and what that may be.
//!
//! A step of a release and not of every test: its tools take some minutes to build.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::shell::{output, succeed};
use crate::{debian, dirs, venv};

const REQUIREMENTS: &str = include_str!("../supply/requirements.txt");

/// What writes it, with its version.
const CYCLONEDX: (&str, &str) = ("cargo-cyclonedx", "0.5.9");
/// What is shipped is built for it.
pub const TARGET: &str = "x86_64-unknown-linux-gnu";
/// What holds dependencies against deny.toml.
const DENY: (&str, &str) = ("cargo-deny", "0.20.2");

/// Writes the bill of materials, checks it, and holds the dependencies against deny.toml.
///
/// # Errors
/// Says what does not hold, or what is missing.
pub fn run() -> Result<()> {
    let tree = tree(dirs::workspace())?;
    let bill = bill_of(dirs::workspace(), 0, &tree)?;
    let crates = bill.with_extension("crates");
    fs::write(&crates, &tree).with_context(|| format!("cannot write {}", crates.display()))?;
    debian::ensure_debian_packages(&["python3-venv"])?;
    let mut check = Command::new(venv::python("supply-venv", REQUIREMENTS)?);
    check.arg(dirs::workspace().join("xtask/supply/sbom.py")).arg(&bill).arg(&crates);
    succeed(check, "sbom.py")?;
    println!("{}", bill.display());
    let mut deny = Command::new(tool(DENY)?);
    deny.current_dir(dirs::workspace()).args(["--locked", "check", "--hide-inclusion-graph"]);
    deny.args(["bans", "licenses", "sources"]);
    succeed(deny, "cargo deny")
}

/// `target/supply/weir.cdx.json` of the files in `source`, made anew; it says that it is of the time
/// `time_s`, in seconds since the Unix epoch, and nothing of where it was made.
pub fn bill(source: &Path, time_s: u64) -> Result<PathBuf> {
    bill_of(source, time_s, &tree(source)?)
}

/// The same where it is known what the binary is made of.
fn bill_of(source: &Path, time_s: u64, tree: &str) -> Result<PathBuf> {
    const NAME: &str = "weir.cdx";
    let mut cyclonedx = Command::new(tool(CYCLONEDX)?);
    cyclonedx.current_dir(source.join("cli")).env("SOURCE_DATE_EPOCH", time_s.to_string());
    cyclonedx.args(["cyclonedx", "--format", "json"]);
    // With the features that a release is built with: the bill is of that binary and of no other.
    cyclonedx.args(["--spec-version", "1.5", "--target", TARGET]);
    cyclonedx.args(["--override-filename", NAME]);
    succeed(cyclonedx, "cargo cyclonedx")?;
    // It writes beside every manifest of the workspace; one of them is the binary's.
    let to = dirs::target("supply")?.join(NAME).with_extension("cdx.json");
    for entry in fs::read_dir(source)? {
        let made = entry?.path().join(NAME).with_extension("cdx.json");
        if made.parent().is_some_and(|parent| parent.ends_with("cli")) {
            let text =
                fs::read_to_string(&made).with_context(|| format!("cannot read {}", made.display()))?;
            let bill = serde_json::from_str(&text.replace(&source.display().to_string(), "/weir"))?;
            fs::write(&to, format!("{:#}\n", of_binary(bill, tree)))?;
        }
        if made.is_file() {
            fs::remove_file(&made)?;
        }
    }
    Ok(to)
}

/// What the released binary is made of, `name vVERSION` a line: with its features and for its target, not for
/// where this runs.
fn tree(source: &Path) -> Result<String> {
    let mut tree = cargo();
    tree.current_dir(source);
    tree.args(["tree", "--locked", "--package", "weir", "--edges", "normal,build", "--target", TARGET]);
    tree.args(["--prefix", "none", "--format", "{p}", "--no-dedupe"]);
    Ok(String::from_utf8(output(tree, "cargo tree fails")?)?)
}

/// The bill without what is not in the binary: it is made of the workspace's features, whatever is asked for.
fn of_binary(mut bill: Value, tree: &str) -> Value {
    let crates: BTreeSet<(&str, &str)> = tree
        .lines()
        .filter_map(|line| {
            let (name, rest) = line.split_once(" v")?;
            Some((name, rest.split(' ').next()?))
        })
        .collect();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut refs = BTreeSet::from([text(&bill["metadata"]["component"]["bom-ref"])]);
    if let Some(components) = bill.get_mut("components").and_then(Value::as_array_mut) {
        components
            .retain(|component| crates.contains(&(&text(&component["name"]), &text(&component["version"]))));
        refs.extend(components.iter().map(|component| text(&component["bom-ref"])));
    }
    if let Some(dependencies) = bill.get_mut("dependencies").and_then(Value::as_array_mut) {
        dependencies.retain(|dependency| refs.contains(&text(&dependency["ref"])));
        let all = dependencies.iter_mut();
        for on in all.filter_map(|dependency| dependency.get_mut("dependsOn").and_then(Value::as_array_mut)) {
            on.retain(|on| refs.contains(&text(on)));
        }
    }
    bill
}

/// A tool of this version, built once and kept in the cache.
fn tool((name, version): (&str, &str)) -> Result<PathBuf> {
    let root = dirs::cache()?.join(format!("{name}-{version}"));
    let path = root.join("bin").join(name);
    if !path.is_file() {
        eprintln!("building {name} {version} ...");
        let aside = tempfile::tempdir_in(dirs::cache()?)?;
        let mut install = cargo();
        install.args(["install", "--quiet", "--locked", name, "--version", version, "--root"]).arg(&root);
        install.env("CARGO_TARGET_DIR", aside.path());
        succeed(install, "cargo install")?;
    }
    Ok(path)
}

fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(dirs::workspace());
    cargo
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_bill_names_what_is_in_the_binary_and_nothing_else() {
        let component = |name: &str, version: &str| json!({ "name": name, "version": version, "bom-ref": format!("{name}@{version}") });
        let bill = json!({
            "metadata": { "component": component("weir", "0.1.0") },
            "components": [component("a", "1.0.0"), component("a", "2.0.0"), component("b", "1.0.0")],
            "dependencies": [
                { "ref": "weir@0.1.0", "dependsOn": ["a@1.0.0", "b@1.0.0"] },
                { "ref": "a@1.0.0", "dependsOn": ["a@2.0.0"] },
                { "ref": "b@1.0.0" },
            ],
        });
        let tree = "weir v0.1.0 (/weir/cli)\na v1.0.0\na v2.0.0 (proc-macro)\n";
        let kept = json!({
            "metadata": { "component": component("weir", "0.1.0") },
            "components": [component("a", "1.0.0"), component("a", "2.0.0")],
            "dependencies": [
                { "ref": "weir@0.1.0", "dependsOn": ["a@1.0.0"] },
                { "ref": "a@1.0.0", "dependsOn": ["a@2.0.0"] },
            ],
        });
        assert_eq!(of_binary(bill, tree), kept);
    }
}
