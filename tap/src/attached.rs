//! What comes of attaching to a process.

/// What comes of attaching to a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attached {
    /// All is heard that can be.
    Whole,
    /// Messages are heard, but not which accepted connection they are of: the addresses and the TLS
    /// fingerprints of its clients are not known where it gives OpenSSL bytes from memory.
    WithoutClients {
        /// Why.
        reason: String,
    },
}
