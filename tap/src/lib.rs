//! The tap: listens to processes by eBPF, for the collector.
//!
//! [`process`] finds the processes that are meant and says why each can or cannot be traced; [`surroundings`]
//! says what the machine lacks, also by a [`Trial`]; [`privileges`] says what of its rights a process keeps;
//! the kernel side (`collector-ebpf`) runs in the traced processes' TLS library, and [`Tap`] hands on what it
//! hears, as [`Heard`](weir_collector::trace::Heard). [`Sites`] says where in a library its probes are
//! placed, [`KeptSites`] keeps that, and [`TrapCosts`] says what it costs. Without the feature `ebpf`, or
//! without the object that `cargo xtask build-ebpf` makes, everything but tracing works, and says what to do.

mod attached;
mod code;
mod config;
mod counts;
mod error;
mod go;
mod kept_sites;
#[cfg(feature = "ebpf")]
mod kernel;
#[cfg(feature = "ebpf")]
#[path = "../../collector-ebpf/src/layout.rs"]
#[allow(dead_code)] // The kernel side makes use of the rest.
mod layout;
mod placement;
#[cfg(feature = "ebpf")]
mod price;
pub mod privileges;
mod probes;
pub mod process;
mod processor;
mod prologue;
#[cfg(feature = "ebpf")]
mod record;
mod sites;
pub mod surroundings;
mod tap;
mod traps;
mod trial;

pub use attached::Attached;
pub use config::TapConfig;
pub use counts::{Counted, Counts, ProbeRuns};
pub use error::TapError;
pub use kept_sites::KeptSites;
pub use placement::{EntryCause, Placement, Site};
pub use probes::{PLACED_PROBES, PROBE_NAMES};
pub use sites::{Placing, Sites};
pub use tap::{Tap, is_built_in, trap_costs, try_attaching};
pub use traps::{Trap, TrapCosts};
pub use trial::Trial;
