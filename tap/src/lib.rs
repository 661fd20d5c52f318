//! The tap: listens to processes by eBPF, for the collector.
//!
//! [`process`] finds the processes that are meant and says why each can or cannot be traced; [`surroundings`]
//! says what the machine lacks, also by a [`Trial`]; [`privileges`] says what of its rights a process keeps;
//! the kernel side (`collector-ebpf`) runs in the traced processes' TLS library, and [`Tap`] hands on what it
//! hears, as [`Heard`](weir_collector::trace::Heard). Without the feature `ebpf`, or without the object that
//! `cargo xtask build-ebpf` makes, everything but tracing works, and says what to do.

mod attached;
mod config;
mod counts;
mod error;
#[cfg(feature = "ebpf")]
mod kernel;
#[cfg(feature = "ebpf")]
#[path = "../../collector-ebpf/src/layout.rs"]
#[allow(dead_code)] // The kernel side makes use of the rest.
mod layout;
pub mod privileges;
mod probes;
pub mod process;
#[cfg(feature = "ebpf")]
mod record;
pub mod surroundings;
mod tap;
mod trial;

pub use attached::Attached;
pub use config::TapConfig;
pub use counts::{Counted, Counts, ProbeRuns};
pub use error::TapError;
pub use probes::PROBE_NAMES;
pub use tap::{Tap, is_built_in, try_attaching};
pub use trial::Trial;
