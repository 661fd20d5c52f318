//! What was found damaged in a spool.

use std::path::PathBuf;

/// How it is damaged: a closed set, the label of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DamageKind {
    /// The end of the newest segment: it was being written when the process or the machine ended.
    TornTail,
    /// A record, or all from it to the end of its segment where no other can be told to begin.
    Record,
    /// A segment whose beginning is not whole: it is deleted.
    Segment,
}

impl DamageKind {
    /// Every kind.
    pub const ALL: &'static [Self] = &[Self::TornTail, Self::Record, Self::Segment];

    /// Name in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TornTail => "torn_tail",
            Self::Record => "record",
            Self::Segment => "segment",
        }
    }
}

/// Bytes of a spool's file that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// How they are damaged.
    pub kind: DamageKind,
    /// The file.
    pub file: PathBuf,
    /// Where the first of them stands in it.
    pub from: u64,
    /// How many there are.
    pub bytes: u64,
}
