//! The detectors, one file each. Every file says what its detector claims, by which evidence, what it
//! costs per event, how it is evaded, and where the idea comes from.

pub mod asn;
mod client;
pub mod cot;
pub mod fingerprint;
pub mod hydra;
pub mod pivot;
pub mod velocity;

pub use asn::Asn;
pub use cot::Cot;
pub use fingerprint::Fingerprint;
pub use hydra::Hydra;
pub use pivot::Pivot;
pub use velocity::Velocity;
