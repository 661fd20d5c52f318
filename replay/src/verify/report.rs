//! What a verification says.

use super::difference::ContentDifference;
use serde::Serialize;
use weir_schemas::InputRange;

/// What a verification did and found.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct VerifyReport {
    /// Verdicts that stand in the partitions that were looked at.
    pub scanned: u64,
    /// Verdicts that were to be proved.
    pub chosen: u64,
    /// Those whose very bytes came out again.
    pub proven: u64,
    /// Those that differ from what came out, and, when every verdict was asked for, those that came
    /// out and are not in the log.
    pub different: u64,
    /// Those that can be neither proved nor disproved: what led to them is no longer kept.
    pub unproven: u64,
    /// Where not one verdict was asked for: those that stand before the oldest place from which history can
    /// still be folded. They were not chosen.
    pub before: u64,
    /// Each finding when one verdict was asked for; else those that are not proven, up to
    /// [`crate::limits::FINDINGS_MAX`] in all.
    pub findings: Vec<Finding>,
    /// Wall-clock time that it took, in seconds.
    pub seconds: f64,
}

impl VerifyReport {
    /// Counts a partition's findings; keeps those that are not proven, and the first
    /// `proven_kept` that are.
    pub(super) fn take(&mut self, findings: Vec<Finding>, proven_kept: usize) {
        let mut proven = 0;
        for finding in findings {
            self.chosen += 1;
            let is_proven = matches!(finding.outcome, Outcome::Proven(_));
            match &finding.outcome {
                Outcome::Proven(_) => self.proven += 1,
                Outcome::Different(_) => self.different += 1,
                Outcome::Unproven { .. } => self.unproven += 1,
            }
            proven += usize::from(is_proven);
            let is_wanted = !is_proven || proven <= proven_kept;
            if is_wanted && self.findings.len() < crate::limits::FINDINGS_MAX {
                self.findings.push(finding);
            }
        }
    }

    /// Whether there was something to prove and all of it was proven.
    pub fn is_proven(&self) -> bool {
        self.chosen > 0 && self.proven == self.chosen
    }
}

/// What was found of one verdict.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Finding {
    /// Id of the verdict, as it stands; none when it cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verdict_id: Option<String>,
    /// Its account, as it stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// Partition of `weir.verdicts`, and of the task that judged.
    pub partition: u32,
    /// Its offset in `weir.verdicts`; none when an epoch emitted it and it is not there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offset: Option<i64>,
    /// What came of it.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// What came of one verdict.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// The same bytes came out.
    Proven(Evidence),
    /// Something else came out.
    Different(Difference),
    /// What led to it is no longer kept.
    Unproven {
        /// What is missing.
        reason: String,
    },
}

/// What shows that a verdict is the one that was made.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Evidence {
    /// Epoch of the account task that emitted it.
    pub epoch: i64,
    /// The state was folded from the checkpoint after this epoch; 0 from the beginning of history.
    pub folded_after: i64,
    /// Policy in force after the epoch's control records.
    pub policy_version: String,
    /// What the epoch read.
    pub inputs: Vec<InputEvidence>,
    /// SHA-256 of the record as it stands in the log.
    pub sha256_written: String,
    /// SHA-256 of the record that came out of the fold.
    pub sha256_refolded: String,
}

/// One input of an epoch.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct InputEvidence {
    /// Input topic.
    pub topic: String,
    /// Partition of it.
    pub partition: i32,
    /// First offset that belongs to the epoch.
    pub from: i64,
    /// First offset after it.
    pub to: i64,
    /// Records in between.
    pub records: i64,
}

impl From<&InputRange> for InputEvidence {
    fn from(range: &InputRange) -> Self {
        let InputRange { topic, partition, from, to, records } = range.clone();
        Self { topic, partition, from, to, records }
    }
}

impl Difference {
    /// In words, where an epoch as such differs.
    pub fn of_an_epoch(&self) -> Option<String> {
        let Self::Epoch { epoch, what, recorded, found } = self else { return None };
        Some(format!("epoch {epoch} recorded {what} {recorded}; folded again it gives {found}"))
    }
}

/// How a verdict differs from what came out.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "difference", rename_all = "snake_case")]
pub enum Difference {
    /// Its bytes are not those that came out.
    Content(ContentDifference),
    /// Its record stands under another key than the one that came out.
    Key {
        /// Epoch that emitted it.
        epoch: i64,
    },
    /// No epoch emitted a verdict like it.
    NotEmitted {
        /// Last epoch that was folded again.
        last_epoch: i64,
    },
    /// It stands in the log a second time.
    Doubled {
        /// Where it stands first.
        first_offset: i64,
    },
    /// An epoch emitted it, and it is not in the log.
    Missing {
        /// Epoch that emitted it.
        epoch: i64,
    },
    /// An epoch before it, or its own, gives something else than was recorded of the epoch.
    Epoch {
        /// The epoch.
        epoch: i64,
        /// What differs.
        what: String,
        /// As recorded.
        recorded: String,
        /// As folded again.
        found: String,
    },
}
