//! Why nothing can be traced, and what to do.

use thiserror::Error;

/// Why nothing, or not this process, can be traced.
#[derive(Debug, Error)]
pub enum TapError {
    /// This build has no kernel side.
    #[error(
        "this build of Weir cannot trace: run `cargo xtask build-ebpf`, then build with `--features ebpf` \
         (`cargo build --release -p weir --features ebpf`)"
    )]
    NotBuilt,
    /// The object that was built in is not what it was.
    #[error("the eBPF object in this binary has the hash {found}, and not {expected}: build Weir again")]
    Hash {
        /// What it has.
        found: String,
        /// What it had when it was built.
        expected: String,
    },
    /// The kernel does not take the programs.
    #[error("the kernel refuses {what}: {reason}; `weir doctor` says what is missing")]
    Kernel {
        /// What it refuses.
        what: String,
        /// What it says.
        reason: String,
    },
    /// The process cannot be traced.
    #[error("process {process} cannot be traced: {reason}; `weir doctor --pid {process}` says more")]
    Process {
        /// Its number.
        process: u32,
        /// Why.
        reason: String,
    },
}
