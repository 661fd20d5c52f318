//! `owner`: somebody answers for the account.
//!
//! *Evidence*: the operator's own systems name one organisation for the account, all the while. It speaks
//! for the account only: a customer with a contract can be asked. Accounts that declare different
//! organisations and pay by one method are not believed, nor are several of one organisation that do the
//! same and pay each by a method of its own: a customer has one invoice. *Missing* without an organisation.
//! *Cost*: a counter. *Evasion*: register as many organisations as accounts. *Price*: the operator's
//! verification, and a card for each. *Source*: `detection.md`, "explain away".

use super::disguise;
use crate::detector::{AccountView, Detector, Family, Inputs, Notes};
use crate::nats::Millinats;
use crate::words::Word;

detector_settings! {}

/// See [`crate::detectors::owner`].
pub struct Owner;

/// What a declared owner says, and of an account that is like no other: a single customer can be asked,
/// however much it takes.
const DECLARED: Millinats = -2_000;
const DECLARED_ALONE: Millinats = -4_000;

impl Detector for Owner {
    const NAME: &'static str = "owner";
    const CLAIM: &'static str = "Nobody answers for it.";
    const FAMILY: Family = Family::Owner;
    const STATE_VERSION: u8 = 1;
    const INPUTS: Inputs = Inputs { needs: &[&["org"]], uses: &[] };
    type State = ();
    type Settings = Settings;

    fn judge((): &(), account: &AccountView<'_>, _: &Settings, notes: &mut Notes) -> Option<Millinats> {
        let org = account.profile.behaviour.org;
        if org.value() == 0 || org.share() < 0.8 {
            return None;
        }
        let words = &account.profile.words;
        // Whose clients lie because a proxy stands before persons has an organisation all the same.
        let is_of_persons = |word: &Word| word.is_of_disguise() && disguise::may_be_person(account);
        let contradiction =
            words.at(account.now_ms).find(|word| word.contradicts_itself() && !is_of_persons(word));
        if let Some(word) = contradiction {
            let how = match word.is_divided() {
                true => "one whose accounts each pay by their own means",
                false => "one of several that pay together",
            };
            notes.note("organisation", how);
            return Some(0);
        }
        notes.note("organisation", "declared");
        Some(if words.is_linked(account.now_ms) { DECLARED } else { DECLARED_ALONE })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Traffic, check, cluster, hash};
    use expect_test::expect;
    use weir_schemas::{Cluster, LinkKind};

    fn declared() -> Traffic {
        Traffic::every_ms(2_000, 400, |request, _| request.org = Some(hash("org")))
    }

    #[test]
    fn a_declared_owner_speaks_for_an_account() {
        check::<Owner>(declared(), expect!["-4.0 nats; organisation declared"]);
    }

    #[test]
    fn organisations_that_pay_together_are_not_believed() {
        let word = Cluster { other_org_permille: 1_000, ..cluster(LinkKind::Payment, "card", 6) };
        check::<Owner>(
            declared().told(vec![word]),
            expect!["0.0 nats; organisation one of several that pay together"],
        );
    }

    #[test]
    fn an_organisation_of_which_each_account_pays_by_means_of_its_own_is_not_believed() {
        let divided =
            |members| Cluster { other_payment_permille: 1_000, ..cluster(LinkKind::Org, "org", members) };
        check::<Owner>(
            declared().told(vec![divided(6)]),
            expect!["0.0 nats; organisation one whose accounts each pay by their own means"],
        );
        // The same of those who lie alike of their clients, unless they may be persons behind a proxy.
        let lying = Cluster { other_payment_permille: 1_000, ..cluster(LinkKind::Tls, "library", 6) };
        check::<Owner>(
            declared().told(vec![lying.clone()]),
            expect!["0.0 nats; organisation one whose accounts each pay by their own means"],
        );
        let persons = Traffic::uneven_ms(&[20_000, 40_000, 90_000, 5 * 3_600_000], 40, |request, _| {
            request.org = Some(hash("org"));
        });
        check::<Owner>(persons.told(vec![lying]), expect!["-4.0 nats; organisation declared"]);
        // A colleague's card is nobody's business.
        check::<Owner>(declared().told(vec![divided(2)]), expect!["-4.0 nats; organisation declared"]);
    }

    #[test]
    fn without_an_owner_it_is_missing() {
        check::<Owner>(Traffic::every_ms(2_000, 400, |_, _| ()), expect!["missing"]);
    }
}
