//! Every bound of the early word, in one place.

/// Most bytes of a datagram: it fits in one frame on any path.
pub const PACKET_BYTES_MAX: usize = 1_200;

/// Bytes of the header.
pub const HEADER_BYTES: usize = 27;

/// Bytes of the tag.
pub const TAG_BYTES: usize = 32;

/// Most bytes of the payload.
pub const PAYLOAD_BYTES_MAX: usize = PACKET_BYTES_MAX - HEADER_BYTES - TAG_BYTES;

/// How far the time in a header may be from the receiver's, in milliseconds.
pub const FRESH_MS: i64 = 5_000;

/// How old the event may be that a datagram is about, in milliseconds: of an older one the log is early
/// enough. It may be as far in the future as a header.
pub const EVENT_AGE_MS_MAX: i64 = 60_000;

/// When the copies of a datagram go out, in milliseconds after the first.
pub const COPIES_AT_MS: [u64; 3] = [0, 2, 6];

/// How long after the first a copy is taken for one, in milliseconds. What comes later was recorded by
/// somebody and sent again.
pub const COPY_MS: i64 = 1_000;

/// Datagrams behind a sender's newest that may still come.
pub const WINDOW: usize = 256;

/// How long what a sender said is kept, in milliseconds after its last word: what is older is refused for its
/// time, so that nothing is believed twice for having been forgotten.
pub const IDLE_MS: i64 = 2 * FRESH_MS + 1;

/// Most processes of one sender that are told apart at once.
pub const BOOTS_MAX: usize = 8;

/// Most senders in a file of keys, over all keys.
pub const SENDERS_MAX: usize = 1_024;

/// Most keys in a file.
pub const KEYS_MAX: usize = 64;

/// Most bytes of a file of keys.
pub const KEYS_FILE_BYTES_MAX: u64 = 1 << 20;

/// Most bytes of a sender's name, which is a machine's.
pub const SENDER_BYTES_MAX: usize = 253;

/// Most bytes of a tenant's name in a datagram.
pub const TENANT_BYTES_MAX: usize = 256;

/// Datagrams at once that a sender who has proved who it is may send.
pub const SENDER_BURST: u32 = 100;

/// How many more a second.
pub const SENDER_PER_SECOND: u32 = 50;

/// Datagrams at once from an address that was believed before, or from a network of strangers: what several
/// senders behind one address need with their copies, and several times that.
pub const ADDRESS_BURST: u32 = 2_000;

/// How many more a second.
pub const ADDRESS_PER_SECOND: u32 = 1_000;

/// Most networks of strangers that are counted at once. One that is forgotten begins anew with all of its
/// burst.
pub const NETWORKS_MAX: usize = 16_384;

/// Most addresses that are known to have been believed, each at some 60 bytes. Of more, the one that is
/// silent longest is a stranger again.
pub const BELIEVED_MAX: usize = 4_096;

/// Signatures at once that are checked for all strangers together: whoever makes up addresses has as many
/// networks as it likes.
pub const STRANGERS_BURST: u32 = 2_000;

/// How many more a second: far more than senders begin.
pub const STRANGERS_PER_SECOND: u32 = 1_000;

/// Bits of an address of IPv4 and of IPv6 that say which network it is of, as one hand has it.
pub const NETWORK_BITS: (u32, u32) = (24, 64);
