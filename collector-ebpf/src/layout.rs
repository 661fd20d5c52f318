//! What kernel and user space agree on: the records of the ring buffer, and the counters. Compiled into both.
//!
//! A record is a header of [`HEADER_BYTES`] in the machine's byte order, and behind it the bytes that were
//! copied. A record may be longer than that: room in the ring buffer is taken in [`CLASSES`], and for hellos
//! in [`HELLO_CLASSES`].

/// Bytes of a record's header.
pub const HEADER_BYTES: usize = 64;

/// Room for bytes that are copied, by class; the last is the most that is copied of one message.
pub const CLASSES: [usize; 4] = [192, 960, 4_032, 16_384];

/// Most bytes of what a client begins a connection with that are handed on.
pub const HELLO_BYTES_MAX: u64 = 4_096;

/// Room for pieces of it, by class: who sends it in single bytes must not fill the ring with room for more;
/// the last is all of it.
pub const HELLO_CLASSES: [usize; 4] = [16, 192, 960, HELLO_BYTES_MAX as usize];

/// Most connections that are known at a time.
pub const CONNECTIONS_MAX: u32 = 16_384;

/// Most threads that are in a read at a time.
pub const READS_MAX: u32 = 16_384;

/// Most processes that are traced.
pub const PROCESSES_MAX: u32 = 1_024;

/// Where in a header a field stands.
pub mod at {
    /// What the record is: one byte.
    pub const KIND: usize = 0;
    /// Process: four bytes.
    pub const PROCESS: usize = 4;
    /// Connection: eight bytes.
    pub const CONNECTION: usize = 8;
    /// Where the message stands in its stream: eight bytes.
    pub const OFFSET: usize = 16;
    /// How long the message is: eight bytes.
    pub const LENGTH: usize = 24;
    /// Nanoseconds since boot, without the time in suspension: eight bytes.
    pub const TIME: usize = 32;
    /// How many bytes were copied: four bytes.
    pub const COPIED: usize = 40;
}

/// What a record is.
pub mod kind {
    /// Bytes that the process received.
    pub const RECEIVED: u8 = 1;
    /// Bytes that the process sent.
    pub const SENT: u8 = 2;
    /// The end of a connection.
    pub const CLOSED: u8 = 3;
    /// The address of the other end, as a `sockaddr`.
    pub const PEER: u8 = 4;
    /// Bytes that a client begins an accepted connection of TLS with, as they come from the network; the
    /// offset is theirs in what it sends.
    pub const HELLO: u8 = 5;
}

/// Places of the counters of a process, each summed over all processors.
pub mod count {
    /// Messages that the process received: reads of at least a byte.
    pub const RECEIVED: usize = 0;
    /// Their bytes.
    pub const RECEIVED_BYTES: usize = 1;
    /// Messages that it sent: writes of at least a byte.
    pub const SENT: usize = 2;
    /// Their bytes.
    pub const SENT_BYTES: usize = 3;
    /// Messages that were handed on.
    pub const HANDED_ON: usize = 4;
    /// Messages for which the ring buffer had no room.
    pub const FULL: usize = 5;
    /// Messages whose bytes could not be read; they are handed on without any.
    pub const UNREADABLE: usize = 6;
    /// Messages of connections for which there was no room.
    pub const NO_CONNECTION: usize = 7;
    /// Ends and addresses of connections for which the ring buffer had no room.
    pub const NOTICES_LOST: usize = 8;
    /// Reads that were not followed, because too many threads were in one.
    pub const NO_READ: usize = 9;
    /// Connections that were given a number.
    pub const CONNECTIONS: usize = 10;
    /// Pieces of clients' hellos for which there was no room.
    pub const HELLO_FULL: usize = 11;
    /// Pieces of clients' hellos that could not be read from the process's memory.
    pub const HELLO_UNREADABLE: usize = 12;
    /// Connections that begin with something else than a hello of TLS.
    pub const HELLO_OTHER: usize = 13;
    /// Clients' hellos with a random that another connection had.
    pub const HELLO_TWICE: usize = 14;
    /// Number of counters.
    pub const ALL: usize = 15;
}
