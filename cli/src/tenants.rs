//! The tenants' registry: a directory with a file for each tenant, which says what that tenant chose.
//!
//! [`directory`] reads it, all of it or nothing: one bad file refuses the start, because without it the
//! process would do what nobody chose. [`registry`] follows it from then on. [`keys`] says what a tenant may
//! choose. Without a registry every name is a tenant's, and the configuration holds for all of them.

mod directory;
mod error;
mod keys;
mod known;
mod limits;
mod registry;

pub use directory::read;
pub use error::TenantsError;
pub use keys::{Tenant, reference, shown};
pub use known::Stranger;
#[cfg(test)]
pub use known::Tenants;
pub use registry::Registry;

#[cfg(test)]
mod tests;
