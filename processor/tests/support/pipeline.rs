//! The three stages on any number of partitions, epochs cut by time, feedback in the next epoch.

use super::scenario::{Arrival, START_MS};
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use weir_processor::account::AccountStage;
use weir_processor::campaign::CampaignStage;
use weir_processor::cluster::ClusterStage;
use weir_processor::policy::Policy;
use weir_schemas::wire::Wire;
use weir_schemas::{AccountId, Campaign, CampaignId, CampaignStatus, Verdict};
use weir_topology::key::partition_of;
use weir_topology::record::{Output, Records};
use weir_topology::stage::{Batch, InputBatch, Stage, Tally};
use weir_topology::topic::Topic;

/// How the same events are run.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    pub partitions: u32,
    /// An epoch takes at most so many events, and after each every task is killed and comes back
    /// from its state topic.
    pub restart_every: Option<usize>,
}

pub const STRAIGHT: Shape = Shape { partitions: 1, restart_every: None };

const EPOCH_MS: i64 = 60_000;

/// A task: its stage, and what its compacted state topic holds.
struct Task {
    make: Box<dyn Fn() -> Box<dyn Stage>>,
    stage: Box<dyn Stage>,
    state: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Task {
    fn new(make: impl Fn() -> Box<dyn Stage> + 'static) -> Self {
        Self { stage: make(), make: Box::new(make), state: BTreeMap::new() }
    }

    fn restart(&mut self) {
        for entry in self.stage.take_changes() {
            match entry.body {
                Some(body) => drop(self.state.insert(entry.key, body)),
                None => drop(self.state.remove(&entry.key)),
            }
        }
        self.stage = (self.make)();
        let format = self.stage.state_format();
        for (key, body) in &self.state {
            self.stage.restore(key, format, body).unwrap();
        }
    }
}

/// What a run came to.
#[derive(Debug, Default)]
pub struct Run {
    pub verdicts: Vec<Verdict>,
    pub events_judged: u64,
    pub dead_letters: usize,
    pub links: usize,
    pub clusters: usize,
    /// Members of each campaign that is open in the end.
    pub campaigns: BTreeMap<CampaignId, BTreeSet<AccountId>>,
    /// What was said of campaigns, in order.
    pub said: Vec<Campaign>,
    pub tallies: BTreeMap<Tally, u64>,
    /// Over every record that a stage wrote, and over all of their state in the end.
    pub sha: Sha256,
}

/// Runs events by a policy.
pub fn run(policy: &Policy, arrivals: &[Arrival], shape: Shape) -> Run {
    let (wire, policy) = (Arc::new(Wire::new()), Arc::new(policy.clone()));
    let tasks = |make: fn(Arc<Wire>, Arc<Policy>) -> Box<dyn Stage>| -> Vec<Task> {
        let one = || {
            let (wire, policy) = (wire.clone(), policy.clone());
            Task::new(move || make(wire.clone(), policy.clone()))
        };
        (0..shape.partitions).map(|_| one()).collect()
    };
    let mut accounts = tasks(|wire, policy| Box::new(AccountStage::new(wire, policy)));
    let mut values = tasks(|wire, policy| Box::new(ClusterStage::new(wire, policy)));
    let mut assembly = tasks(|wire, policy| Box::new(CampaignStage::new(wire, policy))).remove(0);
    let (mut run, mut feedback, mut epoch, mut at) = (Run::default(), Vec::new(), 0, 0);
    while at < arrivals.len() || !feedback.is_empty() {
        let start_ms = START_MS + epoch * EPOCH_MS;
        epoch += 1;
        let upto = at + arrivals[at..].partition_point(|arrival| arrival.arrival_ms < start_ms + EPOCH_MS);
        let (mut links, mut members) = (Vec::new(), Vec::new());
        let events = &arrivals[at..upto];
        let chunks: Vec<&[Arrival]> = match shape.restart_every {
            Some(every) if !events.is_empty() => events.chunks(every).collect(),
            _ => vec![events],
        };
        for chunk in chunks {
            let records = chunk.iter().map(|arrival| (arrival.account.to_key(), &arrival.payload));
            let events = split(records, shape.partitions);
            let told = std::mem::take(&mut feedback);
            let told = split(told.iter().map(|o: &Output| (o.key.clone(), payload(o))), shape.partitions);
            for (partition, (events, told)) in events.into_iter().zip(told).enumerate() {
                let count = events.len() as u64;
                let inputs = vec![(Topic::Clusters, told), (Topic::Events, events)];
                let outputs = step(&mut accounts[partition], epoch, start_ms, partition, inputs, &mut run);
                run.events_judged += count;
                for output in outputs {
                    match output.topic {
                        Topic::Links => links.push(output),
                        Topic::Members => members.push(output),
                        Topic::Verdicts => run.verdicts.push(wire.read(payload(&output)).unwrap()),
                        _ => run.dead_letters += 1,
                    }
                }
            }
            if shape.restart_every.is_some() {
                accounts.iter_mut().for_each(Task::restart);
            }
        }
        at = upto;
        run.links += links.len();
        in_order(&mut links);
        let links = split(links.iter().map(|o| (o.key.clone(), payload(o))), shape.partitions);
        let mut answers = Vec::new();
        for (partition, links) in links.into_iter().enumerate() {
            let inputs = vec![(Topic::Links, links)];
            answers.extend(step(&mut values[partition], epoch, start_ms, partition, inputs, &mut run));
        }
        if shape.restart_every.is_some() {
            values.iter_mut().for_each(Task::restart);
        }
        if !members.is_empty() {
            // Those of one account stay in their order, whichever partition they came from.
            members.sort_by(|one: &Output, other| one.key.cmp(&other.key));
            let members = split(members.iter().map(|o| (o.key.clone(), payload(o))), 1).remove(0);
            let inputs = vec![(Topic::Members, members)];
            for output in step(&mut assembly, epoch, start_ms, 0, inputs, &mut run) {
                run.said.push(wire.read(payload(&output)).unwrap());
            }
        }
        if shape.restart_every.is_some() {
            assembly.restart();
        }
        run.clusters += answers.len();
        in_order(&mut answers);
        feedback = answers;
    }
    let tasks = accounts.iter_mut().chain(&mut values).chain([&mut assembly]);
    for entry in tasks.flat_map(|task| task.stage.take_changes()) {
        run.sha.update(&entry.key);
        run.sha.update(entry.body.unwrap_or_default());
    }
    // Their place in the log is the one thing that a layout may change.
    for verdict in &mut run.verdicts {
        (verdict.epoch, verdict.partition) = (0, 0);
    }
    run.verdicts.sort_by_key(|verdict| (verdict.account, verdict.sequence));
    run.campaigns = open(&run.said);
    run
}

/// Who is a member of which campaign in the end.
fn open(said: &[Campaign]) -> BTreeMap<CampaignId, BTreeSet<AccountId>> {
    let mut open: BTreeMap<CampaignId, BTreeSet<AccountId>> = BTreeMap::new();
    for campaign in said {
        let members = open.entry(campaign.campaign_id).or_default();
        members.extend(campaign.members.iter().map(|member| member.account));
        members.retain(|account| !campaign.left.contains(account));
        match campaign.status {
            CampaignStatus::Open => assert_eq!(members.len() as i64, campaign.member_count),
            CampaignStatus::Closed => drop(open.remove(&campaign.campaign_id)),
        }
    }
    open
}

fn payload(output: &Output) -> &Vec<u8> {
    output.payload.as_ref().unwrap()
}

/// One canonical order, whichever partitions the records came from.
fn in_order(outputs: &mut [Output]) {
    outputs.sort_by(|one, other| {
        (one.timestamp_ms, &one.key, payload(one)).cmp(&(other.timestamp_ms, &other.key, payload(other)))
    });
}

fn split<'a>(records: impl Iterator<Item = (Vec<u8>, &'a Vec<u8>)>, partitions: u32) -> Vec<Records> {
    let mut split = vec![Records::default(); partitions as usize];
    for (offset, (key, payload)) in records.enumerate() {
        split[partition_of(&key, partitions) as usize].push(offset as i64, 0, &key, Some(payload), []);
    }
    split
}

fn step(
    task: &mut Task,
    epoch: i64,
    clock_ms: i64,
    partition: usize,
    inputs: Vec<(Topic, Records)>,
    run: &mut Run,
) -> Vec<Output> {
    let partition = partition as u32;
    let inputs =
        inputs.into_iter().map(|(topic, records)| InputBatch { topic, partition, records }).collect();
    let effects = task.stage.step(&Batch { epoch, partition, clock_ms, taken_ms: None, inputs });
    for output in &effects.outputs {
        run.sha.update(format!("{} {} {}\n", output.topic, output.timestamp_ms, output.key.len()));
        run.sha.update(&output.key);
        run.sha.update(payload(output));
    }
    for (tally, count) in effects.tallies {
        *run.tallies.entry(tally).or_default() += count;
    }
    effects.outputs
}
