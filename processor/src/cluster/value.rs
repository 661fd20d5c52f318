//! What is remembered of a shared value.
//!
//! In memory: about 170 bytes, 136 for each of at most 64 members whose cards are kept and 96 more where
//! themes or openings are told, two for each pair of them, and a sketch of 256 bytes when there are more.

use super::members::{Alike, Members, Passing};
use crate::card::{By, Likeness};
use crate::limits::{TOLD_HOURS_MAX, VALUE_TENANTS_MAX};
use crate::store::Entry;
use std::collections::BTreeMap;
use weir_schemas::{AccountId, Cluster, Link, LinkKind, ValueHash};

/// A shared value: who shares it, and since when.
#[derive(Debug, Clone)]
pub struct Value {
    clock_ms: i64,
    first_ms: i64,
    members: Members,
    tenants: Vec<String>,
}
persist_fields!(Value { clock_ms, first_ms, members, tenants });

impl Entry for Value {
    fn clock_ms(&self) -> i64 {
        self.clock_ms
    }

    fn touch(&self) -> u64 {
        u64::from(self.members.count())
    }
}

/// Who linked to a value in an epoch, with their latest cards.
pub type Linkers = BTreeMap<AccountId, Linker>;

/// An account that linked to a value.
pub struct Linker {
    tenant: String,
    card: Likeness,
}

impl Value {
    /// A value that is first seen at `time_ms`.
    pub fn new(time_ms: i64) -> Self {
        Self { clock_ms: time_ms, first_ms: time_ms, members: Members::default(), tenants: Vec::new() }
    }

    /// Whether it was idle too long before `time_ms` to be the same value still.
    pub fn is_idle_at(&self, time_ms: i64, horizon_ms: i64) -> bool {
        time_ms > self.clock_ms.saturating_add(horizon_ms)
    }

    /// Takes an account's card, and notes that it linked.
    pub fn take(&mut self, link: Link, linkers: &mut Linkers) {
        self.clock_ms = self.clock_ms.max(link.time_ms);
        self.first_ms = self.first_ms.min(link.time_ms);
        let (tenant, card) = (self.tenant(&link.tenant), Likeness::from(&link.card));
        self.members.take(link.account, tenant, card.clone(), self.hour(), By::of(link.kind));
        linkers.insert(link.account, Linker { tenant: link.tenant, card });
    }

    /// Hour of the latest link.
    fn hour(&self) -> u32 {
        (self.clock_ms / 3_600_000).clamp(0, u32::MAX.into()) as u32
    }

    /// At the end of an epoch: members for whom something changed are told how many are like them, whether
    /// they linked or others did, and so is who linked after long. Who is not remembered is told when it
    /// links, and is nobody's company; so a value that a million share tells no more than 64 besides them.
    /// Says how many are not told because their tenant is not remembered.
    pub fn answer(&mut self, kind: LinkKind, value: ValueHash, linkers: &Linkers) -> (Vec<Cluster>, u64) {
        let (hour, by) = (self.hour(), By::of(kind));
        let word = |account: AccountId, tenant: &str, alike: &Alike, least: AccountId, sample| Cluster {
            time_ms: self.clock_ms,
            tenant: tenant.to_owned(),
            account,
            kind,
            value,
            members: self.members.count().into(),
            compared: alike.compared as i32,
            alike_milli: alike.milli as i32,
            chance_millinats: alike.chance,
            share_permille: alike.share_permille as i32,
            same_org_permille: alike.same_org as i32,
            other_org_permille: alike.other_org as i32,
            other_payment_permille: alike.other_payment as i32,
            first_ms: self.first_ms,
            sample,
            least,
        };
        let (mut words, mut told, mut skipped) = (Vec::new(), Vec::new(), 0);
        for (index, member) in self.members.known.iter().enumerate() {
            let alike = self.members.alike(member);
            let linker = linkers.get(&member.account);
            let is_late = linker.is_some() && hour.saturating_sub(member.told_hour) >= TOLD_HOURS_MAX;
            if alike.mark(member.least) == member.told && !(alike.is_company() && is_late) {
                continue;
            }
            let listed = self.tenants.get(usize::from(member.tenant));
            let Some(tenant) = linker.map(|linker| &linker.tenant).or(listed) else {
                skipped += 1;
                continue;
            };
            words.push(word(member.account, tenant, &alike, member.least, self.members.sample(index)));
            told.push((index, alike.mark(member.least)));
        }
        for (account, linker) in linkers {
            if self.members.known.iter().any(|member| member.account == *account) {
                continue;
            }
            let Passing { alike, least, sample } = self.members.company_of(*account, &linker.card, by);
            if alike.is_company() {
                words.push(word(*account, &linker.tenant, &alike, least, sample));
            }
        }
        for (index, mark) in told {
            let member = &mut self.members.known[index];
            (member.told, member.told_hour) = (mark, hour);
        }
        (words, skipped)
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

    /// Makes good what is not saved of a value of this kind.
    pub fn recount(&mut self, kind: LinkKind) {
        self.members.recount(By::of(kind));
    }

    /// Number of members.
    pub fn members(&self) -> u32 {
        self.members.count()
    }
}
