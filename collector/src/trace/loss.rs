//! What was not heard, or could not be used, by cause: every loss is counted, none is guessed.

/// Why something is not in the events: a closed set, the label of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Loss {
    /// Bytes that the tap did not hand on: the difference between where a chunk stands and where it should.
    GapBytes,
    /// Bytes behind the part of a message that the tap copies.
    CutBytes,
    /// Bytes of bodies behind what is kept of one.
    BodyBytes,
    /// Bytes before the first message that was heard from its beginning.
    UnsyncedBytes,
    /// Requests whose end was not heard, or that cannot be read.
    Request,
    /// Responses whose end was not heard, or that cannot be read: their requests are events without an
    /// outcome, or with what was heard of it.
    Response,
    /// Responses whose requests were not heard.
    Orphan,
    /// Requests that nothing answered while their connection was heard.
    Unanswered,
    /// Connections that were forgotten for want of room.
    Forgotten,
    /// Requests without a credential: they are nobody's.
    Anonymous,
    /// Requests of accounts that were left out, so that a budget of processor time is held.
    Sampled,
    /// Connections whose client is known by no fingerprint, because nothing was heard of its hello: they are
    /// older than the tap, or their process reads what comes from the network itself.
    HelloUnheard,
    /// Connections whose client's hello was not heard whole, or cannot be read.
    HelloUnread,
    /// Connections of whose client no address is known, because it is not known which accepted connection
    /// they are: they are older than the tap, or nothing was heard of their hello.
    AddressUnheard,
    /// Connections of whose client no address is known although their hello was heard: their process did not
    /// ask for it.
    AddressUntold,
    /// Connections that carried several accounts: the fingerprint is that of who speaks for them, and is not
    /// told any more.
    HelloShared,
    /// Events that were not kept because the log took nothing for too long, and there is no spool.
    LogAway,
    /// Events that were not kept because the spool had as many bytes as it may, and memory too.
    SpoolFull,
    /// Events that were not kept because the spool's disk took nothing, and memory was full.
    SpoolFault,
    /// Messages that the tap had no room to hand on.
    TapFull,
    /// Messages that the tap could not read from the process's memory.
    TapUnreadable,
    /// Messages of connections for which the tap had no room.
    TapConnections,
    /// Ends and addresses of connections that the tap had no room to hand on.
    TapNotices,
    /// Pieces of clients' hellos that the tap had no room to hand on.
    TapHelloFull,
    /// Pieces of clients' hellos that the tap could not read from the process's memory.
    TapHelloUnreadable,
    /// What begins connections and is no hello of TLS, by what the tap looks at.
    TapHelloOther,
    /// Clients' hellos that another connection had brought already, by what the tap tells them from one
    /// another.
    TapHelloTwice,
    /// Accepted sockets of which the tap heard no whole hello of a client's for so long that it waits no
    /// longer.
    TapHelloLate,
}

impl Loss {
    /// Every cause.
    pub const ALL: &'static [Self] = &[
        Self::GapBytes,
        Self::CutBytes,
        Self::BodyBytes,
        Self::UnsyncedBytes,
        Self::Request,
        Self::Response,
        Self::Orphan,
        Self::Unanswered,
        Self::Forgotten,
        Self::Anonymous,
        Self::Sampled,
        Self::HelloUnheard,
        Self::HelloUnread,
        Self::AddressUnheard,
        Self::AddressUntold,
        Self::HelloShared,
        Self::LogAway,
        Self::SpoolFull,
        Self::SpoolFault,
        Self::TapFull,
        Self::TapUnreadable,
        Self::TapConnections,
        Self::TapNotices,
        Self::TapHelloFull,
        Self::TapHelloUnreadable,
        Self::TapHelloOther,
        Self::TapHelloTwice,
        Self::TapHelloLate,
    ];

    /// Name in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::GapBytes => "gap_bytes",
            Self::CutBytes => "cut_bytes",
            Self::BodyBytes => "body_bytes",
            Self::UnsyncedBytes => "unsynced_bytes",
            Self::Request => "request",
            Self::Response => "response",
            Self::Orphan => "orphan",
            Self::Unanswered => "unanswered",
            Self::Forgotten => "forgotten",
            Self::Anonymous => "anonymous",
            Self::Sampled => "sampled",
            Self::HelloUnheard => "hello_unheard",
            Self::HelloUnread => "hello_unread",
            Self::AddressUnheard => "address_unheard",
            Self::AddressUntold => "address_untold",
            Self::HelloShared => "hello_shared",
            Self::LogAway => "log_away",
            Self::SpoolFull => "spool_full",
            Self::SpoolFault => "spool_fault",
            Self::TapFull => "tap_full",
            Self::TapUnreadable => "tap_unreadable",
            Self::TapConnections => "tap_connections",
            Self::TapNotices => "tap_notices",
            Self::TapHelloFull => "tap_hello_full",
            Self::TapHelloUnreadable => "tap_hello_unreadable",
            Self::TapHelloOther => "tap_hello_other",
            Self::TapHelloTwice => "tap_hello_twice",
            Self::TapHelloLate => "tap_hello_late",
        }
    }
}

/// How much was lost, by cause.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Losses([u64; Loss::ALL.len()]);

impl Losses {
    /// Counts.
    pub fn add(&mut self, loss: Loss, count: u64) {
        let counted = &mut self.0[loss as usize];
        *counted = counted.saturating_add(count);
    }

    /// How much was lost for this cause.
    pub fn of(&self, loss: Loss) -> u64 {
        self.0[loss as usize]
    }

    /// The causes for which something was lost.
    pub fn iter(&self) -> impl Iterator<Item = (Loss, u64)> + '_ {
        Loss::ALL.iter().map(|loss| (*loss, self.of(*loss))).filter(|(_, count)| *count > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cause_is_counted_by_itself() {
        let mut losses = Losses::default();
        for (index, loss) in Loss::ALL.iter().enumerate() {
            losses.add(*loss, index as u64 + 1);
        }
        let counted: Vec<u64> = losses.iter().map(|(_, count)| count).collect();
        assert_eq!(counted, (1..=Loss::ALL.len() as u64).collect::<Vec<_>>());
        let mut names: Vec<_> = Loss::ALL.iter().map(|loss| loss.as_str()).collect();
        names.dedup();
        assert_eq!(names.len(), Loss::ALL.len());
    }
}
