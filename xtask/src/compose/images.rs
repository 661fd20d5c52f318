//! The images that the stack is made of: Weir's own from its Dockerfile, and stand-ins for those of others.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::engine::Engine;
use super::say;
use crate::shell::{output, succeed};
use crate::{dirs, kafka};

/// The release of Debian that the Dockerfile and the compiler's image begin with.
const RELEASE: &str = "bookworm";

/// Which stage of `xtask/compose/Containerfile` stands in for which image of the compose file.
const STAND_INS: [(&str, &str); 6] = [
    ("kafka", "docker.io/apache/kafka:4.3.1"),
    ("redis", "docker.io/library/redis:7"),
    ("programs", "docker.io/library/nginx:1.28"),
    ("prometheus", "docker.io/prom/prometheus:v3.5.0"),
    ("prometheus", "docker.io/prom/alertmanager:v0.28.1"),
    ("programs", "docker.io/library/python:3.12-slim"),
];

/// Makes them all.
///
/// # Errors
/// When one cannot be made, or Weir's is not what it must be.
pub fn make(engine: &Engine, weir: &Path) -> Result<()> {
    say("1. A base image as Debian makes it, and stand-ins under the official images' tags.");
    let base = base()?;
    let mut import = engine.podman(["import", "--quiet"]);
    import.arg(base).arg(format!("docker.io/library/debian:{RELEASE}-slim"));
    quietly(import)?;
    let jars = kafka::jars()?;
    for (stage, tag) in STAND_INS {
        build(engine, "Containerfile", &["--target", stage], tag, &jars)?;
        println!("   {tag}");
    }
    say(
        "2. Weir's image, from its Dockerfile as the compose file says; the compiler's image hands out this checkout's binary.",
    );
    let context = engine.directory("rust")?;
    stripped(weir, &context.join("weir"))?;
    build(engine, "rust.Containerfile", &[], &format!("docker.io/library/rust:1.95-{RELEASE}"), &context)?;
    quietly(engine.compose(&["--podman-build-args=--network=host", "build"]))?;
    is_as_promised(engine)
}

/// A file system of Debian, made once and kept with what else was fetched.
fn base() -> Result<PathBuf> {
    let path = dirs::cache()?.join(format!("debian-{RELEASE}-slim.tar"));
    if path.is_file() {
        return Ok(path);
    }
    eprintln!("making {} ...", path.display());
    // Made beside its place and renamed: one that was interrupted is not taken for whole.
    let part = path.with_extension(format!("part-{}.tar", std::process::id()));
    let mut make = Command::new("mmdebstrap");
    make.args(["--quiet", "--variant=minbase"]);
    // Debian's slim image has none of these.
    for left_out in ["doc", "locale", "man"] {
        make.arg(format!("--dpkgopt=path-exclude=/usr/share/{left_out}/*"));
    }
    make.arg(RELEASE).arg(&part);
    succeed(make, "mmdebstrap")?;
    fs::rename(&part, &path).with_context(|| format!("cannot make {}", path.display()))?;
    Ok(path)
}

fn build(engine: &Engine, file: &str, more: &[&str], tag: &str, context: &Path) -> Result<()> {
    let file = dirs::workspace().join("xtask/compose").join(file);
    let mut build = engine.podman(["build", "--quiet", "--layers", "--network", "host", "--tag", tag]);
    build.args(more).arg("--file").arg(file).arg(context);
    quietly(build)
}

/// What it says is shown when it fails.
fn quietly(command: Command) -> Result<()> {
    let shown = format!("{command:?}");
    output(command, &shown).map(drop)
}

/// The binary without what only a debugger reads, as a release has it.
fn stripped(weir: &Path, to: &Path) -> Result<()> {
    let mut strip = Command::new("strip");
    strip.arg("-o").arg(to).arg(weir);
    succeed(strip, "strip")
}

/// Whatever it is asked to do, it does it as nobody, and there is nothing of its making in it.
fn is_as_promised(engine: &Engine) -> Result<()> {
    let told: Value = serde_json::from_str(&engine.ask(&["image", "inspect", "localhost/weir"])?)?;
    let image = told.get(0).context("podman knows its image")?;
    let user = image.pointer("/Config/User").and_then(Value::as_str).unwrap_or_default();
    ensure!(user == "10001:10001", "the image runs as {user:?}, not as 10001:10001");
    let size = |of: &str| -> Result<u64> {
        Ok(engine.ask(&["image", "inspect", "--format", "{{.Size}}", of])?.parse()?)
    };
    let (whole, base) = (size("localhost/weir")?, size(&format!("docker.io/library/debian:{RELEASE}-slim"))?);
    let run =
        ["run", "--rm", "--network=none", "--read-only", "--cap-drop=all", "localhost/weir", "--version"];
    let version = engine.ask(&run)?;
    let has = |path: &str| -> Result<bool> {
        let looked = engine
            .podman(["run", "--rm", "--network=none", "--entrypoint", "test", "localhost/weir", "-e", path])
            .status()?;
        Ok(looked.success())
    };
    for path in ["/src", "/usr/local/cargo", "/usr/bin/cc"] {
        ensure!(!has(path)?, "{path} is left in the image");
    }
    println!(
        "   {version}: user {user}, {} MB and Debian's {}, nothing of what built it",
        whole.saturating_sub(base) / 1_000_000,
        base / 1_000_000
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMPOSE: &str = include_str!("../../../deploy/compose/docker-compose.yml");

    #[test]
    fn each_image_of_others_has_a_stand_in_and_no_other_has() {
        let mut named: Vec<&str> =
            COMPOSE.lines().filter_map(|line| line.trim().strip_prefix("image: ")).collect();
        named.retain(|name| *name != "weir");
        named.sort_unstable();
        let short = |tag: &'static str| tag.trim_start_matches("docker.io/").trim_start_matches("library/");
        let mut stood_in: Vec<&str> = STAND_INS.iter().map(|(_, tag)| short(tag)).collect();
        stood_in.sort_unstable();
        assert_eq!(named, stood_in);
    }
}
