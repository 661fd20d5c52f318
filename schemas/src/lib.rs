//! Weir's records: Avro schemas, their Rust types and their wire framing.
//!
//! `avro/*.avsc` is the source of truth. [`records`] holds one generated type for each;
//! [`wire`] frames them for a topic and reads both framings back; `avro/history` keeps every version
//! that was ever committed, and a test holds each change against all of them.

mod action;
pub mod bundle;
pub mod codec;
pub mod fingerprint;
pub mod hex;
pub mod ids;
pub mod indicators;
pub mod keyed;
pub mod log2;
pub mod pseudonym;
pub mod records;
#[cfg(feature = "resolve")]
pub mod resolve;
pub mod rotation;
pub mod sealed;
pub mod tenant;
pub mod wire;

pub use codec::{DecodeError, Record};
pub use records::*;
