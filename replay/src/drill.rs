//! What became of a drill: which of its accounts were flagged, and how long that took, from records alone.
//!
//! A drill's events, verdicts and actions are those of its tenant. The label of an event says whether its
//! account is of the campaign. Two times are measured. The first runs from when a collector observed an event
//! to when an enforcer had decided on the verdict that rests on it: by the clocks of those two, so machines
//! whose clocks differ make it differ. The second runs from there until the effect was carried out, where one
//! was. Nothing that has not been processed counts as a failure: then nothing is known. Processed is a drill
//! when every stage has folded all that there is of it: its events, its links, what was answered to them, and
//! its verdicts.

mod outcome;

use crate::report::ReplayError;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use weir_schemas::Record as _;
use weir_schemas::wire::{Wire, WireError};
use weir_schemas::{
    AccountId, Action, ActionId, ActionState, Cluster, Epoch, Event, EventId, Link, Tier, Verdict, VerdictId,
};
use weir_topology::history::read_range;
use weir_topology::limits::{READ_BYTES_MAX, READ_RECORDS_MAX};
use weir_topology::log::{Log, Position, Reader};
use weir_topology::record::{LABEL_HEADER, RecordRef, Records};
use weir_topology::topic::{StageName, Topic};

pub use outcome::{Objectives, Outcome, Report, Size, Times};

/// What is read of a drill. Epochs come first: what those wrote that stood there when it was asked where a
/// topic ends is then read as well.
const TOPICS: [Topic; 6] =
    [Topic::Epochs, Topic::Events, Topic::Links, Topic::Clusters, Topic::Verdicts, Topic::Actions];

/// Which stage folds what there is of a drill.
const FOLDS: [(StageName, Topic); 4] = [
    (StageName::Account, Topic::Events),
    (StageName::Cluster, Topic::Links),
    (StageName::Account, Topic::Clusters),
    (StageName::Enforcer, Topic::Verdicts),
];

/// What the drill of this tenant has come to by all that stands in the log as of now.
///
/// # Errors
/// When the log cannot be read.
pub fn measure(
    log: &dyn Log,
    wire: &Wire,
    tenant: &str,
    size: Size,
    objectives: Objectives,
) -> Result<Report, ReplayError> {
    let mut ends = Vec::new();
    for topic in TOPICS {
        for partition in 0..log.partitions(topic)? {
            ends.push((topic, partition, log.bounds(topic, partition)?));
        }
    }
    let mut seen = Seen::default();
    for (topic, partition, (first, end)) in ends {
        read_range(log, topic, partition, first, end, |records| {
            for record in records.iter() {
                seen.take(wire, tenant, (topic, partition), record);
            }
            Ok(())
        })?;
    }
    Ok(outcome::report(tenant, &seen, size, objectives))
}

/// Follows a log for the records of one drill, which is not sent yet.
pub struct Follower {
    tenant: String,
    reader: Box<dyn Reader>,
    inputs: Vec<(Topic, u32)>,
    /// Tasks of the enforcer.
    enforcers: u32,
    records: Records,
    seen: Seen,
}

/// What was read of a drill so far.
#[derive(Debug, Default)]
struct Seen {
    events: u64,
    /// Whether the account is of the campaign.
    accounts: BTreeMap<AccountId, bool>,
    /// When each event was observed.
    observed_ms: BTreeMap<EventId, i64>,
    verdicts: BTreeMap<VerdictId, Told>,
    actions: BTreeMap<ActionId, Answered>,
    /// Offset after the drill's last record of a partition.
    ends: BTreeMap<(Topic, u32), i64>,
    /// Offset up to which a partition's task has folded it.
    folded: BTreeMap<(Topic, u32), i64>,
    /// Offset up to which a task of the enforcer has heard operators.
    heard: BTreeMap<i32, i64>,
    /// Records of anybody's that a newer build wrote, which may be the drill's.
    unknown: u64,
}

/// A verdict.
#[derive(Debug)]
struct Told {
    account: AccountId,
    tier: Tier,
    /// Events that it rests on.
    events: Vec<EventId>,
}

/// A decision on a verdict.
#[derive(Debug)]
struct Answered {
    verdict: VerdictId,
    decided_ms: i64,
    /// When its effect was there, if it was.
    effect_ms: Option<i64>,
}

impl Follower {
    /// Follows `log` for the drill of this tenant, from its end as of now.
    pub fn open(log: &dyn Log, tenant: &str) -> Result<Self, ReplayError> {
        let (mut positions, mut inputs) = (Vec::new(), Vec::new());
        for topic in TOPICS {
            for partition in 0..log.partitions(topic)? {
                let (_, next) = log.bounds(topic, partition)?;
                positions.push(Position { topic, partition, next });
                inputs.push((topic, partition));
            }
        }
        let reader = log.reader(&positions)?;
        Ok(Self {
            tenant: tenant.to_owned(),
            reader,
            inputs,
            enforcers: log.partitions(Topic::Verdicts)?,
            records: Records::default(),
            seen: Seen::default(),
        })
    }

    /// Reads what is there next, waiting for it at most `wait`; whether any of it is of the drill.
    pub fn read_on(&mut self, wire: &Wire, wait: Duration) -> Result<bool, ReplayError> {
        let mut is_news = false;
        if !self.reader.wait(wait)? {
            return Ok(false);
        }
        for (input, (topic, partition)) in self.inputs.iter().copied().enumerate() {
            self.records.clear();
            self.reader.take(input, READ_RECORDS_MAX, READ_BYTES_MAX, &mut self.records)?;
            for record in self.records.iter() {
                is_news |= self.seen.take(wire, &self.tenant, (topic, partition), record);
            }
        }
        Ok(is_news)
    }

    /// Tasks of the enforcer that were not seen to have folded the control record at this offset.
    pub fn unheard(&self, offset: i64) -> Vec<u32> {
        let heard = |partition: &u32| {
            let heard = i32::try_from(*partition).ok().and_then(|partition| self.seen.heard.get(&partition));
            heard.is_some_and(|heard| *heard > offset)
        };
        (0..self.enforcers).filter(|partition| !heard(partition)).collect()
    }

    /// What it comes to as of what was read.
    pub fn report(&self, size: Size, objectives: Objectives) -> Report {
        outcome::report(&self.tenant, &self.seen, size, objectives)
    }
}

impl Seen {
    /// Takes a record; whether it is of the drill. What no build can read is none of it.
    fn take(&mut self, wire: &Wire, tenant: &str, of: (Topic, u32), record: RecordRef<'_>) -> bool {
        let Some(payload) = record.payload else { return false };
        let is_ours = match of.0 {
            Topic::Events => self.event(wire, tenant, payload, record.header(LABEL_HEADER).is_some()),
            Topic::Links => self.known(wire.read::<Link>(payload)).is_some_and(|link| link.tenant == tenant),
            Topic::Clusters => {
                self.known(wire.read::<Cluster>(payload)).is_some_and(|cluster| cluster.tenant == tenant)
            }
            Topic::Verdicts => self.verdict(wire, tenant, payload),
            Topic::Actions => self.action(wire, tenant, payload),
            _ => {
                self.epoch(wire, payload);
                false
            }
        };
        if is_ours {
            self.ends.insert(of, record.offset + 1);
        }
        is_ours
    }

    /// What was read, where it could be.
    fn known<R>(&mut self, read: Result<R, WireError>) -> Option<R> {
        self.unknown += u64::from(matches!(read, Err(WireError::UnknownSchema(_))));
        read.ok()
    }

    fn event(&mut self, wire: &Wire, tenant: &str, payload: &[u8], is_campaign: bool) -> bool {
        let Some(datum) = self.known(wire.datum::<Event<'_>>(payload)) else { return false };
        let Ok(event) = Event::decode(&datum) else { return false };
        if event.tenant != tenant {
            return false;
        }
        self.events += 1;
        *self.accounts.entry(event.account).or_default() |= is_campaign;
        self.observed_ms.insert(event.event_id, event.observed_ms);
        true
    }

    fn verdict(&mut self, wire: &Wire, tenant: &str, payload: &[u8]) -> bool {
        let Some(verdict) = self.known(wire.read::<Verdict>(payload)) else { return false };
        if verdict.tenant != tenant {
            return false;
        }
        let told = Told { account: verdict.account, tier: verdict.tier, events: verdict.events };
        self.verdicts.insert(verdict.verdict_id, told);
        true
    }

    fn action(&mut self, wire: &Wire, tenant: &str, payload: &[u8]) -> bool {
        let Some(action) = self.known(wire.read::<Action>(payload)) else { return false };
        if action.tenant != tenant {
            return false;
        }
        let answered = self.actions.entry(action.action_id).or_insert_with(|| Answered {
            verdict: action.verdict_id,
            decided_ms: action.taken_ms,
            effect_ms: None,
        });
        if action.state == ActionState::Done && action.kind.has_effect() {
            answered.effect_ms.get_or_insert(action.effect_ms());
        }
        true
    }

    fn epoch(&mut self, wire: &Wire, payload: &[u8]) {
        let Some(epoch) = self.known(wire.read::<Epoch>(payload)) else { return };
        for input in &epoch.inputs {
            let is_folded = |(stage, topic): &(StageName, Topic)| {
                stage.as_str() == epoch.stage && topic.name() == input.topic
            };
            if let Some((_, topic)) = FOLDS.into_iter().find(is_folded)
                && let Ok(partition) = u32::try_from(input.partition)
            {
                let folded = self.folded.entry((topic, partition)).or_default();
                *folded = input.to.max(*folded);
            }
            if epoch.stage == StageName::Enforcer.as_str() && input.topic == Topic::Control.name() {
                let heard = self.heard.entry(epoch.partition).or_default();
                *heard = input.to.max(*heard);
            }
        }
    }

    /// When the latest event that a verdict rests on was observed.
    fn observed_ms_of(&self, verdict: &VerdictId) -> Option<i64> {
        let events = self.verdicts.get(verdict)?.events.iter();
        events.filter_map(|event| self.observed_ms.get(event)).max().copied()
    }

    /// Whether tasks have folded all that there is of the drill on a topic.
    fn is_folded(&self, topic: Topic) -> bool {
        let ends = self.ends.iter().filter(|((of, _), _)| *of == topic);
        let mut ends = ends.map(|(of, end)| self.folded.get(of).is_some_and(|folded| folded >= end));
        ends.all(|is_folded| is_folded)
    }

    /// Accounts, of the campaign or not, that were called MEDIUM or worse at any time.
    fn flagged(&self, is_campaign: bool) -> BTreeSet<AccountId> {
        let flagged = self.verdicts.values().filter(|told| told.tier >= Tier::Medium);
        let of_kind = |account: &AccountId| self.accounts.get(account) == Some(&is_campaign);
        flagged.map(|told| told.account).filter(of_kind).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_schemas::ActionKind;
    use weir_topology::log::Commit;
    use weir_topology::memory::MemoryLog;
    use weir_topology::record::Output;

    const TENANT: &str = "weir-drill-1";

    fn measured(wire: &Wire, payloads: Vec<Vec<u8>>) -> Report {
        let log = MemoryLog::new(1);
        let output = |payload| Output::keyed(Topic::Actions, b"account".to_vec(), payload, 0);
        let outputs = payloads.into_iter().map(output).collect();
        log.writer("test").unwrap().commit(&Commit { outputs, positions: Vec::new() }).unwrap();
        let objectives =
            Objectives { flagged_share_min: 0.5, decision_p99_ms_max: 1_000, effect_p99_ms_max: None };
        measure(log.as_ref(), wire, TENANT, Size { lines: 1 }, objectives).unwrap()
    }

    #[test]
    fn an_effect_took_until_it_was_there_and_not_until_it_was_heard_of() {
        let wire = Wire::new();
        let action = |number, kind, state, taken_ms| {
            let (action_id, tenant) = (ActionId([number; 16]), TENANT.to_owned());
            wire.to_bytes(&Action { action_id, tenant, kind, state, taken_ms, ..Action::default() })
        };
        let lasts = |state, taken_ms, expires_ms| {
            let (action_id, tenant) = (ActionId([1; 16]), TENANT.to_owned());
            let (kind, lasts_ms) = (ActionKind::Suspend, Some(60_000));
            let action = Action {
                action_id,
                tenant,
                kind,
                state,
                taken_ms,
                expires_ms,
                lasts_ms,
                ..Action::default()
            };
            wire.to_bytes(&action)
        };
        let report = measured(
            &wire,
            vec![
                lasts(ActionState::Pending, 1_000, None),
                // It is heard of eight seconds later.
                lasts(ActionState::Done, 9_500, Some(61_500)),
                lasts(ActionState::Reverted, 61_600, Some(61_500)),
                action(2, ActionKind::ShareIndicators, ActionState::Pending, 1_000),
                action(2, ActionKind::ShareIndicators, ActionState::Done, 4_000),
                action(3, ActionKind::RateLimit, ActionState::Withheld, 1_000),
                action(4, ActionKind::RateLimit, ActionState::Pending, 1_000),
                action(4, ActionKind::RateLimit, ActionState::Failed, 7_000),
            ],
        );
        assert_eq!(report.effect, Some(Times { count: 1, p50_ms: 500, p99_ms: 500 }), "{report:?}");
    }

    #[test]
    fn what_a_newer_build_wrote_may_be_the_drills() {
        let wire = Wire::new();
        let told = |payloads| measured(&wire, payloads).unknown.join("; ");
        let mut newer = wire.to_bytes(&Action::default());
        assert!(!told(vec![newer.clone(), b"no record".to_vec()]).contains("a newer build"));
        // The fingerprint of its schema.
        newer[2..10].fill(0x5a);
        let unknown = told(vec![newer]);
        assert!(unknown.contains("1 records were written by a newer build"), "{unknown}");
    }
}
