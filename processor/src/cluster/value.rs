//! What is remembered of a shared value.
//!
//! In memory: about 200 bytes and 18 for each of at most 64 members; two sketches of 256 bytes and at
//! most 64 more suspects of 16 bytes when there are more members; 128 bytes of phrase counts once
//! one is suspicious.

use super::members::Members;
use crate::limits::{SAMPLE_MAX, VALUE_TENANTS_MAX};
use crate::store::Entry;
use crate::windows::Ring;
use weir_schemas::{AccountId, Cluster, Link};

/// A shared value.
#[derive(Debug, Clone, PartialEq)]
pub struct Value {
    clock_ms: i64,
    first_ms: i64,
    members: Members,
    /// Members that joined, by 5 min.
    joined: Ring<12, 300_000>,
    /// Tenants of the members that are remembered.
    tenants: Vec<String>,
    /// How many suspicious members used each phrase class.
    phrases: Option<Box<[u16; 64]>>,
    phrase_members: u16,
}
persist_fields!(Value { clock_ms, first_ms, members, joined, tenants, phrases, phrase_members });

/// Whether a value has grown enough for its members to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Growth {
    /// Not past the next step.
    None,
    /// Past a step of the ladder 3, 5, 8, 13, 21 … by suspicious members, or by members while any is
    /// suspicious. Members of an innocent value are told nothing: nothing would follow from it.
    Step,
}

/// Steps of the ladder at or below a count.
fn steps(count: u32) -> u32 {
    let (mut step, mut next, mut steps) = (3u64, 5u64, 0);
    while step <= u64::from(count) {
        (step, next) = (next, step + next);
        steps += 1;
    }
    steps
}

impl Entry for Value {
    fn clock_ms(&self) -> i64 {
        self.clock_ms
    }

    fn touch(&self) -> u64 {
        u64::from(self.members.count())
    }
}

impl Value {
    /// A value first seen at `time_ms`.
    pub fn new(time_ms: i64) -> Self {
        Self {
            clock_ms: time_ms,
            first_ms: time_ms,
            members: Members::default(),
            joined: Ring::default(),
            tenants: Vec::new(),
            phrases: None,
            phrase_members: 0,
        }
    }

    /// Whether nobody was newly seen with it for longer than the horizon before `time_ms`.
    pub fn is_idle_at(&self, time_ms: i64, horizon_ms: i64) -> bool {
        time_ms > self.clock_ms.saturating_add(horizon_ms)
    }

    /// Takes a link in.
    pub fn join(&mut self, link: &Link, suspicion_permille: i32) -> Growth {
        if link.time_ms > self.clock_ms {
            self.joined.advance(self.clock_ms, link.time_ms);
            self.clock_ms = link.time_ms;
        }
        self.first_ms = self.first_ms.min(link.time_ms);
        let (members, suspicious) = (self.members.count(), self.members.suspicious());
        let tenant = self.tenant(&link.tenant);
        let is_suspicious = link.suspicion_permille >= suspicion_permille;
        let change = self.members.join(link.account, tenant, is_suspicious);
        if change.is_new {
            self.joined.add(self.clock_ms, link.time_ms, 1);
        }
        if change.is_new_suspect {
            self.count_phrases(link.phrases as u64);
        }
        let suspects_grew = steps(self.members.suspicious()) > steps(suspicious);
        let members_grew = steps(self.members.count()) > steps(members) && self.members.suspicious() > 0;
        if suspects_grew || members_grew { Growth::Step } else { Growth::None }
    }

    /// Place of a tenant in the list; past the list's end when it is full.
    fn tenant(&mut self, name: &str) -> u8 {
        let place = self.tenants.iter().position(|tenant| tenant == name).unwrap_or_else(|| {
            if self.tenants.len() < VALUE_TENANTS_MAX {
                self.tenants.push(name.to_owned());
                self.tenants.len() - 1
            } else {
                VALUE_TENANTS_MAX
            }
        });
        place as u8
    }

    fn count_phrases(&mut self, phrases: u64) {
        self.phrase_members = self.phrase_members.saturating_add(1);
        let counts = self.phrases.get_or_insert_with(|| Box::new([0; 64]));
        for (bit, count) in counts.iter_mut().enumerate() {
            *count = count.saturating_add((phrases >> bit & 1) as u16);
        }
    }

    /// Phrase classes that at least half of the suspicious members used.
    fn common_phrases(&self) -> u64 {
        let Some(counts) = &self.phrases else { return 0 };
        let half = self.phrase_members.div_ceil(2);
        let common = |(bit, count): (usize, &u16)| u64::from(*count >= half) << bit;
        counts.iter().enumerate().map(common).sum()
    }

    /// Number of members.
    pub fn members(&self) -> u32 {
        self.members.count()
    }

    /// Number of suspicious members.
    pub fn suspicious(&self) -> u32 {
        self.members.suspicious()
    }

    /// The members that are remembered, each with its tenant.
    pub fn remembered(&self) -> impl Iterator<Item = (AccountId, &str)> {
        self.members.known().iter().filter_map(|member| {
            self.tenants.get(usize::from(member.tenant)).map(|tenant| (member.account, tenant.as_str()))
        })
    }

    /// What one account is told after `link`.
    pub fn word(&self, link: &Link, account: AccountId, tenant: &str) -> Cluster {
        Cluster {
            time_ms: link.time_ms,
            tenant: tenant.to_owned(),
            account,
            kind: link.kind,
            value: link.value,
            members: self.members.count().into(),
            suspicious: self.members.suspicious().into(),
            recent: self.joined.sum().into(),
            first_ms: self.first_ms,
            phrases: self.common_phrases() as i64,
            sample: self.members.known().iter().take(SAMPLE_MAX).map(|member| member.account).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ladder_grows_geometrically() {
        let firsts: Vec<u32> = (1..200).filter(|count| steps(*count) > steps(count - 1)).collect();
        assert_eq!(firsts, [3, 5, 8, 13, 21, 34, 55, 89, 144]);
        assert!(steps(u32::MAX) < 64);
    }
}
