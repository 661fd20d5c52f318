//! `cargo xtask build-ebpf`: the kernel side, with whichever toolchain is there.
//!
//! It is compiled for another machine, which takes the sources of Rust's core and a linker of its own:
//! rustup's nightly with rust-src and a bpf-linker on the path, or else Debian's packages, with a bpf-linker
//! that is built once and kept.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::shell::{output, sha256, succeed};
use crate::{debian, dirs};

/// Debian's compiler with the sources of its core, and the LLVM that it is of.
const PACKAGES: &[&str] = &["rustc-web", "cargo-web", "rust-web-src", "llvm-22-dev"];

const LINKER_VERSION: &str = "0.13.0";

const TARGET: &str = "bpfel-unknown-none";

/// What builds.
struct Toolchain {
    /// For people.
    name: String,
    cargo: PathBuf,
    rustc: PathBuf,
    linker: PathBuf,
}

/// Builds the object and leaves it, with its hash, where the build of `weir-tap` finds it.
///
/// # Errors
/// Without a toolchain that can be had, or when the sources do not compile.
pub fn run() -> Result<()> {
    let toolchain = match nightly()? {
        Some(toolchain) => toolchain,
        None => debians()?,
    };
    println!("building the kernel side with {}", toolchain.name);
    // What is compiled of core is kept: it is the most of it.
    let built = made(dirs::cache()?.join("ebpf-target"))?;
    let mut command = clean(&toolchain.cargo);
    command
        .current_dir(dirs::workspace().join("collector-ebpf"))
        .args(["build", "--release", "--locked", "--target", TARGET, "-Z", "build-std=core"])
        .env("RUSTC", &toolchain.rustc)
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_TARGET_DIR", &built)
        .env("RUSTFLAGS", flags(&toolchain.linker));
    succeed(command, "cargo build of the kernel side")?;
    let object = dirs::target("ebpf")?.join("collector.bpf.o");
    let from = built.join(TARGET).join("release/collector");
    let bytes = std::fs::read(&from).with_context(|| format!("cannot read {}", from.display()))?;
    let hash = sha256(&from)?;
    std::fs::write(object.with_extension("o.sha256"), format!("{hash}\n"))?;
    // Last: it is held to be newer than its sources.
    std::fs::write(&object, bytes)?;
    println!("{} ({hash})", object.display());
    Ok(())
}

fn flags(linker: &Path) -> String {
    let machine = std::env::consts::ARCH;
    format!(
        "-C linker={} --cfg bpf_target_arch=\"{machine}\" -C debuginfo=2 -C link-arg=--btf",
        linker.display()
    )
}

/// A cargo that knows nothing of the one that runs this.
fn clean(cargo: &Path) -> Command {
    let mut command = Command::new(cargo);
    for name in
        ["RUSTUP_TOOLCHAIN", "RUSTC", "RUSTDOC", "RUSTC_WRAPPER", "RUSTFLAGS", "CARGO", "CARGO_BUILD_TARGET"]
    {
        command.env_remove(name);
    }
    command
}

/// Rustup's nightly, where it has the sources of core and a linker is on the path.
fn nightly() -> Result<Option<Toolchain>> {
    let Some(linker) = debian::on_path("bpf-linker") else { return Ok(None) };
    let mut command = Command::new("rustup");
    command.args(["run", "nightly", "rustc", "--print", "sysroot"]);
    let Ok(said) = output(command, "rustup has no nightly") else { return Ok(None) };
    let root = PathBuf::from(String::from_utf8(said)?.trim());
    let has_sources = root.join("lib/rustlib/src/rust/library/core").is_dir();
    let of = |name: &str| root.join("bin").join(name);
    Ok(has_sources.then(|| Toolchain {
        name: "rustup's nightly".to_owned(),
        cargo: of("cargo"),
        rustc: of("rustc"),
        linker,
    }))
}

/// Debian's, which is installed where it is missing.
fn debians() -> Result<Toolchain> {
    debian::ensure_debian_packages(PACKAGES).context(
        "the kernel side needs a compiler with the sources of Rust's core: these packages of Debian, or rustup's nightly \
         (rustup toolchain install nightly --component rust-src; cargo install bpf-linker)",
    )?;
    let bin = Path::new("/usr/bin");
    let (cargo, rustc) = (bin.join("cargo"), bin.join("rustc"));
    let root = dirs::cache()?.join(format!("bpf-linker-{LINKER_VERSION}"));
    let linker = root.join("bin/bpf-linker");
    if !linker.is_file() {
        println!("building bpf-linker {LINKER_VERSION}, once ...");
        // By the compiler that runs this: only the LLVM has to be the other one's.
        let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command
            .current_dir(made(root.clone())?)
            .args(["install", "bpf-linker", "--locked", "--version", LINKER_VERSION])
            .args(["--no-default-features", "--features", "llvm-22", "--root"])
            .arg(&root)
            .env("LLVM_PREFIX", "/usr/lib/llvm-22")
            .env("CARGO_TARGET_DIR", root.join("target"));
        succeed(command, "cargo install of bpf-linker")?;
        std::fs::remove_dir_all(root.join("target")).context("cannot tidy up behind bpf-linker")?;
    }
    ensure!(rustc.is_file(), "{} is not there although its package is installed", rustc.display());
    Ok(Toolchain { name: "Debian's compiler".to_owned(), cargo, rustc, linker })
}

fn made(directory: PathBuf) -> Result<PathBuf> {
    std::fs::create_dir_all(&directory).with_context(|| format!("cannot make {}", directory.display()))?;
    Ok(directory)
}
