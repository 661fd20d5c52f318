//! What is remembered of a shared value.
//!
//! In memory: about 120 bytes, 72 for each of at most 64 members whose cards are kept, and a sketch of 256
//! bytes when there are more.

use super::members::{Alike, Members, step};
use crate::card::Likeness;
use crate::limits::{TOLD_MAX, VALUE_TENANTS_MAX};
use crate::store::Entry;
use weir_schemas::{AccountId, Cluster, Link, LinkKind};

/// A shared value: who shares it, and since when.
#[derive(Debug, Clone, PartialEq)]
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

/// What a link came to: who is told what, and how many are not told.
pub struct Told {
    /// Words, the linking account's own first.
    pub words: Vec<Cluster>,
    /// Members that would be told of growth and are not, because one link tells no more.
    pub skipped: u64,
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

    /// Takes an account's card, and says who is told what.
    ///
    /// The account is told how many are like it when there are any, and when there are no longer. Those like it
    /// are told when it makes one more on the ladder of theirs: they may have nothing more to ask.
    pub fn take(&mut self, link: &Link) -> Told {
        self.clock_ms = self.clock_ms.max(link.time_ms);
        self.first_ms = self.first_ms.min(link.time_ms);
        let tenant = self.tenant(&link.tenant);
        let card = Likeness::from(&link.card);
        let hour = (link.time_ms / 3_600_000).clamp(0, u32::MAX.into()) as u32;
        let is_limit_given = matches!(link.kind, LinkKind::Program | LinkKind::Habit);
        let is_remembered = self.members.take(link.account, tenant, card, hour, is_limit_given);
        let alike = self.members.alike(link.account, &card, hour, is_limit_given);
        let reached = step(alike.milli);
        let mut told = Told { words: Vec::new(), skipped: 0 };
        let before =
            self.members.find(link.account).map_or(0, |member| std::mem::replace(&mut member.told, reached));
        if reached > 0 || before > 0 {
            told.words.push(self.word(link, link.account, &link.tenant, &alike));
        }
        // Who is not remembered is nobody's company; so a value that a million share tells no more than 64 climb.
        if !is_remembered {
            return told;
        }
        let (climbed, skipped) = self.members.climbed(link.account, TOLD_MAX);
        told.skipped = skipped as u64;
        for account in climbed {
            let Some((theirs, tenant)) = self.members.alike_of(account, is_limit_given) else { continue };
            let reached = step(theirs.milli);
            // What it is told holds until it climbs further, even if by now some cards are too old to count.
            if let Some(member) = self.members.find(account) {
                member.told = member.told.max(reached).max(step(member.alike_milli()));
            }
            if let Some(tenant) = self.tenants.get(usize::from(tenant)) {
                told.words.push(self.word(link, account, tenant, &theirs));
            }
        }
        told
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

    /// Number of members.
    pub fn members(&self) -> u32 {
        self.members.count()
    }

    fn word(&self, link: &Link, account: AccountId, tenant: &str, alike: &Alike) -> Cluster {
        Cluster {
            time_ms: link.time_ms,
            tenant: tenant.to_owned(),
            account,
            kind: link.kind,
            value: link.value,
            members: self.members.count().into(),
            compared: alike.compared as i32,
            alike_milli: alike.milli as i32,
            chance_millinats: alike.chance,
            share_permille: alike.share_permille as i32,
            same_org_permille: alike.same_org as i32,
            other_org_permille: alike.other_org as i32,
            other_payment_permille: alike.other_payment as i32,
            moved_permille: alike.moved as i32,
            first_ms: self.first_ms,
            sample: alike.sample(),
        }
    }
}
