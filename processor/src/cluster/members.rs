//! Who shares a value: up to 64 with their cards, all of them as a number. Which 64 depends on who they are
//! and not on the order in which they come: those that are no persons first, among them by account id, which
//! is a keyed hash that nobody can choose.

use super::pairs::{Pair, Pairs};
use super::sketch::Sketch;
use crate::card::{By, Likeness, chance};
use crate::limits::{CARD_HOURS_MAX, MEMBERS_KEPT_MAX, SAMPLE_MAX};
use crate::measure::short;
use crate::nats::{Millinats, ONE, exp_neg, ln};
use crate::persist::{Damage, Persist};
use weir_schemas::AccountId;

/// A member whose card is remembered: 136 bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) account: AccountId,
    /// Place in the value's list of tenants.
    pub(super) tenant: u8,
    pub(super) card: Likeness,
    /// Hour of the card.
    hour: u32,
    /// What the others are to it, as of their latest cards.
    company: Company,
    /// The least id among those most like it, its own among them: whoever has the same is of one group.
    pub(super) least: AccountId,
    /// What it was told last, in short, and in which hour; 0 for nothing.
    pub(super) told: u32,
    pub(super) told_hour: u32,
}
persist_fields!(Member { account, tenant, card, hour, company, least, told, told_hour });

impl Member {
    /// Who comes first is kept.
    fn rank(&self) -> (bool, AccountId) {
        (self.card.is_human, self.account)
    }
}

/// The members of a value.
#[derive(Debug, Clone, Default)]
pub(super) struct Members {
    /// In order of rank.
    pub(super) known: Vec<Member>,
    /// How much these are alike; empty from when they are taken back until the next card comes.
    pairs: Pairs,
    /// Everybody, from the 65th member on.
    everybody: Option<Box<Sketch>>,
    estimate: u32,
}

persist_fields!(Members { known, everybody, estimate; pairs } then Members::loaded);

/// What others are to one account, summed over them, so that one card that changes costs one addition each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Company {
    /// Everybody but those of its own organisation.
    strangers: Crowd,
    /// Those of its own organisation who pay by other means than it does.
    divided: Crowd,
    /// How much those of its own organisation are alike who pay as it does, or of whose paying nothing is
    /// known.
    same_org: u32,
    other_org: u32,
    other_payment: u32,
}

/// Those who pay by other means are saved with their organisation: whoever reads that holds cards against
/// each other once more, see [`Members::recount`]. So builds before judge 24 read it, and it reads theirs.
impl Persist for Company {
    fn save(&self, out: &mut Vec<u8>) {
        let Crowd { compared, milli, chances } = self.strangers;
        let same_org = self.same_org.saturating_add(self.divided.milli);
        [compared, milli, chances, same_org, self.other_org, self.other_payment].save(out);
    }

    fn load(input: &mut &[u8]) -> Result<Self, Damage> {
        let [compared, milli, chances, same_org, other_org, other_payment] = Persist::load(input)?;
        let strangers = Crowd { compared, milli, chances };
        Ok(Self { strangers, divided: Crowd::default(), same_org, other_org, other_payment })
    }
}

/// How many have an account's manner, how much they are alike, and the chances that strangers would be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Crowd {
    compared: u32,
    milli: u32,
    /// In parts of [`CHANCE_ONE`].
    chances: u32,
}

impl Crowd {
    fn each(&mut self, other: &Self, apply: impl Fn(u32, u32) -> u32) {
        self.compared = apply(self.compared, other.compared);
        self.milli = apply(self.milli, other.milli);
        self.chances = apply(self.chances, other.chances);
    }
}

/// Whether two have one declared organisation.
fn share_an_organisation(one: &Likeness, other: &Likeness) -> bool {
    one.org != 0 && one.org == other.org
}

/// Whether two pay by different means, as far as is known.
fn pay_apart(one: &Likeness, other: &Likeness) -> bool {
    one.payment != 0 && other.payment != 0 && one.payment != other.payment
}

/// Whether two that are so much alike are of one group: not those of one organisation that pay by the same
/// means.
fn is_near(one: &Likeness, other: &Likeness, pair: Pair) -> bool {
    let is_one_customer = share_an_organisation(one, other) && !pay_apart(one, other);
    pair.permille() >= NEAREST_PERMILLE && !is_one_customer
}

/// What a chance of one is, so that those of all members are 32 bits.
const CHANCE_ONE: u64 = ONE >> 8;

impl Company {
    /// What two accounts are to each other that are so much alike.
    fn of(one: &Likeness, other: &Likeness, by: By, pair: Pair) -> Self {
        let Some(milli) = pair.compared() else { return Self::default() };
        let when = |holds: bool| if holds { milli } else { 0 };
        let pays_apart = pay_apart(one, other);
        let chances = (exp_neg(chance(one, other, by).unsigned_abs()) >> 8) as u32;
        let crowd = Crowd { compared: 1, milli, chances };
        if share_an_organisation(one, other) {
            // One customer with several keys is not alike to itself.
            return match pays_apart {
                true => Self { divided: crowd, ..Self::default() },
                false => Self { same_org: milli, ..Self::default() },
            };
        }
        Self {
            strangers: crowd,
            other_org: when(one.org != 0 && other.org != 0),
            other_payment: when(pays_apart),
            ..Self::default()
        }
    }

    fn each(&mut self, other: &Self, apply: impl Fn(u32, u32) -> u32) {
        self.strangers.each(&other.strangers, &apply);
        self.divided.each(&other.divided, &apply);
        self.same_org = apply(self.same_org, other.same_org);
        self.other_org = apply(self.other_org, other.other_org);
        self.other_payment = apply(self.other_payment, other.other_payment);
    }

    fn add(&mut self, other: &Self) {
        self.each(other, u32::saturating_add);
    }

    fn take_away(&mut self, other: &Self) {
        self.each(other, u32::saturating_sub);
    }
}

/// How many others are like one member, in the steps in which it is told: what changes within a step is not
/// worth a record, and whoever is told last knows the same, in whatever order the cards came.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Alike {
    /// Others whose cards were compared: those of its manner.
    pub(super) compared: u32,
    /// How many are like it, in thousandths.
    pub(super) milli: u32,
    /// Logarithm of the mean chance that a stranger would be.
    pub(super) chance: Millinats,
    /// The alike among all others that are remembered, in thousandths.
    pub(super) share_permille: u32,
    /// In thousandths: the alike of its own organisation, whom nothing else here counts, among all alike; of
    /// the alike, those of another organisation, and of another payment method.
    pub(super) same_org: u32,
    pub(super) other_org: u32,
    pub(super) other_payment: u32,
}

/// What members are to an account that is not remembered.
pub(super) struct Passing {
    pub(super) alike: Alike,
    /// The least id among those most like it, its own among them.
    pub(super) least: AccountId,
    /// Some of those who are like it, the most alike first.
    pub(super) sample: Vec<AccountId>,
}

/// So many of those alike in an organisation, in thousandths, pay by other means where its name is nobody's:
/// a customer pays by one card or a few, however many keys it has.
const DIVIDED_PERMILLE: u64 = 900;

/// Alike, in thousandths, from which two members are told of each other.
const NEIGHBOUR_PERMILLE: u32 = 300;

/// Alike, in thousandths, from which two members are of one group.
const NEAREST_PERMILLE: u32 = 500;

/// How much a card is alike to that of each of these members, in their order.
fn held_against(members: &[Member], card: &Likeness, by: By) -> Vec<Pair> {
    members.iter().map(|other| Pair::of(card, &other.card, by)).collect()
}

impl Members {
    fn loaded(self) -> Result<Self, Damage> {
        match self.known.len() {
            ..=MEMBERS_KEPT_MAX => Ok(self),
            _ => Err(Damage("more members than are remembered")),
        }
    }

    /// Takes an account's card in the place of the one before. Cards that are too old by `hour` are
    /// forgotten.
    pub(super) fn take(&mut self, account: AccountId, tenant: u8, card: Likeness, hour: u32, by: By) {
        self.hold_all(by);
        let known = self.known.iter().position(|member| member.account == account);
        let (told, told_hour) = known.map_or((0, 0), |index| {
            let before = self.remove(index, by);
            (before.told, before.told_hour)
        });
        if known.is_none() {
            self.count_in(account);
        }
        let is_old = |member: &Member| hour.saturating_sub(member.hour) > CARD_HOURS_MAX;
        while let Some(index) = self.known.iter().position(is_old) {
            self.remove(index, by);
        }
        let (company, least) = (Company::default(), account);
        let mut member = Member { account, tenant, card, hour, company, least, told, told_hour };
        let place = self.known.partition_point(|other| other.rank() < member.rank());
        if place >= MEMBERS_KEPT_MAX {
            return;
        }
        if self.known.len() >= MEMBERS_KEPT_MAX {
            self.remove(MEMBERS_KEPT_MAX - 1, by);
        }
        let pairs = held_against(&self.known, &member.card, by);
        for (other, pair) in self.known.iter_mut().zip(&pairs) {
            let company = Company::of(&member.card, &other.card, by, *pair);
            other.company.add(&company);
            member.company.add(&company);
            if is_near(&member.card, &other.card, *pair) {
                other.least = other.least.min(account);
                member.least = member.least.min(other.account);
            }
        }
        self.pairs.insert(place, &pairs);
        self.known.insert(place, member);
    }

    /// Takes a member out, and what it was to the others.
    fn remove(&mut self, index: usize, by: By) -> Member {
        for (place, pair) in self.pairs.of(index) {
            let company = Company::of(&self.known[index].card, &self.known[place].card, by, pair);
            self.known[place].company.take_away(&company);
        }
        self.pairs.remove(index);
        let member = self.known.remove(index);
        for index in 0..self.known.len() {
            if self.known[index].least == member.account {
                self.known[index].least = self.least_of(index);
            }
        }
        member
    }

    /// The least id among those most like a member, its own among them.
    fn least_of(&self, index: usize) -> AccountId {
        let (member, pairs) = (&self.known[index], self.pairs.of(index));
        self.least_by(member.account, &member.card, pairs)
    }

    /// The least id among those most like an account with this card, its own among them, by its pairs with
    /// members.
    fn least_by(
        &self,
        account: AccountId,
        card: &Likeness,
        pairs: impl Iterator<Item = (usize, Pair)>,
    ) -> AccountId {
        let near = pairs.filter(|(place, pair)| is_near(card, &self.known[*place].card, *pair));
        near.map(|(place, _)| self.known[place].account).fold(account, AccountId::min)
    }

    /// Holds all cards against each other that were taken back.
    fn hold_all(&mut self, by: By) {
        for place in self.pairs.len()..self.known.len() {
            let pairs = held_against(&self.known[..place], &self.known[place].card, by);
            self.pairs.insert(place, &pairs);
        }
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

    /// Number of members: up to 64 exactly those whose cards are not too old, beyond an estimate of all that
    /// were.
    pub(super) fn count(&self) -> u32 {
        let known = self.known.len() as u32;
        if self.everybody.is_some() { self.estimate.max(known) } else { known }
    }

    /// How many others are like a member.
    pub(super) fn alike(&self, member: &Member) -> Alike {
        let is_divided = self.is_divided(&member.card, &member.company);
        Alike::of(&member.company, self.known.len() as u32 - 1, is_divided)
    }

    /// What members are to an account that is not remembered.
    pub(super) fn company_of(&self, account: AccountId, card: &Likeness, by: By) -> Passing {
        let (mut company, pairs) = (Company::default(), held_against(&self.known, card, by));
        for (other, pair) in self.known.iter().zip(&pairs) {
            company.add(&Company::of(card, &other.card, by, *pair));
        }
        let alike = Alike::of(&company, self.known.len() as u32, self.is_divided(card, &company));
        let pairs = || pairs.iter().copied().enumerate();
        let (least, sample) = match alike.is_company() {
            true => (self.least_by(account, card, pairs()), self.sample_by(pairs())),
            false => (account, Vec::new()),
        };
        Passing { alike, least, sample }
    }

    /// Whether hardly any two of those alike in an account's organisation pay by the same means. All of them
    /// are asked: one key that pays otherwise than the others is theirs still.
    fn is_divided(&self, card: &Likeness, company: &Company) -> bool {
        if company.divided.milli == 0 {
            return false;
        }
        let of_org = self.known.iter().filter(|other| other.card.org == card.org).map(|other| &other.company);
        let (mut divided, mut same_org) = (u64::from(company.divided.milli), u64::from(company.same_org));
        for other in of_org {
            divided += u64::from(other.divided.milli);
            same_org += u64::from(other.same_org);
        }
        divided * 1_000 >= (divided + same_org) * DIVIDED_PERMILLE
    }

    /// Holds the cards against each other once more where those of one organisation pay by different means,
    /// which is not saved.
    pub(super) fn recount(&mut self, by: By) {
        let are_divided = |one: &Member, other: &Member| {
            share_an_organisation(&one.card, &other.card) && pay_apart(&one.card, &other.card)
        };
        let mut members = self.known.iter().enumerate();
        if !members.any(|(place, one)| self.known[..place].iter().any(|other| are_divided(one, other))) {
            return;
        }
        self.hold_all(by);
        for place in 0..self.known.len() {
            let one = &self.known[place];
            let mut company = Company::default();
            for (other, pair) in self.pairs.of(place) {
                company.add(&Company::of(&one.card, &self.known[other].card, by, pair));
            }
            let least = self.least_of(place);
            (self.known[place].company, self.known[place].least) = (company, least);
        }
    }

    /// Some of those who are like a member, the most alike first.
    pub(super) fn sample(&self, index: usize) -> Vec<AccountId> {
        self.sample_by(self.pairs.of(index))
    }

    /// Some of those who are like an account, the most alike first, by its pairs with members.
    fn sample_by(&self, pairs: impl Iterator<Item = (usize, Pair)>) -> Vec<AccountId> {
        let mut nearest: Vec<(u32, AccountId)> = pairs
            .map(|(place, pair)| (pair.permille(), self.known[place].account))
            .filter(|(permille, _)| *permille >= NEIGHBOUR_PERMILLE)
            .collect();
        let order =
            |one: &(u32, AccountId), other: &(u32, AccountId)| other.0.cmp(&one.0).then(one.1.cmp(&other.1));
        if nearest.len() > SAMPLE_MAX {
            nearest.select_nth_unstable_by(SAMPLE_MAX, order);
            nearest.truncate(SAMPLE_MAX);
        }
        nearest.sort_unstable_by(order);
        nearest.into_iter().map(|(_, account)| account).collect()
    }
}

/// Alike in thousandths, below which nobody is told of company.
const ALIKE_MIN: u32 = 300;

/// A number without its last bits, so that it changes in steps of a sixteenth of itself or less; towards
/// innocence for those alike.
fn rounded_down(number: u32) -> u32 {
    number >> last_bits(number) << last_bits(number)
}

/// The same upwards; towards innocence for those compared.
fn rounded_up(number: u32) -> u32 {
    let step = 1 << last_bits(number);
    number.next_multiple_of(step)
}

fn last_bits(number: u32) -> u32 {
    number.checked_ilog2().map_or(0, |bits| bits.saturating_sub(4))
}

impl Alike {
    /// What company comes to, of so many others, where hardly any two of its own organisation pay by the same
    /// means or where they do.
    fn of(company: &Company, others: u32, is_divided: bool) -> Self {
        let (mut crowd, mut same_org, mut other_payment) =
            (company.strangers, company.same_org, company.other_payment);
        let divided = company.divided;
        if is_divided {
            crowd.each(&divided, u32::saturating_add);
            other_payment = other_payment.saturating_add(divided.milli);
        } else {
            same_org = same_org.saturating_add(divided.milli);
        }
        if crowd.milli < ALIKE_MIN {
            return Self::default();
        }
        let part = |part: u32, step: u32| part * 1_000 / crowd.milli / step * step;
        let chance = ln(u64::from(crowd.chances / crowd.compared.max(1))) - ln(CHANCE_ONE);
        Self {
            compared: rounded_up(crowd.compared),
            milli: rounded_down(crowd.milli),
            chance: chance / 50 * 50,
            share_permille: crowd.milli / others.max(1) / 50 * 50,
            same_org: same_org * 1_000 / (crowd.milli + same_org) / 100 * 100,
            other_org: part(company.other_org, 100),
            other_payment: part(other_payment, 100),
        }
    }

    /// Whether there is anything to tell.
    pub(super) fn is_company(&self) -> bool {
        self.milli > 0
    }

    /// All of it, and the least of the group, in one number, to notice that it changed; 0 for no company.
    pub(super) fn mark(&self, least: AccountId) -> u32 {
        if !self.is_company() {
            return 0;
        }
        let numbers = [
            self.compared,
            self.milli,
            self.chance.unsigned_abs(),
            self.share_permille,
            self.same_org,
            self.other_org,
            self.other_payment,
            short(&least.0),
        ];
        let mix = |hash: u32, number: u32| (hash ^ number).wrapping_mul(0x9e37_79b1).rotate_left(15);
        numbers.into_iter().fold(1, mix) | 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{card, hash};
    use weir_schemas::Card;

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
            one.take(id(index), 0, likeness(), 1, By::Limit);
            other.take(id(299 - index), 0, likeness(), 1, By::Limit);
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
            members.take(id(index), 0, person.clone(), 1, By::Limit);
        }
        for index in 64..80 {
            members.take(id(index), 0, likeness(), 1, By::Limit);
        }
        assert_eq!(members.known.iter().filter(|member| member.card.is_human).count(), 48);
        members.take(id(99), 0, likeness(), 2 + CARD_HOURS_MAX, By::Limit);
        assert_eq!(members.known.len(), 1);
    }

    #[test]
    fn an_account_counts_once_and_is_not_its_own_kin() {
        let mut members = Members::default();
        for _ in 0..9 {
            members.take(id(1), 0, likeness(), 1, By::Limit);
        }
        assert_eq!((members.count(), members.alike(&members.known[0])), (1, Alike::default()));
    }

    /// What members are told, by who they are.
    fn told(members: &Members) -> Vec<(AccountId, Alike)> {
        members.known.iter().map(|member| (member.account, members.alike(member))).collect()
    }

    #[test]
    fn those_alike_are_counted_and_what_they_have_in_common() {
        let mut members = Members::default();
        let mine = changed(likeness(), |card| (card.org, card.payment) = (1, 7));
        members.take(id(0), 0, mine.clone(), 1, By::Limit);
        for (index, org) in [1, 1, 1, 2].into_iter().enumerate() {
            let card = changed(mine.clone(), |card| card.org = org);
            members.take(id(1 + index), 0, card, 1, By::Limit);
        }
        members.take(id(9), 0, changed(mine.clone(), |card| card.is_human = true), 1, By::Limit);
        let (_, alike) = told(&members).into_iter().find(|(account, _)| *account == id(0)).unwrap();
        // Three are of its own organisation, and no company.
        assert_eq!((alike.compared, alike.milli, alike.share_permille), (1, 992, 200));
        assert_eq!((alike.same_org, alike.other_org, alike.other_payment), (700, 1_000, 0));
        let place = members.known.iter().position(|member| member.account == id(0)).unwrap();
        assert_eq!(members.sample(place).len(), 4);
    }

    /// What two of ten accounts of one organisation are told, of whom so many pay by one card and the others
    /// each by one of their own: the first, and the last.
    fn of_one_org(of_one_card: usize) -> [Alike; 2] {
        let mut members = Members::default();
        for index in 0..10 {
            let payment = if index < of_one_card { 1 } else { 1 + index as u32 };
            let card = changed(likeness(), |card| (card.org, card.payment) = (1, payment));
            members.take(id(index), 0, card, 1, By::Limit);
        }
        let told = told(&members);
        [0, 9].map(|index| told.iter().find(|(account, _)| *account == id(index)).unwrap().1)
    }

    #[test]
    fn an_organisation_with_a_card_for_each_account_is_told_as_strangers_are_and_one_with_a_few_is_not() {
        for divided in of_one_org(0).into_iter().chain(of_one_org(2)) {
            assert_eq!(divided.compared, of_strangers(&divided));
            assert_eq!((divided.other_org, divided.other_payment), (0, 1_000));
        }
        assert_eq!(of_one_org(10), [Alike::default(); 2]);
        // One key that pays otherwise is its organisation's still, and so are a few.
        assert_eq!(of_one_org(9), [Alike::default(); 2]);
        assert_eq!(of_one_org(5), [Alike::default(); 2]);
    }

    /// Those compared who are of another means of payment.
    fn of_strangers(alike: &Alike) -> u32 {
        alike.milli.div_ceil(1_000)
    }

    #[test]
    fn what_is_saved_of_a_divided_organisation_is_counted_once_more() {
        let mut members = Members::default();
        for index in 0..12 {
            // An organisation of which each pays for itself, one with one card, and strangers.
            let (org, payment) = [(1, 10 + index as u32), (2, 5), (0, 40 + index as u32)][index % 3];
            let card = changed(likeness(), |card| (card.org, card.payment) = (org, payment));
            members.take(id(index), 0, card, 1, By::Limit);
        }
        let mut saved = Vec::new();
        members.save(&mut saved);
        let mut restored = Members::load(&mut saved.as_slice()).unwrap();
        assert_ne!(restored.known, members.known);
        restored.recount(By::Limit);
        assert_eq!(restored.known, members.known);
    }

    #[test]
    fn colleagues_who_pay_apart_belong_to_their_organisation_where_others_are_alike_too() {
        let mut members = Members::default();
        let mine = changed(likeness(), |card| (card.org, card.payment) = (1, 1));
        members.take(id(0), 0, mine.clone(), 1, By::Limit);
        for index in 1..9 {
            // Half pays by this card, half by another; strangers have no organisation.
            let (org, payment) = [(1, 1), (1, 2), (0, 9)][index % 3];
            let card = changed(mine.clone(), |card| (card.org, card.payment) = (org, payment));
            members.take(id(index), 0, card, 1, By::Limit);
        }
        let (_, alike) = told(&members).into_iter().find(|(account, _)| *account == id(0)).unwrap();
        // Three strangers, two of its card, and three of the other card.
        assert_eq!((alike.compared, alike.milli, alike.same_org), (3, 2_944, 600));
    }

    #[test]
    fn what_members_are_told_depends_on_their_latest_cards_and_not_on_how_they_came_to_them() {
        let likeness_of = |index: usize, paces: usize| {
            let (pace, org) = ((index % paces * 60) as i32, index as i64 % 3);
            Likeness::from(&Card { pause_millinats: card().pause_millinats + pace, org, ..card() })
        };
        let (mut straight, mut detour) = (Members::default(), Members::default());
        for index in 0..40 {
            straight.take(id(index), 0, likeness_of(index, 7), 1, By::Limit);
            detour.take(id(39 - index), 0, likeness_of(index, 3), 1, By::Limit);
        }
        for index in (0..40).rev() {
            detour.take(id(index), 0, likeness_of(index, 7), 1, By::Limit);
        }
        assert_eq!(told(&straight), told(&detour));
        assert!(told(&straight).iter().all(|(_, alike)| alike.is_company()));
    }

    #[test]
    fn numbers_are_rounded_to_steps_for_the_account() {
        assert_eq!([0, 3, 300, 999, 1_000, 63_000].map(rounded_down), [0, 3, 288, 992, 992, 61_440]);
        assert_eq!([0, 1, 31, 32, 33, 63].map(rounded_up), [0, 1, 31, 32, 34, 64]);
    }
}
