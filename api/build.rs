//! Makes Rust of the .proto files, and a description of them for reflection.

use std::error::Error;
use std::path::{Path, PathBuf};

/// Files that are compiled with all that they import.
const ROOTS: [&str; 4] = [
    "weir/v1/decisions.proto",
    "envoy/service/auth/v3/external_auth.proto",
    "envoy/service/ext_proc/v3/external_processor.proto",
    "envoy/service/ratelimit/v3/rls.proto",
];

/// Where they and what they import are found.
const PLACES: [&str; 2] = ["proto", "proto/envoy-api"];

/// Packages that say how fields are to be checked or shown, and of which no field is made.
const ANNOTATIONS: [&str; 4] = ["envoy.annotations", "udpa.annotations", "validate", "xds.annotations.v3"];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=proto");
    let out = PathBuf::from(std::env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);
    let mut all = protox::compile(ROOTS, PLACES)?;
    write(&out.join("described.bin"), &all)?;
    all.file.retain(|file| !ANNOTATIONS.contains(&file.package()));
    tonic_prost_build::configure()
        // Envoy's are written for another renderer than rustdoc.
        .disable_comments([".envoy", ".google", ".xds"])
        .include_file("packages.rs")
        .compile_fds(all)?;
    Ok(())
}

fn write(path: &Path, described: &prost_types::FileDescriptorSet) -> std::io::Result<()> {
    let mut described = described.clone();
    // Comments are two thirds of it, and no client shows them.
    described.file.iter_mut().for_each(|file| file.source_code_info = None);
    std::fs::write(path, prost::Message::encode_to_vec(&described))
}
