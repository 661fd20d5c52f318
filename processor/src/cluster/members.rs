//! Who shares a value: up to 64 with their cards, all of them as a number. Which 64 depends on who they are
//! and not on the order in which they come: those that are no persons first, among them by account id, which is
//! a keyed hash that nobody can choose.

use super::sketch::Sketch;
use crate::card::{Likeness, nearness};
use crate::limits::{CARD_HOURS_MAX, MEMBERS_KEPT_MAX, SAMPLE_MAX};
use crate::nats::{Millinats, ONE, exp_neg, ln};
use weir_schemas::AccountId;

/// A member whose card is remembered: 76 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) account: AccountId,
    /// Place in the value's list of tenants.
    pub(super) tenant: u8,
    /// Step of the ladder up to which the member was told how many are like it.
    pub(super) told: u8,
    card: Likeness,
    /// Hour of the card.
    hour: u32,
    /// How many others are like it, in thousandths, as of their latest cards.
    alike_milli: u32,
}
persist_fields!(Member { account, tenant, told, card, hour, alike_milli });

impl Member {
    /// How many others are like it, in thousandths, as of their latest cards.
    pub(super) fn alike_milli(&self) -> u32 {
        self.alike_milli
    }

    /// Who comes first is kept.
    fn rank(&self) -> (bool, AccountId) {
        (self.card.is_human, self.account)
    }
}

/// The members of a value.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Members {
    /// In order of rank.
    known: Vec<Member>,
    /// Everybody, from the 65th member on.
    everybody: Option<Box<Sketch>>,
    estimate: u32,
}
persist_fields!(Members { known, everybody, estimate });

/// How many others are like one member.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Alike {
    /// Others whose cards were compared: those of its manner.
    pub(super) compared: u32,
    /// How many are like it, in thousandths.
    pub(super) milli: u32,
    /// Logarithm of the mean chance that a stranger would be.
    pub(super) chance: Millinats,
    /// The alike among all others that are remembered, in thousandths.
    pub(super) share_permille: u32,
    /// Of the alike, in thousandths: those of its organisation, of another, of another payment method, and
    /// those that moved to another model when it did.
    pub(super) same_org: u32,
    pub(super) other_org: u32,
    pub(super) other_payment: u32,
    pub(super) moved: u32,
    /// The most alike first, with how much.
    pub(super) nearest: Vec<(u32, AccountId)>,
}

/// Minutes within which two streams moved together.
const TOGETHER_MIN: u32 = 15;

/// Alike, in thousandths, from which two members are told of each other.
const NEIGHBOUR_PERMILLE: u32 = 300;

impl Members {
    /// Takes an account's card in the place of the one before; false if the account is not remembered.
    pub(super) fn take(
        &mut self,
        account: AccountId,
        tenant: u8,
        card: Likeness,
        hour: u32,
        is_limit_given: bool,
    ) -> bool {
        let known = self.known.iter().position(|member| member.account == account);
        let told = known.map_or(0, |index| self.remove(index, is_limit_given).told);
        if known.is_none() {
            self.count_in(account);
        }
        if self.known.len() >= MEMBERS_KEPT_MAX {
            let old = |member: &Member| hour.saturating_sub(member.hour) > CARD_HOURS_MAX;
            while let Some(index) = self.known.iter().position(old) {
                self.remove(index, is_limit_given);
            }
        }
        let mut member = Member { account, tenant, told, card, hour, alike_milli: 0 };
        let place = self.known.partition_point(|other| other.rank() < member.rank());
        if place >= MEMBERS_KEPT_MAX {
            return false;
        }
        if self.known.len() >= MEMBERS_KEPT_MAX {
            self.remove(MEMBERS_KEPT_MAX - 1, is_limit_given);
        }
        for other in &mut self.known {
            let alike = nearness(&card, &other.card, is_limit_given).alike_permille;
            other.alike_milli = other.alike_milli.saturating_add(alike);
            member.alike_milli += alike;
        }
        self.known.insert(place, member);
        true
    }

    /// Takes a member out, and what it was to the others.
    fn remove(&mut self, index: usize, is_limit_given: bool) -> Member {
        let member = self.known.remove(index);
        if member.alike_milli > 0 {
            for other in &mut self.known {
                let alike = nearness(&member.card, &other.card, is_limit_given).alike_permille;
                other.alike_milli = other.alike_milli.saturating_sub(alike);
            }
        }
        member
    }

    /// Members that have climbed the ladder since they were told, at most `most` of them, besides `account`.
    pub(super) fn climbed(&self, account: AccountId, most: usize) -> (Vec<AccountId>, usize) {
        let climbed = self
            .known
            .iter()
            .filter(|member| member.account != account && step(member.alike_milli) > member.told)
            .map(|member| member.account);
        let mut all: Vec<AccountId> = climbed.collect();
        let skipped = all.len().saturating_sub(most);
        all.truncate(most);
        (all, skipped)
    }

    fn count_in(&mut self, account: AccountId) {
        if self.everybody.is_none() && self.known.len() >= MEMBERS_KEPT_MAX {
            let mut sketch = Box::<Sketch>::default();
            for member in &self.known {
                sketch.insert(member.account);
            }
            self.everybody = Some(sketch);
        }
        if let Some(everybody) = &mut self.everybody
            && everybody.insert(account)
        {
            self.estimate = everybody.estimate();
        }
    }

    /// Number of members: exact up to 64.
    pub(super) fn count(&self) -> u32 {
        let known = self.known.len() as u32;
        if self.everybody.is_some() { self.estimate.max(known) } else { known }
    }

    /// A member, if it is remembered.
    pub(super) fn find(&mut self, account: AccountId) -> Option<&mut Member> {
        self.known.iter_mut().find(|member| member.account == account)
    }

    /// How many others are like a card of an account's.
    pub(super) fn alike(
        &self,
        account: AccountId,
        card: &Likeness,
        hour: u32,
        is_limit_given: bool,
    ) -> Alike {
        let mut alike = Alike::default();
        let (mut others, mut chances) = (0, 0);
        let (mut same_org, mut other_org, mut other_payment, mut moved) = (0, 0, 0, 0);
        for other in &self.known {
            if other.account == account || hour.saturating_sub(other.hour) > CARD_HOURS_MAX {
                continue;
            }
            others += 1;
            if other.card.is_human != card.is_human {
                continue;
            }
            alike.compared += 1;
            let near = nearness(card, &other.card, is_limit_given);
            chances += exp_neg(near.chance.unsigned_abs());
            let permille = near.alike_permille;
            if permille == 0 {
                continue;
            }
            alike.milli += permille;
            let both = |one: u32, other: u32| one != 0 && other != 0;
            let orgs = (card.org, other.card.org);
            same_org += permille * u32::from(both(orgs.0, orgs.1) && orgs.0 == orgs.1);
            other_org += permille * u32::from(both(orgs.0, orgs.1) && orgs.0 != orgs.1);
            let payments = (card.payment, other.card.payment);
            other_payment += permille * u32::from(both(payments.0, payments.1) && payments.0 != payments.1);
            let moves = (card.moved_min, other.card.moved_min);
            moved +=
                permille * u32::from(both(moves.0, moves.1) && moves.0.abs_diff(moves.1) <= TOGETHER_MIN);
            if permille >= NEIGHBOUR_PERMILLE {
                alike.nearest.push((permille, other.account));
            }
        }
        let of_alike = |part: u32| part * 1_000 / alike.milli.max(1);
        (alike.same_org, alike.other_org) = (of_alike(same_org), of_alike(other_org));
        (alike.other_payment, alike.moved) = (of_alike(other_payment), of_alike(moved));
        alike.share_permille = alike.milli / u32::max(others, 1);
        alike.chance = ln(chances / u64::from(alike.compared.max(1))) - ln(ONE);
        alike.nearest.sort_unstable_by(|one, other| other.0.cmp(&one.0).then(one.1.cmp(&other.1)));
        alike
    }

    /// The same for a member that is remembered, with its tenant.
    pub(super) fn alike_of(&self, account: AccountId, is_limit_given: bool) -> Option<(Alike, u8)> {
        let member = self.known.iter().find(|member| member.account == account)?;
        Some((self.alike(account, &member.card, member.hour, is_limit_given), member.tenant))
    }
}

impl Alike {
    /// Accounts that a word names.
    pub(super) fn sample(&self) -> Vec<AccountId> {
        self.nearest.iter().take(SAMPLE_MAX).map(|(_, account)| *account).collect()
    }
}

/// Step of the ladder for so many alike, in thousandths: whoever climbs one is told.
pub(super) fn step(milli: u32) -> u8 {
    const LADDER: [u32; 9] = [300, 800, 1_600, 2_600, 4_500, 7_500, 12_500, 20_000, 40_000];
    LADDER.iter().take_while(|rung| **rung <= milli).count() as u8
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{card, hash};

    fn id(index: usize) -> AccountId {
        AccountId(hash(&format!("account {index}")).0)
    }

    fn likeness() -> Likeness {
        Likeness::from(&card())
    }

    fn changed(mut card: Likeness, change: impl Fn(&mut Likeness)) -> Likeness {
        change(&mut card);
        card
    }

    #[test]
    fn who_is_remembered_does_not_depend_on_the_order() {
        let (mut one, mut other) = (Members::default(), Members::default());
        for index in 0..300 {
            one.take(id(index), 0, likeness(), 1, true);
            other.take(id(299 - index), 0, likeness(), 1, true);
        }
        assert_eq!(one.known, other.known);
        assert_eq!(one.known.len(), MEMBERS_KEPT_MAX);
        assert!(one.count().abs_diff(300) < 60, "{}", one.count());
    }

    #[test]
    fn persons_make_room_for_machines_and_old_cards_for_new_ones() {
        let person = changed(likeness(), |card| card.is_human = true);
        let mut members = Members::default();
        for index in 0..64 {
            members.take(id(index), 0, person, 1, true);
        }
        for index in 64..80 {
            members.take(id(index), 0, likeness(), 1, true);
        }
        assert_eq!(members.known.iter().filter(|member| member.card.is_human).count(), 48);
        members.take(id(99), 0, likeness(), 2 + CARD_HOURS_MAX, true);
        assert_eq!(members.known.len(), 1);
    }

    #[test]
    fn an_account_counts_once_and_is_not_its_own_kin() {
        let mut members = Members::default();
        for _ in 0..9 {
            members.take(id(1), 0, likeness(), 1, true);
        }
        let alike = members.alike(id(1), &likeness(), 1, true);
        assert_eq!((members.count(), alike.compared, alike.milli), (1, 0, 0));
    }

    #[test]
    fn those_alike_are_counted_and_what_they_have_in_common() {
        let mut members = Members::default();
        let mine = changed(likeness(), |card| (card.org, card.payment, card.moved_min) = (1, 7, 100));
        members.take(id(0), 0, mine, 1, true);
        for (index, org) in [1, 1, 1, 2].into_iter().enumerate() {
            let moved_min = if index == 0 { 110 } else { 300 };
            members.take(
                id(1 + index),
                0,
                changed(mine, |card| (card.org, card.moved_min) = (org, moved_min)),
                1,
                true,
            );
        }
        members.take(id(9), 0, changed(mine, |card| card.is_human = true), 1, true);
        let (alike, _) = members.alike_of(id(0), true).unwrap();
        assert_eq!((alike.compared, alike.milli, alike.share_permille), (4, 4_000, 800));
        assert_eq!((alike.same_org, alike.other_org, alike.other_payment, alike.moved), (750, 250, 0, 250));
        assert_eq!(alike.sample().len(), 4);
    }
}
