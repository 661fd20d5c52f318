//! `hydra`: the account shares something hard to share by chance with several suspicious accounts.
//!
//! It reads only what the cluster stage says. *Evidence*: how many other members of a payment method,
//! organisation, subnet, preamble or template are suspicious by themselves, and what share of all
//! members that is. A value that many share and few misuse (a popular library's preamble, a carrier's
//! address) is none. Kinds are grouped, because a preamble and a template come as one thing: groups
//! are independent, kinds within a group are not. Client fingerprints (TLS, HTTP/2, header order) can
//! only strengthen what a strong kind says. *Missing* while the cluster stage has said nothing.
//! *Cost*: at most eight remembered words. *Evasion*: one payment method, network and template per
//! account, which is what a campaign costs then. *Source*: Glasswally's `hydra`, which took any one
//! shared attribute for a cluster and the first hex digits of a hash for a card's bank.

use crate::detector::{AccountView, Detector, Notes, Opinion, Seen};
use crate::limits::CLUSTER_WORDS_MAX;
use crate::measure::{confidence, ramp};
use weir_schemas::{Cluster, ClusterRef, LinkKind, ValueHash};

detector_settings! {
    /// Other suspicious members below which a shared value is no evidence.
    suspicious_min: u32 = 1 ..= 1000,
    /// Share of members that are suspicious up to which there is no score.
    suspicious_share_low: f64 = 0 ..= 1,
    /// Share from which the score is full.
    suspicious_share_high: f64 = 0 ..= 1,
    /// Hours after which the cluster stage's word is too old.
    word_h: u32 = 1 ..= 720,
}

/// See [`crate::detectors::hydra`].
pub struct Hydra;

/// The cluster stage's latest word on one value.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Word {
    value: ValueHash,
    kind: u8,
    members: u32,
    suspicious: u32,
    time_ms: i64,
}
persist_fields!(Word { value, kind, members, suspicious, time_ms });

/// The words that are remembered: 24 bytes, and 40 for each of at most eight.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct State {
    words: Vec<Word>,
}
persist_fields!(State { words });

/// What a kind of value means: which group it belongs to and how telling it is at most.
fn meaning(kind: LinkKind) -> Option<(usize, f64)> {
    match kind {
        LinkKind::Payment => Some((0, 0.9)),
        // Accounts of one organisation belong together by design; that many are suspicious still counts.
        LinkKind::Org => Some((0, 0.5)),
        LinkKind::Subnet => Some((1, 0.6)),
        LinkKind::Address => Some((1, 0.7)),
        LinkKind::Preamble | LinkKind::Template => Some((2, 0.75)),
        LinkKind::Tls | LinkKind::H2 | LinkKind::Headers | LinkKind::Timing | LinkKind::Other => None,
    }
}

const GROUPS: usize = 3;

impl State {
    fn take(&mut self, cluster: &Cluster) {
        let word = Word {
            value: cluster.value,
            kind: cluster.kind as u8,
            members: u32::try_from(cluster.members.max(0)).unwrap_or(u32::MAX),
            suspicious: u32::try_from(cluster.suspicious.max(0)).unwrap_or(u32::MAX),
            time_ms: cluster.time_ms,
        };
        if let Some(known) = self.words.iter_mut().find(|w| w.kind == word.kind && w.value == word.value) {
            *known = word;
            return;
        }
        if self.words.len() < CLUSTER_WORDS_MAX {
            self.words.reserve_exact(1);
            self.words.push(word);
            return;
        }
        // Full: the word that tells least makes room, weak kinds first, then the fewest suspects,
        // then the oldest.
        let rank = |w: &Word| (meaning(kind_of(w)).is_some(), w.suspicious, w.time_ms);
        if let Some(least) = self.words.iter_mut().min_by_key(|w| rank(w))
            && rank(least) <= rank(&word)
        {
            *least = word;
        }
    }
}

fn kind_of(word: &Word) -> LinkKind {
    LinkKind::ALL.get(usize::from(word.kind)).copied().unwrap_or_default()
}

/// How strongly a word speaks, 0 to 1.
fn strength(word: &Word, account: &AccountView<'_>, settings: &Settings) -> f64 {
    let word_ms = i64::from(settings.word_h) * 3_600_000;
    if account.now_ms.saturating_sub(word.time_ms) > word_ms {
        return 0.0;
    }
    // The account does not incriminate itself.
    let others = word.suspicious.saturating_sub(account.profile.suspected.into());
    if others < settings.suspicious_min {
        return 0.0;
    }
    let share = f64::from(others) / f64::from(word.members.saturating_sub(1).max(1));
    let (low, high) = (settings.suspicious_share_low, settings.suspicious_share_high);
    ramp(share, low, high) * confidence(others, settings.suspicious_min)
}

/// The shared values that speak against the account, in the order in which they were learnt.
pub fn references(state: &State, account: &AccountView<'_>, settings: &Settings) -> Vec<ClusterRef> {
    let strong = |word: &&Word| meaning(kind_of(word)).is_some() && strength(word, account, settings) > 0.0;
    let reference =
        |word: &Word| ClusterRef { kind: kind_of(word), value: word.value, members: word.members.into() };
    state.words.iter().filter(strong).map(reference).collect()
}

impl Detector for Hydra {
    const NAME: &'static str = "hydra";
    const CLAIM: &'static str = "Shares what is hard to share by chance with several suspicious accounts.";
    const STATE_VERSION: u8 = 1;
    type State = State;
    type Settings = Settings;

    fn touch(state: &State) -> u64 {
        state.words.len() as u64
    }

    fn observe(state: &mut State, seen: Seen<'_>, _: &AccountView<'_>, _: &Settings) {
        if let Seen::Cluster(cluster) = seen {
            state.take(cluster);
        }
    }

    fn judge(
        state: &State,
        account: &AccountView<'_>,
        settings: &Settings,
        notes: &mut Notes,
    ) -> Option<Opinion> {
        if state.words.is_empty() {
            return None;
        }
        let mut groups = [0.0_f64; GROUPS];
        let (mut weak, mut suspects) = (0.0_f64, 0);
        for word in &state.words {
            let strength = strength(word, account, settings);
            let Some((group, most)) = meaning(kind_of(word)) else {
                weak = weak.max(strength);
                continue;
            };
            groups[group] = groups[group].max(most * strength);
            if strength > 0.0 {
                suspects = suspects.max(word.suspicious);
                notes.note(
                    "suspicious_of_members",
                    format_args!("{} of {} by {}", word.suspicious, word.members, kind_of(word)),
                );
            }
        }
        let strong = 1.0 - groups.iter().fold(1.0, |rest, group| rest * (1.0 - group));
        if strong == 0.0 {
            return Some(Opinion { score: 0.0, confidence: 1.0 });
        }
        if weak > 0.0 {
            notes.share("same_client_share", weak);
        }
        let score = 1.0 - (1.0 - strong) * (1.0 - 0.2 * weak);
        Some(Opinion { score, confidence: confidence(suspects, 1) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Traffic, check, cluster};
    use expect_test::expect;

    #[test]
    fn a_shared_payment_and_template_of_twelve_suspects_score() {
        check::<Hydra>(
            Traffic::clusters(vec![
                cluster(LinkKind::Payment, "card", 12, 12),
                cluster(LinkKind::Template, "shape", 12, 11),
                cluster(LinkKind::Tls, "python", 12, 11),
            ]),
            expect![
                "score 0.931 confidence 0.923; suspicious_of_members 12 of 12 by PAYMENT; suspicious_of_members 11 of 12 by TEMPLATE; same_client_share 0.846"
            ],
        );
    }

    #[test]
    fn a_shared_client_alone_never_does() {
        check::<Hydra>(
            Traffic::clusters(vec![
                cluster(LinkKind::Tls, "python", 40, 40),
                cluster(LinkKind::H2, "python", 40, 40),
                cluster(LinkKind::Headers, "python", 40, 40),
            ]),
            expect!["score 0.000 confidence 1.000"],
        );
    }

    #[test]
    fn a_popular_preamble_with_some_bad_users_does_not() {
        check::<Hydra>(
            Traffic::clusters(vec![cluster(LinkKind::Preamble, "popular sdk", 900, 60)]),
            expect!["score 0.000 confidence 1.000"],
        );
    }

    #[test]
    fn a_carriers_address_with_a_campaign_behind_it_does_not() {
        check::<Hydra>(
            Traffic::clusters(vec![cluster(LinkKind::Subnet, "carrier", 4_000, 12)]),
            expect!["score 0.000 confidence 1.000"],
        );
    }

    #[test]
    fn a_pair_does_not() {
        check::<Hydra>(
            Traffic::clusters(vec![cluster(LinkKind::Payment, "card", 2, 1)]),
            expect!["score 0.000 confidence 1.000"],
        );
    }

    #[test]
    fn words_of_weak_kinds_make_room_for_strong_ones() {
        let mut words: Vec<_> =
            (0..8).map(|index| cluster(LinkKind::Tls, &format!("stack {index}"), 9, 9)).collect();
        words.push(cluster(LinkKind::Payment, "card", 12, 12));
        check::<Hydra>(
            Traffic::clusters(words),
            expect![
                "score 0.809 confidence 0.923; suspicious_of_members 12 of 12 by PAYMENT; same_client_share 0.818"
            ],
        );
    }

    #[test]
    fn without_the_cluster_stages_word_it_is_missing() {
        check::<Hydra>(Traffic::every_ms(100, 900, |_, _| ()), expect!["missing"]);
    }
}
