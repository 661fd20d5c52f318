//! The cluster stage: judges one shared value at a time.
//!
//! A link says that an account shares a value, and what the account does. The stage holds the cards of those
//! who share the value against each other. At the end of an epoch it tells members how many do what they do
//! and how many would by chance, if that changed, whether they linked or others did: what an account was told
//! last depends on the latest cards of all, not on how epochs were cut. Nobody's suspicion goes in: a group
//! is judged by how improbably alike its members are. No value knows of another; a value that a million
//! accounts share takes as much memory as one of 65.

mod members;
mod pairs;
mod sketch;
pub mod value;

use crate::account::{check_time, load_whole, restore_entry};
use crate::in_force::InForce;
use crate::limits::{EVICTION_GRACE_MS, VALUES_MAX};
use crate::persist::saved;
use crate::policy::Policy;
use crate::refuse::{Refusal, Tallies, dead_letter, note};
use crate::store::Store;
use crate::version::{JudgeHook, judge_of};
use std::collections::BTreeMap;
use std::sync::Arc;
use value::{Linkers, Value};
use weir_schemas::bundle::Trust;
use weir_schemas::wire::Wire;
use weir_schemas::{AccountId, Cluster, Judge, Link, LinkKind, ValueHash};
use weir_topology::record::{Output, RecordRef, Records};
use weir_topology::stage::{Batch, Effects, Stage, StateEntry, StateError, Tally};
use weir_topology::topic::{StageName, Topic};

/// Version of the encoding of value entries.
pub const STATE_FORMAT: i32 = 5;

/// A shared value: its kind's place in the schema, and its hash.
type ValueKey = (u8, ValueHash);

/// The cluster stage of one task.
pub struct ClusterStage {
    wire: Arc<Wire>,
    policy: InForce,
    values: Store<ValueKey, Value>,
    values_max: usize,
    hook: JudgeHook,
}

impl ClusterStage {
    /// A stage without values, judging by `policy` until another is published.
    pub fn new(wire: Arc<Wire>, policy: Arc<Policy>) -> Self {
        let (values, values_max, hook) = (Store::default(), VALUES_MAX, JudgeHook::default());
        Self { wire, policy: InForce::new(policy), values, values_max, hook }
    }

    /// The same stage where only policies come in force that `trust` admits.
    pub fn trusting(self, trust: Option<Arc<Trust>>) -> Self {
        Self { policy: self.policy.trusting(trust), ..self }
    }

    /// The same stage with another judge, in a test.
    #[cfg(feature = "planted")]
    pub fn judged_by(self, hook: JudgeHook) -> Self {
        Self { hook, ..self }
    }

    /// The same stage with another cap on values; beyond it the longest idle are forgotten at the end
    /// of an epoch.
    pub fn with_values_max(mut self, values_max: usize) -> Self {
        self.values_max = values_max.max(1);
        self
    }

    fn link(
        &mut self,
        record: RecordRef<'_>,
        clock_ms: &mut i64,
        linked: &mut BTreeMap<ValueKey, Linkers>,
        tallies: &mut Tallies,
    ) -> Result<(), Refusal> {
        let link: Link = self.wire.read(record.payload.unwrap_or_default())?;
        if parse_key(record.key) != Some((link.kind as u8, link.value)) {
            return Err(Refusal::impossible("the record's key is not its value"));
        }
        if link.account == AccountId::default() {
            return Err(Refusal::impossible("the account id is zero"));
        }
        check_time(link.time_ms)?;
        *clock_ms = (*clock_ms).max(link.time_ms);
        let horizon_ms = self.policy.value_horizon_ms();
        let key = (link.kind as u8, link.value);
        let value = self.values.change_or_insert(key, || Value::new(link.time_ms));
        if value.is_idle_at(link.time_ms, horizon_ms) {
            *value = Value::new(link.time_ms);
            tallies.add(Tally::Expired, 1);
        }
        value.take(link, linked.entry(key).or_default());
        Ok(())
    }

    /// What is told at the end of an epoch in which these values were linked to.
    fn answer(
        &mut self,
        linked: &BTreeMap<ValueKey, Linkers>,
        outputs: &mut Vec<Output>,
        tallies: &mut Tallies,
    ) {
        for ((kind, value), linkers) in linked {
            let Some(known) = self.values.change((*kind, *value)) else { continue };
            let (words, skipped) = known.answer(kind_of(*kind), *value, linkers);
            tallies.add(Tally::FanOutSkipped, skipped);
            for word in words {
                let payload = self.wire.to_bytes::<Cluster>(&word);
                outputs.push(Output::keyed(Topic::Clusters, word.account.to_key(), payload, word.time_ms));
            }
        }
    }
}

/// The key of a link: `PAYMENT/0123…`.
fn parse_key(key: &[u8]) -> Option<ValueKey> {
    let slash = key.iter().position(|byte| *byte == b'/')?;
    let kind = LinkKind::ALL.iter().find(|kind| kind.as_str().as_bytes() == &key[..slash])?;
    Some((*kind as u8, ValueHash::from_key(&key[slash + 1..]).ok()?))
}

fn kind_of(kind: u8) -> LinkKind {
    LinkKind::ALL.get(usize::from(kind)).copied().unwrap_or_default()
}

fn to_key((kind, value): ValueKey) -> Vec<u8> {
    format!("{}/{value}", kind_of(kind)).into_bytes()
}

impl Stage for ClusterStage {
    fn name(&self) -> StageName {
        StageName::Cluster
    }

    fn judge(&self, batch: &Batch) -> Judge {
        judge_of(self.hook, &self.wire, &self.policy, batch)
    }

    fn step(&mut self, batch: &Batch) -> Effects {
        let mut effects = Effects { clock_ms: batch.clock_ms, ..Effects::default() };
        let (mut tallies, mut linked) = (Tallies::default(), BTreeMap::new());
        let limit_ms = batch.clock_ms.saturating_sub(self.policy.value_horizon_ms() + EVICTION_GRACE_MS);
        tallies.add(Tally::Expired, self.values.expire(limit_ms));
        for input in &batch.inputs {
            for record in input.records.iter() {
                let folded = match input.topic {
                    Topic::Control => {
                        self.policy.follow(&self.wire, record, &mut tallies);
                        Ok(())
                    }
                    Topic::Links => self.link(record, &mut effects.clock_ms, &mut linked, &mut tallies),
                    _ => Err(Refusal::impossible("the cluster stage does not read this topic")),
                };
                note(&mut effects, folded, |refusal| {
                    dead_letter(&self.wire, StageName::Cluster, input, record, refusal)
                });
            }
        }
        self.answer(&linked, &mut effects.outputs, &mut tallies);
        tallies.add(Tally::EvictedByCap, self.values.evict_to(self.values_max));
        effects.policy_version = self.policy.version.clone();
        effects.tallies = tallies.counted();
        effects
    }

    fn adopt(&mut self, batch: &Batch, _: &[Records]) -> Result<(), StateError> {
        // What was told of a value is told again when it changes, and to who links after long.
        self.step(batch);
        Ok(())
    }

    fn rejudge(&mut self, batch: &Batch) -> (Effects, u64) {
        let policy_version = self.policy.version.clone();
        (Effects { clock_ms: batch.clock_ms, policy_version, ..Effects::default() }, 0)
    }

    fn state_format(&self) -> i32 {
        STATE_FORMAT
    }

    fn changed(&self) -> usize {
        self.values.changed() + self.policy.changed()
    }

    fn take_changes(&mut self) -> Vec<StateEntry> {
        let mut entries = self.policy.take_change();
        self.values.take_changes(|key, value| {
            entries.push(StateEntry { key: to_key(key), body: value.map(saved) });
        });
        // By the text of the key, which is not the order of kinds in the schema.
        entries.sort_unstable_by(|one, other| one.key.cmp(&other.key));
        entries
    }

    fn survey(&self, _: u64, _: usize) -> (Vec<StateEntry>, Option<u64>) {
        (Vec::new(), None)
    }

    fn restore(&mut self, key: &[u8], format: i32, body: &[u8]) -> Result<(), StateError> {
        restore_entry(key, format, STATE_FORMAT, || {
            if InForce::is_its(key) {
                return self.policy.restore(key, body);
            }
            let value_key = parse_key(key).ok_or("the key is not a kind and a value")?;
            let mut value: Value = load_whole(body)?;
            value.recount(kind_of(value_key.0));
            self.values.restore(value_key, value);
            Ok(())
        })
    }

    fn forget(&mut self, key: &[u8]) {
        if let Some(key) = parse_key(key) {
            self.values.forget(key);
        }
    }

    fn entries(&self) -> usize {
        self.values.len()
    }
}

#[cfg(test)]
mod tests;
