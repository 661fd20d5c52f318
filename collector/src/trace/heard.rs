//! What a tap hears of connections, whatever the tap is: chunks of both directions in their order, and where
//! each belongs in its stream.

use std::net::IpAddr;

/// One connection of a process, from its beginning to its end; a tap gives no number twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId(pub u64);

/// Which way bytes go, seen from the process that is listened to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// The process received them.
    Received,
    /// The process sent them.
    Sent,
}

/// Bytes of one direction of a connection. It holds what people wrote, so it cannot be printed.
#[derive(Clone, Copy)]
pub struct Chunk<'c> {
    /// Whose they are.
    pub connection: ConnectionId,
    /// Which way they go.
    pub way: Way,
    /// Where the first of them stands in its stream, from 0.
    pub offset: u64,
    /// Those that were copied: the first of `length`.
    pub bytes: &'c [u8],
    /// How many there are.
    pub length: u64,
    /// When, in milliseconds since the Unix epoch.
    pub time_ms: i64,
}

/// What a tap hears.
#[derive(Clone, Copy)]
pub enum Heard<'c> {
    /// Who is at the other end.
    Peer(ConnectionId, IpAddr),
    /// What a client begins a connection of TLS with, as it comes from the network: where the first of the
    /// bytes stands, from 0, and the bytes.
    Hello(ConnectionId, u64, &'c [u8]),
    /// Bytes went over a connection.
    Chunk(Chunk<'c>),
    /// A connection ended.
    Closed(ConnectionId),
}
