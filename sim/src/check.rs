//! What must hold of a world at rest, seen from the log alone.

use crate::disk::Disk;
use crate::log::{Kind, Shared, SimLog};
use crate::observe::{Reign, Reigns};
use crate::ways::Ways;
use crate::workload::Workload;
use crate::world::{BUILDS, EXECUTOR, audit_keys};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use weir_enforcer::chain::Verifier;
use weir_enforcer::decide::propose;
use weir_enforcer::export::OutputFile;
use weir_enforcer::stage::{AUDIT_SEQUENCE_HEADER, chain_writer};
use weir_schemas::wire::Wire;
use weir_schemas::{
    AccountId, Action, ActionId, ActionState, Audit, AuditEntry, AuditKind, Campaign, CampaignId,
    CampaignStatus, DeadLetter, Epoch, Event, EventId, Member, Record, Tier, Verdict,
};
use weir_topology::checkpoint::Checkpoint;
use weir_topology::cursor::Cursor;
use weir_topology::error::TaskError;
use weir_topology::key::partition_of;
use weir_topology::record::Output;
use weir_topology::restore::fold_recorded;
use weir_topology::stage::Stage;
use weir_topology::stage::StageFactory;
use weir_topology::topic::{StageName, TaskId, Topic};

/// A record that is visible, with its place and who wrote it.
struct Seen {
    offset: i64,
    writer: String,
    output: Arc<Output>,
}

/// What is checked, and with what.
pub struct Checker<'a> {
    /// The world's log.
    pub store: &'a Shared,
    /// What came from outside.
    pub workload: &'a Workload,
    /// Framing.
    pub wire: &'a Wire,
    /// Stages without any planted bug, by the number of the build.
    pub make_stage: &'a [StageFactory; BUILDS],
    /// Who judged when.
    pub reigns: &'a Reigns,
    /// The disk that the enforcer's files are on.
    pub disk: &'a Disk,
}

impl Checker<'_> {
    /// Checks everything; the error says what does not hold.
    pub fn check(&self) -> Result<Totals, String> {
        let mut totals = Totals::default();
        self.every_line_is_in_the_log_once(&mut totals)?;
        for partition in 0..self.workload.partitions {
            for stage in StageName::FOLDING
                .into_iter()
                .filter(|stage| partition < stage.tasks(self.workload.partitions))
            {
                let task = TaskId { stage, partition };
                self.every_record_was_folded_once(task)?;
                self.folding_again_gives_what_was_written(task, &mut totals)?;
            }
            self.every_verdict_was_said_in_its_turn(partition)?;
            self.enforcer_decided_once(partition, &mut totals)?;
        }
        self.campaigns_are_of_who_has_evidence(&mut totals)?;
        self.files_say_everything_once()?;
        self.whoever_is_acted_on_is_known()?;
        Ok(totals)
    }

    /// The enforcer's files hold a line for every audit record and for every action, each once.
    fn files_say_everything_once(&self) -> Result<(), String> {
        let (mut audits, mut actions) = (BTreeSet::new(), BTreeSet::new());
        for partition in 0..self.workload.partitions {
            for seen in self.visible(Topic::Audit, partition) {
                let entry: AuditEntry = self.read("an audit entry", &seen)?;
                audits.insert(format!("{} {}", entry.writer, entry.sequence));
            }
            for seen in self.visible(Topic::Actions, partition) {
                let action: Action = self.read("an action", &seen)?;
                if matches!(action.state, ActionState::Pending | ActionState::Withheld) {
                    actions.insert(action.action_id.to_string());
                }
            }
        }
        self.file_says(OutputFile::AuditLog, audits, |line| {
            Some(format!("{} {}", line["writer"].as_str()?, line["sequence"].as_i64()?))
        })?;
        self.file_says(OutputFile::EnforcementActions, actions, |line| {
            Some(line["action_id"].as_str()?.into())
        })
    }

    /// Who is to be acted on is known by name, where a collector ever saw an event of theirs.
    fn whoever_is_acted_on_is_known(&self) -> Result<(), String> {
        let mut seen = BTreeSet::new();
        for partition in 0..self.partitions(Topic::Events) {
            let events = self.visible(Topic::Events, partition).into_iter();
            let events = events.filter(|event| event.writer.starts_with("collector/"));
            seen.extend(events.map(|event| String::from_utf8_lossy(&event.output.key).into_owned()));
        }
        let content = self.disk.read(OutputFile::EnforcementActions.name());
        for line in content.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let line: serde_json::Value = serde_json::from_slice(line).map_err(|error| error.to_string())?;
            let acts =
                line["execute"] == true && (line["action"] == "RATE_LIMIT" || line["action"] == "SUSPEND");
            let is_known = line["account_raw"].is_string();
            if acts && !is_known && line["account"].as_str().is_some_and(|account| seen.contains(account)) {
                return Err(format!("nobody knows who is to be acted on: {}", line["account_raw_error"]));
            }
        }
        Ok(())
    }

    fn file_says(
        &self,
        file: OutputFile,
        mut expected: BTreeSet<String>,
        name_of: impl Fn(&serde_json::Value) -> Option<String>,
    ) -> Result<(), String> {
        let content = self.disk.read(file.name());
        for line in content.split_inclusive(|byte| *byte == b'\n') {
            let name = serde_json::from_slice(line).ok().and_then(|line| name_of(&line));
            let name = name.ok_or_else(|| format!("{} has a line that cannot be read", file.name()))?;
            if !expected.remove(&name) {
                return Err(format!("{} says {name} twice, or it is not in the log", file.name()));
            }
        }
        match expected.first() {
            Some(name) => Err(format!("{} does not say {name}", file.name())),
            None => Ok(()),
        }
    }

    fn visible(&self, topic: Topic, partition: u32) -> Vec<Seen> {
        let store = self.store.lock();
        let seen = store.slots(topic, partition).iter().enumerate().filter_map(|(offset, slot)| {
            let Kind::Record(output) = &slot.kind else { return None };
            let writer = store.transaction(slot.transaction).writer.clone();
            Some(Seen { offset: offset as i64, writer, output: output.clone() })
        });
        seen.collect()
    }

    fn partitions(&self, topic: Topic) -> u32 {
        topic.partitions(self.workload.partitions)
    }

    fn read<R: for<'b> Record<'b>>(&self, what: &str, seen: &Seen) -> Result<R, String> {
        let payload = seen.output.payload.as_deref().unwrap_or_default();
        self.wire
            .read(payload)
            .map_err(|error| format!("{what} at offset {} cannot be read: {error}", seen.offset))
    }

    /// Every good line became one event, in the order of its source; every bad one a dead letter.
    fn every_line_is_in_the_log_once(&self, totals: &mut Totals) -> Result<(), String> {
        let mut found: BTreeMap<EventId, u32> = BTreeMap::new();
        let order: BTreeMap<EventId, usize> = self
            .workload
            .sources
            .iter()
            .flat_map(|s| s.events.iter().enumerate().map(|(i, id)| (*id, i)))
            .collect();
        for partition in 0..self.partitions(Topic::Events) {
            let mut last: BTreeMap<String, usize> = BTreeMap::new();
            for seen in self.visible(Topic::Events, partition) {
                if !seen.writer.starts_with("collector/") {
                    continue;
                }
                let payload = seen.output.payload.as_deref().unwrap_or_default();
                let datum = self.wire.datum::<Event<'_>>(payload).map_err(|e| e.to_string())?;
                let event = Event::decode(&datum).map_err(|error| error.to_string())?;
                *found.entry(event.event_id).or_default() += 1;
                let Some(place) = order.get(&event.event_id) else {
                    return Err(format!("event {} is in the log and in no source", event.event_id));
                };
                if last.insert(seen.writer.clone(), *place).is_some_and(|last| last >= *place) {
                    return Err(format!(
                        "event {} is out of its source's order, or twice in the log",
                        event.event_id
                    ));
                }
                totals.events += 1;
            }
        }
        for (id, source) in self.workload.sources.iter().flat_map(|s| s.events.iter().map(move |id| (id, s)))
        {
            let count = found.get(id).copied().unwrap_or(0);
            if count != 1 {
                return Err(format!("event {id} of {} is in the log {count} times", source.name));
            }
        }
        let mut letters = BTreeSet::new();
        for partition in 0..self.partitions(Topic::Dlq) {
            for seen in self.visible(Topic::Dlq, partition) {
                let letter: DeadLetter = self.read("a dead letter", &seen)?;
                totals.dead_letters += 1;
                if !letters.insert((
                    letter.stage.clone(),
                    letter.origin.clone(),
                    letter.partition,
                    letter.offset,
                )) {
                    let (stage, origin, offset) = (letter.stage, letter.origin, letter.offset);
                    return Err(format!("{stage} wrote two dead letters for {origin} offset {offset}"));
                }
            }
        }
        let expected: u64 = self.workload.sources.iter().map(|source| source.refused).sum();
        let of_collectors =
            letters.iter().filter(|(stage, ..)| stage == StageName::Collector.as_str()).count();
        if of_collectors as u64 != expected {
            return Err(format!("{expected} lines cannot be used, and {of_collectors} are dead-lettered"));
        }
        Ok(())
    }

    fn epochs(&self, task: TaskId) -> Result<Vec<Epoch>, String> {
        let name = task.to_string();
        let records = self.visible(Topic::Epochs, task.partition);
        let records = records.iter().filter(|seen| seen.output.key == name.as_bytes());
        records.map(|seen| self.read("an epoch record", seen)).collect()
    }

    /// The ranges of the epochs hold every visible record of every input, and count them rightly.
    fn every_record_was_folded_once(&self, task: TaskId) -> Result<(), String> {
        let epochs = self.epochs(task)?;
        for topic in task.stage.inputs() {
            let partition = task.partition_of(*topic);
            let visible: Vec<i64> = self.visible(*topic, partition).iter().map(|seen| seen.offset).collect();
            let mut next = 0;
            for epoch in &epochs {
                let ranges = epoch.inputs.iter();
                let of_input = |r: &&weir_schemas::InputRange| {
                    r.topic == topic.name() && r.partition == partition as i32
                };
                let Some(range) = ranges.clone().find(of_input) else { continue };
                let inside = visible.iter().filter(|offset| (range.from..range.to).contains(*offset)).count();
                if inside as i64 != range.records {
                    return Err(format!(
                        "{task} epoch {} counts {} records of {topic}/{partition} from {} to {}, and there are {inside}",
                        epoch.epoch, range.records, range.from, range.to
                    ));
                }
                next = range.to;
            }
            if let Some(left) = visible.iter().find(|offset| **offset >= next) {
                return Err(format!("{task} never folded {topic}/{partition} offset {left}"));
            }
        }
        Ok(())
    }

    /// Whoever reads all that was said of campaigns knows their members: accounts whose own evidence stands
    /// as it was last told, each in one campaign.
    fn campaigns_are_of_who_has_evidence(&self, totals: &mut Totals) -> Result<(), String> {
        let mut open: BTreeMap<CampaignId, BTreeSet<AccountId>> = BTreeMap::new();
        for seen in self.visible(Topic::Campaigns, 0) {
            let campaign: Campaign = self.read("a campaign", &seen)?;
            totals.campaigns += 1;
            let members = open.entry(campaign.campaign_id).or_default();
            members.extend(campaign.members.iter().map(|member| member.account));
            members.retain(|account| !campaign.left.contains(account));
            if campaign.status == CampaignStatus::Closed {
                open.remove(&campaign.campaign_id);
            }
        }
        let mut last: BTreeMap<AccountId, Member> = BTreeMap::new();
        for seen in self.visible(Topic::Members, 0).iter().filter(|seen| seen.writer.starts_with("account/"))
        {
            let member: Member = self.read("a member", seen)?;
            last.insert(member.account, member);
        }
        let mut seen = BTreeSet::new();
        for (campaign, members) in &open {
            for account in members {
                let has_evidence = |member: &Member| member.tier != Tier::Clear && !member.links.is_empty();
                if !last.get(account).is_some_and(has_evidence) {
                    return Err(format!(
                        "{account} has no evidence of its own and is a member of {campaign}"
                    ));
                }
                if !seen.insert(*account) {
                    return Err(format!("{account} is a member of {campaign} and of another campaign"));
                }
            }
        }
        Ok(())
    }

    /// The verdicts of an account are its first, second, third …, whoever judged: none is lost, none is
    /// doubled. An account that was forgotten begins anew.
    fn every_verdict_was_said_in_its_turn(&self, partition: u32) -> Result<(), String> {
        let mut last: BTreeMap<AccountId, i64> = BTreeMap::new();
        for seen in self.visible(Topic::Verdicts, partition) {
            if !seen.writer.starts_with("account/") {
                continue;
            }
            let verdict: Verdict = self.read("a verdict", &seen)?;
            let before = last.insert(verdict.account, verdict.sequence).unwrap_or(0);
            if verdict.sequence != before + 1 && verdict.sequence != 1 {
                return Err(format!(
                    "verdict {} on {} in epoch {} follows on verdict {before}",
                    verdict.sequence, verdict.account, verdict.epoch
                ));
            }
        }
        Ok(())
    }

    /// Every judge's stage, folded again as recorded, writes the very records that are in the log.
    fn folding_again_gives_what_was_written(&self, task: TaskId, totals: &mut Totals) -> Result<(), String> {
        let adopted = self.epochs(task)?.iter().filter(|epoch| epoch.adopted.is_some()).count();
        let stages = StageName::FOLDING.iter().zip(&mut totals.adoptions);
        stages.filter(|(stage, _)| **stage == task.stage).for_each(|(_, total)| *total += adopted as u64);
        let mut again: BTreeMap<(Topic, u32), Vec<Output>> = BTreeMap::new();
        let reigns = self.reigns.get(&task).map_or(&[][..], Vec::as_slice);
        for (index, reign) in reigns.iter().enumerate() {
            let next = reigns.get(index + 1).map_or(i64::MAX, |next| next.first);
            self.fold_reign(task, reign, next, &mut again, totals)?;
        }
        self.written_is(task, again)
    }

    /// Folds what one judge recorded, up to the epoch with which the `next` begins.
    fn fold_reign(
        &self,
        task: TaskId,
        reign: &Reign,
        next: i64,
        again: &mut BTreeMap<(Topic, u32), Vec<Output>>,
        totals: &mut Totals,
    ) -> Result<(), String> {
        let make_stage = &self.make_stage[usize::from(reign.version > 1_000)];
        let log = SimLog::new(self.store, usize::MAX);
        let shared = self.workload.partitions;
        let fold = |stage: &mut dyn Stage, from: Cursor, each: &mut dyn FnMut(&[Output])| {
            let ends = || TaskError::Gap { task, expected: next, found: next };
            let folded = fold_recorded(task, stage, &log, self.wire, from, |folded| {
                let number = folded.epoch.epoch;
                match folded.effects {
                    _ if number >= next => return Err(ends()),
                    Some(effects) if number >= reign.first => each(&effects.outputs),
                    _ => {}
                }
                Ok(())
            });
            match folded {
                Err(TaskError::OtherJudge { epoch, .. }) if epoch >= next => Ok(()),
                Err(error) if error == ends() => Ok(()),
                other => other.map(drop),
            }
        };
        let mut stage = make_stage(task);
        let format = stage.state_format();
        for (key, body) in &reign.from.state {
            let restored = stage.restore(key, format, body);
            restored.map_err(|error| format!("{task} before epoch {}: {error}", reign.first))?;
        }
        let folded = fold(stage.as_mut(), reign.from.cursor.clone(), &mut |outputs| {
            for output in outputs {
                let of_key = || partition_of(&output.key, output.topic.partitions(shared));
                let place = (output.topic, output.partition.unwrap_or_else(of_key));
                again.entry(place).or_default().push(output.clone());
            }
        });
        folded.map_err(|error| format!("{task} cannot be folded again: {error}"))?;
        // Folded on from each of the judge's checkpoints, the stage comes to the same state as from the
        // judge's beginning.
        let expected = state_of(stage.as_ref());
        let checkpoints = Checkpoint::all(task, &log, self.wire);
        let checkpoints = checkpoints.map_err(|error| format!("a checkpoint of {task}: {error}"))?;
        let own = |checkpoint: &&Checkpoint| (reign.first..next).contains(&checkpoint.cursor.epoch);
        for checkpoint in checkpoints.iter().filter(own) {
            let place =
                || format!("{task} folded on from its checkpoint after epoch {}", checkpoint.cursor.epoch);
            let mut stage = make_stage(task);
            let folded = checkpoint.load(stage.as_mut(), &log, self.wire);
            let folded = folded.and_then(|()| fold(stage.as_mut(), checkpoint.cursor.clone(), &mut |_| {}));
            folded.map_err(|error| format!("{}: {error}", place()))?;
            if state_of(stage.as_ref()) != expected {
                return Err(format!("{} comes to another state", place()));
            }
            totals.checkpoints += 1;
        }
        Ok(())
    }

    /// What a task wrote is what came out when it was folded again.
    fn written_is(&self, task: TaskId, mut again: BTreeMap<(Topic, u32), Vec<Output>>) -> Result<(), String> {
        let name = task.to_string();
        for topic in StageName::FOLDING
            .iter()
            .flat_map(|stage| stage.outputs())
            .filter(|topic| !topic.is_compacted())
            .collect::<BTreeSet<_>>()
        {
            let topic = *topic;
            for partition in 0..self.partitions(topic) {
                let written = self.visible(topic, partition);
                let mut written = written.iter().filter(|seen| seen.writer == name);
                for (number, output) in
                    again.remove(&(topic, partition)).unwrap_or_default().iter().enumerate()
                {
                    let found = written.next();
                    if found.is_none_or(|found| *found.output != *output) {
                        let place =
                            found.map_or("missing".into(), |found| format!("offset {}", found.offset));
                        return Err(format!(
                            "{task} folded again writes another record {number} to {topic}/{partition} ({place})"
                        ));
                    }
                }
                if let Some(more) = written.next() {
                    return Err(format!(
                        "{topic}/{partition} offset {} of {task} does not come out when it is folded again",
                        more.offset
                    ));
                }
            }
        }
        Ok(())
    }

    /// Each verdict was decided once, written down before anything was done, in an unbroken chain; and
    /// nothing was done in audit posture.
    fn enforcer_decided_once(&self, partition: u32, totals: &mut Totals) -> Result<(), String> {
        let audits = self.visible(Topic::Audit, partition);
        let entries: Vec<AuditEntry> =
            audits.iter().map(|seen| self.read("an audit entry", seen)).collect::<Result<_, _>>()?;
        let public = audit_keys().public();
        let mut verifier = Verifier::new(&public);
        entries.iter().for_each(|entry| verifier.entry(entry));
        let report = verifier.finish();
        if let Some(found) = report.breaks.first() {
            return Err(format!("the chain of {}: {found}", chain_writer(partition)));
        }
        totals.audits += report.entries;
        let records = entries.iter().map(|entry| self.wire.read::<Audit>(&entry.record));
        let audits: Vec<Audit> = records.collect::<Result<_, _>>().map_err(|error| error.to_string())?;
        let mut decisions: BTreeMap<_, Vec<&Audit>> = BTreeMap::new();
        for audit in audits.iter().filter(|audit| audit.kind == AuditKind::Decision) {
            decisions.entry(audit.verdict_id).or_default().push(audit);
        }
        let mut wanted: BTreeMap<ActionId, &'static str> = BTreeMap::new();
        for seen in self.visible(Topic::Verdicts, partition) {
            if !seen.writer.starts_with("account/") {
                continue;
            }
            let verdict: Verdict = self.read("a verdict", &seen)?;
            totals.verdicts += 1;
            // Nobody reviews in a simulation.
            let proposals = propose(&verdict, false);
            let taken = decisions.remove(&Some(verdict.verdict_id)).unwrap_or_default();
            if taken.len() != proposals.len().max(1) {
                let (id, count, expected) = (verdict.verdict_id, taken.len(), proposals.len().max(1));
                return Err(format!("verdict {id} has {count} decisions, and asks for {expected}"));
            }
            for proposal in proposals {
                let id = ActionId::of(verdict.verdict_id, proposal.kind);
                if wanted.insert(id, "decided").is_some() {
                    return Err(format!("action {id} is decided twice"));
                }
            }
        }
        if let Some((verdict, _)) = decisions.first_key_value() {
            return Err(format!("a decision is about a verdict that is not in the log: {verdict:?}"));
        }
        let mut ways = Ways::default();
        for seen in self.visible(Topic::Actions, partition) {
            let action: Action = self.read("an action", &seen)?;
            let id = action.action_id;
            let header = seen.output.headers.iter().find(|(name, _)| *name == AUDIT_SEQUENCE_HEADER);
            let sequence = header.and_then(|(_, value)| std::str::from_utf8(value).ok()?.parse::<i64>().ok());
            let record = sequence.and_then(|sequence| audits.get(sequence.checked_sub(1)? as usize));
            let is_decision = matches!(action.state, ActionState::Pending | ActionState::Withheld);
            if record.is_none_or(|record| {
                record.action_id != Some(id)
                    || (record.kind == AuditKind::Decision) != is_decision
                    || (is_decision && record.posture != action.posture)
            }) {
                return Err(format!("action {id} names an audit record that is not its own"));
            }
            if is_decision {
                totals.actions += 1;
                if wanted.remove(&id).is_none() {
                    return Err(format!("action {id} is there twice, or nobody decided it"));
                }
            } else {
                totals.transitions += 1;
            }
            totals.pending += u64::from(action.state == ActionState::Pending);
            ways.take(action)?;
        }
        if let Some((id, _)) = wanted.first_key_value() {
            return Err(format!("action {id} was decided and is not in the log"));
        }
        let outcomes = self.visible(Topic::Outcomes, partition);
        let outcomes = outcomes.iter().filter(|seen| seen.writer == EXECUTOR);
        let outcomes = outcomes.map(|seen| self.read("an outcome", seen)).collect::<Result<Vec<_>, _>>()?;
        ways.every_answer_is_there_once(outcomes)?;
        let standings = self.visible(Topic::Standing, partition);
        let standings =
            standings.iter().map(|seen| self.read("a standing", seen)).collect::<Result<Vec<_>, _>>()?;
        totals.standings += standings.len() as u64;
        ways.standings_are_what_is_in_effect(standings)
    }
}

/// All of a stage's state, by key.
fn state_of(stage: &dyn Stage) -> BTreeMap<Vec<u8>, Option<Vec<u8>>> {
    let (mut state, mut next) = (BTreeMap::new(), Some(0));
    while let Some(from) = next {
        let (entries, rest) = stage.survey(from, 100);
        state.extend(entries.into_iter().map(|entry| (entry.key, entry.body)));
        next = rest;
    }
    state
}

/// What a world came to.
#[derive(Debug, Clone, Copy, Default)]
pub struct Totals {
    /// Events that collectors wrote.
    pub events: u64,
    /// Verdicts.
    pub verdicts: u64,
    /// Records of campaigns.
    pub campaigns: u64,
    /// Actions.
    pub actions: u64,
    /// Actions that are to be carried out.
    pub pending: u64,
    /// Transitions of actions after their decision.
    pub transitions: u64,
    /// Accounts of which it is told how they stand at the end.
    pub standings: u64,
    /// Audit records.
    pub audits: u64,
    /// Dead letters.
    pub dead_letters: u64,
    /// Checkpoints.
    pub checkpoints: u64,
    /// Times that a task took over what another judge had recorded, by [stage](StageName::FOLDING).
    pub adoptions: [u64; StageName::FOLDING.len()],
}
