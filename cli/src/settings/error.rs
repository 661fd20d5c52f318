//! Why a configuration cannot be used, told so that the operator can mend it.

use thiserror::Error;

/// Why the configuration cannot be used. Only values of numbers, flags and choices are shown: others may be
/// secrets.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ConfigError {
    /// There is no such key.
    #[error("{origin} sets {name}, which is no configuration key; see `weir config` for the list")]
    Unknown {
        /// What was set.
        name: String,
        /// Who set it.
        origin: String,
    },
    /// The value is of another kind.
    #[error("{origin} sets {name}{shown}; it must be {allowed}")]
    Value {
        /// The key.
        name: String,
        /// Who set it.
        origin: String,
        /// ` to VALUE`, or nothing where the value is not to be shown.
        shown: String,
        /// What it may be.
        allowed: String,
    },
    /// The file is not there, or is not TOML.
    #[error("the configuration file {path} cannot be read: {reason}")]
    File {
        /// The file.
        path: String,
        /// Why.
        reason: String,
    },
}
