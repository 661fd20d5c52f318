//! What the tests of proofs share: a small deployment on the log in memory, and logs that are like
//! another but for what a test changes.

#![allow(dead_code, clippy::unwrap_used)] // Each test binary uses its part of it.

use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use weir_processor::account::AccountStage;
use weir_processor::campaign::CampaignStage;
use weir_processor::cluster::ClusterStage;
use weir_processor::policy::Policy;
use weir_schemas::wire::Wire;
use weir_schemas::{
    AccountId, Body, Control, ControlKind, Event, EventId, PromptFeatures, Request, ValueHash,
};
use weir_topology::clock::MachineClock;
use weir_topology::log::{Commit, Log, LogError, Position, Reader, Writer};
use weir_topology::memory::MemoryLog;
use weir_topology::record::Output;
use weir_topology::stage::Stage;
use weir_topology::stage::StageFactory;
use weir_topology::task::{Pace, Surroundings, Task};
use weir_topology::telemetry::Silent;
use weir_topology::topic::{StageName, TaskId, Topic};

pub const START_MS: i64 = 1_793_491_200_000;
pub const PARTITIONS: u32 = 3;

pub fn wire() -> Arc<Wire> {
    Arc::new(Wire::new())
}

pub fn stages() -> StageFactory {
    stages_with(eager())
}

/// The builtin policy, but everybody is suspected from the first event on: few events make verdicts, and more
/// of them as the evidence grows.
pub fn eager() -> Policy {
    let text = Policy::builtin_text();
    let eager = text
        .replace("prior_nats = -6.75", "prior_nats = 1.0")
        .replace("alone_nats = 13.8", "alone_nats = 0.0");
    Policy::parse(&eager).unwrap()
}

pub fn stages_with(policy: Policy) -> StageFactory {
    let (wire, policy) = (wire(), Arc::new(policy));
    Arc::new(move |task| -> Box<dyn Stage> {
        match task.stage {
            StageName::Cluster => Box::new(ClusterStage::new(wire.clone(), policy.clone())),
            StageName::Campaign => Box::new(CampaignStage::new(wire.clone(), policy.clone())),
            _ => Box::new(AccountStage::new(wire.clone(), policy.clone())),
        }
    })
}

fn hash16(text: &str) -> [u8; 16] {
    let digest: [u8; 32] = Sha256::digest(text).into();
    *digest.first_chunk().unwrap()
}

/// A request of an account that elicits reasoning and shares a payment method with others.
pub fn event(account: &str, number: i64) -> Output {
    let id = AccountId(hash16(account));
    let text = format!("{account} {number}");
    let event = Event {
        event_id: EventId(hash16(&text)),
        time_ms: START_MS + number * 2_000,
        observed_ms: START_MS + number * 2_000,
        tenant: "acme",
        account: id,
        sample_weight: 1,
        sampling: 1,
        body: Body::Request(Request {
            prompt: Some(PromptFeatures {
                text_hash: ValueHash(hash16(&text)),
                template_hash: ValueHash(hash16("reason")),
                head_hash: ValueHash(hash16("reason")),
                phrases: 1,
                ..PromptFeatures::default()
            }),
            payment: Some(ValueHash(hash16("card"))),
            max_tokens: Some(4_096),
            ..Request::default()
        }),
        ..Event::default()
    };
    Output::keyed(Topic::Events, id.to_key(), wire().to_bytes(&event), event.time_ms)
}

/// What no stage can read, in partition 1 of the events.
pub fn poison(number: i64) -> Output {
    let payload = format!("poison {number}").into_bytes();
    Output::keyed(Topic::Events, b"somebody".to_vec(), payload, START_MS + number).in_partition(1)
}

/// An operator's word that puts a policy in force.
pub fn published(text: String) -> Output {
    let control = Control {
        name: "policy".into(),
        kind: ControlKind::Policy,
        version: "1".into(),
        author: "operator".into(),
        time_ms: START_MS,
        body: text,
    };
    Output::keyed(Topic::Control, b"policy".to_vec(), wire().to_bytes(&control), START_MS)
}

pub fn put(log: &dyn Log, outputs: Vec<Output>) {
    log.writer("importer").unwrap().commit(&Commit { outputs, positions: Vec::new() }).unwrap();
}

/// Forty requests of each of six accounts that share a payment method.
pub fn campaign() -> Vec<Output> {
    (0..40)
        .flat_map(|number| (0..6).map(move |account| event(&format!("account {account}"), number)))
        .collect()
}

/// Judges everything that is there, in epochs of at most 25 records.
pub fn judge(log: &Arc<MemoryLog>) {
    // Longer than all of event time.
    judge_with_checkpoints(log, Duration::from_hours(1_000_000));
}

/// The same with checkpoints, an account with each epoch.
pub fn judge_with_checkpoints(log: &Arc<MemoryLog>, checkpoint_interval: Duration) {
    let pace = Pace {
        epoch_interval: Duration::ZERO,
        epoch_records_max: 25,
        snapshot_interval: Duration::from_secs(3600),
        hint_interval: Duration::ZERO,
        checkpoint_interval,
        checkpoint_entries_max: 1,
    };
    let around = Surroundings {
        log: log.clone(),
        wire: wire(),
        schemas: None,
        telemetry: Arc::new(Silent),
        clock: Arc::new(MachineClock::default()),
        process: "test".into(),
        pace,
        before_commit: None,
    };
    let make = stages();
    let ids = StageName::JUDGING
        .into_iter()
        .flat_map(|stage| (0..stage.tasks(PARTITIONS)).map(move |partition| TaskId { stage, partition }));
    let open = |id| Task::open(id, make(id), around.clone(), Arc::default()).unwrap();
    let mut tasks: Vec<Task> = ids.map(open).collect();
    loop {
        let mut moved = false;
        for task in &mut tasks {
            while task.run_epoch(Duration::ZERO).unwrap() {
                moved = true;
            }
        }
        if !moved {
            break;
        }
    }
    tasks.into_iter().for_each(|task| task.close().unwrap());
}

/// A log in which a campaign and two bad records were judged.
pub fn judged() -> Arc<MemoryLog> {
    let log = MemoryLog::new(PARTITIONS);
    let mut events = campaign();
    events.insert(100, poison(1));
    events.insert(200, poison(2));
    put(log.as_ref(), events);
    judge(&log);
    log
}

/// A copy of a log in which each record is as `edit` leaves it, or is left out where it says so.
/// `edit` is told the record's place.
pub fn copy_of(log: &MemoryLog, mut edit: impl FnMut(Topic, usize, &mut Output) -> bool) -> Arc<MemoryLog> {
    let copy = MemoryLog::new(PARTITIONS);
    for topic in Topic::ALL.iter().copied() {
        let mut outputs = Vec::new();
        for (index, mut output) in log.all(topic).into_iter().enumerate() {
            if edit(topic, index, &mut output) {
                outputs.push(output);
            }
        }
        put(copy.as_ref(), outputs);
    }
    copy
}

/// The same log after the retention of some partitions has passed.
pub struct Trimmed {
    pub log: Arc<MemoryLog>,
    pub first: BTreeMap<(Topic, u32), i64>,
}

impl Trimmed {
    pub fn new(log: &Arc<MemoryLog>, topic: Topic, partition: u32, first: i64) -> Self {
        Self { log: log.clone(), first: [((topic, partition), first)].into() }
    }
}

impl Log for Trimmed {
    fn partitions(&self, topic: Topic) -> Result<u32, LogError> {
        self.log.partitions(topic)
    }

    fn bounds(&self, topic: Topic, partition: u32) -> Result<(i64, i64), LogError> {
        let (first, end) = self.log.bounds(topic, partition)?;
        Ok((self.first.get(&(topic, partition)).copied().unwrap_or(first), end))
    }

    fn reader(&self, from: &[Position]) -> Result<Box<dyn Reader>, LogError> {
        let mut kept = from.to_vec();
        for position in &mut kept {
            let first = self.bounds(position.topic, position.partition)?.0;
            if position.next > 0 && position.next < first {
                let (topic, partition) = (position.topic.name(), position.partition);
                return Err(LogError::Gone { topic, partition, wanted: position.next, first });
            }
            position.next = position.next.max(first);
        }
        self.log.reader(&kept)
    }

    fn writer(&self, name: &str) -> Result<Box<dyn Writer>, LogError> {
        self.log.writer(name)
    }
}
