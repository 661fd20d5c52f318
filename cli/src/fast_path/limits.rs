//! Every bound of the rims, in one place.

use std::time::Duration;

/// Alerts that wait for the thread that sends them. One more is not sent, and counted: a stage waits for
/// nobody.
pub const QUEUE_MAX: usize = 1_024;

/// How long after an alert of a tripwire no other one of the same account is sent.
pub const TRIPWIRE_EVERY_MS: i64 = 10_000;

/// Accounts of which that is remembered, twice, at 24 bytes each. One that is forgotten begins anew.
pub const TRIPWIRE_ACCOUNTS_MAX: usize = 16_384;

/// Datagrams that wait for the time of their copy. While there are more, no alert is taken from the queue.
pub const COPIES_WAITING_MAX: usize = 4_096;

/// Most addresses that datagrams are sent to.
pub const DESTINATIONS_MAX: usize = 64;

/// How often the names of destinations are looked up: servers come and go.
pub const RESOLVE_EVERY: Duration = Duration::from_secs(30);

/// How often a thread looks whether it is to end.
pub const LOOK_EVERY: Duration = Duration::from_millis(200);

/// How often the file of keys is looked at.
pub const KEYS_LOOK_EVERY: Duration = Duration::from_secs(1);

/// Bytes of datagrams that the kernel keeps for a listener that is busy, where it lets it.
pub const RECEIVE_BUFFER_BYTES: usize = 4 << 20;

/// A journal of this size is put aside, and the one that was aside before is thrown away.
pub const JOURNAL_BYTES_MAX: u64 = 64 << 20;

/// Most bytes of a line of it: what an alert says fits in a datagram, and twice that with what is put beside.
pub const JOURNAL_LINE_BYTES_MAX: u64 = 16 << 10;

/// A line whose writing takes as long is told of: no alert is heard meanwhile.
pub const JOURNAL_STALL: Duration = Duration::from_millis(100);

/// How often the kernel is asked what it threw away.
pub const LOST_LOOK_EVERY: Duration = Duration::from_secs(1);

/// Routers that a datagram passes at most.
pub const HOPS_MAX: u8 = 16;

/// Expedited forwarding (RFC 3246), as the byte of the header has it.
pub const EXPEDITED: u8 = 0xb8;
