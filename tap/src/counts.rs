//! What the kernel side counts.

/// What the kernel side counted since the tap was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Messages that were heard.
    pub messages: u64,
    /// Messages that were handed on.
    pub handed_on: u64,
    /// Messages for which the buffer had no room.
    pub full: u64,
    /// Messages whose bytes could not be read.
    pub unreadable: u64,
    /// Messages of connections, or reads of threads, for which there was no room.
    pub no_connection: u64,
    /// Ends and addresses of connections for which the buffer had no room.
    pub notices_lost: u64,
    /// Pieces of clients' hellos for which there was no room.
    pub hello_full: u64,
    /// Pieces of clients' hellos that could not be read.
    pub hello_unreadable: u64,
    /// Connections that begin with something else than a hello of TLS.
    pub hello_other: u64,
    /// Clients' hellos that another connection had brought already.
    pub hello_twice: u64,
}
