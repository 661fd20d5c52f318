//! Bounds of what is asked of Vault.

use std::time::Duration;

/// Largest answer, in bytes. A role's keys take less than a thousand.
pub const ANSWER_BYTES_MAX: u64 = 256 << 10;

/// Longest token that Vault or Kubernetes may give, in bytes.
pub const TOKEN_BYTES_MAX: u64 = 16 << 10;

/// How often Vault is asked the same where it does not answer, or says that it cannot now.
pub const TRIES: u32 = 3;

/// How long it is left alone between two of them.
pub const PAUSE: Duration = Duration::from_millis(500);
