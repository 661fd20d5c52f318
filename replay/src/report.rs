//! What a replay says.

use serde::Serialize;
use thiserror::Error;
use weir_topology::error::TaskError;
use weir_topology::log::LogError;

/// What a replay did and found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// What collectors were given: events in the log, and lines that they refused.
    pub events: u64,
    /// Events that were folded into a judgement.
    pub judged: u64,
    /// Events and lines that were dead-lettered. `events = judged + dlq` when nothing was lost.
    pub dlq: u64,
    /// Verdicts that came out.
    pub verdicts: u64,
    /// Digest of those verdicts (see [`crate::digest::VerdictDigest`]).
    pub digest: String,
    /// What was said of campaigns: records that came out.
    pub campaign_records: u64,
    /// Digest of those records (see [`crate::digest::CampaignDigest`]).
    pub campaign_digest: String,
    /// As recorded only: whether what was said of campaigns came out with the very bytes that stand in the
    /// log; none where what led to it is no longer kept, or another judge recorded it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub campaigns_equal: Option<bool>,
    /// As recorded only: the digest of the verdicts that stand in the log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub written_digest: Option<String>,
    /// As recorded only: whether every verdict came out with the very bytes that stand in the log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_equal: Option<bool>,
    /// As recorded only: verdicts before the oldest place from which history can still be folded. They were
    /// neither made again nor compared, and what led to them is not counted above.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verdicts_before: Option<u64>,
    /// As recorded only: verdicts of epochs that another judge recorded and this one adopted. They stand in
    /// the log and are in neither digest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verdicts_adopted: Option<u64>,
    /// Events in the log that no recorded epoch has folded yet.
    pub in_flight: u64,
    /// Wall-clock time that the replay took, in seconds.
    pub seconds: f64,
}

/// Why a replay cannot be done.
#[derive(Debug, Error)]
pub enum ReplayError {
    /// The log failed.
    #[error(transparent)]
    Log(#[from] LogError),
    /// A recorded epoch cannot be folded again.
    #[error(transparent)]
    Task(#[from] TaskError),
    /// A verdict of the log, or of a stage, cannot be read.
    #[error("a verdict cannot be read: {0}")]
    Verdict(#[from] weir_schemas::wire::WireError),
    /// The sorter's temporary files failed.
    #[error("the temporary files of the replay failed (free space in the temporary directory?): {0}")]
    Spill(#[from] std::io::Error),
    /// A worker thread panicked.
    #[error("a replay worker panicked; please report it")]
    Panicked,
    /// Feedback did not come to rest.
    #[error("feedback between the stages did not come to rest after {0} epochs without events")]
    Restless(u32),
}
