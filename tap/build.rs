//! Builds the kernel side's object in, with its hash, where `cargo xtask build-ebpf` has left one that is
//! newer than its sources. Without it the crate builds too, and says when it is asked to trace what to do.

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=build.rs");
    if env::var_os("CARGO_FEATURE_EBPF").is_none() {
        return Ok(());
    }
    let var = |name: &str| env::var_os(name).map(PathBuf::from).ok_or(io::ErrorKind::NotFound);
    let (here, out) = (var("CARGO_MANIFEST_DIR")?, var("OUT_DIR")?);
    // Relative to the package: a build directory may be shared by clones, and each has an object of its own.
    let object = env::var_os("WEIR_EBPF_OBJECT")
        .map_or_else(|| "../target/ebpf/collector.bpf.o".into(), PathBuf::from);
    let sources = Path::new("../collector-ebpf/src");
    println!("cargo::rerun-if-env-changed=WEIR_EBPF_OBJECT");
    println!("cargo::rerun-if-changed={}", object.display());
    println!("cargo::rerun-if-changed={}", sources.display());
    let (object, sources) = (here.join(object), here.join(sources));
    let hash = object.with_extension("o.sha256");
    let text = match (fs::read(&object), fs::read_to_string(&hash)) {
        (Ok(bytes), Ok(hash)) if modified(&object)? >= newest(&sources)? => {
            fs::write(out.join("object"), bytes)?;
            format!(
                "pub(crate) const OBJECT: Option<(&[u8], &str)> = \
                 Some((include_bytes!(concat!(env!(\"OUT_DIR\"), \"/object\")), {:?}));\n",
                hash.trim()
            )
        }
        _ => "pub(crate) const OBJECT: Option<(&[u8], &str)> = None;\n".to_owned(),
    };
    fs::write(out.join("object.rs"), text)
}

fn modified(path: &Path) -> io::Result<SystemTime> {
    fs::metadata(path)?.modified()
}

/// When the newest file of a directory was changed.
fn newest(directory: &Path) -> io::Result<SystemTime> {
    let mut newest = SystemTime::UNIX_EPOCH;
    for entry in fs::read_dir(directory)? {
        newest = newest.max(modified(&entry?.path())?);
    }
    Ok(newest)
}
