//! A stage that is simple enough to see through, and a log in memory to run it on: it sums numbers by
//! key and says each new sum.

#![allow(dead_code, clippy::unwrap_used)] // Each test binary uses its part of it, and may fail loudly.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};
use weir_schemas::Judge;
use weir_schemas::wire::Wire;
use weir_topology::clock::MachineClock;
use weir_topology::log::{Commit, Log};
use weir_topology::memory::MemoryLog;
use weir_topology::record::{Output, Records};
use weir_topology::stage::{Batch, Effects, Stage, StateEntry, StateError};
use weir_topology::task::{Pace, Surroundings};
use weir_topology::telemetry::Silent;
use weir_topology::topic::{StageName, TaskId, Topic};

pub const TASK: TaskId = TaskId { stage: StageName::Account, partition: 0 };

/// A number that is none: the key and its sum are forgotten.
pub const FORGET: i64 = -1;

/// Sums the numbers of each key; a control record sets what every number is multiplied by.
pub struct Sums {
    factor: i64,
    /// Whether a sum of zero is said, as any other.
    says_zero: bool,
    sums: BTreeMap<Vec<u8>, i64>,
    changed: BTreeSet<Vec<u8>>,
}

impl Sums {
    pub fn new() -> Box<Self> {
        Self::with_factor(1)
    }

    pub fn with_factor(factor: i64) -> Box<Self> {
        Box::new(Self { factor, says_zero: true, sums: BTreeMap::new(), changed: BTreeSet::new() })
    }

    pub fn silent_at_zero() -> Box<Self> {
        Box::new(Self { says_zero: false, ..*Self::new() })
    }
}

impl Stage for Sums {
    fn name(&self) -> StageName {
        StageName::Account
    }

    fn judge(&self, _: &Batch) -> Judge {
        Judge { version: 1, policy: None, trust: None }
    }

    /// There is one judge of sums.
    fn adopt(&mut self, _: &Batch, _: &[Records]) -> Result<(), StateError> {
        unreachable!("another judge recorded sums");
    }

    fn rejudge(&mut self, _: &Batch) -> (Effects, u64) {
        unreachable!("another judge recorded sums");
    }

    fn step(&mut self, batch: &Batch) -> Effects {
        let mut effects =
            Effects { clock_ms: batch.clock_ms, policy_version: "1".into(), ..Effects::default() };
        for input in &batch.inputs {
            for record in input.records.iter() {
                let text = std::str::from_utf8(record.payload.unwrap()).unwrap();
                effects.clock_ms = effects.clock_ms.max(record.timestamp_ms);
                effects.judged += 1;
                if input.topic == Topic::Control {
                    self.factor = text.parse().unwrap();
                    self.changed.insert(b"!factor".to_vec());
                    continue;
                }
                self.changed.insert(record.key.to_vec());
                if text == FORGET.to_string() {
                    self.sums.remove(record.key);
                    continue;
                }
                let sum = self.sums.entry(record.key.to_vec()).or_default();
                *sum += self.factor * text.parse::<i64>().unwrap();
                if *sum == 0 && !self.says_zero {
                    continue;
                }
                let said = format!("{}={sum}", String::from_utf8_lossy(record.key));
                effects.outputs.push(Output::keyed(Topic::Verdicts, record.key.into(), said.into(), 0));
            }
        }
        effects
    }

    fn state_format(&self) -> i32 {
        1
    }

    fn changed(&self) -> usize {
        self.changed.len()
    }

    fn take_changes(&mut self) -> Vec<StateEntry> {
        let changed = std::mem::take(&mut self.changed);
        let body =
            |key: &[u8]| if key == b"!factor" { Some(self.factor) } else { self.sums.get(key).copied() };
        let entry =
            |key: Vec<u8>| StateEntry { body: body(&key).map(|number| number.to_string().into()), key };
        changed.into_iter().map(entry).collect()
    }

    /// A place is the first byte of a key.
    fn survey(&self, from: u64, entries_max: usize) -> (Vec<StateEntry>, Option<u64>) {
        let entry =
            |key: &[u8], number: i64| StateEntry { key: key.to_vec(), body: Some(number.to_string().into()) };
        let place = |key: &[u8]| u64::from(key[0]);
        let mut rest = self.sums.iter().filter(|(key, _)| place(key) >= from);
        let mut entries: Vec<_> =
            rest.by_ref().take(entries_max).map(|(key, sum)| entry(key, *sum)).collect();
        if from == 0 {
            entries.push(entry(b"!factor", self.factor));
        }
        (entries, rest.next().map(|(key, _)| place(key)))
    }

    fn restore(&mut self, key: &[u8], format: i32, body: &[u8]) -> Result<(), StateError> {
        if format != self.state_format() {
            let key = String::from_utf8_lossy(key).into_owned();
            return Err(StateError::Format { key, found: format, expected: self.state_format() });
        }
        let value = std::str::from_utf8(body).unwrap().parse().unwrap();
        if key == b"!factor" {
            self.factor = value;
        } else {
            self.sums.insert(key.to_vec(), value);
        }
        Ok(())
    }

    fn forget(&mut self, key: &[u8]) {
        self.sums.remove(key);
    }

    fn entries(&self) -> usize {
        self.sums.len()
    }
}

pub fn around(log: Arc<dyn Log>, snapshot_interval: Duration, epoch_records_max: usize) -> Surroundings {
    let epoch_interval = Duration::ZERO;
    let hint_interval = Duration::ZERO;
    let pace =
        Pace { epoch_interval, epoch_records_max, snapshot_interval, hint_interval, ..Pace::default() };
    let wire = Arc::new(Wire::new());
    let (telemetry, clock) = (Arc::new(Silent), Arc::new(MachineClock::default()));
    Surroundings {
        log,
        wire,
        schemas: None,
        telemetry,
        process: "test".into(),
        pace,
        clock,
        before_commit: None,
    }
}

pub fn append<'a>(log: &Arc<MemoryLog>, topic: Topic, records: impl IntoIterator<Item = (&'a str, i64)>) {
    let output = |(key, number): (&str, i64)| {
        let timestamp_ms = 1_000 + number;
        Output::keyed(topic, key.into(), number.to_string().into(), timestamp_ms).in_partition(0)
    };
    let outputs = records.into_iter().map(output).collect();
    log.writer("importer").unwrap().commit(&Commit { outputs, positions: Vec::new() }).unwrap();
}

pub fn said(log: &MemoryLog) -> String {
    let texts = log.all(Topic::Verdicts).into_iter().map(|o| String::from_utf8(o.payload.unwrap()).unwrap());
    texts.collect::<Vec<_>>().join(" ")
}

pub const NEVER: Duration = Duration::from_secs(3600);

/// Waits until something is so; fails after a minute.
pub fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !is_so() {
        assert!(Instant::now() < deadline, "never happened: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
