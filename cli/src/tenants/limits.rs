//! Bounds of the tenants' registry.

use std::time::Duration;
pub use weir_schemas::tenant::ID_BYTES_MAX;

/// Most tenants of a registry. All of them are kept in memory.
pub const TENANTS_MAX: usize = 10_000;

/// Largest file of a tenant, in bytes.
pub const FILE_BYTES_MAX: u64 = 64 << 10;

/// How long it is from one look at a registry's directory to the next. What two of them found alike is taken.
pub const LOOK_EVERY: Duration = Duration::from_secs(5);
