//! Where a probe is placed: at the entry of its function, or at an instruction that costs less.
//!
//! A probe is a trap. What the probed instruction does has to be done besides: some instructions the kernel
//! does itself (it emulates them), all others it has the processor execute apart, which is a second trap.

/// Where a probe was placed, or is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placement {
    /// At the function's entry, whose instruction is executed apart: nothing better was found.
    Entry(EntryCause),
    /// At an instruction that the kernel emulates, which every call comes by once, with its arguments intact.
    Emulated {
        /// Bytes from the function's entry: 0 where its first instruction is such a one.
        behind_entry: u64,
        /// Where that is in the file.
        offset: u64,
    },
    /// At the entry of the function that the traced one hands its arguments on to, which begins with an
    /// instruction that the kernel emulates: so its return costs less too.
    Callee {
        /// Where that is in the file.
        offset: u64,
    },
}

impl Placement {
    /// Every kind of placement.
    pub const KINDS: [&'static str; 3] = ["entry", "emulated", "callee"];

    /// Which kind it is.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Entry(_) => Self::KINDS[0],
            Self::Emulated { .. } => Self::KINDS[1],
            Self::Callee { .. } => Self::KINDS[2],
        }
    }
}

/// Why a probe is at an entry that costs two traps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryCause {
    /// The settings ask for it.
    Asked,
    /// The code is for another processor than x86-64.
    Architecture,
    /// The return is listened for, which the kernel arranges at the entry, and the arguments are not seen to
    /// be handed on.
    Return,
    /// No such instruction comes before an argument is overwritten, the function branches otherwise or ends.
    NoneBefore,
    /// Something else jumps in between the entry and such an instruction.
    WayIn,
    /// The code cannot be read, or how long it is.
    Unreadable,
    /// The kernel refused the better place.
    Refused,
}

impl EntryCause {
    /// Why, for people.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Asked => "tap.entry_only asks for it",
            Self::Architecture => "what the kernel emulates is known of x86-64 only",
            Self::Return => "its return is listened for, which the kernel arranges at the entry",
            Self::NoneBefore => "nothing that the kernel emulates comes while its arguments are intact",
            Self::WayIn => "something jumps in behind its entry",
            Self::Unreadable => "its code cannot be read",
            Self::Refused => "the kernel refused the better place",
        }
    }
}

/// A probe and where it was placed, or is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Site {
    /// Which program: one of [`PROBE_NAMES`](crate::PROBE_NAMES).
    pub probe: &'static str,
    /// The function that it listens to.
    pub function: &'static str,
    /// Whether it is run when the function returns, and not when it is called.
    pub at_return: bool,
    /// Where.
    pub placement: Placement,
}
