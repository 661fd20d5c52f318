//! One round's lines, gathered in memory before any is written.

use super::Progress;
use super::campaign_line::campaign_line;
use super::identities::Identities;
use super::indicators::Indicators;
use super::intake::Sink;
use super::lines::{Effect, Told, audit_line, bundle_line};
use super::sidecar::OutputFile;
use crate::limits::ROUND_BYTES_MAX;
use crate::open::Opened;
use std::collections::BTreeMap;
use weir_schemas::{Action, ActionKind, ActionState, Audit, AuditEntry, Campaign, Verdict};
use weir_topology::log::LogError;
use weir_topology::topic::Topic;

/// A round under way.
pub(crate) struct Round<'a> {
    indicators: &'a mut Indicators,
    identities: Option<&'a mut Identities>,
    /// When the round's actions are told.
    told_ms: i64,
    /// The log could not be read: nothing of the round is written.
    failure: Option<LogError>,
    written: Written,
}

/// A round's lines.
#[derive(Default)]
pub(crate) struct Written {
    files: BTreeMap<OutputFile, Vec<u8>>,
    pub settled: Vec<(ActionKind, ActionState)>,
    /// Whether an action is to be answered for.
    pub has_pending: bool,
    pub progress: Progress,
}

impl Written {
    pub fn lines(&self, file: OutputFile) -> &[u8] {
        self.files.get(&file).map_or(&[], Vec::as_slice)
    }

    /// Adds a line; one that cannot be made is counted as its record would be.
    fn add(&mut self, file: OutputFile, line: impl FnOnce(&mut Vec<u8>) -> Result<(), serde_json::Error>) {
        match line(self.files.entry(file).or_default()) {
            Ok(()) => self.progress.lines += 1,
            Err(_) => self.progress.unreadable += 1,
        }
    }
}

impl<'a> Round<'a> {
    pub fn new(indicators: &'a mut Indicators, identities: Option<&'a mut Identities>, told_ms: i64) -> Self {
        Self { indicators, identities, told_ms, failure: None, written: Written::default() }
    }

    pub fn finish(self) -> Result<Written, LogError> {
        match self.failure {
            None => Ok(self.written),
            Some(error) => Err(error),
        }
    }

    /// The raw account id of an action that is to be carried out on the account itself.
    fn open(&mut self, action: &Action) -> Option<Result<Opened, String>> {
        let acts_on_account = match action.kind {
            ActionKind::RateLimit | ActionKind::Suspend | ActionKind::ClusterTakedown => true,
            ActionKind::Other | ActionKind::Review | ActionKind::ShareIndicators => false,
        };
        if action.state != ActionState::Pending || !acts_on_account {
            return None;
        }
        let opened = self.identities.as_mut()?.open(action.account);
        match opened {
            Ok(opened) => Some(opened.map_err(|error| error.to_string())),
            Err(error) => {
                self.failure.get_or_insert(error);
                None
            }
        }
    }
}

impl Sink for Round<'_> {
    fn audit(&mut self, entry: &AuditEntry, audit: Option<&Audit>) {
        self.written.add(OutputFile::AuditLog, |out| audit_line(out, entry, audit));
    }

    fn action(&mut self, action: &Action, verdict: Option<&Verdict>) {
        let opened = self.open(action);
        self.written.progress.unopened += u64::from(matches!(opened, Some(Err(_))));
        let account_raw = opened.as_ref().map(|opened| match opened {
            Ok(opened) => Ok(opened.account()),
            Err(error) => Err(error.as_str()),
        });
        let told = Told { action, verdict, account_raw, effect: Effect::of(action, self.told_ms) };
        self.written.add(OutputFile::EnforcementActions, |out| told.enforcement_line(out));
        if told.is_rate_limit() {
            self.written.add(OutputFile::RateLimitCommands, |out| told.rate_limit_line(out));
        }
        if told.is_for_analyst() {
            self.written.add(OutputFile::AnalystQueue, |out| told.analyst_line(out));
        }
        self.written.settled.push((action.kind, action.state));
        self.written.has_pending |= action.state == ActionState::Pending;
        self.written.progress.withheld_as_history += u64::from(told.is_history());
        let Some(verdict) = verdict.filter(|_| action.kind == ActionKind::ShareIndicators) else { return };
        let observed = self.indicators.observe(verdict, action.state);
        self.written.progress.indicators_forgotten += observed.forgotten;
        for (cluster, indicator) in &observed.told {
            let line = |out: &mut Vec<u8>| bundle_line(out, &told, verdict, cluster, indicator);
            self.written.add(OutputFile::IocBundles, line);
        }
    }

    fn transition(&mut self, action: &Action) {
        self.written.settled.push((action.kind, action.state));
    }

    fn campaign(&mut self, campaign: &Campaign) {
        self.written.add(OutputFile::Campaigns, |out| campaign_line(out, campaign));
    }

    fn unreadable(&mut self, _topic: Topic) {
        self.written.progress.unreadable += 1;
    }

    fn is_full(&self) -> bool {
        self.failure.is_some() || self.written.files.values().map(Vec::len).sum::<usize>() >= ROUND_BYTES_MAX
    }
}
