//! The crate is a pure function: neither its dependencies nor its own code can reach a clock, a random
//! number, a file, a socket or a thread.

#![allow(clippy::unwrap_used)] // A test may fail loudly.

use std::path::{Path, PathBuf};
use std::process::Command;

#[test]
fn the_dependency_tree_is_pure() {
    let tree = Command::new(env!("CARGO"))
        .args(["tree", "--offline", "--edges", "normal", "--prefix", "none", "--format", "{p}"])
        .args(["--package", env!("CARGO_PKG_NAME")])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
    let tree = String::from_utf8(tree.stdout).unwrap();
    let names: Vec<&str> = tree.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert!(names.contains(&"weir-topology") && names.contains(&"toml"), "{names:?}");
    let impure = [
        "tokio",
        "mio",
        "socket2",
        "rdkafka",
        "rdkafka-sys",
        "redb",
        "rand",
        "rand_core",
        "getrandom",
        "fastrand",
        "time",
        "chrono",
        "rayon",
        "crossbeam-channel",
        "futures-executor",
        "libm",
        "tracing",
    ];
    for name in impure {
        assert!(!names.contains(&name), "{name} is in the dependency tree");
    }
}

#[test]
fn the_code_reaches_nothing_outside() {
    let forbidden = [
        "std::time",
        "std::fs",
        "std::net",
        "std::thread",
        "std::env",
        "std::process",
        "std::io",
        "SystemTime",
        "Instant",
        "RandomState",
        "thread_local",
        ".ln()",
        ".exp()",
        ".powf(",
        ".powi(",
        ".log2()",
        ".sin()",
        "LABEL_HEADER",
        "POPULATION_HEADER",
    ];
    let mut files = Vec::new();
    collect(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
    assert!(files.len() > 20, "{files:?}");
    for file in files {
        // Tests may read the label's name to prove that the stage does not.
        if file.ends_with("tests.rs") {
            continue;
        }
        let text = std::fs::read_to_string(&file).unwrap();
        for word in forbidden {
            assert!(!text.contains(word), "{} has {word}", file.display());
        }
    }
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else {
            files.push(path);
        }
    }
}
