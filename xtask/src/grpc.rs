//! A gRPC client of another implementation, with Envoy's own messages: what the tests ask the decision API
//! with.

use std::path::PathBuf;

use anyhow::Result;

use crate::debian::ensure_debian_packages;
use crate::venv;

/// Where the tests find the interpreter that has it.
pub const PYTHON_VAR: &str = "WEIR_TEST_GRPC_PYTHON";

const REQUIREMENTS: &str = include_str!("../clients/grpc-requirements.txt");

/// The interpreter, made once under the cache directory.
///
/// # Errors
/// When a package cannot be had.
pub fn python() -> Result<PathBuf> {
    ensure_debian_packages(&["python3-venv"])?;
    venv::python("grpc-venv", REQUIREMENTS)
}
