//! What gateways speak over gRPC: Weir's own service and Envoy's, made from the files in `proto`.
//!
//! | package | what |
//! |---|---|
//! | [`weir::v1`] | how an account stands |
//! | [`envoy::service::auth::v3`] | Envoy's external authorization |
//! | [`envoy::service::ext_proc::v3`] | Envoy's external processing |
//! | [`envoy::service::ratelimit::v3`] | Envoy's rate-limit service |
//!
//! Nothing here decides anything: `weir decide` does.

// What is made is documented in the .proto files.
#![allow(missing_docs, clippy::all, rustdoc::all)]

include!(concat!(env!("OUT_DIR"), "/packages.rs"));

/// Every package with what it imports, as an encoded `FileDescriptorSet`: for reflection.
pub const DESCRIBED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/described.bin"));
