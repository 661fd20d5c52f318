//! What the kernel side counts.

use std::collections::BTreeMap;
use std::ops::AddAssign;
use weir_collector::trace::Loss;

/// What the kernel side counted of a process since it is traced, or of several.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Messages that were received.
    pub received: u64,
    /// Their bytes.
    pub received_bytes: u64,
    /// Messages that were sent.
    pub sent: u64,
    /// Their bytes.
    pub sent_bytes: u64,
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
    /// Clients' hellos that were waited for no longer.
    pub hello_late: u64,
}

impl Counts {
    /// Messages that were heard.
    pub fn messages(&self) -> u64 {
        self.received + self.sent
    }

    /// What could not be handed on, by its causes.
    pub fn drops(&self) -> [(Loss, u64); 9] {
        [
            (Loss::TapFull, self.full),
            (Loss::TapUnreadable, self.unreadable),
            (Loss::TapConnections, self.no_connection),
            (Loss::TapNotices, self.notices_lost),
            (Loss::TapHelloFull, self.hello_full),
            (Loss::TapHelloUnreadable, self.hello_unreadable),
            (Loss::TapHelloOther, self.hello_other),
            (Loss::TapHelloTwice, self.hello_twice),
            (Loss::TapHelloLate, self.hello_late),
        ]
    }

    /// What came to these since they were `before`.
    pub fn since(&self, before: &Self) -> Self {
        let mut since = *self;
        since.each_with(before, |own, other| *own = own.saturating_sub(other));
        since
    }

    fn each_with(&mut self, other: &Self, act: impl Fn(&mut u64, u64)) {
        act(&mut self.received, other.received);
        act(&mut self.received_bytes, other.received_bytes);
        act(&mut self.sent, other.sent);
        act(&mut self.sent_bytes, other.sent_bytes);
        act(&mut self.handed_on, other.handed_on);
        act(&mut self.full, other.full);
        act(&mut self.unreadable, other.unreadable);
        act(&mut self.no_connection, other.no_connection);
        act(&mut self.notices_lost, other.notices_lost);
        act(&mut self.hello_full, other.hello_full);
        act(&mut self.hello_unreadable, other.hello_unreadable);
        act(&mut self.hello_other, other.hello_other);
        act(&mut self.hello_twice, other.hello_twice);
        act(&mut self.hello_late, other.hello_late);
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.each_with(&other, |own, other| *own += other);
    }
}

/// What was counted of the processes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Counted {
    /// Of each that is traced, by its number.
    pub processes: BTreeMap<u32, Counts>,
    /// Of all that are or were traced since the tap was opened.
    pub all: Counts,
}

/// How often a program of the kernel side ran, for all processes together, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProbeRuns {
    /// Which: one of [`PROBE_NAMES`](crate::PROBE_NAMES).
    pub probe: &'static str,
    /// Times that it ran while the kernel measured.
    pub runs: u64,
    /// How long that took, in nanoseconds.
    pub run_ns: u64,
}
