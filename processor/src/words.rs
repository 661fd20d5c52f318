//! What the cluster stage last said of the values that an account shares, and how much of it is evidence.
//!
//! A word tells how many others, held card against card, do what the account does. How many would by chance
//! is known; the logarithm of the ratio is evidence that one hand moves them, and no more than that: it says
//! nothing of what the hand is for. Detectors of the families *kin*, *payment*, *network*, *script* and
//! *theme* read it.

use crate::limits::{CLUSTER_WORDS_MAX, OPENING_WORDS_MAX, THEME_WORDS_MAX};
use crate::measure::short;
use crate::nats::{Millinats, ONE, exp_neg, ln};
use crate::persist::Damage;
use weir_schemas::{Cluster, ClusterRef, LinkKind, MemberLink, ValueHash};

/// Hours after which a word is too old to count.
const WORD_MS: i64 = 48 * 3_600_000;

/// Thousandths of an account that must be alike for a word to be kept.
const ALIKE_MILLI_MIN: u32 = 250;

/// What a likeness must say for its value to link the account with those like it: by chance it is one in
/// twenty.
const LINKS_FROM: Millinats = 3_000;

/// Others that harvest under one organisation, in thousandths, from which it is several.
const SEVERAL_MILLI: u32 = 2_000;

/// Share of the alike that make a declared owner.
const OWNED_PERMILLE: u16 = 800;

/// The latest word on one value: 64 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Word {
    value: ValueHash,
    kind: u8,
    /// Accounts that share the value.
    pub members: u32,
    compared: u16,
    /// Accounts that are alike, in thousandths of an account.
    pub alike_milli: u32,
    chance: i16,
    /// The alike among all remembered members, in thousandths.
    pub share_permille: u16,
    same_org_permille: u16,
    other_org_permille: u16,
    other_payment_permille: u16,
    time_ms: i64,
    /// The least of those most like the account, in short.
    least: u32,
    /// Log-likelihood ratio that so many are alike by one hand against by chance, without a cap. Not saved,
    /// because it follows from the numbers above.
    pub alike_millinats: Millinats,
}

persist_fields!(Word {
    value,
    kind,
    members,
    compared,
    alike_milli,
    chance,
    share_permille,
    same_org_permille,
    other_org_permille,
    other_payment_permille,
    time_ms,
    least; alike_millinats
} then Word::loaded);

impl Word {
    /// What is shared.
    pub fn kind(&self) -> LinkKind {
        LinkKind::ALL.get(usize::from(self.kind)).copied().unwrap_or_default()
    }

    /// Whether it is of those who ask for the same kind of thing, or in the same words.
    pub fn is_of_content(&self) -> bool {
        matches!(self.kind(), LinkKind::Theme | LinkKind::Opening)
    }

    /// Whether it is of those whom one owner pays for: only [`crate::detectors::payer`] reads it.
    pub fn is_of_owner(&self) -> bool {
        self.kind() == LinkKind::Org
    }

    /// Whether it is of those who lie alike of their clients: only [`crate::detectors::disguise`] reads it.
    pub fn is_of_disguise(&self) -> bool {
        self.kind() == LinkKind::Tls
    }

    /// The alike that pay by other means, in thousandths of an account.
    pub fn apart_milli(&self) -> u32 {
        (u64::from(self.alike_milli) * u64::from(self.other_payment_permille) / 1_000) as u32
    }

    /// Whether it is of those who do the same with what they share. Those of one theme, or of one owner, may
    /// each do it in their own way.
    pub fn is_of_conduct(&self) -> bool {
        !self.is_of_content() && !self.is_of_owner() && !self.is_of_disguise()
    }

    /// Accounts that were held against it.
    pub fn compared(&self) -> u16 {
        self.compared
    }

    /// One declared owner has the account and those that are like it: one customer with many keys.
    pub fn is_owned(&self) -> bool {
        self.same_org_permille >= OWNED_PERMILLE
    }

    /// Each of the alike is a customer of its own: another declared organisation that pays by other means.
    pub fn are_customers(&self) -> bool {
        self.other_org_permille >= OWNED_PERMILLE && self.other_payment_permille >= OWNED_PERMILLE
    }

    /// The alike declare different organisations and yet pay by one method, or several harvest under one
    /// organisation and hardly any two pay by the same: neither is one customer.
    pub fn contradicts_itself(&self) -> bool {
        let is_paid_for_together =
            self.kind() == LinkKind::Payment && self.other_org_permille >= OWNED_PERMILLE;
        is_paid_for_together || self.is_divided() && self.alike_milli >= SEVERAL_MILLI
    }

    /// Those of one declared organisation who harvest, or lie alike of their clients, pay each by means of
    /// their own: of those whom one means pays for nobody pays by another, so this owner is an organisation.
    pub fn is_divided(&self) -> bool {
        (self.is_of_owner() || self.is_of_disguise()) && self.other_payment_permille >= OWNED_PERMILLE
    }

    /// Whether it links the account with others: so many are like it as would not be by chance, and no
    /// declared owner explains it. Those of one owner are linked by the means of payment, where they are
    /// alike, and those in one disguise need not be of one campaign: a library is many's.
    fn links(&self) -> bool {
        let is_company = !self.is_of_owner() && !self.is_of_disguise();
        is_company && !self.is_owned() && self.alike_millinats >= LINKS_FROM
    }

    fn loaded(self) -> Result<Self, Damage> {
        Ok(self.weighed())
    }

    /// The same word with its log-likelihood ratio: with `k` alike where `e` are expected,
    /// `k ln(k/e) - (k - e)`.
    fn weighed(self) -> Self {
        let chance_milli = exp_neg(self.chance.unsigned_abs().into()) * 1_000_000 / ONE;
        // Thousandths of an account, at least a thousandth.
        let expected = (chance_milli * u64::from(self.compared) / 1_000).max(1);
        let alike = u64::from(self.alike_milli);
        if alike <= expected {
            return Self { alike_millinats: 0, ..self };
        }
        let gained = alike as i64 * i64::from(ln(alike) - ln(expected)) / 1_000;
        let alike_millinats = (gained - (alike - expected) as i64).clamp(0, 1_000_000) as Millinats;
        Self { alike_millinats, ..self }
    }
}

/// The words of an account.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Words {
    words: Vec<Word>,
}
persist_fields!(Words { words });

impl Words {
    /// Takes a word in the place of what was said before of the same value.
    pub fn take(&mut self, cluster: &Cluster) {
        let permille = |value: i32| value.clamp(0, 1_000) as u16;
        let word = Word {
            value: cluster.value,
            kind: cluster.kind as u8,
            members: u32::try_from(cluster.members.max(0)).unwrap_or(u32::MAX),
            compared: cluster.compared.clamp(0, u16::MAX.into()) as u16,
            alike_milli: cluster.alike_milli.max(0) as u32,
            chance: cluster.chance_millinats.clamp(-20_000, 0) as i16,
            share_permille: permille(cluster.share_permille),
            same_org_permille: permille(cluster.same_org_permille),
            other_org_permille: permille(cluster.other_org_permille),
            other_payment_permille: permille(cluster.other_payment_permille),
            time_ms: cluster.time_ms,
            least: short(&cluster.least.0),
            alike_millinats: 0,
        };
        let word = word.weighed();
        self.words.retain(|known| (known.kind, known.value) != (word.kind, word.value));
        if word.alike_milli < ALIKE_MILLI_MIN {
            return;
        }
        // Cells of themes in which it lay before, and openings, are not to push out what else it shares.
        let is_same = |other: &Word| other.kind == word.kind;
        let enough = match word.kind() {
            LinkKind::Theme => THEME_WORDS_MAX,
            LinkKind::Opening => OPENING_WORDS_MAX,
            _ => usize::MAX,
        };
        let is_enough = self.words.iter().filter(|word| is_same(word)).count() >= enough;
        if is_enough || self.words.len() >= CLUSTER_WORDS_MAX {
            // Full: the word that tells least makes room, then the oldest.
            let rank = |word: &Word| (word.alike_millinats, word.time_ms);
            let places = (0..self.words.len()).filter(|place| !is_enough || is_same(&self.words[*place]));
            let least = places.min_by_key(|place| rank(&self.words[*place]));
            match least {
                Some(least) if rank(&self.words[least]) <= rank(&word) => drop(self.words.remove(least)),
                _ => return,
            }
        }
        self.words.reserve_exact(1);
        self.words.push(word);
    }

    /// The words that still count at a time, in the order in which they came.
    pub fn at(&self, now_ms: i64) -> impl Iterator<Item = &Word> {
        self.words.iter().filter(move |word| now_ms.saturating_sub(word.time_ms) <= WORD_MS)
    }

    /// References to the values of the words that count and that no declared owner explains. Who pays is
    /// named as PAYMENT, and a library is many's.
    pub fn references(&self, now_ms: i64) -> Vec<ClusterRef> {
        let reference =
            |word: &Word| ClusterRef { kind: word.kind(), value: word.value, members: word.members.into() };
        let is_named = |word: &&Word| !word.is_of_owner() && !word.is_of_disguise() && !word.is_owned();
        self.at(now_ms).filter(is_named).map(reference).collect()
    }

    /// The values by which the account is linked with others: so many are like it as would not be by chance,
    /// and no declared owner explains them. In ascending order.
    pub fn links(&self, now_ms: i64) -> Vec<MemberLink> {
        let mut links: Vec<MemberLink> = self.linking(now_ms).collect();
        links.sort_unstable_by_key(|link| (link.kind, link.value));
        links
    }

    /// The same in the order in which they came.
    pub fn linking(&self, now_ms: i64) -> impl Iterator<Item = MemberLink> {
        let link =
            |word: &Word| MemberLink { kind: word.kind(), value: word.value, least: word.least.into() };
        self.at(now_ms).filter(|word| word.links()).map(link)
    }

    /// Whether the account is linked with others that are no customers of their own.
    pub fn is_linked(&self, now_ms: i64) -> bool {
        self.at(now_ms).any(|word| word.links() && !word.are_customers())
    }

    /// Whether something besides what it asks for links the account with others that are no customers of
    /// their own.
    pub fn is_linked_beyond_content(&self, now_ms: i64) -> bool {
        self.at(now_ms).any(|word| !word.is_of_content() && word.links() && !word.are_customers())
    }

    /// See [`crate::store::Entry::touch`].
    pub fn touch(&self) -> u64 {
        self.words.first().map_or(0, |word| word.time_ms as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::cluster;

    fn nats(compared: i32, alike_milli: i32) -> i32 {
        let mut words = Words::default();
        words.take(&Cluster { compared, alike_milli, ..cluster(LinkKind::Payment, "card", 3) });
        words.words.first().map_or(0, |word| word.alike_millinats / 1_000)
    }

    #[test]
    fn the_more_are_alike_beyond_chance_the_more_it_says() {
        // One in about 285 strangers would be alike.
        assert_eq!([nats(1, 200), nats(1, 1_000), nats(2, 2_000), nats(12, 11_000)], [0, 4, 9, 50]);
        assert_eq!([nats(60, 1_000), nats(600, 1_000), nats(600, 2_000)], [0, 0, 0]);
    }

    #[test]
    fn a_disguise_makes_no_campaign_and_is_no_value_to_share() {
        let mut words = Words::default();
        words.take(&Cluster { other_payment_permille: 1_000, ..cluster(LinkKind::Tls, "library", 9) });
        assert_eq!(
            (words.links(1), words.references(1), words.is_linked(1)),
            (Vec::new(), Vec::new(), false)
        );
        words.take(&cluster(LinkKind::Payment, "card", 9));
        let kinds: Vec<_> = words.links(1).iter().map(|link| link.kind).collect();
        assert_eq!(kinds, [LinkKind::Payment]);
    }

    #[test]
    fn a_word_replaces_the_one_before_and_counts_for_two_days() {
        let mut words = Words::default();
        words.take(&cluster(LinkKind::Payment, "card", 3));
        words.take(&cluster(LinkKind::Payment, "card", 9));
        let told = cluster(LinkKind::Payment, "card", 9);
        assert_eq!(words.references(told.time_ms).iter().map(|r| r.members).collect::<Vec<_>>(), [9]);
        assert!(words.references(told.time_ms + WORD_MS + 1).is_empty());
        words.take(&Cluster { alike_milli: 100, ..told });
        assert_eq!(words, Words::default());
    }

    #[test]
    fn no_more_words_are_kept_than_the_limit_and_those_that_tell_most() {
        let mut words = Words::default();
        for index in 0..40 {
            let alike_milli = 1_000 + index % 20 * 100;
            words.take(&Cluster { alike_milli, ..cluster(LinkKind::Subnet, &format!("net {index}"), 3) });
        }
        assert_eq!(words.words.len(), CLUSTER_WORDS_MAX);
        assert!(words.words.iter().all(|word| word.alike_milli >= 1_800), "{words:?}");
    }

    #[test]
    fn cells_of_themes_push_out_nothing_but_each_other() {
        let mut words = Words::default();
        words.take(&Cluster { alike_milli: 300, ..cluster(LinkKind::Subnet, "net", 3) });
        for index in 0..40 {
            let alike_milli = 1_000 + index % 20 * 100;
            words.take(&Cluster { alike_milli, ..cluster(LinkKind::Theme, &format!("cell {index}"), 3) });
        }
        let kept: Vec<_> = words.words.iter().map(|word| (word.kind(), word.alike_milli)).collect();
        let theme = |alike_milli| (LinkKind::Theme, alike_milli);
        let best = [theme(2_700), theme(2_800), theme(2_900), theme(2_700), theme(2_800), theme(2_900)];
        assert_eq!(kept, [&[(LinkKind::Subnet, 300)][..], &best].concat());
    }
}
