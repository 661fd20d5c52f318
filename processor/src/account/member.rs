//! What is told of an account for campaigns: its own evidence, and the values that link it with those like
//! it.
//!
//! It is told with every verdict, and when the links of an account change that a verdict holds; of an account
//! without evidence of its own only when it is linked by a value that it was not linked by before.

use super::Cause;
use super::state::Account;
use crate::detector::{COUNT, FAMILIES, Family};
use crate::fusion::Fused;
use crate::nats::Millinats;
use crate::policy::Rules;
use weir_schemas::{FamilyEvidence, Member, MemberLink, Tier, VerdictId};

/// What there is to tell of an account as it stands; `verdict` is the one that is said with it.
pub(super) fn build(
    account: &Account,
    cause: &Cause<'_>,
    fused: &Fused,
    rules: &Rules,
    verdict: Option<VerdictId>,
) -> Member {
    Member {
        time_ms: cause.time_ms,
        tenant: cause.tenant.to_owned(),
        account: cause.account,
        // A tier that was said holds until another is said.
        tier: account.voice.tier(),
        millinats: fused.log_odds,
        probability: f64::from(rules.probability(fused.log_odds)) / 1e6,
        verdict_id: verdict,
        requests: account.profile.behaviour.requests.into(),
        asks: account.asks.often(),
        families: families(&fused.contributions, rules),
        links: account.profile.words.links(account.profile.clock_ms),
    }
}

/// The families that speak against the account, the strongest first.
fn families(contributions: &[Option<Millinats>; COUNT], rules: &Rules) -> Vec<FamilyEvidence> {
    let mut sums = [0; Family::COUNT];
    for (family, said) in FAMILIES.iter().zip(contributions) {
        sums[*family as usize] += said.unwrap_or(0);
    }
    let (cap, speaks_from) = (rules.family_most(), rules.speaks_from());
    let speaking = Family::ALL.into_iter().zip(sums);
    let speaking = speaking.filter(|(family, sum)| family.is_witness() && *sum >= speaks_from);
    let mut families: Vec<FamilyEvidence> = speaking
        .map(|(family, sum)| FamilyEvidence { family: family.as_str().to_owned(), millinats: sum.min(cap) })
        .collect();
    // Stable, so that equals stay in the order of families.
    families.sort_by_key(|family| std::cmp::Reverse(family.millinats));
    families
}

/// Whether links that changed are worth telling of an account to which `tier` was said last. They are in any
/// order, and none is there twice.
pub(super) fn is_news(tier: Tier, before: &[MemberLink], now: &[MemberLink]) -> bool {
    let is_new =
        |link: &MemberLink| !before.iter().any(|old| (old.kind, old.value) == (link.kind, link.value));
    match tier {
        Tier::Clear => now.iter().any(is_new),
        _ => before.len() != now.len() || !now.iter().all(|link| before.contains(link)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::hash;
    use weir_schemas::LinkKind;

    fn link(value: &str, least: i64) -> MemberLink {
        MemberLink { kind: LinkKind::Payment, value: hash(value), least }
    }

    #[test]
    fn any_change_of_the_links_is_news_of_a_suspect_and_a_new_value_of_anybody() {
        let before = [link("card", 7)];
        for (now, of_anybody) in
            [(vec![link("card", 7), link("other", 7)], true), (vec![link("card", 3)], false), (vec![], false)]
        {
            assert!(is_news(Tier::High, &before, &now));
            assert_eq!(is_news(Tier::Clear, &before, &now), of_anybody);
        }
        assert!(!is_news(Tier::High, &before, &before) && !is_news(Tier::Clear, &before, &before));
    }
}
