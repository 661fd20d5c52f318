//! Programs that tests of tracing start, and whether there can be any.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Debian's own, which links the shared OpenSSL.
pub const PYTHON: &str = "/usr/bin/python3";

/// Whether it can be tried here. In CI it must be.
pub fn can_trace() -> bool {
    let is_root = fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0);
    let can = is_root && weir_tap::is_built_in();
    assert!(
        can || std::env::var_os("CI").is_none(),
        "tracing must be tried as root, behind `cargo xtask build-ebpf`"
    );
    if !can {
        eprintln!("not tried: it takes root, and `cargo xtask build-ebpf` before the build");
    }
    let tracefs = Path::new("/sys/kernel/tracing/events");
    if can && !tracefs.is_dir() {
        // It may have been mounted meanwhile.
        let _ = Command::new("mount").args(["-t", "tracefs", "tracefs", "/sys/kernel/tracing"]).status();
        assert!(tracefs.is_dir(), "tracefs cannot be mounted");
    }
    can
}

/// A program that ends with its test.
pub struct Program(pub Child);

impl Program {
    pub fn start(command: &mut Command) -> Self {
        Self(command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap())
    }

    /// The first line that it prints.
    pub fn said(&mut self) -> String {
        let mut line = String::new();
        BufReader::new(self.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
        line.trim().to_owned()
    }

    pub fn id(&self) -> String {
        self.0.id().to_string()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // A master of workers takes them along when it is told to end.
        let _ = Command::new("kill").args(["-TERM", &self.id()]).status();
        let _ = self.0.wait();
    }
}
