//! What the export has done, in one small file that is replaced atomically: up to where it read, how
//! long each file is, and what it knows of shared values.

use super::files::Files;
use super::indicators::Indicators;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io;
use weir_topology::topic::Topic;

/// Name of the sidecar.
pub const POSITIONS_NAME: &str = ".positions.json";
const TEMPORARY_NAME: &str = ".positions.json.new";
const FORMAT: u32 = 2;

/// The files of the output directory. The audit log comes first, and so it is written first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum OutputFile {
    /// Every record of the audit chains.
    AuditLog,
    /// Every action, done or withheld.
    EnforcementActions,
    /// What gateways are to slow down.
    RateLimitCommands,
    /// What people are to look at.
    AnalystQueue,
    /// Shared values that several accounts under judgement rest on.
    IocBundles,
    /// Campaigns, as they form, change and end.
    Campaigns,
}

impl OutputFile {
    /// Every file, in the order in which a round writes them.
    pub const ALL: &'static [Self] = &[
        Self::AuditLog,
        Self::EnforcementActions,
        Self::RateLimitCommands,
        Self::AnalystQueue,
        Self::IocBundles,
        Self::Campaigns,
    ];

    /// Name of the file.
    pub const fn name(self) -> &'static str {
        match self {
            Self::AuditLog => "audit_log.jsonl",
            Self::EnforcementActions => "enforcement_actions.jsonl",
            Self::RateLimitCommands => "rate_limit_commands.jsonl",
            Self::AnalystQueue => "analyst_queue.jsonl",
            Self::IocBundles => "ioc_bundles.jsonl",
            Self::Campaigns => "campaigns.jsonl",
        }
    }
}

/// Content of the sidecar.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Sidecar {
    format: u32,
    /// Next offset by topic and partition.
    positions: BTreeMap<String, BTreeMap<u32, i64>>,
    /// Sequence of the last audit record written, by partition of its chain.
    audited: BTreeMap<u32, i64>,
    /// Length in bytes of each output file.
    lengths: BTreeMap<String, u64>,
    /// Shared values and who rests on them.
    pub indicators: Indicators,
    /// Under which name the log is answered: of this directory, for as long as it is written.
    pub executor: String,
    /// The last round that had actions to be carried out, until the log has the answers to them.
    pub unanswered: Option<Unanswered>,
}

/// A round whose actions stand in the files.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Unanswered {
    /// When they were told, in milliseconds since the Unix epoch: their lines say the same.
    pub told_ms: i64,
    /// Which actions, by partition.
    pub partitions: BTreeMap<u32, Range>,
}

/// Actions of one partition.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Range {
    /// Offset of the first.
    pub from: i64,
    /// Offset after the last.
    pub to: i64,
    /// Where the outcome topic ended before any of them was answered.
    pub outcomes_from: i64,
}

impl Default for Sidecar {
    fn default() -> Self {
        Self {
            format: FORMAT,
            positions: BTreeMap::new(),
            audited: BTreeMap::new(),
            lengths: BTreeMap::new(),
            indicators: Indicators::default(),
            executor: String::new(),
            unanswered: None,
        }
    }
}

impl Sidecar {
    /// Of a directory that nothing was written to yet.
    pub fn of(executor: &str) -> Self {
        Self { executor: executor.to_owned(), ..Self::default() }
    }

    /// Reads the sidecar; none where there is none. The inner error says why it cannot be understood.
    pub fn load(files: &mut dyn Files) -> io::Result<Option<Result<Self, String>>> {
        let Some(bytes) = files.read(POSITIONS_NAME)? else { return Ok(None) };
        let sidecar = serde_json::from_slice::<Self>(&bytes).map_err(|error| error.to_string());
        Ok(Some(sidecar.and_then(|sidecar| match sidecar.format {
            FORMAT => Ok(sidecar),
            other => Err(format!("format {other}, this build reads {FORMAT}")),
        })))
    }

    /// Replaces the sidecar on disk: after a crash it is the old one or the new one.
    pub fn store(&self, files: &mut dyn Files) -> io::Result<()> {
        files.write(TEMPORARY_NAME, &serde_json::to_vec(self)?)?;
        files.sync(TEMPORARY_NAME)?;
        files.rename(TEMPORARY_NAME, POSITIONS_NAME)?;
        files.sync_directory()
    }

    pub fn position(&self, topic: Topic, partition: u32) -> i64 {
        self.positions.get(topic.name()).and_then(|of| of.get(&partition)).copied().unwrap_or(0)
    }

    pub fn set_position(&mut self, topic: Topic, partition: u32, next: i64) {
        self.positions.entry(topic.name().into()).or_default().insert(partition, next);
    }

    pub fn audited(&self, partition: u32) -> i64 {
        self.audited.get(&partition).copied().unwrap_or(0)
    }

    pub fn set_audited(&mut self, partition: u32, sequence: i64) {
        self.audited.insert(partition, sequence);
    }

    pub fn length(&self, file: OutputFile) -> u64 {
        self.lengths.get(file.name()).copied().unwrap_or(0)
    }

    pub fn set_length(&mut self, file: OutputFile, length: u64) {
        self.lengths.insert(file.name().into(), length);
    }
}
