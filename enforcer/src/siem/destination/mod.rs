//! Who takes notices. A destination is handed some, and says of each how it fared.

pub mod elasticsearch;
pub mod files;
pub mod hec;
pub mod http;
pub mod otlp;
#[cfg(test)]
mod stub;
pub mod syslog;
#[cfg(test)]
mod tests;
pub mod tls;

use super::notice::Notice;
use std::fmt;

/// How a notice fared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// The destination has it.
    Taken,
    /// The destination will never take it, and why.
    Refused(String),
    /// It is to be handed over once more.
    Left,
}

/// Why something is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RetryCause {
    /// The destination cannot be reached, or the connection broke.
    Unreachable,
    /// It did not answer in time.
    Silent,
    /// It took a part, or none because of another part.
    Partial,
    /// It says that it has too much to do.
    Busy,
    /// It says that it failed.
    Failing,
    /// It does not know who we are, or does not let us in.
    Denied,
    /// It does not understand what is asked of it: its address or configuration is wrong.
    Misconfigured,
    /// The files cannot be written.
    Storage,
    /// What was taken could not be written down in the log.
    Log,
}

impl RetryCause {
    /// Every cause.
    pub const ALL: [Self; 9] = [
        Self::Unreachable,
        Self::Silent,
        Self::Partial,
        Self::Busy,
        Self::Failing,
        Self::Denied,
        Self::Misconfigured,
        Self::Storage,
        Self::Log,
    ];

    /// Its name in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::Silent => "silent",
            Self::Partial => "partial",
            Self::Busy => "busy",
            Self::Failing => "failing",
            Self::Denied => "denied",
            Self::Misconfigured => "misconfigured",
            Self::Storage => "storage",
            Self::Log => "log",
        }
    }
}

impl fmt::Display for RetryCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why what is left is left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Of a closed set.
    pub cause: RetryCause,
    /// For a person: what was tried, and what to do. It holds no credential.
    pub reason: String,
}

impl Failure {
    /// Of this cause.
    pub fn new(cause: RetryCause, reason: impl Into<String>) -> Self {
        Self { cause, reason: reason.into() }
    }
}

/// How a batch fared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Of each notice, in the order in which they were handed over.
    pub fates: Vec<Fate>,
    /// Why some are left; none where none is.
    pub failure: Option<Failure>,
}

impl Delivery {
    /// All of them were taken.
    pub fn taken(count: usize) -> Self {
        Self { fates: vec![Fate::Taken; count], failure: None }
    }

    /// All of them are left.
    pub fn left(count: usize, failure: Failure) -> Self {
        Self { fates: vec![Fate::Left; count], failure: Some(failure) }
    }
}

/// What takes notices.
pub trait Destination: Send {
    /// Its kind, for metrics: of a closed set.
    fn kind(&self) -> DestinationKind;

    /// Hands notices over, and waits until the destination has them or says that it has not.
    fn deliver(&mut self, notices: &[Notice]) -> Delivery;
}

/// The kinds of destinations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum DestinationKind {
    /// Files of this machine.
    Files,
    /// A receiver of syslog.
    Syslog,
    /// Splunk's HTTP Event Collector.
    Hec,
    /// Elasticsearch or OpenSearch.
    Elasticsearch,
    /// A collector of OpenTelemetry's traces.
    Otlp,
}

impl DestinationKind {
    /// Every kind.
    pub const ALL: [Self; 5] = [Self::Files, Self::Syslog, Self::Hec, Self::Elasticsearch, Self::Otlp];

    /// Its name in metrics, positions and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Files => "files",
            Self::Syslog => "syslog",
            Self::Hec => "hec",
            Self::Elasticsearch => "elasticsearch",
            Self::Otlp => "otlp",
        }
    }
}
